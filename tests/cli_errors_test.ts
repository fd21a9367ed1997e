/** `sentinode errors`, as a process of its own, for root and for nobody. */

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import test from "node:test";
import { NEEDS_ROOT, Run, runToEnd, Tmpfs } from "./command_line.ts";
import { deviceOf, Filesystem, mountImage, whyNot } from "./filesystem.ts";
import { TemporaryDirectory } from "./runtime.ts";

const broken = { skip: whyNot("ext4 broken"), timeout: 60_000 };

function trigger(at: Filesystem): void {
  writeFileSync(`/sys/fs/ext4/${basename(deviceOf(at.path))}/trigger_fs_error`, "x");
}

/** Without times and the path of the test. */
function plain({ lines }: Run, path: string): string[] {
  return lines.map((line) => line.replace(/^\S+ /, "").replaceAll(path, "").replace(/ +/g, " "));
}

test("what is broken, for root", broken, async () => {
  using at = new Filesystem("ext4 broken");
  await using run = new Run(["errors", at.path, "--no-space", "--count=3"]);
  await run.until("Watching", () => run.stderr.includes("\n"));
  const watching = `Watching ${at.path} for errors (ext4 on ${at.path}: fanotify, `;
  assert(run.stderr.startsWith(watching), run.stderr);
  trigger(at);
  await run.printed("EUCLEAN");
  spawnSync("cat", [join(at.path, "directory/broken")]);
  await run.printed("broken");
  execFileSync("mount", ["-o", "remount,abort", at.path]);
  assert.equal(await run.status(), 0);
  assert.deepEqual(plain(run, at.path), [
    "error.filesystem EUCLEAN",
    "error.filesystem /directory/broken EUCLEAN",
    "error.filesystem ESHUTDOWN",
  ]);
});

test("what is broken, for nobody: by the counters of ext4", broken, async () => {
  using at = new Filesystem("ext4 broken");
  chmodSync(join(at.path, "directory"), 0o755);
  const args = ["errors", at.path, "--json", "--raw", "--count=3"];
  await using run = new Run(args, { user: "nobody" });
  await run.until("two lines", () => /\n.*\n/.test(run.stderr));
  assert.match(run.stderr, /for errors \(ext4 on .*: ext4, statfs, quota\)\n/);
  assert.match(run.stderr, /Not by fanotify: .* needs? CAP_SYS_ADMIN: run as root/);
  trigger(at);
  await run.printed("EUCLEAN");
  spawnSync("cat", [join(at.path, "directory/broken")]);
  await run.printed("broken");
  execFileSync("mount", ["-o", "remount,abort", at.path]);
  assert.equal(await run.status(), 0);
  const events = run.lines.map((line) => JSON.parse(line));
  assert.deepEqual(
    events.map(({ kind, path, backend, attributes: { errno, count } }) => [
      kind,
      path.slice(at.path.length),
      backend,
      errno,
      count,
    ]),
    [
      ["error.filesystem", "", "ext4", 117, 1],
      ["error.filesystem", "/directory/broken", "ext4", 117, 1],
      ["error.filesystem", "", "ext4", 108, 1],
    ],
  );
  assert.equal(events[1].attributes.found.function, "ext4_lookup");
  assert.equal(events[1].attributes.found.time, events[1].raw.time);
});

test("unmounted, and mounted again, for nobody", broken, async () => {
  using at = new Filesystem("ext4 broken");
  const args = ["errors", at.path, "--no-space", "--format=%k %b", "--count=4"];
  await using run = new Run(args, { user: "nobody" });
  await run.until("two lines", () => /\n.*\n/.test(run.stderr));
  trigger(at);
  await run.printed("error.filesystem");
  execFileSync("umount", [at.path]);
  mountImage(join(at.base, "image"), at.path);
  await run.printed("recovered");
  trigger(at);
  assert.equal(await run.status(), 0);
  assert.deepEqual(run.lines, [
    "error.filesystem ext4",
    "lost sentinode",
    "recovered sentinode",
    "error.filesystem ext4",
  ]);
});

test("what is full, for root and for nobody", NEEDS_ROOT, async () => {
  using at = new Tmpfs();
  execFileSync("mount", ["-o", "remount,size=1m", at.path]);
  for (const user of ["root", "nobody"] as const) {
    const args = ["errors", at.path, "--interval=0.02", "--events=error.space", "--once"];
    await using run = new Run([...args, "--bytes=1000"], { user });
    await run.until("Watching", () => run.stderr.includes("\n"));
    assert.equal(run.stderr, `Watching ${at.path} for errors (tmpfs on ${at.path}: statfs)\n`);
    writeFileSync(join(at.path, "file"), new Uint8Array(1 << 20));
    assert.equal(await run.status(), 0);
    assert.deepEqual(plain(run, at.path), ["error.space ENOSPC 0 of 1048576 bytes free"]);
    writeFileSync(join(at.path, "file"), "");
  }
});

test("nothing happens: the timeout, and a signal", async () => {
  using at = new TemporaryDirectory();
  const args = ["errors", at.path, "--no-space"];
  const timeout = await runToEnd([...args, "--quiet", "--timeout=0.1"]);
  assert.deepEqual(timeout, { status: 2, stdout: "", stderr: "" });
  await using run = new Run(args);
  await run.until("Watching", () => run.stderr.includes("Watching"));
  run.kill("SIGTERM");
  assert.equal(await run.status(), 143);
  assert.match(run.stderr, /\n0 events, 0 lost\n$/);
});

for (
  const [args, message] of [
    [[], /Cannot .*PATH/],
    [["/no/such/path"], /^sentinode errors: Cannot watch \/no\/such\/path for errors: .*ENOENT/],
    [["/proc"], /Cannot watch \/proc for errors: proc is made up by the kernel\nHint: /],
    [["/tmp", "--events=erred"], /no such kind/],
    [["/tmp", "--bytes=-1"], /--bytes/],
    [["/tmp", "--interval=0"], /--interval 0: not a number of at least 0.01/],
    [["/tmp", "--no-space", "--bytes=1"], /--no-space/],
    [["/tmp", "--raw"], /--raw: it is for --json/],
  ] as const
) {
  test(`refused: errors ${args.join(" ")}`, async () => {
    const { status, stdout, stderr } = await runToEnd(["errors", ...args]);
    assert.equal(status, 1);
    assert.equal(stdout, "");
    assert.match(stderr, message);
  });
}
