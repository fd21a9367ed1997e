/**
 * How many records the kernel queues, lowered for a moment: it counts for the inotify instances and fanotify groups that
 * are made meanwhile, of the whole machine.
 *
 * @module
 */

import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable, Writable } from "node:stream";

/**
 * Lowers a sysctl until its standard input ends, which it does however we end. Two at once would restore what the other one
 * set, so they wait for each other.
 */
const KEEPER = `
  trap '' HUP INT TERM
  exec 9< "$1" && flock 9 && before=$(cat "$1") && echo "$2" > "$1" || exit 1
  echo lowered
  cat > /dev/null
  echo "$before" > "$1"
`;

/** A lowered limit. */
export class QueueLimit {
  readonly #keeper: ChildProcessByStdio<Writable, Readable, null>;

  private constructor(keeper: ChildProcessByStdio<Writable, Readable, null>) {
    this.#keeper = keeper;
  }

  /** Lowers it. Needs the user root, but no capability: the file is root's. */
  static async lower(backend: "fanotify" | "inotify", records: number): Promise<QueueLimit> {
    const file = `/proc/sys/fs/${backend}/max_queued_events`;
    const keeper = spawn("sh", ["-c", KEEPER, "sh", file, `${records}`], {
      stdio: ["pipe", "pipe", "inherit"],
      detached: true, // what ends our process group does not end it
    });
    const isLowered = await Promise.race([
      once(keeper.stdout, "data").then(() => true),
      once(keeper, "close").then(() => false),
    ]);
    if (!isLowered) throw new Error(`Cannot lower ${file}: see above`);
    return new QueueLimit(keeper);
  }

  /** Restores it. */
  async restore(): Promise<void> {
    const end = once(this.#keeper, "close");
    this.#keeper.stdin.end();
    await end;
  }
}
