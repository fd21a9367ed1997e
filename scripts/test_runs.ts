/**
 * How the tests are run in each runtime, and what their output says.
 *
 * @module
 */

/** How much passed, failed and was skipped. */
export interface Count {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** Runs tests in a runtime. */
export interface TestRun {
  readonly name: "Deno" | "Bun";
  /** Runs these test files. */
  readonly command: (files: readonly string[]) => readonly string[];
  /** The counts in its output; undefined where it has not come to an end. */
  readonly count: (output: string) => Count | undefined;
}

/** The runtimes. */
export const TEST_RUNS: readonly TestRun[] = [
  {
    name: "Deno",
    command: (files) => ["deno", "test", "--no-check", "-A", ...files],
    count: (output) => {
      const line = [
        ...output.matchAll(/^\w+ \| (\d+) passed[^|]*\| (\d+) failed(?: \| (\d+) ignored)?/gm),
      ].at(-1);
      return line &&
        { passed: Number(line[1]), failed: Number(line[2]), skipped: Number(line[3] ?? 0) };
    },
  },
  {
    name: "Bun",
    command: (files) => ["bun", "test", "--timeout", "60000", ...files.map((file) => `./${file}`)],
    count: (output) => {
      const last = (word: string) =>
        [...output.matchAll(new RegExp(`^ *(\\d+) ${word}$`, "gm"))].at(-1)?.[1];
      const passed = last("pass");
      return passed === undefined ? undefined : {
        passed: Number(passed),
        failed: Number(last("fail") ?? 0),
        skipped: Number(last("skip") ?? 0),
      };
    },
  },
];

/** What a run came to. A runner that failed without a failed test (a crash, a leak, no tests) is a failure all the same. */
export function countOf({ count }: TestRun, code: number | null, output: string): Count {
  const counted = count(output) ?? { passed: 0, failed: 0, skipped: 0 };
  const succeeded = code === 0 && counted.passed + counted.skipped > 0;
  return { ...counted, failed: succeeded ? counted.failed : Math.max(1, counted.failed) };
}
