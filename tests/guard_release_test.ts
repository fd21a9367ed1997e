/** Nobody stays blocked, whatever becomes of the program that decides, and nothing of it is left. */

import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { Guarded, type Used, whyUnguarded } from "./guarded.ts";
import { type Finished, moduleFile, type RunInit, runScript, until } from "./runtime.ts";

const settings = { skip: whyUnguarded("tmpfs"), timeout: 120_000 };

/** What the scripts begin with. */
const PRELUDE = `
  import { spawn, spawnSync } from "node:child_process";
  import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
  import { readFile } from "node:fs/promises";
  import process from "node:process";

  /** The threads of responders, as guard() starts them. */
  const workers = [];
  globalThis.Worker = class extends Worker {
    constructor(...args) {
      super(...args);
      workers.push(this);
    }
  };
  const { guard } = await import(${JSON.stringify(moduleFile("mod.ts"))});

  const [root, results, opener] = process.argv.slice(2);
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  async function until(condition) {
    while (!condition()) await sleep(1);
  }
  const never = () => new Promise(() => {});

  const children = [];
  /** Has other processes use a file, which live on without this one. */
  function use(count, operation = "open", name = "file") {
    const command = [opener, count, operation, root + "/" + name, "0", "1"];
    const child = spawn("sh", ["-c", 'exec "$@" >> "$0"', results, ...command.map(String)], {
      stdio: "ignore",
      detached: true,
    });
    children.push(new Promise((resolve) => child.on("close", resolve)));
    child.unref();
  }
  /** What became of it so far. */
  function used() {
    if (!existsSync(results)) return [];
    return readFileSync(results, "utf8").split("\\n").slice(0, -1).map((line) => JSON.parse(line));
  }
  /** What a guard tells. */
  function tell(gate) {
    const events = [];
    const end = (async () => {
      for await (const event of gate) events.push(event);
    })();
    end.catch(() => {});
    return { events, end };
  }

  // Deno opens two sockets of its own for signals, whenever it first comes to it (2.9.6).
  process.on("SIGUSR2", fds).off("SIGUSR2", fds);
  function fds() {
    return readdirSync("/proc/self/fd").flatMap((fd) => {
      try {
        const link = readlinkSync("/proc/self/fd/" + fd);
        return link.startsWith("socket:") || link.startsWith("pipe:") ? [] : [link];
      } catch {
        return []; // the one that reads the directory
      }
    }).sort();
  }
  /** Those of Workers, as Deno and Bun call them; the engines start others when they like. */
  const threads = () =>
    readdirSync("/proc/self/task").filter((task) => {
      try {
        return /^worker/i.test(readFileSync("/proc/self/task/" + task + "/comm", "utf8"));
      } catch {
        return false; // it has ended
      }
    }).length;
  /** What is there once the threads of Workers have ended, and other processes, which leave things to the runtime. */
  async function left() {
    await Promise.all(children);
    await until(() => threads() === 0);
    const mounts = readFileSync("/proc/self/mounts", "utf8").split("\\n");
    return { fds: fds(), mounts: mounts.filter((line) => line.includes(root)) };
  }
  const answer = (value) => console.log(JSON.stringify(value));
`;

/** A filesystem with a file on it, and a script that guards it. */
class Scene extends Guarded {
  readonly #results = join(this.base, "results");

  constructor() {
    super();
    this.file("file");
  }

