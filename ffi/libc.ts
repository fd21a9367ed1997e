/**
 * Opens libc: the one place that chooses between the runtimes, on first use and not on import.
 *
 * @module
 */

import process from "node:process";
import { UnsupportedError } from "./errno.ts";
import type { Libc } from "./port.ts";

/** glibc first, then musl, whose file is named for the machine. */
const NAMES = ["libc.so.6", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"];

const MACHINES = ["x64", "arm64"];

let opened: Promise<Libc> | undefined;

/**
 * The process's libc, loaded once.
 *
 * Rejects with {@linkcode UnsupportedError} on another system, machine or runtime, and with the runtime's own error
 * where it refuses the load (Deno without `--allow-ffi`).
 */
export function openLibc(): Promise<Libc> {
  opened ??= load().catch((error: unknown) => {
    opened = undefined; // a permission may be granted later
    throw error;
  });
  return opened;
}

async function load(): Promise<Libc> {
  if (process.platform !== "linux" || !MACHINES.includes(process.arch)) {
    throw new UnsupportedError(
      `Cannot open libc: ${process.platform} on ${process.arch} is not supported`,
      { hint: "sentinode runs on Linux, x86-64 and arm64" },
    );
  }
  const { load } = await adapter();
  let failure: unknown;
  for (const name of NAMES) {
    try {
      return load(name);
    } catch (error) {
      failure ??= error;
    }
  }
  throw failure;
}

/** Literal specifiers, so that bundlers and `compile` see both files; neither runtime loads the other's. */
async function adapter(): Promise<{ load(name: string): Libc }> {
  if ("Deno" in globalThis) return await import("./deno.ts");
  if ("Bun" in globalThis) return await import("./bun.ts");
  throw new UnsupportedError("Cannot open libc: this runtime has no foreign function interface", {
    hint: "run with Deno 2.8 or Bun 1.4 or newer",
  });
}
