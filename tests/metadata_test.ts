/** Which metadata changed, as watchers tell it: on each filesystem, by each backend. */

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  fchmodSync,
  fchownSync,
  futimesSync,
  lchownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { metadataText } from "../cli/metadata.ts";
import { watch, type WatchEvent, type WatchOptions } from "../mod.ts";
import { isInstalled } from "../scripts/real_work/process.ts";
import { Filesystem, type FilesystemType, whyNot } from "./filesystem.ts";
import { whyBefore } from "./kernel.ts";
import { isRoot, openFiles, TemporaryDirectory, until, within } from "./runtime.ts";

type BackendName = "inotify" | "fanotify" | "poll";

/** A watcher that is asked for metadata, and what it tells of a tree. */
class Told implements AsyncDisposable {
  readonly watcher;
  readonly #root: string;
  readonly #events: AsyncIterator<WatchEvent>;
  #ends = 0;

  constructor(root: string, options: WatchOptions, path = root) {
    this.#root = root;
    this.watcher = watch(path, { metadata: { sweep: 0 }, ...options });
    this.#events = this.watcher[Symbol.asyncIterator]();
  }

  /** The next event. */
  async next(what = "an event"): Promise<WatchEvent> {
    return (await within(this.#events.next(), what)).value;
  }

  /** All events up to an event of the program's own, behind what is queued now. */
  async events(): Promise<WatchEvent[]> {
    const end = `end ${this.#ends++}`;
    writeFileSync(join(this.#root, end), "");
    const seen: WatchEvent[] = [];
    for (;;) {
      const event = await this.next(`${end} after ${seen.map(lineOf)}`);
      if (event.path.endsWith(`/${end}`)) return seen;
      if (!/\/end \d+$/.test(event.path)) seen.push(event);
    }
  }

  /** The metadata that was told, each change a line. */
  async changes(): Promise<string[]> {
    return (await this.events()).filter(({ kind }) => kind.startsWith("modify.metadata"))
      .map((event) => this.line(event));
  }

  line(event: WatchEvent): string {
    return lineOf({ ...event, path: event.path.slice(this.#root.length + 1) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.watcher.close();
  }
}

/** `permissions a 0644 -> 0600`; times of this run are not told. */
function lineOf(event: WatchEvent): string {
  const what = event.kind.replace("modify.metadata.", "").replace("modify.metadata", "?");
  const now = /20[2-9]\d-\d\d-\d\dT[^ ]+/g;
  return `${what} ${event.path} ${metadataText(event)}`.replace(now, "now").trimEnd();
}

function run(command: string, ...args: readonly string[]): void {
  execFileSync(command, args, { stdio: ["ignore", "ignore", "pipe"] });
}

interface Case {
  readonly name: string;
  /** Makes what is there when the watch begins. */
  readonly prepare?: (at: string) => void;
  readonly act: (at: string) => void;
  readonly told: readonly string[];
  readonly root?: true;
  /** A program that it needs. */
  readonly needs?: string;
}

const PAST = new Date("2001-02-03T04:05:06.000Z");
const PAST_TIMES = "accessed 2001-02-03T04:05:06.000Z modified 2001-02-03T04:05:06.000Z";
const BEFORE = `modified now -> ${PAST_TIMES}`;

const CASES: readonly Case[] = [
  { name: "chmod", act: (at) => chmodSync(`${at}/a`, 0o600), told: ["permissions a 0644 -> 0600"] },
  {
    name: "fchmod",
    act: (at) => onFd(`${at}/a`, (fd) => fchmodSync(fd, 0o4711)),
    told: ["permissions a 0644 -> 4711"],
  },
  {
    name: "chmod to the same mode",
    act: (at) => chmodSync(`${at}/a`, 0o644),
    told: ["? a"],
  },
  {
    name: "two chmods: what was before the first, and is after the second",
    act(at) {
      chmodSync(`${at}/a`, 0o600);
      chmodSync(`${at}/a`, 0o640);
    },
    told: ["permissions a 0644 -> 0640"],
  },
  {
    name: "chown, of one and of both",
    root: true,
    act(at) {
      chownSync(`${at}/a`, 5, 0);
      onFd(`${at}/b`, (fd) => fchownSync(fd, 6, 7));
    },
    told: ["ownership a 0:0 -> 5:0", "ownership b 0:0 -> 6:7"],
  },
  {
    name: "a chown that clears setuid",
    root: true,
    prepare: (at) => chmodSync(`${at}/a`, 0o4755),
    act: (at) => chownSync(`${at}/a`, 5, 6),
    told: ["permissions a 4755 -> 0755", "ownership a 0:0 -> 5:6"],
  },
  {
    name: "utimensat by path",
    act: (at) => utimesSync(`${at}/a`, PAST, PAST),
    told: [`times a accessed now ${BEFORE}`],
  },
  {
    name: "utimensat of a file descriptor",
    act: (at) => onFd(`${at}/a`, (fd) => futimesSync(fd, PAST, PAST)),
    told: [`times a accessed now ${BEFORE}`],
  },
  {
    name: "touch",
    prepare: (at) => utimesSync(`${at}/a`, PAST, PAST), // else it may be the tick in which the file was made
    act: (at) => run("touch", `${at}/a`),
    told: [`times a ${PAST_TIMES} -> accessed now modified now`],
  },
  {
    name: "touch -m",
    act: (at) => run("touch", "-m", "-d", PAST.toISOString(), `${at}/a`),
    told: ["times a modified now -> modified 2001-02-03T04:05:06.000Z"],
  },
  { name: "a write", act: (at) => append(`${at}/a`), told: [] },
  {
    name: "a write, and then a chmod",
    act(at) {
      append(`${at}/a`);
      chmodSync(`${at}/a`, 0o600);
    },
    told: ["permissions a 0644 -> 0600"],
  },
  {
    name: "an extended attribute that comes, changes and goes",
    needs: "setfattr",
    prepare: (at) => run("setfattr", "-n", "user.old", "-v", "1", `${at}/b`),
    act(at) {
      run("setfattr", "-n", "user.new", "-v", "1", `${at}/a`);
      run("setfattr", "-n", "user.old", "-v", "2", `${at}/b`);
    },
    told: ["xattr a added user.new", "xattr b changed user.old"],
  },
  {
    name: "an extended attribute that goes",
    needs: "setfattr",
    prepare: (at) => run("setfattr", "-n", "user.old", "-v", "1", `${at}/b`),
    act: (at) => run("setfattr", "-x", "user.old", `${at}/b`),
    told: ["xattr b removed user.old"],
  },
  {
    name: "an access control list, and its mask",
    needs: "setfacl",
    act: (at) => run("setfacl", "-m", "u:1000:rw", `${at}/a`),
    told: [
      "permissions a 0644 -> 0664",
      "xattr a added system.posix_acl_access: - -> user::rw-,user:1000:rw-,group::r--,mask::rw-,other::r--",
    ],
  },
  {
    name: "chmod of a file with an access control list",
    needs: "setfacl",
    prepare: (at) => run("setfacl", "-m", "u:1000:r", `${at}/a`),
    act: (at) => chmodSync(`${at}/a`, 0o600),
    told: [
      "permissions a 0644 -> 0600",
      "xattr a changed system.posix_acl_access: " +
      "user::rw-,user:1000:r--,group::r--,mask::r--,other::r-- -> " +
      "user::rw-,user:1000:r--,group::r--,mask::---,other::---",
    ],
  },
  {
    name: "capabilities",
    root: true,
    needs: "setcap",
    act: (at) => run("setcap", "cap_net_raw=ep", `${at}/a`),
    told: ["xattr a added security.capability: - -> cap_net_raw=ep"],
  },
  {
    name: "chattr, when it closes the file",
    needs: "chattr",
    act: (at) => run("chattr", "+d", `${at}/a`),
    told: ["flags a - -> nodump"],
  },
  {
    name: "chattr +i and -i",
    root: true,
    needs: "chattr",
    prepare: (at) => run("chattr", "+a", `${at}/b`),
    act(at) {
      run("chattr", "+i", `${at}/a`);
      run("chattr", "-a", `${at}/b`);
    },
    told: ["flags a - -> immutable", "flags b append -> -"],
  },
  {
    name: "chattr of a directory",
    needs: "chattr",
    act: (at) => run("chattr", "+d", `${at}/d`),
    told: ["flags d - -> nodump"],
  },
  {
    name: "link: under the new name, where no other is known",
    act: (at) => linkSync(`${at}/a`, `${at}/d/link`),
    told: ["links d/link 1 -> 2"],
  },
  {
    name: "another link: under a name that is known",
    prepare: (at) => linkSync(`${at}/a`, `${at}/a2`),
    act: (at) => linkSync(`${at}/a`, `${at}/d/link`),
    told: ["links KNOWN 2 -> 3"],
  },
  {
    name: "unlink of one name of two",
    prepare: (at) => linkSync(`${at}/a`, `${at}/d/link`),
    act: (at) => unlinkSync(`${at}/a`),
    told: ["links d/link 2 -> 1"],
  },
  {
    name: "a name of two that is replaced, and the directory of the other renamed before",
    prepare: (at) => linkSync(`${at}/a`, `${at}/d/link`),
    act(at) {
      renameSync(`${at}/d`, `${at}/e`);
      renameSync(`${at}/b`, `${at}/a`);
    },
    told: ["links e/link 2 -> 1"],
  },
  {
    name: "what has one name left is told of under that",
    prepare: (at) => linkSync(`${at}/a`, `${at}/d/link`),
    act(at) {
      unlinkSync(`${at}/a`);
      chmodSync(`${at}/d/link`, 0o600);
    },
    told: ["links d/link 2 -> 1", "permissions d/link 0644 -> 0600"],
  },
  {
    name: "a rename, and then a chmod",
    act(at) {
      renameSync(`${at}/a`, `${at}/d/c`);
      chmodSync(`${at}/d/c`, 0o600);
    },
    told: ["permissions d/c 0644 -> 0600"],
  },
  {
    name:
      "a chmod and then a rename: what it was cannot be looked up any more, but is told with the next change",
    act(at) {
      chmodSync(`${at}/a`, 0o600);
      renameSync(`${at}/a`, `${at}/c`);
    },
    told: ["? a"],
  },
  {
    name: "a chmod of what is gone, and of what another file replaces",
    act(at) {
      chmodSync(`${at}/a`, 0o600);
      unlinkSync(`${at}/a`);
      chmodSync(`${at}/b`, 0o600);
      writeFileSync(`${at}/c`, "");
      chmodSync(`${at}/c`, 0o604);
      renameSync(`${at}/c`, `${at}/b`);
    },
    told: ["? a", "? b", "? c"],
  },
  {
    name: "a directory, and the root itself",
    act(at) {
      chmodSync(`${at}/d`, 0o700);
      chmodSync(at, 0o701);
    },
    told: ["permissions d 0755 -> 0700", "permissions  0777 -> 0701"],
  },
  {
    name: "a directory in which names come",
    act: (at) => mkdirSync(`${at}/d/e`),
    told: [],
  },
  {
    name: "a symlink, and not what it leads to",
    prepare: (at) => symlinkSync("a", `${at}/link`),
    act: (at) => lutimesSync(`${at}/link`, PAST, PAST),
    told: [`times link accessed now ${BEFORE}`],
  },
  {
    name: "the owner of a symlink",
    root: true,
    prepare: (at) => symlinkSync("a", `${at}/link`),
    act: (at) => lchownSync(`${at}/link`, 3, 4),
    told: ["ownership link 0:0 -> 3:4"],
  },
  {
    name: "several at once, in one order",
    root: true,
    act(at) {
      chownSync(`${at}/a`, 3, 4);
      chmodSync(`${at}/a`, 0o600);
      utimesSync(`${at}/a`, PAST, PAST);
    },
    told: [
      "permissions a 0644 -> 0600",
      "ownership a 0:0 -> 3:4",
      `times a accessed now ${BEFORE}`,
    ],
  },
];

function onFd(path: string, act: (fd: number) => void): void {
  const fd = openSync(path, "r");
  try {
    act(fd);
  } finally {
    closeSync(fd);
  }
}

/** Not `appendFileSync`, which in Deno also changes the mode (2.9.6). */
function append(path: string): void {
  const fd = openSync(path, "a");
  writeSync(fd, "more");
  closeSync(fd);
}

/** `a`, `b` and `d/`. */
function fill(at: string): void {
  for (const name of ["a", "b"]) {
    writeFileSync(`${at}/${name}`, "text");
    chmodSync(`${at}/${name}`, 0o644);
  }
  mkdirSync(`${at}/d`);
  chmodSync(`${at}/d`, 0o755);
}

interface Where {
  readonly type: FilesystemType | "directory";
  readonly backend: BackendName;
  readonly skip: string | false;
}

const WHERE: readonly Where[] = isRoot
  ? (["tmpfs", "ext4", "xfs", "btrfs", "btrfs subvolume"] as const).flatMap((type) =>
    (["inotify", "fanotify"] as const).map((backend) => {
      // Without an fsid of their own they cannot be marked before.
      const isOld = type === "btrfs subvolume" && backend === "fanotify" && whyBefore([6, 8]);
      return { type, backend, skip: whyNot(type) || isOld };
    })
  )
  : [
    { type: "directory", backend: "inotify", skip: false },
    { type: "directory", backend: "fanotify", skip: false },
  ];

/** Where files are made; everything in it may be immutable at the end. */
function placeOf(type: Where["type"]): Disposable & { readonly path: string } {
  return type === "directory" ? new TemporaryDirectory(undefined, tmpdir()) : new Filesystem(type);
}

for (const { type, backend, skip } of WHERE) {
  test(`metadata on ${type} by ${backend}`, { skip }, async (t) => {
    using place = placeOf(type);
    let number = 0;
    for (const { name, prepare, act, told, root, needs } of CASES) {
      const why = root && !isRoot
        ? "needs root"
        : needs !== undefined && !isInstalled(needs)
        ? `${needs} is not installed`
        : needs === "setfattr" && type === "tmpfs" && whyBefore([6, 6]);
      const at = join(place.path, `${number++}`);
      await t.test(name, { skip: why }, async () => {
        mkdirSync(at);
        chmodSync(at, 0o777);
        fill(at);
        prepare?.(at);
        await using seen = new Told(at, { backend });
        await seen.watcher.ready;
        act(at);
        const changes = await seen.changes();
        const known = changes.map((line) => line.replace(/^links (a|a2) /, "links KNOWN "));
        // fanotify merges with what is queued of a directory: of the root, that the walk has closed it.
        if (name.includes("root")) changes.sort().reverse();
        const isKnown = told.some((line) => line.includes("KNOWN"));
        assert.deepEqual(isKnown ? known : changes, told);
        if (root && needs === "chattr") run("chattr", "-R", "-i", "-a", at);
      });
    }
  });
}

/** In a directory of its own, whoever runs this. */
function inDirectory(
  name: string,
  body: (at: string) => Promise<void>,
  skip: string | false = false,
): void {
  test(name, { skip }, async () => {
    using directory = new TemporaryDirectory();
    chmodSync(directory.path, 0o777);
    fill(directory.path);
    await body(directory.path);
  });
}

inDirectory("polling tells them too, and flags", async (at) => {
  await using seen = new Told(at, { backend: "poll" });
  await seen.watcher.ready;
  chmodSync(`${at}/a`, 0o600);
  run("chattr", "+d", `${at}/b`);
  append(`${at}/d/../a`);
  const lines = [];
  while (lines.length < 3) lines.push(seen.line(await seen.next()));
  assert.deepEqual(lines.filter((line) => !line.startsWith("modify.data")).sort(), [
    "flags b - -> nodump",
    "permissions a 0644 -> 0600",
  ]);
  assert.deepEqual(seen.watcher.coverage()[0]!.metadata?.flags, ["polling"]);
}, isInstalled("chattr") ? false : "chattr is not installed");

inDirectory("only what was asked for is told", async (at) => {
  await using seen = new Told(at, { events: ["modify.metadata.ownership", "create"] });
  await seen.watcher.ready;
  chmodSync(`${at}/a`, 0o600);
  append(`${at}/a`);
  assert.deepEqual(await seen.events(), []);
  renameSync(`${at}/a`, `${at}/c`);
  unlinkSync(`${at}/c`);
  assert.deepEqual(await seen.events(), []);
});

inDirectory("closes that were asked for are told as well", async (at) => {
  await using seen = new Told(at, { events: ["modify.metadata", "access.close.nowrite"] });
  await seen.watcher.ready;
  onFd(`${at}/a`, () => {});
  writeFileSync(`${at}/b`, "");
  unlinkSync(`${at}/b`);
  mkdirSync(`${at}/end`);
  chmodSync(`${at}/end`, 0o700);
  const lines = [];
  do lines.push(seen.line(await seen.next())); while (!lines.at(-1)!.includes(" end"));
  assert(lines.includes("access.close.nowrite a"), `${lines}`);
  assert(lines.every((line) => !line.includes("close.write")), `${lines}`);
});

inDirectory("what is ignored is not looked at", async (at) => {
  await using seen = new Told(at, { ignore: "a" });
  await seen.watcher.ready;
  assert.equal(seen.watcher.coverage()[0]!.metadata?.files, 3); // the root, b, d
  chmodSync(`${at}/a`, 0o600);
  chmodSync(`${at}/b`, 0o600);
  assert.deepEqual(await seen.changes(), ["permissions b 0644 -> 0600"]);
});

inDirectory("a watched file", async (at) => {
  await using seen = new Told(at, {}, `${at}/a`);
  await seen.watcher.ready;
  assert.equal(seen.watcher.coverage()[0]!.metadata?.files, 1);
  chmodSync(`${at}/b`, 0o600);
  chmodSync(`${at}/a`, 0o600);
  assert.equal(seen.line(await seen.next()), "permissions a 0644 -> 0600");
});

inDirectory("a symlink that is watched, to a directory and to a file", async (at) => {
  using links = new TemporaryDirectory();
  symlinkSync(at, `${links.path}/directory`);
  symlinkSync(`${at}/a`, `${links.path}/file`);
  await using directory = new Told(at, {}, `${links.path}/directory`);
  await directory.watcher.ready;
  await using file = new Told(at, {}, `${links.path}/file`);
  await file.watcher.ready;
  chmodSync(at, 0o701);
  chmodSync(`${at}/a`, 0o600);
  assert.equal(file.line(await file.next()), "permissions a 0644 -> 0600");
  const texts = [metadataText(await directory.next()), metadataText(await directory.next())];
  assert.deepEqual(texts.sort(), ["0644 -> 0600", "0777 -> 0701"]);
});

inDirectory("values of extended attributes where they are asked for", async (at) => {
  run("setfattr", "-n", "user.a", "-v", "short", `${at}/a`);
  await using seen = new Told(at, { metadata: { values: 6 } });
  await seen.watcher.ready;
  run("setfattr", "-n", "user.a", "-v", "longest", `${at}/a`);
  const first = await seen.next();
  assert.deepEqual(first.attributes.before, { value: new TextEncoder().encode("short") });
  assert.equal(first.attributes.after, undefined);
  run("setfattr", "-n", "user.a", "-v", "longer", `${at}/a`);
  const second = await seen.next();
  assert.equal(second.attributes.before, undefined);
  assert.deepEqual(second.attributes.after, { value: new TextEncoder().encode("longer") });
  assert.deepEqual(second.attributes.xattr, { name: "user.a", change: "changed" });
}, isInstalled("setfattr") ? false : "setfattr is not installed");

inDirectory("what a symlink that is followed leads to", async (at) => {
  using other = new TemporaryDirectory();
  fill(other.path);
  symlinkSync(other.path, `${at}/link`);
  symlinkSync(`${other.path}/b`, `${at}/file`);
  await using seen = new Told(at, { followSymlinks: true });
  await seen.watcher.ready;
  chmodSync(`${other.path}/a`, 0o600);
  chmodSync(`${other.path}/d`, 0o700);
  assert.deepEqual((await seen.changes()).sort(), [
    "permissions link/a 0644 -> 0600",
    "permissions link/d 0755 -> 0700",
  ]);
  chmodSync(`${other.path}/b`, 0o600);
  const lines = await seen.changes(); // one file at two paths: told where it is seen first
  assert.equal(
    lines.filter((line) => /^permissions (file|link\/b) 0644 -> 0600$/.test(line)).length,
    1,
  );
});

inDirectory("with saves and writes that are waited for", async (at) => {
  await using seen = new Told(at, { atomicSave: true, writeFinish: true });
  await seen.watcher.ready;
  append(`${at}/a`);
  chmodSync(`${at}/a`, 0o600);
  const lines = [seen.line(await seen.next()), seen.line(await seen.next())];
  assert.deepEqual(lines.sort(), ["modify.data a", "permissions a 0644 -> 0600"]);
});

inDirectory(
  "ten thousand chmods end with what is there, each told from what it was",
  async (at) => {
    await using seen = new Told(at, {});
    await seen.watcher.ready;
    for (let i = 0; i < 10_000; i++) chmodSync(`${at}/a`, i % 2 === 0 ? 0o600 : 0o640);
    let mode = 0o644;
    for (const { kind, attributes: { before, after } } of await seen.events()) {
      if (kind !== "modify.metadata.permissions") continue;
      assert.equal(before!.mode, mode);
      mode = after!.mode!;
    }
    assert.equal(mode, 0o640);
  },
);

inDirectory("a new file: what it was before is not known", async (at) => {
  await using seen = new Told(at, {});
  await seen.watcher.ready;
  writeFileSync(`${at}/c`, "");
  chmodSync(`${at}/c`, 0o600);
  chmodSync(`${at}/c`, 0o640);
  assert.deepEqual(await seen.changes(), ["? c"]);
  chmodSync(`${at}/c`, 0o644);
  assert.deepEqual(await seen.changes(), ["permissions c 0640 -> 0644"]);
});

inDirectory("what is in a directory that is moved in", async (at) => {
  await using seen = new Told(`${at}/d`, {});
  mkdirSync(`${at}/new`);
  writeFileSync(`${at}/new/file`, "");
  chmodSync(`${at}/new/file`, 0o644);
  await seen.watcher.ready;
  renameSync(`${at}/new`, `${at}/d/new`);
  await until(() => seen.watcher.coverage()[0]!.metadata!.files === 3);
  assert.deepEqual(await seen.changes(), []);
  chmodSync(`${at}/d/new/file`, 0o600);
  assert.deepEqual(await seen.changes(), ["permissions new/file 0644 -> 0600"]);
});

const SET_FLAGS = `
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>
struct { unsigned long long xflags; unsigned extsize, nextents, projid, cowextsize; } file;
int main(int argc, char **argv) {
  file.xflags = 0x80; /* FS_XFLAG_NODUMP */
  if (syscall(469, AT_FDCWD, argv[1], &file, 24L, 0) == 0) return 0; /* file_setattr */
  perror(argv[1]);
  return 1;
}
`;

/** A program that sets a flag by path, where the kernel has that. */
function flagSetter(at: string): string | undefined {
  writeFileSync(join(at, "set_flags.c"), SET_FLAGS);
  const program = join(at, "set_flags");
  run("cc", "-o", program, join(at, "set_flags.c"));
  writeFileSync(join(at, "probe"), "");
  return spawnSync(program, [join(at, "probe")]).status === 0 ? program : undefined;
}

using tools = new TemporaryDirectory();
const setter = isInstalled("cc") ? flagSetter(tools.path) : undefined;
const setterBytes = setter && new Uint8Array(execFileSync("cat", [setter]));
const noSetter = setterBytes ? false : "no C compiler (cc), or no file_setattr (Linux 6.17)";

inDirectory("flags that are set by path, without any event, are found by a sweep", async (at) => {
  using outside = new TemporaryDirectory();
  const program = join(outside.path, "set_flags");
  writeFileSync(program, setterBytes!);
  chmodSync(program, 0o755);
  await using seen = new Told(at, { metadata: { sweep: 50 } });
  await seen.watcher.ready;
  run(program, `${at}/b`);
  const event = await seen.next();
  assert.equal(seen.line(event), "flags b - -> nodump");
  assert.equal(event.synthetic, true);
  assert.deepEqual(seen.watcher.coverage()[0]!.metadata, {
    flags: ["closes", "sweep"],
    sweep: 50,
    files: 4,
  });
  chmodSync(`${at}/b`, 0o600);
  assert.deepEqual(await seen.changes(), ["permissions b 0644 -> 0600"]);
}, noSetter);

inDirectory("without sweeps they are told with the next change", async (at) => {
  using outside = new TemporaryDirectory();
  const program = join(outside.path, "set_flags");
  writeFileSync(program, setterBytes!);
  chmodSync(program, 0o755);
  await using seen = new Told(at, {});
  await seen.watcher.ready;
  run(program, `${at}/b`);
  assert.deepEqual(await seen.changes(), []);
  chmodSync(`${at}/b`, 0o600);
  assert.deepEqual(await seen.changes(), ["permissions b 0644 -> 0600", "flags b - -> nodump"]);
}, noSetter);

inDirectory("a sweep forgets what has gone", async (at) => {
  await using seen = new Told(at, { metadata: { sweep: 20 } });
  await seen.watcher.ready;
  rmSync(`${at}/a`);
  rmSync(`${at}/d`, { recursive: true });
  await until(() => seen.watcher.coverage()[0]!.metadata!.files === 2);
});

inDirectory(
  "what changes while files are looked at first is told, if not from what",
  async (at) => {
    for (let i = 0; i < 2000; i++) writeFileSync(`${at}/d/${i}`, "");
    for (let i = 0; i < 2000; i++) chmodSync(`${at}/d/${i}`, 0o644);
    await using seen = new Told(at, { events: ["modify.metadata", "create"] });
    await until(() => seen.watcher.coverage().length > 0); // armed, and walking
    for (let i = 0; i < 2000; i++) chmodSync(`${at}/d/${i}`, 0o600);
    await seen.watcher.ready;
    const lines = await seen.changes();
    assert.equal(lines.length, 2000);
    for (const line of lines) assert.match(line, /^(\? d\/\d+|permissions d\/\d+ 0644 -> 0600)$/);
  },
);

inDirectory("a path that is waited for", async (at) => {
  await using seen = new Told(at, { missing: "wait" }, `${at}/new`);
  await seen.watcher.ready;
  mkdirSync(`${at}/new`);
  writeFileSync(`${at}/new/file`, "");
  chmodSync(`${at}/new/file`, 0o644);
  while (seen.watcher.coverage()[0]!.metadata!.files < 2) await seen.next("the file");
  chmodSync(`${at}/new/file`, 0o604);
  let line = "";
  while (!line.startsWith("permissions")) line = seen.line(await seen.next("a chmod"));
  assert.match(line, /^permissions new\/file 06\d\d -> 0604$/);
});

inDirectory("closed in the midst of a walk, nothing goes on", async (at) => {
  for (let i = 0; i < 3000; i++) writeFileSync(`${at}/d/${i}`, "");
  const files = openFiles();
  for (let i = 0; i < 5; i++) {
    const watcher = watch(at, { metadata: { sweep: 1 } });
    const ready = watcher.ready.catch((error) => assert.equal(error.name, "AbortError"));
    await new Promise((resolve) => setTimeout(resolve, i * 3));
    await watcher.close();
    await ready;
  }
  assert.equal(openFiles(), files);
});

test("after a loss, what was lost is found and told before recovered", {
  skip: isRoot ? false : "needs root",
}, async () => {
  using place = new Filesystem("tmpfs");
  const limit = "/proc/sys/fs/inotify/max_queued_events";
  assert(existsSync(limit));
  const at = place.path;
  fill(at);
  for (let i = 0; i < 50; i++) writeFileSync(`${at}/d/${i}`, "");
  for (let i = 0; i < 50; i++) chmodSync(`${at}/d/${i}`, 0o644);
  await using seen = new Told(at, { backend: "inotify" });
  await seen.watcher.ready;
  await overflow(at);
  for (let i = 0; i < 50; i++) chmodSync(`${at}/d/${i}`, 0o600);
  const modes = new Map<string, number>();
  for (;;) {
    const { kind, path, attributes } = await seen.next(`recovered; so far ${modes.size}`);
    if (kind === "recovered") break;
    if (kind !== "modify.metadata.permissions") continue;
    assert.deepEqual(attributes.before, { mode: 0o644 }, path);
    modes.set(path, attributes.after!.mode!);
  }
  assert.equal(modes.size, 50);
  assert(modes.values().every((mode) => mode === 0o600));

  /** More than any queue takes, in one go. */
  function overflow(at: string): Promise<void> {
    const most = Number(execFileSync("cat", [limit], { encoding: "utf8" }));
    for (let i = 0; i < most / 2 + 100; i++) {
      copyless(`${at}/a`);
      copyless(`${at}/b`);
    }
    return Promise.resolve();
  }

  function copyless(path: string): void {
    utimesSync(path, PAST, PAST);
  }
});

inDirectory("a reader who is too slow is told in the end what it missed", async (at) => {
  for (let i = 0; i < 300; i++) {
    writeFileSync(`${at}/d/${i}`, "");
    chmodSync(`${at}/d/${i}`, 0o644);
  }
  await using slow = new Told(at, { backend: "inotify", events: ["modify.metadata"] });
  await slow.watcher.ready;
  // Who has room keeps the queue that they share moving.
  await using fast = new Told(at, { backend: "inotify", metadata: false, events: ["create"] });
  await fast.watcher.ready;
  for (let round = 0; round < 80; round++) {
    for (let i = 0; i < 300; i++) chmodSync(`${at}/d/${i}`, round % 2 === 0 ? 0o600 : 0o640);
    await fast.events();
    if (slow.watcher.stats().dropped > 0) break;
  }
  assert(slow.watcher.stats().dropped > 0);
  const modes = new Map<string, number>();
  for (;;) {
    const { kind, path, attributes: { before, after } } = await slow.next("recovered");
    if (kind === "recovered") break;
    if (kind !== "modify.metadata.permissions") continue;
    assert.equal(before!.mode, modes.get(path) ?? 0o644, path);
    modes.set(path, after!.mode!);
  }
  const now = (path: string) => statSync(path).mode & 0o7777;
  assert.equal(modes.size, 300);
  for (const [path, mode] of modes) assert.equal(mode, now(path), path);
});
