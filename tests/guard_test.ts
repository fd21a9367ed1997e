/** What guard() asks about, who decides, and what those get who asked. */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, truncateSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import {
  type ByteRange,
  type DenialErrno,
  guard,
  type GuardRequest,
  type Operation,
  UnsupportedError,
  type Verdict,
  type WatchEvent,
} from "../mod.ts";
import { DENIAL_ERRNOS } from "../guard/decision.ts";
import type { FilesystemType } from "./filesystem.ts";
import { Guarded, Told, whyUnguarded } from "./guarded.ts";
import { isSince } from "./kernel.ts";

/** Whether the kernel asks about content before it is used, and takes errnos. */
const hasPreContent = isSince([6, 14]);

const on = (type: FilesystemType) => ({ skip: whyUnguarded(type), timeout: 60_000 });

/** What was told of decisions: kind, verdict, who decided. */
function told({ kind, attributes: { verdict, by } }: WatchEvent): string {
  return `${kind} ${verdict} ${by}`;
}

for (const type of ["tmpfs", "ext4"] as const) {
  test(
    `${type}: opens are allowed and denied, by what decide returns and resolves to`,
    on(type),
    async () => {
      using files = new Guarded(type);
      const asked: string[] = [];
      const decide = ({ path }: GuardRequest) => {
        asked.push(path);
        const verdict: Verdict = path.endsWith("good") ? "allow" : "deny";
        return path.includes("async") ? Promise.resolve(verdict) : { verdict };
      };
      await using gate = guard(files.path, { decide });
      const seen = new Told(gate);
      await gate.ready;
      const paths = ["good", "bad", "async good", "async bad"].map((name) => files.file(name));
      const used = [];
      for (const path of paths) used.push(...await files.use("open", path));
      assert.deepEqual(used.map(({ errno }) => errno), ["0", "EPERM", "0", "EPERM"]);
      assert.deepEqual(asked, paths);
      const events = await seen.first(4);
      assert.deepEqual(events.map(({ path }) => path), paths);
      assert.deepEqual(events.map(told), [
        "access.open allow decide",
        "access.open deny decide",
        "access.open allow decide",
        "access.open deny decide",
      ]);
      assert.deepEqual(events.map(({ actor }) => actor?.pid), used.map(({ pid }) => pid));
      for (const { actor, backend, attributes } of events) {
        assert.equal(actor!.self, false);
        assert.equal(backend, "guard");
        assert((attributes["waited"] as number) >= 0);
      }
      const { requests, allowed, denied, own, byDecide, byRule, byDefault, waiting } = gate.stats();
      assert.deepEqual(
        {
          requests: requests - own,
          allowed: allowed - own,
          denied,
          byDecide,
          byRule,
          byDefault,
          waiting,
        },
        { requests: 4, allowed: 2, denied: 2, byDecide: 4, byRule: 0, byDefault: 0, waiting: 0 },
      );
    },
  );
}

test("what is asked says who, what, and all about the file", on("tmpfs"), async () => {
  using files = new Guarded();
  const content = new Uint8Array(200_000).map((_, i) => i * i);
  const path = files.file("file", content);
  let look: Record<string, unknown> = {};
  let streamed: Uint8Array[] = [];
  let late: GuardRequest | undefined;
  await using gate = guard(files.path, {
    async decide(request) {
      late = request;
      look = {
        operation: request.operation,
        path: request.path,
        pathBytes: request.pathBytes,
        range: request.range,
        size: request.size,
        isOpenForWriting: request.isOpenForWriting,
        isWaiting: request.isWaiting,
        part: request.read(100, 3),
        end: request.read(199_999, 10),
        beyond: request.read(300_000),
        all: request.read(),
        actor: request.actor,
      };
      streamed = await Array.fromAsync(request.readable);
      return "allow" as const;
    },
  });
  await gate.ready;
  const [used] = await files.use("open", path);
  const { actor, ...rest } = look;
  assert.deepEqual(rest, {
    operation: "open",
    path,
    pathBytes: undefined,
    range: undefined,
    size: 200_000,
    isOpenForWriting: false,
    isWaiting: true,
    part: content.slice(100, 103),
    end: content.slice(199_999),
    beyond: new Uint8Array(),
    all: content,
  });
  assert.deepEqual(Buffer.concat(streamed), Buffer.from(content));
  const { pid, uid, gid, user, group, comm, exe, self, confidence, gone } = actor as NonNullable<
    WatchEvent["actor"]
  >;
  assert.deepEqual(
    { pid, uid, gid, user, group, comm, exe, self, confidence, gone },
    {
      pid: used!.pid,
      uid: 0,
      gid: 0,
      user: "root",
      group: "root",
      comm: "opener",
      exe: files.opener,
      self: false,
      confidence: "exact",
      gone: undefined,
    },
  );
  assert.equal(gate.stats().requests - gate.stats().own, 1, "reading it raises no event");
  assert.equal(late!.isWaiting, false);
  assert.equal(late!.extend(100), false);
  assert.equal(late!.path, path, "what was looked up stays");
  assert.throws(() => late!.read(), {
    code: "ESTALE",
    message: /^Cannot read .*: the request does not wait any more$/,
  });
  await assert.rejects(Array.fromAsync(late!.readable), { code: "ESTALE" });
});

