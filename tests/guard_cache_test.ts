/** Who and what is not asked about: ignored files and processes, and files that the kernel remembers. */

import assert from "node:assert/strict";
import { appendFileSync, closeSync, openSync, renameSync, writeFileSync } from "node:fs";
import { spawn } from "node:child_process";
import { once } from "node:events";
import test from "node:test";
import { type Cache, type Guard, guard, type GuardOptions, type Operation } from "../mod.ts";
import type { FilesystemType } from "./filesystem.ts";
import { Guarded, Told, whyUnguarded } from "./guarded.ts";
import { isUserMode } from "./kernel.ts";
import { until } from "./runtime.ts";

const on = (type: FilesystemType) => ({ skip: whyUnguarded(type), timeout: 60_000 });

/** Two ways to the same decision. */
function ways(cache: Cache): Readonly<Record<string, GuardOptions>> {
  return {
    "a rule": { rules: [{ verdict: "allow", cache }] },
    "decide": { decide: () => ({ verdict: "allow", cache }) },
  };
}

/** How often others were asked about. */
function asked(gate: Guard): number {
  const { byRule, byDecide, byDefault } = gate.stats();
  return byRule + byDecide + byDefault;
}

/**
 * Until the clock has moved on far enough for the next change of a file to have another time: what was changed just now
 * is not remembered.
 */
async function settled(path: string): Promise<string> {
  const changed = Date.now();
  await until(() => Date.now() - changed > 50);
  return path;
}

for (const type of ["tmpfs", "ext4"] as const) {
  for (const [way, options] of Object.entries(ways("until-modified"))) {
    test(
      `${type}: ${way} has the kernel remember a file until it is modified`,
      on(type),
      async () => {
        using files = new Guarded(type);
        const path = await settled(files.file("file"));
        await using gate = guard(files.path, options);
        const seen = new Told(gate);
        await gate.ready;
        const uses = async (count: number) => {
          const before = asked(gate);
          for (let i = 0; i < 5; i++) {
            assert.equal(await files.try("read", path), "0");
            if (count === 1) await until(() => gate.stats().remembered === 1);
          }
          assert.equal(asked(gate) - before, count);
          // What is told is remembered already, where it is to be: that comes behind the answer.
          await until(() => seen.events.length === asked(gate));
        };
        await uses(1);
        assert.equal(gate.stats().cached, 1);
        assert.equal(gate.stats().remembered, 1);
        assert.equal(seen.events[0]!.attributes["cache"], "until-modified");
        appendFileSync(path, "more");
        await settled(path);
        assert.equal(gate.stats().remembered, 0);
        await uses(1);
        assert.equal(gate.stats().remembered, 1);
        assert.equal(gate.forget(path), true);
        assert.equal(gate.forget(path), false);
        assert.equal(gate.stats().remembered, 0);
        await uses(1);

        // Another file of the same name.
        renameSync(await settled(files.file("other")), path);
        await settled(path);
        await uses(1);

        // While it is open for writing it is asked about each time.
        const fd = openSync(path, "a");
        assert.equal(gate.forget(path), true);
        await uses(5);
        assert.equal(gate.forget(path), false);
        closeSync(fd);
        await uses(1);
      },
    );
  }

  for (const [way, options] of Object.entries(ways("always"))) {
    test(`${type}: ${way} has the kernel remember a file for good`, on(type), async () => {
      using files = new Guarded(type);
      const path = files.file("file");
      await using gate = guard(files.path, options);
      await gate.ready;
      const fd = openSync(path, "a");
      for (let i = 0; i < 5; i++) {
        assert.equal(await files.try("read", path), "0");
        await until(() => gate.stats().remembered === 1);
      }
      closeSync(fd);
      appendFileSync(path, "more");
      for (let i = 0; i < 5; i++) assert.equal(await files.try("read", path), "0");
      assert.equal(asked(gate), 1);
      await until(() => gate.stats().cached === 1); // it is counted behind the answer
      assert.equal(gate.stats().remembered, 1);
      assert.equal(gate.forget(path), true);
      assert.equal(await files.try("read", path), "0");
      assert.equal(asked(gate), 2);
    });
  }
}

test("a file that changes while it is decided on is not remembered", on("ext4"), async () => {
  using files = new Guarded("ext4");
  const path = await settled(files.file("file"));
  await using gate = guard(files.path, {
    decide(request) {
      request.read();
      appendFileSync(path, "more");
      return { verdict: "allow", cache: "until-modified" };
    },
  });
  await gate.ready;
  for (let i = 0; i < 3; i++) assert.equal(await files.try("open", path), "0");
  assert.equal(asked(gate), 3);
  assert.equal(gate.stats().remembered, 0);
});

