/**
 * How a stream that somebody else made is read, and let go of.
 *
 * @module
 */

/** A stream that is being read. */
export interface Reading<Item> {
  next(): Promise<{ readonly done?: boolean | undefined; readonly value?: Item | undefined }>;
  /**
   * Ends it, also while something is waited for: `return()` of an iterator would wait for that, so a web stream is
   * cancelled by its reader, and a stream of Node.js (`process.stdin`) destroyed. A generator that waits for something
   * else ends when that comes.
   */
  leave(): unknown;
}

/** Begins to read; nobody else can then. */
export function readingOf<Item>(source: AsyncIterable<Item>): Reading<Item> {
  if (source instanceof ReadableStream) {
    const reader = (source as ReadableStream<Item>).getReader();
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
