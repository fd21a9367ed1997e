/** Paths, actors and values of audit events, and records of other machines and of other things than system calls. */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import test from "node:test";
import { auditEvent } from "../classify/audit.ts";
import type { AuditEvent } from "../classify/audit_event.ts";
import { joined } from "../classify/audit_paths.ts";
import { capturedCalls, eventOf, recordsOf } from "./audit_records.ts";
import { seed, wholeNumbers } from "./random.ts";

const calls = capturedCalls();

/** The event of a captured call for one who knows where these inodes of its filesystem are. */
function resolved(name: string, paths: Readonly<Record<number, string>>): AuditEvent {
  return auditEvent(calls.get(name)!, {
    resolve: (device, inode) => device === "0:39" ? paths[Number(inode)] : undefined,
  });
}

/** The inodes of the directories that a call named, in the order of the records. */
function parentsOf(name: string): number[] {
  const { paths = [] } = auditEvent(calls.get(name)!).attributes;
  return paths.filter(({ nametype }) => nametype === "PARENT").map(({ inode }) => Number(inode));
}

for (
  const [name, expected] of [
    ["openat.dirfd", "/srv/data/w/sub/new"],
    ["openat.dirfd.deep", "/srv/data/w/sub/new"],
    ["mkdirat.dirfd", "/srv/data/w/sub/new"],
    ["unlinkat.dirfd", "/srv/data/w/sub/f"],
    ["symlinkat.dirfd", "/srv/data/w/sub/new"],
    ["linkat.dirfd", "/srv/data/w/sub/new"],
    ["renameat.dirfd.same", "/srv/data/w/sub/new"],
  ] as const
) {
  test(`${name}: what is relative to a descriptor is found by its directory's inode`, () => {
    const [parent] = parentsOf(name) as [number];
    const event = resolved(name, { [parent]: "/srv/data/w/sub" });
    assert.equal(event.path, expected);
    assert.equal(event.attributes.unresolved, undefined);
  });
}

test("a file that was opened before is found by its inode", () => {
  const inode = Number(auditEvent(calls.get("fchmod")!).attributes.paths![0]!.inode);
  assert.equal(resolved("fchmod", { [inode]: "/srv/data/w/f" }).path, "/srv/data/w/f");
});

test("what appears is never looked for by its own inode, which was another file's", () => {
  const { paths = [] } = auditEvent(calls.get("openat.dirfd")!).attributes;
  const known = Object.fromEntries(
    paths.filter(({ nametype }) => nametype === "CREATE").map(({ inode }) => [inode, "/wrong"]),
  );
  assert.equal(resolved("openat.dirfd", known).path, "");
});

test("of two descriptors' directories the records do not tell which is which", () => {
  const [one, other] = parentsOf("renameat.dirfds") as [number, number];
  const event = resolved("renameat.dirfds", { [one]: "/srv/data/w/a", [other]: "/srv/data/w/b" });
  assert.deepEqual([event.kind, event.path, event.from], ["rename", "", undefined]);
  assert.equal(event.attributes.unresolved, true);
  assert.deepEqual(
    event.attributes.paths!.map(({ path }) => path),
    ["/srv/data/w/a", "/srv/data/w/b", undefined, undefined],
  );
});

test("of a descriptor's directory and the current one they do, where both are known", () => {
  const [one, other] = parentsOf("renameat.dirfd.one") as [number, number];
  const event = resolved("renameat.dirfd.one", {
    [one]: "/srv/data/w/sub",
    [other]: "/srv/data/w",
  });
  assert.deepEqual([event.from, event.path], ["/srv/data/w/f", "/srv/data/w/sub/new"]);
  assert.equal(resolved("renameat.dirfd.one", { [one]: "/srv/data/w/sub" }).path, "");
});

test("mv replaces a file in a directory that it opened, with the root as current directory", () => {
  const [sub, from] = parentsOf("mv") as [number, number];
  const event = resolved("mv", { [sub]: "/srv/data/w/sub", [from]: "/srv/data/w" });
  assert.deepEqual([event.from, event.path], ["/srv/data/w/f", "/srv/data/w/sub/f"]);
  assert.equal(event.attributes.replaced?.path, "/srv/data/w/sub/f");
  assert.notEqual(event.attributes.replaced?.inode, event.attributes.paths![4]!.inode);
});

