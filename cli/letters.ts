/**
 * fatrace's letters for kinds.
 *
 * @module
 */

import { type Kind, matches } from "../classify/mod.ts";

/** Kind pattern to its letters; `C` with `W` is a close after writing. */
const LETTERS: readonly (readonly [pattern: string, letters: string])[] = [
  ["access.read", "R"],
  ["access.close.write", "CW"],
  ["access.close.nowrite", "C"],
  ["modify.data", "W"],
  ["access.open", "O"],
  ["access.exec", "X"],
  ["create", "+"],
  ["remove", "D"],
  ["rename.out", "<"],
  ["rename.in", ">"],
  ["rename", "<>"],
];

/** The order in which letters are joined: fatrace's. */
const ORDER = "RCWOX+D<>";

/** The letters of kinds, each once; empty for kinds that have none. */
export function lettersOf(kinds: readonly Kind[]): string {
  const all = kinds.map((kind) => LETTERS.find(([pattern]) => matches(kind, pattern))?.[1]).join(
    "",
  );
  return [...ORDER].filter((letter) => all.includes(letter)).join("");
}

/** The kinds behind a list of letters; undefined where it has other characters. */
export function kindsOfLetters(letters: string): string[] | undefined {
  if (letters === "" || [...letters].some((letter) => !ORDER.includes(letter))) return undefined;
  return LETTERS.filter(([, own]) => [...own].some((letter) => letters.includes(letter)))
    .map(([pattern]) => pattern);
}
