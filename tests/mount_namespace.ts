/**
 * A mount namespace of its own, and a shell in it.
 *
 * @module
 */

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { type MountInfo, parseMountInfo } from "../backends/mounts/mountinfo.ts";
import { TemporaryDirectory } from "./runtime.ts";
import { Running } from "./running.ts";

/** What `look` gives while nothing is mounted or unmounted on this machine, and the mounts of then. */
export async function withMounts<T>(
  look: () => Promise<T>,
): Promise<{ readonly seen: T; readonly table: readonly MountInfo[] }> {
  const read = () => readFileSync("/proc/self/mountinfo", "utf8");
  for (;;) {
    const before = read();
    const seen = await look();
    if (read() === before) return { seen, table: parseMountInfo(before) };
  }
}

/** Ended with the block, and all mounts with it. */
export class Namespace implements AsyncDisposable {
  /** A tmpfs of the namespace, where the shell is. */
  readonly path: string;
  /** The shell. */
  readonly pid: number;
  readonly #directory: TemporaryDirectory;
  readonly #shell: Running;
  #commands = 0;

  private constructor(directory: TemporaryDirectory, shell: Running, pid: number) {
    this.#directory = directory;
    this.path = directory.path;
    this.#shell = shell;
    this.pid = pid;
  }

  /** A namespace that nothing propagates to or from. */
  static async open(): Promise<Namespace> {
    const directory = new TemporaryDirectory();
    const unshare = ["unshare", "--mount", "--propagation", "private"];
    const shell = new Running([...unshare, "sh", "-c", "echo pid $$.; exec sh 2>&1"]);
    const said = await shell.until(/pid \d+\./);
    const namespace = new Namespace(directory, shell, Number(/pid (\d+)\./.exec(said)![1]));
    await namespace.run(`mount -t tmpfs sentinode-test ${directory.path} && cd ${directory.path}`);
    return namespace;
  }

  /** Runs a command in the shell; all that the shell has said. */
  async run(command: string): Promise<string> {
    const end = `end ${++this.#commands} is`;
    this.#shell.tell(`${command}; echo ${end} $?.`);
    const said = await this.#shell.until(new RegExp(`${end} \\d+\\.`));
    assert.match(said, new RegExp(`${end} 0\\.`), said);
    return said;
  }

  /** Until something like that was said. */
  async until(pattern: RegExp): Promise<void> {
    await this.#shell.until(pattern);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#shell[Symbol.asyncDispose]();
    this.#directory[Symbol.dispose]();
    assert(!existsSync(this.path));
  }
}