test("io_uring tells inodes alone: the directory of what it did is told", () => {
  const [parent] = parentsOf("uring.unlinkat") as [number];
  const event = resolved("uring.unlinkat", { [parent]: "/srv/data/w" });
  assert.deepEqual([event.kind, event.path], ["remove.file", "/srv/data/w"]);
  const { type, syscall, unresolved } = event.attributes;
  assert.deepEqual([type, syscall, unresolved], ["URINGOP", "unlinkat", true]);
  assert.deepEqual(event.actor, {
    pid: event.actor!.pid,
    ppid: event.actor!.ppid,
    uid: 0,
    gid: 0,
    syscall: "unlinkat",
    self: false,
    confidence: "exact",
  });
});

test("what `..` behind a directory means is known by the inode of where it leads", () => {
  const [parent] = parentsOf("mkdir.dots") as [number];
  assert.equal(resolved("mkdir.dots", { [parent]: "/srv/data/w" }).path, "/srv/data/w/new");
});

test("names are joined without what means nothing, and without guesses", () => {
  for (
    const [base, name, path] of [
      ["/a", "b", "/a/b"],
      ["/", "b", "/b"],
      ["/a/b", "../c", "/a/c"],
      ["/a/b", "../../../c", "/c"],
      ["/a", "./b//c/", "/a/b/c"],
      ["/a", ".", "/a"],
      ["/a", "b/../c", "/a/b/../c"],
      ["/a", ".hidden", "/a/.hidden"],
      ["/a", "b/..", "/a/b/.."],
      ["", "/", "/"],
      ["", "//a/./b", "/a/b"],
      ["", "/../a", "/a"],
    ] as const
  ) {
    assert.equal(joined(base, name), path, `${base} + ${name}`);
  }
});

test("names that are not valid UTF-8 keep their bytes", () => {
  const event = auditEvent(calls.get("name.bytes")!);
  assert.equal(event.path, "/srv/data/w/\uFFFDber");
  assert.deepEqual(Buffer.from(event.pathBytes!), Buffer.from("/srv/data/w/\xfcber", "latin1"));
  const { name, nameBytes } = event.attributes.paths![1]!;
  assert.deepEqual([name, Buffer.from(nameBytes!)], ["\uFFFDber", Buffer.from("fc626572", "hex")]);
  const below = eventOf([
    call({ number: 83 }),
    "CWD cwd=2FFC",
    "PATH item=0 name=C3BC inode=7 dev=08:01 mode=040755 ouid=0 ogid=0 rdev=00:00 nametype=CREATE",
  ]);
  assert.equal(below.path, "/\uFFFD/ü");
  assert.deepEqual(Buffer.from(below.pathBytes!), Buffer.from("2ffc2fc3bc", "hex"));
});

test("a path has what the record says of the file before the call", () => {
  const { attributes } = auditEvent(calls.get("chmod.absolute")!);
  assert.deepEqual(attributes.paths, [{
    nametype: "NORMAL",
    name: "/srv/data/w/f",
    path: "/srv/data/w/f",
    inode: attributes.paths![0]!.inode,
    device: "0:39",
    mode: 0o100644,
    uid: 0,
    gid: 0,
  }]);
  assert.deepEqual(attributes.before, { mode: 0o644, uid: 0, gid: 0 });
  assert.deepEqual(attributes.after, { mode: 0o4755 });
  const device = auditEvent(calls.get("mknodat.device")!).attributes.paths![1]!;
  assert.deepEqual([device.mode, device.rdev], [0o020600, "1:3"]);
});

test("capabilities of a file are told where it has some", () => {
  const path = (caps: string) =>
    eventOf([
      call({ number: 90 }),
      'CWD cwd="/"',
      `PATH item=0 name="/bin/ping" inode=18446744073709551615 dev=fd:0a mode=0100755 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL ${caps}`,
    ]).attributes.paths![0]!;
  assert.deepEqual(
    path("cap_fp=0000000000002000 cap_fi=0000000000000000 cap_fe=1 cap_fver=2 cap_frootid=0")
      .capabilities,
    {
      permitted: "0x0000000000002000",
      inheritable: "0x0000000000000000",
      effective: true,
      version: 2,
      rootId: 0,
    },
  );
  const none = path("cap_fp=0000000000000000 cap_fi=0000000000000000 cap_fe=0 cap_fver=0");
  assert.equal(none.capabilities, undefined);
  assert.equal(none.inode, 18446744073709551615n);
  assert.equal(none.device, "253:10");
});

