/** Compares what audit events are read by with the kernel's headers: flags of open(2), requests, io_uring's operations. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import test from "node:test";
import { openFlags } from "../classify/audit_open.ts";
import { SETFLAGS, URING_CALLS } from "../classify/audit_operation.ts";
import { includeDirectory } from "../scripts/syscall_table.ts";

/** What the C compiler makes of `lines`, each `name = value`. */
function measured(
  headers: readonly string[],
  lines: readonly string[],
  ...args: string[]
): Map<string, number> {
  const includes = headers.map((header) => `#include <${header}>`).join("\n");
  const { status, stdout, stderr } = spawnSync("cc", ["-E", "-P", ...args, "-"], {
    input: `${includes}\n${lines.map((line) => `@ ${line}`).join("\n")}\n`,
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
  return new Map(
    [...stdout.matchAll(/^@ "(\w+)" = (.*)$/gm)].map(([, name, sum]) => [name!, valueOf(sum!)]),
  );
}

/** `(020000000 | 00200000)`. */
function valueOf(sum: string): number {
  return sum.replace(/[()\s]/g, "").split("|")
    .map((term) => /^0\d/.test(term) ? parseInt(term, 8) : Number(term))
    .reduce((bits, term) => bits | term, 0);
}

const FLAGS = [
  ..."CREAT EXCL NOCTTY TRUNC APPEND NONBLOCK DSYNC SYNC DIRECT LARGEFILE".split(" "),
  ..."DIRECTORY NOFOLLOW NOATIME CLOEXEC PATH TMPFILE".split(" "),
].map((name) => `O_${name}`);

for (const arch of ["x86_64", "aarch64", "arm", "riscv64", "ppc64", "s390x"]) {
  const directory = includeDirectory(arch);
  const skip = directory === undefined ? `linux-libc-dev of ${arch} is not installed` : false;
  test(`the flags of open(2) of ${arch} are the headers'`, { skip }, () => {
    const own = arch === "x86_64" ? [] : ["-nostdinc", "-isystem", directory!];
    const values = measured(["asm/fcntl.h"], FLAGS.map((name) => `"${name}" = ${name}`), ...own);
    assert.equal(values.size, FLAGS.length);
    for (const [name, bits] of values) {
      assert.deepEqual(openFlags(bits, arch), ["O_RDONLY", name], `${name} of ${arch}`);
    }
  });
}

/** Runs a C program that prints `names` of an enum or a macro that needs a compiler. */
function printed(headers: readonly string[], names: readonly string[]): Map<string, number> {
  const program = `${headers.map((header) => `#include <${header}>`).join("\n")}
#include <stdio.h>
int main(void) {
${names.map((name) => `  printf("${name} %lu\\n", (unsigned long) (${name}));`).join("\n")}
}`;
  const built = spawnSync(
    "sh",
    ["-c", 'd=$(mktemp -d); cc -x c -o "$d/a" - && "$d/a"; rm -r "$d"'],
    {
      input: program,
      encoding: "utf8",
    },
  );
  assert.equal(built.stderr, "");
  const lines = built.stdout.trim().split("\n").map((line) => line.split(" "));
  return new Map(lines.map(([name, value]) => [name!, Number(value)]));
}

test("the requests that set flags are the headers'", () => {
  const values = printed(["linux/fs.h"], [
    "FS_IOC_SETFLAGS",
    "FS_IOC32_SETFLAGS",
    "FS_IOC_FSSETXATTR",
  ]);
  for (const [name, value] of values) assert(SETFLAGS.has(value), name);
});

test("io_uring's operations are the headers'", () => {
  const known = [...URING_CALLS].filter(([number]) => number < 48); // 6.1's last
  const names = known.map(([, call]) => `IORING_OP_${call.toUpperCase()}`);
  const values = printed(["linux/io_uring.h"], names);
  assert.deepEqual([...values.values()], known.map(([number]) => number));
});
