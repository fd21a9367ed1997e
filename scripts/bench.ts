/**
 * Measures sentinode against the least that C can do, on the same work in the same run, and prints ratios; reading audit
 * logs, against ausearch(8) by the time of the processor.
 *
 *     deno task bench                 everything, a few minutes, as root
 *     deno task bench --json FILE     and the numbers as JSON
 *
 * Nothing else should run on the machine meanwhile.
 *
 * @module
 */

import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { auditSeconds, ausearchSeconds, hasAusearch, writeAuditLog } from "./bench/audit_log.ts";
import { measureOpens, measureWork } from "./bench/guarded.ts";

const HERE = dirname(fileURLToPath(import.meta.url));
const FILES = 200_000;
const WARM_UP = 50_000;
const DIRECTORIES = 100;
/** Rounds of each measurement; the best counts, for noise only ever adds. */
const ROUNDS = 5;

/** How each runtime is started. */
const RUNTIMES: Readonly<Record<string, readonly string[]>> = {
  Deno: ["deno", "run", "-A"],
  Bun: ["bun"],
};

/** A line a measurement. */
const results: Record<string, number> = {};

/**
 * Runs a program that prints "ready"; fills its queue, tells it how much is there, and takes the seconds that it prints;
 * twice, for the first time warms up compilers and caches, here as in C.
 */
function drain(command: readonly string[], fill: (files: number) => void): Promise<number> {
  return new Promise((resolve, reject) => {
    const [program, ...args] = command;
    const child = spawn(program!, args, { stdio: ["pipe", "pipe", "inherit"] });
    const rounds = [WARM_UP, FILES];
    let output = "";
    child.stdout.on("data", (chunk: Uint8Array) => {
      output += new TextDecoder().decode(chunk);
      if (!output.endsWith("\n")) return;
      const files = rounds.shift();
      if (files === undefined) return void child.stdin.end();
      fill(files);
      child.stdin.write(`${3 * files}\n`);
    });
    child.on("error", reject);
    child.on("close", (code) => {
      const [events, seconds] = output.trim().split("\n").at(-1)!.split(" ").map(Number);
      if (code === 0 && events === 3 * FILES) resolve(seconds!);
      else reject(new Error(`Cannot measure ${command.join(" ")}: ${output} (exit ${code})`));
    });
  });
}

/** Compiles a C program of this folder. */
function compile(name: string, into: string): string {
  const binary = join(into, name);
  execFileSync("cc", ["-O2", "-o", binary, join(HERE, "bench", `${name}.c`)]);
  return binary;
}

/** Events a second of each reader, best of the rounds, taken in turns so that all meet the same machine. */
async function throughput(directory: string, scratch: string): Promise<void> {
  const [walk, fill] = [compile("walk", scratch), compile("fill", scratch)];
  for (let i = 0; i < DIRECTORIES; i++) mkdirSync(join(directory, String(i)));
  const readers: Record<string, readonly string[]> = { C: [walk, directory] };
  for (const [runtime, command] of Object.entries(RUNTIMES)) {
    const reader = [...command, join(HERE, "bench", "drain.ts"), directory];
    for (const way of ["batches", "events"]) {
      readers[`${runtime} ${way}`] = [...reader, way, "signal"];
    }
    readers[`${runtime} batches, recover: "diff"`] = [...reader, "batches", "diff"];
  }
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, command] of Object.entries(readers)) {
      const seconds = await drain(
        command,
        (files) => execFileSync(fill, [directory, String(files)]),
      );
      const rate = 3 * FILES / seconds;
      results[name] = Math.max(results[name] ?? 0, rate);
      process.stderr.write(`${name}: ${(rate / 1e6).toFixed(2)} million events a second\n`);
    }
  }
  for (const name of Object.keys(readers)) {
    const ratio = results[name]! / results["C"]!;
    process.stdout.write(
      `${name.padEnd(30)} ${(results[name]! / 1e6).toFixed(2)} million events/s  ${
        ratio.toFixed(2)
      } of C\n`,
    );
  }
}

