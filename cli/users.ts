/**
 * User names, without asking more of Deno than `--allow-ffi`.
 *
 * @module
 */

import { readText } from "../ffi/file.ts";
import { openLibc } from "../ffi/libc.ts";
import { UsageError } from "./args.ts";

/** The uid of a name in `/etc/passwd`, or of a number. Throws {@linkcode UsageError} where there is no such user. */
export async function userId(command: string, user: string): Promise<number> {
  if (/^\d+$/.test(user)) return Number(user);
  const passwd = readText(await openLibc(), "/etc/passwd") ?? "";
  for (const line of passwd.split("\n")) {
    const [name, , uid] = line.split(":");
    if (name === user && uid !== undefined) return Number(uid);
  }
  throw new UsageError(
    `Cannot ${command} with --user ${user}: no such user in /etc/passwd; a uid will do`,
  );
}
