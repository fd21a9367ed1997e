/** Audit rules: objects and the kernel's bytes. */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { execFileSync } from "node:child_process";
import test from "node:test";
import { dropsOf } from "../backends/audit/data_socket.ts";
import { formatRule } from "../backends/audit/format_rule.ts";
import { LossCounters } from "../backends/audit/losses.ts";
import { decodeDatagram, encodeMessage } from "../backends/netlink.ts";
import {
  BACKLOG_LIMIT,
  BACKLOG_WAIT,
  carrierRule,
  ruleOwner,
  settingsToRestore,
  statusBefore,
} from "../backends/audit/ownership.ts";
import { FIELDS } from "../backends/audit/rule_fields.ts";
import {
  type AuditField,
  type AuditRule,
  decodeRule,
  encodeRule,
  keyField,
  keysOf,
} from "../backends/audit/rules.ts";
import { decodeStatus, encodeSettings } from "../backends/audit/status.ts";
import { flagRules, treeRules } from "../backends/audit/tree_rules.ts";
import { isInstalled } from "../scripts/real_work/process.ts";

function rule(...fields: readonly AuditField[]): AuditRule {
  return { list: "exit", action: "always", syscalls: "all", fields };
}

function equal(field: string | number, value: AuditField["value"]): AuditField {
  return { field, operator: "=", value };
}

test("-w /etc/passwd -p wa -k identity, byte for byte", () => {
  const expected = Buffer.alloc(1040 + 11 + 8);
  const words = [[0, 4], [4, 2], [8, 3], [268, 105], [272, 106], [276, 210]];
  for (let i = 0; i < 64; i++) words.push([12 + 4 * i, i === 63 ? 0xffff : 0xffffffff]);
  words.push([524, 11], [528, 10], [532, 8], [1036, 19]);
  for (let i = 0; i < 3; i++) words.push([780 + 4 * i, 0x40000000]);
  for (const [offset, value] of words) expected.writeUInt32LE(value!, offset!);
  expected.write("/etc/passwdidentity", 1040);
  const bytes = encodeRule(
    rule(equal("path", "/etc/passwd"), equal("perm", "wa"), keyField("identity")),
  );
  assert.deepEqual(Buffer.from(bytes), expected);
});

/** Rules, as they are decoded. */
const RULES: readonly AuditRule[] = [
  rule(equal("dir", "/srv/data"), equal("perm", "rwxa"), keyField("one", "two")),
  { ...rule(equal("pid", 1)), action: "never", syscalls: [] },
  {
    ...rule(
      equal("arch", "x86_64"),
      { field: "a2", operator: "&", value: 0x240 },
      { field: "a0", operator: "&=", value: 3 },
      { field: "uid", operator: ">=", value: 1000 },
      { field: "auid", operator: "!=", value: "unset" },
      equal("exit", -28),
      equal("success", 0),
    ),
    syscalls: [0, 31, 32, 257, 469],
  },
  { ...rule(equal("inode", 12), equal("devmajor", 8), equal("devminor", 1)) },
  { ...rule(equal("filetype", "symlink"), equal("exe", "/bin/true")) },
  { ...rule(equal("msgtype", 1327)), list: "exclude" },
  { ...rule(equal("fstype", 0x74726163)), list: "filesystem" },
  { ...rule(equal("dir", "/srv")), list: "io_uring" },
  { ...rule(equal("obj_type", "etc_t"), equal("field_compare", 1)), prepend: true },
  // What this version does not know.
  { ...rule({ field: 77, operator: 0x78000000, value: 5 }), list: 9, action: 7, flags: 0x100 },
  rule(equal("path", new Uint8Array([0x2f, 0xff, 0x61]))),
];

for (const one of RULES) {
  test(`there and back: ${formatRule(one)}`, () => {
    const bytes = encodeRule(one);
    assert.deepEqual(decodeRule(bytes), one);
    assert.deepEqual(encodeRule(decodeRule(bytes)), bytes);
  });
}

test("names stand for numbers", () => {
  const value = (field: string, written: string) =>
    new DataView(encodeRule(rule(equal(field, written))).buffer).getUint32(524, true);
  assert.equal(value("exit", "-ENOSPC"), 0xffffffe4);
  assert.equal(value("exit", "EPERM"), 1);
  assert.equal(value("arch", "aarch64"), 0xc00000b7);
  assert.equal(value("perm", "a"), 8);
  assert.equal(value("auid", "unset"), 0xffffffff);
  assert.equal(value("filetype", "directory"), 0o040000);
  assert.equal(value("a1", "0x40086602"), 0x40086602);
});

