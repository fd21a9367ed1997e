/** Calls that fail for want of space, as audit tells them to `filesystemErrors()`. */

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { join } from "node:path";
import test from "node:test";
import { encodeRule } from "../backends/audit/rules.ts";
import { auditArchNamed } from "../ffi/abi/audit_arches.ts";
import { syscallNumber } from "../ffi/abi/syscall_names.ts";
import { type ErrorEvent, filesystemErrors } from "../mod.ts";
import { failedCallRules } from "../streams/error_sources/failed_calls.ts";
import { Audited, whyUnaudited } from "./audited.ts";
import { Held, Tmpfs } from "./command_line.ts";
import { deviceOf, Filesystem, whyNot } from "./filesystem.ts";
import { setQuota } from "./quota.ts";
import { AS_NOBODY, within } from "./runtime.ts";

test("the rules are for calls that take room on a filesystem, and for no others", () => {
  for (const name of ["x86_64", "i386", "aarch64", "arm"]) {
    const arch = auditArchNamed(name)!;
    const rules = failedCallRules([name]);
    assert.deepEqual(
      rules.map(({ fields }) => fields.map(({ value }) => value)),
      [[name, -28], [name, -122]],
    );
    for (const rule of rules) {
      encodeRule(rule);
      const has = (call: string) =>
        (rule.syscalls as readonly number[]).includes(syscallNumber(arch, call)!);
      for (const call of ["write", "openat", "mkdirat", "fallocate", "fsetxattr"]) {
        assert(has(call), `${name} ${call}`);
      }
      // Their ENOSPC and EDQUOT are of watches, marks, mounts, namespaces, keys.
      const others = [
        "inotify_add_watch",
        "fanotify_mark",
        "epoll_ctl",
        "mount",
        "unshare",
        "add_key",
      ];
      for (const call of [...others, "keyctl", "request_key", "read"]) assert(!has(call), call);
    }
  }
});

const settings = { skip: whyUnaudited, timeout: 60_000 };

/** A full tmpfs, and the stream of its errors by audit alone. */
async function audited(test: (at: string, next: () => Promise<ErrorEvent>) => Promise<void>) {
  await using audit = await Audited.open();
  using at = new Tmpfs();
  execFileSync("mount", ["-o", "remount,size=64k,nr_inodes=4", at.path]);
  {
    await using stream = filesystemErrors(at.path, { audit: true, space: false });
    await stream.ready;
    const [{ sources }] = stream.coverage() as [ReturnType<typeof stream.coverage>[0]];
    assert.deepEqual(sources.find(({ name }) => name === "audit")!.active, true);
    const events = stream[Symbol.asyncIterator]();
    await test(at.path, async () => (await within(events.next(), "an error", 20_000)).value);
  }
  await audit.isAsBefore();
}

test("a name that is not given any more: by the record's device", settings, async () => {
  await audited(async (at, next) => {
    for (let i = 0; spawnSync("mkdir", [join(at, `${i}`)]).status === 0; i++);
    const { kind, path, backend, actor, attributes } = await next();
    assert.deepEqual([kind, backend, actor!.comm], ["error.space", "audit", "mkdir"]);
    assert.match(path, /^\/.*\/\d$/);
    assert.equal(path.startsWith(`${at}/`), true);
    const { errno, code, operation, confidence, mount, unresolved } = attributes;
    assert.deepEqual([errno, code, operation, confidence], [28, "ENOSPC", "mkdir", "exact"]);
    assert.deepEqual([mount!.point, unresolved], [at, undefined]);
  });
});

test("a write to a file that stays open: likely", settings, async () => {
  await audited(async (at, next) => {
    const file = join(at, "file");
    await using held = new Held(`exec >> ${file} 2> /dev/null; while printf %1000d 1; do :; done`);
    const { kind, path, actor, attributes } = await next();
    assert.deepEqual([kind, path, actor!.pid], ["error.space", file, held.pid]);
    const { code, syscall, confidence, mount } = attributes;
    assert.deepEqual([code, syscall, confidence], ["ENOSPC", "write", "likely"]);
    assert.equal(mount!.point, at);
  });
});

test("a write to a file that is closed by then: nobody knows where", settings, async () => {
  await audited(async (at, next) => {
    const script = `while printf %1000d 1 >> ${join(at, "file")}; do :; done 2> /dev/null`;
    const { pid } = spawnSync("sh", ["-c", script]); // nothing is read before it has ended
    const { kind, path, actor, attributes } = await next();
    assert.deepEqual([kind, path, actor!.pid], ["error.space", "", pid]);
    const { code, syscall, confidence, mount, unresolved } = attributes;
    assert.deepEqual([code, syscall, unresolved], ["ENOSPC", "write", true]);
    assert.deepEqual([confidence, mount], [undefined, undefined]);
  });
});

test("a write to another filesystem that is full is not told", settings, async () => {
  await audited(async (at, next) => {
    using other = new Tmpfs();
    execFileSync("mount", ["-o", "remount,size=64k,nr_inodes=4", other.path]);
    const fill = (path: string) =>
      `exec >> ${join(path, "file")} 2> /dev/null; while printf %1000d 1; do :; done`;
    await using elsewhere = new Held(`${fill(other.path)}; echo done > ${join(at, "ended")}`);
    assert(elsewhere.pid > 0);
    await using _here = new Held(
      `until test -e ${join(at, "ended")}; do sleep 0.01; done; ${fill(at)}`,
    );
    const { path } = await next();
    assert.equal(path, join(at, "file"));
  });
});

const quota = { skip: whyUnaudited || whyNot("ext4 quota"), timeout: 60_000 };

test("who has used up a quota, and of what", quota, async () => {
  await using audit = await Audited.open();
  using at = new Filesystem("ext4 quota");
  await setQuota(deviceOf(at.path), 65534, { bytes: 0, softBytes: 0, inodes: 2 });
  {
    await using stream = filesystemErrors(at.path, { audit: true, events: ["error.quota"] });
    await stream.ready;
    const [program, ...args] = AS_NOBODY as [string, ...string[]];
    const { stderr } = spawnSync(program, [...args, "touch", "1", "2", "3"], { cwd: at.path });
    assert.match(String(stderr), /quota/);
    const told: ErrorEvent[] = [];
    const events = stream[Symbol.asyncIterator]();
    while (told.length < 2) told.push((await within(events.next(), "an error", 20_000)).value);
    told.sort((one, other) => one.backend < other.backend ? -1 : 1);
    assert.deepEqual(told.map(({ kind, backend }) => `${kind} ${backend}`), [
      "error.quota audit",
      "error.quota quota",
    ]);
    const [{ path, actor, attributes }] = told as [ErrorEvent];
    assert.deepEqual([path, actor!.comm, actor!.uid], [join(at.path, "3"), "touch", 65534]);
    const { errno, code, operation, confidence } = attributes;
    assert.deepEqual([errno, code, operation, confidence], [122, "EDQUOT", "open", "exact"]);
    assert.equal(told[1]!.attributes.quota!.limit, "hard");
  }
  await audit.isAsBefore();
});
