/**
 * auditd(8) with a configuration and a log of its own.
 *
 * @module
 */

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Running } from "./running.ts";
import { TemporaryDirectory } from "./runtime.ts";

/** One that runs from `start()` to the end of the block. */
export class Auditd implements AsyncDisposable {
  readonly #directory = new TemporaryDirectory();
  /** Its log. */
  readonly file: string = join(this.#directory.path, "audit.log");
  #process: Running | undefined;

  constructor() {
    mkdirSync(join(this.#directory.path, "plugins.d"));
    writeFileSync(
      join(this.#directory.path, "auditd.conf"),
      `log_file = ${this.file}
log_format = RAW
log_group = root
flush = NONE
max_log_file = 8
max_log_file_action = IGNORE
space_left = 2
admin_space_left = 1
space_left_action = IGNORE
admin_space_left_action = IGNORE
disk_full_action = IGNORE
disk_error_action = IGNORE
plugin_dir = ${this.#directory.path}/plugins.d
`,
      { mode: 0o640 },
    );
  }

  start(): Running {
    return this.#process = new Running([
      "auditd",
      "-n",
      "-s",
      "nochange",
      "-c",
      this.#directory.path,
    ]);
  }

  get log(): string {
    return readFileSync(this.file, "utf8");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process?.[Symbol.asyncDispose]();
    this.#directory[Symbol.dispose]();
  }
}
