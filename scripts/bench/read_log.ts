/**
 * Reads an audit log, and of each event what a consumer would; exits with 1 unless there are EVENTS.
 *
 *     read_log.ts LOG EVENTS
 *
 * @module
 */

import process from "node:process";
import { audit } from "../../mod.ts";

const [log, expected] = process.argv.slice(2);

let events = 0;
/** So that nothing of it may be left out. */
let characters = 0;
for await (const batch of audit({ source: { log: log! } }).batches()) {
  for (const { kind, path, from = "", actor, attributes } of batch) {
    const { operation = "", success, paths = [] } = attributes;
    characters += kind.length + path.length + from.length + operation.length + paths.length;
    characters += (actor?.exe ?? "").length + (actor?.loginUid === 1000 && success ? 1 : 0);
  }
  events += batch.length;
}
const isAll = events === Number(expected) && characters > 20 * events;
if (!isAll) process.stderr.write(`${events} events of ${expected}, ${characters} characters\n`);
process.exit(isAll ? 0 : 1);
