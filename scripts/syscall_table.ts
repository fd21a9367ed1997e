/**
 * Writes `ffi/abi/syscall_table.ts`, the system calls of each architecture, from the kernel's headers:
 *
 *     deno run -A scripts/syscall_table.ts [ROOT]
 *
 * needs a C compiler, linux-libc-dev and Debian's linux-libc-dev-{arm64,armhf,riscv64,ppc64el,s390x}-cross, or ROOT, where
 * those packages are unpacked (`dpkg -x`). A test compares the table with the headers that are installed.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

/** Number → name. */
export type Table = ReadonlyMap<number, string>;

/** Where the numbers of an architecture are: the directory of its headers, the header, what the compiler defines. */
interface Source {
  readonly triplet: string;
  readonly header: string;
  readonly defines?: readonly string[];
}

const X86 = "x86_64-linux-gnu";

export const SOURCES: Readonly<Record<string, Source>> = {
  x86_64: { triplet: X86, header: "asm/unistd_64.h" },
  x32: { triplet: X86, header: "asm/unistd_x32.h", defines: ["__X32_SYSCALL_BIT=0"] },
  i386: { triplet: X86, header: "asm/unistd_32.h" },
  aarch64: { triplet: "aarch64-linux-gnu", header: "asm/unistd.h", defines: ["__LP64__"] },
  riscv64: {
    triplet: "riscv64-linux-gnu",
    header: "asm/unistd.h",
    defines: ["__LP64__", "__riscv_xlen=64"],
  },
  loongarch64: { // its <asm/unistd.h> is just this; with stat(2) since 6.11
    triplet: "aarch64-linux-gnu",
    header: "asm-generic/unistd.h",
    defines: [
      "__LP64__",
      "__ARCH_WANT_SYS_CLONE",
      "__ARCH_WANT_SYS_CLONE3",
      "__ARCH_WANT_NEW_STAT",
    ],
  },
  arm: { triplet: "arm-linux-gnueabihf", header: "asm/unistd.h", defines: ["__ARM_EABI__"] },
  ppc64: { triplet: "powerpc64le-linux-gnu", header: "asm/unistd_64.h" },
  ppc: { triplet: "powerpc64le-linux-gnu", header: "asm/unistd_32.h" },
  s390x: { triplet: "s390x-linux-gnu", header: "asm/unistd_64.h" },
  s390: { triplet: "s390x-linux-gnu", header: "asm/unistd_32.h" },
};

/** What came after the headers of 6.1. Since 5.1 (and 424) a call has the same number everywhere. */
const NEWER: readonly (readonly [number: number, name: string])[] = [
  [451, "cachestat"], // 6.5
  [452, "fchmodat2"], // 6.6
  [453, "map_shadow_stack"],
  [454, "futex_wake"], // 6.7
  [455, "futex_wait"],
  [456, "futex_requeue"],
  [457, "statmount"], // 6.8
  [458, "listmount"],
  [459, "lsm_get_self_attr"],
  [460, "lsm_set_self_attr"],
  [461, "lsm_list_modules"],
  [462, "mseal"], // 6.10
  [463, "setxattrat"], // 6.13
  [464, "getxattrat"],
  [465, "listxattrat"],
  [466, "removexattrat"],
  [467, "open_tree_attr"], // 6.15
  [468, "file_getattr"], // 6.17
  [469, "file_setattr"],
];

/** What came after them, for one architecture alone. */
const NEWER_ALONE: Readonly<Record<string, typeof NEWER>> = {
  riscv64: [[258, "riscv_hwprobe"]], // 6.4
  x86_64: [[335, "uretprobe"], [336, "uprobe"]], // 6.11, 6.18
};

/** What several architectures have alike, and which: each is left with what it has alone. */
const SHARED: Readonly<Record<string, readonly string[]>> = {
  common: Object.keys(SOURCES),
  classic: ["i386", "arm", "ppc", "ppc64", "s390", "s390x"],
  time64: ["i386", "arm", "ppc", "s390"],
  generic: ["aarch64", "riscv64", "loongarch64"],
  x86: ["x86_64", "x32"],
  power: ["ppc", "ppc64"],
  z: ["s390", "s390x"],
};

/** Where the headers of an architecture are, or undefined. */
export function includeDirectory(arch: string, root: string = "/"): string | undefined {
  const { triplet, header } = SOURCES[arch]!;
  const places = triplet === X86
    ? [`/usr/include/${triplet}`]
    : [join(root, "usr", triplet, "include")];
  return places.find((place) => existsSync(join(place, header)));
}

