/**
 * Files whose content is filled in when it is first used, from a tar archive: at first they are holes of the right size.
 *
 *     deno run -A examples/fill_on_access.ts ARCHIVE.tar DIRECTORY
 *     bun examples/fill_on_access.ts ARCHIVE.tar DIRECTORY
 *
 * Needs Linux 6.14, and a directory on ext4, xfs or btrfs. At the end it fills in what is left, for a hole that nobody fills
 * is read as zeros; it is killed at the risk of the files.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import {
  type BigIntStats,
  closeSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname, join, normalize } from "node:path";
import process from "node:process";
import { setImmediate } from "node:timers/promises";
import { type Guard, guard, type GuardRequest, type Verdict } from "../mod.ts";

/** How much is filled in at once; a multiple of the size of a page. */
const BLOCK = 64 * 1024;

/** How long the next block may take, in ms. */
const PATIENCE = 5_000;

/** A file of the archive. */
interface Entry {
  readonly name: string;
  readonly mode: number;
  readonly size: number;
  /** Where its content begins. */
  readonly start: number;
}

/** A file that is being filled in. */
interface Placeholder extends Entry {
  readonly path: string;
  /** The blocks that are still a hole, by their numbers. What is filled in once is the file's own from then on. */
  readonly missing: Set<number>;
}

/** The plain files of an archive, as POSIX's pax(1) describes the ustar format. */
function* entriesOf(archive: number): Generator<Entry> {
  const header = Buffer.alloc(512);
  for (let at = 0; readSync(archive, header, 0, 512, at) === 512 && header[0] !== 0;) {
    const field = (from: number, length: number) =>
      header.toString("utf8", from, from + length).split("\0")[0]!;
    const prefix = field(257, 6) === "ustar" ? field(345, 155) : "";
    const [name, type] = [join(prefix, field(0, 100)), field(156, 1)];
    const [mode, size] = [parseInt(field(100, 8), 8), parseInt(field(124, 12), 8)];
    const start = at + 512;
    if (type === "0" || type === "") yield { name, mode, size, start };
    else if (type !== "5" && type !== "g") {
      throw new Error(`Cannot serve ${name}: neither file nor directory (type ${type})`);
    }
    at = start + Math.ceil(size / 512) * 512;
  }
}

/** Which file it is, whatever its name: a number that was a removed file's may be another one's later. */
function identityOf({ ino, birthtimeNs }: BigIntStats): string {
  return `${ino} ${birthtimeNs}`;
}

/** Makes a file of the right size without content. */
function place(entry: Entry): [identity: string, Placeholder] {
  const path = pathOf(entry);
  const fd = openSync(path, "wx", entry.mode);
  ftruncateSync(fd, entry.size);
  const identity = identityOf(fstatSync(fd, { bigint: true }));
  closeSync(fd);
  const missing = new Set(Array(Math.ceil(entry.size / BLOCK)).keys());
  return [identity, { ...entry, path, missing }];
}

/** Where a file of the archive comes, which is nowhere above the directory. */
function pathOf(entry: Entry): string {
  return join(directory!, normalize(join("/", entry.name)));
}

/** Fills in one block, unless that was done, or it was cut off. */
function fill(
  file: Placeholder,
  block: number,
  size: number,
  write: (bytes: Buffer<ArrayBuffer>, offset: number) => void,
): void {
  // What makes a file longer again is asked for as well, so a cut is seen before anything is behind it.
  if (size < file.size) {
    for (const one of file.missing) if (one * BLOCK >= size) file.missing.delete(one);
  }
  if (!file.missing.has(block)) return;
  const offset = block * BLOCK;
  const bytes = Buffer.alloc(Math.min(BLOCK, file.size - offset, size - offset));
  const count = readSync(archive, bytes, 0, bytes.length, file.start + offset);
  if (count < bytes.length) throw new Error(`Cannot fill ${file.path}: the archive is cut short`);
  write(bytes, offset);
  file.missing.delete(block);
}

/**
 * Fills in what is asked for. What cannot be filled in, or whose name is gone so that nobody knows which file it is, is an
 * error to the one who asked: those are not to read zeros.
 */
async function serve(request: GuardRequest): Promise<Verdict> {
  const file = files.get(identityOf(statSync(request.path, { bigint: true })));
  if (file === undefined) return "allow";
  const { offset, count } = request.range ?? { offset: 0, count: file.size };
  const end = Math.ceil(Math.min(offset + count, file.size) / BLOCK);
  for (let block = Math.floor(offset / BLOCK); block < end; block++) {
    fill(file, block, request.size, (bytes, at) => request.write(bytes, at));
    request.extend(PATIENCE);
    await setImmediate(); // the turn of other files
  }
  return "allow";
}

/** Tells who got an error, and throws once nobody is asked any more. */
async function tellFailures(gate: Guard): Promise<void> {
  for await (const { path, attributes } of gate) {
    if (attributes.verdict === "allow") continue;
    console.error("not filled in:", JSON.stringify(path), attributes.error ?? attributes.by);
  }
}

/** Fills in all that is missing of a file, if it is still the one of its name. */
function complete(identity: string, file: Placeholder): void {
  try {
    const fd = openSync(file.path, "r+");
    const stats = fstatSync(fd, { bigint: true });
    if (identityOf(stats) !== identity) throw new Error("it is another file");
    for (const block of file.missing) {
      const write = (bytes: Buffer, offset: number) =>
        writeSync(fd, bytes, 0, bytes.length, offset);
      fill(file, block, Number(stats.size), write);
    }
    closeSync(fd);
  } catch (error) {
    console.error("not filled in:", JSON.stringify(file.path), String(error));
    process.exitCode = 1;
  }
}

const [tar, directory] = process.argv.slice(2);
if (tar === undefined || directory === undefined) {
  throw new TypeError("Cannot fill: give an archive and a directory");
}
const archive = openSync(tar, "r");
const files = new Map<string, Placeholder>();

const stopped = Promise.withResolvers<void>();
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => stopped.resolve());

// Directories, the guard, files: nobody is to read a hole before the guard is there.
const entries = [...entriesOf(archive)];
for (const entry of entries) mkdirSync(dirname(pathOf(entry)), { recursive: true });
await using gate = guard(directory, { on: "access", decide: serve, timeout: PATIENCE });
await gate.ready;
for (const entry of entries) files.set(...place(entry));
console.log(`serving ${files.size} files below ${JSON.stringify(directory)}`);
try {
  await Promise.race([stopped.promise, tellFailures(gate)]);
} finally {
  for (const [identity, file] of files) if (file.missing.size > 0) complete(identity, file);
}
