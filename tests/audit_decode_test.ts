/**
 * Records from lines and from the kernel's messages: every form that a log has, and what is in their fields.
 */

import assert from "node:assert/strict";
import test from "node:test";
import { decodeLine, decodeMessage } from "../backends/audit/decode.ts";
import type { AuditRecord } from "../backends/audit/record.ts";
import { recordType, recordTypeOf } from "../backends/audit/record_types.ts";
import { socketAddress } from "../classify/audit_address.ts";
import { encodeText } from "../ffi/text.ts";

/** Hex as the kernel writes it. */
function hex(text: string | Uint8Array): string {
  const bytes = typeof text === "string" ? encodeText(text) : text;
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0").toUpperCase()).join("");
}

function record(line: string): AuditRecord {
  const decoded = decodeLine(line);
  assert.ok(decoded, line);
  return decoded;
}

const AT = "msg=audit(1767225600.042:4711)";

const SYSCALL = `type=SYSCALL ${AT}: arch=c000003e syscall=263 success=no exit=-13 a0=ffffff9c ` +
  `a1=55d0c0ffee00 a2=0 a3=7 items=2 ppid=31 pid=42 auid=4294967295 uid=1000 gid=1000 euid=1000 ` +
  `suid=1000 fsuid=1000 egid=1000 sgid=1000 fsgid=1000 tty=(none) ses=4294967295 comm="rm" ` +
  `exe="/usr/bin/rm" key=(null)`;

test("a line of auditd's log", () => {
  const { type, name, node, time, serial, text, enriched } = record(SYSCALL);
  assert.deepEqual(
    { type, name, node, time, serial, enriched },
    {
      type: 1300,
      name: "SYSCALL",
      node: undefined,
      time: 1767225600042,
      serial: 4711,
      enriched: undefined,
    },
  );
  assert.equal(text, SYSCALL.slice(SYSCALL.indexOf("arch=")));
});

test("fields are found by their whole name, and given as they are written", () => {
  const syscall = record(SYSCALL);
  const fields = Object.fromEntries(syscall.fields());
  assert.equal(Object.keys(fields).length, 25);
  assert.deepEqual(Object.keys(fields).slice(0, 5), ["arch", "syscall", "success", "exit", "a0"]);
  for (const [name, value] of Object.entries(fields)) assert.equal(syscall.field(name), value);
  assert.equal(syscall.field("id"), undefined);
  assert.equal(syscall.field("uid"), "1000");
  assert.equal(syscall.field("exit"), "-13");
  assert.equal(syscall.field("tty"), "(none)");
  assert.equal(syscall.field("key"), "(null)");
  assert.equal(syscall.string("key"), undefined);
  assert.equal(syscall.field("comm"), "rm");
  assert.equal(syscall.string("exe"), "/usr/bin/rm");
});

const SAME = { type: 1302, node: undefined, time: 1767225600042, serial: 4711 };