/** Set-up time and memory of a watch on 50,000 directories. */
function setUp(directory: string): void {
  for (let i = 0; i < 500; i++) {
    for (let j = 0; j < 100; j++) mkdirSync(join(directory, `tree/${i}/${j}`), { recursive: true });
  }
  for (const [runtime, command] of Object.entries(RUNTIMES)) {
    for (const backend of ["fanotify", "inotify"]) {
      const [program, ...args] = command;
      const script = join(HERE, "bench", "set_up.ts");
      const output = execFileSync(program!, [...args, script, join(directory, "tree"), backend], {
        encoding: "utf8",
      });
      const [milliseconds, megabytes, watches] = output.trim().split(" ").map(Number);
      results[`${runtime} ${backend} ready (ms)`] = milliseconds!;
      results[`${runtime} ${backend} memory (MB)`] = megabytes!;
      process.stdout.write(
        `${`${runtime} ${backend}`.padEnd(14)} 50,000 directories: ready in ${milliseconds} ms, ` +
          `${megabytes} MB more, ${watches} watches or marks\n`,
      );
    }
  }
}

/** A snapshot of 150,000 files beside what find(1) takes to print the same of them. */
function walk(directory: string): void {
  const root = join(directory, "files");
  for (let i = 0; i < 1000; i++) {
    mkdirSync(join(root, `${i % 30}/${i}`), { recursive: true });
    for (let j = 0; j < 150; j++) writeFileSync(join(root, `${i % 30}/${i}/file-${j}.txt`), "");
  }
  const find = () => {
    const start = performance.now();
    execFileSync("find", [root, "-printf", "%p %y %i %T@ %C@ %s\\n"], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    return (performance.now() - start) / 1000;
  };
  const seconds = Math.min(...Array.from({ length: ROUNDS }, find));
  results["find -printf (s)"] = seconds;
  process.stdout.write(`find -printf   150,000 files: ${(1000 * seconds).toFixed(0)} ms\n`);
  for (const [runtime, command] of Object.entries(RUNTIMES)) {
    const [program, ...args] = command;
    const script = join(HERE, "bench", "snapshot.ts");
    const taken = Number(execFileSync(program!, [...args, script, root, String(ROUNDS)]));
    results[`${runtime} snapshot (s)`] = taken;
    process.stdout.write(
      `${runtime} snapshot()`.padEnd(14) +
        ` 150,000 files: ${(1000 * taken).toFixed(0)} ms, ${
          (taken / seconds).toFixed(2)
        } of find\n`,
    );
  }
}

/** All events of an audit log of a million records, beside ausearch(8), which makes a table of them. */
function readLog(scratch: string): void {
  if (!hasAusearch) {
    process.stdout.write("audit() of a log: not measured, for there is no ausearch (auditd)\n");
    return;
  }
  const log = join(scratch, "audit.log");
  const events = writeAuditLog(log, 1_000_000);
  const best = (measure: () => number) => Math.min(...Array.from({ length: ROUNDS }, measure));
  const seconds = best(() => ausearchSeconds(log));
  results["ausearch (s)"] = seconds;
  process.stdout.write(`ausearch       1,000,000 records: ${seconds.toFixed(2)} s\n`);
  for (const [runtime, command] of Object.entries(RUNTIMES)) {
    const taken = best(() => auditSeconds(command, log, events));
    results[`${runtime} audit of a log (s)`] = taken;
    process.stdout.write(
      `${runtime} audit()`.padEnd(14) +
        ` 1,000,000 records: ${taken.toFixed(2)} s, ${(taken / seconds).toFixed(2)} of ausearch\n`,
    );
  }
}

const scratch = mkdtempSync(join(tmpdir(), "sentinode-bench-"));
const directory = join(scratch, "tmpfs");
mkdirSync(directory);
execFileSync("mount", ["-t", "tmpfs", "sentinode-bench", directory]);
try {
  await throughput(directory, scratch);
  setUp(directory);
  walk(directory);
  readLog(scratch);
  await measureOpens(directory, (name) => compile(name, scratch), RUNTIMES, results);
  await measureWork(directory, scratch, RUNTIMES, results);
} finally {
  execFileSync("umount", [directory]);
  rmSync(scratch, { recursive: true });
}
const json = process.argv.indexOf("--json");
if (json > 0) writeFileSync(process.argv[json + 1]!, JSON.stringify(results, undefined, 2) + "\n");
