/**
 * Logs that others gathered: each line that has a record gives one, each field is as it is in the line, and what
 * ausearch and libapparmor read in them is read here.
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import test from "node:test";
import { Assembly } from "../backends/audit/assembly.ts";
import { DispatchStream } from "../backends/audit/audisp.ts";
import type { AuditRecord, AuditRecords } from "../backends/audit/record.ts";
import { noSamples, sampleFiles } from "./audit_samples.ts";
import { TemporaryDirectory } from "./runtime.ts";

const skip = noSamples === false ? {} : { skip: noSamples };
const hasAusearch = spawnSync("ausearch", ["--version"]).status === 0;
const skipAusearch = noSamples === false && hasAusearch
  ? {}
  : { skip: noSamples || "needs ausearch, of auditd" };

/** What is in a file: records, the events that they make, and the lines that are none. */
interface Log {
  readonly records: readonly AuditRecord[];
  readonly events: readonly AuditRecords[];
  readonly others: readonly string[];
}

function read(content: Uint8Array): Log {
  const stream = new DispatchStream();
  const assembly = new Assembly();
  const records: AuditRecord[] = [];
  const others: string[] = [];
  for (const item of [...stream.push(Uint8Array.from(content)), ...stream.end()]) {
    if (typeof item === "string") others.push(item);
    else {
      records.push(item);
      assembly.push(item);
    }
  }
  assert.equal(stream.rejected, others.length);
  return { records, events: [...assembly.take(0), ...assembly.flush()], others };
}

const HEADER = /audit\((\d+)\.(\d{3}):(\d+)\)/;

