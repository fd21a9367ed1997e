/**
 * A promise that is settled from outside.
 *
 * @module
 */

/**
 * What `Promise.withResolvers()` gives. Node.js has that since version 22, and on Node.js 20 a stream must come as far as to
 * say that there is nothing to call libc with.
 */
export function deferred<T = void>(): PromiseWithResolvers<T> {
  let resolve!: PromiseWithResolvers<T>["resolve"];
  let reject!: PromiseWithResolvers<T>["reject"];
  const promise = new Promise<T>((...settle) => [resolve, reject] = settle);
  return { promise, resolve, reject };
}
