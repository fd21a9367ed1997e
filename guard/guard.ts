/**
 * `guard()`, and the guard: paths and decisions on one side, the responder's thread on the other.
 *
 * @module
 */

import process from "node:process";
import { OPERATION_BITS, PermissionGroup } from "../backends/fanotify/permission_group.ts";
import { FileEvent } from "../classify/event.ts";
import { EISDIR } from "../ffi/abi/errno.ts";
import { EFD_CLOEXEC, EFD_NONBLOCK } from "../ffi/abi/poll.ts";
import { O_CLOEXEC, O_PATH } from "../ffi/abi/open.ts";
import { deferred } from "../ffi/deferred.ts";
import {
  CapabilityError,
  SystemError,
  systemError,
  UnsupportedError,
  WatchLimitError,
} from "../ffi/errno.ts";
import { fileStatus, pathOfFd, statusBehind } from "../ffi/file.ts";
import { openLibc } from "../ffi/libc.ts";
import type { Libc } from "../ffi/port.ts";
import { cString } from "../ffi/text.ts";
import { AccountNames } from "../watch/account_names.ts";
import { namesOf } from "../watch/actor.ts";
import { processFacts } from "../watch/process_facts.ts";
import { EventStream } from "../watch/event_stream.ts";
import { EventQueue } from "../watch/queue.ts";
import { absolutePath, pathList } from "../watch/targets.ts";
import { remember } from "./cache.ts";
import { forbidCoreDumps } from "./core_dump.ts";
import { decidedEvent } from "./decided_event.ts";
import { BY_VERDICT, type Decision, settleDecision } from "./decision.ts";
import { followSet } from "./live_set.ts";
import { checkCount, type GuardOptions, type GuardSettings, settleGuard } from "./options.ts";
import { Clock, msUntil } from "./pending.ts";
import {
  type Ask,
  type Count,
  type Decided,
  type DecidedBy,
  type Orders,
  type Report,
  SharedMemory,
  type TreeOrders,
  WORD,
} from "./protocol.ts";
import { GuardRequest, type RequestContext } from "./request.ts";
import { openFileDirectory, OpenFiles } from "../backends/fanotify/open_files.ts";
import { BEAT } from "./responder.ts";
import { WORKER_SOURCE } from "./worker_source.ts";

/** What a guard did so far. */
export interface GuardStats {
  /** Requests that were read. */
  readonly requests: number;
  /** Allowed, whoever decided. */
  readonly allowed: number;
  /** Denied, whoever decided. */
  readonly denied: number;
  /** Requests of this process, and of those that it was starting, which are allowed. */
  readonly own: number;
  /** Requests of ignored processes, and of what is beside the guarded paths, which are allowed. */
  readonly ignored: number;
  /** Decided by a rule. */
  readonly byRule: number;
  /** Decided by `decide`. */
  readonly byDecide: number;
  /** Allowed, for no rule was for it, and there is no `decide`. */
  readonly byDefault: number;
  /** Nobody decided in time. */
  readonly timedOut: number;
  /** `decide` threw. */
  readonly errors: number;
  /** The kernel denied, for it could not open the file for us: no file descriptor was left. */
  readonly refused: number;
  /** Requests that `decide` has not decided yet. */
  readonly waiting: number;
  /** The most that there were at once. */
  readonly mostWaiting: number;
  /** Files that the kernel was told to allow without asking; what it allows so is seen, and counted, by nobody. */
  readonly cached: number;
  /** Of those the ones that it still has in mind: a modification, and shortage of memory, end it. */
  readonly remembered: number;
  /** Decisions that were not told, for nobody took them. */
  readonly unlogged: number;
  /** What is asked about, as bits of fanotify. */
  readonly mask: number;
  /** How many marks have the kernel ask. */
  readonly marks: number;
  /** Directories that could not be marked, and guarded paths that lead nowhere any more: moved away, removed, hidden. */
  readonly unguarded: number;
}

/** How long the end of the responder is waited for, in ms. */
const END = 4 * BEAT;

