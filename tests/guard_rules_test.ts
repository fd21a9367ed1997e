/** Rules: which one is for a request, what they look up, and which make no sense. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { guard, type Operation, type Rule, type WatchEvent } from "../mod.ts";
import { RuleSet, type Subject } from "../guard/rules.ts";
import { Guarded, Told, whyUnguarded } from "./guarded.ts";
import { AS_NOBODY, NOBODY } from "./runtime.ts";

/** A request of which everything is known. */
const REQUEST: Subject = {
  operation: "open",
  path: "/srv/data/photos/a.png",
  exe: "/usr/bin/cat",
  uid: 1000,
  cgroup: "/system.slice/cron.service",
};

type Case = readonly [rule: Omit<Rule, "verdict">, isForIt: boolean, request?: Partial<Subject>];

const CASES: readonly Case[] = [
  [{}, true],
  [{ operation: "open" }, true],
  [{ operation: "exec" }, false],
  [{ operation: ["exec", "open"] }, true],
  [{ operation: [] }, false],
  // A name at any depth, a path below the root, an absolute path.
  [{ path: "a.png" }, true],
  [{ path: "*.png" }, true],
  [{ path: "*.jpg" }, false],
  [{ path: "a" }, false],
  [{ path: "photos/*.png" }, true],
  [{ path: "data/photos/*.png" }, false],
  [{ path: "photos/**" }, true],
  [{ path: "photos/" }, true],
  [{ path: "photos" }, false],
  [{ path: "data/**" }, false], // the root itself is above
  [{ path: "deep/**" }, true, { path: "/srv/data/a/deep/er/b" }], // a name at any depth
  [{ path: "deep/" }, false, { path: "/srv/data/a/deep" }], // no directory
  [{ path: "a/deep/**" }, true, { path: "/srv/data/a/deep/er/b" }],
  [{ path: "deep/er/**" }, false, { path: "/srv/data/a/deep/er/b" }],
  [{ path: "**" }, true],
  [{ path: "/**" }, true],
  [{ path: "/" }, true],
  [{ path: "**/a.png" }, true],
  [{ path: "/srv/**" }, true],
  [{ path: "/srv/*" }, false],
  [{ path: "/srv/data/photos/a.png" }, true],
  [{ path: "/photos/a.png" }, false],
  [{ path: "deep/b" }, true, { path: "/srv/data/inner/deep/b" }], // below the innermost root
  [{ path: "inner/deep/b" }, false, { path: "/srv/data/inner/deep/b" }],
  [{ path: "other/x" }, true, { path: "/other/x" }], // below no root, so below "/"
  [{ path: "*.{png,jpg}" }, true],
  [{ path: "[!b]*" }, true],
  [{ path: "new\nline" }, true, { path: "/srv/data/new\nline" }],
  [{ exe: "cat" }, true],
  [{ exe: "/usr/bin/*" }, true],
  [{ exe: "/usr/**" }, true],
  [{ exe: "bin/**" }, true],
  [{ exe: "/bin/cat" }, false],
  [{ exe: "*" }, false, { exe: undefined }],
  [{ uid: 1000 }, true],
  [{ uid: 0 }, false],
  [{ uid: 0 }, false, { uid: undefined }],
  [{ cgroup: "/system.slice/*.service" }, true],
  [{ cgroup: "cron.service" }, true],
  [{ cgroup: "/system.slice/*" }, false, { cgroup: undefined }],
  // All conditions have to hold.
  [{ path: "*.png", uid: 1000, exe: "cat", operation: "open" }, true],
  [{ path: "*.png", uid: 1001, exe: "cat", operation: "open" }, false],
];

for (const [rule, isForIt, request = {}] of CASES) {
  const about = Object.keys(request).length === 0 ? "" : ` of ${JSON.stringify(request)}`;
  test(`${JSON.stringify(rule)} is ${isForIt ? "" : "not "}for the request${about}`, () => {
    const rules = new RuleSet([{ ...rule, verdict: "deny" }], ["/srv/data", "/srv/data/inner"]);
    const found = rules.match({ ...REQUEST, ...request });
    assert.equal(found?.decision.verdict, isForIt ? "deny" : undefined);
  });
}

