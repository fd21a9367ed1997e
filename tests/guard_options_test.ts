/** What guard() refuses: wrong arguments at once, what the system refuses by ready and by the iterator. */

import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import {
  CapabilityError,
  Guard,
  guard,
  type GuardOptions,
  SystemError,
  UnsupportedError,
} from "../mod.ts";
import { whyNot } from "./filesystem.ts";
import { Guarded, Told, whyUnguarded } from "./guarded.ts";
import { isRoot, limited, moduleFile, noUserNamespaces, runScript } from "./runtime.ts";

type Wrong = readonly [options: unknown, type: "TypeError" | "RangeError", message: string];

const LONGEST = 2 ** 31 - 1;

const WRONG: readonly Wrong[] = [
  [null, "TypeError", "Cannot guard with options null: not an object"],
  [5, "TypeError", "Cannot guard with options 5: not an object"],
  [{ rule: [] }, "TypeError", "Cannot guard with option rule: no such option"],
  [
    { scope: "directory" },
    "TypeError",
    'Cannot guard with scope "directory": it is one of tree, mount, filesystem',
  ],
  [
    { scope: null },
    "TypeError",
    "Cannot guard with scope null: it is one of tree, mount, filesystem",
  ],
  [
    { onTimeout: "ask" },
    "TypeError",
    'Cannot guard with onTimeout "ask": it is one of allow, deny',
  ],
  [
    { priority: "first" },
    "TypeError",
    'Cannot guard with priority "first": it is one of content, pre-content',
  ],
  [{ audit: 1 }, "TypeError", "Cannot guard with audit 1: it is true or false"],
  [{ dryRun: "yes" }, "TypeError", 'Cannot guard with dryRun "yes": it is true or false'],
  [{ decide: "allow" }, "TypeError", 'Cannot guard with decide "allow": not a function'],
  [{ decide: null }, "TypeError", "Cannot guard with decide null: not a function"],
  [{ signal: {} }, "TypeError", "Cannot guard with signal {}: not an AbortSignal"],
  [{ timeout: "5" }, "TypeError", 'Cannot guard with timeout "5": not a number of ms'],
  [{ timeout: null }, "TypeError", "Cannot guard with timeout null: not a number of ms"],
  [{ timeout: 0 }, "RangeError", `Cannot guard with timeout 0: it is from 1 to ${LONGEST} ms`],
  [{ timeout: -1 }, "RangeError", `Cannot guard with timeout -1: it is from 1 to ${LONGEST} ms`],
  [{ timeout: NaN }, "RangeError", `Cannot guard with timeout NaN: it is from 1 to ${LONGEST} ms`],
  [
    { timeout: Infinity },
    "RangeError",
    `Cannot guard with timeout Infinity: it is from 1 to ${LONGEST} ms`,
  ],
  [{ on: [] }, "TypeError", "Cannot guard on nothing: name an operation"],
  [{ on: "write" }, "TypeError", 'Cannot guard on "write": it is one of open, exec, read, access'],
  [{ on: null }, "TypeError", "Cannot guard on null: it is one of open, exec, read, access"],
  [
    { on: ["open", 5] },
    "TypeError",
    "Cannot guard on 5: it is one of open, exec, read, access",
  ],
  [
    { on: "access", priority: "content" },
    "TypeError",
    'Cannot guard with priority "content": on "access" needs "pre-content"',
  ],
  [{ rules: "deny" }, "TypeError", "Cannot guard by rules: they are no list"],
  [{ rules: null }, "TypeError", "Cannot guard by rules: they are no list"],
  [{ rules: [{ verdict: "deny" }, 5] }, "TypeError", "Cannot guard by rule 2: it is no object"],
  [
    { rules: [{ verdict: "deny", errno: "EIO" }] },
    "TypeError",
    'Cannot guard by rule 1: its errno needs priority "pre-content"',
  ],
  [
    { rules: [{ verdict: "deny", audit: true }] },
    "TypeError",
    "Cannot guard by rule 1: to be audited it needs the option audit",
  ],
  [{ ignore: "/x" }, "TypeError", 'Cannot guard but for "/x": not a list of paths'],
  [{ ignore: null }, "TypeError", "Cannot guard but for null: not a list of paths"],
  [{ ignore: ["/x", 5] }, "TypeError", "Cannot ignore 5: not a path"],
  [{ ignore: [""] }, "TypeError", 'Cannot ignore "": not a path'],
  [{ ignoreProcesses: 5 }, "TypeError", "Cannot ignore processes 5: not a list of pids"],
  [{ ignoreProcesses: [0] }, "TypeError", "Cannot ignore process 0: not a pid"],
  [{ ignoreProcesses: ["self"] }, "TypeError", 'Cannot ignore process "self": not a pid'],
  [
    { ignoreProcesses: Array.from({ length: 1025 }, (_, i) => i + 1) },
    "RangeError",
    "Cannot ignore 1025 processes: at most 1024",
  ],
  [
    { ignoreFilesystems: "tmpfs" },
    "TypeError",
    'Cannot ignore filesystems "tmpfs": not a list of their types',
  ],
  [
    { ignoreFilesystems: [5] },
    "TypeError",
    "Cannot ignore filesystems [5]: not a list of their types",
  ],
];

