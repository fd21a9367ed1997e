/**
 * The work: what real tools do in a tree.
 *
 * @module
 */

import {
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { hasNetwork } from "../network.ts";
import { type Command, isInstalled, succeed } from "./process.ts";

/** Where a workload happens; all three are on one filesystem. */
export interface Place {
  /** The watched directory. */
  readonly tree: string;
  /** A directory beside it. */
  readonly outside: string;
  /** The home of the tools. */
  readonly home: string;
}

/**
 * What may have been reported, where all of it is known beforehand. Paths are relative to the tree.
 */
export interface Expectation {
  /** Whether something of this name can have been there. */
  existed(path: string): boolean;
  /**
   * Every rename, as `from -> to`, in any order; `?` stands for a name that the tool made up. Where
   * there is no list, any renames of what existed will do.
   */
  readonly renames?: readonly string[];
  /** Everything that came or left by a rename, as `in path` and `out path`, in order. */
  readonly crossings?: readonly string[];
}

/** Something that is done in a tree. */
export interface Workload {
  readonly name: string;
  /** The programs that it takes. */
  readonly needs: readonly string[];
  /** Whether it fetches something. */
  readonly isRemote?: true;
  /** What is done before anybody watches. */
  prepare?(place: Place): Promise<void> | void;
  /** Does the work; `settled` waits until what was done before it has been reported. */
  work(place: Place, settled: () => Promise<void>): Promise<void>;
  /** Asked after {@linkcode prepare}. */
  expect?(place: Place): Expectation;
}

/** Makes directories `d0` … with files, some of which are symlinks and hard links. */
function plant(root: string, directories: number, files: number, tag = ""): void {
  for (let d = 0; d < directories; d++) {
    // Every third directory is in the one before, so that the tree has some depth.
    const directory = join(root, ...directoryOf(d));
    mkdirSync(directory, { recursive: true });
    for (let f = 0; f < files; f++) {
      const path = join(directory, `f${f}`);
      if (f > 0 && f % 7 === 3) symlinkSync("f0", path);
      else if (f > 0 && f % 7 === 5) linkSync(join(directory, "f0"), path);
      else writeFileSync(path, `${tag}${d} ${f}\n`);
    }
  }
}

function directoryOf(d: number): string[] {
  return d % 3 === 0 ? [`d${d}`] : [...directoryOf(d - 1), `d${d}`];
}

/** All names below a directory, relative to it. */
function namesIn(root: string, prefix = ""): string[] {
  return readdirSync(join(root, prefix), { withFileTypes: true }).flatMap((entry) => {
    const path = join(prefix, entry.name);
    return entry.isDirectory() ? [path, ...namesIn(root, path)] : [path];
  });
}

function among(names: Iterable<string>): (path: string) => boolean {
  const set = new Set(names);
  return (path) => set.has(path);
}

const GIT: Command = [
  "git",
  "-c",
  "user.name=Somebody",
  "-c",
  "user.email=somebody@localhost",
  "-c",
  "gc.auto=0",
  "-c",
  "maintenance.auto=false",
  "-c",
  "init.defaultBranch=main",
  "-c",
  "advice.detachedHead=false",
];

async function git({ home }: Place, cwd: string, ...args: string[]): Promise<void> {
  const env = { HOME: home, GIT_CONFIG_NOSYSTEM: "1", GIT_TERMINAL_PROMPT: "0" };
  await succeed([...GIT, ...args], { cwd, env });
}

/** Runs a shell script in the tree. */
async function shell({ tree }: Place, script: string): Promise<void> {
  await succeed(["sh", "-euc", script], { cwd: tree });
}

const unpack: Workload = {
  name: "tar x, 4,000 files",
  needs: ["tar"],
  async prepare({ outside }) {
    plant(join(outside, "source"), 300, 13);
    await succeed(["tar", "-cf", "archive.tar", "-C", "source", "."], { cwd: outside });
  },
  async work({ tree, outside }) {
    await succeed(["tar", "-xf", join(outside, "archive.tar"), "-C", tree]);
  },
  expect: ({ outside }) => ({ existed: among(namesIn(join(outside, "source"))), renames: [] }),
};

const checkout: Workload = {
  name: "git clone, 6 checkouts",
  needs: ["git"],
  async prepare(place) {
    const origin = join(place.outside, "origin");
    mkdirSync(origin);
    await git(place, origin, "init", "-q");
    plant(origin, 60, 25, "one ");
    await git(place, origin, "add", "-A");
    await git(place, origin, "commit", "-qm", "one");
    await git(place, origin, "checkout", "-qb", "other");
    // Half the directories go, others come, and what stays has other contents or another type.
    for (let d = 0; d < 60; d += 6) rmSync(join(origin, `d${d}`), { recursive: true });
    plant(join(origin, "more"), 30, 20, "two ");
    for (let d = 3; d < 60; d += 6) {
      writeFileSync(join(origin, `d${d}`, "f0"), "changed\n");
      rmSync(join(origin, `d${d}`, "f1"));
      mkdirSync(join(origin, `d${d}`, "f1"));
      writeFileSync(join(origin, `d${d}`, "f1", "now a directory"), "\n");
    }
    await git(place, origin, "add", "-A");
    await git(place, origin, "commit", "-qm", "two");
    await git(place, origin, "checkout", "-q", "main");
  },
  async work(place) {
    const clone = join(place.tree, "clone");
    await git(place, place.tree, "clone", "-q", join(place.outside, "origin"), clone);
    for (let round = 0; round < 3; round++) {
      await git(place, clone, "checkout", "-q", "other");
      await git(place, clone, "checkout", "-q", "main");
    }
  },
};

const install: Workload = {
  name: "npm install",
  needs: ["npm"],
  isRemote: true,
  prepare({ tree }) {
    const dependencies = { chokidar: "3", express: "4" };
    writeFileSync(join(tree, "package.json"), JSON.stringify({ private: true, dependencies }));
  },
  async work({ tree, home }) {
    const quiet = ["--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"];
    const command = ["npm", "install", ...quiet, "--cache", join(tree, "cache")] as const;
    await succeed(command, { cwd: tree, env: { HOME: home } });
  },
};

const edit: Workload = {
  name: "sed -i on 50 files",
  needs: ["sed"],
  prepare: ({ tree }) => plant(tree, 1, 70),
  async work({ tree }) {
    const files = regularFiles(tree).map((path) => join(tree, path));
    await succeed(["sed", "-i", "s/^0/zero/", ...files]);
  },
  expect({ tree }) {
    const files = regularFiles(tree);
    const known = among(files);
    return {
      existed: (path) => known(path) || /^d0\/sed\w{6}$/.test(path),
      renames: files.map((path) => `d0/? -> ${path}`),
    };
  },
};

function regularFiles(tree: string): string[] {
  const files = readdirSync(join(tree, "d0"), { withFileTypes: true })
    .filter((entry) => entry.isFile());
  return files.slice(0, 50).map(({ name }) => join("d0", name));
}

/** An editor's save of `file`: a new file takes the place of the old one. */
const save: Workload = {
  name: "saves: write, rename over",
  needs: ["sh"],
  prepare: ({ tree }) => writeFileSync(join(tree, "file"), "0\n"),
  async work(place) {
    for (let i = 1; i <= 10; i++) await shell(place, `echo ${i} >file.tmp; mv file.tmp file`);
  },
  expect: () => ({
    existed: among(["file", "file.tmp"]),
    renames: Array.from({ length: 10 }, () => "file.tmp -> file"),
  }),
};

/**
 * Three saves of vim, which keeps the old file as a backup until the new one is written: it moves the
 * old one away and writes a new one (`no`), or copies it and writes in place (`yes`).
 */
function vim(backupcopy: "no" | "yes"): Workload {
  return {
    name: backupcopy === "no" ? "saves: vim" : "saves: vim, in place",
    needs: ["vim"],
    prepare: ({ tree }) => writeFileSync(join(tree, "file"), "0\n"),
    async work({ tree }) {
      const change = (n: number) => ["-c", `s/.*/${n}/`, "-c", "w"];
      const changes = [1, 2, 3].flatMap(change);
      // By default vim makes no backup below /tmp.
      const how = `set writebackup backupcopy=${backupcopy} backupskip= swapfile directory=.`;
      const options = ["--clean", "-es", "-c", how];
      await succeed(["vim", ...options, ...changes, "-c", "q", "file"], { cwd: tree });
      const saved = readFileSync(join(tree, "file"), "utf8");
      if (saved !== "3\n") throw new Error(`Cannot save with vim: the file has ${saved}`);
    },
    expect: () => ({
      existed: among(["file", "file~", ".file.swp", ".file.swpx", ".file.swx", "4913"]),
      renames: backupcopy === "no" ? Array.from({ length: 3 }, () => "file -> file~") : [],
    }),
  };
}

const erase: Workload = {
  name: "rm -rf, 3,000 files",
  needs: ["rm"],
  prepare: ({ tree }) => plant(join(tree, "big"), 150, 20),
  async work({ tree }) {
    await succeed(["rm", "-rf", join(tree, "big")]);
  },
  expect: ({ tree }) => ({ existed: among(namesIn(tree)), renames: [] }),
};

const move: Workload = {
  name: "mv within, out, back in",
  needs: ["sh"],
  prepare({ tree }) {
    plant(join(tree, "a"), 20, 10);
    mkdirSync(join(tree, "b"));
  },
  async work(place, settled) {
    await shell(place, "mv a b/c; echo x >b/c/d0/x; mv b/c/d0/x b/c/d0/y");
    await shell(place, "mv b/c ../outside/a; echo x >../outside/a/d0/unseen");
    await shell(place, "mv ../outside/a e; echo x >e/d0/x");
    // What has just come is watched when it has been reported; renames in it may be halves before.
    await settled();
    await shell(place, "mv e/d0/d1 e/d2; rm e/d2/f1");
    // And a directory that takes another's name, with the other one after it.
    await shell(place, "mv e/d3 b/d; mv e/d6 e/d3; echo x >e/d3/x; echo x >b/d/x");
  },
  expect({ tree }) {
    const names = namesIn(join(tree, "a")).flatMap((path) => [
      ...["a", "b/c", "e"].map((home) => join(home, path)),
      join("e", path.replace("d0/d1", "d2")),
      ...(path.startsWith("d3/") ? [join("b/d", path.slice(3))] : []),
      ...(path.startsWith("d6/") ? [join("e/d3", path.slice(3))] : []),
    ]);
    const made = ["b/c/d0/x", "b/c/d0/y", "e/d0/y", "e/d0/x", "e/d0/unseen", "e/d3/x", "b/d/x"];
    return {
      existed: among([...names, ...made, "a", "b", "b/c", "b/d", "e", "e/d2"]),
      renames: [
        "a -> b/c",
        "b/c/d0/x -> b/c/d0/y",
        "e/d0/d1 -> e/d2",
        "e/d3 -> b/d",
        "e/d6 -> e/d3",
      ],
      crossings: ["out b/c", "in e"],
    };
  },
};

const copy: Workload = {
  name: "cp -a, 2,000 files",
  needs: ["cp"],
  prepare: ({ outside }) => plant(join(outside, "source"), 100, 20),
  async work({ tree, outside }) {
    await succeed(["cp", "-a", join(outside, "source"), join(tree, "copy")]);
  },
  expect: ({ outside }) => ({
    existed: among(["copy", ...namesIn(join(outside, "source")).map((path) => join("copy", path))]),
    renames: [],
  }),
};

const synchronize: Workload = {
  name: "rsync, 1,000 files",
  needs: ["rsync"],
  prepare: ({ outside }) => plant(join(outside, "source"), 50, 20),
  async work({ tree, outside }) {
    await succeed(["rsync", "-a", `${join(outside, "source")}/`, tree]);
    rmSync(join(outside, "source", "d3"), { recursive: true });
    renameSync(join(outside, "source", "d6"), join(outside, "source", "d3"));
    await succeed(["rsync", "-a", "--delete", `${join(outside, "source")}/`, tree]);
  },
  expect({ outside }) {
    const names = namesIn(join(outside, "source"));
    const moved = names.filter((path) => path.startsWith("d6/"))
      .map((path) => `d3/${path.slice(3)}`);
    const known = among([...names, ...moved]);
    // `.name.XXXXXX` until the file is complete.
    const temporary = (path: string) =>
      join(dirname(path), basename(path).replace(/^\.(.*)\.\w{6}$/, "$1"));
    return { existed: (path) => known(path) || known(temporary(path)) };
  },
};

/** All workloads. */
export const WORKLOADS: readonly Workload[] = [
  unpack,
  checkout,
  install,
  edit,
  save,
  vim("no"),
  vim("yes"),
  erase,
  move,
  copy,
  synchronize,
];

/** Why it cannot be done here; false where it can. */
export function whyNot({ needs, isRemote }: Workload): string | false {
  const absent = needs.filter((program) => !isInstalled(program));
  if (absent.length > 0) return `${absent.join(", ")} not installed`;
  return isRemote === true && !hasNetwork() && "there is no network";
}