test("the first rule that is for the request decides it", () => {
  const rules = new RuleSet([
    { path: "*.jpg", verdict: "deny" },
    { path: "*.gif", verdict: "allow", cache: "always" },
    { path: "*.png", verdict: "deny", errno: "EIO" },
    { verdict: "deny" },
  ], []);
  assert.equal(rules.length, 4);
  const { index, decision } = rules.match({ ...REQUEST, path: "/a.gif" })!;
  assert.deepEqual([index, decision.verdict, decision.cache], [1, "allow", "always"]);
  assert.deepEqual(rules.match(REQUEST)!.decision.errno, 5);
  assert.equal(rules.match({ ...REQUEST, path: "/x" })!.index, 3);
  assert.equal(new RuleSet([], []).match(REQUEST), undefined);
});

test("only what a rule asks for is looked up, and only until one decides", () => {
  const asked: string[] = [];
  const subject = new Proxy(REQUEST, {
    get(target, name) {
      asked.push(String(name));
      return target[name as keyof Subject];
    },
  });
  const rules = new RuleSet([
    { operation: "exec", exe: "cat", verdict: "deny" },
    { path: "*.png", verdict: "deny" },
    { uid: 0, cgroup: "*", verdict: "deny" },
  ], []);
  assert.equal(rules.match(subject)!.index, 1);
  assert.deepEqual([...new Set(asked)], ["operation", "path"]);
});

const WRONG: readonly (readonly [rules: unknown, message: string])[] = [
  [null, "Cannot guard by rules: they are no list"],
  [{}, "Cannot guard by rules: they are no list"],
  [[null], "Cannot guard by rule 1: it is no object"],
  [["deny"], "Cannot guard by rule 1: it is no object"],
  [[{ verdict: "deny", paht: "x" }], "Cannot guard by rule 1: it has no paht"],
  [
    [{ verdict: "deny" }, {}],
    "Cannot guard by rule 2: verdict undefined is neither allow nor deny",
  ],
  [[{ verdict: "maybe" }], 'Cannot guard by rule 1: verdict "maybe" is neither allow nor deny'],
  [
    [{ verdict: "deny", operation: "write" }],
    'Cannot guard by rule 1: operation "write" is none of open, exec, read, access',
  ],
  [
    [{ verdict: "deny", operation: ["open", 5] }],
    "Cannot guard by rule 1: operation 5 is none of open, exec, read, access",
  ],
  [
    [{ verdict: "deny", operation: 5 }],
    "Cannot guard by rule 1: operation 5 is none of open, exec, read, access",
  ],
  [
    [{ verdict: "deny", operation: null }],
    "Cannot guard by rule 1: operation null is none of open, exec, read, access",
  ],
  [[{ verdict: "deny", path: "" }], 'Cannot guard by rule 1: path "" is no glob'],
  [[{ verdict: "deny", path: /x/ }], "Cannot guard by rule 1: path {} is no glob"],
  [[{ verdict: "deny", exe: 5 }], "Cannot guard by rule 1: exe 5 is no glob"],
  [[{ verdict: "deny", cgroup: null }], "Cannot guard by rule 1: cgroup null is no glob"],
  [
    [{ verdict: "deny", path: "a[" }],
    'Cannot guard by rule 1: Cannot use a[ as a glob: "[" has no "]"',
  ],
  [[{ verdict: "deny", uid: -1 }], "Cannot guard by rule 1: uid -1 is no user id"],
  [[{ verdict: "deny", uid: "0" }], 'Cannot guard by rule 1: uid "0" is no user id'],
  [[{ verdict: "deny", uid: 0.5 }], "Cannot guard by rule 1: uid 0.5 is no user id"],
  [
    [{ verdict: "deny", errno: "ENOENT" }],
    'Cannot guard by rule 1: errno "ENOENT" is none of EPERM, EIO, EBUSY, ETXTBSY, EAGAIN, ENOSPC, EDQUOT',
  ],
  [[{ verdict: "allow", errno: "EIO" }], "Cannot guard by rule 1: what is allowed has no errno"],
  [
    [{ verdict: "allow", cache: "ever" }],
    'Cannot guard by rule 1: cache "ever" is neither until-modified nor always',
  ],
  [
    [{ verdict: "allow", uid: 0, cache: "always" }],
    "Cannot guard by rule 1: what it allows some is remembered for all, so it has no cache",
  ],
  [
    [
      { verdict: "deny", operation: "exec", exe: "sh" },
      { verdict: "deny", exe: "perl", operation: ["open", "exec"] },
      { verdict: "allow", operation: "open", cache: "until-modified" },
    ],
    "Cannot guard by rule 3: what it allows is remembered for all, those whom rule 2 denies too",
  ],
  [
    [{ verdict: "deny", cache: "always" }],
    "Cannot guard by rule 1: the kernel remembers what is allowed only, so deny has no cache",
  ],
  [[{ verdict: "allow", audit: "yes" }], 'Cannot guard by rule 1: audit "yes" is no note'],
  [
    [{ verdict: "allow", audit: { rule: "one" } }],
    'Cannot guard by rule 1: audit rule "one" is no number of a rule',
  ],
  [
    [{ verdict: "allow", audit: { subjectTrust: 1 } }],
    "Cannot guard by rule 1: audit subjectTrust 1 is neither true nor false",
  ],
];

