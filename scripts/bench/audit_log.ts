/**
 * A log of auditd as it writes one by default, large, and what reads it: `audit()` or ausearch(8), by the time of the
 * processor. That is of the process alone, whatever else the machine does meanwhile.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import { closeSync, openSync, writeSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** What `audit()` is measured against: as much as it tells of each event, a line an event. */
const AUSEARCH = ["ausearch", "--format", "csv", "-if"] as const;

const READER = fileURLToPath(new URL("read_log.ts", import.meta.url).href);

/** Whether there is an ausearch(8). */
export const hasAusearch: boolean = spawnSync("ausearch", ["--version"]).status === 0;

/** Writes a log of at least so many records, and returns how many events they are of. */
export function writeAuditLog(path: string, records: number): number {
  const file = openSync(path, "w");
  let written = 0;
  let events = 0;
  while (written < records) {
    const lines: string[] = [];
    for (let i = 0; i < 1000; i++) lines.push(...event(++events));
    written += lines.length;
    writeSync(file, lines.join(""));
  }
  closeSync(file);
  return events;
}

/** A file that is made, one that is read, one that takes another's place, and a program that is run. */
function event(serial: number): string[] {
  const at = `msg=audit(${1_700_000_000 + Math.floor(serial / 1000)}.${
    String(serial % 1000).padStart(3, "0")
  }:${serial}):`;
  const record = (type: string, text: string) => `type=${type} ${at} ${text}\n`;
  const call = (number: number, args: string, items: number) =>
    record(
      "SYSCALL",
      `arch=c000003e syscall=${number} success=yes exit=0 ${args} items=${items} ppid=900 ` +
        `pid=${
          1000 + serial % 30_000
        } auid=1000 uid=1000 gid=1000 euid=1000 suid=1000 fsuid=1000 egid=1000 ` +
        `sgid=1000 fsgid=1000 tty=pts1 ses=7 comm="make" exe="/usr/bin/make" subj=unconfined ` +
        `key="sources"\x1DARCH=x86_64 SYSCALL=call AUID="ada" UID="ada" GID="ada" EUID="ada" SUID="ada" ` +
        `FSUID="ada" EGID="ada" SGID="ada" FSGID="ada"`,
    );
  const path = (item: number, name: string, mode: string, nametype: string) =>
    record(
      "PATH",
      `item=${item} name="${name}" inode=${
        100_000 + serial % 5000
      } dev=fd:01 mode=${mode} ouid=1000 ` +
        `ogid=1000 rdev=00:00 nametype=${nametype} cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 ` +
        `cap_frootid=0\x1DOUID="ada" OGID="ada"`,
    );
  const cwd = record("CWD", 'cwd="/home/ada/project"');
  const title = record("PROCTITLE", "proctitle=6D616B65002D6A3800616C6C");
  const object = `build/part${serial % 777}.o`;
  switch (serial % 4) {
    case 0:
      return [
        call(257, "a0=ffffff9c a1=55d0c8a3f2b0 a2=241 a3=1b6", 2),
        cwd,
        path(0, "build/", "040755", "PARENT"),
        path(1, object, "0100644", "CREATE"),
        title,
      ];
    case 1:
      return [
        call(257, "a0=ffffff9c a1=55d0c8a3f2b0 a2=0 a3=0", 1),
        cwd,
        path(0, "/usr/include/stdio.h", "0100644", "NORMAL"),
        title,
      ];
    case 2:
      return [
        call(82, "a0=55d0c8a3f2b0 a1=55d0c8a3f4c0 a2=0 a3=0", 4),
        cwd,
        path(0, "build/", "040755", "PARENT"),
        path(1, "build/", "040755", "PARENT"),
        path(2, `${object}.new`, "0100644", "DELETE"),
        path(3, object, "0100644", "CREATE"),
        title,
      ];
    default:
      return [
        call(59, "a0=55d0c8a3f2b0 a1=55d0c8a3f4c0 a2=55d0c8a3f6d0 a3=8", 2),
        record("EXECVE", `argc=4 a0="cc" a1="-c" a2="-o" a3="${object}"`),
        cwd,
        path(0, "/usr/bin/cc", "0100755", "NORMAL"),
        path(1, "/lib64/ld-linux-x86-64.so.2", "0100755", "NORMAL"),
        title,
      ];
  }
}

/** The seconds of processor time, in user and in system mode, in which ausearch(8) makes a log a table. */
export function ausearchSeconds(log: string): number {
  return processorSeconds([...AUSEARCH, log]).seconds;
}

/** The same of a program that asks `audit()` for all that matters of each event, under a runtime. Throws if it misses any. */
export function auditSeconds(runtime: readonly string[], log: string, events: number): number {
  const { seconds, output } = processorSeconds([...runtime, READER, log, String(events)]);
  if (output !== "") throw new Error(`Cannot measure ${runtime.join(" ")}: ${output}`);
  return seconds;
}

/** The shell's `times`: its own in the first line, and in the second its children's, `0m1.250000s 0m0.070000s`. */
function processorSeconds(command: readonly string[]): { seconds: number; output: string } {
  const script = 'exec 3>&1; "$@" 2>&3 >/dev/null </dev/null || exit; times >&2';
  const { status, stdout, stderr } = spawnSync("sh", ["-c", script, "sh", ...command], {
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1" },
  });
  if (status !== 0) throw new Error(`Cannot measure ${command.join(" ")}: ${stdout} (${status})`);
  const children = stderr.trim().split("\n").at(-1)!;
  let seconds = 0;
  for (const [, minutes, rest] of children.matchAll(/(\d+)m([\d.]+)s/g)) {
    seconds += 60 * Number(minutes) + Number(rest);
  }
  return { seconds, output: stdout };
}
