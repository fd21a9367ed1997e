/**
 * The keys that are watched: those that were asked for, and what is in them as far as they are keyrings.
 *
 * @module
 */

import { EAGAIN, EBUSY, ENOKEY } from "../../ffi/abi/errno.ts";
import {
  key_notification,
  NOTIFY_KEY_CLEARED,
  NOTIFY_KEY_LINKED,
  NOTIFY_KEY_REVOKED,
  NOTIFY_KEY_UNLINKED,
  WATCH_INFO_ID__SHIFT,
  WATCH_META_REMOVAL_NOTIFICATION,
  watch_notification_removal,
  WATCH_TYPE_KEY_NOTIFY,
  WATCH_TYPE_META,
} from "../../ffi/abi/watch_queue.ts";
import { SystemError } from "../../ffi/errno.ts";
import type { Libc } from "../../ffi/port.ts";
import type { KeyNote } from "./decode.ts";
import { describeKey, type Key, type Keyring, keysIn, underConstruction } from "./keyctl.ts";
import type { NotificationPipe } from "./pipe.ts";
import { keyError, stateOf } from "./refusal.ts";

/** What was asked for: a keyring, or another key. */
export interface Root {
  /** As it was named. */
  readonly keyring: Keyring;
  /** Its serial number. */
  readonly id: number;
  /** What all notes of it, and of what is in it, are told with. */
  readonly tag: number;
}

/** How far a root is watched. */
export interface KeyCoverage {
  /** As it was named. */
  readonly keyring: Keyring;
  /** What it is. */
  readonly key: Key;
  /** What its events have as `attributes.tag`. */
  readonly tag: number;
  /** How many keys are watched: it, and what is in it; what is in several counts for the first. */
  readonly watches: number;
  /** What is not covered, and why. */
  readonly gaps: readonly { readonly key: Key; readonly reason: string }[];
}

/** A key of the tree, or one that has left it. */
interface Place {
  key: Key;
  root: Root;
  /** The keyring by which it was found; undefined of a root. */
  parent: number | undefined;
  /** Where it is not, the kernel's word on the end of its watch is still to be read. */
  isIn: boolean;
  /** Whether no link that was told leads to it any more. */
  isCut: boolean;
  isWatched: boolean;
  /** The kernel's answer to the watch: 0 where it is watched. */
  errno: number;
  /** Why it is not watched, or what is in it is not. */
  gap: string | undefined;
  /** What was told to be in it; undefined where that is unknown. */
  links?: Set<number> | undefined;
}

/** Why a key that is in a keyring is none: request_key(2)'s helper has refused to make it, or it is invalidated. */
const UNMADE = "it was refused, or invalidated (ENOKEY)";

/** What the tree needs of a pipe. */
export type Watches = Pick<NotificationPipe, "watch" | "unwatch">;

/** The keys that are watched by one pipe. */
export class KeyTree {
  readonly #libc: Libc;
  readonly #pipe: Watches;
  readonly #places = new Map<number, Place>();
  #roots: readonly Root[];
  /** Links that {@linkcode look} told of, of which the kernel's note may be queued: keyring and key → its subtype. */
  readonly #early = new Map<string, number>();
  #hasLooked = false;
  #isDoubted = false;
  /** Whether keys could not be watched for the limit, when it was last looked. */
  isLimited = false;
  /** Whether there are keys that could not be watched and may be later: under construction, or for the limit. */
  isWaiting = false;

  constructor(libc: Libc, pipe: Watches, roots: readonly Root[]) {
    this.#libc = libc;
    this.#pipe = pipe;
    this.#roots = roots;
  }

  /** Whether nothing that was asked for is left. */
  get isEmpty(): boolean {
    return this.#roots.length === 0;
  }

  /** How many keys are watched. */
  get watches(): number {
    return this.#places.values().reduce((count, { isWatched }) => count + Number(isWatched), 0);
  }

