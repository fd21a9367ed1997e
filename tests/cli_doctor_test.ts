/** `sentinode doctor`, as a process of its own: what it prints, and how it ends. */

import assert from "node:assert/strict";
import { chmodSync, readdirSync } from "node:fs";
import process from "node:process";
import test from "node:test";
import { VERSION } from "../cli/version.ts";
import { NEEDS_ROOT, ownerOf, runToEnd, USERS } from "./command_line.ts";
import { isDeno, TemporaryDirectory } from "./runtime.ts";

for (const user of USERS) {
  test(`doctor as ${user}: text and JSON agree`, async () => {
    using at = new TemporaryDirectory(ownerOf(user));
    const text = await runToEnd(["doctor", at.path], { user });
    assert.equal(text.stderr, "");
    assert.equal(text.status, 0);
    const json = await runToEnd(["doctor", "--json", at.path], { user });
    assert.equal(json.status, 0);
    assert.equal(json.stdout.split("\n").length, 2);
    const found = JSON.parse(json.stdout);
    assert.equal(found.version, VERSION);
    assert.equal(found.runtime.name, isDeno ? "Deno" : "Bun");
    assert.equal(found.path, at.path);
    const names = found.backends.map(({ name }: { name: string }) => name);
    assert.deepEqual(names, ["fanotify, filesystem mark", "fanotify, inode marks", "inotify"]);
    for (const { name, available, reason, remedy } of [...found.backends, ...found.probes]) {
      const head = `  ${name} `;
      const line = text.stdout.split("\n").find((line) => line.startsWith(head));
      assert.ok(line !== undefined, name);
      assert.match(line.slice(head.length).trim(), available ? /^yes/ : /^no /);
      assert.equal(reason !== undefined, !available, name);
      assert.equal(remedy !== undefined, !available, name);
    }
    for (const { name } of found.limits) assert.match(text.stdout, new RegExp(`^  ${name} `, "m"));
    const { available } = found.backends[0];
    assert.equal(available, user === "root");
    if (!available) assert.match(found.backends[0].remedy, /CAP_SYS_ADMIN/);
  });
}

test("doctor: the working directory if there is no path", async () => {
  const { status, stdout } = await runToEnd(["doctor", "--json"]);
  assert.equal(status, 0);
  assert.equal(JSON.parse(stdout).path, process.cwd());
});

test("doctor: a path that is not there", async () => {
  const { status, stdout, stderr } = await runToEnd(["doctor", "/no/such/path"]);
  assert.equal(status, 1);
  assert.equal(stdout, "");
  assert.match(stderr, /^sentinode doctor: Cannot examine \/no\/such\/path: .*\(ENOENT\)\n/);
});

test("doctor: a path that no backend may watch is 1", NEEDS_ROOT, async () => {
  using at = new TemporaryDirectory();
  chmodSync(at.path, 0o711);
  const { status, stdout, stderr } = await runToEnd(["doctor", "--json", at.path], {
    user: "nobody",
  });
  assert.equal(stderr, "");
  const { backends } = JSON.parse(stdout);
  for (const { name, available } of backends) assert.equal(available, false, name);
  assert.equal(status, 1);
});

test("doctor: leaves the directory as it is", async () => {
  using at = new TemporaryDirectory();
  await runToEnd(["doctor", at.path]);
  assert.deepEqual(readdirSync(at.path), []);
});
