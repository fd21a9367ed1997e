/**
 * Which tests are run on other kernels by default: those that ask the kernel most for the time that they take, a few
 * minutes. `--all` is the whole suite.
 *
 * @module
 */

/** The test files. */
export const KERNEL_TESTS: readonly string[] = [
  "tests/capabilities_test.ts",
  "tests/cli_doctor_test.ts",
  "tests/descriptors_test.ts",
  "tests/keys_live_test.ts",
  "tests/filesystem_errors_test.ts",
  "tests/mounts_stream_test.ts",
  "tests/mounts_test.ts",
  "tests/guard_options_test.ts",
  "tests/audit_control_test.ts",
];
