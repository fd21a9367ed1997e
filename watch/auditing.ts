/**
 * The audited side of a watcher (`actor: "audit"`): has its targets audited, and hands what it hears to its events.
 *
 * @module
 */

import { posix } from "node:path";
import { isWithin } from "../backends/mounts/mountinfo.ts";
import type { AuditEvent } from "../classify/audit_event.ts";
import type { Deed } from "../classify/deed.ts";
import type { Actor, FileEvent } from "../classify/event.ts";
import { matches } from "../classify/kinds.ts";
import { SystemError } from "../ffi/errno.ts";
import { fileStatus, readLink } from "../ffi/file.ts";
import type { Libc } from "../ffi/port.ts";
import { cString, decodeText } from "../ffi/text.ts";
import { AccountNames } from "./account_names.ts";
import { Attribution } from "./attribution.ts";
import { openTrail, type TrailListener, type TrailTree } from "./audit_trail.ts";
import type { Gap } from "./feed.ts";
import type { Filter } from "./filter.ts";
import { namesOf } from "./actor.ts";
import type { EventQueue } from "./queue.ts";
import type { Target } from "./targets.ts";

/** A target that is audited, or why it is not. */
interface Place {
  readonly target: Target;
  readonly tree: TrailTree | string;
  /** Flags of a file were changed, which the kernel tells nobody else. */
  readonly onFlags: (path: string) => void;
}

/** Hears what is done to the targets of one watcher. */
export class Auditing implements TrailListener {
  readonly attribution: Attribution;
  readonly #libc: Libc;
  readonly #names: AccountNames;
  readonly #filter: Filter;
  readonly #onLost: (reason: string, count: number | undefined) => void;
  readonly #places = new Map<Target, Place>();
  #trail: Awaited<ReturnType<typeof openTrail>> | undefined;
  #refusal: string | undefined;
  #stopListening: (() => void) | undefined;

  constructor(
    libc: Libc,
    queue: EventQueue,
    filter: Filter,
    onLost: (reason: string, count: number | undefined) => void,
  ) {
    this.#libc = libc;
    this.#names = new AccountNames(libc);
    this.attribution = new Attribution(
      queue,
      filter,
      (event) => this.#fileOf(event),
      () => this.#trail?.trail.resume(),
    );
    this.#filter = filter;
    this.#onLost = onLost;
  }

  /** Begins to hear. What audit refuses takes nothing down: it is a gap. */
  async open(): Promise<void> {
    try {
      this.#trail = await openTrail({ manages: true });
      this.#stopListening = this.#trail.trail.listen(this);
    } catch (error) {
      this.#refusal = messageOf(error);
    }
  }

  /** Whether there is anything to be heard. */
  get isOpen(): boolean {
    return this.#trail !== undefined;
  }

  /** Has a target audited, before it is armed. */
  cover(target: Target, onFlags: (path: string) => void): void {
    if (this.#trail === undefined) return;
    this.#places.set(target, { target, tree: this.#audit(target), onFlags });
  }

  #audit(target: Target): TrailTree | string {
    try {
      return this.#trail!.trail.addTree(target.real, target.only === undefined, target.device);
    } catch (error) {
      return messageOf(error);
    }
  }

  /** Ends that. */
  uncover(target: Target): void {
    const place = this.#places.get(target);
    this.#places.delete(target);
    if (typeof place?.tree === "object") place.tree.remove();
  }

  /** Whether what is done to a target is heard of. */
  covers(target: Target): boolean {
    return typeof this.#places.get(target)?.tree === "object";
  }

