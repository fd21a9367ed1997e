/** Where a filesystem gives no file handles, a mount is watched by the open files that the kernel hands over. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { Buffer } from "node:buffer";
import { readdirSync, readFileSync, readlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import test from "node:test";
import { UnsupportedError, watch, type WatchEvent, type WatchOptions } from "../mod.ts";
import { Filesystem, whyNot } from "./filesystem.ts";
import { within } from "./runtime.ts";

const settings = { skip: whyNot("overlay"), timeout: 60_000 };

const ACCESSES = ["access", "modify.data"];

/** What is told of `path` while `act` acts, up to the opening of a file named "end". */
async function told(
  directory: string,
  options: WatchOptions,
  act: () => void,
): Promise<{ events: WatchEvent[]; coverage: string[] }> {
  await using watcher = watch(directory, { scope: "mount", events: ACCESSES, ...options });
  await watcher.ready;
  const coverage = watcher.coverage().flatMap(({ backend, by, gaps }) => [
    `${backend} ${by}`,
    ...gaps.map(({ reason }) => reason),
  ]);
  act();
  writeFileSync(join(directory, "end"), "");
  const events: WatchEvent[] = [];
  const all = (async () => {
    for await (const event of watcher) {
      if (event.path.endsWith("/end")) break;
      events.push(event);
    }
  })();
  await within(all, "the end");
  return { events, coverage };
}

const brief = ({ kind, path, isDirectory }: WatchEvent) =>
  `${kind} ${path.split("/").at(-1)}${isDirectory ? "/" : ""}`;

test("overlayfs: accesses, with paths of the merged tree", settings, async () => {
  using overlay = new Filesystem("overlay");
  const { events, coverage } = await told(overlay.path, {}, () => {
    readFileSync(join(overlay.path, "below"));
    writeFileSync(join(overlay.path, "new"), "new");
    readdirSync(overlay.path);
  });
  assert.deepEqual(
    new Set(events.map(brief)),
    new Set([
      "access.open below",
      "access.read below",
      "access.close.nowrite below",
      "access.open new",
      "modify.data new",
      "access.close.write new",
      "access.open root/",
      "access.read root/",
      "access.close.nowrite root/",
    ]),
  );
  assert(events.every(({ path }) => path.startsWith(overlay.path)));
  assert.deepEqual(coverage, ["fanotify mount"]);
});

test("overlayfs: who did it", settings, async () => {
  using overlay = new Filesystem("overlay");
  const { events } = await told(overlay.path, { actor: true }, () => {
    readFileSync(join(overlay.path, "below"));
  });
  const actors = events.map(({ actor }) => actor);
  assert(actors.length > 0);
  for (const actor of actors) {
    assert.equal(actor?.pid, process.pid);
    assert.equal(actor?.self, true);
    assert.equal(actor?.confidence, "exact");
  }
});

test("overlayfs: a removed file has the path that it had", settings, async () => {
  using overlay = new Filesystem("overlay");
  const path = join(overlay.path, "short-lived (deleted)");
  const { events } = await told(overlay.path, {}, () => {
    writeFileSync(path, "");
    unlinkSync(path);
    writeFileSync(join(overlay.path, "stays (deleted)"), "");
  });
  assert.deepEqual(
    new Set(events.map(({ path }) => path)),
    new Set([path, join(overlay.path, "stays (deleted)")]),
  );
});

test("overlayfs: a name that is not UTF-8", settings, async () => {
  using overlay = new Filesystem("overlay");
  const bytes = Buffer.concat([Buffer.from(`${overlay.path}/`), Buffer.of(0x61, 0xff)]);
  const { events } = await told(overlay.path, {}, () => {
    execFileSync("sh", ["-c", `: > "$(printf 'a\\377')"`], { cwd: overlay.path });
  });
  assert(events.length > 0);
  for (const { path, pathBytes } of events.filter(({ isDirectory }) => !isDirectory)) {
    assert.equal(path, `${overlay.path}/a\uFFFD`);
    assert.deepEqual(Buffer.from(pathBytes!), bytes);
  }
});

test("overlayfs: what only handles could tell is a gap, and alone an error", settings, async () => {
  using overlay = new Filesystem("overlay");
  for (const scope of ["mount", "filesystem"] as const) {
    const { events, coverage } = await told(
      overlay.path,
      { backend: "fanotify", scope, events: ["access.open", "create", "rename"] },
      () => readFileSync(join(overlay.path, "below")),
    );
    assert.deepEqual(events.map(brief), ["access.open below"]);
    assert.match(coverage[1]!, /no file handles, so create, rename is not told$/);
    assert.equal(coverage.length, scope === "mount" ? 2 : 3); // and other mounts
    const refused = watch(overlay.path, { backend: "fanotify", scope, events: ["create"] });
    await assert.rejects(refused.ready, (error: UnsupportedError) => {
      assert(error instanceof UnsupportedError);
      assert.match(error.message, /for create$/);
      return true;
    });
    await refused.close();
    await using watched = watch(overlay.path, { scope, events: ["access.open", "create"] });
    await watched.ready;
    assert.equal(watched.coverage()[0]!.backend, "inotify"); // which tells both
  }
});

test(
  "overlayfs: two watchers of one mount, each its own; no file stays open",
  settings,
  async () => {
    using overlay = new Filesystem("overlay");
    const opened = () =>
      readdirSync("/proc/self/fd").filter((fd) => {
        try {
          return readlinkSync(`/proc/self/fd/${fd}`).startsWith(overlay.path);
        } catch {
          return false; // the directory that is being read
        }
      });
    const opens = watch(overlay.path, { scope: "mount", events: ["access.open"] });
    const both = watch(overlay.path, { scope: "mount", events: ["access.open", "access.close"] });
    await Promise.all([opens.ready, both.ready]);
    const [openEvents, bothEvents] = [opens, both].map((one) => one[Symbol.asyncIterator]());
    // Arming the second opened the directory, which the first may see.
    const next = async (events: AsyncIterator<WatchEvent> | undefined): Promise<string> => {
      const { value } = await within(events!.next(), "an event");
      return value.isDirectory ? await next(events) : brief(value);
    };
    readFileSync(join(overlay.path, "below"));
    assert.equal(await next(openEvents), "access.open below");
    assert.equal(await next(bothEvents), "access.open below");
    await both.close();
    assert.equal(opens.coverage()[0]!.watches, 1);
    readFileSync(join(overlay.path, "below"));
    assert.equal(await next(openEvents), "access.open below");
    assert.deepEqual(opened(), []);
    await opens.close();
  },
);
