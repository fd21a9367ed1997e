#!/usr/bin/env -S deno run --allow-ffi
/**
 * The command line: `deno run --allow-ffi cli.ts COMMAND`, `bun cli.ts COMMAND`, or compiled by either.
 *
 * **Permissions in Deno.** `--allow-ffi`, and nothing else: it loads libc, and all that is looked at (`/proc`, the mount
 * table, `/etc/passwd` for `--user`, the environment for `NO_COLOR`) is read through libc. Standard output, signals and
 * the arguments need no permission.
 *
 * @module
 */

import process from "node:process";
import { type Arguments, help, readArguments, type Synopsis, UsageError } from "./cli/args.ts";
import { AUDIT, runAudit } from "./cli/audit.ts";
import { DOCTOR, runDoctor } from "./cli/doctor.ts";
import { ERRORS, runErrors } from "./cli/errors.ts";
import { escapeText } from "./cli/escape.ts";
import { GUARD, runGuard } from "./cli/guard.ts";
import { MOUNTS, runMounts } from "./cli/mounts.ts";
import { KEYS, runKeys } from "./cli/keys.ts";
import { openTerminal, type Terminal } from "./cli/output.ts";
import { runSince, runSnapshot, SINCE, SNAPSHOT } from "./cli/snapshot.ts";
import { runTrace, TRACE } from "./cli/trace.ts";
import { VERSION } from "./cli/version.ts";
import { runWatch, WATCH } from "./cli/watch.ts";
import { SystemError } from "./ffi/errno.ts";

/** What a command is, and what runs it. */
interface Command {
  readonly synopsis: Synopsis;
  readonly run: (args: Arguments, terminal: Terminal) => Promise<number>;
}

const COMMANDS: readonly Command[] = [
  { synopsis: WATCH, run: runWatch },
  { synopsis: TRACE, run: runTrace },
  { synopsis: GUARD, run: runGuard },
  { synopsis: AUDIT, run: runAudit },
  { synopsis: MOUNTS, run: runMounts },
  { synopsis: ERRORS, run: runErrors },
  { synopsis: KEYS, run: runKeys },
  { synopsis: SNAPSHOT, run: runSnapshot },
  { synopsis: SINCE, run: runSince },
  { synopsis: DOCTOR, run: runDoctor },
];

const HELP = `Usage: sentinode COMMAND [OPTIONS] [PATH…]

${
  COMMANDS.map(({ synopsis: { name, operands, about } }) =>
    `  ${`${name} ${operands}`.padEnd(20)}${about.replaceAll("\n", `\n${" ".repeat(22)}`)}`
  ).join("\n")
}

sentinode COMMAND --help tells the options of a command; sentinode --version its version.
`;

/** Runs the command line with the arguments after the program's name; the exit status. */
export async function main(args: readonly string[]): Promise<number> {
  const terminal = openTerminal();
  const [name, ...rest] = args;
  try {
    return await dispatch(name, rest, terminal);
  } catch (error) {
    const program = COMMANDS.some(({ synopsis }) => synopsis.name === name)
      ? `sentinode ${name}`
      : "sentinode";
    for (const line of complaint(error, program)) await terminal.err.line(escapeText(line));
    return 1;
  }
}

async function dispatch(
  name: string | undefined,
  args: readonly string[],
  terminal: Terminal,
): Promise<number> {
  const { out } = terminal;
  if (name === undefined) throw new UsageError("Cannot run: no command is given");
  if (name === "--help" || name === "-h" || name === "help") {
    await out.write([HELP]);
    return 0;
  }
  if (name === "--version") {
    await out.line(`sentinode ${VERSION}`);
    return 0;
  }
  const command = COMMANDS.find(({ synopsis }) => synopsis.name === name);
  if (command === undefined) {
    throw new UsageError(`Cannot run ${name}: no such command`);
  }
  const read = readArguments(command.synopsis, args);
  if (read === undefined) {
    await out.write([help(command.synopsis)]);
    return 0;
  }
  return await command.run(read, terminal);
}

/** What to say of an error: who refuses what, and what to do about it. */
function complaint(error: unknown, program: string): string[] {
  if (error instanceof SystemError) {
    return [`${program}: ${error.message}`, ...(error.hint === "" ? [] : [`Hint: ${error.hint}`])];
  }
  const message = error instanceof Error ? error.message : String(error);
  // The library's TypeErrors are about its arguments, which are the user's; those of a mistake in here are not.
  const isUsage = error instanceof UsageError ||
    ((error instanceof TypeError || error instanceof RangeError) && message.startsWith("Cannot "));
  return [`${program}: ${message}`, ...(isUsage ? [`Try '${program} --help'`] : [])];
}

if (import.meta.main) {
  // Everything was given back by then; what is left is output that nobody takes.
  void main(process.argv.slice(2)).then((status) => process.exit(status));
}
