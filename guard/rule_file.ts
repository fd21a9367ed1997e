/**
 * Rules as text: one a line, as a file of them has them.
 *
 * ```text
 * # VERDICT [operation=LIST] [path=GLOB] [exe=GLOB] [uid=N] [cgroup=GLOB] [errno=NAME] [cache=HOW]
 * allow exe=/usr/bin/git
 * deny  operation=exec path="/srv/my uploads/"
 * ```
 *
 * Spaces and tabs stand between words. Quotes of either kind keep them, `#` and the other kind; what is quoted and what is
 * not may stand next to each other, as in a shell. A backslash is nothing special, for globs have a use for it. `#` at the
 * beginning of a word begins a comment.
 *
 * @module
 */

import type { Operation } from "../backends/fanotify/permission_group.ts";
import type { Cache, DenialErrno, Verdict } from "./decision.ts";
import { faultOf, type Rule } from "./rules.ts";

/** A rule, and where it is written. */
export interface WrittenRule {
  readonly rule: Rule;
  /** From 1. */
  readonly line: number;
}

/**
 * The rules in a text, in their order; a text without any has none.
 *
 * A line is a verdict, `allow` or `deny`, and what the rule is for: `operation=open,exec` `path=GLOB` `exe=GLOB` `uid=N`
 * `cgroup=GLOB`, with `errno=NAME` or `cache=until-modified` where they are wanted. Quotes keep spaces, `#` begins a comment.
 *
 * @param file what its errors call the text
 * @throws `TypeError` for a line that makes no sense: `Cannot read rules FILE: line 7: …`
 */
export function parseRules(text: string, file?: string): Rule[] {
  return readRules(text, file).map(({ rule }) => rule);
}

/** {@linkcode parseRules}, with the line of each. */
export function readRules(text: string, file?: string): WrittenRule[] {
  const rules: WrittenRule[] = [];
  for (const [i, written] of text.replace(/^\uFEFF/, "").split(/\r?\n/).entries()) {
    try {
      const rule = ruleOf(wordsOf(written));
      if (rule !== undefined) rules.push({ rule, line: i + 1 });
    } catch (cause) {
      if (!(cause instanceof TypeError)) throw cause;
      const shown = file === undefined ? "rules" : `rules ${file}`;
      throw new TypeError(`Cannot read ${shown}: line ${i + 1}: ${cause.message}`, { cause });
    }
  }
  return rules;
}

/** A run of characters of a word: quoted by either kind, or neither. A quote that does not end is one of its own. */
const RUN = /"([^"]*)"|'([^']*)'|[^ \t"']+|["']/gy;

/** The words of a line, without quotes. Throws `TypeError`. */
function wordsOf(line: string): string[] {
  const words: string[] = [];
  for (let at = 0; at < line.length;) {
    if (/[ \t]/.test(line[at]!)) {
      at++;
      continue;
    }
    if (line[at] === "#") break;
    let word = "";
    RUN.lastIndex = at;
    for (let run = RUN.exec(line); run !== null; run = RUN.exec(line)) {
      const [text, double, single] = run;
      if (text === '"' || text === "'") throw new TypeError(`${text} has no end`);
      word += double ?? single ?? text;
      at = RUN.lastIndex;
    }
    words.push(word);
  }
  return words;
}

/** What a condition's text stands for. */
const VALUES = {
  operation: (text: string) => text.split(",") as Operation[],
  path: (text: string) => text,
  exe: (text: string) => text,
  uid: uidOf,
  cgroup: (text: string) => text,
  errno: (text: string) => text as DenialErrno,
  cache: (text: string) => text as Cache,
};

/** The rule of a line, if it has one. Throws `TypeError` with what is wrong. */
function ruleOf([verdict, ...conditions]: readonly string[]): Rule | undefined {
  if (verdict === undefined) return undefined;
  if (verdict !== "allow" && verdict !== "deny") {
    throw new TypeError(`${JSON.stringify(verdict)} is neither allow nor deny`);
  }
  const rule: { verdict: Verdict; [name: string]: unknown } = { verdict };
  for (const condition of conditions) {
    const end = condition.indexOf("=");
    const name = condition.slice(0, Math.max(0, end));
    if (!Object.hasOwn(VALUES, name)) {
      throw new TypeError(
        `${JSON.stringify(condition)} is none of ${
          Object.keys(VALUES).map((name) => `${name}=`).join(" ")
        }`,
      );
    }
    if (name in rule) throw new TypeError(`${name} is given twice`);
    rule[name] = VALUES[name as keyof typeof VALUES](condition.slice(end + 1));
  }
  const fault = faultOf(rule);
  if (fault !== undefined) throw new TypeError(fault);
  return rule;
}

function uidOf(text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  throw new TypeError(`uid ${JSON.stringify(text)} is no user id`);
}
