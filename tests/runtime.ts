/**
 * The runtime under test, in a process of its own: another user, other permissions, an exit code.
 *
 * @module
 */

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import {
  chownSync,
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout } from "node:timers";
import { fileURLToPath } from "node:url";

/** Whether this is Deno; else it is Bun. */
export const isDeno: boolean = "Deno" in globalThis;

export const isRoot: boolean = process.getuid?.() === 0;

/** The user and group "nobody". */
export const NOBODY = 65534;

/** A command that runs the rest of it as nobody. */
export const AS_NOBODY: readonly string[] = [
  "setpriv",
  `--reuid=${NOBODY}`,
  `--regid=${NOBODY}`,
  "--clear-groups",
];

/** The file of a module of the tree, as an import specifier of both runtimes. */
export function moduleFile(path: string): string {
  return fileURLToPath(new URL(`../${path}`, import.meta.url).href);
}

/** A directory of its own that is removed at the end of the block. */
export class TemporaryDirectory implements Disposable {
  readonly path: string;

  constructor(owner?: number, parent: string = tmpdir()) {
    this.path = mkdtempSync(join(parent, "sentinode-test-"));
    if (owner !== undefined) chownSync(this.path, owner, owner);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true });
  }
}

/** Not `writeFileSync`, which in Bun also truncates what it has just created. */
export function touch(path: string): void {
  closeSync(openSync(path, "a"));
}

/** How many file descriptors this process has. */
export function openFiles(): number {
  return readdirSync("/proc/self/fd").length;
}

/** What they are: paths, and names like `pipe:[1]`. No process is started for it, to which this one would open files. */
export function openLinks(): string[] {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return []; // closed by now, as is what the list was read from
    }
  });
}

/** Until `condition` holds, which changes without an event. */
export async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!condition()) {
    assert(performance.now() < deadline, `${condition} does not hold`);
    await aWhile();
  }
}

/** Lets everything else go on, also where there is one processor. */
export function aWhile(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1));
}

/** Lets so much time pass that what follows is later on the clock that files are stamped by. */
export function untilLater(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 50));
}

/** How a script is run. */
export interface RunInit {
  /** Run by user and group nobody. Needs root. */
  readonly asNobody?: boolean;
  /** And with that capability, as capabilities(7) calls it without `CAP_`, in small letters. */
  readonly capability?: string;
  /** Flags of `deno run` (default: all permissions) or `bun run`. */
  readonly flags?: readonly string[];
  /** A command that runs the runtime: `["unshare", "--user"]`. */
  readonly under?: readonly string[];
  readonly args?: readonly string[];
  /** In ms; then the process is killed, and its status is null. */
  readonly deadline?: number;
}

/** How a process ended. */
export interface Finished {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a TypeScript source in a new process of the runtime under test. */
export async function runScript(source: string, init: RunInit = {}): Promise<Finished> {
  const {
    asNobody = false,
    capability,
    flags = isDeno ? ["-A"] : [],
    under = [],
    args = [],
    deadline = 30_000,
  } = init;
  using directory = new TemporaryDirectory(asNobody ? NOBODY : undefined);
  const script = join(directory.path, "script.ts");
  writeFileSync(script, source);
  const held = capability === undefined
    ? []
    : [`--inh-caps=+${capability}`, `--ambient-caps=+${capability}`];
  const user = asNobody ? [...AS_NOBODY, ...held] : [];
  // Under a name of its own: Deno's spawn() adds `-A` where it recognises itself, even behind another command (2.9.6).
  const executable = join(directory.path, "runtime");
  symlinkSync(process.execPath, executable);
  const runtime = [
    executable,
    "run",
    ...(isDeno ? ["--quiet", "--no-prompt"] : []),
    ...flags,
  ];
  return await finish([...user, ...under, ...runtime, script, ...args], directory.path, deadline);
}

/** Runs a command whose home is `home` to its end. */
export function finish(
  command: readonly string[],
  home: string,
  deadline: number,
): Promise<Finished> {
  const env = {
    ...process.env,
    HOME: home,
    TMPDIR: home,
    DENO_DIR: join(home, "deno"),
    BUN_INSTALL_CACHE_DIR: join(home, "bun"),
    NO_COLOR: "1",
  };
  const [file = "", ...args] = command;
  const child = spawn(file, args, { cwd: home, env, stdio: ["ignore", "pipe", "pipe"] });
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => stdout += text);
  child.stderr.setEncoding("utf8").on("data", (text: string) => stderr += text);
  const timer = setTimeout(() => child.kill("SIGKILL"), deadline);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status: number | null) => {
      clearTimeout(timer);
      resolve({ status, stdout, stderr });
    });
  });
}

/** Runs a test file as nobody, of which `count` tests have to pass, within that many ms. */
export async function testAsNobody(
  file: string,
  count: number,
  deadline = 100_000,
): Promise<void> {
  using home = new TemporaryDirectory(NOBODY);
  // Under a name of its own: Deno's spawn() adds `-A` where it recognises itself.
  const runtime = join(home.path, "runtime");
  symlinkSync(process.execPath, runtime);
  const flags = isDeno ? ["-A", "--no-check"] : ["--timeout=60000"];
  const command = [...AS_NOBODY, runtime, "test", ...flags, moduleFile(file)];
  const { status, stdout, stderr } = await finish(command, home.path, deadline);
  assert.equal(status, 0, stdout + stderr);
  assert.match(stdout + stderr, new RegExp(`\\b${count} pass`));
}

/** A command that runs the one behind it in a user namespace of its own, which has a limit of its own. */
export function limited(sysctl: string, value: number): string[] {
  const script = `echo ${value} > /proc/sys/user/${sysctl} && exec "$@"`;
  return ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh"];
}

/** Why {@linkcode limited} cannot be used here; false where it can. */
export const noUserNamespaces: string | false = (() => {
  const [program = "", ...args] = [...limited("max_inotify_watches", 9), "true"];
  return spawnSync(program, args).status === 0 ? false : "needs user namespaces";
})();

/** What `promise` gives, or an error once `ms` have passed. */
export async function within<T>(promise: Promise<T>, what: string, ms = 10_000): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`${what}: not within ${ms} ms`)), ms);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
