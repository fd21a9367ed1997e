/** Globs: what they match, and which are none. */

import assert from "node:assert/strict";
import test from "node:test";
import { globMatcher, globToRegExp } from "../watch/glob.ts";

/** Glob → what it matches, what it does not. */
const GLOBS: Readonly<Record<string, readonly [yes: readonly string[], no: readonly string[]]>> = {
  "a": [["a"], ["", "A", "aa", "a/a", "a\n"]],
  "*": [["", "a", ".a", "a\nb", "ü"], ["a/b", "/"]],
  "*.ts": [[".ts", "a.ts", "a.b.ts"], ["a.tsx", "ats", "a/b.ts"]],
  "a*b*c": [["abc", "axbyc", "abbcc"], ["abcd", "a/bc", "acb"]],
  "?": [["a", "ü", "😀", "."], ["", "ab", "/"]],
  "a?c": [["abc"], ["ac", "a/c"]],
  "**": [["", "a", "a/b", "/"], []],
  "**/x": [["x", "a/x", "a/b/x"], ["ax", "x/a", "a/xx"]],
  "a/**": [["a/", "a/b", "a/b/c"], ["a", "b/a/c"]],
  "a/**/b": [["a/b", "a/x/b", "a/x/y/b"], ["ab", "a/xb", "a/b/c"]],
  "a/***/b": [["a/b", "a/x/b"], ["ab"]],
  "[abc]": [["a", "c"], ["d", "ab", ""]],
  "[a-c]x": [["ax", "cx"], ["dx", "-x"]],
  "[!a-c]": [["d", "-", "😀"], ["a", "b", "/", ""]],
  "[^a]": [["b"], ["a", "/"]],
  "[]]": [["]"], ["", "[", "a"]],
  "[]a]": [["]", "a"], ["b"]],
  "[!]]": [["a"], ["]", "/"]],
  "[a-]": [["a", "-"], ["b"]],
  "[[]": [["["], ["]"]],
  "[a^]": [["a", "^"], ["b"]],
  "[\\]x": [["\\x"], ["x", "]x"]],
  "[.]": [["."], ["a"]],
  "[+--]": [["+", ",", "-"], ["a"]],
  "[!+--]": [["a", "."], ["+", "/"]],
  "{a,b}": [["a", "b"], ["c", "ab", "{a,b}"]],
  "{a,}b": [["ab", "b"], ["a"]],
  "{a,{b,c}d}e": [["ae", "bde", "cde"], ["be", "de"]],
  "*.{ts,js}": [["a.ts", "b.js"], ["a.jsx", "a.tsjs"]],
  "{a/b,c}/d": [["a/b/d", "c/d"], ["a/d"]],
  "a,b": [["a,b"], ["a", "b"]],
  "a}b": [["a}b"], ["ab"]],
  "a]b": [["a]b"], ["ab"]],
  "\\*": [["*"], ["a", "\\*"]],
  "\\{a\\}": [["{a}"], ["a"]],
  "\\[a]": [["[a]"], ["a"]],
  "a\\": [["a\\"], ["a"]],
  "a.b+c(d)|e$^": [["a.b+c(d)|e$^"], ["axbbcde"]],
  "(a|b)": [["(a|b)"], ["a"]],
  "😀*": [["😀", "😀a"], ["a"]],
  "[😀-😂]": [["😁"], ["a"]],
};

for (const [glob, [yes, no]] of Object.entries(GLOBS)) {
  test(`glob ${glob}`, () => {
    const pattern = globToRegExp(glob);
    for (const text of yes) {
      assert(pattern.test(text), `matches ${JSON.stringify(text)}: ${pattern}`);
    }
    for (const text of no) assert(!pattern.test(text), `not ${JSON.stringify(text)}: ${pattern}`);
  });
}

test("sets, ranges and alternatives that are none", () => {
  for (const glob of ["[", "[a", "a[", "[]", "[!", "[!]", "{", "{a", "{a,{b}", "a{b,c", "[z-a]"]) {
    assert.throws(() => globToRegExp(glob), (error) => {
      assert(error instanceof TypeError, `${glob}: ${error}`);
      assert.match(error.message, /^Cannot use .* as a glob: .*[^.]$/);
      return true;
    });
  }
});

test("a glob that matches nothing takes no time to say so", () => {
  const glob = "**/".repeat(4) + "*a".repeat(4) + "b";
  const path = "a/".repeat(20) + "a".repeat(40);
  const since = performance.now();
  assert(!globToRegExp(glob).test(path));
  assert(performance.now() - since < 5000);
});

/** Glob → what is ignored below /root, what is not. */
const IGNORES: Readonly<Record<string, readonly [yes: readonly string[], no: readonly string[]]>> =
  {
    ".git": [["/root/.git", "/root/a/.git"], ["/root/.git/x", "/root/.gitignore", "/root/a.git"]],
    "*.o": [["/root/a.o", "/root/a/b.o"], ["/root/a.o/b", "/root/a.c"]],
    "node_modules/": [["/root/node_modules", "/root/a/node_modules"], ["/root/node_modules2"]],
    "node_modules/**": [["/root/node_modules", "/root/a/node_modules"], ["/root/node_modules2"]],
    "a/b": [["/root/a/b"], ["/root/x/a/b", "/root/b", "/root/a", "/root/a/b/c"]],
    "a/*": [["/root/a/b"], ["/root/a", "/root/a/b/c"]],
    "a/**": [["/root/a", "/root/b/a"], ["/root/ab"]],
    "a/b/**": [["/root/a/b"], ["/root/x/a/b", "/root/a"]],
    "**/a/b": [["/root/a/b", "/root/x/a/b"], ["/root/xa/b"]],
    "/root/a": [["/root/a"], ["/root/b/root/a", "/root/a/b"]],
    "/root/a/": [["/root/a"], ["/root/ab"]],
    "/root/*/c": [["/root/x/c"], ["/root/c"]],
    "/**": [["/root/a", "/root/a/b"], []],
    "/**/c": [["/root/c", "/root/a/c"], ["/root/cc"]],
    "**": [["/root/a", "/root/a/b"], []],
  };

for (const [glob, [yes, no]] of Object.entries(IGNORES)) {
  test(`ignore ${glob}`, () => {
    const matches = globMatcher(glob);
    for (const path of yes) assert(matches(path, "/root"), `ignores ${path}`);
    for (const path of no) assert(!matches(path, "/root"), `not ${path}`);
  });
}

test("a root that is /", () => {
  assert(globMatcher("usr/lib")("/usr/lib", "/"));
  assert(!globMatcher("usr/lib")("/a/usr/lib", "/"));
});
