/**
 * Rules as text: what a line stands for, and what is said of one that makes no sense.
 */

import assert from "node:assert/strict";
import test from "node:test";
import { readRules } from "../guard/rule_file.ts";
import { parseRules, type Rule } from "../mod.ts";

/** A text, and the rules in it. */
const RULES: readonly (readonly [text: string, rules: readonly Rule[]])[] = [
  ["", []],
  ["\n \n\t\n", []],
  ["# deny\n   # deny path=x\n", []],
  ["allow", [{ verdict: "allow" }]],
  ["deny\n", [{ verdict: "deny" }]],
  ["\uFEFFdeny\r\nallow\r\n", [{ verdict: "deny" }, { verdict: "allow" }]],
  [
    " \tdeny\toperation=exec  path=*.sh # no scripts",
    [{ verdict: "deny", operation: ["exec"], path: "*.sh" }],
  ],
  [
    "deny operation=open,exec,read,access",
    [{ verdict: "deny", operation: ["open", "exec", "read", "access"] }],
  ],
  [
    "allow path=/srv/** exe=git uid=0 cgroup=/system.slice/*.service",
    [{
      verdict: "allow",
      path: "/srv/**",
      exe: "git",
      uid: 0,
      cgroup: "/system.slice/*.service",
    }],
  ],
  ["allow cache=always", [{ verdict: "allow", cache: "always" }]],
  ["deny errno=EBUSY uid=65534", [{ verdict: "deny", errno: "EBUSY", uid: 65534 }]],
  ['deny path="a b#c"', [{ verdict: "deny", path: "a b#c" }]],
  ["deny path='a \"b\" c'", [{ verdict: "deny", path: 'a "b" c' }]],
  ['deny path="it\'s"', [{ verdict: "deny", path: "it's" }]],
  ["deny 'path=a\tb'", [{ verdict: "deny", path: "a\tb" }]],
  ["deny path=a' 'b\" \"c", [{ verdict: "deny", path: "a b c" }]],
  ["'deny' path=a''b", [{ verdict: "deny", path: "ab" }]],
  ["deny path=a#b", [{ verdict: "deny", path: "a#b" }]],
  ["deny path=a=b", [{ verdict: "deny", path: "a=b" }]],
  ['deny path=\\*."\\[c"', [{ verdict: "deny", path: "\\*.\\[c" }]],
  ["deny path=ü\u00a0文🦀", [{ verdict: "deny", path: "ü\u00a0文🦀" }]],
];

for (const [text, rules] of RULES) {
  test(`reads ${JSON.stringify(text)}`, () => {
    assert.deepEqual(parseRules(text), rules);
  });
}

/** A line, and what is wrong with it. */
const WRONG: readonly (readonly [line: string, state: string])[] = [
  ["permit", '"permit" is neither allow nor deny'],
  ["Deny", '"Deny" is neither allow nor deny'],
  ["path=x", '"path=x" is neither allow nor deny'],
  ["''", '"" is neither allow nor deny'],
  [
    "deny *.exe",
    '"*.exe" is none of operation= path= exe= uid= cgroup= errno= cache=',
  ],
  [
    "deny verdict=allow",
    '"verdict=allow" is none of operation= path= exe= uid= cgroup= errno= cache=',
  ],
  [
    "deny constructor=1",
    '"constructor=1" is none of operation= path= exe= uid= cgroup= errno= cache=',
  ],
  ["deny =x", '"=x" is none of operation= path= exe= uid= cgroup= errno= cache='],
  ["deny path=a path=b", "path is given twice"],
  ["deny path=", 'path "" is no glob'],
  ["deny path=[a", 'Cannot use [a as a glob: "[" has no "]"'],
  ["deny operation=", 'operation "" is none of open, exec, read, access'],
  ["deny operation=open,write", 'operation "write" is none of open, exec, read, access'],
  ["deny uid=root", 'uid "root" is no user id'],
  ["deny uid=-1", 'uid "-1" is no user id'],
  ["deny uid=", 'uid "" is no user id'],
  [
    "deny errno=ENOENT",
    'errno "ENOENT" is none of EPERM, EIO, EBUSY, ETXTBSY, EAGAIN, ENOSPC, EDQUOT',
  ],
  ["allow errno=EIO", "what is allowed has no errno"],
  ["allow cache=never", 'cache "never" is neither until-modified nor always'],
  ["deny cache=always", "the kernel remembers what is allowed only, so deny has no cache"],
  ['deny path="a b', '" has no end'],
  ["deny path=it's", "' has no end"],
];

for (const [line, state] of WRONG) {
  test(`refuses ${JSON.stringify(line)}, and says where it is`, () => {
    const text = `# rules\nallow path=ok\n\n${line}\ndeny`;
    const message = `Cannot read rules /etc/gate: line 4: ${state}`;
    assert.throws(() => parseRules(text, "/etc/gate"), { name: "TypeError", message });
    assert.throws(() => parseRules(line), {
      name: "TypeError",
      message: `Cannot read rules: line 1: ${state}`,
    });
  });
}

test("each rule knows its line", () => {
  const text = "# two rules\n\nallow path=a\n\n  deny path=b";
  assert.deepEqual(readRules(text), [
    { rule: { verdict: "allow", path: "a" }, line: 3 },
    { rule: { verdict: "deny", path: "b" }, line: 5 },
  ]);
});