test("a program that is started has its arguments; a running one those that it has itself", () => {
  const exec = auditEvent(calls.get("execve")!);
  assert.deepEqual(exec.actor?.cmdline, ["true", "--flag", "a b"]);
  const actor = auditEvent(calls.get("chmod")!).actor!;
  assert.equal(actor.comm, "call");
  assert.equal(actor.exe, "/opt/syscalls/bin/call");
  assert.deepEqual(actor.cmdline, ["/opt/syscalls/bin/call", "90", "s:f", "0600"]);
  assert.deepEqual(
    [actor.uid, actor.gid, actor.loginUid, actor.session, actor.tty, actor.syscall],
    [0, 0, undefined, undefined, undefined, "chmod"],
  );
  const long = auditEvent(calls.get("proctitle.long")!);
  assert.equal(long.attributes.truncated, true);
  const [program, ...words] = long.actor!.cmdline!;
  assert.equal(program, "/opt/syscalls/bin/call");
  assert.deepEqual(
    words,
    ["90", "s:/srv/data/w/f", "0600"],
    "the argument that is cut is left out",
  );
});

test("the arguments of what a process ran before are not those of what it runs", () => {
  const title = Buffer.from("sh\0-c\0exec cat x").toString("hex").toUpperCase();
  const event = eventOf([
    call({ number: 2, comm: "cat", exe: "/usr/bin/cat" }),
    `PROCTITLE proctitle=${title}`,
  ]);
  assert.equal(event.actor!.cmdline, undefined);
  assert.deepEqual(event.attributes.title, ["sh", "-c", "exec cat x"]);
  const login = eventOf([
    call({ number: 2, comm: "bash", exe: "/usr/bin/bash" }),
    'PROCTITLE proctitle="-bash"',
  ]);
  assert.deepEqual(login.actor!.cmdline, ["-bash"]);
});

test("a title that the kernel could not tell is none", () => {
  const event = eventOf([call({ number: 2 }), "PROCTITLE proctitle=(null)"]);
  assert.equal(event.attributes.title, undefined);
  assert.equal(event.actor!.cmdline, undefined);
});

test("long arguments come in parts, over records", () => {
  const event = eventOf([
    call({ number: 59 }),
    'EXECVE argc=3 a0="ls" a1_len=8 a1[0]=61C3',
    'EXECVE  a1[1]=BC a2="z"',
  ]);
  assert.deepEqual(event.actor!.cmdline, ["ls", "a\u00fc", "z"]);
  const long = "long \u00e4 ".repeat(900);
  const hex = Buffer.from(long).toString("hex").toUpperCase();
  for (const half of [hex.length / 2, hex.length / 2 + 2]) {
    const words = eventOf([
      call({ number: 59 }),
      `EXECVE argc=3 a0="sh" a1_len=${hex.length / 2} a1[0]=${hex.slice(0, half - half % 2)}`,
      `EXECVE a1[1]=${hex.slice(half - half % 2)} a2="4142"`,
    ]).actor!.cmdline;
    assert.deepEqual(words, ["sh", long, "4142"]);
  }
  const missing = eventOf([call({ number: 59 }), 'EXECVE argc=3 a0="ls" a2="z"']);
  assert.equal(missing.actor!.cmdline, undefined);
});

test("who logged in, keys and this process", () => {
  const records = [
    `${call({ number: 90, auid: 1000, ses: 3, tty: "pts0" })} key=6F6E650174776F`,
  ];
  const { actor, attributes } = eventOf(records, { pid: 4242 });
  assert.deepEqual([actor!.loginUid, actor!.session, actor!.tty], [1000, 3, "pts0"]);
  assert.equal(actor!.self, true);
  assert.deepEqual(attributes.keys, ["one", "two"]);
  assert.equal(eventOf(records).actor!.self, false);
});

