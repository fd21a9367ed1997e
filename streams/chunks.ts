/**
 * The chunks of a stream of bytes that somebody else made, for as long as they are wanted.
 *
 * @module
 */

import { readingOf } from "./reading.ts";

/** What `source` gives until `end` resolves, also while a chunk is waited for. */
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
