/**
 * Which Linux this is.
 *
 * @module
 */

import { release } from "node:os";

/** Of Linux. */
export type Version = readonly [major: number, minor: number];

const [major = 0, minor = 0] = release().split(".").map(Number);

/** Whether this kernel is that one, or newer. */
export function isSince([first, second]: Version): boolean {
  return major > first || (major === first && minor >= second);
}

/** Why what came with a version cannot be tested here; false where it can. */
export function whyBefore(version: Version): string | false {
  return !isSince(version) && `needs Linux ${version.join(".")}`;
}
