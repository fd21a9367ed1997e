/**
 * The responder: waits for requests, and answers them, in a thread of its own that waits for nothing else.
 *
 * It opens no file but in /proc, which asks nobody, starts no process, and answers first: whatever it did in between could
 * have to wait for its own answer.
 *
 * @module
 */

import { posix } from "node:path";
import { FanotifyBatch, FanotifyRecord } from "../backends/fanotify/decode.ts";
import {
  type Operation,
  operationOf,
  PermissionGroup,
  REQUEST_SIZE,
} from "../backends/fanotify/permission_group.ts";
import { isWithin, type MountInfo, parseMountInfo } from "../backends/mounts/mountinfo.ts";
import { mountId } from "../backends/mounts/mount_id.ts";
import { FAN_EVENT_INFO_TYPE_RANGE } from "../ffi/abi/fanotify.ts";
import { AT_FDCWD } from "../ffi/abi/open.ts";
import { pollfd, POLLIN, POLLPRI } from "../ffi/abi/poll.ts";
import { rlimit, RLIMIT_NOFILE } from "../ffi/abi/resource.ts";
import { STATX_MNT_ID } from "../ffi/abi/statx.ts";
import { SYS_prlimit64 } from "../ffi/abi/syscall.ts";
import { SystemError } from "../ffi/errno.ts";
import { fileStatus, readDirectory, readText } from "../ffi/file.ts";
import type { Libc } from "../ffi/port.ts";
import { cString } from "../ffi/text.ts";
import { type ProcessFacts, processFacts } from "../watch/process_facts.ts";
import { Arrivals } from "./arrivals.ts";
import { remember } from "./cache.ts";
import { ALLOW, BY_VERDICT, type Decision, DENY } from "./decision.ts";
import { Clock, msUntil, SLOTS, type Ticket } from "./pending.ts";
import {
  type ByteRange,
  type Decided,
  type DecidedBy,
  type Orders,
  type Report,
  SharedMemory,
  WORD,
} from "./protocol.ts";
import { OpenFiles } from "../backends/fanotify/open_files.ts";
import { isBeingStarted, RequestFacts } from "./request_facts.ts";
import { RuleSet } from "./rules.ts";
import { TreeMarks } from "./tree_marks.ts";

/** How often the responder goes round though nothing happens, in ms: so long its end may be waited for. */
export const BEAT = 250;

/** How many requests one read takes at most. */
const BATCH = 64;

/** How many file descriptors are left to the rest of the process. */
const RESERVE = 8;

/** How long a count of free file descriptors holds where there are plenty, in reads. */
const RECOUNT = 1024;

/** After how long it is looked again whether a file descriptor has become free, in ms. */
const SHORT = 5;

/** How many decisions are told at once, and how many may wait to be taken. */
const TOLD_AT_ONCE = 256;
const MOST_UNTAKEN = 16_384;

const limits = new Uint8Array(rlimit.size);

/** A request that the main thread is asked about. */
interface Waiting {
  readonly ticket: Ticket;
  readonly record: Request;
  /** When it came at the earliest, on the clock. */
  readonly since: number;
}

/** What of a request is kept while it waits. */
interface Request {
  readonly fd: number;
  readonly pid: number;
  readonly bits: number;
  readonly operation: Operation;
  readonly range: ByteRange | undefined;
}

/** Answers the requests of one group. */
export class Responder {
  readonly #libc: Libc;
  readonly #orders: Orders;
  readonly #report: (report: Report) => void;
  readonly #shared: SharedMemory;
  readonly #group: PermissionGroup;
  readonly #files: OpenFiles;
  readonly #rules: RuleSet;
  readonly #clock: Clock;
  readonly #tree: TreeMarks | undefined;
  readonly #fds: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  /** What is read into; made anew where another number of requests fits. */
  #batch = new FanotifyBatch(new Uint8Array(PermissionGroup.bufferSize(BATCH)), 0);
  #record = new FanotifyRecord(this.#batch);
  readonly #waiting = new Map<number, Waiting>();
  /** The slot after the one that was given last. */
  #slot = 0;
  /** No request has to be answered before. */
  #earliest: number;
  readonly #arrivals: Arrivals;
  /** When it began to wait for what is read next, if that is still to be noted. */
  #polledAt = Infinity;
  #isArmed = false;
  /** How many file descriptors were free, and in how many reads that is counted again. */
  #free = 0;
  #recountIn = 0;
  /** How many requests waited when that was counted: more hold files of their own. */
  #waitingThen = 0;
  /** How many requests the next read may take. */
  #room = 0;
  #decided: Decided[] = [];
  #told = 0;
  #unlogged = 0;

