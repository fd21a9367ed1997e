/**
 * The command line, as a process of its own. In Deno it runs with `--allow-ffi` alone.
 *
 * @module
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { type ChildProcess, spawn, spawnSync, type StdioOptions } from "node:child_process";
import { chmodSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import {
  AS_NOBODY,
  aWhile,
  isDeno,
  isRoot,
  moduleFile,
  NOBODY,
  TemporaryDirectory,
  within,
} from "./runtime.ts";

/** How long anything may take, in ms. */
export const DEADLINE = 20_000;

/** As whom a command is run. */
export type User = "root" | "nobody" | "this user";

/** Everybody as whom the tests can be run. */
export const USERS: readonly User[] = isRoot ? ["root", "nobody"] : ["this user"];

const [ME] = USERS as [User];

/** Who has to own what the user is to write to; undefined where that is this process's user. */
export function ownerOf(user: User): number | undefined {
  return user === "nobody" ? NOBODY : undefined;
}

/** How a command is run. */
export interface RunInit {
  readonly user?: User;
  readonly stdio?: StdioOptions;
  /** A compiled command line, run without a runtime, and with an empty environment. */
  readonly executable?: string;
  /** A command that runs the command line. */
  readonly under?: readonly string[];
  /** Variables beside this process's. */
  readonly env?: Readonly<Record<string, string>>;
}

/** The command that runs the command line in the runtime under test. */
export function command(args: readonly string[]): string[] {
  const runtime = isDeno
    ? [process.execPath, "run", "--quiet", "--no-prompt", "--allow-ffi"]
    : [process.execPath];
  return [...runtime, moduleFile("cli.ts"), ...args];
}

/** A running command. */
export class Run implements AsyncDisposable {
  stdout: Buffer = Buffer.alloc(0);
  stderr = "";
  readonly child: ChildProcess;
  readonly #closed: Promise<number | null>;
  readonly #waiting = new Set<() => void>();
  /** Where nobody's runtime may put what it compiled. */
  readonly #home: TemporaryDirectory | undefined;
  #isRunning = true;

  constructor(args: readonly string[], init: RunInit = {}) {
    const { user = ME, stdio, executable, under = [], env = {} } = init;
    this.#home = user === "nobody" ? new TemporaryDirectory(NOBODY) : undefined;
    const home = this.#home?.path;
    const change = user === "nobody" ? AS_NOBODY : [];
    const [file, ...rest] = [
      ...change,
      ...under,
      ...executable ? [executable, ...args] : command(args),
    ];
    this.child = spawn(file!, rest, {
      stdio: stdio ?? ["ignore", "pipe", "pipe"],
      env: executable !== undefined ? env : {
        ...process.env,
        ...(home === undefined ? {} : { HOME: home, DENO_DIR: join(home, "deno") }),
        ...env,
      },
    });
    this.child.stdout?.on("data", (data: Buffer) => {
      this.stdout = Buffer.concat([this.stdout, data]);
      this.#changed();
    });
    this.child.stderr?.on("data", (data: Buffer) => {
      this.stderr += data.toString();
      this.#changed();
    });
    this.#closed = new Promise((resolve, reject) => {
      this.child.on("error", reject);
      this.child.on("exit", () => this.#isRunning = false);
      this.child.on("close", (status: number | null) => {
        resolve(status);
        this.#changed();
      });
    });
  }

  #changed(): void {
    for (const wake of this.#waiting) wake();
  }

  get lines(): string[] {
    return this.stdout.toString().split("\n").slice(0, -1);
  }

  /** Resolves once `condition` holds, which is looked at whenever something was printed. */
  async until(what: string, condition: () => boolean): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const look = () => condition() && resolve();
    this.#waiting.add(look);
    look();
    const ended = this.#closed.then((status) => {
      if (!condition()) {
        throw new Error(`${what}: it ended with ${status}: ${this.stdout}${this.stderr}`);
      }
    });
    try {
      await within(
        Promise.race([promise, ended]),
        `${what} in ${this.stdout}${this.stderr}`,
        DEADLINE,
      );
    } finally {
      this.#waiting.delete(look);
    }
  }

  /** Armed: a change made from now on is reported, what is asked for is decided. */
  async armed(): Promise<this> {
    const isArmed = () => /^(Watching|Tracing|Guarding) .*\n/m.test(this.stderr);
    await this.until("Watching, Tracing or Guarding", isArmed);
    return this;
  }

  async printed(text: string): Promise<void> {
    await this.until(`printed ${text}`, () => this.stdout.includes(text));
  }

  /** The exit status. */
  async status(): Promise<number | null> {
    return await within(this.#closed, `the end (${this.stdout}${this.stderr})`, DEADLINE);
  }

  /** Not `child.kill`, after which Deno tells of a death by that signal whatever the process made of it. */
  kill(signal: NodeJS.Signals): void {
    process.kill(this.child.pid!, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isRunning) this.kill("SIGKILL");
    this.child.stdout?.resume();
    await this.#closed;
    this.#home?.[Symbol.dispose]();
  }
}

/** How a command ended. */
export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end. */
export async function runToEnd(args: readonly string[], init: RunInit = {}): Promise<Ended> {
  await using run = new Run(args, init);
  const status = await run.status();
  return { status, stdout: run.stdout.toString(), stderr: run.stderr };
}

/** A child that did what it was told and stays until the end of the block, so that it can be looked at. */
export class Held implements AsyncDisposable {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #closed: Promise<void>;

  constructor(script: string, owner?: number) {
    this.#child = spawn("sh", ["-c", `${script}\nread -r line`], {
      stdio: ["pipe", "inherit", "inherit"],
      ...(owner === undefined ? {} : { uid: owner, gid: owner }),
    });
    this.pid = this.#child.pid!;
    this.#closed = new Promise((resolve) => this.#child.on("close", () => resolve()));
  }

  /** Gives it a line to read. */
  say(line: string): void {
    this.#child.stdin!.write(`${line}\n`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin!.end();
    await within(this.#closed, "the child's end", DEADLINE);
  }
}

/** A tmpfs of its own. Needs root. */
export class Tmpfs implements Disposable {
  readonly #point = new TemporaryDirectory();
  readonly path: string = this.#point.path;

  constructor() {
    const { status, stderr } = spawnSync("mount", ["-t", "tmpfs", "sentinode-test", this.path]);
    assert.equal(status, 0, String(stderr));
    chmodSync(this.path, 0o777);
  }

  [Symbol.dispose](): void {
    // The traced child may still be on its way out.
    const { status, stderr } = spawnSync("umount", ["--lazy", this.path]);
    assert.equal(status, 0, String(stderr));
    this.#point[Symbol.dispose]();
  }
}

/** Stops a process and waits until it is. */
export async function pause(run: Run): Promise<void> {
  run.kill("SIGSTOP");
  const end = performance.now() + DEADLINE;
  while (!/^State:\s+T/m.test(readFileSync(`/proc/${run.child.pid}/status`, "utf8"))) {
    assert.ok(performance.now() < end, "it does not stop");
    await aWhile();
  }
}

/** For a test that only root can run. */
export const NEEDS_ROOT: { readonly skip: string | false } = {
  skip: isRoot ? false : "needs root",
};