test("what is remembered of one operation says nothing of another", on("tmpfs"), async () => {
  using files = new Guarded();
  const path = await settled(files.file("file"));
  await using gate = guard(files.path, {
    on: ["open", "read"],
    rules: [{ operation: "open", verdict: "allow", cache: "until-modified" }, { verdict: "deny" }],
  });
  await gate.ready;
  for (let i = 0; i < 3; i++) {
    const got = await files.try("read", path);
    assert.equal(got, "EPERM", `${i} ${JSON.stringify(gate.stats())}`);
    await until(() => gate.stats().remembered === 1);
  }
  assert.equal(asked(gate), 4);
  assert.equal(gate.forget(path), true);
  assert.equal(await files.try("open", path), "0");
  assert.equal(asked(gate), 5);
});

for (const first of ["open", "read"] as const) {
  test(
    `${first} is remembered until it is modified where the other one is for good`,
    on("tmpfs"),
    async () => {
      using files = new Guarded();
      const path = await settled(files.file("file"));
      const cacheOf = (operation: Operation) => operation === first ? "until-modified" : "always";
      await using gate = guard(files.path, {
        on: ["open", "read"],
        rules: (["open", "read"] as const).map((operation) => ({
          operation,
          verdict: "allow",
          cache: cacheOf(operation),
        })),
      });
      const seen = new Told(gate);
      await gate.ready;
      const uses = async () => {
        const before = seen.events.length;
        assert.equal(await files.try("read", path), "0");
        await until(() => gate.stats().remembered === 1 && seen.events.length === asked(gate));
        return seen.events.slice(before).map(({ kind }) => kind);
      };
      assert.deepEqual(await uses(), ["access.open", "access.read"]);
      for (let i = 0; i < 2; i++) {
        // Of a file of which something is remembered for good, nothing else is until it is modified.
        assert.deepEqual(await uses(), [`access.${first}`]);
        appendFileSync(path, "more");
        await settled(path);
      }
    },
  );
}

test("a directory is not ignored", on("tmpfs"), async () => {
  using files = new Guarded();
  await using gate = guard(files.path);
  await gate.ready;
  assert.throws(() => gate.ignore(files.path), {
    code: "EISDIR",
    message: `Cannot ignore ${files.path}: it is a directory (EISDIR)`,
    hint: "a rule with its path and /** allows what is in it",
  });
});

/** Enough to show within a moment what goes wrong in one of a thousand. */
const READS = isUserMode ? 500 : 5000;

/** Opens a file and reads from it, again and again; how often that was let pass. */
const READER = `
my ($path, $count) = @ARGV;
my $passed = 0;
for (1..$count) {
  open(my $file, "<", $path) or die "open: $!";
  $passed++ if defined sysread($file, my $byte, 1);
}
print $passed;
`;

/** Opens are remembered, and reads denied. */
const remembering = (cache: Cache): GuardOptions => ({
  rules: [{ operation: "open", verdict: "allow", cache }, { verdict: "deny" }],
});

/** What a guard does to the marks of a file that is read, and what else is done meanwhile. */
const CHANGES: Readonly<
  Record<string, readonly [GuardOptions, (path: string, gate: Guard) => void]>
> = {
  "remembered until it is modified": [
    remembering("until-modified"),
    (path) => appendFileSync(path, "more"),
  ],
  "remembered for good, and forgotten": [
    remembering("always"),
    (path, gate) => void gate.forget(path),
  ],
  "looked at for writers": [
    {
      decide(request) {
        assert.equal(request.isOpenForWriting, false);
        return request.operation === "open" ? "allow" : "deny";
      },
    },
    () => {},
  ],
};

for (const [what, [options, change]] of Object.entries(CHANGES)) {
  test(`no denied read of a file passes while it is ${what}`, on("tmpfs"), async () => {
    using files = new Guarded();
    const path = files.file("file");
    await using gate = guard(files.path, { on: ["open", "read"], ...options });
    await gate.ready;
    const changing = setInterval(() => {
      for (let i = 0; i < 20; i++) change(path, gate);
    });
    try {
      const { stdout, stderr } = await files.run("perl", "-e", READER, path, `${READS}`);
      assert.deepEqual({ stdout, stderr }, { stdout: "0", stderr: "" });
    } finally {
      clearInterval(changing);
    }
    assert.equal(gate.stats().denied, READS);
  });
}

