/** Watchers in Workers: each sees its own, and one that is terminated harms nobody. */

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { Ground } from "./ground.ts";
import { moduleFile, runScript, TemporaryDirectory } from "./runtime.ts";

const WATCH = JSON.stringify(moduleFile("mod.ts"));

/** Watches what it is told to, tells what it sees, and closes when it is told to. */
const WORKER = `
  import { watch } from ${WATCH};
  let watcher;
  self.onmessage = async ({ data }) => {
    if (data === "close") {
      await watcher.close();
      return;
    }
    const [path, backend] = data;
    watcher = watch(path, { backend, events: ["create"] });
    await watcher.ready;
    self.postMessage("ready");
    for await (const { kind, path } of watcher) self.postMessage(kind + " " + path);
    self.postMessage("closed");
  };
`;

const MAIN = `
  import assert from "node:assert/strict";
  import { mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
  import process from "node:process";
  import { watch } from ${WATCH};

  const [file, directory, backend] = process.argv.slice(2);

  /** A Worker that watches. */
  class Watching {
    told = [];
    #wake = () => {};
    #worker = new Worker("file://" + file, { type: "module" });

    constructor() {
      this.#worker.onmessage = ({ data }) => {
        this.told.push(data);
        this.#wake();
      };
      this.#worker.postMessage([directory, backend]);
    }

    async until(line) {
      while (!this.told.includes(line)) await new Promise((resolve) => this.#wake = resolve);
    }

    async close() {
      this.#worker.postMessage("close");
      await this.until("closed");
      this.terminate();
    }

    terminate() {
      this.#worker.terminate();
    }
  }

  /** What the queues that are open are told of, each. */
  function queues() {
    return readdirSync("/proc/self/fd").flatMap((fd) => {
      try {
        if (!/inotify|fanotify/.test(readlinkSync("/proc/self/fd/" + fd))) return [];
        const info = readFileSync("/proc/self/fdinfo/" + fd, "utf8");
        return [info.split("\\n").filter((line) => /^(inotify wd|fanotify (?!flags))/.test(line))];
      } catch {
        return []; // the one that listed them
      }
    });
  }
  const isOfMounts = (marks) => marks.some((mark) => mark.startsWith("fanotify mnt_ns:"));
  /** How many are open, without those that are told of mounts. */
  const open = () => queues().filter((marks) => !isOfMounts(marks)).length;
  /** How many of them are told of anything: a thread may end between the opening of one of mounts and its mark. */
  const used = () => queues().filter((marks) => marks.length > 0 && !isOfMounts(marks)).length;

  const watcher = watch(directory, { backend, events: ["create"] });
  await watcher.ready;
  const events = watcher[Symbol.asyncIterator]();
  let files = 0;
  /** Makes some files; what they raise, each once. */
  function act() {
    const expected = [];
    for (let n = 0; n < 20; n++) {
      writeFileSync(directory + "/" + ++files, "");
      expected.push("create.file " + directory + "/" + files);
    }
    mkdirSync(directory + "/d" + files);
    expected.push("create.directory " + directory + "/d" + files);
    writeFileSync(directory + "/d" + files + "/f", "");
    expected.push("create.file " + directory + "/d" + files + "/f");
    return expected;
  }
  async function seesOnce(expected) {
    for (const line of expected) {
      const { value: { kind, path } } = await events.next();
      assert.equal(kind + " " + path, line);
    }
  }
`;

for (const backend of ["inotify", "fanotify"] as const) {
  const run = async (source: string) => {
    using ground = new Ground();
    using directory = new TemporaryDirectory();
    const worker = join(directory.path, "worker.ts");
    writeFileSync(worker, WORKER);
    const args = [worker, ground.path, backend];
    const { status, stdout, stderr } = await runScript(MAIN + source, { args });
    assert.deepEqual({ status, stderr }, { status: 0, stderr: "" }, stdout);
  };

  test(
    `${backend}: a Worker and the main thread on the same tree`,
    { timeout: 60_000 },
    async () => {
      await run(`
      const [one, other] = [new Watching(), new Watching()];
      for (const worker of [one, other]) await worker.until("ready");
      const expected = act();
      await seesOnce(expected);
      for (const worker of [one, other]) {
        await worker.until(expected.at(-1));
        assert.deepEqual(worker.told, ["ready", ...expected]);
      }
      assert.equal(open(), 3);
      await one.close();
      assert.equal(open(), 2);
      const more = act();
      await seesOnce(more);
      await other.until(more.at(-1));
      assert.deepEqual(other.told, ["ready", ...expected, ...more]);
      await watcher.close();
      const last = act();
      await other.until(last.at(-1));
      assert.deepEqual(other.told, ["ready", ...expected, ...more, ...last]);
      await other.close();
      assert.equal(open(), 0);
    `);
    },
  );

  test(
    `${backend}: Workers that are terminated while they watch`,
    { timeout: 60_000 },
    async () => {
      await run(`
      for (let n = 0; n < 10; n++) {
        const worker = new Watching();
        await worker.until("ready");
        const before = n % 2 === 0 ? act() : []; // which it may be about to tell
        worker.terminate();
        await seesOnce([...before, ...act()]);
      }
      // Nothing can be run in them, so what they held stays open until the process ends, and no longer.
      assert(used() <= 11, JSON.stringify(queues()));
      const worker = new Watching();
      await worker.until("ready");
      const after = act();
      await seesOnce(after);
      await worker.until(after.at(-1));
      assert.deepEqual(worker.told, ["ready", ...after]);
      await worker.close();
      await watcher.close();
      assert(used() <= 10, JSON.stringify(queues()));
    `);
    },
  );
}
