/**
 * Processes that go on while they are tested.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { within } from "./runtime.ts";

/** How long one may go on, in s; then it is killed, also where this process has ended. */
const DEADLINE = 60;

/** A process that goes on, and what it says; ended with the block. */
export class Running implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | null>;
  #isOver = false;
  #said = "";
  #heard = Promise.withResolvers<void>();

  constructor(command: readonly string[]) {
    this.#child = spawn("timeout", ["-s", "KILL", `${DEADLINE}`, ...command]);
    for (const stream of [this.#child.stdout!, this.#child.stderr!]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        this.#said += text;
        this.#heard.resolve();
      });
    }
    this.#ended = new Promise((resolve, reject) => {
      this.#child.on("error", reject);
      this.#child.on("close", (code) => {
        this.#isOver = true; // all that it started has ended as well, or let go of its output
        resolve(code);
      });
    });
    this.#ended.catch(() => {});
  }

  /** The process. */
  get pid(): number {
    return this.#child.pid!;
  }

  /** Until it has said something like that; all that it said so far. */
  async until(pattern: RegExp): Promise<string> {
    while (!pattern.test(this.#said)) {
      this.#heard = Promise.withResolvers<void>();
      const ended = this.#ended.then((code) => {
        throw new Error(`it ended with ${code} before it said ${pattern}: ${this.#said}`);
      });
      const heard = Promise.race([this.#heard.promise, ended]);
      await within(heard, `${pattern} in ${JSON.stringify(this.#said)}`, 20_000);
    }
    return this.#said;
  }

  /** Writes a line to its input. */
  tell(line: string): void {
    this.#child.stdin!.write(`${line}\n`);
  }

  /** Sends it, and what it started, a signal. */
  signal(signal: "SIGTERM" | "SIGABRT" | "SIGKILL" | "SIGSTOP" | "SIGCONT"): void {
    process.kill(-this.#child.pid!, signal); // timeout(1) makes itself the leader of a group
  }

  /** Until it has ended; its exit code. */
  ended(): Promise<number | null> {
    return within(this.#ended, `the end of what said ${JSON.stringify(this.#said)}`, 20_000);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isOver) this.signal("SIGKILL");
    await this.ended();
  }
}