for (const scope of ["tree", "filesystem"] as const) {
  test(
    `scope ${scope}: files are ignored, from the beginning and later, whatever becomes of them`,
    on("tmpfs"),
    async () => {
      using files = new Guarded();
      const [first, later] = [files.file("first"), files.file("later")];
      await using gate = guard(files.path, {
        scope,
        rules: [{ verdict: "deny" }],
        ignore: [first],
      });
      await gate.ready;
      writeFileSync(first, "other");
      assert.equal(await files.try("open", first), "0");
      assert.equal(await files.try("open", later), "EPERM");
      gate.ignore(later);
      writeFileSync(later, "other");
      assert.equal(await files.try("open", later), "0");
      assert.equal(gate.stats().remembered, 2);
      assert.equal(gate.forget(first), true);
      assert.equal(await files.try("open", first), "EPERM");
      assert.equal(await files.try("open", later), "0");
      // By its inode: another file of the same name is asked about.
      renameSync(files.file("another"), later);
      assert.equal(await files.try("open", later), "EPERM");
      assert.throws(() => gate.ignore(files.path + "/missing"), {
        code: "ENOENT",
        message: /^Cannot ignore .*missing: /,
      });
      await gate.close();
      assert.throws(() => gate.ignore(first), /^TypeError: Cannot change the guard: it is closed$/);
      assert.throws(() => gate.forget(first), /^TypeError: Cannot change the guard: it is closed$/);
    },
  );
}

test("a guarded file itself is remembered, and forgotten", on("tmpfs"), async () => {
  using files = new Guarded();
  const path = await settled(files.file("file"));
  await using gate = guard(path, ways("until-modified")["a rule"]!);
  await gate.ready;
  for (let i = 0; i < 3; i++) {
    assert.equal(await files.try("open", path), "0");
    await until(() => gate.stats().remembered === 1);
  }
  assert.equal(asked(gate), 1);
  assert.equal(gate.forget(path), true);
  assert.equal(await files.try("open", path), "0");
  assert.equal(asked(gate), 2);
});

/** A shell that opens a file for each line that it reads, and says whether it could. */
function shell(): { pid: number; open(path: string): Promise<string> } & Disposable {
  const script = 'while read -r path; do if true < "$path"; then echo 0; else echo EPERM; fi; done';
  const child = spawn("sh", ["-c", script], { stdio: ["pipe", "pipe", "ignore"] });
  child.stdout.setEncoding("utf8");
  return {
    pid: child.pid!,
    async open(path) {
      child.stdin.write(`${path}\n`);
      return String((await once(child.stdout, "data"))[0]).trim();
    },
    [Symbol.dispose]() {
      child.kill("SIGKILL");
    },
  };
}

test("processes are ignored while they are in the set", on("tmpfs"), async () => {
  using files = new Guarded();
  const path = files.file("file");
  using one = shell();
  using other = shell();
  const ignoreProcesses = new Set([one.pid]);
  const own = Object.getOwnPropertyNames(ignoreProcesses);
  await using gate = guard(files.path, { rules: [{ verdict: "deny" }], ignoreProcesses });
  await gate.ready;
  const both = async () => [await one.open(path), await other.open(path)];
  assert.deepEqual(await both(), ["0", "EPERM"]);
  ignoreProcesses.add(other.pid);
  assert.deepEqual(await both(), ["0", "0"]);
  ignoreProcesses.delete(one.pid);
  assert.deepEqual(await both(), ["EPERM", "0"]);
  ignoreProcesses.clear();
  assert.deepEqual(await both(), ["EPERM", "EPERM"]);
  const { ignored, denied } = gate.stats();
  assert.deepEqual({ ignored, denied }, { ignored: 4, denied: 4 });
  await gate.close();
  assert.deepEqual(Object.getOwnPropertyNames(ignoreProcesses), own, "the set is as it was");
  ignoreProcesses.add(1);
});

test("two guards follow the same set of processes", on("tmpfs"), async () => {
  using files = new Guarded();
  const path = files.file("file");
  using one = shell();
  const ignoreProcesses = new Set<number>();
  const options: GuardOptions = { rules: [{ verdict: "deny" }], ignoreProcesses };
  const first = guard(files.path, options);
  await using second = guard(files.path, options);
  await Promise.all([first.ready, second.ready]);
  ignoreProcesses.add(one.pid);
  assert.equal(await one.open(path), "0");
  await first.close();
  ignoreProcesses.delete(one.pid);
  assert.equal(await one.open(path), "EPERM");
  ignoreProcesses.add(one.pid);
  assert.equal(await one.open(path), "0");
});
