/**
 * Git's patterns as regular expressions: wildmatch.c and gitignore(5). They are another language than the globs of
 * `glob.ts`: no alternatives, escapes and classes within a set, `**` between slashes alone, and a `?` is a byte.
 *
 * @module
 */

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
 * for a pattern that matches nothing.
 */
export function wildmatch(pattern: Bytes, crosses: boolean): RegExp | undefined {
  let source = "";
  for (let at = 0; at < pattern.length;) {
    const stars = /^\*+/.exec(pattern.slice(at))?.[0].length ?? 0;
    if (stars > 0) {
      // Git compares what is before the first special character by itself, and takes what follows for a beginning.
      const begins = pattern[at - 1] === "/" || !/[*?[\\]/.test(pattern.slice(0, at));
      at += stars;
      const rest = pattern.slice(at);
      if (!crosses || stars === 1 || !begins || !/^($|\\?\/)/.test(rest)) source += "[^/]*";
      else if (rest.startsWith("/")) {
        source += "(?:.*/)?"; // no directory as well
        at++;
      } else source += ".*";
    } else if (pattern[at] === "[") {
      const set = setAt(pattern, at);
      if (set === undefined) return undefined;
      source += set.source;
      at = set.end;
    } else if (pattern[at] === "?") {
      source += "[^/]";
      at++;
    } else {
      if (pattern[at] === "\\") at++;
      if (at === pattern.length) return undefined;
      source += literal(pattern[at++]!);
    }
  }
  return new RegExp(`^${source}$`, "s");
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
