/**
 * The chunks of a stream of bytes that somebody else made, for as long as they are wanted.
 *
 * @module
 */

/** How a source is read, and let go of. */
interface Reading {
  next(): Promise<{ readonly done?: boolean | undefined; readonly value?: Uint8Array | undefined }>;
  leave(): unknown;
}

/**
 * What `source` gives until `end` resolves, also while a chunk is waited for: `return()` of its iterator would wait for
 * that chunk, so a web stream is cancelled by its reader, and a stream of Node.js (`process.stdin`) destroyed.
 */
export async function* chunksOf(
  source: AsyncIterable<Uint8Array>,
  end: Promise<void>,
): AsyncGenerator<Uint8Array> {
  const reading = readingOf(source);
  const isOver = end.then(() => ({ done: true, value: undefined }));
  try {
    for (;;) {
      const { done, value } = await Promise.race([reading.next(), isOver]);
      if (done) return;
      yield value!;
    }
  } finally {
    // Not awaited: a generator that waits for something else ends when that comes.
    void Promise.try(() => reading.leave()).catch(() => {});
  }
}

function readingOf(source: AsyncIterable<Uint8Array>): Reading {
  if (source instanceof ReadableStream) {
    const reader = (source as ReadableStream<Uint8Array>).getReader();
    return { next: () => reader.read(), leave: () => reader.cancel() };
  }
  const iterator = source[Symbol.asyncIterator]();
  const next = () => iterator.next();
  if ("destroy" in source && typeof source.destroy === "function") {
    const { destroy } = source;
    return { next, leave: () => destroy.call(source) };
  }
  return { next, leave: () => iterator.return?.() };
}