/** A SYSCALL record as of 6.18, but for what is given. */
function call(
  {
    arch = "c000003e",
    number = 90,
    args = ["0", "1ff", "0", "0"],
    success = "yes",
    exit = 0,
    comm = "x",
    exe = "/usr/bin/x",
    auid = 4294967295,
    ses = 4294967295,
    tty = "(none)",
  }: {
    arch?: string;
    number?: number;
    args?: readonly string[];
    success?: string;
    exit?: number;
    comm?: string;
    exe?: string;
    auid?: number;
    ses?: number;
    tty?: string;
  },
): string {
  const given = args.map((arg, i) => `a${i}=${arg}`).join(" ");
  return `SYSCALL arch=${arch} syscall=${number} success=${success} exit=${exit} ${given} items=1 ` +
    `ppid=1 pid=4242 auid=${auid} uid=1000 gid=1000 euid=0 suid=0 fsuid=0 egid=5 sgid=5 fsgid=5 ` +
    `tty=${tty} ses=${ses} comm="${comm}" exe="${exe}"`;
}

const FILE =
  'PATH item=0 name="f" inode=7 dev=08:01 mode=0100644 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL';

test("calls of other architectures", () => {
  for (
    const [arch, number, args, syscall, flags] of [
      ["c00000b7", 56, ["ffffffffffffff9c", "0", "4000", "0"], "openat", [
        "O_RDONLY",
        "O_DIRECTORY",
      ]],
      ["40000028", 322, ["ffffff9c", "0", "10001", "0"], "openat", ["O_WRONLY", "O_DIRECT"]],
      ["c00000f3", 56, ["ffffffffffffff9c", "0", "10000", "0"], "openat", [
        "O_RDONLY",
        "O_DIRECTORY",
      ]],
      ["c0000102", 56, ["ffffffffffffff9c", "0", "20000", "0"], "openat", [
        "O_RDONLY",
        "O_NOFOLLOW",
      ]],
      ["c0000015", 286, ["ffffffffffffff9c", "0", "20002", "0"], "openat", ["O_RDWR", "O_DIRECT"]],
      ["80000015", 5, ["0", "10002", "0", "0"], "open", ["O_RDWR", "O_LARGEFILE"]],
      ["80000016", 288, ["ffffffffffffff9c", "0", "101001", "0"], "openat", ["O_WRONLY", "O_SYNC"]],
      ["c000003e", 0x40000101, ["ffffff9c", "0", "1001", "0"], "openat", ["O_WRONLY", "O_DSYNC"]],
    ] as const
  ) {
    const event = eventOf([call({ arch, number, args, exit: 3 }), 'CWD cwd="/d"', FILE]);
    const { attributes } = event;
    assert.deepEqual([event.kind, event.path], ["access.open", "/d/f"], arch);
    assert.deepEqual([attributes.syscall, attributes.flags], [syscall, flags], arch);
  }
});

test("a call without a name here is told by its number, and its paths all the same", () => {
  const created = FILE.replace("NORMAL", "CREATE");
  const event = eventOf([call({ arch: "80000008", number: 5038 }), 'CWD cwd="/d"', created]);
  const { syscall, operation, arch } = event.attributes;
  assert.deepEqual([syscall, operation, arch], ["5038", undefined, "mips64"]);
  assert.equal(event.kind, "create.file");
  // Which argument is a descriptor is not known either.
  assert.deepEqual([event.path, event.attributes.unresolved], ["", true]);
  const absolute = created.replace('"f"', '"/d/f"');
  assert.equal(eventOf([call({ arch: "80000008" }), 'CWD cwd="/"', absolute]).path, "/d/f");
  const failed = eventOf([
    call({ arch: "80000008", number: 5038, success: "no", exit: -145 }),
    'CWD cwd="/d"',
    FILE,
  ]);
  assert.equal(failed.kind, "access.failed");
  assert.deepEqual(failed.attributes.failed, { errno: 145 });
});

test("auditd's own name of a call is taken where there is none here", () => {
  const event = eventOf([
    `${call({ number: 9999 })}\x1dARCH=x86_64 SYSCALL=newcall AUID="unset"`,
    'CWD cwd="/d"',
    FILE,
  ]);
  assert.deepEqual(
    [event.attributes.syscall, event.attributes.operation, event.kind],
    ["newcall", "newcall", "other"],
  );
});

