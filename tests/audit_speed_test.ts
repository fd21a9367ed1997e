/** How long `audit()` takes for a log, beside ausearch(8), which is in C. */

import assert from "node:assert/strict";
import { join } from "node:path";
import process from "node:process";
import test from "node:test";
import {
  auditSeconds,
  ausearchSeconds,
  hasAusearch,
  writeAuditLog,
} from "../scripts/bench/audit_log.ts";
import { isDeno, TemporaryDirectory } from "./runtime.ts";

/** A third of a second is the start of the runtime and its compilers' work, however long the log is. */
const RECORDS = 600_000;

/** Each counts by its best round: what else the machine does only ever adds. */
const ROUNDS = { least: 2, most: 6 };

const skip = hasAusearch ? false : "needs ausearch, of auditd";

test("a large log is read in less time of the processor than ausearch takes", { skip }, () => {
  using directory = new TemporaryDirectory();
  const log = join(directory.path, "audit.log");
  const events = writeAuditLog(log, RECORDS);
  const runtime = [process.execPath, "run", ...(isDeno ? ["--quiet", "-A"] : [])];
  let [ours, theirs] = [Infinity, Infinity];
  for (let round = 0; round < ROUNDS.most; round++) {
    ours = Math.min(ours, auditSeconds(runtime, log, events));
    theirs = Math.min(theirs, ausearchSeconds(log));
    if (round + 1 >= ROUNDS.least && ours < theirs) break;
  }
  assert(ours < theirs, `${ours} s, ausearch ${theirs} s`);
});
