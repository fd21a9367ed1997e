/**
 * The program of the keeper, in a process of its own: waits until the process of its argument is no more, and then removes
 * the rules of processes that are no more.
 *
 * @module
 */

import process from "node:process";
import { openLibc } from "../../ffi/libc.ts";
import type { Libc } from "../../ffi/port.ts";
import { AuditControl } from "./control.ts";
import { locked, ownerOf, sweep } from "./ownership.ts";

/** How long a process may take to end once its files are closed, in ms. */
const ENDED_WITHIN = 10_000;

function main(libc: Libc): void {
  const pid = Number(process.argv.at(-1));
  const started = ownerOf(libc, pid)?.started;
  const until = performance.now() + ENDED_WITHIN;
  while (started !== undefined && performance.now() < until) {
    if (ownerOf(libc, pid)?.started !== started) break;
    libc.poll(null, 0, 1);
  }
  const control = new AuditControl(libc);
  locked(libc, () => sweep(libc, control));
  control.close();
}

void openLibc().then(main);