/** How often it is looked whether the responder, which is not heard, has ended, in ms. */
const LOOK = 10;

/** After how many looks without a sign of life the responder is given up. */
const LOOKS = 4;

/** A guarded path. */
interface Place {
  readonly path: string;
  /** As the kernel spells it. */
  readonly real: string;
  readonly isDirectory: boolean;
}

/**
 * A running guard.
 *
 * - **Nobody waits longer than `timeout`**, whatever this process does: a thread of its own keeps the time.
 * - **This process is never asked about**, so that it can read what it guards.
 * - **The end allows everything**: `close()`, the signal, a crash, SIGKILL.
 * - Iterating tells the decisions from then on: `access.open`, `access.exec`, `access.read`, `access`, with `verdict`, `by`,
 *   `waited` (ms) and more in `attributes`; `lost` where they were not taken fast enough, and for directories that could not
 *   be guarded.
 */
export class Guard extends EventStream {
  /**
   * Settles once: resolves when everything is asked about from now on, rejects with what prevented it, or with an
   * `AbortError` when the guard was closed before.
   */
  readonly ready: Promise<void>;
  /**
   * Settles once, when nothing is left of the guard: resolves when it was told to end, rejects with what ended it or kept it
   * from beginning. For those who do not iterate, which tells the same.
   */
  readonly closed: Promise<void>;
  readonly #settings: GuardSettings;
  readonly #shared = new SharedMemory();
  readonly #clock = new Clock();
  readonly #queue: EventQueue;
  readonly #armed = deferred();
  readonly #ended = deferred();
  readonly #closed = deferred();
  /** What ended it. */
  #failure: { readonly error: unknown } | undefined;
  readonly #requests = new Map<GuardRequest, Ask>();
  readonly #counts = {
    allowed: 0,
    denied: 0,
    byDecide: 0,
    errors: 0,
    timedOut: 0,
    cached: 0,
    mostWaiting: 0,
    marks: 0,
  };
  readonly #abort = (): void => void this.close();
  #places: readonly Place[] = [];
  #libc: Libc | undefined;
  #group: PermissionGroup | undefined;
  #wake = -1;
  #files = -1;
  /** What requests need. */
  #context: RequestContext | undefined;
  #worker: Worker | undefined;
  #watchdog: ReturnType<typeof setInterval> | undefined;
  #forgetProcesses: () => void = () => {};
  #allowCoreDumps: () => void = () => {};
  /** How many reports have been heard since the responder has its orders. */
  #reports = 0;
  #isOver = false;
  #closing: Promise<void> | undefined;

  /** Begins at once. Use {@linkcode guard}. */
  constructor(paths: readonly (string | URL)[], settings: GuardSettings) {
    const queue = new EventQueue(true);
    super(queue, "guard");
    this.#queue = queue;
    this.#settings = settings;
    this.#armed.promise.catch(() => {});
    this.closed = this.#closed.promise;
    this.closed.catch(() => {});
    const { signal } = settings;
    if (signal?.aborted) void this.close();
    else signal?.addEventListener("abort", this.#abort);
    this.ready = this.#begin(paths);
    this.ready.catch(() => {}); // the iterator throws the same; whoever uses neither has chosen not to know
  }

  async #begin(paths: readonly (string | URL)[]): Promise<void> {
    try {
      await this.#open(paths);
    } catch (error) {
      if (this.#closing === undefined) this.#failure = { error };
      await this.close();
      throw error;
    }
  }

  async #open(paths: readonly (string | URL)[]): Promise<void> {
    const settings = this.#settings;
    const libc = this.#libc = await openLibc();
    this.#checkOpen();
    const places = this.#places = paths.map((path) => placeOf(libc, path));
    this.#group = PermissionGroup.open(libc, settings.priority, settings.audit);
    this.#allowCoreDumps = forbidCoreDumps(libc);
    this.#wake = libc.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (this.#wake < 0) throw systemError(libc, "guard", { syscall: "eventfd" });
    this.#files = openFileDirectory(libc);
    this.#context = {
      libc,
      group: this.#group,
      files: new OpenFiles(libc, this.#files),
      pending: this.#shared.pending,
      clock: this.#clock,
      names: new AccountNames(libc),
    };
    for (const path of settings.ignore) this.ignore(path);
    this.#followProcesses();
    // What is marked is asked about, so the responder comes first.
    this.#startResponder();
    await this.#armed.promise;
    this.#checkOpen();
    const { scope } = settings;
    if (scope !== "tree") {
      for (const { path, real } of places) this.#group.mark(scope, this.#mask, cString(real), path);
      this.#counts.marks = places.length;
    }
  }

  #checkOpen(): void {
    if (this.#closing === undefined) return;
    throw new DOMException("Cannot guard: it was closed before it was armed", "AbortError");
  }

  get #mask(): number {
    return this.#settings.on.reduce((mask, operation) => mask | OPERATION_BITS[operation], 0);
  }

  // --- the responder ---

  #startResponder(): void {
    const url = `data:text/javascript;charset=utf-8,${encodeURIComponent(WORKER_SOURCE)}`;
    const worker = this.#worker = new Worker(url, { type: "module" });
    worker.onmessage = ({ data }: MessageEvent<Report>) => this.#heard(data);
    worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(new Error(`Cannot guard: the responder failed: ${event.message}`));
    };
    worker.addEventListener("close", () => {
      if (!this.#isOver) this.#fail(new Error("Cannot guard: the responder was terminated"));
    });
    let [beat, silent, heard, unheard] = [0, 0, 0, 0];
    this.#watchdog = setInterval(() => {
      const now = Atomics.load(this.#shared.words, WORD.beat);
      silent = now === beat ? silent + 1 : 0;
      beat = now;
      // In Deno its thread may go on after it was terminated, and nothing of what it says is heard (2.9.6).
      const isHeard = this.#reports === Atomics.load(this.#shared.words, WORD.reports);
      unheard = isHeard || this.#reports !== heard ? 0 : unheard + 1;
      heard = this.#reports;
      this.#expire();
      if (silent >= LOOKS && beat > 0) {
        this.#fail(new Error("Cannot guard: the responder gives no sign of life"));
      } else if (unheard >= LOOKS) {
        this.#fail(new Error("Cannot guard: the responder is not heard any more"), false);
      }
    }, 2 * BEAT);
  }

  #orders(): Orders {
    const { settings, group } = { settings: this.#settings, group: this.#group! };
    const { rules, timeout, onTimeout, decide, dryRun, scope, ignoreFilesystems } = settings;
    const directories = this.#places.filter((place) => place.isDirectory).map(({ real }) => real);
    const files = this.#places.filter((place) => !place.isDirectory).map(({ real }) => real);
    const tree: TreeOrders | undefined = scope === "tree"
      ? { mask: this.#mask, directories, files, ignoredTypes: ignoreFilesystems }
      : undefined;
    return {
      group: { fd: group.fd, probe: group.probe, flags: group.flags },
      wake: this.#wake,
      files: this.#files,
      memory: this.#shared.buffer,
      now: this.#clock.now(),
      pid: process.pid,
      rules,
      roots: this.#places.map(({ real }) => real),
      tree,
      timeout,
      onTimeout,
      asks: decide !== undefined,
      dryRun,
    };
  }

  #heard(report: Report): void {
    if (report.type !== "ready") this.#reports++;
    switch (report.type) {
      case "ask":
        return this.#asked(report);
      case "decided":
        return this.#decided(report.decided, report.unlogged);
      case "ready":
        if (!this.#isOver) this.#worker!.postMessage(this.#orders());
        return;
      case "armed":
        return this.#armed.resolve();
      case "unguarded":
        return this.#lost(report.path, report.reason);
      case "ended":
        return this.#ended.resolve();
      case "refused":
        return this.#fail(refusal(report));
      case "failed":
        return this.#fail(new Error(`Cannot guard: the responder failed: ${report.message}`));
    }
  }

  #fail(error: Error, isEnded = true): void {
    if (this.#isOver) return;
    this.#failure = { error };
    this.#armed.reject(error);
    if (isEnded) this.#ended.resolve();
    void this.close();
  }

  // --- requests ---

  #asked(ask: Ask): void {
    this.#context!.names.refresh();
    const request = new GuardRequest(ask, this.#context!);
    if (this.#isOver) return request.release();
    this.#requests.set(request, ask);
    this.#counts.mostWaiting = Math.max(this.#counts.mostWaiting, this.#requests.size);
    try {
      const answer = this.#settings.decide!(request);
      if (typeof (answer as Promise<unknown>)?.then !== "function") {
        return this.#answer(
          request,
          ask,
          settleDecision(answer as "allow", "what decide returned"),
        );
      }
      Promise.resolve(answer as Promise<"allow">)
        .then((decision) => {
          this.#answer(request, ask, settleDecision(decision, "what decide resolved to"));
        })
        .catch((error) => this.#threw(request, ask, error));
    } catch (error) {
      this.#threw(request, ask, error);
    }
  }

  #threw(request: GuardRequest, ask: Ask, error: unknown): void {
    this.#counts.errors++;
    const decision = BY_VERDICT[this.#settings.onTimeout];
    this.#answer(request, ask, decision, "error", String((error as Error)?.message ?? error));
  }

  #answer(
    request: GuardRequest,
    ask: Ask,
    decision: Decision,
    by: DecidedBy = "decide",
    error?: string,
  ): void {
    this.#requests.delete(request);
    const { pending } = this.#shared;
    const [libc, group] = [this.#libc!, this.#group!];
    const isAllowed = decision.verdict === "allow" || this.#settings.dryRun;
    const path = this.isIterated ? request.path : "";
    const pathBytes = this.isIterated ? request.pathBytes : undefined;
    // Who is denied may be gone at once; who is allowed does not wait for us to look.
    const asker = request.knownActor ??
      (!isAllowed && this.isIterated ? processFacts(libc, ask.pid) : undefined);
    if (!pending.take(ask.ticket)) return request.release(); // the responder was first
    const answered = group.answer(ask.fd, { isAllowed, ...decision });
    this.#counts[isAllowed ? "allowed" : "denied"]++;
    if (by === "decide") this.#counts.byDecide++;
    else if (by === "timeout") this.#counts.timedOut++;
    if (decision.cache !== undefined && !this.#settings.dryRun) {
      if (remember(libc, group, ask.fd, ask.bits, decision.cache, request.since)) {
        this.#counts.cached++;
      }
    }
    request.release();
    if (!this.isIterated) return;
    this.#tell([{
      operation: ask.operation,
      path,
      pathBytes,
      range: ask.range,
      verdict: decision.verdict,
      by,
      errno: isAllowed ? decision.errno : answered,
      cache: decision.cache,
      error,
      time: Date.now(),
      waited: Math.max(0, msUntil(this.#clock.now(), ask.since)),
      asker: { pid: ask.pid, ...(asker ?? processFacts(libc, ask.pid)) },
      isExact: asker !== undefined,
    }]);
  }

  /** Answers those for whom the responder should have, should it have come to an end. */
  #expire(): void {
    const now = this.#clock.now();
    for (const [request, ask] of this.#requests) {
      if (!request.isWaiting) this.#requests.delete(request);
      else if (msUntil(this.#shared.pending.deadline(ask.ticket.slot), now) < -2 * BEAT) {
        this.#answer(request, ask, BY_VERDICT[this.#settings.onTimeout], "timeout");
      }
    }
  }

  // --- telling ---

  #decided(decided: readonly Decided[], unlogged: number): void {
    Atomics.add(this.#shared.words, WORD.taken, decided.length);
    this.#tell(decided);
    if (unlogged > 0) {
      this.#lost(this.#places[0]?.real ?? "/", "decisions were not taken in time", unlogged);
    }
  }

  #tell(decided: readonly Decided[]): void {
    const { names } = this.#context!;
    names.refresh();
    const events = decided.map((one) => {
      const asker = { ...one.asker, ...namesOf(one.asker, names) };
      return decidedEvent({ ...one, asker }, this.#settings.dryRun);
    });
    this.#queue.push(events, this.#places[0]?.real ?? "/");
  }

  #lost(path: string, reason: string, count?: number): void {
    const attributes = { reason, ...(count === undefined ? {} : { count }) };
    const event = FileEvent.from({ kind: "lost", path, attributes }, Date.now(), "guard");
    this.#queue.push([event], path);
  }

  /** What was decided before is not told. */
  protected override iterated(): void {
    Atomics.store(this.#shared.words, WORD.listens, 1);
  }

  // --- what the kernel is told ---

  /**
   * Never asks about a file again, whatever becomes of its content, while it has this inode; the kernel may forget it when
   * memory is short, and asks then. Throws `SystemError`.
   */
  ignore(path: string | URL): void {
    const { libc, group } = this.#opened();
    const shown = absolutePath(libc, path);
    const file = cString(shown);
    if (statusBehind(libc, file)?.type === "directory") {
      const hint = "a rule with its path and /** allows what is in it";
      const init = { errno: EISDIR, syscall: "fanotify_mark", path: shown, hint };
      throw systemError(libc, `ignore ${shown}`, init);
    }
    if (group.ignore(file, this.#mask, true)) return;
    throw systemError(libc, `ignore ${shown}`, { syscall: "fanotify_mark", path: shown });
  }

  /** Asks about a file again that was ignored, or allowed with `cache`; whether it was. */
  forget(path: string | URL): boolean {
    const { libc, group } = this.#opened();
    const file = cString(absolutePath(libc, path));
    const inode = statusBehind(libc, file)?.inode;
    const count = () => group.ignored().filter((ino) => ino === inode).length;
    const before = count();
    if (before === 0) return false;
    group.unignore(file, this.#mask);
    return count() < before;
  }

  #opened(): { libc: Libc; group: PermissionGroup } {
    if (this.#libc !== undefined && this.#group !== undefined && !this.#isOver) {
      return { libc: this.#libc, group: this.#group };
    }
    const state = this.#isOver ? "it is closed" : "it is not ready yet";
    throw new TypeError(`Cannot change the guard: ${state}`);
  }

  /** Has the responder, which cannot see the set, know the ignored processes. */
  #followProcesses(): void {
    const set = this.#settings.ignoreProcesses;
    const publish = () => {
      checkCount(set);
      this.#shared.ignore(set);
    };
    publish();
    this.#forgetProcesses = followSet(set, publish);
  }

  /** What was done so far. */
  stats(): GuardStats {
    const own = this.#counts;
    const count = (name: Count) => this.#shared.count(name);
    return {
      requests: count("requests"),
      allowed: count("allowed") + own.allowed,
      denied: count("denied") + own.denied,
      own: count("own"),
      ignored: count("ignored"),
      byRule: count("byRule"),
      byDecide: own.byDecide,
      byDefault: count("byDefault"),
      timedOut: count("timedOut") + own.timedOut,
      errors: own.errors,
      refused: count("refused"),
      waiting: [...this.#requests.keys()].filter((request) => request.isWaiting).length,
      mostWaiting: own.mostWaiting,
      cached: count("cached") + own.cached,
      remembered: this.#isOver ? 0 : this.#group?.ignored().length ?? 0,
      unlogged: count("unlogged") + this.#queue.stats.dropped,
      mask: this.#mask,
      marks: count("marks") + own.marks,
      unguarded: count("unguarded"),
    };
  }

  // --- the end ---

  /** Ends it: all that waits is allowed. Resolves once nothing is left of it; the same promise each time. */
  override close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    this.#isOver = true;
    this.#settings.signal?.removeEventListener("abort", this.#abort);
    clearInterval(this.#watchdog);
    this.#forgetProcesses();
    const libc = this.#libc;
    const { words, pending } = this.#shared;
    Atomics.store(words, WORD.stop, 1);
    this.#armed.resolve(); // nobody else will, and then it is seen that it is closed
    if (this.#worker !== undefined && libc !== undefined) {
      if (Atomics.load(words, WORD.beat) > 0) {
        libc.write(this.#wake, ONE, ONE.length);
        const timer = setTimeout(this.#ended.resolve, END);
        const look = setInterval(() => {
          if (Atomics.load(words, WORD.ended) !== 0) this.#ended.resolve();
        }, LOOK);
        await this.#ended.promise;
        clearTimeout(timer);
        clearInterval(look);
      }
      this.#worker.terminate();
    }
    for (const [request, ask] of this.#requests) {
      pending.take(ask.ticket);
      request.release();
    }
    this.#requests.clear();
    // What a thread that was terminated could not close.
    const directories = Atomics.exchange(words, WORD.directories, 0) - 1;
    if (directories >= 0) {
      libc!.close(directories);
      libc!.close(Atomics.load(words, WORD.mounts) - 1);
    }
    this.#group?.close();
    this.#allowCoreDumps();
    for (const fd of [this.#wake, this.#files]) if (fd >= 0) libc?.close(fd);
    this.#wake = this.#files = -1;
    this.#queue.end(this.#failure);
    if (this.#failure === undefined) this.#closed.resolve();
    else this.#closed.reject(this.#failure.error);
  }
}

const ONE = new Uint8Array(new BigUint64Array([1n]).buffer);

/** The path as the kernel spells it. Throws `SystemError` where there is none. */
function placeOf(libc: Libc, path: string | URL): Place {
  const shown = absolutePath(libc, path);
  const fd = libc.open(cString(shown), O_PATH | O_CLOEXEC, 0);
  if (fd < 0) throw systemError(libc, `guard ${shown}`, { syscall: "open", path: shown });
  const real = pathOfFd(libc, fd) ?? shown;
  const isDirectory = fileStatus(libc, cString(""), fd)?.type === "directory";
  libc.close(fd);
  return { path: shown, real, isDirectory };
}

/** The responder's error, as it was thrown there. */
function refusal(report: Report & { type: "refused" }): SystemError {
  const { message, ...init } = report;
  const type = init.code === "ENOSPC" || init.code === "EMFILE"
    ? WatchLimitError
    : init.code === "EPERM"
    ? CapabilityError
    : ["EINVAL", "EOPNOTSUPP", "ENODEV", "EXDEV"].includes(init.code)
    ? UnsupportedError
    : SystemError;
  return new type(message, init);
}

/**
 * Asks before files are opened, executed or read.
 *
 * **Privilege.** CAP_SYS_ADMIN in the initial user namespace. In Deno `--allow-ffi`, nothing else.
 *
 * **Kernel.** CONFIG_FANOTIFY_ACCESS_PERMISSIONS; `"exec"` Linux 5.0, `"access"` and errnos 6.14.
 *
 * **Errors.** `TypeError` or `RangeError` at once for wrong arguments. What the system refuses rejects `ready` and is thrown
 * to the iterator: `CapabilityError`, `UnsupportedError`, `WatchLimitError`, `SystemError`.
 *
 * @example
 * ```ts ignore
 * import { guard } from "sentinode";
 *
 * await using gate = guard("/srv/uploads", {
 *   rules: [{ path: "*.png", verdict: "allow", cache: "until-modified" }],
 *   decide: (request) => request.actor.uid === 0 ? "allow" : "deny",
 * });
 * for await (const event of gate) console.log(event.attributes.verdict, event.path, event.actor?.exe);
 * ```
 *
 * @param paths one path or several, relative ones to the working directory; `file:` URLs
 */
export function guard(
  paths: string | URL | Iterable<string | URL>,
  options: GuardOptions = {},
): Guard {
  return new Guard(pathList(paths, "guard"), settleGuard(options));
}
