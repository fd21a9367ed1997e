/** A guard and mounts: guarded files and directories that are mount points, and other ways to what is mounted there. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { linkSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { type Guard, guard, type GuardOptions } from "../mod.ts";
import { Guarded, Told, whyUnguarded } from "./guarded.ts";
import { until, within } from "./runtime.ts";

const options = { skip: whyUnguarded("tmpfs"), timeout: 60_000 };

/** A filesystem with "tree/file", "tree/sub/file", "source/file", "source/other", and what is mounted there. */
class Ground implements Disposable {
  readonly files = new Guarded("tmpfs");
  /** What `decide` was asked about, in the words of the tests. */
  readonly asked: string[] = [];

  constructor() {
    for (const name of ["tree", "tree/sub", "source"]) mkdirSync(this.at(name));
    for (const name of ["tree/file", "tree/sub/file", "source/file", "source/other"]) {
      this.files.file(name);
    }
  }

  at(name: string): string {
    return join(this.files.path, name);
  }

  bind(from: string, to: string): void {
    execFileSync("mount", ["--bind", this.at(from), this.at(to)]);
  }

  unmount(name: string): Promise<void> {
    return this.files.unmount(this.at(name));
  }

  /** A guard that denies all that it is asked about. */
  async guard(names: string | readonly string[], init: GuardOptions = {}): Promise<Guard> {
    const gate = guard([names].flat().map((name) => this.at(name)), {
      decide: ({ path }) => {
        this.asked.push(path.slice(this.files.path.length + 1));
        return "deny";
      },
      ...init,
    });
    await gate.ready;
    return gate;
  }

  open(name: string): Promise<string> {
    return this.files.try("open", this.at(name));
  }

  /** Which of these can be opened by nobody, and which by everybody. */
  async opens(denied: readonly string[], allowed: readonly string[] = []): Promise<void> {
    for (const name of denied) assert.equal(await this.open(name), "EPERM", name);
    for (const name of allowed) assert.equal(await this.open(name), "0", name);
  }

  /** Until a file is denied, as it is once the responder has heard of a mount. */
  async untilDenied(name: string): Promise<void> {
    await within(
      (async () => {
        while (await this.open(name) !== "EPERM") continue;
      })(),
      `${name} is guarded`,
    );
  }

  [Symbol.dispose](): void {
    this.files[Symbol.dispose]();
  }
}

for (const path of ["tree/file", "tree"]) {
  const what = path === "tree" ? "a file below a guarded directory" : "a guarded file";

  test(`${what} that is a mount point is guarded`, options, async () => {
    using ground = new Ground();
    ground.bind("source/other", "tree/file");
    await using gate = await ground.guard(path);
    await ground.opens(["tree/file"], ["source/file"]);
    assert.deepEqual(ground.asked, ["tree/file"]);
    assert.equal(gate.stats().byDecide, 1);
    assert.equal(gate.stats().marks, path === "tree" ? 3 : 2);
  });

  test(`${what} is guarded when something is mounted there`, options, async () => {
    using ground = new Ground();
    await using gate = await ground.guard(path);
    const { marks } = gate.stats();
    ground.bind("source/other", "tree/file");
    await until(() => gate.stats().marks === marks + 1);
    await ground.opens(["tree/file"]);
    // Another file at once: the mount table shows the same ids as before.
    await ground.files.closed(ground.at("tree/file"));
    execFileSync(
      "sh",
      ["-c", 'umount "$1" && mv "$2" "$3" && mount --bind "$3" "$1"', "sh"].concat(
        ["tree/file", "source/file", "source/other"].map((name) => ground.at(name)),
      ),
    );
    await ground.untilDenied("tree/file");
    await ground.unmount("tree/file");
    await until(() => gate.stats().marks === marks);
    await ground.opens(["tree/file"], ["source/other"]);
    assert.equal(gate.stats().unguarded, 0);
  });
}

test("a mounted file whose directory is guarded by other names as well", options, async () => {
  using ground = new Ground();
  ground.files.file("tree/other");
  ground.files.file("tree/beside");
  ground.bind("tree/other", "tree/file");
  await using _gate = await ground.guard("tree/file");
  await ground.opens(["tree/file", "tree/other"], ["tree/beside"]);
});

test("the file of a mount is guarded by its own path, by no hard link", options, async () => {
  using ground = new Ground();
  linkSync(ground.at("source/other"), ground.at("source/link"));
  mkdirSync(ground.at("again"));
  ground.bind("source/other", "tree/file");
  ground.bind("source", "again");
  await using _gate = await ground.guard("tree/file");
  await ground.opens(["tree/file", "source/other", "again/other"]);
  await ground.opens([], ["source/link", "again/link", "again/file"]);
  await ground.opens(["tree/file"]); // whoever used the link has changed nothing
});

test(
  "a directory that is mounted in a tree stays guarded, however it is used",
  options,
  async () => {
    using ground = new Ground();
    ground.bind("source", "tree/sub");
    await using gate = await ground.guard("tree");
    await ground.opens(["tree/sub/file", "source/file", "tree/sub/file", "source/other"]);
    await ground.unmount("tree/sub");
    await ground.untilDenied("tree/sub/file");
    const { ignored } = gate.stats();
    await ground.opens(["tree/sub/file"], ["source/file", "source/file"]);
    assert.equal(gate.stats().ignored - ignored, 1, "its mark went");
  },
);

test("what is mounted stays guarded when it is moved where it came from", options, async () => {
  using ground = new Ground();
  ground.bind("source", "tree/sub");
  await using _gate = await ground.guard("tree");
  renameSync(ground.at("source"), ground.at("moved"));
  await ground.opens(["moved/file", "tree/sub/file", "tree/sub/other"]);
});