  /** What audit does not tell of a target. */
  gaps(target: Target): Gap[] {
    const { path } = target;
    const gap = (reason: string): Gap[] => [{ path, reason }];
    const tree = this.#places.get(target)?.tree;
    if (this.#refusal !== undefined) return gap(`actor: "audit" has no effect: ${this.#refusal}`);
    if (typeof tree === "string") return gap(`actor: "audit" has no effect here: ${tree}`);
    const refused = tree?.refused ?? [];
    if (refused.length === 0) return [];
    return gap(`this kernel's audit has no rules for ${refused.join(", ")}`);
  }

  /** Ends it: what is held is told, and the rules are removed. */
  close(): void {
    this.attribution.flush();
    this.#stopListening?.();
    for (const target of [...this.#places.keys()]) this.uncover(target);
    this.#trail?.release();
    this.#trail = undefined;
  }

  // --- what is heard ---

  /** Deeds are few to keep, and what waits for them waits for a moment only. */
  get isFull(): boolean {
    return false;
  }

  heard(events: readonly AuditEvent[]): void {
    this.#names.refresh();
    for (const event of events) this.#hear(event);
  }

  lost(reason: string, count: number | undefined): void {
    this.#onLost(`${reason}; actors and failed attempts may be missing`, count);
  }

  fail(error: unknown): void {
    this.#onLost(`audit has ended: ${messageOf(error)}`, undefined);
  }

  #hear(event: AuditEvent): void {
    const isFlags = event.kind === "modify.metadata.flags";
    const known = event.attributes.unresolved ? "" : event.path;
    // While the process has the file open, /proc tells which it is; what is not so is found not to have changed.
    const path = isFlags && known === "" ? this.#openFile(event) : known;
    const by = this.#named(event.actor);
    const spelled = new Set<string>();
    for (const place of this.#placesOf(path, event.from)) {
      const deed = deedAt(event, path, place.target, by);
      if (spelled.has(deed.path)) continue;
      spelled.add(deed.path);
      if (event.kind === "access.failed") this.#tellFailed(event, deed, place.target);
      else this.attribution.heard(deed);
      if (isFlags) place.onFlags(deed.path);
    }
    // What is done through a file descriptor names the file by its inode alone.
    if (path === "") {
      this.attribution.heard({ ...deedAt(event, "", undefined, by), ...fileIn(event) });
    }
  }

  /** Which file an event is about, as the records of audit have it: by the device of the mount table. */
  #fileOf(event: FileEvent): string | undefined {
    if (!BY_FILE.some((kind) => matches(event, kind))) return undefined;
    const device = [...this.#places.keys()].findLast(({ path }) => isWithin(event.path, path))
      ?.device;
    if (device === undefined) return undefined;
    const inode = fileStatus(this.#libc, cString(event.pathBytes ?? event.path))?.inode;
    return inode === undefined ? undefined : `${device} ${inode}`;
  }

  /** The targets that have one of the paths; of those one below the other only the innermost. */
  #placesOf(path: string, from: string | undefined): Place[] {
    const has = ({ target: { real } }: Place, path: string | undefined) =>
      path !== undefined && path !== "" && isWithin(path, real);
    const all = [...this.#places.values()].filter((place) => has(place, path) || has(place, from));
    return all.filter(({ target }) =>
      !all.some((other) =>
        other.target !== target && other.target.real !== target.real &&
        isWithin(other.target.real, target.real) && has(other, path)
      )
    );
  }

  /** Records have numbers of users and groups. */
  #named(actor: Actor | undefined): Pick<Deed, "actor"> {
    return actor === undefined ? {} : { actor: { ...actor, ...namesOf(actor, this.#names) } };
  }

  #openFile({ actor, attributes }: AuditEvent): string {
    const fd = Number(attributes.arguments?.[0]);
    if (actor === undefined || !Number.isInteger(fd)) return "";
    const link = readLink(this.#libc, `/proc/${actor.pid}/fd/${fd}`);
    const path = link === undefined ? "" : decodeText(link);
    return path.startsWith("/") ? path : "";
  }

  #tellFailed(event: AuditEvent, { path, actor }: Deed, target: Target): void {
    const filter = this.#filter;
    const { root, recursive, only } = target;
    const isBelow = recursive || only !== undefined || posix.dirname(path) === target.path;
    const isWanted = filter.tells(event.kind) && isBelow &&
      !filter.ignores(path, event.isDirectory === true, root);
    if (!isWanted) return;
    const told = (event as AuditEvent & FileEvent).at(path);
    if (actor !== undefined) told.actor = actor;
    this.attribution.push([told], told.time, target);
  }
}

/** The kinds of what can be done without naming a path, and leaves a file that can be looked at. */
const BY_FILE: readonly string[] = ["modify.metadata", "create", "rename", "rename.in"];

/** The file that an event is about, as {@linkcode Deed} has it. */
function fileIn({ attributes: { paths = [] } }: AuditEvent): Pick<Deed, "file"> {
  const of = (type: string) =>
    paths.find(({ nametype, inode }) => nametype === type && inode !== undefined);
  const file = of("CREATE") ?? of("NORMAL");
  return file === undefined ? {} : { file: `${file.device} ${file.inode}` };
}

/** The part of a deed that is told of a target, in its spelling; undefined: of no target. */
function deedAt(
  event: AuditEvent,
  path: string,
  target: Target | undefined,
  by: Pick<Deed, "actor">,
): Deed {
  const { kind, from, time, attributes } = event;
  const spell = (one: string) =>
    target !== undefined && one !== "" && isWithin(one, target.real)
      ? posix.join(target.path, posix.relative(target.real, one))
      : one;
  return {
    kind,
    path: spell(path),
    time,
    attributes,
    ...(from === undefined ? {} : { from: spell(from) }),
    ...by,
  };
}

function messageOf(error: unknown): string {
  if (error instanceof SystemError && error.hint !== "") return `${error.message} (${error.hint})`;
  return error instanceof Error ? error.message : String(error);
}
