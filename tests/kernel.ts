/**
 * Which Linux this is.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import { release } from "node:os";

/** Of Linux. */
export type Version = readonly [major: number, minor: number];

const [major = 0, minor = 0] = release().split(".").map(Number);

/** Whether it is a process of another Linux, so that a system call takes several times as long. */
export const isUserMode: boolean = /User Mode Linux/.test(readFileSync("/proc/cpuinfo", "utf8"));

/** Whether this kernel is that one, or newer. */
export function isSince([first, second]: Version): boolean {
  return major > first || (major === first && minor >= second);
}

/** Why what came with a version cannot be tested here; false where it can. */
export function whyBefore(version: Version): string | false {
  return !isSince(version) && `needs Linux ${version.join(".")}`;
}