/** What the kernel would answer EINVAL to. */
const WRONG: readonly (readonly [message: RegExp, rule: AuditRule])[] = [
  [/there is no field "nothing"/, rule(equal("nothing", 1))],
  [/dir is not an absolute path/, rule(equal("dir", "srv"))],
  [/path ends with a slash/, rule(equal("path", "/srv/"))],
  [/dir contains NUL/, rule(equal("dir", "/s\0v"))],
  [/dir is empty/, rule(equal("dir", ""))],
  [/dir is longer than 4095 bytes/, rule(equal("dir", `/${"x".repeat(4095)}`))],
  [/it has dir and path/, rule(equal("dir", "/a"), equal("path", "/b"))],
  [/it has key and key/, rule(keyField("a"), keyField("b"))],
  [/the keys are longer than 256 bytes/, rule(keyField("k".repeat(257)))],
  [/dir takes =, not !=/, rule({ field: "dir", operator: "!=", value: "/a" })],
  [/uid takes .*, not &/, rule({ field: "uid", operator: "&", value: 1 })],
  [/perm takes = !=, not >/, rule({ field: "perm", operator: ">", value: 1 })],
  [/"wq" is no value of perm/, rule(equal("perm", "wq"))],
  [/16 is no value of perm/, rule(equal("perm", 16))],
  [/1 is no value of filetype/, rule(equal("filetype", 1))],
  [/"x" is no value of uid/, rule(equal("uid", "x"))],
  [/"" is no value of uid/, rule(equal("uid", ""))],
  [/1.5 is no value of uid/, rule(equal("uid", 1.5))],
  [/perm is for the list .*, not io_uring/, { ...rule(equal("perm", "w")), list: "io_uring" }],
  [/msgtype is for the list exclude or user/, rule(equal("msgtype", 1300))],
  [/the list filesystem takes fstype/, { ...rule(equal("uid", 1)), list: "filesystem" }],
  [/2048 is not the number of a system call/, { ...rule(), syscalls: [2048] }],
  [/more than 64 fields/, rule(...Array.from({ length: 65 }, () => equal("uid", 1)))],
];

for (const [message, one] of WRONG) {
  test(`refused: ${message.source}`, () => {
    assert.throws(() => encodeRule(one), { name: "TypeError", message });
  });
}

test("what is too short to be a rule is none", () => {
  assert.throws(() => decodeRule(new Uint8Array(1039)), RangeError);
  const cut = encodeRule(rule(equal("dir", "/srv"))).subarray(0, 1042);
  assert.equal(decodeRule(cut).fields[0]!.value, "/s");
});

test("each field has a name and a number of its own", () => {
  assert.equal(new Set(FIELDS.map(({ name }) => name)).size, FIELDS.length);
  assert.equal(new Set(FIELDS.map(({ number }) => number)).size, FIELDS.length);
});

test("the rules of a tree", () => {
  const shown = treeRules("/srv", true, "k:1", ["x86_64"]).map(formatRule);
  assert.deepEqual(shown, [
    "-a always,exit -S all -F dir=/srv -F perm=wa -k k:1:change",
    "-a always,exit -F arch=x86_64 -S 257 -F dir=/srv -F a2&0x240 -k k:1:open",
    "-a always,exit -F arch=x86_64 -S 2 -F dir=/srv -F a1&0x240 -k k:1:open",
    "-a always,exit -F arch=x86_64 -S 132,235,261,280 -F dir=/srv -k k:1:times",
    "-a always,exit -F arch=x86_64 -S 452,469 -F dir=/srv -k k:1:attributes",
    "-a always,io_uring -S 18,28,35,36,37,38,39,41,42,55 -F dir=/srv -k k:1:io_uring",
  ]);
  const file = treeRules("/srv/a", false, "k:1", ["aarch64", "arm"]);
  assert(file.every(({ fields }) => fields.some(({ field }) => field === "path")));
  assert.equal(file.length, 1 + 3 + 4 + 1);
  assert.deepEqual(flagRules("k:all", ["i386"]).map(formatRule), [
    "-a always,exit -F arch=i386 -S 54 -F a1=1074030082 -k k:all:flags",
    "-a always,exit -F arch=i386 -S 54 -F a1=1075599392 -k k:all:flags",
  ]);
});

for (const machine of ["x86_64", "i386", "aarch64", "arm"]) {
  test(`the system calls of ${machine} are those of ausyscall`, {
    skip: isInstalled("ausyscall") ? false : "ausyscall is not installed",
  }, () => {
    const dump = execFileSync("ausyscall", [machine, "--dump"], { encoding: "utf8" });
    const names = new Map(
      dump.split("\n").slice(1).map((line) => line.split("\t"))
        .map(([number, name = ""]) => [Number(number), name] as const),
    );
    const callsOf = (rules: readonly AuditRule[], end: string) =>
      rules.filter(({ fields }) => String(fields.at(-1)!.value).endsWith(end))
        .flatMap(({ syscalls }) => syscalls as readonly number[]);
    const rules = treeRules("/srv", true, "k", [machine]);
    for (const call of callsOf(rules, ":open")) assert.match(names.get(call)!, /^open(at)?$/);
    for (const call of callsOf(flagRules("k", [machine]), ":flags")) {
      assert.equal(names.get(call), "ioctl");
    }
    const told = callsOf(rules, ":times");
    for (const [number, name] of names) {
      // Programs of ARM's old ABI alone have utime, and ausyscall does not know utimensat_time64 of all.
      if (machine === "arm" && name === "utime") continue;
      const isOfTimes = /^(utime|utimes|futimesat|utimensat\w*)$/.test(name);
      assert.equal(told.includes(number), isOfTimes || number === 412 && told.includes(412), name);
    }
  });
}

