/**
 * Case files: commands, and the events that they have to give, step by step.
 *
 *     # What a case shows.
 *     mkdir w                    before anybody watches
 *
 *     @watch w ignore=*.log      the watched paths, with options
 *
 *     write w/a hello            a step: commands, and after the dashes their events in order
 *     ---
 *     create.file w/a
 *     modify.data w/a
 *     --- inotify                instead, for one of: inotify, filesystem (mark), inode (marks)
 *     ...
 *
 * Empty lines end steps. A path has a slash after it where the event says that it is a directory's,
 * `~` before the kind says that the event is synthetic, `= path` after it is what it is another link
 * of, and `<-> path` what it was exchanged with (`<->` alone that it was). In words `\s` is a space,
 * `\n` a line feed, `\xff` a byte and `{N}` repeats the character before it.
 *
 * `mount PATH` mounts a filesystem in memory, `bind FROM TO` another one's directory, `umount PATH`
 * takes it away; a case with these needs root. `@filesystem TYPE` makes it one of that type alone, `!TYPE` of all others;
 * btrfs has `subvolume PATH` and `snapshot FROM TO`.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { watch, type WatchEvent, type WatchOptions } from "../../mod.ts";
import { exchange } from "../exchange.ts";
import { unmountBelow } from "../filesystem.ts";
import { isLooking, looked, Observer, Sentinel, within } from "../../scripts/real_work/observer.ts";

/** Who watches: inotify, a fanotify mark on the filesystem, or fanotify marks on directories. */
export type Way = "inotify" | "filesystem" | "inode";

/** The commands of a step, and its events: for all, and for some. */
interface Step {
  readonly commands: readonly string[];
  readonly events: ReadonlyMap<Way | "", readonly string[]>;
}

/** A case file. */
export interface Case {
  readonly name: string;
  readonly ways: readonly Way[];
  /** The type that it is for, where it is not for all. */
  readonly filesystem: string | undefined;
  readonly before: readonly string[];
  readonly paths: readonly string[];
  readonly options: WatchOptions;
  readonly steps: readonly Step[];
  readonly needsRoot: boolean;
}

/** What a case gave where it is not what was expected. */
export interface Difference {
  readonly step: string;
  readonly expected: readonly string[];
  readonly actual: readonly string[];
}

/** The cases that are for a way, on any type of filesystem, or on that one too. */
export function readCases(way: Way, filesystem?: string): Case[] {
  const directory = new URL(".", import.meta.url).pathname;
  return readdirSync(directory).filter((name) => name.endsWith(".txt")).sort()
    .map((name) => parse(name.replace(/\.txt$/, ""), readFileSync(join(directory, name), "utf8")))
    .filter((one) => one.ways.includes(way) && isFor(one.filesystem, filesystem));
}

/** Whether a case that is for that type, or with `!` for all others, is for a filesystem. */
function isFor(type: string | undefined, filesystem: string | undefined): boolean {
  if (type === undefined) return true;
  return type.startsWith("!") ? type.slice(1) !== filesystem : type === filesystem;
}

const WAYS: readonly Way[] = ["inotify", "filesystem", "inode"];

function parse(name: string, text: string): Case {
  const before: string[] = [];
  const steps: Step[] = [];
  const paths: string[] = [];
  let options: WatchOptions = {};
  let ways = WAYS;
  let filesystem: string | undefined;
  for (const block of text.split(/\n\n+/)) {
    const lines = block.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    const [first] = lines;
    if (first === undefined) continue;
    if (first.startsWith("@")) {
      for (const line of lines) {
        const [directive, ...words] = line.split(" ");
        if (directive === "@ways") ways = WAYS.filter((way) => words.includes(way));
        else if (directive === "@filesystem") [filesystem] = words;
        else {
          paths.push(...words.filter((word) => !word.includes("=")));
          options = optionsOf(words.filter((word) => word.includes("=")));
        }
      }
    } else if (paths.length === 0) before.push(...lines);
    else steps.push(stepOf(name, lines));
  }
  if (steps.length === 0) throw new SyntaxError(`Cannot read case ${name}: it has no step`);
  const needsRoot = [before, ...steps.map(({ commands }) => commands)].some(mounts);
  return { name, ways, filesystem, before, paths, options, steps, needsRoot };
}

function stepOf(name: string, lines: readonly string[]): Step {
  const commands: string[] = [];
  const events = new Map<Way | "", string[]>();
  let section: string[] = commands;
  for (const line of lines) {
    const dashes = /^---(?: (.*))?$/.exec(line);
    if (dashes === null) section.push(line);
    else {
      section = [];
      for (const way of dashes[1]?.split(" ") ?? [""]) events.set(way as Way | "", section);
    }
  }
  if (events.size === 0) throw new SyntaxError(`Cannot read case ${name}: no --- in ${commands}`);
  return { commands, events };
}

