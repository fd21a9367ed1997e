/**
 * The version that `--version` and `doctor` print; `tests/cli_test.ts` compares it with `deno.json`.
 *
 * @module
 */

/** The version of sentinode. */
export const VERSION = "0.1.0";
