/** Importing does nothing; watching needs `--allow-ffi` and nothing else. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { writeFileSync } from "node:fs";
import process from "node:process";
import test from "node:test";
import { finish, isDeno, isRoot, moduleFile, runScript, TemporaryDirectory } from "./runtime.ts";

const MODULE = JSON.stringify(moduleFile("mod.ts"));

/** Watches a directory with one backend until something happens in it. */
function watching(backend: string): string {
  return `
    import { watch } from ${MODULE};
    const watcher = watch(".", { backend: "${backend}" });
    await watcher.ready;
    const [{ backend }] = watcher.coverage();
    watcher.inject({ kind: "user.done", path: "/" });
    for await (const event of watcher) {
      console.log(backend, event.kind);
      break;
    }
  `;
}

if (isDeno) {
  test("importing needs no permission", async () => {
    const ended = await runScript(
      `
      import * as sentinode from ${MODULE};
      import * as classify from ${JSON.stringify(moduleFile("classify/mod.ts"))};
      const { state } = Deno.permissions.querySync({ name: "ffi" });
      console.log(typeof sentinode.watch, typeof classify.matches, state);
    `,
      { flags: [] },
    );
    assert.deepEqual(ended, { status: 0, stdout: "function function prompt\n", stderr: "" });
  });
}

test("importing opens nothing: no file, no library", async () => {
  const ended = await runScript(`
    import { readdirSync, readFileSync, readlinkSync } from "node:fs";
    const fds = () => readdirSync("/proc/self/fd").flatMap((fd) => {
      try {
        const link = readlinkSync("/proc/self/fd/" + fd);
        // Deno opens a pair of its own for signals, whenever it first comes to it (2.9.6).
        return link.startsWith("socket:") ? [] : [link];
      } catch {
        return []; // the one that reads the directory
      }
    });
    const state = () => [
      ...fds(),
      readFileSync("/proc/self/maps", "utf8").match(/\\/\\S+\\.so\\S*/g).length,
    ].join();
    await import("node:path"), await import("node:url"), await import("node:timers");
    const before = state();
    await import(${MODULE});
    console.log(before === state() ? "same" : before + " " + state());
  `);
  assert.deepEqual(ended, { status: 0, stdout: "same\n", stderr: "" });
});

for (const backend of ["auto", "fanotify", "inotify"]) {
  const expected = new RegExp(`^${backend === "auto" ? "\\w+" : backend} user.done\n$`);

  if (isDeno) {
    test(`${backend} works with --allow-ffi only`, async () => {
      const { status, stdout, stderr } = await runScript(watching(backend), {
        flags: ["--allow-ffi"],
      });
      assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
      assert.match(stdout, expected);
    });
  }

  test(`${backend} works, and the process ends by itself`, async () => {
    const { status, stdout, stderr } = await runScript(watching(backend));
    assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
    assert.match(stdout, expected);
  });
}

if (isDeno) {
  test(
    "without --allow-ffi ready rejects with Deno's own error, and close() is fine",
    async () => {
      const ended = await runScript(
        `
      import { audit, filesystemErrors, guard, keys, mounts, watch } from ${MODULE};
      const decide = () => "allow";
      for (
        const stream of [
          watch("."), guard(".", { decide }), audit(), mounts(), filesystemErrors("."), keys(),
        ]
      ) {
        for (const failing of [() => stream.ready, () => stream[Symbol.asyncIterator]().next()]) {
          const error = await failing().then(() => undefined, (error) => error);
          console.log(error?.name, /--allow-ffi/.test(error?.message));
        }
        await stream.close();
      }
      const early = watch(".", { signal: AbortSignal.abort() });
      console.log(await early.ready.then(() => "ready", (error) => error.name));
      await early.close();
    `,
        { flags: [] },
      );
      const lines = "NotCapable true\n".repeat(12) + "NotCapable\n";
      assert.deepEqual(ended, { status: 0, stdout: lines, stderr: "" });
    },
  );
}

test("nobody can import and watch as well", { skip: isRoot ? false : "needs root" }, async () => {
  const { status, stdout, stderr } = await runScript(watching("auto"), { asNobody: true });
  assert.deepEqual({ status, stdout, stderr }, {
    status: 0,
    stdout: "inotify user.done\n",
    stderr: "",
  });
});

// Node.js cannot run TypeScript before version 23; Bun, which can translate it, is the runtime of this test.
if (!isDeno) {
  test("on Node.js importing is fine and watching is unsupported", async () => {
    using home = new TemporaryDirectory();
    const built = spawnSync(process.execPath, [
      "build",
      "--target=node",
      "--splitting", // what is imported on use stays a file of its own
      "--entry-naming=sentinode.mjs",
      `--outdir=${home.path}`,
      moduleFile("mod.ts"),
    ]);
    assert.equal(built.status, 0, String(built.stderr));
    const script = join(home.path, "script.mjs");
    writeFileSync(
      script,
      `
        import { audit, filesystemErrors, guard, keys, mounts, UnsupportedError, watch } from "./sentinode.mjs";
        const streams = [
          watch("."), guard(".", { decide: () => "allow" }), audit(), mounts(), filesystemErrors("."), keys(),
        ];
        for (const stream of streams) {
          const error = await stream.ready.catch((error) => error);
          console.log(error instanceof UnsupportedError, error.hint);
          await stream.close();
        }
      `,
    );
    const { status, stdout, stderr } = await finish(["node", script], home.path, 30_000);
    assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
    assert.match(stdout, /^(true .*Deno.*Bun.*\n){6}$/);
  });
}