for (
  const [what, line, expected] of [
    ["node=", `node=www.example type=PATH ${AT}: item=0`, { node: "www.example" }],
    ["CRLF", `type=PATH ${AT}: item=0\r`, {}],
    ["NULs behind", `type=PATH ${AT}: item=0\0\0`, {}],
    ["a number", `type=1302 ${AT}: item=0`, {}],
    ["UNKNOWN", `type=UNKNOWN[1302] ${AT}: item=0`, {}],
    ["syslog", `Nov 22 07:08:09 host audispd: type=PATH ${AT}: item=0`, {}],
    ["syslog, node", `Nov 22 07:08:09 h audispd: node=n type=PATH ${AT}: item=0`, { node: "n" }],
    ["RFC 5424", `<86>1 2026-01-01T00:00:00.042+02:00 h audisp 7 - - type=PATH ${AT}: item=0`, {}],
    ["kernel", `Nov 22 07:08:09 h kernel: audit: type=1302 audit(1767225600.042:4711): item=0`, {}],
    ["dmesg", `[   12.345678] audit: type=1302 audit(1767225600.042:4711): item=0`, {}],
    ["kernel 2.6", `[ 12.345678] type=1302 audit(1767225600.042:4711):  item=0`, {
      text: " item=0",
    }],
    ["no type", `kernel: audit(1767225600.042:4711): item=0`, { type: 0, name: "" }],
    ["a type of the future", `type=1399 ${AT}: item=0`, { type: 1399, name: "UNKNOWN[1399]" }],
    ["a name of the future", `type=NEW_THING ${AT}: item=0`, { type: 0, name: "NEW_THING" }],
    ["enriched", `type=PATH ${AT}: item=0\x1dOUID="root"\x1dOGID="x"`, {
      enriched: 'OUID="root"\x1dOGID="x"',
    }],
    ["the largest serial", `type=PATH msg=audit(1767225600.042:4294967295): item=0`, {
      serial: 4294967295,
    }],
    ["the end of an event", `type=EOE ${AT}: `, { type: 1320, text: "" }],
    ["cut behind the serial", `type=EOE ${AT}`, { type: 1320, text: "" }],
    ["something like a header in front", `h audit(x): type=PATH ${AT}: item=0`, {}],
    ["a header in a user's text", `type=USER ${AT}: msg='audit(1.001:1): x'`, {
      type: 1005,
      text: "msg='audit(1.001:1): x'",
    }],
  ] as const
) {
  test(`a line's form: ${what}`, () => {
    const got = record(line);
    const { type, node, time, serial } = got;
    assert.deepEqual({ ...SAME, ...expected, type, node, time, serial }, { ...SAME, ...expected });
    for (const [property, value] of Object.entries({ text: "item=0", ...expected })) {
      assert.equal(got[property as keyof AuditRecord], value, property);
    }
    if (got.text.includes("item")) assert.equal(got.field("item"), "0");
  });
}

for (
  const line of [
    "",
    "----",
    "type=SYSCALL",
    "type=SYSCALL msg=",
    "type=SYSCALL msg=audit(",
    "type=SYSCALL msg=audit(1767225600.042",
    "type=SYSCALL msg=audit(1767225600.042:",
    "type=SYSCALL msg=audit(1767225600.042:47",
    "type=SYSCALL msg=audit(1767225600:4711): no milliseconds",
    "type=SYSCALL msg=audit(1767225600.0421:4711): too many",
    "type=SYSCALL msg=audit(1767225600.042:4294967296): no u32",
    "type=SYSCALL msg=audit(9999999999999.042:1): no time",
    "type=SYSCALL msg=audit(.042:1): no time",
    "type=SYSCALL msg=audit(01/01/26 00:00:00.042:4711) : interpreted by ausearch",
    "type=DAEMON_ERR op=format-raw msg=NULL res=failed",
    "Nov 22 07:08:09 host audit[42]: SYSCALL arch=c000003e syscall=263",
  ]
) {
  test(`no record: ${JSON.stringify(line)}`, () => assert.equal(decodeLine(line), undefined));
}

test("a message of the kernel is text with a type beside it", () => {
  const bytes = encodeText('audit(1767225600.042:4711): cwd="/srv"');
  const { name, serial, text } = decodeMessage(1307, bytes)!;
  assert.deepEqual([name, serial, text], ["CWD", 4711, 'cwd="/srv"']);
  assert.equal(decodeMessage(1399, bytes)!.name, "UNKNOWN[1399]");
  // AUDIT_REPLACE has a pid for payload.
  assert.equal(decodeMessage(1329, new Uint8Array([42, 0, 0, 0])), undefined);
  assert.equal(decodeMessage(1300, new Uint8Array(0)), undefined);
});

