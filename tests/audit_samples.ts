/**
 * Audit logs of other machines, kernels and years, which others gathered: Debian's source packages have them among
 * their tests. They are fetched by apt, kept in the user's cache, and never committed.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import process from "node:process";
import { CACHE } from "../scripts/cache.ts";
import { hasNetwork } from "../scripts/network.ts";

/** Source packages, and the files in them that are logs. */
const PACKAGES: Readonly<Record<string, RegExp>> = {
  // Red Hat, Fedora, ALT; x86-64 and aarch64; 2007 to 2022.
  audit: /auparse\/test\/test\d*\.log$/,
  // Ubuntu, SUSE, Debian; kernels 2.6 to 6.9 as syslog, dmesg and auditd wrote them, each with what libapparmor reads.
  apparmor: /libapparmor\/testsuite\/test_multi\/.*\.(?:in|out)$/,
  // Red Hat's sshd of 2013 to 2022.
  fail2ban: /fail2ban\/tests\/files\/logs\/selinux-ssh$/,
};

/** Releases that have them, beside the machine's own: not every mirror has every file. */
const RELEASES = ["bookworm", "trixie", "sid"];

const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

const SAMPLES = join(CACHE, "audit-samples");

/** Why there are no samples here; false where they are, or can be had. */
export const noSamples: string | false = whyNone();

function whyNone(): string | false {
  if (Object.keys(PACKAGES).every((name) => existsSync(join(SAMPLES, name)))) return false;
  if (!hasNetwork()) return "needs a network, for the logs that are fetched";
  const hasApt = spawnSync("apt-get", ["--version"]).status === 0;
  return !hasApt && "needs apt-get, for the source packages that have logs";
}

/** The files of a package by their names, fetched where the cache has none. Throws where they cannot be had. */
export function sampleFiles(name: keyof typeof PACKAGES & string): Map<string, Uint8Array> {
  const directory = join(SAMPLES, name);
  if (!existsSync(directory)) fetch(name, directory);
  return new Map(
    readdirSync(directory).sort().map((file) => [file, readFileSync(join(directory, file))]),
  );
}

function fetch(name: string, directory: string): void {
  mkdirSync(SAMPLES, { recursive: true });
  // Both runtimes' tests may fetch at once: each in a directory of its own.
  const work = mkdtempSync(join(SAMPLES, "fetch-"));
  try {
    const [mirror = "", release = ""] = run("apt-get", [
      "indextargets",
      "Created-By: Packages",
      "--format",
      "$(REPO_URI) $(RELEASE)",
    ]).split(/\s/);
    const refusals: string[] = [];
    const isFetched = [...new Set([release, ...RELEASES])].some((release) => {
      const refusal = download(name, mirror, release, work);
      if (refusal !== undefined) refusals.push(refusal);
      return refusal === undefined;
    });
    if (!isFetched) throw new Error(`Cannot fetch the source of ${name}: ${refusals.join("\n")}`);
    const chosen = join(work, "chosen");
    mkdirSync(chosen);
    for (const archive of readdirSync(work).filter((file) => /\.orig\.tar\.\w+$/.test(file))) {
      run("tar", ["-xf", join(work, archive), "-C", work]);
    }
    for (const file of readdirSync(work, { recursive: true, encoding: "utf8" })) {
      if (PACKAGES[name]!.test(file)) renameSync(join(work, file), join(chosen, basename(file)));
    }
    if (readdirSync(chosen).length === 0) {
      throw new Error(`Cannot find logs in the source of ${name}`);
    }
    renameSync(chosen, directory);
  } catch (error) {
    if (!existsSync(directory)) throw error; // else the other one was first
  } finally {
    rmSync(work, { recursive: true });
  }
}

/** Downloads a source package of a release into `work`; what apt says where it cannot. */
function download(name: string, mirror: string, release: string, work: string): string | undefined {
  const list = join(work, `${release}.list`);
  const key = existsSync(KEYRING) ? `[signed-by=${KEYRING}] ` : "";
  writeFileSync(list, `deb-src ${key}${mirror} ${release} main\n`);
  const state = join(work, release);
  mkdirSync(join(state, "partial"), { recursive: true });
  mkdirSync(join(state, "cache", "archives", "partial"), { recursive: true });
  const options = [
    `Dir::Etc::sourcelist=${list}`,
    "Dir::Etc::sourceparts=/dev/null",
    `Dir::State::lists=${state}`,
    `Dir::Cache=${join(state, "cache")}`,
    // The directory is this user's.
    `APT::Sandbox::User=${process.getuid?.() === 0 ? "root" : ""}`,
    "Acquire::Retries=2",
  ].flatMap((option) => ["-o", option]);
  for (const command of [["update"], ["source", "--download-only", "--only-source", name]]) {
    const { status, stderr } = spawnSync("apt-get", [...options, "-qq", ...command], {
      cwd: work,
      encoding: "utf8",
      timeout: 120_000,
    });
    if (status !== 0) return `${release}: ${stderr}`;
  }
  return undefined;
}

function run(command: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    encoding: "utf8",
    maxBuffer: 1 << 26,
  });
  if (status !== 0) throw new Error(`Cannot run ${command} ${args.join(" ")}: ${error ?? stderr}`);
  return stdout;
}