for (const type of ["ext4", "xfs", "btrfs"] as const) {
  test(
    `${type}: a denial has the errno that was decided, with priority pre-content`,
    on(type),
    async () => {
      using files = new Guarded(type);
      let errno: DenialErrno | undefined;
      await using gate = guard(files.path, {
        priority: "pre-content",
        decide: () => ({ verdict: "deny", ...(errno === undefined ? {} : { errno }) }),
        rules: [{ path: "ruled", verdict: "deny", errno: "ETXTBSY" }],
      });
      const seen = new Told(gate);
      await gate.ready;
      const path = files.file("file");
      assert.equal(await files.try("open", path), "EPERM");
      const got = (decided: DenialErrno) => hasPreContent ? decided : "EPERM";
      for (errno of DENIAL_ERRNOS) assert.equal(await files.try("open", path), got(errno));
      assert.equal(await files.try("open", files.file("ruled")), got("ETXTBSY"));
      const told = (await seen.first(9)).map(({ attributes }) => attributes["errno"]);
      const decided = [undefined, undefined, ...DENIAL_ERRNOS.slice(1), "ETXTBSY"];
      assert.deepEqual(told, hasPreContent ? decided : decided.fill(undefined));
    },
  );
}

test("without priority pre-content an errno is EPERM, and that is told", on("tmpfs"), async () => {
  using files = new Guarded();
  await using gate = guard(files.path, { decide: () => ({ verdict: "deny", errno: "EIO" }) });
  const seen = new Told(gate);
  await gate.ready;
  assert.equal(await files.try("open", files.file("file")), "EPERM");
  const [event] = await seen.first(1);
  assert.equal(event!.attributes["errno"], undefined, "what is told is what the process got");
});

test("cat says what the kernel said", on("ext4"), async () => {
  using files = new Guarded("ext4");
  const errnos: readonly DenialErrno[] = ["EIO", "EPERM"];
  await using gate = guard(files.path, {
    priority: "pre-content",
    rules: errnos.map((errno) => ({ path: errno, verdict: "deny", errno })),
  });
  await gate.ready;
  const messages = [];
  for (const errno of errnos) {
    const { status, stderr } = await files.run("cat", files.file(errno));
    messages.push(`${status} ${stderr.trim().split(": ").at(-1)}`);
  }
  const denied = "1 Operation not permitted";
  assert.deepEqual(messages, [hasPreContent ? "1 Input/output error" : denied, denied]);
});

test("exec is denied, and the same file may be read", on("tmpfs"), async () => {
  using files = new Guarded();
  await using gate = guard(files.path, {
    on: ["open", "exec"],
    rules: [{ operation: "exec", path: "bad*", verdict: "deny" }],
  });
  const seen = new Told(gate);
  await gate.ready;
  const [good, bad] = [files.program("good"), files.program("bad")];
  const script = files.file("bad.sh", "#!/bin/sh\n");
  assert.equal((await files.run("chmod", "+x", script)).status, 0);
  assert.equal(await files.try("exec", good), "0");
  assert.equal(await files.try("exec", bad), "EPERM");
  assert.equal(await files.try("exec", script), "EPERM");
  assert.equal(await files.try("read", bad), "0");
  const events = (await seen.first(5)).map((event) => `${told(event)} ${event.path}`);
  assert.deepEqual(events, [
    `access.exec allow default ${good}`,
    `access.open allow default ${good}`,
    `access.exec deny rule ${bad}`,
    `access.exec deny rule ${script}`,
    `access.open allow default ${bad}`,
  ]);
});

test("reads are denied, opens are not asked about", on("tmpfs"), async () => {
  using files = new Guarded();
  const asked: Operation[] = [];
  await using gate = guard(files.path, {
    on: "read",
    decide({ operation, path }) {
      asked.push(operation);
      return path.endsWith("bad") ? "deny" : "allow";
    },
  });
  await gate.ready;
  const [good, bad] = [files.file("good"), files.file("bad")];
  assert.equal(await files.try("open", bad), "0");
  assert.equal(await files.try("write", bad), "0");
  assert.deepEqual(asked, []);
  assert.equal(await files.try("read", good), "0");
  assert.equal(await files.try("read", bad), "EPERM");
  assert.deepEqual(asked, ["read", "read"]);
});

