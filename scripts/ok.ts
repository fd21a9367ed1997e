/**
 * The one command before a commit: format, lint, types in both checkers, imports, docs, examples, tests in both runtimes.
 *
 *     deno task ok             everything
 *     deno task ok --checks    without the tests
 *     deno task ok --machines  also on other kernels, in virtual machines
 *
 * Ends with `N passed, N failed, N skipped`: a check counts as one, a test as one in each runtime.
 *
 * @module
 */

import { spawn, spawnSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { checkImports } from "./import_table.ts";
import { reachableCopy } from "./reachable.ts";
import { type Count, countOf, TEST_RUNS } from "./test_runs.ts";

// Tests become nobody too: what only root can read is tested from a copy.
const copy = reachableCopy();
if (copy !== undefined) {
  process.chdir(copy.path);
  process.env["PATH"] = `${join(copy.path, "node_modules", ".bin")}:${process.env["PATH"]}`;
}

const FILES = spawnSync("git", ["ls-files", "*.ts"], { encoding: "utf8" }).stdout.trim().split(
  "\n",
);

/** How long one test run may take, in ms; beyond it it hangs. */
const DEADLINE = 20 * 60_000;

/** Runs tests on other kernels, which may have to be made first. */
const ON_KERNELS = ["deno", "run", "-A", "scripts/vm.ts"];

/** How long that may take, in ms. */
const KERNELS_DEADLINE = 30 * 60_000;

/** Commands that pass or fail as a whole. */
const CHECKS: readonly (readonly [name: string, ...command: string[]])[] = [
  ["format", "deno", "fmt", "--check", "--quiet"],
  ["lint", "deno", "lint", "--quiet"],
  ["types (Deno)", "deno", "check", "--quiet", ...FILES],
  ["types (Bun)", "tsc"],
  ["docs", "deno", "doc", "--lint", "mod.ts", "classify/mod.ts", "cli.ts"],
  [
    "examples",
    "deno",
    "test",
    "--doc",
    "--quiet",
    "-A",
    "mod.ts",
    "watch/watch.ts",
    "streams/audit.ts",
    "streams/mounts.ts",
    "streams/filesystem_errors.ts",
    "streams/keys.ts",
    "streams/merge.ts",
    "classify/mod.ts",
    "classify/kinds.ts",
    "backends/backend.ts",
    "ffi/errno.ts",
  ],
  ["publish", "deno", "publish", "--dry-run", "--allow-dirty", "--quiet"],
];

/** End the commands that run. */
const ends = new Set<() => void>();

for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
  process.on(signal, () => {
    for (const end of ends) end();
    copy?.[Symbol.dispose]();
    process.exit(code);
  });
}

/** How a command ended, and what it printed. */
interface Ended {
  readonly code: number | null;
  readonly output: string;
}

/** Runs a command, with its output shown as it comes. */
function run([program, ...args]: readonly string[], deadline = DEADLINE): Promise<Ended> {
  return new Promise((resolve) => {
    const env = { ...process.env, NO_COLOR: "1" };
    // A group of its own, so that a run that hangs is ended with all that it started.
    const child = spawn(program!, args, { stdio: ["ignore", "pipe", "pipe"], env, detached: true });
    let output = "";
    const show = (chunk: Uint8Array) => {
      output += new TextDecoder().decode(chunk);
      process.stdout.write(chunk);
    };
    child.stdout.on("data", show);
    child.stderr.on("data", show);
    const end = () => process.kill(-child.pid!, "SIGKILL");
    const timer = setTimeout(end, deadline);
    child.on("error", (error) => resolve({ code: 1, output: String(error) }));
    child.on("spawn", () => ends.add(end));
    child.on("close", (code) => {
      clearTimeout(timer);
      ends.delete(end);
      resolve({ code, output });
    });
  });
}

const total = { passed: 0, failed: 0, skipped: 0 };

function add(name: string, { passed, failed, skipped }: Count): void {
  total.passed += passed;
  total.failed += failed;
  total.skipped += skipped;
  process.stdout.write(`${failed === 0 ? "ok    " : "FAILED"} ${name}\n`);
}

function addCheck(name: string, passed: boolean): void {
  add(name, { passed: Number(passed), failed: Number(!passed), skipped: 0 });
}

addCheck("imports", checkImports(FILES));
for (const [name, ...command] of CHECKS) addCheck(name, (await run(command)).code === 0);

if (!process.argv.includes("--checks")) {
  for (const testRun of TEST_RUNS) {
    const { code, output } = await run(testRun.command(["tests/"]));
    add(`tests in ${testRun.name}`, countOf(testRun, code, output));
  }
  if (process.argv.includes("--machines")) {
    const { code, output } = await run(ON_KERNELS, KERNELS_DEADLINE);
    const [, passed = 0, failed = 1, skipped = 0] =
      /^(\d+) passed, (\d+) failed, (\d+) skipped\n$/m.exec(output)?.map(Number) ?? [];
    const isOver = (code === 0) === (failed === 0);
    add("tests on other kernels", { passed, failed: isOver ? failed : failed + 1, skipped });
  }
}

process.stdout.write(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
process.exitCode = total.failed === 0 ? 0 : 1;
copy?.[Symbol.dispose]();
