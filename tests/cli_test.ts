/** The command line as a whole: help, wrong arguments, and what it is when it is compiled. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import test from "node:test";
import { VERSION } from "../cli/version.ts";
import { Run, runToEnd } from "./command_line.ts";
import { isDeno, isRoot, moduleFile, TemporaryDirectory } from "./runtime.ts";

// --- help and wrong arguments ---

const COMMANDS: Readonly<Record<string, readonly string[]>> = {
  watch: [
    "events",
    "ignore",
    "no-recursive",
    "scope",
    "backend",
    "actor",
    "metadata",
    "atomic-save",
    "write-finish",
    "recover",
    "once",
    "timeout",
    "count",
    "json",
    "raw",
    "format",
    "time-format",
    "null",
    "quiet",
  ],
  trace: [
    "comm",
    "pid",
    "user",
    "events",
    "count",
    "timeout",
    "json",
    "format",
    "time-format",
    "null",
  ],
  doctor: ["json"],
};

for (const [name, options] of Object.entries(COMMANDS)) {
  test(`${name} --help names every option`, async () => {
    for (const flag of ["--help", "-h"]) {
      const { status, stdout, stderr } = await runToEnd([name, flag]);
      assert.equal(status, 0);
      assert.equal(stderr, "");
      assert.match(stdout, new RegExp(`^Usage: sentinode ${name} `));
      for (const option of [...options, "help"]) {
        assert.match(stdout, new RegExp(` --${option}\\b`));
      }
      for (const line of stdout.split("\n")) assert.ok(line.length <= 110, line);
    }
  });
}

test("--help names every command, --version the version of the package", async () => {
  const { status, stdout } = await runToEnd(["--help"]);
  assert.equal(status, 0);
  for (const name of Object.keys(COMMANDS)) assert.match(stdout, new RegExp(`^  ${name} `, "m"));
  const { version } = JSON.parse(readFileSync(moduleFile("deno.json"), "utf8"));
  assert.equal(VERSION, version);
  assert.deepEqual(await runToEnd(["--version"]), {
    status: 0,
    stdout: `sentinode ${version}\n`,
    stderr: "",
  });
});

/** Arguments, and the line that says what is wrong with them. */
const WRONG: readonly (readonly [args: readonly string[], complaint: string])[] = [
  [[], "sentinode: Cannot run: no command is given"],
  [["wach", "/tmp"], "sentinode: Cannot run wach: no such command"],
  [["--jsn"], "sentinode: Cannot run --jsn: no such command"],
  [["watch"], "sentinode watch: Cannot watch nothing: give PATH…"],
  [["watch", "--jsn", "/tmp"], "sentinode watch: Cannot watch with --jsn: no such option"],
  [["watch", "-z", "/tmp"], "sentinode watch: Cannot watch with -z: no such option"],
  [["watch", "--json=1", "/tmp"], "sentinode watch: Cannot watch with --json=1: it takes no value"],
  [["watch", "/tmp", "--count"], "sentinode watch: Cannot watch with --count: it takes N"],
  [
    ["watch", "--ignore", "--json", "/tmp"],
    "sentinode watch: Cannot watch with --ignore --json: it takes GLOB; write --ignore=--json",
  ],
  [
    ["watch", "--count", "0", "/tmp"],
    "sentinode watch: Cannot watch with --count 0: not a whole number of at least 1",
  ],
  [
    ["watch", "--count=1.5", "/tmp"],
    "sentinode watch: Cannot watch with --count 1.5: not a whole number of at least 1",
  ],
  [
    ["watch", "--timeout=soon", "/tmp"],
    "sentinode watch: Cannot watch with --timeout soon: not a number",
  ],
  [
    ["watch", "--timeout=-1", "/tmp"],
    "sentinode watch: Cannot watch with --timeout -1: not a number",
  ],
  [
    ["watch", "--once", "--count", "2", "/tmp"],
    "sentinode watch: Cannot watch with --once and --count: give one of them",
  ],
  [
    ["watch", "--json", "--format", "%p", "/tmp"],
    "sentinode watch: Cannot watch with --json and --format: give one of them",
  ],
  [["watch", "--raw", "/tmp"], "sentinode watch: Cannot watch with --raw: it is for --json"],
  [
    ["watch", "--scope", "world", "/tmp"],
    'sentinode watch: Cannot watch with scope "world": it is one of tree, mount, filesystem',
  ],
  [
    ["watch", "--ignore", "[a", "/tmp"],
    'sentinode watch: Cannot use [a as a glob: "[" has no "]"',
  ],
  [["trace", "/tmp", "/"], 'sentinode trace: Cannot trace with "/": one argument too many'],
  [["trace", "--pid", "me"], "sentinode trace: Cannot trace with --pid me: not a process id"],
  [
    ["trace", "--user", "no-such-user"],
    "sentinode trace: Cannot trace with --user no-such-user: no such user by /etc/nsswitch.conf and /etc/passwd; a uid will do",
  ],
  [["doctor", "--format", "%p"], "sentinode doctor: Cannot doctor with --format: no such option"],
];

