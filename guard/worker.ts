/**
 * The thread of the responder: what runs in a guard's Worker. `worker_source.ts` has it with all that it needs.
 *
 * @module
 */

import { openLibc } from "../ffi/libc.ts";
import type { Orders, Report } from "./protocol.ts";
import { respond } from "./responder.ts";

/** The part of a Worker's global scope that is used. */
interface WorkerScope {
  postMessage(report: Report): void;
  onmessage: ((message: { readonly data: Orders }) => void) | null;
}

const scope = globalThis as unknown as WorkerScope;

// Loaded before anything is guarded: from then on it could have to wait for its own answer.
const libc = openLibc();
scope.onmessage = async ({ data }) => {
  respond(await libc, data, (report) => scope.postMessage(report));
};
void libc.then(
  () => scope.postMessage({ type: "ready" }),
  (error) => scope.postMessage({ type: "failed", message: String(error) }),
);