test("types go from number to name and back", () => {
  assert.deepEqual(recordType(1300), { number: 1300, name: "SYSCALL" });
  assert.deepEqual(recordTypeOf("SYSCALL"), recordType(1300));
  assert.deepEqual(recordTypeOf("UNKNOWN[1300]"), recordType(1300));
  assert.deepEqual(recordTypeOf("UNKNOWN[77777]"), { number: 77777, name: "UNKNOWN[77777]" });
  assert.deepEqual(recordTypeOf("APPARMOR"), { number: 1500, name: "APPARMOR" });
  assert.deepEqual(recordTypeOf("constructor"), { number: 0, name: "constructor" });
});

test("hex is decoded in encoded fields only", () => {
  const path = record(
    `type=PATH ${AT}: item=0 name=${
      hex("/srv/ä b\n")
    } inode=12 dev=08 mode=0100644 nametype=NORMAL`,
  );
  assert.equal(path.field("name"), hex("/srv/ä b\n"));
  assert.equal(path.string("name"), "/srv/ä b\n");
  assert.equal(path.bytes("name"), undefined);
  assert.equal(path.string("inode"), "12");
  assert.equal(path.string("dev"), "08");
});

test("a quoted value is no hex, and may have what is between fields", () => {
  const path = record(`type=PATH ${AT}: name="4142" comm="uid=7(x" uid=1`);
  assert.equal(path.string("name"), "4142");
  assert.equal(path.string("comm"), "uid=7(x");
  assert.equal(path.field("uid"), "1");
});

test("lower-case and odd hex stands as it is", () => {
  const user = record(`type=USER_LOGIN ${AT}: pid=1 msg='acct=deadbeef exe=ABC'`);
  assert.equal(user.string("acct"), "deadbeef");
  assert.equal(user.string("exe"), "ABC");
});

test("bytes that are no UTF-8 are given as such", () => {
  const path = record(`type=PATH ${AT}: name=${hex(new Uint8Array([0x2f, 0xff]))}`);
  assert.equal(path.string("name"), "/\uFFFD");
  assert.deepEqual(path.bytes("name"), new Uint8Array([0x2f, 0xff]));
  const quoted = record(`type=PATH ${AT}: name="/\xe9"`);
  assert.equal(quoted.string("name"), "/\uFFFD");
  assert.deepEqual([...quoted.bytes("name")!], [0x2f, 0xe9]);
});

test("absent, null and unknown are told apart", () => {
  const path = record(`type=PATH ${AT}: name=(null) path=? key="" vm=`);
  assert.deepEqual(
    ["name", "path", "key", "vm", "exe"].map((name) => [path.field(name), path.string(name)]),
    [["(null)", undefined], ["?", "?"], ["", ""], ["", ""], [undefined, undefined]],
  );
  assert.equal(path.bytes("name"), undefined);
});

test("a user program's message is one field, and its fields come behind the kernel's", () => {
  const user = record(
    `type=USER_CMD ${AT}: pid=9 uid=0 auid=5 ses=1 subj=unconfined msg='cwd="/root" ` +
      `cmd=${hex("ls -l")} uid=77 exe="/usr/bin/sudo" res=success'`,
  );
  assert.deepEqual([...user.fields()].map(([name]) => name), [
    "pid",
    "uid",
    "auid",
    "ses",
    "subj",
    "msg",
  ]);
  assert.equal(
    user.field("msg"),
    `cwd="/root" cmd=${hex("ls -l")} uid=77 exe="/usr/bin/sudo" res=success`,
  );
  assert.equal(user.field("uid"), "0");
  assert.equal(user.string("cmd"), "ls -l");
  assert.equal(user.field("res"), "success");
});

test("apostrophes in a message, and a message that is cut", () => {
  const user = record(`type=USER_AUTH ${AT}: pid=9 msg='op=x acct="o'hara" res=failed'`);
  assert.equal(user.field("acct"), "o'hara");
  assert.equal(user.field("res"), "failed");
  const cut = record(`type=USER_AUTH ${AT}: pid=9 msg='op=x acct="o`);
  assert.equal(cut.field("acct"), "o");
  assert.equal(cut.field("op"), "x");
});

