/**
 * The flags of open(2) by their names, on each architecture.
 *
 * @module
 */

import { O_CREAT, O_TRUNC, O_WRONLY } from "../ffi/abi/open.ts";

/** O_TMPFILE without the O_DIRECTORY that it has in it. */
export const O_TMPFILE_BIT = 0x400000;

/** creat(2) has none: it is an open with these. */
export const CREAT_FLAGS: number = O_CREAT | O_WRONLY | O_TRUNC;

const ACCESS_MODES = ["O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"];

/** The same for all whose system calls are known here, from `<asm-generic/fcntl.h>`. */
const SHARED: readonly (readonly [bits: number, name: string])[] = [
  [0x40, "O_CREAT"],
  [0x80, "O_EXCL"],
  [0x100, "O_NOCTTY"],
  [0x200, "O_TRUNC"],
  [0x400, "O_APPEND"],
  [0x800, "O_NONBLOCK"],
  [0x2000, "O_ASYNC"],
  [0x40000, "O_NOATIME"],
  [0x80000, "O_CLOEXEC"],
  [0x200000, "O_PATH"],
  [O_TMPFILE_BIT, "O_TMPFILE"],
];

/** O_SYNC is two bits, O_DSYNC one of them. */
const O_DSYNC = 0x1000;
const O_SYNC = 0x101000;

/** The names of the four bits from 0x4000 on, from each `<asm/fcntl.h>`. */
const GENERIC = ["O_DIRECT", "O_LARGEFILE", "O_DIRECTORY", "O_NOFOLLOW"];
const ARM = ["O_DIRECTORY", "O_NOFOLLOW", "O_DIRECT", "O_LARGEFILE"];
const POWER = ["O_DIRECTORY", "O_NOFOLLOW", "O_LARGEFILE", "O_DIRECT"];
const OWN: Readonly<Record<string, readonly string[]>> = {
  arm: ARM,
  aarch64: ARM,
  ppc: POWER,
  ppc64: POWER,
};

/** What was found before, by the architecture's order of bits. */
const memo = new Map<readonly string[], Map<number, readonly string[]>>();

/** More than programs use; a forged log has not more either. */
const REMEMBERED = 1024;

/** The names of what is set in `flags`, the access mode first. `table` is that of the architecture's calls. */
export function openFlags(flags: number, table: string): readonly string[] {
  const own = OWN[table] ?? GENERIC;
  let known = memo.get(own);
  if (known === undefined) memo.set(own, known = new Map());
  let names = known.get(flags);
  if (names === undefined) {
    names = namesOf(flags, own);
    if (known.size < REMEMBERED) known.set(flags, names);
  }
  return names;
}

function namesOf(flags: number, own: readonly string[]): readonly string[] {
  const names = [ACCESS_MODES[flags & 3]!];
  for (const [bit, name] of SHARED) if ((flags & bit) !== 0) names.push(name);
  if ((flags & O_SYNC) === O_SYNC) names.push("O_SYNC");
  else if ((flags & O_DSYNC) !== 0) names.push("O_DSYNC");
  own.forEach((name, i) => {
    // O_TMPFILE brings O_DIRECTORY with it.
    const isImplied = name === "O_DIRECTORY" && names.includes("O_TMPFILE");
    if ((flags & (0x4000 << i)) !== 0 && !isImplied) names.push(name);
  });
  return Object.freeze(names);
}