test("under a steady load for longer than the timeout nobody is late", on("tmpfs"), async () => {
  using files = new Guarded();
  const path = files.file("file");
  await using gate = guard(files.path, { timeout: 300, decide: () => "allow" });
  await gate.ready;
  await files.run("sh", "-c", `i=0; while [ $i -lt 8000 ]; do true < ${path}; i=$((i+1)); done`);
  const { denied, byDecide } = gate.stats();
  assert.deepEqual({ denied, byDecide }, { denied: 0, byDecide: 8_000 });
});

test("directories are not asked about", on("tmpfs"), async () => {
  using files = new Guarded();
  files.file("file");
  await using gate = guard(files.path, { on: ["open", "read"], rules: [{ verdict: "deny" }] });
  await gate.ready;
  const { status, stdout } = await files.run("ls", files.path);
  assert.deepEqual([status, stdout], [0, "file\n"]);
  assert.equal(gate.stats().denied, 0);
});

for (const type of ["ext4", "xfs", "btrfs"] as const) {
  test(`${type}: content is filled in at its first use, range by range`, on(type), async () => {
    using files = new Guarded(type);
    const path = files.file("sparse", "");
    truncateSync(path, 40_960);
    const original = new Uint8Array(40_960).map((_, i) => 1 + i / 4096);
    const asked: ByteRange[] = [];
    await using gate = guard(files.path, {
      on: "access",
      decide({ operation, range, path: asking, write }) {
        assert.deepEqual([operation, asking, typeof write], ["access", path, "function"]);
        asked.push(range!);
        return "deny";
      },
      rules: [],
    });
    if (!hasPreContent) return await assert.rejects(gate.ready, UnsupportedError);
    await gate.ready;
    assert.equal(await files.try("open", path), "0");
    assert.deepEqual(asked, []);
    assert.equal(await files.try("read", path, { offset: 8192 }), "EPERM");
    assert.deepEqual(asked, [{ offset: 8192, count: 4096 }]);
    assert.equal(await files.try("read", path, { offset: 10_000, length: 5_000 }), "EPERM");
    assert.deepEqual(asked[1], { offset: 8192, count: 8192 });
    assert.equal(await files.try("write", path, { offset: 20_000 }), "EPERM");
    assert.deepEqual(asked[2], { offset: 16_384, count: 4096 });
    assert.equal(await files.try("map", path, { offset: 4096, length: 4096 }), "EPERM");
    assert.deepEqual(asked[3], { offset: 4096, count: 4096 });
    assert.equal(asked.length, 4);
    await gate.close();
    await using filling = guard(path, {
      on: "access",
      decide(request) {
        const { offset, count } = request.range!;
        request.write(original.slice(offset, offset + count), offset);
        return "allow";
      },
    });
    const seen = new Told(filling);
    await filling.ready;
    const skip = ["iflag=skip_bytes,count_bytes", "skip=12288", "count=4096", "status=none"];
    const { stdout } = await files.run("dd", `if=${path}`, "bs=4096", ...skip);
    assert.equal(stdout, "\x04".repeat(4096));
    assert.deepEqual(
      new Uint8Array(readFileSync(path)),
      original.map((byte) => byte === 4 ? byte : 0),
      "only what was asked for is filled in",
    );
    const [event] = await seen.first(1);
    assert.equal(told(event!), "access allow decide");
    assert.deepEqual(event!.attributes["range"], { offset: 12_288, count: 4096 });
  });
}

test(
  "a pre-content guard is asked before a content guard, and one that denies is the last",
  on("tmpfs"),
  async () => {
    using files = new Guarded();
    const asked: string[] = [];
    const say = (name: string) => ({ path }: GuardRequest): Verdict => {
      asked.push(name);
      return path.endsWith(name) ? "deny" : "allow";
    };
    await using content = guard(files.path, { decide: say("content") });
    await content.ready;
    await using before = guard(files.path, {
      priority: "pre-content",
      decide: say("before"),
    });
    await before.ready;
    assert.equal(await files.try("open", files.file("file")), "0");
    assert.deepEqual(asked.splice(0), ["before", "content"]);
    assert.equal(await files.try("open", files.file("not before")), "EPERM");
    assert.deepEqual(asked.splice(0), ["before"]);
    assert.equal(await files.try("open", files.file("not content")), "EPERM");
    assert.deepEqual(asked.splice(0), ["before", "content"]);
  },
);

