/** The kernel's audit: rules as auditctl has them, and what is refused. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import {
  addRule,
  type AuditRule,
  decodeRule,
  deleteRule,
  encodeRule,
  keyField,
  listRules,
} from "../backends/audit/rules.ts";
import { flagRules, treeRules } from "../backends/audit/tree_rules.ts";
import { SystemError } from "../ffi/errno.ts";
import { isInstalled } from "../scripts/real_work/process.ts";
import { Audited, whyUnaudited } from "./audited.ts";
import { isDeno, isRoot, moduleFile, noUserNamespaces, runScript } from "./runtime.ts";

const settings = { skip: whyUnaudited, timeout: 60_000 };
const KEY = "sentinode-test";

function auditctl(...args: readonly string[]): string {
  return execFileSync("auditctl", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

/** Options of auditctl, below a directory. */
function commands(directory: string): string[][] {
  return [
    ["-w", directory, "-p", "wa"],
    ["-w", "/etc/passwd", "-p", "r"],
    ["-a", "always,exit", "-S", "all", "-F", `dir=${directory}`, "-F", "perm=x"],
    ["-a", "always,exit", "-F", "arch=b64", "-S", "openat", "-F", "a2&0x240"],
    [
      "-a",
      "always,exit",
      "-F",
      "arch=b64",
      "-S",
      "chmod,fchmod",
      "-F",
      "auid>=1000",
      "-F",
      "auid!=-1",
    ],
    ["-a", "always,exit", "-F", "arch=b64", "-S", "write", "-F", "exit=-ENOSPC", "-F", "success=0"],
    ["-a", "always,exit", "-F", "arch=b32", "-S", "open", "-F", "a1&=0x40", "-F", "exe=/bin/true"],
    ["-a", "never,exit", "-S", "all", "-F", "pid=1", "-F", "ppid!=2", "-F", "filetype=dir"],
    ["-a", "always,exit", "-S", "all", "-F", "inode=4711", "-F", "devmajor=8", "-F", "devminor=1"],
    ["-A", "always,exit", "-S", "all", "-F", "obj_uid=0", "-C", "uid!=euid"],
    ["-a", "never,exclude", "-F", "msgtype=TTY"],
  ];
}

test("what auditctl adds is listed, and encodes to the same bytes, by which it is removed", {
  skip: whyUnaudited || (isInstalled("auditctl") ? false : "auditctl is not installed"),
  timeout: 60_000,
}, async () => {
  await using audited = await Audited.open();
  const { control } = audited;
  const before = new Set(control.rules().map(String));
  const all = commands(audited.path);
  const added: AuditRule[] = [];
  try {
    for (const command of all) {
      auditctl(...command, ...(command.includes("never,exclude") ? [] : ["-k", KEY]));
      const bytes = control.rules().find((one) => !before.has(String(one)))!;
      before.add(String(bytes));
      assert.deepEqual(encodeRule(decodeRule(bytes)), bytes);
      added.push(decodeRule(bytes));
    }
  } finally {
    for (const rule of added) assert(deleteRule(control, rule));
  }
  await audited.isAsBefore();
});

test("auditctl lists what is added here", {
  skip: whyUnaudited || (isInstalled("auditctl") ? false : "auditctl is not installed"),
  timeout: 60_000,
}, async () => {
  await using audited = await Audited.open();
  const { control, path } = audited;
  const rules: AuditRule[] = [
    ...treeRules(path, true, KEY, ["x86_64"]).filter(({ list }) => list === "exit"),
    ...flagRules(KEY, ["x86_64"]),
  ];
  for (const rule of rules) {
    assert.equal(addRule(control, rule), true);
    assert.equal(addRule(control, rule), false, "it is there already");
  }
  const lines = auditctl("-l").trim().split("\n");
  assert.deepEqual(lines.filter((line) => line.includes(KEY)), [
    `-w ${path} -p wa -k ${KEY}:change`,
    `-a always,exit -F arch=b64 -S openat -F dir=${path} -F a2&0x240 -F key=${KEY}:open`,
    `-a always,exit -F arch=b64 -S open -F dir=${path} -F a1&0x240 -F key=${KEY}:open`,
    `-a always,exit -F arch=b64 -S utime,utimes,futimesat,utimensat -F dir=${path} -F key=${KEY}:times`,
    lines.find((line) => line.endsWith(`${KEY}:attributes`))!,
    `-a always,exit -F arch=b64 -S ioctl -F a1=0x40086602 -F key=${KEY}:flags`,
    `-a always,exit -F arch=b64 -S ioctl -F a1=0x401C5820 -F key=${KEY}:flags`,
  ]);
  for (const rule of rules) {
    assert.equal(deleteRule(control, rule), true);
    assert.equal(deleteRule(control, rule), false, "it is not there");
  }
});

