/**
 * Guards what it is told to, until it is ended: `guarding.ts '{"paths": […], …options}'`. Without rules all is allowed; with
 * `"decide": "never"` nothing is decided in time.
 *
 * @module
 */

import process from "node:process";
import { guard } from "../mod.ts";

const { paths, decide, ...options } = JSON.parse(process.argv[2]!);
const gate = guard(paths, {
  ...options,
  ...(decide === "never" ? { decide: () => new Promise<never>(() => {}) } : {}),
});
const decisions = gate[Symbol.asyncIterator](); // what is decided before is not told
await gate.ready;
console.log("ready");
for await (const { kind, path, attributes } of { [Symbol.asyncIterator]: () => decisions }) {
  console.log(kind, path, attributes.verdict, attributes.by);
}
