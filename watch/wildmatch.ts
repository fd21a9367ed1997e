/**
 * Git's patterns as regular expressions: wildmatch.c and gitignore(5). They are another language than the globs of
 * `glob.ts`: no alternatives, escapes and classes within a set, `**` between slashes alone, and a `?` is a byte.
 *
 * @module
 */

import { PATH_MAX } from "../ffi/abi/open.ts";

/** The classes that a set may name, of bytes (ctype.h in the C locale, which is what git uses). */
const CLASSES: Readonly<Record<string, string>> = {
  alnum: "0-9A-Za-z",
  alpha: "A-Za-z",
  blank: "\\t ",
  cntrl: "\\0-\\x1f\\x7f",
  digit: "0-9",
  graph: "!-~",
  lower: "a-z",
  print: " -~",
  punct: "!-\\/:-@\\[-`{-~",
  space: "\\t-\\r ",
  upper: "A-Z",
  xdigit: "0-9A-Fa-f",
};

/** A text as a string of its bytes: each character is one. */
export type Bytes = string;

/**
 * The expression that a path (`crosses`: where `**` crosses directories) or a name has to match as a whole; undefined
 * for a pattern that matches nothing, or is longer than any path.
 */
export function wildmatch(pattern: Bytes, crosses: boolean): RegExp | undefined {
  if (pattern.length >= PATH_MAX) return undefined; // and expressions have limits of their own
  /** Each begins with a star that crosses directories, but for the first one, and goes on at stars that do not. */
  const parts: string[][] = [[""]];
  const add = (source: string) => {
    const part = parts.at(-1)!;
    part[part.length - 1] += source;
  };
  for (let at = 0; at < pattern.length;) {
    const stars = /^\*+/.exec(pattern.slice(at))?.[0].length ?? 0;
    if (stars > 0) {
      // Git compares what is before the first special character by itself, and takes what follows for a beginning.
      const begins = pattern[at - 1] === "/" || !/[*?[\\]/.test(pattern.slice(0, at));
      at += stars;
      const rest = pattern.slice(at);
      if (!crosses || stars === 1 || !begins || !/^($|\\?\/)/.test(rest)) {
        parts.at(-1)!.push("[^/]*?");
      } else if (rest.startsWith("/")) {
        parts.push(["(?:.*?/)??"]); // no directory as well
        at++;
      } else parts.push([".*?"]);
    } else if (pattern[at] === "[") {
      const set = setAt(pattern, at);
      if (set === undefined) return undefined;
      add(set.source);
      at = set.end;
    } else if (pattern[at] === "?") {
      add("[^/]");
      at++;
    } else {
      if (pattern[at] === "\\") at++;
      if (at === pattern.length) return undefined;
      add(literal(pattern[at++]!));
    }
  }
  return new RegExp(`^${firstMatches(parts)}$`, "s");
}

/**
 * The first place where what follows a star matches is as good as any other, for the next star of its kind takes what is
 * in between: only the last one has to try all. Else a few stars in somebody's `.gitignore` take longer than anybody
 * waits for.
 */
function firstMatches(parts: readonly (readonly string[])[]): string {
  let count = 0;
  const first = (source: string) => `(?=(?<at${++count}>${source}))\\k<at${count}>`;
  const inner = parts.map(([beginning, ...chunks]) =>
    beginning + chunks.map((chunk, i) => i < chunks.length - 1 ? first(chunk) : chunk).join("")
  );
  return inner.map((part, i) => i < inner.length - 1 ? first(part) : part).join("");
}

/** The set that begins at `[`; undefined where it does not end, or names no class. */
function setAt(pattern: Bytes, start: number): { source: string; end: number } | undefined {
  const excludes = /[!^]/.test(pattern[start + 1] ?? "");
  let at = excludes ? start + 2 : start + 1;
  let members = "";
  /** A member that may begin a range. */
  let before = "";
  for (let isFirst = true; isFirst || pattern[at] !== "]"; isFirst = false) {
    const isRange = pattern[at] === "-" && before !== "" && /[^\]]/.test(pattern[at + 1] ?? "");
    const [, name] = /^\[:([^\]]*):\]/.exec(pattern.slice(at)) ?? [];
    if (name !== undefined && !isRange) {
      if (!Object.hasOwn(CLASSES, name)) return undefined;
      members += CLASSES[name];
      before = "";
      at += name.length + 4;
      continue;
    }
    if (isRange) at++;
    if (pattern[at] === "\\") at++;
    const member = pattern[at++];
    if (member === undefined) return undefined;
    if (isRange && before <= member) members += `${literal(before)}-${literal(member)}`;
    else if (!isRange) members += literal(member);
    before = isRange ? "" : member;
  }
  return { source: `(?!/)[${excludes ? "^" : ""}${members}]`, end: at + 1 };
}

/** A byte that stands for itself, in a set too. */
function literal(byte: Bytes): string {
  return `\\x${byte.charCodeAt(0).toString(16).padStart(2, "0")}`;
}