const OPTIONS: Readonly<Record<string, (text: string) => unknown>> = {
  recursive: (text) => text === "true",
  events: (text) => text.split(","),
  ignore: (text) => text.split(","),
  missing: (text) => text,
  followSymlinks: (text) => text === "true",
};

function optionsOf(words: readonly string[]): WatchOptions {
  return Object.fromEntries(words.map((word) => {
    const [name, text] = word.split("=") as [string, string];
    return [name, OPTIONS[name]!(text)];
  }));
}

type Place = (path: string) => Buffer;

/**
 * The commands. Each is done without a turn of the event loop, so that nothing is read in between.
 */
const COMMANDS: Readonly<Record<string, (at: Place, ...words: string[]) => void>> = {
  mkdir: (at, ...paths) => {
    const recursive = paths[0] === "-p";
    for (const path of paths.slice(recursive ? 1 : 0)) {
      mkdirSync(at(path).toString(), { recursive });
    }
  },
  touch: (at, ...paths) => paths.forEach((path) => append(at(path), "")),
  write: (at, path, text = "") => writeFileSync(at(path!), text),
  append: (at, path, text = "") => append(at(path!), text),
  truncate: (at, path) => truncateSync(at(path!)),
  chmod: (at, mode, path) => chmodSync(at(path!), Number.parseInt(mode!, 8)),
  read: (at, path) => void readFileSync(at(path!)),
  exchange: (at, one, other) => exchange(at(one!), at(other!)),
  mv: (at, from, to) => renameSync(at(from!), at(to!)),
  ln: (at, from, to) =>
    from === "-s"
      ? symlinkSync(to!.split("|")[0]!, at(to!.split("|")[1]!))
      : linkSync(at(from!), at(to!)),
  rm: (at, ...words) =>
    words[0] === "-r"
      ? rmSync(at(words[1]!).toString(), { recursive: true })
      : words.forEach((path) => unlinkSync(at(path))),
  mount: (at, path) => execute("mount", "-t", "tmpfs", "sentinode-test", at(path!)),
  bind: (at, from, to) => execute("mount", "--bind", at(from!), at(to!)),
  umount: (at, path) => execute("umount", "--lazy", at(path!)), // a mark keeps it busy
  subvolume: (at, path) => execute("btrfs", "-q", "subvolume", "create", at(path!)),
  snapshot: (at, from, to) => execute("btrfs", "-q", "subvolume", "snapshot", at(from!), at(to!)),
  mkfifo: (at, path) => void execFileSync("mkfifo", [at(path!).toString()]),
  exec: (at, path) => void execFileSync(at(path!).toString()),
};

function execute(program: string, ...args: readonly (string | Buffer)[]): void {
  execFileSync(program, args.map(String), { stdio: ["ignore", "ignore", "pipe"] });
}

/** Whether one of the commands mounts or unmounts something, which the kernel tells in its own time. */
function mounts(commands: readonly string[]): boolean {
  return commands.some((command) => /^(mount|bind|umount) /.test(command));
}

/** Not `appendFileSync`, which in Deno sets the mode of the file each time. */
function append(path: Buffer, text: string): void {
  const fd = openSync(path, "a");
  if (text !== "") writeSync(fd, text);
  closeSync(fd);
}

/** Deno's `node:fs` takes names of text only, so that other names are the shell's to make. */
function performInShell(command: string, cwd: string): void {
  const [name, ...words] = command.split(" ");
  const quoted = words.map((word) => {
    const octal = [...bytesOf(word)].map((byte) => `\\0${byte.toString(8)}`).join("");
    return `"$(printf %b '${octal}')"`;
  });
  const programs: Readonly<Record<string, string>> = { touch: ": >>", mv: "mv", rm: "rm" };
  execFileSync("/bin/sh", ["-euc", `${programs[name!]} ${quoted.join(" ")}`], { cwd });
}

/** A word as bytes. */
function bytesOf(word: string): Buffer {
  const repeated = word.replace(/(.)\{(\d+)\}/g, (_, char: string, n: string) => char.repeat(+n));
  const parts = repeated.split(/(\\s|\\n|\\x[0-9a-f]{2})/).map((part) => {
    if (part === "\\s") return Buffer.from(" ");
    if (part === "\\n") return Buffer.from("\n");
    return /^\\x/.test(part) ? Buffer.from(part.slice(2), "hex") : Buffer.from(part);
  });
  return Buffer.concat(parts);
}

