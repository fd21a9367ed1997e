/**
 * The tests that depend on the kernel: what is left out gives the same on each.
 *
 * @module
 */

/** The test files to run on other kernels. */
export const KERNEL_TESTS: readonly string[] = [
  "tests/capabilities_test.ts",
];