for (const [rules, message] of WRONG) {
  test(`rules ${JSON.stringify(rules)}: ${message}`, () => {
    assert.throws(() => new RuleSet(rules as Rule[], []), { name: "TypeError", message });
  });
}

const settings = { skip: whyUnguarded("tmpfs"), timeout: 60_000 };

/** The path of this process in the cgroup hierarchy, which its children share. */
const CGROUP = readFileSync("/proc/self/cgroup", "utf8");

test("rules are found by path, executable, user, cgroup and operation", settings, async () => {
  using files = new Guarded();
  const cgroup = /^0::(.*)$/m.exec(CGROUP)?.[1] ?? /^\d+:name=systemd:(.*)$/m.exec(CGROUP)?.[1];
  await using gate = guard(files.path, {
    on: ["open", "exec"],
    rules: [
      { path: "by path", verdict: "deny" },
      { path: "by exe", exe: "cat", verdict: "deny" },
      { path: "by user", uid: NOBODY, verdict: "deny" },
      { path: "by cgroup", cgroup: cgroup ?? "/none", verdict: "deny" },
      { path: "by operation", operation: "exec", verdict: "deny" },
      { path: "by *", verdict: "allow" },
    ],
    decide: () => "deny",
  });
  const seen = new Told(gate);
  await gate.ready;
  const rule = async (errno: string, used: Promise<string>) => {
    const at = seen.events.length;
    assert.equal(await used, errno);
    const event: WatchEvent = (await seen.first(at + 1))[at]!;
    return event.attributes["rule"];
  };
  const byCat = async (path: string, ...as: readonly string[]) =>
    (await files.run(...as, "cat", path)).status === 0 ? "0" : "EPERM";
  const [path, exe, user] = ["path", "exe", "user"].map((name) => files.file(`by ${name}`));
  assert.equal(await rule("EPERM", files.try("open", path!)), 0);
  assert.equal(await rule("0", files.try("open", exe!)), 5);
  assert.equal(await rule("EPERM", byCat(exe!)), 1);
  assert.equal(await rule("0", byCat(user!)), 5);
  assert.equal(await rule("EPERM", byCat(user!, ...AS_NOBODY)), 2);
  const group = await rule(
    cgroup === undefined ? "0" : "EPERM",
    files.try("open", files.file("by cgroup")),
  );
  assert.equal(group, cgroup === undefined ? 5 : 3);
  const program = files.program("by operation");
  assert.equal(await rule("0", files.try("open", program)), 5);
  assert.equal(await rule("EPERM", files.try("exec", program)), 4);
  assert.equal(await rule("EPERM", files.try("open", files.file("else"))), undefined);
  const { byRule, byDecide } = gate.stats();
  assert.deepEqual({ byRule, byDecide }, { byRule: 8, byDecide: 1 });
});

test("rules are taken as they were", settings, async () => {
  using files = new Guarded();
  const rules: Rule[] = [{ verdict: "deny" }];
  await using gate = guard(files.path, { rules });
  rules.push({ verdict: "allow" });
  rules.shift();
  await gate.ready;
  assert.equal(await files.try("open", files.file("file")), "EPERM");
});

test("50,000 rules are walked for each request, and it is decided", settings, async () => {
  using files = new Guarded();
  const operation: Operation = "open";
  const rules: Rule[] = Array.from({ length: 50_000 }, (_, i) => ({
    operation,
    path: `no such name ${i}`,
    verdict: "allow",
  }));
  await using gate = guard(files.path, { rules: [...rules, { verdict: "deny" }] });
  await gate.ready;
  assert.equal(await files.try("open", files.file("file")), "EPERM");
});
