/**
 * A process that does operations at full speed beside the watcher: `worker.c`.
 *
 * @module
 */

import { type ChildProcessByStdio, spawn, spawnSync } from "node:child_process";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { moduleFile } from "../runtime.ts";
import { encodeOperations, type Operation } from "./operations.ts";
import type { Entries } from "./picture.ts";

/** Compiles the program into a directory; its path. */
export function compileWorker(directory: string): string {
  const program = join(directory, "worker");
  const command = ["-O2", "-Wall", "-Werror", "-o", program, moduleFile("tests/model/worker.c")];
  const { status, stderr, error } = spawnSync("cc", command, { encoding: "utf8" });
  if (status !== 0) throw new Error(`Cannot compile worker.c: ${error ?? stderr}`);
  return program;
}

/** One such process. */
export class Worker implements Disposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  #answer = "";
  /** What an answer ends with. */
  #end = "\n";
  #answered: { resolve: (line: string) => void; reject: (error: Error) => void } | undefined;

  constructor(program: string, directory: string) {
    const child = spawn(program, [], { cwd: directory, stdio: ["pipe", "pipe", "inherit"] });
    child.stdout.setEncoding("latin1").on("data", (text: string) => {
      this.#answer += text;
      if (this.#answer !== "\n" && !this.#answer.endsWith(this.#end)) return;
      this.#answered?.resolve(this.#answer);
      this.#answer = "";
    });
    child.on("error", (error) => this.#answered?.reject(error));
    child.on("close", () => this.#answered?.reject(new Error("Cannot work: the process ended")));
    this.#child = child;
  }

  /** Does the operations; those that were possible. */
  async perform(operations: readonly Operation[]): Promise<Operation[]> {
    if (operations.length === 0) return [];
    const done = await this.#ask(operations, "\n");
    return operations.filter((_, i) => done[i] === "1");
  }

  /** The tree as it is. */
  async entries(): Promise<Entries> {
    const lines = (await this.#ask([], "\n\n")).split("\n").filter((line) => line !== "");
    return new Map(lines.map((line) => [line.slice(1), line.startsWith("d")]));
  }

  #ask(operations: readonly Operation[], end: string): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    this.#answered = { resolve, reject };
    this.#end = end;
    this.#child.stdin.write(encodeOperations(operations));
    return promise;
  }

  [Symbol.dispose](): void {
    this.#answered = undefined;
    this.#child.kill("SIGKILL");
  }
}