/** What this process has open of what a guard opens; the runtime has more for its threads. */
function opened(): string[] {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const link = readlinkSync(`/proc/self/fd/${fd}`);
      return /notify|mountinfo|sentinode/.test(link) ? [link] : [];
    } catch {
      return []; // the one that reads the directory
    }
  });
}

for (const [options, name, message] of WRONG) {
  test(`${name}: ${message}`, () => {
    assert.throws(() => guard("/nowhere", options as GuardOptions), { name, message });
  });
}

test("paths: none, an empty one, one that is none", () => {
  const wrong = (paths: unknown) => () => guard(paths as string);
  assert.throws(wrong([]), {
    name: "TypeError",
    message: "Cannot guard no path: give at least one",
  });
  for (const paths of ["", [""], undefined, null, 5, [5], {}, new URL("https://example.com/")]) {
    assert.throws(wrong(paths), { name: "TypeError", message: /^Cannot guard .+: .*[^.]$/ });
  }
});

test("a wrong argument leaves nothing behind", () => {
  const before = opened();
  for (let i = 0; i < 10; i++) assert.throws(() => guard("/nowhere", { timeout: 0 }));
  assert.deepEqual(opened(), before);
});

/** What a guard is refused with, by ready and by the iterator. */
async function refused(paths: string, options: GuardOptions = {}): Promise<SystemError> {
  const before = opened();
  const gate = guard(paths, options);
  assert(gate instanceof Guard);
  const { end } = new Told(gate);
  const errors = await Promise.allSettled([gate.ready, end]);
  const [byReady, byEnd] = errors.map((one) => (one as PromiseRejectedResult).reason);
  assert.equal(byReady, byEnd);
  assert(byReady instanceof SystemError, `${byReady}`);
  assert.match(byReady.message, /^Cannot guard .*: .*[^.]$/);
  assert.notEqual(byReady.hint, "");
  await gate.close();
  assert.deepEqual(opened(), before);
  return byReady;
}

const ROOT = { skip: !isRoot && "needs root", timeout: 60_000 };

test("a path that is not there", ROOT, async () => {
  const error = await refused("/nowhere/at all");
  assert.equal(error.code, "ENOENT");
  assert.equal(error.path, "/nowhere/at all");
});

for (const scope of ["tree", "mount", "filesystem"] as const) {
  test(`scope ${scope}: a filesystem that asks nobody`, ROOT, async () => {
    const error = await refused("/proc/self", { scope });
    assert(error instanceof UnsupportedError, `${error}`);
    assert.equal(error.code, "EINVAL");
  });
}

test("access on a filesystem that has none", { skip: whyNot("tmpfs") }, async () => {
  using files = new Guarded();
  for (const scope of ["tree", "filesystem"] as const) {
    const error = await refused(files.path, { on: "access", scope });
    assert(error instanceof UnsupportedError, `${error}`);
    assert.match(error.code, /^(EOPNOTSUPP|EINVAL)$/); // before Linux 6.14 the kernel knows of no access at all
    assert.match(error.hint, /Linux 6\.14, and ext4, xfs or btrfs/);
  }
});

test("a file to be ignored that is not there", { skip: whyUnguarded("tmpfs") }, async () => {
  using files = new Guarded();
  const error = await refused(files.path, { ignore: [join(files.path, "missing")] }).catch((e) =>
    e
  );
  assert.match(String(error), /Cannot ignore .*missing: no such file or directory/);
});

