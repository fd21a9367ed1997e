/** The examples do what they say. */

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { isInstalled, moduleCommand, run } from "../scripts/real_work/process.ts";
import { Audited, whyUnaudited } from "./audited.ts";
import { Filesystem, whyNot } from "./filesystem.ts";
import { whyBefore } from "./kernel.ts";
import { Running } from "./running.ts";
import { AS_NOBODY, moduleFile, touch } from "./runtime.ts";

const DEADLINE = 10_000;

/** Starts an example that says when it has begun. */
async function start(example: string, ...args: readonly string[]): Promise<Running> {
  const module = new URL(`../examples/${example}`, import.meta.url);
  const running = new Running(moduleCommand(module, ...args));
  await running.until(/^(scanning|serving) .*\n/m);
  return running;
}

/** Runs a command in which files are used, while this process goes on. */
function use(...[program, ...args]: readonly string[]) {
  return run([program!, ...args], { deadline: DEADLINE });
}

/** What is read of a file. */
async function contentOf(path: string): Promise<string> {
  const { code, signal, stdout, stderr } = await use("cat", path);
  return code === 0 ? stdout : `${signal ?? ""}${stderr}`;
}

test("the scanner reads each file before it is opened, and denies the marker", {
  skip: whyNot("tmpfs"),
  timeout: 60_000,
}, async () => {
  using ground = new Filesystem("tmpfs");
  const [clean, hit, edge] = ["clean", "hit", "directory/edge"]
    .map((name) => join(ground.path, name)) as [string, string, string];
  const marker = `X5O!P%@AP[4\\PZX54(P^)7CC)7}$${"EICAR-STANDARD-ANTIVIRUS"}-TEST-FILE!$H+H*`;
  mkdirSync(join(ground.path, "directory"));
  writeFileSync(clean, "clean");
  writeFileSync(hit, marker);
  writeFileSync(edge, " ".repeat(64 * 1024 - 40) + marker); // in two pieces
  await using scanner = await start("scanner.ts", ground.path);
  assert.equal(await contentOf(clean), "clean");
  assert.match(await contentOf(hit), /Operation not permitted/);
  assert.match(await contentOf(edge), /Operation not permitted/);
  assert.equal(await contentOf(clean), "clean");
  // Not read again as long as it is the same: the writer is not asked, but its change is seen.
  const { code } = await use("sh", "-c", 'printf "%s" "$1" >> "$2"', "sh", marker, clean);
  assert.equal(code, 0);
  assert.match(await contentOf(clean), /Operation not permitted/);
  const said = await scanner.until(/deny decide "[^"]*\/clean"/);
  assert.equal(said.match(/allow decide "[^"]*\/clean"/g)?.length, 1);
  scanner.signal("SIGTERM");
  assert.equal(await scanner.ended(), 0);
  assert.equal(await contentOf(hit), marker);
});

for (const type of ["ext4", "xfs", "btrfs"] as const) {
  const missing = ["cc", "tar"].find((program) => !isInstalled(program));
  test(`files are filled in from an archive when they are used, on ${type}`, {
    skip: whyBefore([6, 14]) || whyNot(type) ||
      (missing !== undefined && `${missing} is not installed`),
    timeout: 60_000,
  }, async () => {
    using ground = new Filesystem(type);
    const source = join(ground.base, "originals");
    mkdirSync(join(source, "directory"), { recursive: true });
    const content = new Uint8Array(500_000).map((_, i) => 97 + i % 23);
    const names = [
      "ranges",
      "mapped",
      "written",
      "cut",
      "renamed",
      "removed",
      "left",
      "directory/deep",
    ];
    for (const name of names) writeFileSync(join(source, name), content);
    writeFileSync(join(source, "empty"), "");
    const program = join(source, "directory/program");
    execFileSync("cc", ["-o", program, moduleFile("tests/use_file.c")]);
    const archive = join(ground.base, "archive.tar");
    execFileSync("tar", ["--format=ustar", "-cf", archive, "-C", source, "."]);

    const directory = join(ground.path, "files");
    mkdirSync(directory);
    const at = (name: string) => join(directory, name);
    const allocated = (name: string) => statSync(at(name)).blocks * 512;
    const isOriginal = async (name: string) =>
      (await use("cmp", join(source, name), at(name))).code === 0;
    await using example = await start("fill_on_access.ts", archive, directory);

    assert.equal(statSync(at("ranges")).size, content.length);
    assert.equal(allocated("ranges"), 0);
    const dd = ["bs=4096", "skip=30", "count=1", "status=none"];
    const part = spawnSync("dd", [`if=${at("ranges")}`, ...dd], { timeout: DEADLINE });
    assert.deepEqual(new Uint8Array(part.stdout), content.slice(30 * 4096, 31 * 4096));
    // btrfs allocates it when it is written back.
    execFileSync("sync", ["-f", directory], { timeout: DEADLINE });
    assert.equal(allocated("ranges"), 64 * 1024);
    assert(await isOriginal("ranges"));

    const looked = await use(program, "open", at("mapped"), "map", "look");
    assert.equal(looked.stdout, `open: ok\nmap: ok\nlook: "abcdefghijklmnop"\n`);
    assert(await isOriginal("mapped"));

    const run = await use(at("directory/program"), "stat", at("empty"));
    assert.deepEqual([run.code, run.stdout], [0, "stat: ok\n"]);
    assert.equal(await contentOf(at("empty")), "");
    assert(await isOriginal("directory/deep"));

    // What was written once stays.
    const write = ["conv=notrunc", "bs=1", "seek=70000", "status=none"];
    const written = await use("sh", "-c", 'printf new | dd "of=$0" "$@"', at("written"), ...write);
    assert.equal(written.code, 0, written.stderr);
    const expected = content.slice();
    expected.set(new TextEncoder().encode("new"), 70_000);
    writeFileSync(join(source, "written"), expected);
    assert(await isOriginal("written"));
    assert(await isOriginal("written"));

    // What was cut off does not come back.
    assert.equal((await use("truncate", "--size=100000", at("cut"))).code, 0);
    assert.equal((await use("truncate", `--size=${content.length}`, at("cut"))).code, 0);
    writeFileSync(join(source, "cut"), content.slice(0, 100_000));
    truncateSync(join(source, "cut"), content.length);
    assert(await isOriginal("cut"));

    assert.equal((await use("mv", at("renamed"), at("elsewhere"))).code, 0);
    assert.equal((await use("cmp", join(source, "renamed"), at("elsewhere"))).code, 0);

    // Without a name it is not known which file it is: an error, not zeros.
    {
      await using user = new Running([program, "open", at("removed"), "wait", "read"]);
      await user.until(/wait/);
      assert.equal((await use("rm", at("removed"))).code, 0);
      user.tell("go on");
      await user.until(/read: EPERM/);
      await example.until(/not filled in: "[^"]*\/removed"/);
    }

    assert.equal(allocated("left"), 0);
    example.signal("SIGTERM");
    assert.equal(await example.ended(), 1); // one file is not where it was
    assert.deepEqual(new Uint8Array(readFileSync(at("left"))), content);
  });
}

test("the journal tells what changes, what is refused, and that it is there", {
  skip: whyUnaudited,
  timeout: 60_000,
}, async () => {
  await using audited = await Audited.open();
  {
    const module = new URL("../examples/journal.ts", import.meta.url);
    await using journal = new Running(moduleCommand(module, audited.path));
    await journal.until(/^\{"tag":"changes","event":\{"kind":"user\.begun",/);
    const kept = join(audited.path, "kept");
    chmodSync(audited.path, 0o755);
    touch(kept);
    await journal.until(/"tag":"changes".*"kind":"create\.file".*\/kept".*"exe":/);
    spawnSync("setpriv", [...AS_NOBODY.slice(1), "rm", "-f", kept]);
    const told = await journal.until(/"tag":"refusals".*\n$/);
    const refusal = told.trimEnd().split("\n").map((line) => JSON.parse(line))
      .find(({ tag }) => tag === "refusals").event;
    assert.equal(refusal.kind, "access.failed");
    assert.equal(refusal.attributes.failed.code, "EACCES");
    assert.equal(refusal.path, kept);
    journal.signal("SIGTERM");
    assert.equal(await journal.ended(), 0);
  }
  await audited.isAsBefore();
});
