/**
 * A request as `decide` sees it.
 *
 * @module
 */

import type { Operation, PermissionGroup } from "../backends/fanotify/permission_group.ts";
import type { Actor } from "../classify/event.ts";
import { EAGAIN, EINTR, ESTALE } from "../ffi/abi/errno.ts";
import { O_CLOEXEC, O_WRONLY } from "../ffi/abi/open.ts";
import { SystemError, systemError } from "../ffi/errno.ts";
import { fileStatus } from "../ffi/file.ts";
import type { Libc } from "../ffi/port.ts";
import { cString } from "../ffi/text.ts";
import type { AccountNames } from "../watch/account_names.ts";
import { namesOf } from "../watch/actor.ts";
import { processFacts } from "../watch/process_facts.ts";
import { type FileVersion, fileVersion } from "./cache.ts";
import { checkTime } from "./options.ts";
import type { Clock, PendingRequests } from "./pending.ts";
import type { Ask, ByteRange } from "./protocol.ts";
import type { FilePath, OpenFiles } from "../backends/fanotify/open_files.ts";

/** Bytes that the stream reads at once. */
const CHUNK = 64 * 1024;

/** What a request needs of its guard. */
export interface RequestContext {
  readonly libc: Libc;
  readonly group: PermissionGroup;
  readonly files: OpenFiles;
  readonly pending: PendingRequests;
  readonly clock: Clock;
  /** Names are looked up in the main thread alone: that opens files, about which the responder may be asked. */
  readonly names: AccountNames;
}

/**
 * Somebody waits to open, execute, read or change a file, until it is decided. What is asked of it is looked up then; once
 * it was decided, or the time was over, the file is closed.
 */
export class GuardRequest {
  /** What is asked for. */
  readonly operation: Operation;
  /** `"access"`: the bytes that are to be read or written, in whole pages. */
  readonly range?: ByteRange;
  readonly #ask: Ask;
  readonly #context: RequestContext;
  #file: FilePath | undefined;
  #actor: Actor | undefined;
  /**
   * The file as it was when it was asked for.
   *
   * @ignore for the guard alone
   */
  readonly since: FileVersion | undefined;

  /** @ignore for the guard alone */
  constructor(ask: Ask, context: RequestContext) {
    this.operation = ask.operation;
    if (ask.range !== undefined) this.range = ask.range;
    this.#ask = ask;
    this.#context = context;
    this.since = this.#use((libc, fd) => fileVersion(libc, fd));
  }

  /** The path of the file as it is now, through the mount by which it is asked for; U+FFFD where it is no UTF-8. */
  get path(): string {
    return this.#path.path;
  }

  /** The path's bytes, where they are no UTF-8. */
  get pathBytes(): Uint8Array | undefined {
    return this.#path.pathBytes;
  }

