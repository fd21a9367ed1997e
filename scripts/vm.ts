/**
 * Runs tests on other kernels, in virtual machines; or a command.
 *
 *     deno run -A scripts/vm.ts [OPTIONS] [6.1|6.12]… [FILE…]
 *
 *     --runtime deno|bun    only in that one
 *     --all                 the whole suite
 *     --make                no tests: only the kernels
 *     --run COMMAND         a shell command, as root, instead of tests
 *     --verbose             what tests print, as they print it
 *
 * Without a kernel, on each; without files, those that have to do with the kernel. A test that fails is shown with its
 * output, and at the end what the kernel said. Ends with `N passed, N failed, N skipped`. Kernels are made of Debian's
 * sources, and kept.
 *
 * @module
 */

import { readdirSync } from "node:fs";
import process from "node:process";
import { parseArgs } from "node:util";
import { CACHE } from "./cache.ts";
import { type Count, countOf, TEST_RUNS, type TestRun } from "./test_runs.ts";
import { type KernelName, kernelProgram, KERNELS } from "./vm/kernel.ts";
import { runInMachine } from "./vm/machine.ts";
import { KERNEL_TESTS } from "./vm/tests.ts";

/** How long one file may take, in s of the machine's own clock. */
const FILE_DEADLINE = 900;
/** How long a machine may say nothing, in ms. */
const SILENCE = 10 * 60_000;

/** A test file in a runtime. */
interface Task {
  readonly file: string;
  readonly run: TestRun;
}

/** What is before and behind the output of each task: its number, and its exit status. */
const MARK = /^vm: (begin|end) (\d+)(?: (\d+))?$/;

/** What the job finds around it: the host's programs, and the logs that tests have fetched there. */
const SURROUNDINGS = [
  `export NO_COLOR=1 PATH='${process.cwd()}/node_modules/.bin:${process.env["PATH"]}'`,
  `mkdir -p ~/.cache/sentinode && ln -s '${CACHE}/audit-samples' ~/.cache/sentinode`,
];

/** A job that runs each file by itself and with a deadline, so that what hangs or crashes hides nothing else. */
function jobOf(tasks: readonly Task[]): string {
  return [
    `task() {`,
    `  printf '\\nvm: begin %s\\n' $1`,
    `  number=$1 status=0; shift`,
    `  timeout -k 10 ${FILE_DEADLINE} "$@" || status=$?`,
    `  printf '\\nvm: end %s %s\\n' $number $status`,
    `}`,
    ...tasks.map(({ file, run }, i) => `task ${i} ${run.command([file]).join(" ")}`),
  ].join("\n");
}

/** All test files, by name. */
function allTests(): string[] {
  return readdirSync("tests").filter((name) => name.endsWith("_test.ts")).sort()
    .map((name) => `tests/${name}`);
}

/** Runs tasks on a kernel, telling of each; what they come to. */
async function runTests(
  kernel: KernelName,
  tasks: readonly Task[],
  isVerbose: boolean,
): Promise<Count> {
  const total = { passed: 0, failed: 0, skipped: 0 };
  const write = (text: string) => void process.stdout.write(text);
  let [line, output, done, began] = ["", "", 0, 0];
  const take = (text: string) => {
    const mark = MARK.exec(text);
    if (mark === null) {
      output += `${text}\n`;
      if (isVerbose) write(`${text}\n`);
      return;
    }
    if (mark[1] === "end") {
      const { file, run } = tasks[Number(mark[2])]!;
      const count = countOf(run, Number(mark[3]), output);
      for (const name of ["passed", "failed", "skipped"] as const) total[name] += count[name];
      done++;
      if (!isVerbose && count.failed > 0) write(output);
      const verdict = count.failed > 0 ? "FAILED" : "ok    ";
      const seconds = ((performance.now() - began) / 1000).toFixed(0);
      write(`${verdict} Linux ${kernel}, ${run.name}, ${file}: ${told(count)}, ${seconds} s\n`);
    }
    began = performance.now();
    output = "";
  };
  const { status, console } = await machine(kernel, jobOf(tasks), (text) => {
    const lines = (line + text).split("\n");
    line = lines.pop()!;
    for (const one of lines) take(one);
  });
  const left = tasks.length - done;
  if (status === undefined || left > 0) {
    write(`${output}${line}\nFAILED Linux ${kernel}: ${left} files did not run\n`);
    total.failed += Math.max(1, left);
  }
  if (total.failed > 0) write(`Linux ${kernel} said:\n${console}\n`);
  return total;
}

function machine(kernel: KernelName, job: string, onOutput: (text: string) => void) {
  return runInMachine({
    kernel: programs.get(kernel)!,
    repository: process.cwd(),
    job: [...SURROUNDINGS, job].join("\n"),
    onOutput,
    silence: SILENCE,
  });
}

function sum(counts: readonly Count[]): Count {
  const of = (name: keyof Count) => counts.reduce((all, count) => all + count[name], 0);
  return { passed: of("passed"), failed: of("failed"), skipped: of("skipped") };
}

function told({ passed, failed, skipped }: Count): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

// At its end a process ends its machines, and removes what it made for them.
for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
  process.on(signal, () => process.exit(code));
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runtime: { type: "string" },
    all: { type: "boolean", default: false },
    make: { type: "boolean", default: false },
    run: { type: "string" },
    verbose: { type: "boolean", default: false },
  },
});
const isKernel = (word: string): word is KernelName => KERNELS.some((name) => name === word);
const named = positionals.filter(isKernel);
const files = positionals.filter((word) => !isKernel(word));
const chosen = files.length > 0 ? files : values.all ? allTests() : KERNEL_TESTS;
const runs = TEST_RUNS.filter(({ name }) =>
  values.runtime === undefined || name.toLowerCase() === values.runtime
);
const tasks = runs.flatMap((run) => chosen.map((file) => ({ file, run })));

const kernels = named.length > 0 ? named : KERNELS;
// All of them first: to make one takes all processors, a machine only one.
const programs = new Map(kernels.map((kernel) => [kernel, kernelProgram(kernel)]));

if (values.run !== undefined) {
  for (const kernel of kernels) {
    const write = (text: string) => void process.stdout.write(text);
    const { status, console } = await machine(kernel, values.run, write);
    if (status === undefined) write(console);
    if (status !== 0) process.exitCode = 1;
  }
} else if (!values.make) {
  const total = sum(
    await Promise.all(kernels.map((kernel) => runTests(kernel, tasks, values.verbose))),
  );
  process.stdout.write(`${told(total)}\n`);
  process.exitCode = total.failed === 0 ? 0 : 1;
}
