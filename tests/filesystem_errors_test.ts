/** `filesystemErrors()` on filesystems that are broken, full, unmounted, over quota. */

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import {
  closeSync,
  cpSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { basename, join } from "node:path";
import test from "node:test";
import { type ErrorEvent, filesystemErrors, type FilesystemErrorsOptions } from "../mod.ts";
import { SystemError, UnsupportedError } from "../ffi/errno.ts";
import type { FilesystemErrors } from "../streams/filesystem_errors.ts";
import { Held, Tmpfs } from "./command_line.ts";
import { deviceOf, Filesystem, mountImage, type SpecialFilesystem, whyNot } from "./filesystem.ts";
import { setQuota } from "./quota.ts";
import { AS_NOBODY, isRoot, openLinks, TemporaryDirectory, until, within } from "./runtime.ts";

const on = (type: "ext4" | SpecialFilesystem) => ({ skip: whyNot(type), timeout: 60_000 });
const asRoot = { skip: isRoot ? false : "needs root", timeout: 60_000 };

/** A stream, and what it tells. */
class Told implements AsyncDisposable {
  readonly stream: FilesystemErrors;
  readonly #events: AsyncIterator<ErrorEvent>;

  constructor(paths: string | readonly string[], options: FilesystemErrorsOptions = {}) {
    this.stream = filesystemErrors(paths, options);
    this.#events = this.stream[Symbol.asyncIterator]();
  }

  static async on(paths: string | readonly string[], options?: FilesystemErrorsOptions) {
    const told = new Told(paths, options);
    await told.stream.ready;
    return told;
  }

  /** The next event. */
  async next(what = "an event"): Promise<ErrorEvent> {
    const { value } = await within(this.#events.next(), what);
    return value;
  }

  /** All that is told until the end. */
  async rest(): Promise<ErrorEvent[]> {
    await this.stream.close();
    const rest: ErrorEvent[] = [];
    for (;;) {
      const { done, value } = await this.#events.next();
      if (done) return rest;
      rest.push(value);
    }
  }

  /** The names of the sources that tell of the first path. */
  get active(): string[] {
    return this.stream.coverage()[0]!.sources.filter(({ active }) => active)
      .map(({ name }) => name);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stream.close();
  }
}

/** Where ext4 tells of a filesystem. */
function sysfsOf(path: string): string {
  return `/sys/fs/ext4/${basename(deviceOf(path))}`;
}

/** Has ext4 find an error that is not there. */
function trigger(path: string, times = 1): void {
  const file = `${sysfsOf(path)}/trigger_fs_error`;
  for (let i = 0; i < times; i++) writeFileSync(file, "x");
}

function errorCount(path: string): number {
  return Number(readFileSync(`${sysfsOf(path)}/errors_count`, "utf8"));
}

/** Opens a broken file, in vain, in another process. */
function meet(path: string): void {
  assert.match(String(spawnSync("cat", [path]).stderr), /Structure needs cleaning/);
}

function run(...[program, ...args]: readonly string[]): void {
  execFileSync(program!, args, { stdio: ["ignore", "ignore", "pipe"] });
}

// --- broken ---

test("an error that is set off, several times before it is read", on("ext4"), async () => {
  using at = new Filesystem("ext4");
  await using told = await Told.on(at.path);
  assert.deepEqual(told.active, ["fanotify", "statfs", "quota"]);
  trigger(at.path, 3);
  const { kind, path, backend, attributes, raw } = await told.next();
  assert.deepEqual([kind, path, backend], ["error.filesystem", at.path, "fanotify"]);
  const { errno, code, count, mount, inode } = attributes;
  assert.deepEqual([errno, code, count, inode], [117, "EUCLEAN", 3, undefined]);
  assert.deepEqual(mount, { point: at.path, type: "ext4" });
  assert.equal(JSON.parse(JSON.stringify(raw)).info.length, 2);
  assert.equal(told.stream.stats().errors, 3);
});

test("a broken file has its path, and to look for it is told once", on("ext4 broken"), async () => {
  using at = new Filesystem("ext4 broken");
  await using told = await Told.on(at.path);
  const broken = join(at.path, "directory/broken");
  for (let i = 0; i < 3; i++) {
    meet(broken);
    const { path, attributes: { errno, code, count, inode } } = await told.next();
    assert.deepEqual([path, errno, code, count], [broken, 117, "EUCLEAN", 1]);
    assert(inode! > 11);
  }
  const renamed = join(at.path, "renamed");
  renameSync(join(at.path, "directory"), renamed);
  meet(join(renamed, "broken"));
  assert.equal((await told.next()).path, join(renamed, "broken"));
  // The four, and that to open it by its handle, which was tried once.
  await until(() => errorCount(at.path) === 5);
  trigger(at.path);
  assert.equal((await told.next()).path, at.path);
  assert.deepEqual(await told.rest(), []);
});

test("a directory whose block is broken, which can be opened", on("ext4 broken"), async () => {
  using at = new Filesystem("ext4 broken");
  const image = join(at.base, "image");
  run("umount", at.path);
  run("debugfs", "-w", "-R", "zap_block -f /directory -p 0x55 0", image);
  mountImage(image, at.path, "errors=continue");
  await using told = await Told.on(at.path);
  const directory = join(at.path, "directory");
  spawnSync("ls", ["-l", directory]);
  const { path, attributes } = await told.next();
  assert.equal(path, directory);
  assert(["EUCLEAN", "EBADMSG"].includes(attributes.code!));
});

test(
  "a file that can be opened, and not read: also one that is removed by then",
  on("ext4 broken"),
  async () => {
    using at = new Filesystem("ext4 broken");
    const image = join(at.base, "image");
    const file = join(at.path, "directory/scattered");
    const fd = openSync(file, "w");
    for (let block = 0; block < 200; block += 2) {
      writeSync(fd, Uint8Array.of(1), 0, 1, block * 1024);
    }
    closeSync(fd);
    run("umount", at.path);
    const request = ["-R", "stat /directory/scattered", image];
    const status = String(spawnSync("debugfs", request).stdout);
    const [, leaf] = /\(ETB0\):(\d+)/.exec(status)!; // where its extents are
    run("debugfs", "-w", "-R", `zap_block -p 0x55 ${leaf}`, image);
    mountImage(image, at.path, "errors=continue");
    await using told = await Told.on(at.path);
    const inode = statSync(file).ino;
    {
      await using _reader = new Held(`exec 3< ${file}; rm ${file}; cat <&3 2> /dev/null; :`);
      const { path, attributes } = await told.next();
      assert.deepEqual([path, attributes.inode], [file, inode]);
      assert(["EUCLEAN", "EBADMSG"].includes(attributes.code!));
    }
  },
);

test("an aborted remount", on("ext4"), async () => {
  using at = new Filesystem("ext4");
  await using told = await Told.on(at.path);
  run("mount", "-o", "remount,abort", at.path);
  const { kind, path, attributes: { errno, code, count } } = await told.next();
  const expected = ["error.filesystem", at.path, 108, "ESHUTDOWN", 1];
  assert.deepEqual([kind, path, errno, code, count], expected);
});

test("two paths on one filesystem: one event, at the mount of the first", on("ext4"), async () => {
  using at = new Filesystem("ext4");
  const below = join(at.path, "below");
  mkdirSync(below);
  await using told = await Told.on([below, at.path]);
  assert.deepEqual(told.stream.coverage().map(({ path, mount }) => [path, mount!.point]), [
    [below, at.path],
    [at.path, at.path],
  ]);
  assert.equal(told.stream.stats().filesystems, 1);
  trigger(at.path);
  assert.equal((await told.next()).path, at.path);
  assert.deepEqual(await told.rest(), []);
});

test("copies of an image, which have one identity, are told apart", on("ext4"), async () => {
  using first = new Filesystem("ext4");
  using second = new Filesystem("ext4");
  run("umount", first.path);
  run("umount", second.path);
  cpSync(join(first.base, "image"), join(second.base, "image"));
  for (const { base, path } of [first, second]) {
    mountImage(join(base, "image"), path);
  }
  await using told = await Told.on([first.path, second.path]);
  trigger(second.path);
  assert.equal((await told.next()).path, second.path);
  trigger(first.path);
  assert.equal((await told.next()).path, first.path);
});

test(
  "a part that is mounted elsewhere: of a file outside, the path where it is",
  on("ext4 broken"),
  async () => {
    using at = new Filesystem("ext4 broken");
    const part = join(at.path, "part");
    const bound = join(at.base, "bound");
    mkdirSync(part);
    mkdirSync(bound);
    run("mount", "--bind", part, bound);
    await using told = await Told.on(bound);
    const broken = join(at.path, "directory/broken");
    meet(broken);
    const { path, attributes: { mount } } = await told.next();
    assert.deepEqual([path, mount!.point], [broken, bound]);
  },
);

test("a name that is no UTF-8", on("ext4 broken"), async () => {
  using at = new Filesystem("ext4 broken");
  await using told = await Told.on(at.path);
  const script = `mv "$1/directory" "$(printf '%s/\\377' "$1")"; cat "$1"/*/broken; true`;
  spawnSync("sh", ["-c", script, "sh", at.path]);
  const { path, pathBytes } = await told.next();
  assert.equal(path, `${at.path}/\ufffd/broken`);
  assert.equal(pathBytes!.indexOf(0xff), at.path.length + 1);
});

test(
  "it can be unmounted meanwhile; what is mounted there next is covered",
  on("ext4"),
  async () => {
    using at = new Filesystem("ext4");
    await using told = await Told.on(at.path);
    run("umount", at.path);
    const lost = await told.next("lost");
    assert.deepEqual([lost.kind, lost.path], ["lost", at.path]);
    assert.match(lost.attributes.reason!, /not mounted/);
    const [{ mount, sources }] = told.stream.coverage() as [
      ReturnType<FilesystemErrors["coverage"]>[0],
    ];
    assert.equal(mount, undefined);
    assert(sources.every(({ active, reason }) => !active && reason !== undefined));
    mountImage(join(at.base, "image"), at.path);
    const recovered = await told.next("recovered");
    assert.deepEqual([recovered.kind, recovered.path], ["recovered", at.path]);
    trigger(at.path);
    assert.equal((await told.next()).kind, "error.filesystem");
  },
);

test("what went wrong right before it was unmounted is told", on("ext4"), async () => {
  using at = new Filesystem("ext4");
  await using told = await Told.on(at.path);
  trigger(at.path, 2);
  run("umount", at.path);
  const [first, second] = [await told.next(), await told.next()];
  assert.deepEqual([first.kind, first.attributes.count, second.kind], [
    "error.filesystem",
    2,
    "lost",
  ]);
});

test("mounted anew before anybody looks: it is marked again", on("ext4"), async () => {
  using at = new Filesystem("ext4");
  await using told = await Told.on(at.path);
  run("umount", at.path);
  mountImage(join(at.base, "image"), at.path);
  const { kind, attributes: { reason } } = await told.next("lost");
  assert.equal(kind, "lost");
  assert.match(reason!, /mounted/);
  assert.equal((await told.next("recovered")).kind, "recovered");
  trigger(at.path);
  assert.equal((await told.next()).kind, "error.filesystem");
});

// --- full ---

const often = { space: { interval: 20 } };

/** Fills a file until there is no room. */
function fill(path: string): void {
  assert.match(
    String(spawnSync("dd", ["if=/dev/zero", `of=${path}`, "bs=64k"]).stderr),
    /No space/,
  );
}

function small(): Tmpfs {
  const at = new Tmpfs();
  run("mount", "-o", "remount,size=1m,nr_inodes=100", at.path);
  return at;
}

test("a full tmpfs is told once, and again when there was room between", asRoot, async () => {
  using at = small();
  await using told = await Told.on(at.path, often);
  assert.deepEqual(told.active, ["fanotify", "statfs", "quota"]);
  const file = join(at.path, "file");
  for (let i = 0; i < 2; i++) {
    fill(file);
    const { kind, path, backend, synthetic, attributes } = await told.next();
    assert.deepEqual([kind, path, backend, synthetic], ["error.space", at.path, "statfs", true]);
    const { errno, code, space, mount } = attributes;
    assert.deepEqual([errno, code, mount!.type], [28, "ENOSPC", "tmpfs"]);
    assert.deepEqual(space, { of: "bytes", free: 0, total: 1 << 20, least: 0 });
    rmSync(file);
    const { looks } = told.stream.stats();
    await until(() => told.stream.stats().looks > looks + 1); // one began behind the removal
  }
  assert.deepEqual(await told.rest(), []);
});

test("no inodes left", asRoot, async () => {
  using at = small();
  await using told = await Told.on(at.path, often);
  assert.throws(() => {
    for (let i = 0;; i++) mkdirSync(join(at.path, `${i}`));
  }, /ENOSPC/);
  const { kind, attributes: { code, space } } = await told.next();
  assert.deepEqual([kind, code, space!.of, space!.free], ["error.space", "ENOSPC", "inodes", 0]);
});

test("a limit of one's own: nothing has failed yet, and it may be so at once", asRoot, async () => {
  using at = small();
  await using told = await Told.on(at.path, { space: { bytes: 1 << 19, inodes: 5, interval: 20 } });
  writeFileSync(join(at.path, "file"), new Uint8Array(6e5));
  const { attributes: { errno, space } } = await told.next();
  assert.equal(errno, undefined);
  assert.equal(space!.least, 1 << 19);
  assert(space!.free > 0 && space!.free <= 1 << 19);
  await using late = await Told.on(at.path, { space: { bytes: 1 << 19 } });
  assert.equal((await late.next()).attributes.space!.of, "bytes");
});

test("what is read-only is not full", asRoot, async () => {
  using at = small();
  run("mount", "-o", "remount,ro", at.path);
  await using told = await Told.on(at.path, { space: { bytes: 1 << 30, interval: 20 } });
  const space = () => told.stream.coverage()[0]!.sources.find(({ name }) => name === "statfs")!;
  assert.deepEqual([space().active, space().reason], [false, "it is read-only"]);
  run("mount", "-o", "remount,rw", at.path);
  assert.equal((await told.next()).kind, "error.space");
  assert.equal(space().active, true);
});

// --- quota ---

for (const type of ["ext4 quota", "tmpfs quota"] as const) {
  test(`${type}: a user's quota is used up`, on(type), async () => {
    using at = new Filesystem(type);
    if (type === "ext4 quota") {
      await setQuota(deviceOf(at.path), 65534, {
        bytes: 1 << 20,
        softBytes: 1 << 18,
        inodes: 5,
      });
    }
    await using told = await Told.on(at.path, { space: false });
    const [program, ...args] = AS_NOBODY as [string, ...string[]];
    const asNobody = (script: string) =>
      String(spawnSync(program, [...args, "sh", "-c", script], { cwd: at.path }).stderr);
    assert.match(asNobody("head -c 2000000 /dev/zero > file"), /quota/);
    const of = { type: "user", id: 65534, causedBy: 65534 };
    if (type === "ext4 quota") {
      const { kind, attributes: { errno, quota } } = await told.next();
      assert.deepEqual([kind, errno], ["error.quota", undefined]); // nothing has failed yet
      assert.deepEqual(quota, { ...of, of: "bytes", limit: "soft" });
    }
    const { kind, path, backend, attributes } = await told.next();
    assert.deepEqual([kind, path, backend], ["error.quota", at.path, "quota"]);
    assert.deepEqual([attributes.errno, attributes.code], [122, "EDQUOT"]);
    assert.deepEqual(attributes.quota, { ...of, of: "bytes", limit: "hard" });
    assert.match(asNobody("touch 1 2 3 4 5 6"), /quota/);
    const inodes = await told.next();
    assert.deepEqual(inodes.attributes.quota, { ...of, of: "inodes", limit: "hard" });
    asNobody("rm *"); // below the limits again, which is no error
    assert.deepEqual(await told.rest(), []);
  });
}

// --- arguments, and the end ---

test("what is wrong with arguments is said at once", () => {
  const wrong = (options: unknown) => () =>
    filesystemErrors("/tmp", options as FilesystemErrorsOptions);
  assert.throws(() => filesystemErrors([]), /TypeError: Cannot watch no path/);
  assert.throws(wrong(null), /not an object/);
  assert.throws(wrong({ spaces: {} }), /option spaces: no such option/);
  assert.throws(wrong({ audit: "auto" }), /audit "auto": it is true or false/);
  assert.throws(wrong({ events: ["errors"] }), /no such kind/);
  assert.throws(wrong({ space: true }), /space true/);
  assert.throws(wrong({ space: { byte: 1 } }), /space\.byte: no such option/);
  assert.throws(wrong({ space: { bytes: "1" } }), TypeError);
  assert.throws(wrong({ space: { bytes: -1 } }), RangeError);
  assert.throws(wrong({ space: { bytes: NaN } }), RangeError);
  assert.throws(wrong({ space: { interval: 0 } }), RangeError);
  assert.throws(wrong({ space: { interval: 2 ** 31 } }), RangeError);
  assert.throws(wrong({ signal: {} }), /not an AbortSignal/);
});

test("a path that is not there, and one that the kernel makes up", async () => {
  const missing = filesystemErrors("/no/such/path");
  await assert.rejects(missing.ready, (error: SystemError) => error.code === "ENOENT");
  await assert.rejects(missing[Symbol.asyncIterator]().next(), SystemError);
  const proc = filesystemErrors(["/tmp", "/proc/self"]);
  await assert.rejects(proc.ready, UnsupportedError);
  await proc.close();
});

test("only what is wanted is opened, and told", async () => {
  using at = new TemporaryDirectory();
  await using told = await Told.on(at.path, {
    events: ["error.space"],
    space: { inodes: 2 ** 52, bytes: 2 ** 62, interval: 20 },
  });
  assert.deepEqual(told.active, ["statfs"]);
  const reasons = Object.fromEntries(
    told.stream.coverage()[0]!.sources.map(({ name, reason }) => [name, reason]),
  );
  assert.equal(reasons["quota"], "none of its kinds is wanted");
  assert.equal(reasons["audit"], "audit is false");
  assert.equal((await told.next()).kind, "error.space");
});

test("all is given back: close, break, the signal, a failure", async () => {
  using at = new TemporaryDirectory();
  const real = realpathSync(at.path);
  const full = { space: { bytes: 2 ** 62, interval: 20 } };
  await (await Told.on(real)).stream.close(); // what the first use of all opens stays open
  const before = openLinks();
  const closed = filesystemErrors(real, full);
  await closed.ready;
  assert.equal(closed.close(), closed.close());
  await closed.close();
  for await (const { kind } of filesystemErrors(real, full)) {
    assert.equal(kind, "error.space");
    break;
  }
  const abort = new AbortController();
  const aborted = filesystemErrors(real, { signal: abort.signal });
  await aborted.ready;
  abort.abort();
  for await (const _ of aborted) assert.fail("it is aborted");
  const early = filesystemErrors(real, { signal: AbortSignal.abort() });
  for await (const _ of early) assert.fail("it was aborted before");
  await filesystemErrors(real).close();
  await assert.rejects(filesystemErrors("/no/such/path").ready);
  await until(() => openLinks().length <= before.length);
});

test("one consumer", async () => {
  await using stream = filesystemErrors("/tmp");
  stream[Symbol.asyncIterator]();
  assert.throws(() => stream.batches(), /Cannot iterate the stream of errors: it is already/);
});
