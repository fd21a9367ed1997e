/**
 * Child processes that leave the event loop of this one free, as any user, in the runtime that runs
 * this.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, chownSync, constants, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** A program and its arguments. */
export type Command = readonly [program: string, ...args: string[]];

/** How a child process ended, and what it said. */
export interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Where and with what a command runs. */
export interface Surroundings {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** What it reads from its standard input, which ends after it. */
  readonly input?: Promise<string>;
  /** Killed after this many ms. Default 120,000. */
  readonly deadline?: number;
  /** Called with the child once it has been started. */
  readonly started?: (child: ChildProcess) => void;
}

/** The user whom the kernel grants nothing. */
export const NOBODY = 65534;

/** Whether this process may become another user. */
export const isRoot: boolean = process.getuid?.() === 0;

/** The name of the runtime: `"deno"` or `"bun"`. */
export const runtime: "deno" | "bun" = process.versions["bun"] === undefined ? "deno" : "bun";

/** Runs a command to its end. Rejects only where it cannot be started. */
export function run([program, ...args]: Command, surroundings: Surroundings = {}): Promise<Ended> {
  const { cwd, env, input, deadline = 120_000, started } = surroundings;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      ...(cwd === undefined ? {} : { cwd }),
      env: { ...process.env, ...env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    const timer = setTimeout(() => child.kill("SIGKILL"), deadline);
    const said = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"] as const) {
      child[name].setEncoding("utf8");
      child[name].on("data", (text: string) => said[name] += text);
    }
    child.on("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, ...said });
    });
    // One that does not read its input may be gone before it is written.
    child.stdin.on("error", () => {});
    void (input ?? Promise.resolve("")).then((text) => child.stdin.end(text));
    started?.(child);
  });
}

/** {@linkcode run} for a command that has to succeed; what it wrote to standard output. */
export async function succeed(command: Command, surroundings: Surroundings = {}): Promise<string> {
  const { code, signal, stdout, stderr } = await run(command, surroundings);
  if (code === 0) return stdout;
  throw new Error(`Cannot ${command.join(" ")}: ${signal ?? `exit ${code}`}: ${stderr}${stdout}`);
}

/** The command that runs a module in this runtime. */
export function moduleCommand(module: URL, ...args: string[]): Command {
  const options = runtime === "deno" ? ["run", "-A", "--no-lock"] : ["run"];
  return [process.execPath, ...options, fileURLToPath(module.href), ...args];
}

/** Runs a command as nobody, with a home of its own that is removed afterwards. */
export async function runAsNobody(
  command: Command,
  surroundings: Surroundings = {},
): Promise<Ended> {
  const home = mkdtempSync(join(tmpdir(), "sentinode-home-"));
  chownSync(home, NOBODY, NOBODY);
  const user = ["--reuid", `${NOBODY}`, "--regid", `${NOBODY}`, "--clear-groups", "--no-new-privs"];
  try {
    return await run(["setpriv", ...user, "--", ...command], {
      cwd: home,
      ...surroundings,
      // Not every machine lets all users write to the usual place for temporary files.
      env: { HOME: home, TMPDIR: home, DENO_DIR: join(home, "deno"), ...surroundings.env },
    });
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

/** Whether there is such a program. */
export function isInstalled(program: string): boolean {
  return (process.env["PATH"] ?? "").split(":").some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