  constructor(libc: Libc, orders: Orders, report: (report: Report) => void) {
    this.#libc = libc;
    this.#orders = orders;
    this.#report = report;
    this.#shared = new SharedMemory(orders.memory);
    const { fd, probe, flags } = orders.group;
    this.#group = new PermissionGroup(libc, fd, probe, flags);
    this.#files = new OpenFiles(libc, orders.files);
    this.#rules = new RuleSet(orders.rules, orders.roots);
    this.#clock = new Clock(orders.now);
    this.#earliest = this.#clock.now();
    this.#arrivals = new Arrivals(this.#earliest);
    const { tree } = orders;
    this.#tree = tree && new TreeMarks(libc, this.#group, tree, (path, reason) => {
      this.#shared.add("unguarded");
      report({ type: "unguarded", path, reason });
    });
    const fds: [fd: number, events: number][] = [[orders.group.fd, POLLIN], [orders.wake, POLLIN]];
    if (this.#tree !== undefined) {
      const { directories, mounts } = this.#tree.fds;
      fds.push([directories, POLLIN], [mounts, POLLPRI]);
      Atomics.store(this.#shared.words, WORD.mounts, mounts + 1);
      Atomics.store(this.#shared.words, WORD.directories, directories + 1);
    }
    this.#fds = new Uint8Array(fds.length * pollfd.size);
    this.#view = new DataView(this.#fds.buffer);
    for (const [i, [fd, events]] of fds.entries()) {
      this.#view.setInt32(i * pollfd.size + pollfd.fd, fd, true);
      this.#view.setInt16(i * pollfd.size + pollfd.events, events, true);
    }
  }

  /** Answers until it is told to stop. */
  run(): void {
    const { words } = this.#shared;
    try {
      while (Atomics.load(words, WORD.stop) === 0) {
        Atomics.add(words, WORD.beat, 1);
        this.#wait();
        if (this.#isReady(0)) this.#serve();
        this.#follow();
        this.#expire();
        if (!this.#isReady(0) || this.#decided.length >= TOLD_AT_ONCE) this.#tell();
      }
    } finally {
      this.#tell();
      if (Atomics.exchange(words, WORD.directories, 0) !== 0) this.#tree!.close();
      this.#release();
    }
  }

  /** What waits is allowed by the group's end. The main thread may not have heard of it, so its files are closed here. */
  #release(): void {
    const { pending } = this.#shared;
    for (const { ticket, record } of this.#waiting.values()) {
      pending.take(ticket);
      if (pending.mayClose(ticket)) this.#libc.close(record.fd);
    }
  }

  #isReady(i: number): boolean {
    return this.#view.getInt16(i * pollfd.size + pollfd.revents, true) !== 0;
  }

  #wait(): void {
    const room = this.#room = this.#countRoom();
    // Without room no request is taken: it is no use to be woken by one.
    this.#view.setInt32(pollfd.fd, room > 0 ? this.#orders.group.fd : -1, true);
    let pause = this.#tree?.isArming || !this.#isArmed || this.#decided.length > 0
      ? 0
      : room <= 0 || this.#tree?.isMoving
      ? SHORT
      : BEAT;
    if (this.#waiting.size > 0) {
      pause = Math.min(pause, Math.max(0, msUntil(this.#earliest, this.#clock.now())));
    }
    this.#polledAt = performance.now();
    this.#libc.poll(this.#fds, this.#fds.length / pollfd.size, pause);
    if (room <= 0) {
      this.#polledAt = Infinity;
      this.#countQueued();
    }
    if (this.#isReady(1)) this.#libc.read(this.#orders.wake, EIGHT, EIGHT.length);
  }

  /**
   * Notes whether it was waited for what was read: then it came just now. Where one request was read, after that is
   * answered, for even to ask the time takes time.
   */
  #noteWait(): void {
    const polledAt = this.#polledAt;
    if (polledAt === Infinity) return;
    const now = performance.now();
    // Where it took no time to wait, it may have been there at once.
    this.#arrivals.waited(this.#clock.at(now - polledAt > 1 ? now : polledAt));
    this.#polledAt = Infinity;
  }

  /** When the requests that were read came at the earliest. */
  get #since(): number {
    this.#noteWait();
    return this.#arrivals.since;
  }

  /**
   * How many requests may be taken: each opens a file. What had to wait in the kernel as long as may be is taken one by one
   * though there is no room, to be answered at once.
   */
  #countRoom(): number {
    const room = Math.min(this.#countFree(), SLOTS - this.#waiting.size, BATCH);
    if (room > 0) return room;
    const deadline = this.#arrivals.since + this.#orders.timeout;
    return msUntil(deadline, this.#clock.now()) <= 0 ? 1 : 0;
  }

  #countQueued(): void {
    const now = this.#clock.now();
    if (this.#arrivals.isDue(now)) this.#arrivals.queued(now, this.#group.queued());
  }

  /** Marks, and follows the changes of the tree. */
  #follow(): void {
    const tree = this.#tree;
    if (tree !== undefined) {
      if (this.#isReady(3)) tree.readMounts();
      if (this.#isReady(2) || tree.isMoving) tree.readDirectories();
      if (tree.isArming) tree.arm();
      this.#shared.set("marks", tree.marks);
    }
    if (this.#isArmed || tree?.isArming) return;
    this.#isArmed = true;
    this.#report({ type: "armed" });
  }

  // --- requests ---

  #serve(): void {
    const size = PermissionGroup.bufferSize(this.#room);
    if (this.#batch.bytes.length !== size) {
      this.#batch = new FanotifyBatch(new Uint8Array(size), 0);
      this.#record = new FanotifyRecord(this.#batch);
    }
    const batch = this.#batch;
    if (!this.#group.read(batch)) return this.#arrivals.empty(this.#clock.now());
    if (batch.length > REQUEST_SIZE) this.#noteWait();
    const record = this.#record;
    let count = 0;
    for (let at = 0; at < batch.length; count++) {
      at = record.read(at, batch.length);
      this.#take(record, batch);
    }
    this.#noteWait();
    this.#arrivals.read(count);
    // What fills the buffer may have more behind it, which waited as long.
    if (batch.length + REQUEST_SIZE > size) this.#countQueued();
  }

  #take(record: FanotifyRecord, batch: FanotifyBatch): void {
    const { fd, pid, bits } = record;
    const shared = this.#shared;
    const operation = operationOf(bits);
    shared.add("requests");
    if (fd < 0) {
      // The kernel could not open the file for us, and denied by itself.
      shared.add("refused");
      shared.add("denied");
      this.#log({ fd, pid, bits, operation }, "kernel", DENY, undefined, -fd);
      return;
    }
    if (operation === undefined) { // nobody waits
      this.#libc.close(fd);
      return;
    }
    if (pid === this.#orders.pid) return this.#pass("own", fd);
    if (shared.ignores(pid)) return this.#pass("ignored", fd);
    const range = batch.length > 24 ? rangeOf(record) : undefined;
    const request: Request = { fd, pid, bits, operation, range };
    const facts = new RequestFacts(this.#libc, this.#files, operation, fd, pid);
    if (this.#orders.tree !== undefined && !this.#isGuarded(facts.path, fd, pid)) {
      return this.#pass("ignored", fd);
    }
    const rule = this.#rules.length === 0 ? undefined : this.#rules.match(facts);
    if (rule !== undefined) {
      shared.add("byRule");
      return this.#decide(request, "rule", rule.decision, rule.index);
    }
    if (!this.#orders.asks) {
      shared.add("byDefault");
      return this.#decide(request, "default", ALLOW);
    }
    if (isBeingStarted(this.#libc, pid, this.#orders.pid)) return this.#pass("own", fd);
    this.#ask(request);
  }

  /** Lets pass what nobody is asked about. */
  #pass(count: "own" | "ignored", fd: number): void {
    this.#shared.add(count);
    this.#shared.add("allowed");
    this.#group.answer(fd, ALLOW_ANSWER);
    this.#libc.close(fd);
  }

  /**
   * Whether what was asked for is guarded: not what is beside a guarded file, nor what is in a directory that was moved out
   * of the tree, or is mounted there no more, of which the mark is taken back. Through another mount it is known by its
   * place in the filesystem. Where a directory above was moved, it is known by the tree.
   */
  #isGuarded(path: string, fd: number, pid: number): boolean {
    if (this.#isAskedFor(path)) return true;
    const tree = this.#tree!;
    const id = mountId(this.#libc, fd, "", STATX_MNT_ID);
    const relation = () =>
      tree.places.relation(path, tree.places.mount(id) ?? this.#foreignMount(pid, id));
    let is = relation();
    if (is !== "outside") return is === "guarded";
    tree.readDirectories();
    const parent = posix.dirname(path);
    // What covers the directory may have its path, and be guarded.
    const isReached = mountId(this.#libc, AT_FDCWD, parent, STATX_MNT_ID) === id;
    const known = isReached ? tree.guardedPath(parent) : undefined;
    if (known !== undefined) return this.#isAskedFor(posix.join(known, posix.basename(path)));
    // What is mounted may have been moved where it was mounted from, which changes the table, and nobody tells.
    tree.readMounts();
    is = relation();
    if (is !== "outside") return is === "guarded";
    if (isReached) tree.unmark(parent);
    return !isReached && tree.isAway; // nobody can tell
  }

  #isAskedFor(path: string): boolean {
    const { directories, files } = this.#orders.tree!;
    return directories.some((root) => isWithin(path, root)) || files.includes(path);
  }

  /** A mount of the namespace of the process that asks: a container, a service. */
  #foreignMount(pid: number, id: number): MountInfo | undefined {
    const table = readText(this.#libc, `/proc/${pid}/mountinfo`) ?? "";
    const line = table.split("\n").find((line) => line.startsWith(`${id} `));
    return parseMountInfo(line ?? "")[0];
  }

  #decide(request: Request, by: DecidedBy, decision: Decision, rule?: number): void {
    const { fd, bits } = request;
    const isAllowed = decision.verdict === "allow" || this.#orders.dryRun;
    // Who is denied may be gone at once; who is allowed does not wait for us to look.
    const asker = !isAllowed && this.#listens ? processFacts(this.#libc, request.pid) : undefined;
    this.#shared.add(isAllowed ? "allowed" : "denied");
    const { errno, audit } = decision;
    const answered = this.#group.answer(fd, { isAllowed, errno, audit });
    if (
      decision.cache !== undefined && !this.#orders.dryRun &&
      remember(this.#libc, this.#group, fd, bits, decision.cache)
    ) this.#shared.add("cached");
    this.#log(request, by, decision, rule, isAllowed ? decision.errno : answered, asker);
    this.#libc.close(fd);
  }

  /** Asks the main thread. */
  #ask(request: Request): void {
    const shared = this.#shared;
    const since = this.#since;
    const deadline = (since + this.#orders.timeout) | 0;
    while (!shared.pending.isFree(this.#slot)) this.#slot = (this.#slot + 1) % SLOTS;
    const ticket = shared.pending.add(this.#slot, deadline);
    this.#slot = (this.#slot + 1) % SLOTS;
    if (this.#waiting.size === 0 || msUntil(deadline, this.#earliest) < 0) {
      this.#earliest = deadline;
    }
    this.#waiting.set(ticket.slot, { ticket, record: request, since });
    shared.add("asked");
    this.#tell(); // what was decided before is told before
    this.#report({ type: "ask", ticket, since, ...request });
  }

  /** Answers those for whom the main thread was too late. */
  #expire(): void {
    const { pending } = this.#shared;
    if (this.#waiting.size === 0) return;
    const now = this.#clock.now();
    const isDue = msUntil(this.#earliest, now) <= 0;
    if (!isDue && this.#waiting.size < SLOTS / 2) return;
    let earliest = (now + this.#orders.timeout) | 0;
    for (const [slot, { ticket, record, since }] of this.#waiting) {
      if (!pending.isWaiting(ticket)) {
        this.#waiting.delete(slot);
        continue;
      }
      const deadline = pending.deadline(slot);
      if (msUntil(deadline, now) > 0) {
        if (msUntil(deadline, earliest) < 0) earliest = deadline;
        continue;
      }
      this.#waiting.delete(slot);
      if (pending.take(ticket)) this.#timeOut(ticket, record, since);
    }
    this.#earliest = earliest;
  }

  #timeOut(ticket: Ticket, request: Request, since: number): void {
    const decision = BY_VERDICT[this.#orders.onTimeout];
    const isAllowed = decision === ALLOW || this.#orders.dryRun;
    const asker = !isAllowed && this.#listens ? processFacts(this.#libc, request.pid) : undefined;
    this.#shared.add("timedOut");
    this.#shared.add(isAllowed ? "allowed" : "denied");
    this.#group.answer(request.fd, { isAllowed });
    this.#log(request, "timeout", decision, undefined, undefined, asker, since);
    if (this.#shared.pending.mayClose(ticket)) this.#libc.close(request.fd);
  }

  // --- file descriptors ---

  /** How many file descriptors there are to spare; counted anew each time where they are few. */
  #countFree(): number {
    const held = this.#waiting.size - this.#waitingThen;
    if (this.#recountIn-- > 0 && held <= BATCH) return this.#free - held;
    const libc = this.#libc;
    libc.syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, libc.address(limits), 0);
    const limit = Number(new DataView(limits.buffer).getBigUint64(rlimit.rlim_cur, true));
    // The size of the directory is how many there are since Linux 6.2.
    const open = fileStatus(libc, FDS)?.size || (readDirectory(libc, FDS)?.length ?? limit);
    this.#free = limit - open - RESERVE;
    this.#recountIn = this.#free > 4 * BATCH ? RECOUNT : 0;
    this.#waitingThen = this.#waiting.size;
    return this.#free;
  }

  // --- telling ---

  get #listens(): boolean {
    return Atomics.load(this.#shared.words, WORD.listens) !== 0;
  }

  #log(
    request: Omit<Request, "operation" | "range"> & {
      readonly operation: Operation | undefined;
      readonly range?: ByteRange | undefined;
    },
    by: DecidedBy,
    { verdict, cache }: Decision,
    rule?: number,
    errno?: number,
    asker?: ProcessFacts,
    since: number = this.#listens ? this.#since : 0,
  ): void {
    if (!this.#listens) return;
    const { fd, pid, operation, range } = request;
    if (this.#told - Atomics.load(this.#shared.words, WORD.taken) >= MOST_UNTAKEN) {
      this.#unlogged++;
      this.#shared.add("unlogged");
      return;
    }
    const file = fd < 0 ? { path: "?", pathBytes: undefined } : this.#files.path(fd);
    this.#told++;
    this.#decided.push({
      operation,
      ...file,
      range,
      verdict,
      by,
      rule,
      errno,
      cache,
      time: Date.now(),
      waited: Math.max(0, msUntil(this.#clock.now(), since)),
      asker: { pid, ...(asker ?? processFacts(this.#libc, pid)) },
      isExact: asker !== undefined,
    });
  }

  #tell(): void {
    if (this.#decided.length === 0 && this.#unlogged === 0) return;
    this.#report({ type: "decided", decided: this.#decided, unlogged: this.#unlogged });
    this.#decided = [];
    this.#unlogged = 0;
  }
}

const EIGHT = new Uint8Array(8);
const FDS = cString("/proc/self/fd/.");
const ALLOW_ANSWER = { isAllowed: true } as const;

function rangeOf(record: FanotifyRecord): ByteRange | undefined {
  return record.info.find(({ type }) => type === FAN_EVENT_INFO_TYPE_RANGE)?.range;
}

/** Runs the responder, whose orders come as a message; what it cannot go on with is reported. */
export function respond(libc: Libc, orders: Orders, post: (report: Report) => void): void {
  const { words } = new SharedMemory(orders.memory);
  const report = (one: Report) => {
    Atomics.add(words, WORD.reports, 1);
    post(one);
  };
  try {
    new Responder(libc, orders, report).run();
    report({ type: "ended" });
  } catch (error) {
    if (error instanceof SystemError) {
      const { message, code, hint, errno, syscall, path = "" } = error;
      report({ type: "refused", message, code, hint, errno, syscall, path });
    } else report({ type: "failed", message: String((error as Error)?.stack ?? error) });
  } finally {
    Atomics.store(words, WORD.ended, 1);
  }
}
