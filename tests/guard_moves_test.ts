/** A guard and moves: of a guarded directory, of the directory of a guarded file, and of those above. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, renameSync } from "node:fs";
import { dirname, join } from "node:path";
import test from "node:test";
import { type Guard, guard } from "../mod.ts";
import { exchange } from "./exchange.ts";
import { Guarded, Told, whyUnguarded } from "./guarded.ts";
import { until, within } from "./runtime.ts";

const options = { skip: whyUnguarded("tmpfs"), timeout: 60_000 };

/** A filesystem of its own, in which all that is guarded is denied. */
class Ground implements Disposable {
  readonly files = new Guarded();

  at(name: string): string {
    return join(this.files.path, name);
  }

  /** Makes files, and the directories that they are in. */
  make(...names: readonly string[]): void {
    for (const name of names) {
      mkdirSync(this.at(dirname(name)), { recursive: true });
      this.files.file(name);
    }
  }

  move(from: string, to: string): void {
    renameSync(this.at(from), this.at(to));
  }

  async guard(...names: readonly string[]): Promise<Guard> {
    const gate = guard(names.map((name) => this.at(name)), { rules: [{ verdict: "deny" }] });
    await gate.ready;
    return gate;
  }

  /** Which of these can be opened by nobody, and which by everybody. */
  async opens(denied: readonly string[], allowed: readonly string[] = []): Promise<void> {
    for (const [names, errno] of [[denied, "EPERM"], [allowed, "0"]] as const) {
      for (const name of names) {
        assert.equal(await this.files.try("open", this.at(name)), errno, name);
      }
    }
  }

  /** Until a file is used so, as it is once the responder has heard of a move. */
  async untilUsed(name: string, errno: string): Promise<void> {
    await within(
      (async () => {
        while (await this.files.try("open", this.at(name)) !== errno) continue;
      })(),
      `${name}: ${errno}`,
    );
  }

  [Symbol.dispose](): void {
    this.files[Symbol.dispose]();
  }
}

for (
  const [what, from, to] of [
    ["a directory above a guarded one", "a", "b"],
    ["a guarded directory", "a/x/guarded", "a/x/other"],
  ] as const
) {
  test(`${what} is moved: what is marked stays guarded, and it is told`, options, async () => {
    using ground = new Ground();
    ground.make("a/x/guarded/file", "a/x/guarded/sub/file", "a/x/beside");
    const moved = (name: string) => name.replace(from, to);
    await using gate = await ground.guard("a/x/guarded");
    const told = new Told(gate);
    ground.move(from, to);
    const names = ["a/x/guarded/file", "a/x/guarded/sub/file"];
    for (let i = 0; i < 2; i++) {
      await ground.opens(names.map(moved), [moved("a/x/beside")]);
    }
    await until(() => gate.stats().unguarded === 1);
    const isLost = () => told.events.find(({ kind }) => kind === "lost");
    await until(() => isLost() !== undefined);
    assert.equal(isLost()!.path, ground.at("a/x/guarded"));
    assert.equal(isLost()!.attributes["reason"], "it was moved away");
    // What leaves it is not guarded any more.
    const { marks } = gate.stats();
    renameSync(ground.at(moved("a/x/guarded/sub")), ground.at("outside"));
    await until(() => gate.stats().marks === marks - 1);
    await ground.opens([], ["outside/file"]);
    // It comes back, with a directory that appeared meanwhile.
    ground.make(moved("a/x/guarded/new/file"));
    ground.move(to, from);
    await ground.untilUsed("a/x/guarded/new/file", "EPERM");
    await ground.opens(["a/x/guarded/file"], ["outside/file"]);
    ground.make("a/x/guarded/later/file");
    await ground.untilUsed("a/x/guarded/later/file", "EPERM");
    assert.equal(gate.stats().unguarded, 1);
  });
}

test("what takes the place of a moved directory is guarded in its stead", options, async () => {
  using ground = new Ground();
  ground.make("a/x/guarded/file", "b/x/guarded/file", "b/x/guarded/sub/file");
  await using gate = await ground.guard("a/x/guarded");
  exchange(ground.at("a"), ground.at("b"));
  await ground.untilUsed("a/x/guarded/sub/file", "EPERM");
  await until(() => gate.stats().marks === 2);
  await ground.opens(["a/x/guarded/file"], ["b/x/guarded/file", "b/x/guarded/file"]);
  exchange(ground.at("a"), ground.at("b"));
  await ground.untilUsed("a/x/guarded/file", "EPERM");
  await until(() => gate.stats().marks === 1);
  await ground.opens([], ["b/x/guarded/sub/file"]);
  assert.equal(gate.stats().unguarded, 0);
});

test("a directory above a guarded file is moved", options, async () => {
  using ground = new Ground();
  ground.make("a/x/file", "a/x/beside");
  await using gate = await ground.guard("a/x/file");
  ground.move("a", "b");
  for (let i = 0; i < 2; i++) await ground.opens(["b/x/file"], ["b/x/beside"]);
  await until(() => gate.stats().unguarded === 1);
  ground.move("b", "a");
  await ground.opens(["a/x/file"], ["a/x/beside"]);
});

test(
  "what was moved stays guarded through other mounts, and what is mounted in it",
  options,
  async () => {
    using ground = new Ground();
    ground.make("a/x/guarded/file", "a/x/guarded/sub/file", "source/file", "source/other");
    mkdirSync(ground.at("twin"));
    mkdirSync(ground.at("outside"));
    const bind = (from: string, to: string) =>
      execFileSync("mount", ["--bind", ground.at(from), ground.at(to)]);
    bind("a/x/guarded", "twin");
    bind("source", "a/x/guarded/sub");
    bind("source/other", "a/x/guarded/file");
    await using _gate = await ground.guard("a/x/guarded");
    ground.move("a", "b");
    const names = ["b/x/guarded/file", "b/x/guarded/sub/file", "twin/file", "source/file"];
    await ground.opens(names);
    // The mount table is read again.
    execFileSync("mount", ["-t", "tmpfs", "sentinode-test", ground.at("outside")]);
    for (let i = 0; i < 2; i++) await ground.opens(names);
    ground.move("b", "a");
    await ground.opens(["a/x/guarded/file", "a/x/guarded/sub/file", "twin/file"]);
  },
);