  /** Watches what is there. Throws where a root cannot be watched. */
  begin(): void {
    const unfinished = underConstruction(this.#libc);
    for (const { id, keyring, tag } of this.#roots) {
      if (unfinished?.has(id)) {
        throw new SystemError(`Cannot watch key ${keyring}: it is under construction`, {
          hint: "wait until request_key(2) has it",
        });
      }
      const errno = this.#pipe.watch(id, tag);
      if (errno === 0 || errno === EBUSY) continue;
      throw keyError(this.#libc, `watch key ${keyring}`, { syscall: "keyctl", errno });
    }
    this.look();
  }

  /**
   * Watches what is linked now and was not, and no longer what is not. Gives what the kernel has not told of: keys that were
   * in a keyring before it was watched, links that were displaced by others, or lost; as notes. What was queued meanwhile may
   * be among that.
   */
  look(): KeyNote[] {
    const [linked, unlinked]: [KeyNote[], KeyNote[]] = [[], []];
    const found = new Set<number>();
    const ways = this.#roots.map((root) => ({ root, id: root.id, parent: undefined })) as {
      readonly root: Root;
      readonly id: number;
      readonly parent: number | undefined;
    }[];
    let unfinished: ReadonlySet<number> | undefined;
    this.isLimited = this.isWaiting = false;
    for (const { root, id, parent } of ways) {
      if (found.has(id)) continue;
      found.add(id);
      const place = this.#place(id, root, parent);
      place.gap = undefined;
      if (!place.isWatched || this.#isDoubted) {
        unfinished ??= underConstruction(this.#libc) ?? new Set();
        this.#watch(place, unfinished.has(id));
      }
      if (place.key.type !== "keyring") continue;
      const links = keysIn(this.#libc, id);
      if (links === undefined) {
        const state = stateOf(this.#libc.errno());
        place.gap ??= `what is in it cannot be read: ${state}`;
        place.links = undefined;
        continue;
      }
      for (const note of differences(place, links)) {
        (note.subtype === NOTIFY_KEY_LINKED ? linked : unlinked).push(note);
      }
      place.links = new Set(links);
      for (const link of links) ways.push({ root, id: link, parent: id });
    }
    this.#hasLooked = true;
    this.#isDoubted = false;
    this.#leave(found);
    // What has moved is at its new place before it leaves the old one, or all that is in it would seem to go.
    const notes = [...linked, ...unlinked];
    for (const { keyId, aux, subtype } of notes) this.#early.set(`${keyId} ${aux}`, subtype);
    return [...notes, ...this.#lostRoots()];
  }

  /** The place of a key that is in the tree now. */
  #place(id: number, root: Root, parent: number | undefined): Place {
    const known = this.#places.get(id);
    if (known !== undefined) {
      if (known.key.type === undefined) this.see(id); // it may be seen by now
      return Object.assign(known, { root, parent, isIn: true, isCut: false });
    }
    const place: Place = {
      key: describeKey(this.#libc, id) ?? { id },
      root,
      parent,
      isIn: true,
      isCut: false,
      isWatched: false,
      errno: 0,
      gap: undefined,
      // What is in a keyring that comes is news.
      links: this.#hasLooked ? new Set() : undefined,
    };
    this.#places.set(id, place);
    return place;
  }

  #watch(place: Place, isUnfinished: boolean): void {
    if (isUnfinished) {
      this.isWaiting = true;
      place.gap = "it is under construction";
      return;
    }
    const errno = place.errno = this.#pipe.watch(place.key.id, place.root.tag);
    place.isWatched = errno === 0 || errno === EBUSY;
    if (!place.isWatched) place.gap = errno === ENOKEY ? UNMADE : stateOf(errno);
    if (errno === EAGAIN) this.isLimited = this.isWaiting = true;
  }

  /** Ends the watches of all that is not in the tree any more. */
  #leave(found: ReadonlySet<number>): void {
    for (const [id, place] of this.#places) {
      if (found.has(id) || !place.isIn) continue;
      if (place.isWatched) this.#pipe.unwatch(id);
      else this.#places.delete(id);
      Object.assign(place, { isIn: false, isCut: true, isWatched: false, links: new Set() });
    }
  }

  /** Roots of whose end the kernel's word is lost. */
  #lostRoots(): KeyNote[] {
    const lost = this.#roots.filter(({ id }) => this.#places.get(id)!.errno === ENOKEY);
    this.#roots = this.#roots.filter((root) => !lost.includes(root));
    return lost.map(({ id, tag }) => ({
      type: WATCH_TYPE_META,
      subtype: WATCH_META_REMOVAL_NOTIFICATION,
      info: watch_notification_removal.size | tag << WATCH_INFO_ID__SHIFT,
      tag,
      id,
    }));
  }

  /**
   * Follows a note of a key. False where it is not to be told: {@linkcode look} has told of that link already, or no link
   * that was told leads to the keyring any more.
   */
  follow({ subtype, keyId = 0, aux = 0 }: KeyNote): boolean {
    const isEmptied = subtype === NOTIFY_KEY_CLEARED || subtype === NOTIFY_KEY_REVOKED;
    const isLink = subtype === NOTIFY_KEY_LINKED;
    if (!isEmptied && !isLink && subtype !== NOTIFY_KEY_UNLINKED) return true;
    const place = this.#places.get(keyId);
    if (place === undefined || place.isCut) return subtype === NOTIFY_KEY_REVOKED;
    const { links } = place;
    if (links === undefined) return true;
    const changed = isEmptied ? [...links] : [aux];
    for (const id of changed) {
      const early = this.#early.get(`${keyId} ${id}`);
      // Told already, or over: what is told next is told again.
      this.#early.delete(`${keyId} ${id}`);
      if (early === subtype) return false;
      if (isLink) links.add(id);
      else links.delete(id);
    }
    if (!isLink) { for (const id of changed) this.#cut(id); }
    return true;
  }

  /** Where no link that was told leads to a keyring any more, all that is in it is news when one does again. */
  #cut(id: number): void {
    const place = this.#places.get(id);
    if (place?.key.type !== "keyring" || place.isCut) return;
    if (this.#roots.some((root) => root.id === id)) return;
    if (this.#places.values().some(({ links }) => links?.has(id))) return;
    const gone = [...place.links ?? []];
    place.isCut = true;
    place.links = new Set();
    for (const link of gone) this.#cut(link);
  }

  /** All that was queued when it was last looked has been read. */
  settle(): void {
    this.#early.clear();
  }

  /** Whether the end of a watch is that of its key, which is forgotten then; else it was ended here. */
  removed(id: number): boolean {
    const place = this.#places.get(id);
    if (place?.isIn && this.#pipe.watch(id, place.root.tag) !== ENOKEY) return false;
    this.#places.delete(id);
    if (!place?.isIn) return false;
    this.#roots = this.#roots.filter((root) => root.id !== id);
    for (const { links } of this.#places.values()) links?.delete(id); // there is no other word of it
    return true;
  }

  /** After a loss: what is watched is to be found out anew. */
  doubt(): void {
    this.#isDoubted = true;
    for (const [id, { isIn }] of this.#places) if (!isIn) this.#places.delete(id);
  }

  /** What a key is, or was when it could last be seen. */
  see(id: number): Key {
    const place = this.#places.get(id);
    const key = describeKey(this.#libc, id) ?? place?.key ?? { id };
    if (place !== undefined) place.key = key;
    return key;
  }

  /** What was last seen of a key. */
  known(id: number): Key {
    return this.#places.get(id)?.key ?? { id };
  }

  /** The keyring by which a key was found; undefined of what was asked for. */
  keyringOf(id: number): number | undefined {
    return this.#places.get(id)?.parent;
  }

  /** How far each root is watched. */
  coverage(): KeyCoverage[] {
    return this.#roots.map((root) => {
      const places = [...this.#places.values()].filter((one) => one.isIn && one.root === root);
      return {
        keyring: root.keyring,
        key: this.known(root.id),
        tag: root.tag,
        watches: places.filter(({ isWatched }) => isWatched).length,
        gaps: places.flatMap(({ key, gap }) => gap === undefined ? [] : [{ key, reason: gap }]),
      };
    });
  }
}

/** What is in a keyring otherwise than was told, as the kernel would have. */
function differences({ key, root, links }: Place, now: readonly number[]): KeyNote[] {
  if (links === undefined) return [];
  const is = new Set(now);
  const note = (subtype: number) => (aux: number): KeyNote => ({
    type: WATCH_TYPE_KEY_NOTIFY,
    subtype,
    info: key_notification.size | root.tag << WATCH_INFO_ID__SHIFT,
    tag: root.tag,
    keyId: key.id,
    aux,
  });
  return [
    ...[...links].filter((id) => !is.has(id)).map(note(NOTIFY_KEY_UNLINKED)),
    ...now.filter((id) => !links.has(id)).map(note(NOTIFY_KEY_LINKED)),
  ];
}