test("old kernels call the type of a name objtype", () => {
  const event = eventOf([
    call({ number: 83 }),
    'CWD cwd="/d"',
    'PATH item=0 name="/d" inode=2 dev=08:01 mode=040755 ouid=0 ogid=0 rdev=00:00 objtype=PARENT',
    'PATH item=1 name="new" inode=9 dev=08:01 mode=040700 ouid=0 ogid=0 rdev=00:00 objtype=CREATE',
  ]);
  assert.deepEqual([event.kind, event.path, event.isDirectory], [
    "create.directory",
    "/d/new",
    true,
  ]);
});

test("the paths of several names that change places", () => {
  const path = (name: string, inode: number, type: string) =>
    `PATH item=0 name="${name}" inode=${inode} dev=08:01 mode=0100644 ouid=0 ogid=0 rdev=00:00 nametype=${type}`;
  const event = eventOf([
    call({ number: 316, args: ["ffffff9c", "0", "ffffff9c", "0"] }),
    'CWD cwd="/d"',
    path("a", 1, "DELETE"),
    path("b", 2, "DELETE"),
    path("b", 1, "CREATE"),
    path("a", 2, "CREATE"),
  ]);
  assert.deepEqual([event.kind, event.from, event.path], ["rename", "/d/a", "/d/b"]);
  assert.equal(event.attributes.exchange, true);
});

test("a fanotify record without an answer tells none", () => {
  const opened = (response: string) =>
    eventOf([`FANOTIFY ${response}`, call({ number: 2 }), FILE]).attributes.fanotify;
  assert.deepEqual(opened("resp=2"), { response: "deny" }); // before 6.3
  assert.equal(opened("resp="), undefined);
});

test("a socket without a path is no file", () => {
  const refused = eventOf([
    call({ number: 42, success: "no", exit: -111 }),
    "SOCKADDR saddr=0200005007F000001",
  ]);
  assert.deepEqual([refused.kind, refused.path], ["other", ""]);
  assert.equal(refused.attributes.failed?.code, "ECONNREFUSED");
  assert.equal(refused.attributes.unresolved, undefined);
});

test("the address of a socket is told", () => {
  const addressOf = (saddr: string) =>
    eventOf([call({ number: 42 }), `SOCKADDR saddr=${saddr}`]).attributes.address;
  assert.deepEqual(addressOf("020000507F0000010000000000000000"), {
    family: 2,
    address: "127.0.0.1",
    port: 80,
  });
  const { address } = auditEvent(calls.get("bind")!).attributes;
  assert.deepEqual(address, { family: 1, address: "sock" });
  assert.equal(addressOf("127.0.0.1"), undefined);
});

test("a call that the process did not return from is neither done nor failed", () => {
  const record = call({ number: 83 }).replace("success=yes exit=0 ", "");
  const event = eventOf([record, 'CWD cwd="/d"', FILE.replace("NORMAL", "CREATE")]);
  assert.equal(event.kind, "other");
  assert.equal(event.attributes.success, undefined);
});

test("requests of io_uring in one call cannot be told apart", () => {
  const [one] = [...calls.get("uring.mkdirat")!.records];
  const records = {
    ...calls.get("uring.mkdirat")!,
    records: [one!, ...calls.get("uring.mkdirat")!.records],
  };
  const { syscall, operation } = auditEvent(records).attributes;
  assert.deepEqual([syscall, operation], [undefined, undefined]);
});

