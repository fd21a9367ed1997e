/**
 * `watch()`.
 *
 * @module
 */

import { settle, type WatchOptions } from "./options.ts";
import { pathList } from "./targets.ts";
import { Watcher } from "./watcher.ts";

/**
 * Watches files and directories for what happens to them.
 *
 * Arming starts at once; {@linkcode Watcher.ready} tells when it is done. Events come in the kernel's order; what
 * fanotify merged into one record comes in an order that leads to the state on disk.
 *
 * **Backends.** With CAP_SYS_ADMIN and CAP_DAC_READ_SEARCH one fanotify mark covers a filesystem (Linux 5.17; ext4, xfs,
 * btrfs' top, tmpfs …), whatever the size of the tree. Elsewhere, and for everybody else, inotify watches each directory.
 * {@linkcode Watcher.coverage} tells which.
 *
 * **Privilege.** None; `actor` and `scope` other than `"tree"` need CAP_SYS_ADMIN. In Deno `--allow-ffi`, nothing else.
 *
 * **Errors.** `TypeError` at once for wrong arguments, `UnsupportedError` at once for an option that is not there yet. What
 * the system refuses rejects `ready` and is thrown to the iterator: `SystemError` (ENOENT, ENOTDIR, EACCES …),
 * `WatchLimitError`, `CapabilityError`, `UnsupportedError`.
 *
 * @example
 * ```ts
 * import { watch } from "sentinode";
 *
 * const controller = new AbortController();
 * setTimeout(() => controller.abort(), 100);
 * for await (const event of watch("/tmp", { signal: controller.signal })) {
 *   console.log(event.kind, event.path);
 * }
 * ```
 *
 * @param paths one path or several, relative ones to the working directory; `file:` URLs
 */
export function watch(
  paths: string | URL | Iterable<string | URL>,
  options: WatchOptions = {},
): Watcher {
  return new Watcher(pathList(paths, "watch"), settle(options));
}
