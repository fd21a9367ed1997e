/** What `capabilities()` finds, for those who may do everything and those who may do little. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import test from "node:test";

import { SystemError } from "../ffi/errno.ts";
import { type Capabilities, capabilities, type Probe } from "../watch/capabilities.ts";
import { watch } from "../watch/watch.ts";
import { Audited, whyUnaudited } from "./audited.ts";
import { whyNoKeys } from "./keyed.ts";
import {
  isDeno,
  isRoot,
  moduleFile,
  NOBODY,
  openLinks,
  runScript,
  TemporaryDirectory,
} from "./runtime.ts";

const NEEDS_ROOT = { skip: isRoot ? false : "needs root" };

const NAMES = [
  "inotify",
  "fanotify",
  "fanotify-unlimited",
  "fanotify-pidfd",
  "fanotify-fd-error",
  "inode-mark",
  "mount-mark",
  "filesystem-mark",
  "open-by-handle",
  "rename-event",
  "permission-events",
  "pre-content-events",
  "mount-events",
  "filesystem-errors",
  "ext4-error-count",
  "quota-warnings",
  "audit-rules",
  "audit-multicast",
  "watch-queue",
];

/** A script that prints what it finds. */
const SCRIPT = `
import process from "node:process";
import { capabilities } from ${JSON.stringify(moduleFile("watch/capabilities.ts"))};
console.log(JSON.stringify(await capabilities(process.argv[2])));
`;

async function asNobody(path: string): Promise<Capabilities> {
  const flags = isDeno ? ["--allow-ffi"] : [];
  const init = { asNobody: true, flags, args: [path] };
  const { status, stdout, stderr } = await runScript(SCRIPT, init);
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout);
}

/** Each "no" has its reason and remedy, each "yes" neither. */
function checkProbes(probes: readonly Probe[]): Map<string, Probe> {
  assert.deepEqual(probes.map(({ name }) => name), NAMES);
  for (const { name, about, available, reason, remedy } of probes) {
    assert.notEqual(about, "");
    assert.equal(reason === undefined, available, name);
    assert.equal(remedy === undefined, available, name);
    if (!available) assert.match(reason!, /^\w+ says E[A-Z]+$/, name);
  }
  return new Map(probes.map((probe) => [probe.name, probe]));
}

test("says where it is", async () => {
  const { runtime, kernel, machine, uid, path } = await capabilities();
  assert.equal(runtime.name, isDeno ? "Deno" : "Bun");
  assert.equal(runtime.version, process.versions[isDeno ? "deno" : "bun"]);
  assert.equal(kernel, readFileSync("/proc/sys/kernel/osrelease", "utf8").trim());
  assert.equal(machine, process.arch);
  assert.equal(uid, process.geteuid!());
  assert.equal(path, process.cwd());
});

test("tries everything, and each no has its reason and remedy", async () => {
  using at = new TemporaryDirectory();
  const probes = checkProbes((await capabilities(at.path)).probes);
  assert.equal(probes.get("inotify")!.available, true);
});

test("takes a file as well, and a relative path", async () => {
  using at = new TemporaryDirectory();
  writeFileSync(join(at.path, "file"), "");
  const { path, probes } = await capabilities(join(at.path, "file"));
  assert.equal(path, join(at.path, "file"));
  const ofDirectory = (await capabilities(at.path)).probes;
  const available = (list: readonly Probe[]) => list.map(({ available }) => available);
  assert.deepEqual(available(checkProbes(probes).values().toArray()), available(ofDirectory));
  assert.equal((await capabilities("..")).path, join(process.cwd(), ".."));
});

const HAS_CAPSH = spawnSync("capsh", ["--version"]).error === undefined;

test("names the capabilities in effect", { skip: HAS_CAPSH ? false : "no capsh(1)" }, async () => {
  const { capabilities: held } = await capabilities();
  const [, bits] = /^CapEff:\s*(\w+)$/m.exec(readFileSync("/proc/self/status", "utf8"))!;
  const names = spawnSync("capsh", [`--decode=${bits}`]).stdout.toString().toUpperCase();
  assert.deepEqual(Object.keys(held), [
    "CAP_SYS_ADMIN",
    "CAP_DAC_READ_SEARCH",
    "CAP_AUDIT_READ",
    "CAP_AUDIT_CONTROL",
    "CAP_AUDIT_WRITE",
  ]);
  for (const [name, has] of Object.entries(held)) assert.equal(names.includes(name), has, name);
});

