/**
 * The processor architecture, for the few constants that differ between x86-64 and arm64: some
 * `O_*` flags, the system call numbers and the padding of `struct epoll_event`.
 *
 * @module
 */

import process from "node:process";

/**
 * What the constants of this process are chosen by. Deno and Bun are built for these two
 * architectures only, so whatever is not arm64 is x86-64.
 */
export const arch: "x64" | "arm64" = process.arch === "arm64" ? "arm64" : "x64";
