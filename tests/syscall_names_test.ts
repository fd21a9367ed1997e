/** Compares the system calls' names and numbers with the kernel's headers that are installed. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import test from "node:test";
import { AUDIT_ARCHES, auditArch, auditArchNamed } from "../ffi/abi/audit_arches.ts";
import { syscallName, syscallNumber } from "../ffi/abi/syscall_names.ts";
import { SYSCALL_TABLES } from "../ffi/abi/syscall_table.ts";
import { includeDirectory, readTable, SOURCES } from "../scripts/syscall_table.ts";

/** Calls up to here are in the table, whatever the headers that it was made of. */
const NEWEST = 469;

const X32_SYSCALL_BIT = 0x40000000;

for (const name of Object.keys(SOURCES)) {
  const directory = includeDirectory(name);
  const reason = `linux-libc-dev of ${name} is not installed`;
  test(`the calls of ${name} are the headers'`, {
    skip: directory === undefined ? reason : false,
  }, () => {
    const arch = auditArchNamed(name === "x32" ? "x86_64" : name)!;
    const bit = name === "x32" ? X32_SYSCALL_BIT : 0;
    const table = readTable(name, directory!);
    assert(table.size > 250, `${table.size} calls`);
    for (const [number, call] of table) {
      if (number > NEWEST && number < 512) continue;
      assert.equal(syscallName(arch, number | bit), call, `${number} of ${name}`);
      if (bit === 0) assert.equal(syscallNumber(arch, call), number, `${call} of ${name}`);
    }
  });
}

test("the architectures' values are those of linux/audit.h", () => {
  const macro: Readonly<Record<string, string>> = { sh: "SHEL", mips64el: "MIPSEL64" };
  const known = AUDIT_ARCHES.filter(({ name }) => !name.startsWith("loongarch32"));
  const lines = known.map(({ name }) =>
    `@ ${name} AUDIT_ARCH_${macro[name] ?? name.toUpperCase()}`
  );
  const { stdout } = spawnSync("cc", ["-E", "-P", "-"], {
    input: `#include <linux/audit.h>\n${lines.join("\n")}\n`,
    encoding: "utf8",
  });
  let compared = 0;
  for (const [, name, value] of stdout.matchAll(/^@ (\w+) (.*)$/gm)) {
    const sum = value!.replace(/[()\s]/g, "").split("|").reduce(
      (sum, bits) => (sum | Number(bits)) >>> 0,
      0,
    );
    assert.equal(auditArchNamed(name!)!.value, sum, name!);
    assert.equal(auditArch(sum)!.name, name);
    compared++;
  }
  assert.equal(compared, known.length);
});

test("the numbers that differ most, in each table", () => {
  const openat: Readonly<Record<string, number>> = {
    x86_64: 257,
    i386: 295,
    aarch64: 56,
    riscv64: 56,
    loongarch64: 56,
    arm: 322,
    ppc64le: 286,
    ppc64: 286,
    ppc: 286,
    s390x: 288,
    s390: 288,
  };
  for (const [name, number] of Object.entries(openat)) {
    const arch = auditArchNamed(name)!;
    assert.equal(syscallName(arch, number), "openat", name);
    assert.equal(syscallName(arch, 469), "file_setattr", name);
    assert.equal(syscallName(arch, 99_999), undefined, name);
    assert.equal(syscallName(arch, -1), undefined, name);
  }
  const tables = new Set(AUDIT_ARCHES.map(({ table }) => table).filter((table) => table));
  assert.deepEqual([...tables, "x32"].sort(), Object.keys(SYSCALL_TABLES).sort());
  assert.equal(syscallName(auditArch(0xc000003e), X32_SYSCALL_BIT | 520), "execve", "x32");
  assert.equal(syscallName(auditArch(0x80000008), 5), undefined, "no table");
});
