/**
 * The event as a consumer sees it.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Kind } from "./kinds.ts";
import type { MetadataState, XattrChange } from "./metadata.ts";

/** Who did it. What cannot be known is absent, never guessed. */
export interface Actor {
  /** The process (thread group), in our pid namespace. */
  readonly pid: number;
  /** The thread. */
  readonly tid?: number;
  /** The parent process. */
  readonly ppid?: number;
  /** Effective user id, as our user namespace has it. */
  readonly uid?: number;
  /** Effective group id. */
  readonly gid?: number;
  /**
   * The name of `uid` here, whatever a container of its own calls it: by `/etc/passwd`, and what systemd has in files, as
   * far as `/etc/nsswitch.conf` lets them decide. Not for an id that is not in our user namespace.
   */
  readonly user?: string;
  /** The name of `gid`, by `/etc/group`, as `user`. */
  readonly group?: string;
  /** The user who logged in, whatever su and sudo made of it. */
  readonly loginUid?: number;
  /** The name of `loginUid`, as `user`. */
  readonly loginUser?: string;
  /** The login session. */
  readonly session?: number;
  /** The terminal: `"pts0"`. */
  readonly tty?: string;
  /** The first 15 bytes of the thread's name. */
  readonly comm?: string;
  /** The executable. */
  readonly exe?: string;
  /** The arguments that the program was started with. */
  readonly cmdline?: readonly string[];
  /** Path in the cgroup hierarchy (of version 2 where both are mounted). */
  readonly cgroup?: string;
  /**
   * The container that the process runs in, as its cgroup tells: the whole id (Docker, Podman, containerd, CRI-O,
   * Kubernetes), or the name (LXC, LXD, Incus, systemd-nspawn). Of our own container the cgroup does not tell. Who may make
   * cgroups, as a user in those of `user@UID.service`, may call them like a container's.
   */
  readonly container?: string;
  /** The unit of systemd that it belongs to, with `\x2d` as `systemctl` takes it: `cron.service`, `session-3.scope`. */
  readonly unit?: string;
  /** Where `unit` is `user@UID.service`: the unit of that user's systemd. */
  readonly userUnit?: string;
  /** The system call that it made. */
  readonly syscall?: string;
  /** Whether it was this process. */
  readonly self: boolean;
  /** The process had left before it could be looked at. */
  readonly gone?: true;
  /**
   * `exact`: the kernel named the process and it was still the same one when it was looked at. `likely`: named by its
   * number alone, which another process may have got since. `ambiguous`: one of several.
   */
  readonly confidence: "exact" | "likely" | "ambiguous";
}

/** What is known beyond kind and path. Open-ended; typed for what sentinode puts in. */
export interface Attributes {
  /** `create.link`: another name of the same file. */
  readonly linkOf?: string;
  /**
   * `rename` and `rename.in`: two names changed places at once (`RENAME_EXCHANGE`). `rename` tells of the one, and then
   * `rename.in` of the other, which a consumer takes for replaced by then.
   */
  readonly exchange?: true;
  /** `rename.in` of an exchange: the path where it was. */
  readonly exchangedWith?: string;
  /** `lost`: how many events, where that is known. */
  readonly count?: number;
  /** `lost`: why. */
  readonly reason?: string;
  /** `lost` of a merge: what the stream failed with. */
  readonly cause?: unknown;
  /** `modify.data` of a save: the events that it stands for. */
  readonly coalesced?: readonly WatchEvent[];
  /** With `writeFinish`: told before the file was seen to be closed, for there was no more to wait for. */
  readonly unfinished?: true;
  /** `modify.metadata.*`: what it was, of what changed; absent where there was nothing. */
  readonly before?: MetadataState;
  /** `modify.metadata.*`: what it is now; absent where there is nothing any more. */
  readonly after?: MetadataState;
  /** `modify.metadata.xattr`: which extended attribute, and what became of it. */
  readonly xattr?: XattrChange;
  /** What others put in. */
  readonly [name: string]: unknown;
}

