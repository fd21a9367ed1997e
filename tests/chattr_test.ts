/**
 * `chattr +i` on a watched file: by each backend, with audit and without, whether the file is closed afterwards, stays open,
 * or is never opened.
 */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { watch, type WatchEvent, type WatchOptions } from "../mod.ts";
import { isInstalled } from "../scripts/real_work/process.ts";
import { Audited, whyUnaudited } from "./audited.ts";
import { Filesystem, whyNot } from "./filesystem.ts";
import { isPossible, OPERATIONS, Operations } from "./operations.ts";
import { TemporaryDirectory, untilLater, within } from "./runtime.ts";

/** How often is looked without a word of the kernel's, in ms. */
const SWEEP = 500;

/** How flags are changed, and who can tell before a sweep does. */
interface Way {
  readonly title: string;
  /** The command; what stays open does so until its input ends. */
  readonly command: (file: string, operations: Operations) => readonly string[];
  readonly flag: "immutable" | "nodump";
  /** The kernel tells that the file is closed. */
  readonly isClosed: boolean;
  readonly needs: () => string | false;
}

const hasSetattr = OPERATIONS.some((operation) =>
  operation.name === "file_setattr" && isPossible(operation, "ext4")
);

const CHANGES: readonly Way[] = [
  {
    title: "chattr",
    command: (file) => ["chattr", "+i", file],
    flag: "immutable",
    isClosed: true,
    needs: () => !isInstalled("chattr") && "chattr is not installed",
  },
  {
    title: "an ioctl on a file that stays open",
    command: (file, operations) => operations.command("setflags+i", file, "", "stay"),
    flag: "immutable",
    isClosed: false,
    needs: () => false,
  },
  {
    title: "file_setattr by path",
    command: (file, operations) => operations.command("file_setattr", file),
    flag: "nodump",
    isClosed: false,
    needs: () => !hasSetattr && "needs Linux 6.17",
  },
];

/** Runs a command on a file that is watched; the first event, and the command's pid. */
async function changed(
  { command }: Way,
  options: WatchOptions,
): Promise<{ readonly event: WatchEvent; readonly pid: number }> {
  using programs = new TemporaryDirectory();
  using filesystem = new Filesystem("ext4");
  const operations = new Operations(join(programs.path, "operations"));
  const directory = join(filesystem.path, "directory");
  const file = join(directory, "file");
  mkdirSync(directory);
  writeFileSync(file, "");
  await untilLater();
  await using watcher = watch(directory, options);
  await watcher.ready;
  const [program = "", ...args] = command(file, operations);
  const child = spawn(program, args, { stdio: ["pipe", "inherit", "inherit"] });
  const ended = new Promise((resolve) => child.on("close", resolve));
  const { value: event } = await within(watcher[Symbol.asyncIterator]().next(), "an event");
  child.stdin.end();
  assert.equal(await ended, 0);
  assert.equal(event.path, file);
  return { event, pid: child.pid! };
}

for (const backend of ["fanotify", "inotify", "poll"] as const) {
  for (const way of CHANGES) {
    const { title, flag, isClosed, needs } = way;
    const skip = whyUnaudited || whyNot("ext4") || (!isInstalled("cc") && "needs a C compiler") ||
      needs();
    const change = [
      "modify.metadata.flags",
      { before: { flags: [] }, after: { flags: [flag] } },
    ];

    test(
      `${backend}, audit: ${title} is told with who did it`,
      { skip, timeout: 60_000 },
      async () => {
        await using _audited = await Audited.open();
        const metadata = { sweep: 0 };
        const { event, pid } = await changed(way, { backend, actor: "audit", metadata });
        const { kind, attributes, actor } = event;
        assert.deepEqual([kind, attributes], change);
        assert.equal(actor?.pid, pid);
        assert.equal(actor?.confidence, backend === "fanotify" && isClosed ? "exact" : "likely");
      },
    );

    const found = isClosed && backend !== "poll" ? "when it is closed" : "by looking";
    test(
      `${backend}, without audit: ${title} is told ${found}`,
      { skip, timeout: 60_000 },
      async () => {
        const metadata = { sweep: SWEEP };
        const { event } = await changed(way, { backend, metadata });
        const { kind, attributes, actor, synthetic } = event;
        assert.deepEqual([kind, attributes], change);
        assert.equal(actor, undefined);
        assert.equal(synthetic === true, found === "by looking");
      },
    );
  }
}