  /** Runs a script to its end. */
  start(source: string, init: Omit<RunInit, "args"> = {}): Promise<Finished> {
    const args = [this.path, this.#results, this.opener];
    return runScript(PRELUDE + source, { deadline: 30_000, ...init, args });
  }

  /** Runs a script to its end; what it answered. */
  async answer<T>(source: string, init: Omit<RunInit, "args"> = {}): Promise<T> {
    const { status, stdout, stderr } = await this.start(source, init);
    assert.equal(status, 0, `${stderr}${stdout}`);
    return JSON.parse(stdout.trim().split("\n").at(-1)!) as T;
  }

  /** What became of those who used files, once `count` of them have been released. */
  async used(count: number): Promise<Used[]> {
    const read = () => existsSync(this.#results) ? readFileSync(this.#results, "utf8") : "";
    await until(() => read().split("\n").length > count);
    const all = read().trim().split("\n").map((line) => JSON.parse(line) as Used);
    assert.equal(all.length, count);
    return all;
  }
}

/** What the processes got, and how often. */
function errnos(used: readonly Used[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { errno } of used) counts[errno] = (counts[errno] ?? 0) + 1;
  return counts;
}

/** That nobody waited for longer than so many ms. */
function assertReleased(used: readonly Used[], atLeast: number, atMost: number): void {
  for (const { ms } of used) assert(ms >= atLeast && ms <= atMost, `${ms} ms`);
}

for (const scope of ["tree", "mount", "filesystem"]) {
  for (
    const [way, options] of [["rules", `rules: [{ uid: 12345, verdict: "deny" }],`], [
      "no rules",
      "",
    ]]
  ) {
    test(
      `scope ${scope}, ${way}: the program itself reads, imports and starts what it guards`,
      settings,
      async () => {
        using scene = new Scene();
        scene.file("module.mjs", "export default 42");
        scene.file("worker.mjs", "postMessage(7)");
        scene.program("true");
        // Whatever had to wait would wait for longer than the script may run.
        const told = await scene.answer<Record<string, unknown>>(`
        const gate = guard(root, {
          scope: "${scope}",
          on: ["open", "exec", "read"],
          timeout: 60_000,
          ${options}
          decide: () => "deny",
        });
        await gate.ready;
        const told = {};
        told.sync = readFileSync(root + "/file", "utf8");
        told.async = await readFile(root + "/file", "utf8");
        told.imported = (await import(root + "/module.mjs")).default;
        const worker = new Worker("file://" + root + "/worker.mjs", { type: "module" });
        told.worker = await new Promise((resolve, reject) => {
          worker.onmessage = ({ data }) => resolve(data);
          worker.onerror = ({ message }) => reject(message);
        });
        worker.terminate();
        told.spawnedSync = spawnSync(root + "/true").status;
        told.spawned = await new Promise((resolve) => spawn(root + "/true").on("close", resolve));
        const second = guard(root, { timeout: 60_000, decide: () => "deny" });
        await second.ready;
        told.again = readFileSync(root + "/file", "utf8");
        await second.close();
        use(1);
        await until(() => used().length === 1);
        told.denied = gate.stats().denied;
        await gate.close();
        answer(told);
      `);
        assert.deepEqual(told, {
          sync: "file",
          async: "file",
          imported: 42,
          worker: 7,
          spawnedSync: 0,
          spawned: 0,
          again: "file",
          denied: 1,
        });
        assert.deepEqual(errnos(await scene.used(1)), { EPERM: 1 });
      },
    );
  }
}

test(
  "a program that this one has started is asked about, also if it is the same one",
  settings,
  async () => {
    using scene = new Scene();
    const script = join(scene.base, "reader.mjs");
    writeFileSync(
      script,
      `
      import { readFileSync } from "node:fs";
      try {
        console.log(readFileSync(${JSON.stringify(join(scene.path, "file"))}, "utf8"));
      } catch ({ code }) {
        console.log(code);
      }
    `,
    );
    const told = await scene.answer<string[]>(`
    const gate = guard(root, { timeout: 60_000, decide: () => "deny" });
    const { events } = tell(gate);
    await gate.ready;
    const flags = "Deno" in globalThis ? ["--quiet", "-A"] : [];
    const child = spawn(process.execPath, ["run", ...flags, ${JSON.stringify(script)}]);
    let told = "";
    child.stdout.on("data", (text) => told += text);
    await new Promise((resolve) => child.on("close", resolve));
    await until(() => events.length > 0);
    const isChild = events[0].actor.pid === child.pid;
    await gate.close();
    answer([told.trim(), events[0].attributes.by, isChild]);
  `);
    assert.deepEqual(told, ["EPERM", "decide", true]);
  },
);

test("200 processes wait at once while each decision takes 100 ms", settings, async () => {
  using scene = new Scene();
  const { stats, events } = await scene.answer<{ stats: Record<string, number>; events: number }>(`
    const gate = guard(root, {
      async decide() {
        await sleep(100);
        return "allow";
      },
    });
    const { events, end } = tell(gate);
    await gate.ready;
    use(200);
    await until(() => used().length === 200 && events.length === 200);
    const stats = gate.stats();
    await gate.close();
    answer({ stats, events: events.length });
  `);
  const used = await scene.used(200);
  assert.deepEqual(errnos(used), { 0: 200 });
  assertReleased(used, 90, 4_000);
  const { allowed, denied, own, byDecide, timedOut, waiting, mostWaiting } = stats;
  assert.deepEqual(
    { allowed: allowed! - own!, denied, byDecide, timedOut, waiting, events },
    { allowed: 200, denied: 0, byDecide: 200, timedOut: 0, waiting: 0, events: 200 },
  );
  assert(mostWaiting! >= 20, `${mostWaiting} at once`);
});

for (const onTimeout of ["allow", "deny"] as const) {
  const errno = onTimeout === "allow" ? "0" : "EPERM";

  test(
    `onTimeout ${onTimeout}: who is not decided in time is released then, and a later decision is none`,
    settings,
    async () => {
      using scene = new Scene();
      const { stats, told } = await scene.answer<{ stats: Record<string, number>; told: string[] }>(
        `
      const requests = [];
      const gate = guard(root, {
        timeout: 300,
        onTimeout: "${onTimeout}",
        decide: (request) => new Promise((resolve) => requests.push({ request, resolve })),
      });
      const { events } = tell(gate);
      await gate.ready;
      use(10);
      await until(() => events.length === 10);
      const told = events.map(({ attributes: { by, verdict, waited } }) =>
        by + " " + verdict + " " + (waited >= 300));
      for (const { request, resolve } of requests) {
        told.push(String(request.isWaiting) + request.extend(10));
        resolve("${onTimeout === "allow" ? "deny" : "allow"}");
      }
      await sleep(0);
      const stats = gate.stats();
      await gate.close();
      answer({ told, stats });
    `,
      );
      const used = await scene.used(10);
      assert.deepEqual(errnos(used), { [errno]: 10 });
      assertReleased(used, 290, 2_000);
      assert.deepEqual(
        told,
        [...Array(10).fill(`timeout ${onTimeout} true`), ...Array(10).fill("falsefalse")],
      );
      const { allowed, denied, own, byDecide, timedOut, waiting } = stats;
      assert.deepEqual(
        { allowed: allowed! - own!, denied, byDecide, timedOut, waiting },
        {
          allowed: onTimeout === "allow" ? 10 : 0,
          denied: onTimeout === "allow" ? 0 : 10,
          byDecide: 0,
          timedOut: 10,
          waiting: 0,
        },
      );
    },
  );

  test(
    `onTimeout ${onTimeout}: a decide that throws, rejects, or gives no decision`,
    settings,
    async () => {
      using scene = new Scene();
      const { told, errors } = await scene.answer<{ told: string[]; errors: number }>(`
      const ways = [
        () => { throw new Error("thrown"); },
        () => { throw "text"; },
        () => Promise.reject(new Error("rejected")),
        () => undefined,
        () => "maybe",
        async () => ({ verdict: "perhaps" }),
        async () => ({ verdict: "deny", cache: "always" }),
        () => ({ then(resolve, reject) { reject(new Error("a thenable")); } }),
      ];
      let way;
      const gate = guard(root, { timeout: 20_000, onTimeout: "${onTimeout}", decide: (request) => way(request) });
      const { events } = tell(gate);
      await gate.ready;
      const told = [];
      for (way of ways) {
        use(1);
        await until(() => events.length > told.length && used().length > told.length);
        const { by, verdict, error } = events.at(-1).attributes;
        told.push([by, verdict, error].join(" "));
      }
      const { errors } = gate.stats();
      await gate.close();
      answer({ told, errors });
    `);
      assert.deepEqual(
        told,
        [
          "thrown",
          "text",
          "rejected",
          "Cannot guard by what decide returned: undefined is no decision",
          "Cannot guard by what decide returned: maybe is no decision",
          'Cannot guard by what decide resolved to: verdict "perhaps" is neither allow nor deny',
          "Cannot guard by what decide resolved to: the kernel remembers what is allowed only, so deny has no cache",
          "a thenable",
        ].map((message) => `error ${onTimeout} ${message}`),
      );
      assert.equal(errors, 8);
      const used = await scene.used(8);
      assert.deepEqual(errnos(used), { [errno]: 8 });
      assertReleased(used, 0, 5_000);
    },
  );
}

test("extend() lets a process wait for longer", settings, async () => {
  using scene = new Scene();
  const { told } = await scene.answer<{ told: string[] }>(`
    let wait = 0;
    const gate = guard(root, {
      timeout: 500,
      async decide(request) {
        // A decision that takes long, and one that does not come any more.
        for (let i = 0; i < 4; i++) {
          if (!request.extend(700)) throw new Error("it does not wait any more");
          await sleep(300);
        }
        return wait++ === 0 ? "allow" : never();
      },
    });
    const { events } = tell(gate);
    await gate.ready;
    use(1);
    await until(() => events.length === 1);
    use(1);
    await until(() => events.length === 2);
    await gate.close();
    answer({ told: events.map(({ attributes: { by, verdict } }) => by + " " + verdict) });
  `);
  assert.deepEqual(told, ["decide allow", "timeout deny"]);
  const used = await scene.used(2);
  assert.deepEqual(used.map(({ errno }) => errno), ["0", "EPERM"]);
  assertReleased(used.slice(0, 1), 1_190, 4_000);
  assertReleased(used.slice(1), 1_590, 4_000);
});

for (const decides of ["decides", "does not decide"]) {
  test(`the main thread is blocked for 5 s, and ${decides} after that`, settings, async () => {
    using scene = new Scene();
    const { during, told, asked } = await scene.answer<
      { during: number; told: string[]; asked: number }
    >(`
      let asked = 0;
      const gate = guard(root, {
        timeout: 300,
        decide() {
          asked++;
          return "allow";
        },
      });
      const { events } = tell(gate);
      await gate.ready;
      use(20);
      ${decides === "decides" ? "await until(() => asked > 0);" : ""}
      const end = performance.now() + 5_000;
      while (performance.now() < end) continue;
      const during = used().length;
      await until(() => events.length === 20);
      await gate.close();
      answer({ during, asked, told: events.map(({ attributes: { by } }) => by) });
    `);
    assert.equal(during, 20, "all were released while it was blocked");
    const used = await scene.used(20);
    assertReleased(used, 0, 2_000);
    const { 0: allowed = 0, EPERM: denied = 0 } = errnos(used);
    assert.equal(allowed + denied, 20);
    assert.equal(told.filter((by) => by === "timeout").length, denied);
    assert.equal(told.filter((by) => by === "decide").length, allowed);
    assert.equal(asked, 20, "decide is asked also about those that are gone");
  });
}

test("rules go on while the main thread is blocked", settings, async () => {
  using scene = new Scene();
  const { during, told } = await scene.answer<{ during: number; told: number }>(`
    const gate = guard(root, { timeout: 60_000, rules: [{ verdict: "deny" }] });
    const { events } = tell(gate);
    await gate.ready;
    use(300);
    const end = performance.now() + 20_000;
    while (used().length < 300 && performance.now() < end) continue;
    const during = used().length;
    await until(() => events.length === 300);
    await gate.close();
    answer({ during, told: events.length });
  `);
  assert.deepEqual([during, told], [300, 300]);
  assert.deepEqual(errnos(await scene.used(300)), { EPERM: 300 });
});

test(
  "decisions that are not taken while the main thread is blocked are counted",
  settings,
  async () => {
    using scene = new Scene();
    const told = await scene.answer<Record<string, number>>(
      `
    const gate = guard(root, { timeout: 60_000, rules: [{ verdict: "deny" }] });
    const { events } = tell(gate);
    await gate.ready;
    const opens = 'i=0; while [ $i -lt 20000 ]; do true < "$0"; i=$((i+1)); done 2> /dev/null; echo "[]" > "$1"';
    spawn("sh", ["-c", opens, root + "/file", results], { stdio: "ignore" });
    while (used().length === 0) continue;
    const { denied, unlogged } = gate.stats();
    const told = () => events.filter(({ kind }) => kind !== "lost").length;
    const counted = () => events.reduce((sum, { attributes: { count = 0 } }) => sum + count, 0);
    await until(() => told() + counted() >= 20_000);
    await gate.close();
    answer({ denied, unlogged, told: told(), counted: counted() });
  `,
      { deadline: 100_000 },
    );
    assert.equal(told["denied"], 20_000);
    assert.equal(told["told"]! + told["counted"]!, 20_000);
    assert.equal(told["counted"], told["unlogged"]);
    assert(told["told"]! >= 16_384, `${told["told"]} are told`);
  },
);

test(
  "the responder's thread is terminated: all are allowed, and it is told",
  settings,
  async () => {
    using scene = new Scene();
    const told = await scene.answer<Record<string, unknown>>(`
    const first = guard(root);
    await first.ready;
    use(10);
    await until(() => used().length === 10);
    await first.close();
    const before = await left();
    const gate = guard(root, { timeout: 60_000, decide: never });
    const { end } = tell(gate);
    await gate.ready;
    use(10);
    await until(() => gate.stats().waiting === 10);
    workers[1].terminate();
    use(10);
    const error = await end.catch(({ message }) => message);
    await gate.close();
    answer({ error, workers: workers.length, before, after: await left() });
  `);
    assert.match(
      String(told["error"]),
      /^Cannot guard: the responder (was terminated|gives no sign of life|is not heard any more)$/,
    );
    assert.equal(told["workers"], 2);
    assert.deepEqual(told["after"], told["before"]);
    const used = await scene.used(30);
    assert.deepEqual(errnos(used), { 0: 30 });
    assertReleased(used, 0, 8_000);
  },
);

/** Ends of the program itself, with its status. */
const ENDS: Readonly<Record<string, readonly [source: string, status: number | null]>> = {
  "process.exit()": ["process.exit(3)", 3],
  "an error that nobody catches": [`setTimeout(() => { throw new Error("thrown"); })`, 1],
  "SIGKILL": [`process.kill(process.pid, "SIGKILL")`, null],
  "SIGTERM": [`process.kill(process.pid, "SIGTERM")`, null],
};

for (const [way, [source, expected]] of Object.entries(ENDS)) {
  test(`the program ends by ${way}: all that wait are allowed`, settings, async () => {
    using scene = new Scene();
    const { status, stdout, stderr } = await scene.start(`
      const gate = guard(root, { timeout: 60_000, decide: never });
      await gate.ready;
      use(20);
      await until(() => gate.stats().waiting === 20);
      answer("waiting");
      ${source};
    `);
    assert.equal(stdout, '"waiting"\n', stderr);
    assert.equal(status, expected, stderr);
    const used = await scene.used(20);
    assert.deepEqual(errnos(used), { 0: 20 });
    assertReleased(used, 0, 10_000);
  });
}

test(
  "with 64 file descriptors all are released, and each denial is accounted for",
  settings,
  async () => {
    using scene = new Scene();
    const { stats, by } = await scene.answer<{ stats: Record<string, number>; by: string[] }>(
      `
      const gate = guard(root, {
        timeout: 5_000,
        async decide() {
          await sleep(20);
          return "allow";
        },
      });
      const { events } = tell(gate);
      await gate.ready;
      use(300);
      await until(() => used().length === 300 && events.length === 300);
      const stats = gate.stats();
      await gate.close();
      answer({ stats, by: events.map(({ attributes: { verdict, by } }) => verdict + " " + by) });
    `,
      { under: ["prlimit", "--nofile=64:64"] },
    );
    const { 0: allowed = 0, EPERM: denied = 0 } = errnos(await scene.used(300));
    assert.equal(allowed + denied, 300);
    assert.equal(by.filter((one) => one.startsWith("deny")).length, denied);
    assert.deepEqual([stats["allowed"]! - stats["own"]!, stats["denied"]], [allowed, denied]);
    assert(stats["mostWaiting"]! < 64);
    assert(allowed > 200, `${allowed} of 300 were allowed: ${JSON.stringify(stats)}`);
  },
);

test(
  "with 64 file descriptors, and always more to decide, nobody is late who waits for a short time",
  settings,
  async () => {
    using scene = new Scene();
    const { denied, byDecide } = await scene.answer<Record<string, number>>(
      `
      const gate = guard(root, {
        timeout: 1_000,
        async decide() {
          await sleep(20);
          return "allow";
        },
      });
      await gate.ready;
      const opens = 'for n in $(seq 60); do (i=0; while [ $i -lt 50 ]; do true < "$0"; i=$((i+1)); done) & done; wait';
      const shell = spawn("sh", ["-c", opens, root + "/file"], { stdio: "ignore" });
      await new Promise((resolve) => shell.on("close", resolve));
      const { denied, byDecide } = gate.stats();
      await gate.close();
      answer({ denied, byDecide });
    `,
      { under: ["prlimit", "--nofile=64:64"], deadline: 60_000 },
    );
    assert.deepEqual({ denied, byDecide }, { denied: 0, byDecide: 3_000 });
  },
);

test(
  "with 64 file descriptors and decisions that never come the deadline holds",
  settings,
  async () => {
    using scene = new Scene();
    const { stats, told } = await scene.answer<{ stats: Record<string, number>; told: number }>(
      `
      const gate = guard(root, { timeout: 500, onTimeout: "deny", decide: never });
      const { events } = tell(gate);
      await gate.ready;
      use(200);
      await until(() => used().length === 200 && events.length === 200);
      const stats = gate.stats();
      await gate.close();
      answer({ stats, told: events.length });
    `,
      { under: ["prlimit", "--nofile=64:64"] },
    );
    const used = await scene.used(200);
    assert.deepEqual(errnos(used), { EPERM: 200 });
    assertReleased(used, 0, 5_000);
    assert.deepEqual([stats["denied"], told], [200, 200]);
  },
);

/** Ways to end a guard. */
const WAYS: Readonly<Record<string, string>> = {
  "close()": "await gate.close();",
  "abort": "controller.abort(); await gate.close();",
  "break": `
    const iteration = (async () => { for await (const _ of gate) break; })();
    use(1, "open", "free");
    await iteration;
  `,
  "await using": "{ await using _ = gate; }",
};

for (const [way, source] of Object.entries(WAYS)) {
  test(`${way} allows all that wait, and leaves nothing`, settings, async () => {
    using scene = new Scene();
    scene.file("free");
    const { before, after, took } = await scene.answer<Record<string, unknown>>(`
      const rules = [{ path: "free", verdict: "allow" }];
      async function round(count, end) {
        const controller = new AbortController();
        const gate = guard(root, { timeout: 60_000, rules, decide: never, signal: controller.signal });
        await gate.ready;
        use(count);
        await until(() => gate.stats().waiting === count);
        await end(gate, controller);
      }
      await round(1, (gate) => gate.close());
      const before = await left();
      const start = performance.now();
      await round(10, async (gate, controller) => {
        ${source}
      });
      const took = performance.now() - start;
      answer({ before, after: await left(), took });
    `);
    assert.deepEqual(after, before);
    assert((took as number) < 5_000, `${took} ms`);
    const used = await scene.used(way === "break" ? 12 : 11);
    assert.deepEqual(errnos(used), { 0: used.length });
    assertReleased(used, 0, 5_000);
  });
}

test("who waits and is killed is no trouble", settings, async () => {
  using scene = new Scene();
  const { killed, stats, told } = await scene.answer<Record<string, unknown>>(`
    const requests = [];
    const gate = guard(root, {
      timeout: 60_000,
      decide: (request) => new Promise((resolve) => requests.push({ request, resolve })),
    });
    const { events } = tell(gate);
    await gate.ready;
    const before = fds().length;
    use(10);
    await until(() => requests.length === 10);
    const killed = requests.slice(0, 5).map(({ request }) => request.actor.pid);
    for (const pid of killed) process.kill(pid, "SIGKILL");
    const isThere = (pid) => existsSync("/proc/" + pid);
    await until(() => !killed.some(isThere));
    for (const { resolve } of requests) resolve("deny");
    await until(() => events.length === 10 && used().length === 5 && fds().length === before);
    const stats = gate.stats();
    await gate.close();
    answer({ killed, stats, told: events.map(({ actor: { pid, exe } }) => pid + " " + exe) });
  `);
  assert.equal((killed as unknown[]).length, 5);
  const used = await scene.used(5);
  assert.deepEqual(errnos(used), { EPERM: 5 });
  const pids = [...killed as number[], ...used.map(({ pid }) => pid)];
  const expected = pids.map((pid) => `${pid} ${scene.opener}`).sort();
  const known = (told as string[]).toSorted();
  assert.deepEqual(known, expected, "who it was is told, for it was looked up before");
  assert.equal((stats as Record<string, number>)["waiting"], 0);
});
