/**
 * The records of one audit event as one event.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { AuditRecord, AuditRecords } from "../backends/audit/record.ts";
import { FAN_DENY } from "../ffi/abi/fanotify.ts";
import { isOwnTitle, type Mutable, readActor, readArguments, readTitle } from "./audit_actor.ts";
import { archOf, type Draft, nameOf, NOTHING, type Placed, readCall } from "./audit_call.ts";
import { socketAddress } from "./audit_address.ts";
import type { AuditAttributes, AuditContext, AuditEvent } from "./audit_event.ts";
import { readFields, resultOf } from "./audit_fields.ts";
import { type AuditPath, readPath, resolvePaths, spelling } from "./audit_paths.ts";
import { type SortedRecords, sortRecords } from "./audit_sorted.ts";
import { type Actor, FileEvent } from "./event.ts";

/**
 * The event that `records` tell of. A call on files is of the kind of what it did, a failed one `access.failed`, all else
 * `other`; a kind stands only for what the records prove. Nothing is thrown, whatever they contain.
 *
 * Paths are as the process saw them: its root may be another one.
 */
export function auditEvent(records: AuditRecords, context: AuditContext = {}): AuditEvent {
  const sorted = sortRecords(records.records);
  const main = sorted.uring[0] ?? sorted.syscall ?? records.records[0];
  const attributes: Draft = { serial: records.serial, type: main?.name ?? "" };
  if (records.node !== undefined) attributes.node = records.node;
  if (!records.isComplete || isPartial(main, sorted)) attributes.incomplete = true;
  // All that is asked of a record at once: the next one's fields take the place of its own.
  const key = main?.string("key") ?? sorted.syscall?.string("key");
  const doer = sorted.syscall ?? main;
  const actor = doer && readActor(doer, context.pid);
  const isCall = main !== undefined && (main === sorted.syscall || main === sorted.uring[0]);
  const outcome: Placed = main === undefined
    ? NOTHING
    : isCall
    ? readCall(main, sorted, attributes, context)
    : readOther(main, sorted, attributes, context);
  const others = sorted.others.filter((record) => record !== main);
  if (others.length > 0) {
    attributes.auxiliary = others.map((record) => ({
      type: record.name,
      fields: readFields(record),
    }));
  }
  const saddr = others.find(({ name }) => name === "SOCKADDR")?.field("saddr");
  const address = saddr && socketAddress(saddr);
  if (address) attributes.address = address;
  const verdict = sorted.fanotify && readVerdict(sorted.fanotify);
  if (verdict !== undefined) attributes.fanotify = verdict;
  const { kind, path, pathBytes, isDirectory, source } = outcome;
  const event = new AuditFileEvent(
    kind,
    path,
    isDirectory,
    records.time,
    "audit",
    new Raw(records),
  );
  if (pathBytes !== undefined) event.pathBytes = pathBytes;
  if (source?.path !== undefined) {
    event.from = source.path;
    if (source.pathBytes !== undefined) event.fromBytes = source.pathBytes;
  }
  if (key !== undefined) attributes.keys = key.split(KEY_SEPARATOR);
  tellMore(sorted, main, attributes, actor);
  if (actor !== undefined) event.actor = actor;
  event.attributes = attributes;
  return event as FileEvent & AuditEvent;
}

/** Records that belong to one of a call, and never begin an event. */
const PARTS: ReadonlySet<string> = new Set(["CWD", "PATH", "PROCTITLE", "EXECVE"]);

/** Whether records are missing: that of the call, or of some of the paths that it counts. */
function isPartial(main: AuditRecord | undefined, { syscall, paths }: SortedRecords): boolean {
  if (main === undefined || PARTS.has(main.name)) return true;
  const count = main === syscall ? main.number("items", 10) : undefined;
  return count !== undefined && count > paths.length;
}

/** The records as they were put together, for `raw`. */
class Raw {
  readonly #records: AuditRecords;
  constructor(records: AuditRecords) {
    this.#records = records;
  }
  record(): AuditRecords {
    return this.#records;
  }
}

