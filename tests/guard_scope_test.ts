/** What a guard is about: a tree as it changes, single files, mounts, filesystems. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, renameSync, rmdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { type Guard, guard, type GuardOptions } from "../mod.ts";
import type { FilesystemType } from "./filesystem.ts";
import { Guarded, Told, whyUnguarded } from "./guarded.ts";
import { until, within } from "./runtime.ts";

const on = (type: FilesystemType) => ({ skip: whyUnguarded(type), timeout: 60_000 });

const DENY: GuardOptions = { rules: [{ verdict: "deny" }] };

/** Until so many directories are marked. */
async function marked(gate: Guard, count: number): Promise<void> {
  await until(() => gate.stats().marks === count);
}

/** Mounts at a directory that it makes. */
function mount(point: string, ...options: readonly string[]): void {
  mkdirSync(point);
  execFileSync("mount", [...options, point]);
}

for (const type of ["tmpfs", "ext4", "btrfs"] as const) {
  test(`${type}: a tree is guarded at and below its root, as it changes`, on(type), async () => {
    using files = new Guarded(type);
    const { path: root } = files;
    const place = (path: string) => join(root, path);
    for (const name of ["tree", "tree/sub", "tree/sub/deep", "beside", "beside/sub"]) {
      mkdirSync(place(name));
    }
    for (const name of ["tree", "tree/sub", "tree/sub/deep", "beside", "beside/sub", "."]) {
      files.file(`${name}/file`);
    }
    await using gate = guard(place("tree"), DENY);
    await gate.ready;
    const denied = async (name: string, errno = "EPERM") =>
      assert.equal(await files.try("open", place(`${name}/file`)), errno, name);
    assert.equal(gate.stats().marks, 3);
    for (const name of ["tree", "tree/sub", "tree/sub/deep"]) await denied(name);
    for (const name of ["beside", "beside/sub", "."]) await denied(name, "0");

    // A directory that appears, with others in it.
    await files.run("mkdir", "-p", place("tree/new/inner"));
    await marked(gate, 5);
    for (const name of ["tree/new", "tree/new/inner"]) {
      files.file(`${name}/file`);
      await denied(name);
    }

    // One that changes its name, and one that changes its parent.
    renameSync(place("tree/new"), place("tree/newer"));
    renameSync(place("tree/newer/inner"), place("tree/inner"));
    await denied("tree/newer");
    await denied("tree/inner");
    await files.run("mkdir", place("tree/newer/again"));
    await marked(gate, 6);
    files.file("tree/newer/again/file");
    await denied("tree/newer/again");

    // One that comes from outside, with what is in it.
    renameSync(place("beside"), place("tree/beside"));
    await marked(gate, 8);
    await denied("tree/beside");
    await denied("tree/beside/sub");

    // One that leaves, with what is in it: its mark goes when it is used.
    renameSync(place("tree/sub"), place("outside"));
    await marked(gate, 6);
    const { ignored } = gate.stats();
    for (const name of ["outside", "outside/deep", "outside", "outside/deep"]) {
      await denied(name, "0");
    }
    assert.equal(gate.stats().ignored - ignored, 2, "asked for once each");

    // It comes back.
    renameSync(place("outside"), place("tree/sub"));
    await marked(gate, 8);
    await denied("tree/sub");
    await denied("tree/sub/deep");

    // One that is removed, and made again.
    await files.run("rm", "-r", place("tree/sub"));
    await marked(gate, 6);
    await files.run("mkdir", place("tree/sub"));
    await marked(gate, 7);
    files.file("tree/sub/file");
    await denied("tree/sub");
    assert.equal(gate.stats().unguarded, 0);
  });
}

test("several paths, one inside the other, and a symlink", on("tmpfs"), async () => {
  using files = new Guarded();
  const { path: root } = files;
  for (const name of ["a", "a/b", "c", "d"]) mkdirSync(join(root, name));
  symlinkSync("c", join(root, "link"));
  const paths = ["a", "a/b", "link"].map((name) => join(root, name));
  await using gate = guard(paths, DENY);
  const seen = new Told(gate);
  await gate.ready;
  assert.equal(gate.stats().marks, 3);
  const used = [];
  for (const name of ["a", "a/b", "c", "d"]) {
    used.push(await files.try("open", files.file(`${name}/file`)));
  }
  assert.deepEqual(used, ["EPERM", "EPERM", "EPERM", "0"]);
  assert.equal((await seen.first(3))[2]!.path, join(root, "c/file"));
});

test(
  "a single file is guarded by its name, and what is beside it is not",
  on("tmpfs"),
  async () => {
    using files = new Guarded();
    const [path, beside] = [files.file("file"), files.file("beside")];
    mkdirSync(join(files.path, "sub"));
    await using gate = guard(path, DENY);
    await gate.ready;
    assert.equal(await files.try("open", path), "EPERM");
    assert.equal(await files.try("open", beside), "0");
    assert.equal(await files.try("open", files.file("sub/file")), "0");
    renameSync(beside, path);
    assert.equal(await files.try("open", path), "EPERM");
    renameSync(path, beside);
    assert.equal(await files.try("open", beside), "0");
    assert.equal(await files.try("open", files.file("file")), "EPERM");
  },
);