/** What happened to a file. */
export interface WatchEvent {
  /** What happened. */
  readonly kind: Kind;
  /** Absolute; U+FFFD where the name is not valid UTF-8. */
  readonly path: string;
  /** The path's bytes, present where it is not valid UTF-8. */
  readonly pathBytes?: Uint8Array;
  /** `rename`: the old path. */
  readonly from?: string;
  /** The old path's bytes, present where it is not valid UTF-8. */
  readonly fromBytes?: Uint8Array;
  /** Whether it happened to a directory; absent where the event is not about a file. */
  readonly isDirectory?: boolean | undefined;
  /** When it was read, in ms since the epoch. */
  readonly time: number;
  /** Who reported it: `"fanotify"`, `"inotify"`, or a custom backend's name. */
  readonly backend: string;
  /** Found by looking, not announced by the kernel. */
  readonly synthetic?: true;
  /** Who did it, where that was asked for and is known. */
  readonly actor?: Actor;
  /** What is known beyond. */
  readonly attributes: Attributes;
  /** The decoded record, every bit that the kernel sent. */
  readonly raw: unknown;
}

/** What a backend, or the program itself through `inject`, has to say of an event; the rest is filled in. */
export type EventInit = Partial<WatchEvent> & Pick<WatchEvent, "kind" | "path">;

const NONE: Attributes = Object.freeze({});

/** Something that has the decoded records of a read, one at each of some places. */
export interface RawSource {
  record(offset: number): unknown;
}

/** The one implementation of {@linkcode WatchEvent}: small, and JSON without `raw`. */
export class FileEvent implements WatchEvent {
  readonly kind: Kind;
  readonly path: string;
  readonly isDirectory: boolean | undefined;
  readonly time: number;
  readonly backend: string;
  declare pathBytes?: Uint8Array;
  declare from?: string;
  declare fromBytes?: Uint8Array;
  declare synthetic?: true;
  declare actor?: Actor;
  attributes: Attributes = NONE;
  readonly #source: RawSource | undefined;
  readonly #offset: number;

  /** An event whose `raw` is what `source` has at `offset`. */
  constructor(
    kind: Kind,
    path: string,
    isDirectory: boolean | undefined,
    time: number,
    backend: string,
    source?: RawSource,
    offset: number = 0,
  ) {
    this.kind = kind;
    this.path = path;
    this.isDirectory = isDirectory;
    this.time = time;
    this.backend = backend;
    this.#source = source;
    this.#offset = offset;
  }

  /** Decoded when it is asked for; two events of one record have the same. */
  get raw(): unknown {
    return this.#source?.record(this.#offset);
  }

  /** An event from what a backend said of it. */
  static from(init: EventInit, time: number, backend: string): FileEvent {
    const { kind, path, isDirectory, raw, ...rest } = init;
    const source = raw === undefined ? undefined : { record: () => raw };
    const event = new FileEvent(
      kind,
      path,
      isDirectory,
      init.time ?? time,
      init.backend ?? backend,
      source,
    );
    return Object.assign(event, rest);
  }

  /** The same, of what `path` leads to. */
  at(path: string): FileEvent {
    return this.#copy(this.kind, path);
  }

  /** The same, as another kind with attributes of its own. */
  as(kind: Kind, attributes: Attributes): FileEvent {
    const event = this.#copy(kind, this.path);
    if (this.pathBytes !== undefined) event.pathBytes = this.pathBytes;
    event.attributes = attributes;
    return event;
  }

  #copy(kind: Kind, path: string): FileEvent {
    const { isDirectory, time, backend, synthetic, actor, attributes } = this;
    const event = new FileEvent(
      kind,
      path,
      isDirectory,
      time,
      backend,
      this.#source,
      this.#offset,
    );
    if (synthetic) event.synthetic = true;
    if (actor !== undefined) event.actor = actor;
    event.attributes = attributes;
    return event;
  }

  /** The same names without `raw`; bytes in base64. */
  toJSON(): Record<string, unknown> {
    const json: Record<string, unknown> = Object.fromEntries(Object.entries(this));
    for (const name of ["pathBytes", "fromBytes"] as const) {
      const bytes = this[name];
      if (bytes !== undefined) json[name] = Buffer.from(bytes).toString("base64");
    }
    const { before, after } = this.attributes;
    if (before?.value !== undefined || after?.value !== undefined) {
      json["attributes"] = { ...this.attributes, before: inBase64(before), after: inBase64(after) };
    }
    return json;
  }
}

function inBase64(state: MetadataState | undefined): unknown {
  if (state?.value === undefined) return state;
  return { ...state, value: Buffer.from(state.value).toString("base64") };
}
