/**
 * The options of a command that leave paths out.
 *
 * @module
 */

import type { Ignore } from "../watch/filter.ts";
import { gitignore } from "../watch/gitignore.ts";
import type { Arguments, Option } from "./args.ts";

/** What the help tells of them. */
export const IGNORE_OPTIONS: readonly Option[] = [
  { name: "ignore", value: "GLOB", repeatable: true, about: "leave out; may be repeated" },
  { name: "gitignore", about: "leave out what git ignores, and .git" },
];

/** What they leave out. */
export async function readIgnore(args: Arguments): Promise<Ignore[]> {
  return args.has("gitignore")
    ? [...args.all("ignore"), await gitignore()]
    : [...args.all("ignore")];
}