test("a mount is guarded, and no other mount of the same filesystem", on("ext4"), async () => {
  using files = new Guarded("ext4");
  const [twin, nested] = [join(files.base, "twin"), join(files.path, "nested")];
  mount(twin, "--bind", files.path);
  await using gate = guard(files.path, { ...DENY, scope: "mount" });
  await gate.ready;
  files.file("file");
  await files.run("mkdir", "-p", join(files.path, "new/deep"));
  files.file("new/deep/file");
  mount(nested, "-t", "tmpfs", "sentinode-test");
  files.file("nested/file");
  assert.equal(await files.try("open", join(files.path, "file")), "EPERM");
  assert.equal(await files.try("open", join(files.path, "new/deep/file")), "EPERM");
  assert.equal(await files.try("open", join(twin, "file")), "0");
  assert.equal(await files.try("open", join(nested, "file")), "0");
  assert.equal(gate.stats().marks, 1);
});

test("a filesystem is guarded through all its mounts", on("ext4"), async () => {
  using files = new Guarded("ext4");
  const [twin, later] = [join(files.base, "twin"), join(files.base, "later")];
  mount(twin, "--bind", files.path);
  mkdirSync(join(files.path, "sub"));
  await using gate = guard(join(files.path, "sub"), { ...DENY, scope: "filesystem" });
  const seen = new Told(gate);
  await gate.ready;
  files.file("file");
  mount(later, "--bind", files.path);
  const paths = [files.path, twin, later].map((base) => join(base, "file"));
  for (const path of paths) assert.equal(await files.try("open", path), "EPERM", path);
  assert.deepEqual((await seen.first(3)).map(({ path }) => path), paths);
});

test(
  "what is guarded as a tree is guarded through another mount of it as well",
  on("tmpfs"),
  async () => {
    using files = new Guarded();
    const twin = join(files.base, "twin");
    mount(twin, "--bind", files.path);
    mkdirSync(join(files.path, "tree"));
    await using gate = guard(join(files.path, "tree"), DENY);
    await gate.ready;
    files.file("tree/file");
    assert.equal(await files.try("open", join(twin, "tree/file")), "EPERM");
  },
);

test(
  "mounts inside a tree are guarded, but for the types that are left out",
  on("ext4"),
  async () => {
    using files = new Guarded("ext4");
    const tmpfs = ["-t", "tmpfs", "sentinode-test"];
    for (const ignoreFilesystems of [[], ["tmpfs"]]) {
      const isLeftOut = ignoreFilesystems.length > 0;
      const [before, after] = ["before", "after"].map((name) => join(files.path, name));
      mount(before!, ...tmpfs);
      mkdirSync(join(before!, "sub"));
      await using gate = guard(files.path, { ...DENY, ignoreFilesystems });
      await gate.ready;
      const denied = async (name: string, errno = "EPERM") =>
        assert.equal(await files.try("open", files.file(`${name}/file`)), errno, name);
      const inner = isLeftOut ? "0" : "EPERM";
      assert.equal(gate.stats().marks, isLeftOut ? 1 : 3);
      await denied(".");
      await denied("before", inner);
      await denied("before/sub", inner);
      // A mount that comes, and goes: first the directory is marked, then what covers it.
      mkdirSync(after!);
      await marked(gate, isLeftOut ? 2 : 4);
      execFileSync("mount", [...tmpfs, after!]);
      if (!isLeftOut) await marked(gate, 5);
      await denied("after", inner);
      await files.unmount(after!);
      await marked(gate, isLeftOut ? 2 : 4);
      await denied("after");
      // One that was there: what it covered is marked now.
      await files.unmount(before!);
      const hidden = files.file("before/file");
      await within(
        (async () => {
          while (await files.try("open", hidden) !== "EPERM") continue;
        })(),
        "what was hidden is guarded",
      );
      await files.run("rm", "-r", before!, after!);
      await marked(gate, 1);
    }
  },
);

test(
  "a guarded path that is moved away or removed is told to be unguarded",
  on("tmpfs"),
  async () => {
    using files = new Guarded();
    const [moved, removed] = ["moved", "removed"].map((name) => join(files.path, name));
    for (const path of [moved!, removed!]) mkdirSync(path);
    await using gate = guard([moved!, removed!], DENY);
    const seen = new Told(gate);
    await gate.ready;
    renameSync(moved!, join(files.path, "elsewhere"));
    rmdirSync(removed!);
    const events = await seen.first(2);
    assert.deepEqual(
      events.map(({ kind, path, attributes }) => `${kind} ${path} ${attributes["reason"]}`).sort(),
      [`lost ${moved} it was moved away`, `lost ${removed} it was removed`],
    );
    assert.equal(gate.stats().unguarded, 2);
  },
);
