/**
 * What this process does to audit itself, which the kernel records though no rule asks for it: nobody wants to hear of it.
 *
 * @module
 */

import type { AuditWay } from "../backends/audit/data_socket.ts";
import type { AuditEvent } from "../classify/audit_event.ts";

/** The records of a call that changes audit, or listens to it. */
const OF_CALL: ReadonlySet<string> = new Set([
  "CONFIG_CHANGE",
  "EVENT_LISTENER",
  "SYSCALL",
  "SOCKADDR",
  "CWD",
  "PATH",
  "PROCTITLE",
]);

/** Whether an event is no more than that; `key` is what those of this process's rules begin with. */
export function isBookkeeping(event: AuditEvent, way: AuditWay, key: string | undefined): boolean {
  const { kind, actor, attributes: { keys, fields }, raw } = event;
  if (kind !== "other" || raw === undefined) return false;
  if (actor !== undefined) {
    // Of the call that joins the multicast group, the first record comes before there is anybody who hears it.
    return actor.self && keys === undefined && raw.records.every(({ name }) => OF_CALL.has(name));
  }
  // Calls of the daemon are not recorded, but what they change of audit is.
  if (fields === undefined || !raw.records.every(({ name }) => name === "CONFIG_CHANGE")) {
    return false;
  }
  if (fields["op"] === "set" || fields["op"] === "make_equiv") return way === "unicast";
  // A rule that the kernel itself removes, with its directory, says which one that was.
  return key !== undefined && fields["dir"] === undefined && fields["path"] === undefined &&
    keys?.some((one) => one.startsWith(`${key}:`)) === true;
}