test("records that are about no call", () => {
  const login = eventOf([
    'USER_LOGIN pid=900 uid=0 auid=1000 ses=2 subj=unconfined msg=\'op=login acct="a" exe="/usr/sbin/sshd" hostname=? addr=192.0.2.1 terminal=/dev/pts/0 res=failed\'',
  ]);
  assert.deepEqual([login.kind, login.path, login.attributes.type], ["other", "", "USER_LOGIN"]);
  assert.equal(login.attributes.success, false);
  assert.deepEqual(login.attributes.fields, {
    pid: "900",
    uid: "0",
    auid: "1000",
    ses: "2",
    subj: "unconfined",
    op: "login",
    acct: "a",
    exe: "/usr/sbin/sshd",
    hostname: "?",
    addr: "192.0.2.1",
    terminal: "/dev/pts/0",
    res: "failed",
  });
  assert.deepEqual(login.actor, {
    pid: 900,
    uid: 0,
    loginUid: 1000,
    session: 2,
    tty: "pts/0",
    exe: "/usr/sbin/sshd",
    self: false,
    confidence: "exact",
  });
  const command = eventOf([
    'USER_CMD pid=900 uid=1000 auid=1000 ses=2 msg=\'cwd="/" cmd=6C73202D6C exe="/usr/bin/sudo" terminal=pts/1 res=success\'',
  ]);
  assert.equal(command.attributes.fields!["cmd"], "ls -l");
  assert.equal(command.attributes.success, true);
  const change = eventOf([
    'CONFIG_CHANGE op=add_rule key="k" list=4 res=1',
    call({ number: 44 }),
  ]);
  assert.equal(change.attributes.type, "SYSCALL");
  assert.deepEqual(change.attributes.auxiliary, [{
    type: "CONFIG_CHANGE",
    fields: { op: "add_rule", key: "k", list: "4", res: "1" },
  }]);
  const killed = eventOf([
    'SECCOMP auid=1000 uid=1000 gid=1000 ses=2 pid=77 comm="x" exe="/usr/bin/x" sig=31 arch=c000003e syscall=90 compat=0 ip=0x7f code=0x0',
  ]);
  assert.deepEqual([killed.attributes.syscall, killed.attributes.arch], ["chmod", "x86_64"]);
  assert.equal(killed.actor!.comm, "x");
});

test("what is missing at the end of an event is told", () => {
  const { incomplete } = auditEvent(recordsOf(
    ['type=PATH msg=audit(1700000000.000:1): item=0 name="/f" nametype=NORMAL'],
    false,
  )).attributes;
  assert.equal(incomplete, true);
  const empty = auditEvent({ node: "n", time: 1, serial: 2, records: [], isComplete: false });
  assert.deepEqual([empty.kind, empty.attributes.node, empty.attributes.serial], ["other", "n", 2]);
});

test("an event is JSON without its records, which are its raw", () => {
  const records = calls.get("name.bytes")!;
  const event = auditEvent(records);
  const json = JSON.parse(JSON.stringify(event));
  assert.equal(event.raw, records);
  assert.deepEqual([json.kind, json.backend, json.raw], ["create.directory", "audit", undefined]);
  assert.equal(json.attributes.paths[1].nameBytes, "/GJlcg==");
  const high = FILE.replace("inode=7", "inode=18446744073709551615");
  const { attributes } = JSON.parse(JSON.stringify(eventOf([call({}), high])));
  assert.equal(attributes.paths[0].inode, "18446744073709551615");
  assert.equal(json.time, records.time);
});

test(`spoilt records are told, too (seed ${seed})`, () => {
  const random = wholeNumbers(seed);
  const all = [...calls.values()].map(({ records }) => records);
  const texts = all.flat().map((record) => `${record.name} ${record.text}`);
  const spoils: readonly ((text: string) => string)[] = [
    (text) => text.slice(0, random(text.length + 1)),
    (text) => text.replace(/=\S+/g, (value) => random(6) > 0 ? value : "="),
    (text) =>
      text.replace(/=\S+/g, (value) => random(6) > 0 ? value : `=${random(2 ** 31) - 2 ** 30}`),
    (text) =>
      text.replace(
        /(name|cwd)=\S+/g,
        (_, name) => `${name}=${["(null)", '""', '"/"', "<too_long>", "FF", '".."'][random(6)]}`,
      ),
    (text) =>
      text.replace(/nametype=\w+/, `nametype=${["CREATE", "DELETE", "PARENT", "X"][random(4)]}`),
    (text) => text.replace(/syscall=\d+/, `syscall=${random(600)}`),
    (text) =>
      text.replace(/arch=\w+/, `arch=${["40000003", "c00000b7", "zz", "ffffffff"][random(4)]}`),
  ];
  const paths = ["/", "/a", undefined];
  for (let round = 0; round < 5000; round++) {
    const records = Array.from({ length: 1 + random(7) }, () => {
      const text = texts[random(texts.length)]!;
      return random(3) === 0 ? text : spoils[random(spoils.length)]!(text);
    }).filter((text) => text.includes(" "));
    if (records.length === 0) continue;
    const event = eventOf(records, { resolve: () => paths[random(3)] });
    assert(event.path === "" || event.path.startsWith("/"), event.path);
    assert(
      event.attributes.success !== false || !/^(create|remove|rename|modify)/.test(event.kind),
    );
    assert.equal(JSON.parse(JSON.stringify(event)).kind, event.kind);
  }
});
