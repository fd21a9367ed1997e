/**
 * Saves of real programs, and what is told of them with `atomicSave`, `writeFinish` and both.
 *
 * @module
 */

import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { watch, type WatchEvent, type WatchOptions } from "../../mod.ts";
import { Observer, Sentinel, within } from "../../scripts/real_work/observer.ts";
import { type Command, succeed } from "../../scripts/real_work/process.ts";

/** Who watches: inotify, a fanotify mark on the filesystem, or on directories. */
export type Way = "inotify" | "filesystem" | "inode";

/** Which options are on. */
export type Mode = "atomicSave" | "writeFinish" | "both";

const MODES: Readonly<Record<Mode, WatchOptions>> = {
  atomicSave: { atomicSave: true },
  writeFinish: { writeFinish: true },
  both: { atomicSave: true, writeFinish: true },
};

/** Something that a program does in a directory with the file `file`, and what is told of it. */
export interface Scenario {
  readonly name: string;
  readonly needs: string;
  /** Run in the directory. */
  readonly command: Command;
  readonly told: Readonly<Partial<Record<Mode, readonly string[]>>>;
}

const SAVED = ["modify.data file"];

function vim(name: string, backupcopy: string): Scenario {
  const how = `set writebackup backupcopy=${backupcopy} backupskip=`;
  const edit = ["-c", how, "-c", "s/.*/new/", "-c", "w", "-c", "q", "file"];
  return {
    name,
    needs: "vim",
    command: ["vim", "-n", "--clean", "-es", ...edit],
    told: { atomicSave: SAVED, both: SAVED },
  };
}

function shell(
  name: string,
  needs: string,
  script: string,
  told: Scenario["told"],
): Scenario {
  return { name, needs, command: ["sh", "-euc", script], told };
}

const RENAMED = ["create.file part", "modify.data part", "rename part -> whole"];

/** In one program, so that nothing has to be started between a close and a rename. */
function perl(name: string, script: string, told: Scenario["told"]): Scenario {
  return { name, needs: "perl", command: ["perl", "-MFcntl", "-e", script], told };
}

/** Writes in pieces, and pauses for longer than a look at the file is put off. */
const PIECES = `open F, ">part"; syswrite F, "1";
  for (2, 3) { select undef, undef, undef, 0.1; syswrite F, $_ }
  close F;`;

export const SCENARIOS: readonly Scenario[] = [
  vim("vim, the backup renamed", "no"),
  vim("vim, the backup copied", "yes"),
  vim("vim, as it likes", "auto"),
  shell("sed -i", "sed", "sed -i s/old/new/ file", { atomicSave: SAVED, both: SAVED }),
  shell("git config", "git", "git config -f file a.b c", { atomicSave: SAVED, both: SAVED }),
  shell("rsync over a file", "rsync", "rsync ../outside file", { atomicSave: SAVED, both: SAVED }),
  perl(
    "write and rename over, three times",
    'for (1..3) { open F, ">t"; print F $_; close F; rename "t", "file" }',
    { atomicSave: [...SAVED, ...SAVED, ...SAVED] },
  ),
  shell("a file from outside renamed over", "sh", "mv ../outside file", {
    atomicSave: SAVED,
    writeFinish: ["rename.in file"],
    both: SAVED,
  }),
  perl("a download in pieces, to a free name", `${PIECES} rename "part", "whole"`, {
    atomicSave: RENAMED,
    writeFinish: RENAMED,
    both: RENAMED,
  }),
  perl("a download in pieces, over a file", `${PIECES} rename "part", "file"`, {
    atomicSave: SAVED,
    writeFinish: ["create.file part", "modify.data part", "rename part -> file"],
    both: SAVED,
  }),
  perl("a file in pieces", PIECES, {
    atomicSave: ["create.file part", "modify.data part"],
    writeFinish: ["create.file part", "modify.data part"],
    both: ["create.file part", "modify.data part"],
  }),
  shell(
    "a file in pieces, removed before it is closed",
    "sh",
    "{ echo 1; sleep 0.3; } >part & sleep 0.1; rm part; wait",
    {
      writeFinish: ["create.file part unfinished", "modify.data part unfinished", "remove part"],
    },
  ),
  shell("cp over a file", "cp", "cp ../outside file", {
    writeFinish: SAVED,
    both: SAVED,
  }),
  shell("what is no file", "ln", "ln -s file symlink; mkdir directory", {
    atomicSave: ["create.symlink symlink", "create.directory directory"],
    writeFinish: ["create.symlink symlink", "create.directory directory"],
  }),
  shell("touch", "touch", "touch new", {
    atomicSave: ["create.file new"],
    writeFinish: ["create.file new"],
  }),
  perl("truncate(2)", 'truncate "file", 1', {
    atomicSave: SAVED,
    writeFinish: SAVED,
    both: SAVED,
  }),
  perl("created to be read", 'sysopen F, "new", O_RDONLY | O_CREAT', {
    writeFinish: ["create.file new"],
  }),
];

/** What is told of a scenario. */
export async function runScenario(
  { command, told }: Scenario,
  mode: Mode,
  way: Way,
): Promise<string[]> {
  const base = realpathSync(mkdtempSync(join(tmpdir(), "sentinode-saves-")));
  const tree = join(base, "tree");
  mkdirSync(tree);
  writeFileSync(
    join(tree, "file"),
    way === "inode" || command.join().includes("git") ? "" : "old\n",
  );
  writeFileSync(join(base, "outside"), "from outside\n");
  const options: WatchOptions = {
    ...MODES[mode],
    // What is not recursive has marks of directories.
    recursive: way !== "inode",
    backend: way === "inotify" ? "inotify" : "fanotify",
    // Programs differ in what they do about times and owners of their temporary files.
    events: ["create", "modify.data", "rename", "remove"],
  };
  const observer = new Observer(watch(tree, options));
  let sentinel: Sentinel | undefined;
  try {
    await within(observer.watcher.ready, "the watcher");
    sentinel = await Sentinel.open(options);
    await succeed(command, { cwd: tree });
    const { events } = observer;
    await sentinel.settled();
    const count = told[mode]!.length;
    await observer.until(() => events.length >= count, `${count} events`, 5000).catch(() => {});
  } finally {
    await observer.close(); // tells what is still held back
    await observer.ended;
    await sentinel?.close();
    rmSync(base, { recursive: true });
  }
  return observer.events.map((event) => show(event, tree));
}

function show({ kind, path, from, attributes }: WatchEvent, tree: string): string {
  const below = (path: string) => path.slice(tree.length + 1);
  const left = from === undefined ? "" : `${below(from)} -> `;
  // Who looks late does not find what it was.
  const shown = kind === "create" ? "create.file" : kind;
  return `${shown} ${left}${below(path)}${attributes.unfinished ? " unfinished" : ""}`;
}