  get #path(): FilePath {
    return this.#file ??= this.#use((_, fd) => this.#context.files.path(fd)) ??
      { path: "?", pathBytes: undefined };
  }

  /**
   * Who asks, if that was looked up while it waited.
   *
   * @ignore for the guard alone
   */
  get knownActor(): Actor | undefined {
    return this.#actor?.gone ? undefined : this.#actor;
  }

  /** Who asks. It waits, so what is found is its own; `gone` where it was killed meanwhile. */
  get actor(): Actor {
    return this.#actor ??= this.#look();
  }

  #look(): Actor {
    const { pid } = this.#ask;
    const facts = this.isWaiting ? processFacts(this.#context.libc, pid) : undefined;
    const isExact = facts !== undefined && this.isWaiting;
    const known = { pid, ...facts, ...namesOf(facts ?? {}, this.#context.names), self: false };
    return isExact
      ? { ...known, confidence: "exact" }
      : { ...known, gone: true, confidence: "likely" };
  }

  /** Bytes that the file has. */
  get size(): number {
    return this.#use((libc, fd) => fileStatus(libc, cString(""), fd)?.size) ?? 0;
  }

  /** Whether somebody has the file open for writing; undefined where the kernel does not say. */
  get isOpenForWriting(): boolean | undefined {
    return this.#use((_, fd) => this.#context.group.isWritten(fd));
  }

  /** Whether it still waits: not decided, nor too late. */
  get isWaiting(): boolean {
    return this.#context.pending.isWaiting(this.#ask.ticket);
  }

  /**
   * Bytes of the file, which raises no event: `length` of them from `offset`, fewer at its end; all where nothing is given.
   * Throws `SystemError`; with the code `"ESTALE"` when it does not wait any more.
   */
  read(offset: number = 0, length: number = Infinity): Uint8Array<ArrayBuffer> {
    checkPlace("read", offset);
    if (length !== Infinity && !isSize(length)) {
      throw new RangeError(`Cannot read ${length} bytes: it is no number of bytes`);
    }
    return this.#using("read", (libc, fd) => {
      let content = new Uint8Array(Math.max(0, Math.min(length, this.size - offset) || CHUNK));
      let count = 0;
      while (count < length) {
        if (count === content.length) {
          // It is longer than it says, as files of the kernel are, or it grows.
          const next = new Uint8Array(Math.min(length, content.length + CHUNK));
          next.set(content);
          content = next;
        }
        const read = libc.pread(
          fd,
          content.subarray(count),
          content.length - count,
          offset + count,
        );
        if (read < 0 && libc.errno() === EINTR) continue;
        if (read < 0 && libc.errno() === EAGAIN) break; // a FIFO
        if (read < 0) {
          throw systemError(libc, `read ${this.path}`, { syscall: "pread", path: this.path });
        }
        if (read === 0) break;
        count += read;
        // All that it says it has: whether there is more is worth one more call only where the size is unknown.
      }
      return content.subarray(0, count);
    });
  }

  /** The bytes of the file as a stream, which raises no event, and fails once the request does not wait any more. */
  get readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    let offset = 0;
    return new ReadableStream({
      pull: (controller) => {
        const chunk = this.read(offset, CHUNK);
        offset += chunk.length;
        if (chunk.length === 0) controller.close();
        else controller.enqueue(chunk);
      },
    }, { highWaterMark: 0 });
  }

  /**
   * Writes bytes to the file at `offset`, to fill in what is missing before it is read. It happens like any write of this
   * process, which is asked about nothing. Throws `SystemError`.
   */
  write(bytes: Uint8Array<ArrayBuffer>, offset: number): void {
    checkPlace("write", offset);
    this.#using("write", (libc, file) => {
      const fail = (syscall: string) =>
        systemError(libc, `write ${this.path}`, { syscall, path: this.path });
      const fd = libc.open(cString(`/proc/self/fd/${file}`), O_WRONLY | O_CLOEXEC, 0);
      if (fd < 0) throw fail("open");
      try {
        for (let at = 0; at < bytes.length;) {
          const written = libc.pwrite(fd, bytes.subarray(at), bytes.length - at, offset + at);
          if (written >= 0) at += written;
          else if (libc.errno() !== EINTR) throw fail("pwrite");
        }
      } finally {
        libc.close(fd);
      }
    });
  }

  /** Lets it wait for `ms` more from now; whether it still waits. */
  extend(ms: number): boolean {
    checkTime(ms, "extend");
    const { pending, clock } = this.#context;
    this.#use(() => pending.extend(this.#ask.ticket, clock.now() + Math.round(ms)));
    return this.isWaiting;
  }

  #using<T>(what: string, use: (libc: Libc, fd: number) => T): T {
    const result = this.#use((libc, fd) => ({ value: use(libc, fd) }));
    if (result !== undefined) return result.value;
    throw new SystemError(`Cannot ${what} ${this.path}: the request does not wait any more`, {
      errno: ESTALE,
      path: this.path,
      hint: "decide sooner, call extend() before, or raise timeout",
    });
  }

  /** Uses the file while it is surely open; undefined where it is not. */
  #use<T>(use: (libc: Libc, fd: number) => T): T | undefined {
    const { libc, pending } = this.#context;
    const { ticket, fd } = this.#ask;
    if (!pending.isWaiting(ticket)) return undefined;
    const isOuter = pending.hold(ticket);
    if (!isOuter && !this.#isHeld) return undefined;
    if (isOuter) this.#isHeld = true;
    try {
      return use(libc, fd);
    } finally {
      if (isOuter) {
        this.#isHeld = false;
        pending.letGo(ticket);
        if (!pending.isWaiting(ticket)) this.release();
      }
    }
  }
  #isHeld = false;

  /**
   * Closes the file, unless somebody else does.
   *
   * @ignore for the guard alone
   */
  release(): void {
    const { libc, pending } = this.#context;
    if (pending.mayClose(this.#ask.ticket)) libc.close(this.#ask.fd);
  }
}

function isSize(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function checkPlace(what: string, offset: number): void {
  if (isSize(offset)) return;
  throw new RangeError(`Cannot ${what} at ${offset}: it is no place in a file`);
}