/** An event whose paths are JSON, too: bytes in base64, and an inode beyond 2⁵³ in decimal. */
class AuditFileEvent extends FileEvent {
  override toJSON(): Record<string, unknown> {
    const attributes: Record<string, unknown> = { ...this.attributes };
    const { paths, replaced } = this.attributes as AuditAttributes;
    if (paths !== undefined) attributes["paths"] = paths.map(pathJson);
    if (replaced !== undefined) attributes["replaced"] = pathJson(replaced);
    return { ...super.toJSON(), attributes };
  }
}

function pathJson(path: AuditPath): Record<string, unknown> {
  const { inode, nameBytes, pathBytes } = path;
  const json: Record<string, unknown> = { ...path };
  if (typeof inode === "bigint") json["inode"] = String(inode);
  if (nameBytes !== undefined) json["nameBytes"] = Buffer.from(nameBytes).toString("base64");
  if (pathBytes !== undefined) json["pathBytes"] = Buffer.from(pathBytes).toString("base64");
  return json;
}

/** What an event that is about no call tells. */
function readOther(
  main: AuditRecord,
  sorted: SortedRecords,
  attributes: Draft,
  { resolve }: AuditContext,
): Placed {
  const paths = sorted.paths.map(readPath);
  if (paths.length > 0) {
    attributes.paths = paths;
    const cwd = sorted.cwd && spelling(sorted.cwd, "cwd");
    resolvePaths(paths, { cwd, old: false, new: false, inRoot: false }, undefined, resolve);
  }
  if (!sorted.others.includes(main)) return NOTHING;
  const fields = readFields(main);
  attributes.fields = fields;
  const success = resultOf(fields);
  if (success !== undefined) attributes.success = success;
  const arch = archOf(main);
  if (arch !== undefined) attributes.arch = arch.name;
  const syscall = arch && nameOf(main, arch);
  if (syscall !== undefined) attributes.syscall = syscall;
  return NOTHING;
}

/** Stands between the keys of a rule that has several. */
const KEY_SEPARATOR = "\x01";

/** What is known of who did it beyond the record that names the process: the call and the arguments. */
function tellMore(
  sorted: SortedRecords,
  main: AuditRecord | undefined,
  attributes: Draft,
  actor: Mutable<Actor> | undefined,
): void {
  const title = sorted.title && readTitle(sorted.title);
  if (title !== undefined) {
    attributes.title = title.arguments;
    if (title.truncated) attributes.truncated = true;
  }
  if (actor === undefined) return;
  const { fields, syscall } = attributes;
  if (fields !== undefined) {
    const tty = fields["terminal"];
    if (actor.tty === undefined && isSaid(tty)) actor.tty = tty.replace(/^\/dev\//, "");
  }
  if (syscall !== undefined && main !== undefined && !sorted.others.includes(main)) {
    actor.syscall = syscall;
  }
  const given = readArguments(sorted.arguments);
  if (given !== undefined) actor.cmdline = given;
  else if (title !== undefined && sorted.arguments.length === 0 && isOwnTitle(title, actor)) {
    actor.cmdline = title.arguments;
  }
}

function isSaid(value: string | undefined): value is string {
  return value !== undefined && value !== "?" && value !== "(null)" && value !== "(none)";
}

/** What fanotify's listener answered: `resp`, and since 6.3 which rule and whom it trusts. */
function readVerdict(record: AuditRecord): AuditAttributes["fanotify"] | undefined {
  const bits = record.number("resp", 10);
  if (bits === undefined) return undefined;
  const response = (bits & FAN_DENY) !== 0 ? "deny" : "allow";
  if (record.field("fan_type") !== "1") return { response };
  const rule = record.number("fan_info", 16);
  const subjectTrust = trustOf(record.field("subj_trust"));
  const objectTrust = trustOf(record.field("obj_trust"));
  return {
    response,
    ...(rule === undefined ? {} : { rule }),
    ...(subjectTrust === undefined ? {} : { subjectTrust }),
    ...(objectTrust === undefined ? {} : { objectTrust }),
  };
}

/** 0: no, 1: yes, 2: unknown. */
function trustOf(text: string | undefined): boolean | undefined {
  return text === "1" ? true : text === "0" ? false : undefined;
}