test("programs before 2008 write sentences", () => {
  const user = record(
    `type=USER_START ${AT}: user pid=15 uid=0 msg='PAM: session open acct=root : ` +
      `exe="/usr/sbin/cron" (hostname=?, addr=?, terminal=cron res=success)'`,
  );
  assert.deepEqual(
    ["pid", "acct", "exe", "hostname", "addr", "terminal", "res"].map((name) => user.field(name)),
    ["15", "root", "/usr/sbin/cron", "?", "?", "cron", "success"],
  );
});

test("old and new login ids are told apart", () => {
  const login = record(`type=LOGIN ${AT}: login pid=15 uid=0 old auid=4294967295 new auid=7`);
  assert.equal(login.field("old auid"), "4294967295");
  assert.equal(login.field("auid"), "7");
});

test("labels of AppArmor have two words, SELinux's refusals have braces", () => {
  const syscall = record(`type=SYSCALL ${AT}: tty=pts0 subj=/usr/sbin/x (enforce) key=(null)`);
  assert.equal(syscall.field("subj"), "/usr/sbin/x (enforce)");
  assert.equal(syscall.field("key"), "(null)");
  const avc = record(
    `type=AVC ${AT}: avc:  denied  { read write } for  pid=3 comm="x" tcontext=a:b:c:s0:c0,c1`,
  );
  assert.deepEqual([...avc.fields()], [["pid", "3"], ["comm", "x"], [
    "tcontext",
    "a:b:c:s0:c0,c1",
  ]]);
  const apparmor = record(`type=AVC ${AT}: apparmor="DENIED" info="no such name" error=-2`);
  assert.equal(apparmor.field("info"), "no such name");
  assert.equal(apparmor.field("error"), "-2");
});

test("a device mapper's message is between apostrophes", () => {
  const control = record(`type=DM_CTRL ${AT}: module=linear error_msg='no such' res=0`);
  assert.equal(control.field("error_msg"), "no such");
  assert.equal(control.field("res"), "0");
});

test("addresses of both byte orders", () => {
  assert.deepEqual(socketAddress("020000507F0000010000000000000000"), {
    family: 2,
    address: "127.0.0.1",
    port: 80,
  });
  assert.deepEqual(socketAddress("000200507F0000010000000000000000"), {
    family: 2,
    address: "127.0.0.1",
    port: 80,
  });
  assert.deepEqual(socketAddress(`0100${hex("/run/x")}0000`), { family: 1, address: "/run/x" });
  assert.deepEqual(socketAddress(`0001${hex("/run/x")}`), { family: 1, address: "/run/x" });
  assert.deepEqual(socketAddress(`010000${hex("bus")}0000`), { family: 1, address: "@bus" });
  assert.deepEqual(socketAddress("0100"), { family: 1 });
  const six = (address: string, scope = "00000000") => `0A0001BB00000000${address}${scope}`;
  assert.deepEqual(socketAddress(six("0".repeat(31) + "1")), {
    family: 10,
    address: "::1",
    port: 443,
  });
  assert.deepEqual(socketAddress(six("FE80000000000000020000FFFE000001", "02000000")), {
    family: 10,
    address: "fe80::200:ff:fe00:1",
    port: 443,
    scope: 2,
  });
  assert.equal(socketAddress(six("00000000000000000000FFFF0A000001"))?.address, "::ffff:10.0.0.1");
  assert.equal(
    socketAddress(six("20010DB8000000010001000100010001"))?.address,
    "2001:db8:0:1:1:1:1:1",
  );
  assert.equal(socketAddress(six("0".repeat(32)))?.address, "::");
  assert.deepEqual(socketAddress("28000000393000000300000000000000"), {
    family: 40,
    address: "3",
    port: 12345,
  });
  assert.deepEqual(socketAddress("100000000000000000000000"), { family: 16 });
  assert.deepEqual(socketAddress("0200"), { family: 2 });
  assert.equal(socketAddress("127.0.0.1"), undefined);
  assert.equal(socketAddress(""), undefined);
});