for (const [args, complaint] of WRONG) {
  test(`refuses ${["sentinode", ...args].join(" ")}`, async () => {
    const { status, stdout, stderr } = await runToEnd(args);
    const program = complaint.slice(0, complaint.indexOf(":"));
    assert.equal(stderr, `${complaint}\nTry '${program} --help'\n`);
    assert.equal(stdout, "");
    assert.equal(status, 1);
  });
}

test("refuses unknown kinds, backends and letters by name, and says which there are", async () => {
  for (
    const [args, complaint] of [
      [
        ["watch", "--events", "create,bogus", "/tmp"],
        /^sentinode watch: Cannot .*bogus.*: no such kind; .*create/,
      ],
      [
        ["watch", "--backend", "bogus", "/tmp"],
        /^sentinode watch: Cannot .*bogus.*fanotify, inotify/,
      ],
      [["watch", "--recover", "bogus", "/tmp"], /^sentinode watch: Cannot .*bogus.*diff, signal/],
      [["watch", "--format", "%p %y", "/tmp"], /^sentinode watch: Cannot .*: %y is none of .*%p/],
      [["watch", "--format", "100%", "/tmp"], /^sentinode watch: Cannot .*: % is none of .*%%/],
      [["watch", "--time-format", "%Q", "/tmp"], /^sentinode watch: Cannot .*: %Q is none of .*%F/],
      [
        ["trace", "--events", "RZ"],
        /^sentinode trace: Cannot trace for RZ: neither letters .* nor a kind/,
      ],
    ] as const
  ) {
    const { status, stdout, stderr } = await runToEnd(args);
    assert.equal(status, 1);
    assert.equal(stdout, "");
    const [first, second, ...rest] = stderr.split("\n");
    assert.match(first!, complaint);
    assert.equal(second, `Try 'sentinode ${args[0]} --help'`);
    assert.deepEqual(rest, [""]);
  }
});

test("what the system refuses is told with its hint, and cannot drive the terminal", async () => {
  const { status, stdout, stderr } = await runToEnd(["watch", "/no/such\x1b[2J\npath"]);
  assert.equal(status, 1);
  assert.equal(stdout, "");
  assert.match(
    stderr,
    /^sentinode watch: Cannot watch \/no\/such\\x1b\[2J\\npath: no such file .*\(ENOENT\)\nHint: .+\n$/,
  );
});

// --- compiled ---

// Bun's alone: `deno compile` downloads the runtime that it puts into the executable.
if (!isDeno) {
  test("bun build --compile: one file does all of it, without a runtime", async () => {
    using at = new TemporaryDirectory();
    const executable = join(at.path, "sentinode");
    const built = spawnSync(process.execPath, [
      "build",
      "--compile",
      moduleFile("cli.ts"),
      "--outfile",
      executable,
    ]);
    assert.equal(built.status, 0, String(built.stderr));
    const version = await runToEnd(["--version"], { executable });
    assert.deepEqual(version, { status: 0, stdout: `sentinode ${VERSION}\n`, stderr: "" });
    assert.equal((await runToEnd(["doctor", at.path], { executable })).status, 0);
    for (const backend of ["fanotify", "inotify"]) {
      const args = ["watch", "--once", `--backend=${backend}`, "--format=%k %p", at.path];
      await using run = await new Run(args, { executable }).armed();
      writeFileSync(join(at.path, backend), "");
      assert.equal(await run.status(), 0);
      assert.equal(run.stdout.toString(), `create.file ${at.path}/${backend}\n`);
    }
    if (!isRoot) return;
    await using run = await new Run(["trace", "--count=1", at.path], { executable }).armed();
    spawnSync("touch", [join(at.path, "traced")]);
    assert.equal(await run.status(), 0);
    // It may have left before it could be looked at.
    assert.match(run.stdout.toString(), /^(touch\(\d+\)|\?\(\d+\) gone): /);
  });
}
