/**
 * What being asked costs those who open files: the latency of an open beside a responder in C, and the time of real work.
 *
 * @module
 */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
const OPENS = 20_000;
const FILES = 5_000;
const ROUNDS = 5;

/** Median and 99th percentile, in µs. */
interface Latency {
  median: number;
  late: number;
}

/** Starts what answers, and waits until it does. */
async function started(command: readonly string[]): Promise<ChildProcess> {
  const [program, ...args] = command;
  const child = spawn(program!, args, { stdio: ["pipe", "pipe", "inherit"] });
  await new Promise<void>((resolve, reject) => {
    child.stdout!.on("data", () => resolve());
    child.on("exit", () => reject(new Error(`Cannot measure ${command.join(" ")}: it ended`)));
  });
  return child;
}

/** Ends it: the kernel then allows all. */
async function ended(child: ChildProcess): Promise<void> {
  child.removeAllListeners("exit");
  const end = new Promise((resolve) => child.once("close", resolve));
  child.kill("SIGKILL");
  await end;
}

/** Everything that may answer, by name; undefined for nobody. */
function answerers(
  directory: string,
  respond: string,
  runtimes: Readonly<Record<string, readonly string[]>>,
): Record<string, readonly string[] | undefined> {
  const all: Record<string, readonly string[] | undefined> = {
    "not guarded": undefined,
    C: [respond, directory],
  };
  for (const [runtime, command] of Object.entries(runtimes)) {
    for (const way of ["rules", "paths", "decide", "cached"]) {
      all[`${runtime} ${way}`] = [...command, join(HERE, "guard.ts"), directory, way];
    }
  }
  return all;
}

/** Latency of an open(2), the best of the rounds, taken in turns so that all meet the same machine. */
export async function measureOpens(
  directory: string,
  compile: (name: string) => string,
  runtimes: Readonly<Record<string, readonly string[]>>,
  results: Record<string, number>,
): Promise<void> {
  const [respond, open] = [compile("respond"), compile("open")];
  const file = join(directory, "file");
  writeFileSync(file, "");
  const all = answerers(directory, respond, runtimes);
  const best: Record<string, Latency> = {};
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, command] of Object.entries(all)) {
      const child = command && await started(command);
      execFileSync(open, [file, String(OPENS)]); // warms up
      const output = execFileSync(open, [file, String(OPENS)], { encoding: "utf8" });
      if (child !== undefined) await ended(child);
      const [median, late] = output.split(" ").map(Number);
      const known = best[name] ??= { median: Infinity, late: Infinity };
      known.median = Math.min(known.median, median!);
      known.late = Math.min(known.late, late!);
    }
  }
  for (const [name, { median, late }] of Object.entries(best)) {
    const beside = name.endsWith("cached") ? "not guarded" : "C";
    const ratios = [median / best[beside]!.median, late / best[beside]!.late];
    results[`open, ${name} (µs)`] = median;
    results[`open, ${name}, p99 (µs)`] = late;
    const [one, two] = ratios.map((ratio) => ratio.toFixed(2));
    console.log(
      `open, ${name}`.padEnd(20) +
        ` p50 ${median.toFixed(1)} µs, p99 ${late.toFixed(1)} µs: ${one} and ${two} of ${beside}`,
    );
  }
}

/** Work that opens many files, by what it does in an empty directory. */
const WORK: Readonly<Record<string, (directory: string, scratch: string) => void>> = {
  "unpack 5,000 files": (directory, scratch) =>
    void execFileSync("tar", ["-xf", join(scratch, "files.tar"), "-C", directory]),
  "git status": (directory) => void execFileSync("git", ["status"], { cwd: directory }),
  "npm install": (directory) => {
    const options = { cwd: directory, stdio: "ignore" } as const;
    execFileSync("npm", ["install", "--no-audit", "--no-fund", "--prefer-offline"], options);
  },
};

/** Seconds of real work on the mount, with and without a guard that asks for every open. */
export async function measureWork(
  directory: string,
  scratch: string,
  runtimes: Readonly<Record<string, readonly string[]>>,
  results: Record<string, number>,
): Promise<void> {
  const source = join(scratch, "source");
  for (let i = 0; i < FILES; i++) {
    if (i % 100 === 0) mkdirSync(join(source, `d${i / 100}`), { recursive: true });
    writeFileSync(join(source, `d${Math.floor(i / 100)}`, `f${i}`), `file ${i}\n`);
  }
  execFileSync("tar", ["-cf", join(scratch, "files.tar"), "-C", source, "."]);
  const at = join(directory, "work");
  const prepare: Readonly<Record<string, () => void>> = {
    "git status": () => {
      execFileSync("tar", ["-xf", join(scratch, "files.tar"), "-C", at]);
      execFileSync("sh", ["-c", "git init -q . && git add . "], { cwd: at });
    },
    "npm install": () => {
      const dependencies = { typescript: "6.0.3", "@types/node": "*" };
      writeFileSync(join(at, "package.json"), JSON.stringify({ name: "work", dependencies }));
    },
  };
  const guards: Record<string, readonly string[] | undefined> = { "not guarded": undefined };
  for (const [runtime, command] of Object.entries(runtimes)) {
    for (const way of ["paths", "decide"]) {
      guards[`${runtime} ${way}`] = [...command, join(HERE, "guard.ts"), directory, way];
    }
  }
  for (const [name, work] of Object.entries(WORK)) {
    const best: Record<string, number> = {};
    for (let round = 0; round < ROUNDS; round++) {
      for (const [way, command] of Object.entries(guards)) {
        rmSync(at, { recursive: true, force: true });
        mkdirSync(at);
        prepare[name]?.();
        const child = command && await started(command);
        const start = performance.now();
        work(at, scratch);
        const seconds = (performance.now() - start) / 1000;
        if (child !== undefined) await ended(child);
        best[way] = Math.min(best[way] ?? Infinity, seconds);
      }
    }
    for (const [way, seconds] of Object.entries(best)) {
      results[`${name}, ${way} (s)`] = seconds;
      const ratio = (seconds / best["not guarded"]!).toFixed(2);
      console.log(`${name}, ${way}`.padEnd(32) + ` ${(1000 * seconds).toFixed(0)} ms, ${ratio}`);
    }
  }
  rmSync(at, { recursive: true });
}
