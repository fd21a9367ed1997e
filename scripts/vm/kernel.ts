/**
 * Kernels made of Debian's `linux-source-*` packages with the configuration beside this file, as programs of the host, kept
 * between runs.
 *
 * @module
 */

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { CACHE } from "../cache.ts";

/** The kernels that there are packages of: the long-term ones that Debian 12 and 13 have. */
export const KERNELS = ["6.1", "6.12"] as const;

/** One of {@linkcode KERNELS}. */
export type KernelName = (typeof KERNELS)[number];

/** What is asked for of every kernel, and of one that has more. */
function configOf(name: KernelName): string {
  return ["config", `config.${name}`]
    .map((file) => fileURLToPath(new URL(file, import.meta.url).href))
    .map((file) => existsSync(file) ? readFileSync(file, "utf8") : "")
    .join("");
}

/** Where kernels are kept: without the sources, which are 1.5 GB. */
const KERNELS_CACHE = join(CACHE, "vm");

/** A kernel, made first where it is not kept: the path of its program. */
export function kernelProgram(name: KernelName): string {
  const version = candidate(name);
  const configuration = createHash("sha256").update(configOf(name)).digest("hex").slice(
    0,
    12,
  );
  const program = join(KERNELS_CACHE, `linux-${version}-${configuration}`, "linux");
  if (!existsSync(program)) build(name, version, program);
  return program;
}

/** Which version of the source package apt would install, by its lists as they are. */
function candidate(name: KernelName): string {
  const find = () => /Candidate: (\d\S*)/.exec(output("apt-cache", "policy", source(name)))?.[1];
  const known = find();
  if (known !== undefined) return known;
  show("apt-get", ["update", "-qq"]);
  const found = find();
  if (found === undefined) throw new Error(`Cannot find the package ${source(name)}: apt has none`);
  return found;
}

function source(name: KernelName): string {
  return `linux-source-${name}`;
}

/** Unpacks, configures and compiles in a temporary directory; what is kept is there as a whole, or not at all. */
function build(name: KernelName, version: string, program: string): void {
  const began = performance.now();
  const tree = mkdtempSync(join(tmpdir(), "sentinode-kernel-"));
  const remove = () => rmSync(tree, { recursive: true, force: true });
  process.once("exit", remove); // also at Ctrl-C, after which the programs have ended as well
  try {
    // As whoever this is: apt's own user may not read everybody's directories.
    show(
      "apt-get",
      ["-o", "APT::Sandbox::User=root", "download", `${source(name)}=${version}`],
      tree,
    );
    const [package_] = readdirSync(tree);
    const unpack = `dpkg-deb --fsys-tarfile "$0" | tar -xO ./usr/src/$1.tar.xz | ` +
      "tar -xJ --strip-components=1";
    show("sh", ["-c", unpack, package_!, source(name)], tree);
    const make = (target: string, env: Readonly<Record<string, string>> = {}) =>
      show("make", ["-s", "ARCH=um", `-j${availableParallelism()}`, target], tree, env);
    const wanted = join(tree, "wanted.config");
    writeFileSync(wanted, configOf(name));
    make("allnoconfig", { KCONFIG_ALLCONFIG: wanted });
    checkConfiguration(name, readFileSync(join(tree, ".config"), "utf8"));
    make("linux");
    const kept = mkdtempSync(join(mkdir(KERNELS_CACHE), "new-"));
    copyFileSync(join(tree, "linux"), join(kept, "linux"));
    copyFileSync(join(tree, ".config"), join(kept, "config"));
    forget(name);
    renameSync(kept, join(program, ".."));
  } finally {
    remove();
    process.off("exit", remove);
  }
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  process.stderr.write(`Linux ${version} made in ${seconds} s\n`);
}

/** Whether everything that was asked for is in the configuration; a line whose dependencies are missing is dropped silently. */
function checkConfiguration(name: KernelName, configuration: string): void {
  const has = new Set(configuration.split("\n"));
  const lacks = configOf(name).split("\n")
    .filter((line) => line.startsWith("CONFIG_") && !has.has(line));
  if (lacks.length > 0) throw new Error(`Cannot configure Linux ${name}: no ${lacks.join(", ")}`);
}

/** Removes what is kept of older versions and configurations. */
function forget(name: KernelName): void {
  for (const kept of readdirSync(KERNELS_CACHE)) {
    if (kept.startsWith(`linux-${name}.`)) rmSync(join(KERNELS_CACHE, kept), { recursive: true });
  }
}

function mkdir(path: string): string {
  mkdirSync(path, { recursive: true });
  return path;
}

function output(program: string, ...args: readonly string[]): string {
  return execFileSync(program, args, { encoding: "utf8", env: { ...process.env, LC_ALL: "C" } });
}

/** Runs a command whose output goes to standard error. */
function show(
  program: string,
  args: readonly string[],
  cwd: string = process.cwd(),
  env: Readonly<Record<string, string>> = {},
): void {
  execFileSync(program, args, { cwd, env: { ...process.env, ...env }, stdio: ["ignore", 2, 2] });
}
