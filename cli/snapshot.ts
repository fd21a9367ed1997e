/**
 * `sentinode snapshot` and `sentinode since`.
 *
 * @module
 */

import { systemError } from "../ffi/errno.ts";
import { readFile, writeFile } from "../ffi/file.ts";
import { openLibc } from "../ffi/libc.ts";
import { changesSince, snapshot } from "../watch/snapshot.ts";
import type { Arguments, Synopsis } from "./args.ts";
import { LINE_OPTIONS } from "./follow.ts";
import { IGNORE_OPTIONS, readIgnore } from "./ignore.ts";
import type { Terminal } from "./output.ts";
import { Stop } from "./stop.ts";
import { eventLine } from "./watch.ts";

/** What `snapshot --help` says. */
export const SNAPSHOT: Synopsis = {
  name: "snapshot",
  operands: "PATH FILE",
  about: "Notes in FILE what is at and below the directory PATH.",
  options: IGNORE_OPTIONS,
  notes: `Names, inode numbers, times and sizes, about 60 bytes a file; nothing of other mounts.

Exit status: 0, or 1 on an error.`,
  least: 2,
  most: 2,
};

/** What `since --help` says. */
export const SINCE: Synopsis = {
  name: "since",
  operands: "FILE",
  about: "Prints what has changed since the snapshot in FILE was taken.",
  options: [...IGNORE_OPTIONS, ...LINE_OPTIONS],
  notes:
    `Give it the --ignore and --gitignore that snapshot was given. The options of a line are those of watch.

Exit status: 0, or 1 on an error.`,
  least: 1,
  most: 1,
};

/** Runs `sentinode snapshot`; the exit status. */
export async function runSnapshot(args: Arguments, _terminal: Terminal): Promise<number> {
  using stop = new Stop();
  const [path = "", file = ""] = args.operands;
  const options = { ignore: await readIgnore(args), signal: stop.signal };
  const bytes = await snapshot(path, options).catch(stopped(stop));
  if (bytes === undefined) return stop.signalExit!;
  const libc = await openLibc();
  if (!writeFile(libc, file, bytes)) {
    throw systemError(libc, `write ${file}`, { syscall: "write", path: file });
  }
  return 0;
}

/** Runs `sentinode since`; the exit status. */
export async function runSince(args: Arguments, { out }: Terminal): Promise<number> {
  await out.prepare();
  args.exclude("json", "format");
  const line = eventLine("since", args, out.colors);
  const [file = ""] = args.operands;
  const libc = await openLibc();
  const bytes = readFile(libc, file);
  if (bytes === undefined) throw systemError(libc, `read ${file}`, { syscall: "open", path: file });
  using stop = new Stop();
  out.onBroken(() => stop.now("output"));
  const end = args.has("null") ? "\0" : "\n";
  const tell = async () => {
    const options = { ignore: await readIgnore(args), signal: stop.signal };
    for await (const event of changesSince(bytes, options)) {
      await out.write([...line({ event, kinds: [event.kind] }), end]);
    }
    return 0;
  };
  return await tell().catch(stopped(stop)) ?? stop.signalExit ?? 0;
}

/** Swallows the error by which a stop ends what runs. */
function stopped(stop: Stop): (error: unknown) => undefined {
  return (error) => {
    if (stop.reason === undefined) throw error;
  };
}