for (const isLinked of [false, true]) {
  const name = isLinked ? "but for a hard link" : "altogether";
  test(`a mounted file keeps its path when it is removed ${name}`, options, async () => {
    using ground = new Ground();
    if (isLinked) linkSync(ground.at("source/other"), ground.at("source/link"));
    ground.bind("source/other", "tree/file");
    await using _gate = await ground.guard("tree", {
      decide: () => "allow",
      rules: [{ path: "file", verdict: "deny" }],
    });
    rmSync(ground.at("source/other"));
    await ground.opens(["tree/file"], isLinked ? ["source/link"] : []);
  });
}

test("a guarded directory that is a mount point, and becomes one", options, async () => {
  using ground = new Ground();
  mkdirSync(ground.at("source/below"));
  ground.files.file("source/below/file");
  await using gate = await ground.guard(["tree", "tree/sub/file"]);
  ground.bind("source", "tree");
  await ground.untilDenied("tree/other");
  await until(() => gate.stats().marks === 4);
  await ground.opens(["tree/file", "tree/below/file", "source/file", "tree/other"]);
  // The path of the guarded file leads nowhere now.
  assert.equal(gate.stats().unguarded, 1);
  await ground.unmount("tree");
  await within(
    (async () => {
      while (await ground.open("source/other") !== "0") continue;
    })(),
    "what was mounted is not guarded any more",
  );
  await ground.opens(["tree/file", "tree/sub/file"], ["source/below/file"]);
  ground.bind("source", "tree");
  await ground.untilDenied("tree/below/file");
});

test("a mount that covers the directory of a guarded file", options, async () => {
  using ground = new Ground();
  await using _gate = await ground.guard("tree/file");
  ground.bind("source", "tree");
  await ground.untilDenied("tree/file");
  await ground.opens(["source/file"], ["tree/other", "source/other"]);
  await ground.unmount("tree");
  await ground.opens(["tree/file"], ["tree/sub/file"]);
});

test("a mount that hides what is guarded is told", options, async () => {
  using ground = new Ground();
  mkdirSync(ground.at("above"));
  renameSync(ground.at("tree"), ground.at("above/tree"));
  await using gate = await ground.guard("above/tree");
  const told = new Told(gate);
  execFileSync("mount", ["-t", "tmpfs", "sentinode-test", ground.at("above")]);
  await until(() => gate.stats().unguarded === 1);
  const [lost] = await told.first(1);
  assert.equal(lost!.kind, "lost");
  assert.equal(lost!.path, ground.at("above/tree"));
  assert.equal(lost!.attributes["reason"], "another mount hides it");
  await ground.unmount("above");
  await ground.opens(["above/tree/file"]);
});

test("what is beside a guarded file is so through all mounts", options, async () => {
  using ground = new Ground();
  ground.files.file("tree/beside");
  mkdirSync(ground.at("twin"));
  ground.bind("tree", "twin");
  await using _gate = await ground.guard("tree/file");
  await ground.opens(["twin/file", "tree/file"], ["twin/beside", "tree/beside"]);
});

test("mounts of another mount namespace are known by theirs", options, async () => {
  using ground = new Ground();
  const [target, other] = ["target", "other target"].map((name) => ground.at(name));
  for (const path of [target!, other!]) writeFileSync(path, "");
  ground.files.file("tree/beside");
  await using _gate = await ground.guard("tree/file");
  const script = 'mount --bind "$1" "$3" && mount --bind "$2" "$4" && "$0" 1 open "$3" 0 1 && ' +
    '"$0" 1 open "$4" 0 1';
  const { stdout, stderr } = await ground.files.run(
    ...["unshare", "--mount", "sh", "-c", script, ground.files.opener],
    ...[ground.at("tree/file"), ground.at("tree/beside"), target!, other!],
  );
  const errnos = stdout.trim().split("\n").map((line) => JSON.parse(line).errno);
  assert.deepEqual(errnos, ["EPERM", "0"], stderr);
  assert.deepEqual(ground.asked, ["target"]);
});

test("a file that is mounted from where nobody can be asked is refused", options, async () => {
  using ground = new Ground();
  execFileSync("mount", ["--bind", "/proc/version", ground.at("tree/file")]);
  await assert.rejects(ground.guard("tree/file"), {
    name: "UnsupportedError",
    path: ground.at("tree/file"),
  });
});

for (const scope of ["mount", "filesystem"] as const) {
  test(`a file that is a mount point, scope ${scope}`, options, async () => {
    using ground = new Ground();
    ground.bind("source/other", "tree/file");
    await using _gate = await ground.guard("tree/file", { scope });
    await ground.opens(["tree/file"]);
    const others = ["source/other", "source/file", "tree/sub/file"];
    await ground.opens(
      ...(scope === "mount" ? [[], others] : [others, []]) as [string[], string[]],
    );
  });
}

test("rules know what is mounted by the path that it is reached by", options, async () => {
  using ground = new Ground();
  ground.files.file("source/name.key");
  ground.bind("source", "tree/sub");
  ground.bind("source/other", "tree/file");
  await using _gate = await ground.guard("tree", {
    decide: () => "allow",
    rules: [{ path: "sub/other", verdict: "deny" }, { path: "*.key", verdict: "deny" }],
  });
  await ground.opens(["tree/sub/other", "tree/sub/name.key", "source/name.key"]);
  await ground.opens([], ["source/other", "tree/file"]);
});
