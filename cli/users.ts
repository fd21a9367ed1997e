/**
 * Users by name on the command line, without asking more of Deno than `--allow-ffi`.
 *
 * @module
 */

import { openLibc } from "../ffi/libc.ts";
import { AccountNames } from "../watch/account_names.ts";
import { UsageError } from "./args.ts";

/** The uid of a user's name, or of a number. Throws {@linkcode UsageError} where there is no such user. */
export async function userId(command: string, user: string): Promise<number> {
  if (/^\d+$/.test(user)) return Number(user);
  const uid = new AccountNames(await openLibc()).uid(user);
  if (uid !== undefined) return uid;
  throw new UsageError(
    `Cannot ${command} with --user ${user}: no such user by /etc/nsswitch.conf and /etc/passwd; a uid will do`,
  );
}
