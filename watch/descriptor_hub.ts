/**
 * One fanotify group for mounts whose filesystems give no handles to find a file by (overlayfs, subvolumes of btrfs,
 * FUSE): the kernel hands over an open file with each event. That works everywhere, and tells accesses only.
 *
 * @module
 */

import { FanotifyRecord } from "../backends/fanotify/decode.ts";
import { FanotifyGroup, type GroupWish } from "../backends/fanotify/group.ts";
import { openFileDirectory, OpenFiles } from "../backends/fanotify/open_files.ts";
import { isWithin } from "../backends/mounts/mountinfo.ts";
import { fanotifyKinds, fanotifyMask, ON_MOUNT } from "../classify/fanotify.ts";
import { FAN_ONDIR, FAN_Q_OVERFLOW } from "../ffi/abi/fanotify.ts";
import { UnsupportedError } from "../ffi/errno.ts";
import { fileStatus } from "../ffi/file.ts";
import type { Libc } from "../ffi/port.ts";
import type { Reactor } from "../ffi/reactor.ts";
import { cString } from "../ffi/text.ts";
import { Backlog, type Pending } from "./backlog.ts";
import { type Circumstances, circumstances, type Feed } from "./feed.ts";
import { Hub } from "./hub.ts";

/** The hub of marks on mounts. A feed's home is its mount point. */
export class DescriptorHub extends Hub<string> {
  readonly group: FanotifyGroup;
  readonly #backlog: Backlog;
  /** The directory of the open files. */
  readonly #directory: number;
  readonly #files: OpenFiles;

  constructor(libc: Libc, reactor: Reactor, wish: GroupWish) {
    super(libc, reactor);
    this.group = new FanotifyGroup(libc, { ...wish, descriptors: true });
    this.#backlog = new Backlog(libc, this.group);
    this.#directory = openFileDirectory(libc);
    this.#files = new OpenFiles(libc, this.#directory);
    this.start();
  }

  protected override get fd(): number {
    return this.group.fd;
  }

  override get bytesRead(): number {
    return this.group.bytesRead;
  }

  override marks(feed: Feed): number {
    return this.homes.has(feed) ? 1 : 0;
  }

  /** Covers `feed` with a mark on the mount whose root is its directory. What such a mark cannot tell is a gap. */
  add(feed: Feed): void {
    const point = feed.directory;
    const mask = maskOf(feed);
    const untold = fanotifyKinds(fanotifyMask(feed.filter.asked) & ~ON_MOUNT);
    if (mask === FAN_ONDIR) {
      throw new UnsupportedError(`Cannot watch ${feed.path} for ${untold.join(", ")}`, {
        path: feed.path,
        hint:
          "of a mount only accesses are told; the rest needs file handles, which this filesystem does not give",
      });
    }
    this.group.mark("mount", mask, cString(point), feed.path);
    this.settle(feed, point);
    if (untold.length === 0) return;
    const reason = `this filesystem gives no file handles, so ${untold.join(", ")} is not told`;
    feed.gaps.push({ path: feed.path, reason });
  }

  protected override withdraw(feed: Feed, point: string): void {
    let mask = 0;
    for (const [other, otherPoint] of this.homes) if (otherPoint === point) mask |= maskOf(other);
    this.group.unmark("mount", maskOf(feed) & ~mask, cString(point));
  }

  protected override closeQueue(): void {
    this.group.close();
    if (this.#directory >= 0) this.libc.close(this.#directory);
  }

  protected override turn(): boolean {
    const pending = this.#backlog.first();
    if (pending === undefined) {
      this.caughtUp();
      return false;
    }
    try {
      this.#process(pending);
    } finally {
      this.#closeRest(pending); // a consumer's function may have thrown
      this.#backlog.drop();
    }
    return true;
  }

  #process(pending: Pending): void {
    const { batch } = pending;
    const record = new FanotifyRecord(batch);
    const about = circumstances(batch.kept);
    while (pending.next < batch.length) {
      about.offset = pending.next;
      pending.next = record.read(pending.next, batch.length);
      about.pid = record.pid;
      about.actor = this.#backlog.actorOf(record.pid, pending);
      if ((record.bits & FAN_Q_OVERFLOW) !== 0) {
        this.lostAll("the kernel's queue was full (fs.fanotify.max_queued_events)");
      } else if (record.fd < 0) this.lostAll("the kernel could not open the file of an event");
      else this.#happened(record, about);
    }
  }

  /** Closes the files of the records that were not processed. */
  #closeRest(pending: Pending): void {
    const record = new FanotifyRecord(pending.batch);
    while (pending.next < pending.batch.length) {
      pending.next = record.read(pending.next, pending.batch.length);
      if (record.fd >= 0) this.libc.close(record.fd);
    }
  }

  #happened({ fd, bits }: FanotifyRecord, about: Circumstances): void {
    const { path, pathBytes } = this.#files.path(fd);
    // Without handles the kernel asks for FAN_ONDIR, but never sends it (fanotify(7)).
    const isDirectory = fileStatus(this.libc, cString(""), fd)?.type === "directory";
    this.libc.close(fd);
    for (const feed of this.#feedsOf(path)) {
      for (const kind of fanotifyKinds(bits)) {
        const event = feed.event(kind, path, isDirectory, about);
        if (event === undefined) continue;
        feed.attribute(event, about.actor);
        if (pathBytes !== undefined) event.pathBytes = pathBytes;
      }
    }
  }

  /** Those who watch the mount that the path is on: of the mount points above it the longest. */
  #feedsOf(path: string): Feed[] {
    const above = [...this.homes].filter(([, point]) => isWithin(path, point));
    const longest = Math.max(...above.map(([, point]) => point.length));
    return above.filter(([, point]) => point.length === longest).map(([feed]) => feed);
  }
}

function maskOf(feed: Feed): number {
  return (fanotifyMask(feed.filter.patterns) & ON_MOUNT) | FAN_ONDIR;
}