test("a status is as long as its kernel made it", () => {
  const words = Array.from({ length: 11 }, (_, i) => i + 10);
  const bytes = new Uint8Array(Uint32Array.from(words).buffer);
  const whole = decodeStatus(bytes);
  assert.deepEqual(whole, {
    enabled: 11,
    failure: 12,
    pid: 13,
    rateLimit: 14,
    backlogLimit: 15,
    lost: 16,
    backlog: 17,
    features: 18,
    backlogWaitTime: 19,
    backlogWaitTimeActual: 20,
  });
  const older = { ...whole, backlogWaitTimeActual: undefined };
  assert.deepEqual(decodeStatus(bytes.subarray(0, 40)), older);
  const oldest = { ...older, features: undefined, backlogWaitTime: undefined };
  assert.deepEqual(decodeStatus(bytes.subarray(0, 32)), oldest);
});

test("only what is set is in the mask", () => {
  const bytes = Buffer.from(encodeSettings({ pid: 7, backlogWaitTime: 0 }));
  assert.equal(bytes.readUInt32LE(0), 4 | 0x20);
  assert.equal(bytes.readUInt32LE(12), 7);
  assert.throws(() => encodeSettings({ failure: 2 }), RangeError);
  assert.throws(() => encodeSettings({ enabled: 2 }), RangeError);
  assert.throws(() => encodeSettings({ pid: -1 }), RangeError);
});

test("a datagram is as long as it is, not as its header says", () => {
  const payload = new Uint8Array([1, 2, 3, 4]);
  const bytes = encodeMessage({ type: 1300, flags: 0, sequence: 9, payload });
  new DataView(bytes.buffer).setUint32(0, payload.length, true);
  const message = decodeDatagram(bytes, bytes.length);
  assert.deepEqual({ ...message }, { type: 1300, flags: 0, sequence: 9, payload });
  assert.equal(decodeDatagram(bytes, 15), undefined);
  assert.equal(decodeDatagram(bytes, bytes.length + 1), undefined, "it was cut");
});

test("drops are found by the inode", () => {
  const table =
    `sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode
00000000c0ffee00 9   812        00000000 0        0        0     2        0        1234
00000000c0ffee01 9   0          00000001 0        0        0     2        1497     1235
`;
  assert.equal(dropsOf(table, 1235), 1497);
  assert.equal(dropsOf(table, 1234), 0);
  assert.equal(dropsOf(table, 35), undefined);
});

test("losses are counted from the first look on, also where somebody resets the kernel's count", () => {
  const counters = new LossCounters();
  assert.deepEqual([100, 103, 103, 2].map((lost) => counters.kernel(lost)), [0, 3, 0, 2]);
  counters.socket(4);
  counters.refused(3);
  counters.serials(7);
  counters.parts(2);
  counters.parts(1); // one came late
  counters.interrupted();
  assert.deepEqual(counters.losses, {
    kernel: 5,
    socket: 4,
    refusals: 3,
    serials: 7,
    parts: 1,
    interruptions: 1,
  });
});

const OWNER = { pid: 812, started: "5940183" };
const BEFORE = { enabled: 0, backlogLimit: 64, backlogWaitTime: 15000 };

test("a carrier says whose it is and what was before", () => {
  const carrier = decodeRule(encodeRule(carrierRule(OWNER, BEFORE)));
  assert.deepEqual(ruleOwner(carrier), OWNER);
  assert.deepEqual(statusBefore(carrier), BEFORE);
  const unknown = { ...BEFORE, backlogWaitTime: undefined };
  assert.deepEqual(statusBefore(carrierRule(OWNER, unknown)), unknown);
  const other = rule(equal("dir", "/srv"), keyField("mine", "sentinode:812:5940183:1:change"));
  assert.deepEqual(ruleOwner(other), OWNER);
  assert.equal(statusBefore(other), undefined);
  for (const key of ["sentinode", "sentinode:812:", "sentinode:a:1:x", "xsentinode:1:2:x"]) {
    assert.equal(ruleOwner(rule(keyField(key))), undefined, key);
  }
  assert.deepEqual(keysOf(rule()), []);
});

test("what others have changed since is left to them", () => {
  const status = decodeStatus(new Uint8Array(44));
  const ours = {
    ...status,
    enabled: 1,
    backlogLimit: BACKLOG_LIMIT,
    backlogWaitTime: BACKLOG_WAIT,
  };
  assert.deepEqual(settingsToRestore(ours, BEFORE, false), BEFORE);
  assert.deepEqual(settingsToRestore({ ...ours, enabled: 2 }, BEFORE, false), {
    backlogLimit: 64,
    backlogWaitTime: 15000,
  });
  const theirs = { ...ours, backlogLimit: 8192, backlogWaitTime: 60000 };
  assert.deepEqual(settingsToRestore(theirs, BEFORE, true), {});
});
