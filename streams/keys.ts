/**
 * `keys()`.
 *
 * @module
 */

import type { KeyNote } from "../backends/keys/decode.ts";
import { encodeFilter, type KeyFilter, passes } from "../backends/keys/filter.ts";
import { type Keyring, keyringId } from "../backends/keys/keyctl.ts";
import { NotificationPipe } from "../backends/keys/pipe.ts";
import { type KeyCoverage, KeyTree } from "../backends/keys/tree.ts";
import { FileEvent } from "../classify/event.ts";
import { type KeyEvent, keyEvent, keyKind, subjectsOf, subtypesOf } from "../classify/keys.ts";
import { isWanted } from "../classify/kinds.ts";
import { openLibc } from "../ffi/libc.ts";
import { type Reactor, reactor } from "../ffi/reactor.ts";
import { Turns } from "../watch/turns.ts";
import {
  type KeysOptions,
  type KeysSettings,
  settleKeys,
  type TaggedKeyring,
} from "./keys_options.ts";
import { SourceStream } from "./source_stream.ts";

/** What a stream of keys did so far. */
export interface KeysStats {
  /** Events delivered to the queue. */
  readonly events: number;
  /** Notes that were read. */
  readonly notes: number;
  /** Bytes that were read. */
  readonly bytesRead: number;
  /** How often the kernel told that notes were lost. */
  readonly losses: number;
  /** Events that were dropped because the consumer was too slow. */
  readonly dropped: number;
  /** How many keys are watched. */
  readonly watches: number;
  /** How many notes the kernel's queue holds. */
  readonly capacity: number;
}

/** How long to wait for keys that cannot be watched now before they are looked at again, in ms. */
const LOOK_AGAIN = 250;

/** A running stream of what happens to keys. */
export class KeyStream extends SourceStream<KeyEvent> {
  readonly #settings: KeysSettings;
  #pipe: NotificationPipe | undefined;
  #tree: KeyTree | undefined;
  #reactor: Reactor | undefined;
  #isReading = false;
  /** Whether other keys may have to be watched, and whether any note was lost, since it was last looked. */
  #isChanged = false;
  #isLost = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #notes = 0;
  #losses = 0;

  /** Begins to watch at once. Use {@linkcode keys}. */
  constructor(settings: KeysSettings) {
    // The kernel holds the backlog: while the queue is full nothing is read.
    super("stream of keys", false, settings.signal);
    this.#settings = settings;
    this.queue.onRoom = () => this.#read();
  }

  /** @internal */
  protected override async open(): Promise<void> {
    const { keyrings, events, filter } = this.#settings;
    const libc = await openLibc();
    const shared = await reactor();
    if (!this.isOpen) return;
    const pipe = this.#pipe = new NotificationPipe(libc);
    const asked = filter ?? (events && filterFor(events));
    if (asked !== undefined) pipe.filter(encodeFilter(asked));
    const roots = keyrings.map(({ keyring, tag }) => ({
      keyring,
      tag,
      id: keyringId(libc, keyring),
    }));
    const tree = new KeyTree(libc, pipe, roots);
    tree.begin();
    shared.add(pipe.fd, () => this.#read());
    this.#tree = tree;
    this.#reactor = shared;
    this.#lookAgain();
  }

  /** Reads what is queued; what goes wrong ends the stream. */
  #read(): void {
    const [tree, pipe] = [this.#tree, this.#pipe];
    if (this.#isReading || tree === undefined || pipe === undefined) return;
    void this.#readAll(tree, pipe);
  }

  async #readAll(tree: KeyTree, pipe: NotificationPipe): Promise<void> {
    this.#isReading = true;
    try {
      const turns = new Turns();
      while (this.isOpen && !this.queue.isFull) {
        if (this.#readTurn(tree, pipe, turns)) {
          this.#reactor!.arm(pipe.fd);
          break;
        }
        await turns.next();
      }
      if (!tree.isEmpty) return;
      this.queue.end();
      this.end();
    } catch (error) {
      this.fail(error);
    } finally {
      this.#isReading = false;
    }
  }

  /**
   * Reads until nothing is queued (then true), or others shall have their turn. What is told is watched by then: of a key
   * that was linked all that comes is told.
   */
  #readTurn(tree: KeyTree, pipe: NotificationPipe, turns: Turns): boolean {
    const events: KeyEvent[] = [];
    let isDrained: boolean;
    do {
      // To the end: that notes were lost is told by the read after the last one.
      const notes = pipe.read();
      isDrained = notes.length === 0;
      this.#notes += notes.length;
      for (const note of notes) events.push(...this.#take(tree, note));
    } while (!isDrained && !turns.isOver);
    if (isDrained) tree.settle();
    if (this.#isLost) tree.doubt();
    if (this.#isChanged || this.#isLost) events.push(...this.#look(tree));
    this.#isChanged = this.#isLost = false;
    this.queue.push(events, "");
    return isDrained;
  }

  /** What a note tells: an event, or nothing. */
  #take(tree: KeyTree, note: KeyNote): KeyEvent[] {
    const kind = keyKind(note);
    const event = this.#event(tree, note); // before the key of a removal is forgotten
    if (kind === "lost") {
      this.#losses++;
      this.#isLost = true;
    } else if (kind === "key.remove") {
      if (note.id !== undefined && !tree.removed(note.id)) return [];
    } else if (kind.startsWith("key.") && !tree.follow(note)) return [];
    this.#isChanged ||= STRUCTURAL.has(kind);
    return this.#isWanted(note) ? [event] : [];
  }

  /** Watches what is there now, and gives what the kernel has not told of. */
  #look(tree: KeyTree): KeyEvent[] {
    const wasLimited = tree.isLimited;
    const notes = tree.look();
    const events = notes.filter((note) => this.#isWanted(note)).map((note) =>
      this.#event(tree, note, true)
    );
    if (tree.isLimited && !wasLimited) {
      const attributes = { reason: "the limit of watches is used up (RLIMIT_NOFILE)" };
      const lost = FileEvent.from({ kind: "lost", path: "", attributes }, Date.now(), "keys");
      events.push(lost as FileEvent & KeyEvent);
    }
    this.#lookAgain();
    return events;
  }

  /** The kernel does not tell when a key is no longer under construction, or when there is room below the limit. */
  #lookAgain(): void {
    clearTimeout(this.#timer);
    const tree = this.#tree!;
    if (!tree.isWaiting) return;
    this.#timer = setTimeout(() => {
      if (this.isOpen) this.queue.push(this.#look(tree), "");
    }, LOOK_AGAIN);
  }

