/**
 * From what was decided to the event that tells it; pure.
 *
 * @module
 */

import process from "node:process";
import type { Operation } from "../backends/fanotify/permission_group.ts";
import { type Actor, FileEvent } from "../classify/event.ts";
import type { Kind } from "../classify/kinds.ts";
import { errnoName } from "../ffi/errno.ts";
import type { Decided } from "./protocol.ts";

const KIND_OF: Readonly<Record<Operation, Kind>> = {
  open: "access.open",
  exec: "access.exec",
  read: "access.read",
  access: "access",
};

/** The event of a decision, of which only what is known has attributes. */
export function decidedEvent(decided: Decided, dryRun: boolean): FileEvent {
  const { operation, path, pathBytes, time, asker, isExact } = decided;
  const { range, verdict, by, rule, errno, cache, error, waited } = decided;
  const isThere = Object.keys(asker).length > 1;
  const actor: Actor = {
    ...asker,
    self: asker.pid === process.pid,
    confidence: isExact ? "exact" : "likely",
    ...(isThere ? {} : { gone: true }),
  };
  const attributes = {
    verdict,
    by,
    ...(rule === undefined ? {} : { rule }),
    ...(errno === undefined ? {} : { errno: errnoName(errno) }),
    ...(cache === undefined ? {} : { cache }),
    ...(range === undefined ? {} : { range }),
    ...(error === undefined ? {} : { error }),
    ...(dryRun ? { dryRun: true } : {}),
    waited,
  };
  const bytes = pathBytes === undefined ? {} : { pathBytes };
  const kind = operation === undefined ? "access" : KIND_OF[operation];
  return FileEvent.from({ kind, path, ...bytes, actor, attributes }, time, "guard");
}
