/**
 * Random operations on a tree of few names, so that they meet each other.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Random } from "../random.ts";

/** What can be done, by the letter that `worker.c` knows it by. */
const LETTERS = {
  create: "c",
  write: "w",
  append: "a",
  chmod: "m",
  link: "l",
  symlink: "s",
  "mkdir -p": "p",
  rename: "r",
  "rename out": "o",
  exchange: "x",
  replace: "e",
  unlink: "u",
  "rm -r": "d",
  "make anew": "n",
} as const;

/** An operation; paths have a character a byte. */
export interface Operation {
  readonly verb: keyof typeof LETTERS;
  readonly path: string;
  /** The other path, of operations that have two. */
  readonly to: string;
  /** Which process does it. */
  readonly by: number;
}

/** The names: ASCII, not ASCII, and one that is no UTF-8. */
const NAMES: readonly string[] = ["a", "b", "c", "é", "ф", Buffer.of(0x78, 0xff)]
  .map((name) => Buffer.from(name).toString("latin1"));

/** The watched tree, and the place beside it. */
export const INSIDE: string = "in";
export const OUTSIDE: string = "out";

/** How deep the names go. */
const DEPTH = 3;

function inside(random: Random): string {
  let path: string = INSIDE;
  for (let depth = 1 + random(DEPTH); depth > 0; depth--) path += `/${pick(random, NAMES)}`;
  return path;
}

function outside(random: Random): string {
  return `${OUTSIDE}/${pick(random, NAMES)}`;
}

function pick<T>(random: Random, values: readonly T[]): T {
  return values[random(values.length)]!;
}

type Paths = (random: Random) => readonly [path: string, to?: string];

const one: Paths = (random) => [inside(random)];
const two: Paths = (random) => [inside(random), inside(random)];
// Under a name that it did not have before: see MergedRecords for what fanotify does not tell otherwise.
const linked: Paths = (random) => [inside(random), `${inside(random)}.${random(1 << 16)}`];

/** How often each is done, of all the weights together. */
const MIX: readonly (readonly [weight: number, verb: Operation["verb"], paths: Paths])[] = [
  [4, "create", one],
  [12, "write", one],
  [3, "append", one],
  [3, "chmod", one],
  [6, "link", linked],
  [4, "symlink", one],
  [16, "mkdir -p", one],
  [20, "rename", two],
  [8, "exchange", two],
  [2, "exchange", (random) => [inside(random), outside(random)]],
  [2, "exchange", (random) => [outside(random), inside(random)]],
  [6, "replace", one],
  [5, "unlink", one],
  [7, "rm -r", one],
  [3, "make anew", one],
  [5, "rename out", (random) => [inside(random), outside(random)]],
  [5, "rename", (random) => [outside(random), inside(random)]],
  [2, "mkdir -p", (random) => [`${outside(random)}/${pick(random, NAMES)}`]],
  [2, "write", (random) => [`${outside(random)}/${pick(random, NAMES)}`]],
];

/** So many operations by so many processes. */
export function randomOperations(random: Random, count: number, processes: number): Operation[] {
  const total = MIX.reduce((sum, [weight]) => sum + weight, 0);
  return Array.from({ length: count }, () => {
    let at = random(total);
    const [, verb, paths] = MIX.find(([weight]) => (at -= weight) < 0)!;
    const [path, to = ""] = paths(random);
    return { verb, path, to, by: random(processes) };
  });
}

/** A batch as `worker.c` reads it. */
export function encodeOperations(operations: readonly Operation[]): Buffer {
  const fields = operations.map(({ verb, path, to }) => `${LETTERS[verb]}${path}\0${to}\0`);
  return Buffer.from(`${operations.length}\n${fields.join("")}`, "latin1");
}

/** A path for people. */
export function showPath(path: string): string {
  return Buffer.from(path, "latin1").toString();
}

/** An operation for people. */
export function showOperation({ verb, path, to, by }: Operation): string {
  return `${by}: ${verb} ${showPath(path)}${to && ` ${showPath(to)}`}`;
}