test("a file's rules, those of io_uring, and paths that are no text", settings, async () => {
  await using audited = await Audited.open();
  const { control } = audited;
  const path = new Uint8Array([...new TextEncoder().encode(audited.path), 0x2f, 0xff]);
  const rules = [
    ...treeRules("/etc/passwd", false, KEY),
    ...treeRules(path, false, KEY),
  ];
  for (const rule of rules) assert(addRule(control, rule));
  const listed = listRules(control);
  for (const rule of rules) {
    assert(listed.some((one) => {
      try {
        assert.deepEqual(one, rule);
        return true;
      } catch {
        return false;
      }
    }));
    assert(deleteRule(control, rule));
  }
});

test("errors of the kernel say what it is", settings, async () => {
  await using audited = await Audited.open();
  const { control } = audited;
  const fields = [{ field: "dir", value: join(audited.path, "none") }, keyField(KEY)];
  assert.throws(
    () => addRule(control, { list: "exit", action: "always", syscalls: "all", fields }),
    (error) =>
      error instanceof SystemError && error.code === "ENOENT" &&
      error.message === "Cannot add a rule of audit: no such rule or path (ENOENT)",
  );
  mkdirSync(join(audited.path, "sub"));
  control.makeEquivalent(audited.path, join(audited.path, "sub"));
});

/** Prints how audit refuses to be asked, changed and heard. */
const ASK = `
import { AuditControl } from ${JSON.stringify(moduleFile("backends/audit/control.ts"))};
import { DataSocket } from ${JSON.stringify(moduleFile("backends/audit/data_socket.ts"))};
import { hearsMulticast } from ${JSON.stringify(moduleFile("backends/audit/refusal.ts"))};
import { openLibc } from ${JSON.stringify(moduleFile("ffi/libc.ts"))};
const libc = await openLibc();
const tell = (work) => {
  try {
    console.log("ok", work() ?? "");
  } catch (error) {
    console.log(error.name, "|", error.message, "|", error.hint);
  }
};
tell(() => { new AuditControl(libc).status(); });
tell(() => { new DataSocket(libc, "multicast", 65536).close(); });
tell(() => String(hearsMulticast(libc)));
`;

/** Where it is refused, how it is run, and what it says. */
const REFUSALS: readonly (readonly [
  where: string,
  init: Parameters<typeof runScript>[1],
  said: readonly RegExp[],
])[] = [
  ["as nobody", { asNobody: true }, [
    /^CapabilityError \| Cannot read the state of audit: not permitted \(EPERM\) \| needs CAP_AUDIT_CONTROL/,
    /^CapabilityError \| Cannot open audit: not permitted \(EPERM\) \| needs CAP_AUDIT_READ/,
    /^ok undefined/,
  ]],
  ["in a user namespace", { under: ["unshare", "-Ur"] }, [
    /^UnsupportedError \| .*: not from within a user namespace \(ECONNREFUSED\) \| .*first user/,
    /^UnsupportedError \| .*: not from within a user namespace \(EPERM\) \| .*first user/,
    /^ok/,
  ]],
  ["in a pid namespace", { under: ["unshare", "-p", "-f", "--mount-proc"] }, [
    /^UnsupportedError \| .*: not from within a pid namespace \(EPERM\) \| .*--pid=host/,
    /^ok/,
    /^ok/,
  ]],
  ["in a network namespace", { under: ["unshare", "-n"] }, [/^ok/, /^ok/, /^ok false/]],
];

for (const [where, init, said] of REFUSALS) {
  test(`what is refused ${where}`, {
    skip: !isRoot ? "needs root" : whyUnaudited || noUserNamespaces,
    timeout: 60_000,
  }, async () => {
    // Deno is given what the module needs, and no more.
    const flags = isDeno ? ["--allow-ffi", "--allow-import", "--allow-read"] : [];
    const { stdout, stderr } = await runScript(ASK, { ...init, flags });
    const lines = stdout.trim().split("\n");
    assert.equal(lines.length, said.length, stdout + stderr);
    for (const [i, pattern] of said.entries()) assert.match(lines[i]!, pattern);
  });
}