  #isWanted(note: KeyNote): boolean {
    const { events, filter } = this.#settings;
    const kind = keyKind(note);
    return kind === "lost" ||
      ((filter === undefined || passes(note, filter)) &&
        (events === undefined || isWanted(kind, events)));
  }

  #event(tree: KeyTree, note: KeyNote, synthetic?: boolean): KeyEvent {
    const { key, keyring } = subjectsOf(note, (id) => tree.keyringOf(id));
    const subjects = {
      key: key === undefined ? undefined : tree.see(key),
      keyring: keyring === undefined ? undefined : tree.see(keyring),
    };
    return keyEvent(note, subjects, Date.now(), synthetic);
  }

  /** @internal */
  protected override ending(): void {
    clearTimeout(this.#timer);
  }

  /** @internal */
  protected override giveBack(): void {
    const pipe = this.#pipe;
    if (pipe === undefined) return;
    this.#reactor?.remove(pipe.fd);
    pipe.close();
  }

  /** How far what was asked for is watched; empty until {@linkcode ready} has resolved. */
  coverage(): KeyCoverage[] {
    return this.#tree?.coverage() ?? [];
  }

  /** Counters since the stream was opened. */
  stats(): KeysStats {
    const { events, dropped } = this.queue.stats;
    return {
      events,
      notes: this.#notes,
      bytesRead: this.#pipe?.bytesRead ?? 0,
      losses: this.#losses,
      dropped,
      watches: this.#tree?.watches ?? 0,
      capacity: this.#pipe?.size ?? 0,
    };
  }
}

/** What changes which keys are to be watched. */
const STRUCTURAL: ReadonlySet<string> = new Set([
  "key.link",
  "key.unlink",
  "key.clear",
  "key.revoke",
  "key.remove",
]);

/** What the kernel has to tell for these kinds; all where what this version does not know is among them. */
function filterFor(events: readonly string[]): readonly KeyFilter[] | undefined {
  if (isWanted("other", events)) return undefined;
  return [{ subtypes: subtypesOf((kind) => isWanted(kind, events)) }];
}

/**
 * Tells what happens to keys: in a keyring, in those that are in it, now or later, and to each key in them.
 *
 * A key that is added is `key.link` in its keyring, as is one that was there before; what happens to the key itself is
 * told from then on. `attributes` has the `key`, the `keyring`, and the `tag` of what was asked for.
 *
 * **Privilege.** None: keys that may be seen (the permission View) can be watched, `coverage()` has the others.
 *
 * **Kernel.** Linux 5.8 with CONFIG_WATCH_QUEUE and CONFIG_KEY_NOTIFICATIONS, as those of Fedora, the RHEL family and
 * Ubuntu are; Debian's is not.
 *
 * **Errors.** `TypeError` or `RangeError` at once for wrong arguments. What the system refuses rejects `ready` and is
 * thrown to the iterator: `UnsupportedError`, `WatchLimitError`, `SystemError`.
 *
 * @example
 * ```ts
 * import { keys, UnsupportedError } from "sentinode";
 *
 * await using stream = keys("session", { events: ["key.link", "key.unlink"] });
 * try {
 *   await stream.ready;
 *   const [{ key, watches } = {}] = stream.coverage();
 *   console.log(key?.description, watches);
 * } catch (error) {
 *   if (!(error instanceof UnsupportedError)) throw error;
 *   console.log(error.hint);
 * }
 * ```
 *
 * @param keyring what is watched, or a list; by default the session keyring of this process, as it is when the stream
 * begins
 */
export function keys(
  keyring: Keyring | Iterable<Keyring | TaggedKeyring> = "session",
  options: KeysOptions = {},
): KeyStream {
  return new KeyStream(settleKeys(keyring, options));
}