/** `name=value` in a text, found another way than the module does it. A line there has lost its 0x1D behind a quote. */
function fieldsOf(text: string): [string, string][] {
  const found: [string, string][] = [];
  const pattern =
    /(?:^|\s|\(|(?<="))((?:old )?[^\s=(]+)=(?:"([^"]*)"?|(?<=msg=)'(.*?)'?$|([^\s"']\S*(?: \([^\s()=]+\))?|))/gy;
  for (let at = 0; at < text.length; at++) {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match === null) continue;
    const [whole, name, quoted, message, bare] = match;
    at += whole.length - 1;
    const value = quoted ?? message ??
      (/^[^(]*[),:]+$/.test(bare!) ? bare!.replace(/[),:]+$/, "") : bare!);
    found.push([name!, value]);
  }
  return found;
}

for (const [name, atLeast] of Object.entries({ audit: 40, apparmor: 150, fail2ban: 10 })) {
  test(`every line of ${name}'s logs is read, or given back`, skip, () => {
    let count = 0;
    for (const [file, content] of sampleFiles(name)) {
      if (file.endsWith(".out")) continue;
      const { records, events, others } = read(content);
      const lines = Buffer.from(content).toString("latin1").split(/\r?\n/).filter((line) => line);
      const wanted = lines.filter((line) => HEADER.test(line));
      assert.deepEqual(others, lines.filter((line) => !HEADER.test(line)));
      assert.equal(records.length, wanted.length, file);
      records.forEach((record, at) => {
        const line = wanted[at]!;
        const [, seconds, milliseconds, serial] = HEADER.exec(line)!;
        assert.equal(record.time, Number(seconds) * 1000 + Number(milliseconds));
        assert.equal(record.serial, Number(serial));
        const added = record.enriched === undefined ? "" : `\x1d${record.enriched}`;
        assert.ok(line.endsWith(record.text + added), line);
        assert.deepEqual([...record.fields()], fieldsOf(record.text), line);
      });
      const headers = new Set(wanted.map((line) => HEADER.exec(line)![0]));
      assert.deepEqual(new Set(events.map(headerOf)), headers);
      assert.equal(events.length, headers.size, file);
      assert.equal(events.reduce((all, event) => all + event.records.length, 0), records.length);
      count += records.length;
    }
    assert.ok(count >= atLeast, `${count} records`);
  });
}

function headerOf({ time, serial }: Pick<AuditRecords, "time" | "serial">): string {
  return `audit(${Math.floor(time / 1000)}.${String(time % 1000).padStart(3, "0")}:${serial})`;
}

/** What libapparmor tells of a record, and the fields that it takes it from: kernels differ in their names. */
const APPARMOR: Readonly<Record<string, string>> = {
  Operation: "operation",
  Profile: "profile",
  Name: "name|capname",
  Name2: "target|name2",
  Command: "comm",
  Info: "info",
  "Denied Mask": "denied_mask|denied",
  Mask: "requested_mask|requested",
  PID: "pid",
  fsuid: "fsuid",
  ouid: "ouid",
  "Network family": "family",
  "Socket type": "sock_type",
  "Src name": "srcname",
  "FS Type": "fstype",
  Flags: "flags",
  Class: "class",
  Signal: "signal",
  "Local port": "lport|src",
  "Foreign port": "fport|dest",
  "Local addr": "laddr|saddr",
  "Foreign addr": "faddr|daddr",
};

/** Files that libapparmor reads in a way of its own, and why. */
const OTHERWISE: readonly (readonly [files: RegExp, why: string])[] = [
  [/^old_style_log_/, "sentences of AppArmor before 2007, with no fields"],
  [/^testcase32\./, "no record of AppArmor: it takes the whole text for the field info"],
  [
    /^testcase_dbus_/,
    "what the message of dbus-daemon has comes after what the kernel says of dbus-daemon",
  ],
];

test("libapparmor reads the same", skip, () => {
  const files = sampleFiles("apparmor");
  const differences: string[] = [];
  let compared = 0;
  for (const [file, content] of files) {
    if (!file.endsWith(".in") || OTHERWISE.some(([files]) => files.test(file))) continue;
    const { records } = read(content);
    const [record] = records;
    const expected = Buffer.from(files.get(file.replace(/in$/, "out"))!).toString();
    if (records.length !== 1 || record === undefined) continue;
    for (const [, name, value] of expected.matchAll(/^([^:\n]+): (.+)$/gm)) {
      const field = APPARMOR[name!];
      if (name === "Audit ID") {
        compared++;
        assert.equal(`audit(${value})`, headerOf(record), file);
      } else if (field !== undefined) {
        compared++;
        const here = field.split("|").map((field) => record.string(field)).find((value) => value);
        if (here !== value) differences.push(`${file} ${name}: ${value} there, ${here} here`);
      }
    }
  }
  assert.deepEqual(differences, []);
  assert.ok(compared > 1000, `${compared} values`);
});

/** What ausearch prints of a log. */
function ausearch(content: Uint8Array, ...args: string[]): string {
  using directory = new TemporaryDirectory();
  const file = join(directory.path, "audit.log");
  writeFileSync(file, content);
  const { status, stdout, stderr } = spawnSync("ausearch", ["-if", file, ...args], {
    encoding: "latin1",
    env: { ...process.env, TZ: "UTC", LC_ALL: "C" },
  });
  assert.equal(status, 0, stderr);
  return stdout;
}

/** The lines of a log that ausearch reads: it leaves out others, and says so. */
function auditLines(content: Uint8Array): Uint8Array {
  const lines = Buffer.from(content).toString("latin1").split("\n");
  return Buffer.from(
    lines.filter((line) => /^(?:node|type)=/.test(line)).join("\n") + "\n",
    "latin1",
  );
}

const AUSEARCH_LOGS = ["test.log", "test2.log", "test3.log", "test4.log", "selinux-ssh"];

for (const file of AUSEARCH_LOGS) {
  const name = file === "selinux-ssh" ? "fail2ban" : "audit";

  test(`ausearch makes the same events of ${file}`, skipAusearch, () => {
    const content = auditLines(sampleFiles(name).get(file)!);
    const theirs = ausearch(content).split("----\n").slice(1)
      .map((event) => event.split("\n").filter((line) => HEADER.test(line)));
    const ours = read(content).events;
    // It begins an event with its last record.
    assert.deepEqual(
      ours.map((event) => event.records.map(({ text }) => text).reverse()).sort(),
      theirs.map((lines) =>
        lines.map((line) => line.replace(/^.*?audit\([^)]*\): ?/, "").split("\x1d")[0])
      ).sort(),
    );
    const csv = ausearch(content, "--format", "csv").trim().split("\n").slice(1)
      .map((line) => line.split(","));
    assert.deepEqual(
      ours.map(({ time, serial, node }) => {
        const [date, clock] = new Date(time).toISOString().split("T");
        const [year, month, day] = date!.split("-");
        return [node ?? "", `${month}/${day}/${year!.slice(2)}`, clock!.slice(0, 8), String(serial)]
          .join();
      }).sort(),
      csv.map(([node, , date, time, serial]) => [node, date, time, serial].join()).sort(),
    );
  });

  test(`ausearch interprets strings of ${file} alike`, skipAusearch, () => {
    const content = auditLines(sampleFiles(name).get(file)!);
    const theirs = new Map<string, string[]>();
    for (const line of ausearch(content, "-i", "--escape", "raw").split("\n")) {
      const serial = /audit\([^)]*:(\d+)\)/.exec(line)?.[1];
      if (serial === undefined) continue;
      const lines = theirs.get(serial) ?? [];
      theirs.set(serial, [...lines, ` ${line}`]);
    }
    let compared = 0;
    for (const record of read(content).records) {
      for (const field of ["name", "comm", "exe", "cwd", "acct", "proctitle"]) {
        const value = record.string(field);
        if (value === undefined) continue;
        // It shows the NULs between arguments as spaces.
        const shown = ` ${field}=${value.replaceAll("\0", " ")} `;
        const lines = theirs.get(String(record.serial)) ?? [];
        assert.ok(lines.some((line) => line.includes(shown)), `${shown} in ${lines.join("\n")}`);
        compared++;
      }
    }
    assert.ok(compared > 5, `${compared} strings`);
  });
}