/** The opposite of {@linkcode bytesOf}. */
function wordOf(path: Uint8Array | string): string {
  let text = typeof path === "string" ? path : "";
  if (typeof path !== "string") {
    for (const byte of path) {
      text += byte < 0x80 ? String.fromCharCode(byte) : `\\x${byte.toString(16)}`;
    }
  }
  return text.replaceAll(" ", "\\s").replaceAll("\n", "\\n")
    .replace(/([^.])\1{9,}/g, (run, char: string) => `${char}{${run.length}}`);
}

/** An event as it stands in a case file. */
function show(event: WatchEvent, base: string): string {
  const { kind, path, pathBytes, from, synthetic, isDirectory, attributes } = event;
  const below = (path: string) => path.startsWith(`${base}/`) ? path.slice(base.length + 1) : path;
  const bytes = pathBytes?.subarray(base.length + 1);
  const name = wordOf(bytes ?? below(path)) + (isDirectory ? "/" : "");
  // The text of a name with bytes in it has replacement characters; a name without has no bytes.
  if ((pathBytes !== undefined) !== path.includes("\ufffd")) {
    return `${kind} ${name} has wrong bytes`;
  }
  const left = from === undefined ? "" : `${wordOf(below(from))}${isDirectory ? "/" : ""} -> `;
  const link = attributes.linkOf === undefined ? "" : ` = ${wordOf(below(attributes.linkOf))}`;
  const { exchange, exchangedWith } = attributes;
  const other = exchangedWith === undefined ? "" : ` ${wordOf(below(exchangedWith))}`;
  const exchanged = exchange ? ` <->${other}` : "";
  return `${synthetic ? "~" : ""}${kind} ${left}${name}${link}${exchanged}`;
}

/** What is found by looking comes in the order of the directory, which is the filesystem's own. */
function ordered(events: readonly string[]): string[] {
  const result: string[] = [];
  let found: string[] = [];
  for (const event of events) {
    if (event.startsWith("~")) found.push(event);
    else {
      result.push(...found.sort(), event);
      found = [];
    }
  }
  return [...result, ...found.sort()];
}

/** Waits for so many events, or until there are no more of them: what they are is compared. */
async function seen(observer: Observer, count: number): Promise<void> {
  await observer.until(() => observer.events.length >= count, `${count} events`).catch(() => {});
}

/** Does what a case says in a directory of its own below `ground`; the first step whose events are not the expected ones. */
export async function runCase(
  { before, paths, options, steps, needsRoot }: Case,
  way: Way,
  ground: string = tmpdir(),
): Promise<Difference | undefined> {
  const base = realpathSync(mkdtempSync(join(ground, "sentinode-case-")));
  const at: Place = (path) => Buffer.concat([Buffer.from(`${base}/`), bytesOf(path)]);
  const perform = (command: string) => {
    if (command.includes("\\x")) return performInShell(command, base);
    const [name, ...words] = command.split(" ");
    const action = COMMANDS[name!];
    if (action === undefined) throw new SyntaxError(`Cannot do ${command}: no such command`);
    action(at, ...words);
  };
  const backend = way === "inotify" ? "inotify" : "fanotify";
  let observer: Observer | undefined;
  let sentinel: Sentinel | undefined;
  /** Where symlinks lead is watched with inotify. */
  let ofLinks: Sentinel | undefined;
  const settled = async () => {
    await sentinel!.settled();
    if (ofLinks === undefined) return;
    do {
      await ofLinks.settled();
      await looked(observer!.watcher);
      await sentinel!.settled();
    } while (isLooking(observer!.watcher));
  };
  try {
    before.forEach(perform);
    const all = { ...options, backend, recover: "signal" } as const;
    const watcher = watch(paths.map((path) => at(path).toString()), all);
    observer = new Observer(watcher);
    await within(watcher.ready, "the watcher");
    sentinel = await Sentinel.open(all, ground);
    if (options.followSymlinks) ofLinks = await Sentinel.open({ backend: "inotify" }, ground);
    // Arming opens and reads the directories, which is an access like any other.
    await settled();
    observer.events.length = 0;
    for (const { commands, events } of steps) {
      const expected = events.get(way) ?? events.get("") ?? [];
      commands.forEach(perform);
      // Mounts, and the way to what is not there, are watched beside the queue that the sentinel is in.
      if (mounts(commands) || options.missing === "wait") await seen(observer, expected.length);
      await settled();
      const actual = observer.events.splice(0).map((event) => show(event, base));
      if (ordered(expected).join("\n") !== ordered(actual).join("\n")) {
        return { step: commands.join("; "), expected, actual };
      }
    }
    return undefined;
  } finally {
    await observer?.close();
    await sentinel?.close();
    await ofLinks?.close();
    if (needsRoot) unmountBelow(base);
    rmSync(base, { recursive: true, force: true });
  }
}