test("a dry run allows all, and tells what would have been decided", on("tmpfs"), async () => {
  using files = new Guarded();
  await using gate = guard(files.path, {
    dryRun: true,
    timeout: 50,
    rules: [
      { path: "ruled", verdict: "deny" },
      { path: "cached", verdict: "allow", cache: "always" },
    ],
    decide({ path }) {
      if (path.endsWith("thrown")) throw new Error("thrown");
      return path.endsWith("late") ? new Promise(() => {}) : "deny";
    },
  });
  const seen = new Told(gate);
  await gate.ready;
  const names = ["ruled", "cached", "decided", "thrown", "late"];
  for (const name of names) assert.equal(await files.try("open", files.file(name)), "0", name);
  const events = await seen.first(5);
  assert.deepEqual(events.map((event) => told(event)), [
    "access.open deny rule",
    "access.open allow rule",
    "access.open deny decide",
    "access.open deny error",
    "access.open deny timeout",
  ]);
  assert(events.every(({ attributes }) => attributes["dryRun"] === true));
  const { allowed, denied, cached, remembered } = gate.stats();
  assert.deepEqual({ denied, cached, remembered }, { denied: 0, cached: 0, remembered: 0 });
  assert(allowed >= 5);
});

test(
  "paths are those of the files: no UTF-8, named as if deleted, deleted",
  on("tmpfs"),
  async () => {
    using files = new Guarded();
    await using gate = guard(files.path, { rules: [{ path: "*deny*", verdict: "deny" }] });
    const seen = new Told(gate);
    await gate.ready;
    const script = `cd ${files.path} && bytes=$(printf 'deny\\377'); > "$bytes"; cat "$bytes"`;
    await files.run("sh", "-c", script);
    const [created] = await seen.first(1);
    assert.equal(created!.path, join(files.path, "deny\uFFFD"));
    assert.deepEqual(created!.pathBytes?.at(-1), 0xff);
    assert.equal(created!.attributes["verdict"], "deny");
    const odd = files.file("x (deleted)");
    assert.equal(await files.try("open", odd), "0");
    assert.equal((await seen.first(3))[2]!.path, odd);
    const gone = files.file("gone");
    const reopen = `exec 3< ${gone} && rm ${gone} && cat /proc/self/fd/3`;
    assert.equal((await files.run("sh", "-c", reopen)).stdout, "gone");
    assert.deepEqual((await seen.first(5)).slice(3).map(({ path }) => path), [gone, gone]);
  },
);

test("a guard is iterated once, from then on it tells", on("tmpfs"), async () => {
  using files = new Guarded();
  await using gate = guard(files.path);
  await gate.ready;
  const [before, after] = [files.file("before"), files.file("after")];
  await files.use("open", before);
  readFileSync(before); // of which nothing is told, and which the responder answers after it has dealt with the other
  const seen = new Told(gate);
  assert.throws(
    () => gate[Symbol.asyncIterator](),
    /^TypeError: Cannot iterate the guard: it is already iterated$/,
  );
  await files.use("open", after);
  const [event] = await seen.first(1);
  assert.equal(event!.path, after);
  assert.equal(gate.stats().byDefault, 2);
  await gate.close();
  await seen.end;
});

test("decisions that the audit log is told of are decisions like others", {
  ...on("tmpfs"),
  skip: whyUnguarded("tmpfs") ||
    (existsSync("/proc/self/loginuid") ? false : "the kernel has no audit"),
}, async () => {
  using files = new Guarded();
  await using gate = guard(files.path, {
    audit: true,
    rules: [
      {
        path: "noted",
        verdict: "deny",
        audit: { rule: 7, subjectTrust: true, objectTrust: false },
      },
      { path: "plain", verdict: "allow", audit: true },
    ],
    decide: () => ({ verdict: "deny", audit: { rule: 2 ** 32 - 1 } }),
  });
  await gate.ready;
  const used = [];
  for (const name of ["noted", "plain", "decided"]) {
    used.push(await files.try("open", files.file(name)));
  }
  assert.deepEqual(used, ["EPERM", "0", "EPERM"]);
  assert.equal(gate.stats().errors, 0);
});

test("decide may read what is guarded, and start programs that are", on("tmpfs"), async () => {
  using files = new Guarded();
  const path = files.file("file");
  const program = files.program("true");
  const found: unknown[] = [];
  await using gate = guard(files.path, {
    on: ["open", "exec", "read"],
    decide(request) {
      if (request.operation !== "open") return "allow";
      found.push(readFileSync(request.path, "utf8"), spawnSync(program).status);
      return "deny";
    },
  });
  await gate.ready;
  assert.equal(await files.try("open", path), "EPERM");
  assert.deepEqual(found, ["file", 0]);
});