function preprocess(text: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync("cc", ["-E", "-P", ...args, "-"], {
    input: text,
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`cc -E failed: ${stderr}`);
  return stdout;
}

/** The calls that the headers in `directory` know. */
export function readTable(arch: string, directory: string): Table {
  const { header, defines = [] } = SOURCES[arch]!;
  const args = ["-nostdinc", "-isystem", directory, ...defines.map((define) => `-D${define}`)];
  const include = `#include <${header}>\n`;
  const macros = preprocess(include, ["-dM", ...args]);
  const names = [...macros.matchAll(/^#define __NR_([a-z]\w*) /gm)].map(([, name]) => name!);
  const lines = names.map((name) => `@${name} = __NR_${name}`).join("\n");
  const table = new Map<number, string>();
  for (const [, name, sum] of preprocess(include + lines, args).matchAll(/@ ?(\w+) = (.*)/g)) {
    if (name === "syscalls" || name === "arch_specific_syscall") continue; // counts, not calls
    const number = sum!.replace(/[()\s]/g, "").split("+").reduce(
      (sum, one) => sum + Number(one),
      0,
    );
    if (Number.isNaN(number)) throw new Error(`__NR_${name} of ${arch} is no number: ${sum}`);
    // ARM has a second name of its own for one; the usual one is shorter.
    const other = table.get(number);
    if (other === undefined || isUsual(name!, other)) table.set(number, name!);
  }
  return table;
}

function isUsual(name: string, than: string): boolean {
  return name.length < than.length || (name.length === than.length && name < than);
}

/** Names in the order of their numbers; a number stands where they do not go on by one. */
function compact(table: Table): string {
  let next = -1;
  const words: string[] = [];
  for (const [number, name] of [...table].sort(([a], [b]) => a - b)) {
    if (number !== next) words.push(String(number));
    words.push(name);
    next = number + 1;
  }
  return words.join(" ");
}

/** `text` as lines of a template literal. */
function wrapped(text: string): string {
  return text.replace(/(.{1,96})(?: |$)/g, "$1\n").trimEnd();
}

function tables(root: string): Map<string, Map<number, string>> {
  const all = new Map<string, Map<number, string>>();
  for (const arch of Object.keys(SOURCES)) {
    const directory = includeDirectory(arch, root);
    if (directory === undefined) throw new Error(`No headers of ${arch} in ${root}`);
    const table = new Map(readTable(arch, directory));
    for (const [number, name] of [...NEWER, ...NEWER_ALONE[arch] ?? []]) table.set(number, name);
    all.set(arch, table);
  }
  return all;
}

/** The module's text. */
function source(root: string): string {
  const left = tables(root);
  const shared = Object.entries(SHARED).map(([name, arches]) => {
    const [first, ...others] = arches.map((arch) => left.get(arch)!);
    const alike = [...first!].filter(([number, name]) =>
      others.every((other) => other.get(number) === name)
    );
    for (const arch of arches) for (const [number] of alike) left.get(arch)!.delete(number);
    return [name, new Map(alike)] as const;
  });
  const parts = [...shared, ...left].filter(([, table]) => table.size > 0)
    .map(([name, table]) => `  ${name}: \`\n${wrapped(compact(table))}\n\`,`);
  const made = Object.keys(SOURCES).map((arch) => {
    const names = Object.keys(SHARED).filter((name) => SHARED[name]!.includes(arch));
    if (left.get(arch)!.size > 0) names.push(arch);
    return `  ${arch}: [${names.map((name) => JSON.stringify(name)).join(", ")}],`;
  });
  return `/**
 * The system calls of each architecture. Made by \`scripts/syscall_table.ts\` from the kernel's headers.
 *
 * @module
 */

/** Names in the order of their numbers; a number stands before the one that has it, where they do not go on by one. */
export const SYSCALL_PARTS: Readonly<Record<string, string>> = {
${parts.join("\n")}
};

/** The parts that an architecture's table is made of. */
export const SYSCALL_TABLES: Readonly<Record<string, readonly string[]>> = {
${made.join("\n")}
};
`;
}

if (import.meta.main) {
  const file = new URL("../ffi/abi/syscall_table.ts", import.meta.url).pathname;
  writeFileSync(file, source(process.argv[2] ?? "/"));
}
