/**
 * sentinode: what happens to files on Linux, for Deno and Bun.
 *
 * @example
 * ```ts
 * import { watch } from "sentinode";
 *
 * await using watcher = watch("/tmp", { actor: true });
 * await watcher.ready;
 * watcher.inject({ kind: "user.hello", path: "/tmp" });
 * for await (const event of watcher) {
 *   console.log(event.kind, event.path, event.actor?.exe);
 *   break;
 * }
 * ```
 *
 * @module
 */

export { watch } from "./watch/watch.ts";
export { Watcher, type WatcherStats } from "./watch/watcher.ts";
export type { EventStream } from "./watch/event_stream.ts";
export type { SourceStream } from "./streams/source_stream.ts";
export {
  type AuditState,
  type Capabilities,
  capabilities,
  type CapabilityName,
  type Limit,
  type Probe,
  type ProbeName,
} from "./watch/capabilities.ts";
export { Guard, guard, type GuardStats } from "./guard/guard.ts";
export type { Decide, GuardOptions } from "./guard/options.ts";
export type { GuardRequest } from "./guard/request.ts";
export { parseRules } from "./guard/rule_file.ts";
export type { Rule } from "./guard/rules.ts";
export type { AuditNote, Cache, DecisionFields, DenialErrno, Verdict } from "./guard/decision.ts";
export type { Operation, Priority } from "./backends/fanotify/permission_group.ts";
export type { ByteRange } from "./guard/protocol.ts";
export { audit, type AuditStats, AuditStream } from "./streams/audit.ts";
export type {
  AuditLog,
  AuditOptions,
  AuditSocketPath,
  AuditSource,
} from "./streams/audit_options.ts";
export { merge, Merged, type MergeOptions, type MergeStats } from "./streams/merge.ts";
export type { SourceStats } from "./streams/lane.ts";
export type {
  MergeSource,
  MergeSources,
  Retagged,
  SourceOf,
  Tagged,
  TaggedOf,
  TagsOf,
} from "./streams/tagged.ts";
export {
  type ErrorCoverage,
  type ErrorSourceCoverage,
  FilesystemErrors,
  filesystemErrors,
  type FilesystemErrorsStats,
} from "./streams/filesystem_errors.ts";
export type { FilesystemErrorsOptions, SpaceOptions } from "./streams/filesystem_errors_options.ts";
export type { AuditField, AuditRule } from "./backends/audit/rules.ts";
export type { ActionName, ListName, Operator } from "./backends/audit/rule_fields.ts";
export { keys, type KeysStats, KeyStream } from "./streams/keys.ts";
export type { KeysOptions, TaggedKeyring } from "./streams/keys_options.ts";
export type { KeyFilter } from "./backends/keys/filter.ts";
export type { Key, Keyring } from "./backends/keys/keyctl.ts";
export type { KeyCoverage } from "./backends/keys/tree.ts";
export type { AuditLosses } from "./backends/audit/losses.ts";
export {
  listMounts,
  type MountOptions,
  mounts,
  type MountStats,
  MountStream,
} from "./streams/mounts.ts";
export type { Mount } from "./backends/mounts/mount.ts";
export type { MountInfo, Propagation } from "./backends/mounts/mountinfo.ts";
export type { MountCounters, MountWay } from "./backends/mounts/monitor.ts";
export { changesSince, snapshot, type SnapshotOptions } from "./watch/snapshot.ts";
export type { MetadataOptions, WatchOptions } from "./watch/options.ts";
export type { Ignore } from "./watch/filter.ts";
export { gitignore } from "./watch/gitignore.ts";
export type {
  Backend,
  BackendRequest,
  BackendSession,
  BackendSink,
  Coverage,
  FlagCoverage,
} from "./backends/backend.ts";
export {
  CapabilityError,
  SystemError,
  type SystemErrorInit,
  UnsupportedError,
  WatchLimitError,
} from "./ffi/errno.ts";
export {
  type Actor,
  type Attributes,
  type ErrorAttributes,
  type ErrorEvent,
  type ErrorSourceName,
  type EventInit,
  isKindPattern,
  type KeyAttributes,
  type KeyEvent,
  type Kind,
  KINDS,
  matches,
  type MetadataState,
  type MountAttributes,
  type MountEvent,
  type QuotaExcess,
  type WatchEvent,
  type XattrChange,
} from "./classify/mod.ts";
