/**
 * What a note of the kernel says of keys, as an event; pure.
 *
 * @module
 */

import type { KeyNote } from "../backends/keys/decode.ts";
import type { Key } from "../backends/keys/keyctl.ts";
import {
  NOTIFY_KEY_CLEARED,
  NOTIFY_KEY_INSTANTIATED,
  NOTIFY_KEY_INVALIDATED,
  NOTIFY_KEY_LINKED,
  NOTIFY_KEY_REVOKED,
  NOTIFY_KEY_SETATTR,
  NOTIFY_KEY_UNLINKED,
  NOTIFY_KEY_UPDATED,
  WATCH_META_LOSS_NOTIFICATION,
  WATCH_META_REMOVAL_NOTIFICATION,
  WATCH_TYPE_KEY_NOTIFY,
  WATCH_TYPE_META,
} from "../ffi/abi/watch_queue.ts";
import { type Attributes, FileEvent, type WatchEvent } from "./event.ts";
import type { Kind } from "./kinds.ts";

/** What an event of keys has in `attributes`. */
export interface KeyAttributes extends Attributes {
  /** The keyring that changed; of another event the one by which the key was found, undefined of what was asked for. */
  readonly keyring?: Key;
  /** The key that it happened to, as far as it may be seen; of one that is gone what was known before. */
  readonly key?: Key;
  /** The tag of the keyring that was asked for. */
  readonly tag?: number;
  /** `key.instantiate`: with which error the key was refused; absent where it has a value. */
  readonly errno?: number;
}

/** An event of keys. It is about no file: its `path` is empty. */
export interface KeyEvent extends WatchEvent {
  /** What is known of it. */
  readonly attributes: KeyAttributes;
}

/** The kinds of notes of keys by subtype. */
const KEY_KINDS: Readonly<Record<number, Kind>> = {
  [NOTIFY_KEY_INSTANTIATED]: "key.instantiate",
  [NOTIFY_KEY_UPDATED]: "key.update",
  [NOTIFY_KEY_LINKED]: "key.link",
  [NOTIFY_KEY_UNLINKED]: "key.unlink",
  [NOTIFY_KEY_CLEARED]: "key.clear",
  [NOTIFY_KEY_REVOKED]: "key.revoke",
  [NOTIFY_KEY_INVALIDATED]: "key.invalidate",
  [NOTIFY_KEY_SETATTR]: "key.setattr",
};

/** Those of other notes. */
const META_KINDS: Readonly<Record<number, Kind>> = {
  [WATCH_META_REMOVAL_NOTIFICATION]: "key.remove",
  [WATCH_META_LOSS_NOTIFICATION]: "lost",
};

const NONE: Readonly<Record<number, Kind>> = {};

/** The kind of a note; `other` of what this version does not know. */
export function keyKind({ type, subtype }: Pick<KeyNote, "type" | "subtype">): Kind {
  const kinds = type === WATCH_TYPE_KEY_NOTIFY
    ? KEY_KINDS
    : type === WATCH_TYPE_META
    ? META_KINDS
    : NONE;
  return kinds[subtype] ?? "other";
}

/** Which subtypes of notes of keys are of a kind that `isWanted` takes. */
export function subtypesOf(isWanted: (kind: Kind) => boolean): number[] {
  return Object.entries(KEY_KINDS).filter(([, kind]) => isWanted(kind)).map(([subtype]) =>
    Number(subtype)
  );
}

/** Which key, and which keyring, a note is about; `found` is where its key was found. */
export function subjectsOf(
  { subtype, keyId, aux, id }: KeyNote,
  found: (key: number) => number | undefined,
): { readonly key?: number | undefined; readonly keyring?: number | undefined } {
  if (id !== undefined) return { key: id, keyring: found(id) };
  if (keyId === undefined) return {};
  if (subtype === NOTIFY_KEY_CLEARED) return { keyring: keyId };
  if (subtype === NOTIFY_KEY_LINKED || subtype === NOTIFY_KEY_UNLINKED) {
    return { keyring: keyId, key: aux };
  }
  return { key: keyId, keyring: found(keyId) };
}

/** The event of a note; `synthetic` of one that the kernel has not sent. */
export function keyEvent(
  note: KeyNote,
  subjects: { readonly key?: Key | undefined; readonly keyring?: Key | undefined },
  time: number,
  synthetic = false,
): KeyEvent {
  const kind = keyKind(note);
  const { key, keyring } = subjects;
  const error = kind === "key.instantiate" ? Math.abs((note.aux ?? 0) | 0) : 0; // the kernel negates it
  const attributes: KeyAttributes = {
    ...(keyring === undefined ? {} : { keyring }),
    ...(key === undefined ? {} : { key }),
    ...(kind === "lost" ? { reason: "the kernel's queue was full" } : { tag: note.tag }),
    ...(error === 0 ? {} : { errno: error }),
  };
  const how = synthetic ? { synthetic: true as const } : { raw: note };
  return FileEvent.from({ kind, path: "", attributes, ...how }, time, "keys") as
    & FileEvent
    & KeyEvent;
}
