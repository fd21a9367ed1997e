/**
 * The event vocabulary of sentinode and its pure classifiers, usable without a kernel.
 *
 * @example
 * ```ts
 * import { matches } from "sentinode/classify";
 *
 * const events = [{ kind: "create.file" }, { kind: "modify.data" }];
 * console.log(events.filter((event) => matches(event, "create")));
 * ```
 *
 * @module
 */

export { isKindPattern, type Kind, KINDS, matches } from "./kinds.ts";
export { type Actor, type Attributes, type EventInit, type WatchEvent } from "./event.ts";
export type { MetadataState, XattrChange } from "./metadata.ts";
export type { MountAttributes, MountEvent } from "./mounts.ts";
export { auditEvent } from "./audit.ts";
export type {
  AuditAttributes,
  AuditContext,
  AuditEvent,
  AuditMetadata,
  AuxiliaryRecord,
} from "./audit_event.ts";
export type { SocketAddress } from "./audit_address.ts";
export type { ErrorAttributes, ErrorEvent, ErrorSourceName } from "./error_event.ts";
export type { QuotaExcess } from "./quota.ts";
export type { AuditFields } from "./audit_fields.ts";
export type { AuditPath, Resolve } from "./audit_paths.ts";
export type { AuditRecord, AuditRecords } from "../backends/audit/record.ts";
export { fanotifyKinds, fanotifyMask } from "./fanotify.ts";
export { inotifyKind, inotifyMask } from "./inotify.ts";
export type { KeyAttributes, KeyEvent } from "./keys.ts";
export type { Key } from "../backends/keys/keyctl.ts";
export { GRACE, type Half, type Paired, RenamePairing } from "./rename.ts";
