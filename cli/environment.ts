/**
 * The environment.
 *
 * @module
 */

import { readText } from "../ffi/file.ts";
import type { Libc } from "../ffi/port.ts";

/** The variables that the process was started with. Not `process.env`, which asks for `--allow-env` in Deno. */
export function readEnvironment(libc: Libc): ReadonlyMap<string, string> {
  const entries = readText(libc, "/proc/self/environ")?.split("\0") ?? [];
  return new Map(entries.flatMap((entry) => {
    const end = entry.indexOf("=");
    return end < 0 ? [] : [[entry.slice(0, end), entry.slice(end + 1)]];
  }));
}