/** A script that prints how guard() is refused. */
const TELL = `
  import { guard } from ${JSON.stringify(moduleFile("mod.ts"))};
  const gate = guard("/usr", { timeout: 100 });
  const { name, code, syscall, hint, message } = await gate.ready.then(() => ({}), (error) => error);
  const same = await gate[Symbol.asyncIterator]().next().catch((error) => error.message === message);
  console.log(JSON.stringify({ name, code, syscall, hint, message, same }));
`;

const REFUSED = {
  name: "CapabilityError",
  code: "EPERM",
  syscall: "fanotify_init",
  hint: "to be asked needs CAP_SYS_ADMIN; run as root",
  message: "Cannot guard: not permitted (EPERM)",
  same: true,
};

test("nobody may not guard", ROOT, async () => {
  const { status, stdout, stderr } = await runScript(TELL, { asNobody: true });
  assert.equal(status, 0, stderr);
  assert.deepEqual(JSON.parse(stdout), REFUSED);
});

test("nor may root of another user namespace", { skip: noUserNamespaces }, async () => {
  const under = limited("max_fanotify_groups", 9);
  const { status, stdout, stderr } = await runScript(TELL, { under });
  assert.equal(status, 0, stderr);
  assert.deepEqual(JSON.parse(stdout), REFUSED);
});

test("nobody's refusal is CapabilityError's", () => {
  assert(new CapabilityError("x") instanceof SystemError);
});

const settings = { skip: whyUnguarded("tmpfs"), timeout: 60_000 };

test("closed before it is armed: an AbortError, and nothing is left", settings, async () => {
  using files = new Guarded();
  const path = files.file("file");
  const before = opened();
  const ways: readonly (() => Guard)[] = [
    () => guard(files.path, { signal: AbortSignal.abort() }),
    () => {
      const controller = new AbortController();
      const gate = guard(files.path, { signal: controller.signal });
      controller.abort();
      return gate;
    },
    () => {
      const gate = guard(files.path);
      void gate.close();
      return gate;
    },
  ];
  for (const way of ways) {
    const gate = way();
    await assert.rejects(gate.ready, {
      name: "AbortError",
      message: /^Cannot guard: it was closed/,
    });
    const closed = gate.close();
    assert.equal(gate.close(), closed, "the same promise");
    await closed;
    assert.equal(await files.try("open", path), "0");
  }
  assert.deepEqual(opened(), before);
});

test(
  "before it is armed it cannot be changed, and its statistics are there",
  settings,
  async () => {
    using files = new Guarded();
    mkdirSync(join(files.path, "sub"));
    await using gate = guard(files.path, { on: ["open", "exec"] });
    assert.throws(
      () => gate.ignore("x"),
      /^TypeError: Cannot change the guard: it is not ready yet$/,
    );
    assert.equal(gate.stats().requests, 0);
    await gate.ready;
    const { mask, marks } = gate.stats();
    assert.deepEqual({ mask, marks }, { mask: 0x50000, marks: 2 });
    await gate.close();
    assert.equal(gate.stats().mask, 0x50000);
  },
);

test("extend() and read() are told what is wrong with their arguments", settings, async () => {
  using files = new Guarded();
  const errors: string[] = [];
  await using gate = guard(files.path, {
    decide(request) {
      const wrong: (() => unknown)[] = [
        () => request.extend(0),
        () => request.extend("5" as unknown as number),
        () => request.read(-1),
        () => request.read(0, -1),
        () => request.read(0.5),
      ];
      for (const call of wrong) {
        try {
          call();
          errors.push("nothing");
        } catch (error) {
          errors.push(`${error}`);
        }
      }
      return "allow";
    },
  });
  await gate.ready;
  assert.equal(await files.try("open", files.file("file")), "0");
  assert.deepEqual(errors, [
    `RangeError: Cannot guard with extend 0: it is from 1 to ${LONGEST} ms`,
    'TypeError: Cannot guard with extend "5": not a number of ms',
    "RangeError: Cannot read at -1: it is no place in a file",
    "RangeError: Cannot read -1 bytes: it is no number of bytes",
    "RangeError: Cannot read at 0.5: it is no place in a file",
  ]);
});