test("nobody has no capability, and is told which is missing", NEEDS_ROOT, async () => {
  using at = new TemporaryDirectory(NOBODY);
  const { uid, capabilities: held, probes } = await asNobody(at.path);
  assert.equal(uid, 65534);
  assert.deepEqual(Object.values(held), [false, false, false, false, false]);
  const byName = checkProbes(probes);
  assert.equal(byName.get("inotify")!.available, true);
  for (
    const name of [
      "fanotify-unlimited",
      "fanotify-pidfd",
      "mount-mark",
      "filesystem-mark",
      "open-by-handle",
      "permission-events",
      "pre-content-events",
      "audit-rules",
      "audit-multicast",
    ]
  ) {
    const { available, remedy } = byName.get(name)!;
    assert.equal(available, false, name);
    assert.match(remedy!, /CAP_(SYS_ADMIN|DAC_READ_SEARCH|AUDIT_CONTROL|AUDIT_READ)/, name);
  }
});

test("a directory that may not be read", NEEDS_ROOT, async () => {
  using at = new TemporaryDirectory();
  chmodSync(at.path, 0o711);
  const { reason, remedy } = checkProbes((await asNobody(at.path)).probes).get("inotify")!;
  assert.equal(reason, "inotify_add_watch says EACCES");
  assert.match(remedy!, /may read/);
});

test("a filesystem without marks of its own", NEEDS_ROOT, async () => {
  const { reason, remedy } = checkProbes((await capabilities("/proc")).probes).get(
    "filesystem-mark",
  )!;
  assert.match(reason!, /^fanotify_mark says (EOPNOTSUPP|ENODEV)$/); // ENODEV: without an fsid, on 6.1
  assert.match(remedy!, /inotify/);
});

test("rejects where there is no such path", async () => {
  await assert.rejects(capabilities("/no/such/path"), (error) => {
    assert.ok(error instanceof SystemError);
    assert.equal(error.code, "ENOENT");
    assert.equal(error.path, "/no/such/path");
    assert.match(error.message, /^Cannot examine \/no\/such\/path: /);
    return true;
  });
  await assert.rejects(capabilities(""), TypeError);
});

/** Files and what watches them, of those that this process has open. */
function openFiles(): string[] {
  return openLinks().filter((link) => /inotify|fanotify|^\//.test(link)).toSorted();
}

test("the watch queue: the pipe is asked for, and the remedy names what the kernel lacks", async () => {
  const { available, reason, remedy } = checkProbes((await capabilities()).probes).get(
    "watch-queue",
  )!;
  assert.equal(available, whyNoKeys === false);
  if (available) return;
  assert.match(reason!, /^(pipe2|keyctl) says /);
  assert.match(remedy!, /CONFIG_WATCH_QUEUE and CONFIG_KEY_NOTIFICATIONS.*Fedora.*Debian|seccomp/);
});

test("leaves no file descriptor behind", async () => {
  using at = new TemporaryDirectory();
  await capabilities(at.path);
  const before = openFiles();
  for (let i = 0; i < 5; i++) await capabilities(at.path);
  assert.deepEqual(openFiles(), before);
});

test("limits: their values, and how much of them is used by whom", async () => {
  using at = new TemporaryDirectory();
  const used = async (name: string) =>
    (await capabilities(at.path)).limits.find((limit) => limit.name === name)!;
  for (const { name, value } of (await capabilities(at.path)).limits) {
    const file = `/proc/sys/${name.replaceAll(".", "/")}`;
    assert.equal(value, Number(readFileSync(file, "utf8")), name);
  }
  assert.equal((await used("fs.inotify.max_queued_events")).used, undefined);
  // More than any other process of this user can be expected to hold, so that it is among the first.
  await using watcher = watch(at.path, { backend: "inotify", recursive: false });
  await watcher.ready;
  const { used: count, users } = await used("fs.inotify.max_user_watches");
  assert.ok(count! >= 1);
  assert.ok(users.length >= 1 && users.length <= 3);
  for (const { used } of users) assert.ok(used >= 1);
  assert.deepEqual(
    users.map(({ used }) => used),
    users.map(({ used }) => used).toSorted((a, b) => b - a),
  );
});

test("tells the state of audit to those who may ask", {
  skip: whyUnaudited,
  timeout: 60_000,
}, async () => {
  await using audited = await Audited.open();
  const { audit } = await capabilities();
  const { enabled, backlogLimit, lost } = audited.control.status();
  assert.equal(enabled, 0);
  assert.deepEqual(audit, { enabled: false, locked: false, backlogLimit, backlog: 0, lost });
  audited.control.set({ enabled: 1 });
  assert.equal((await capabilities()).audit!.enabled, true);
  audited.control.set({ enabled: 0 });
  assert.equal((await asNobody("/")).audit, undefined);
});
