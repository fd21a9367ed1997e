/**
 * Lines and streams that no auditd writes: nothing throws, nothing hangs, nothing is lost. `SENTINODE_SEED` repeats a
 * run.
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import test from "node:test";
import { Assembly } from "../backends/audit/assembly.ts";
import { DispatchStream } from "../backends/audit/audisp.ts";
import { decodeLine } from "../backends/audit/decode.ts";
import type { AuditRecord } from "../backends/audit/record.ts";
import { socketAddress } from "../classify/audit_address.ts";
import { readArguments, readTitle } from "../classify/audit_actor.ts";
import { seed, wholeNumbers } from "./random.ts";

const AT = "msg=audit(1767225600.042:4711):";

const LINES = [
  `type=SYSCALL ${AT} arch=c000003e syscall=59 success=yes exit=0 items=2 pid=42 comm="sh" subj=x (enforce) key=(null)`,
  `node=host type=PATH ${AT} item=0 name=2F612062 inode=12 dev=08:01 mode=0100644\x1dOUID="root"`,
  `type=EXECVE ${AT} argc=3 a0="sh" a1_len=4 a1[0]=4142 a1[1]=4344 a2="x"`,
  `type=SOCKADDR ${AT} saddr=020000507F0000010000000000000000`,
  `type=USER_START ${AT} user pid=1 msg='op=x acct=root : exe="/bin/x" (hostname=?, res=success)'`,
  `type=LOGIN ${AT} pid=1 old auid=4294967295 new auid=0`,
  `Nov 22 07:08:09 host kernel: audit: type=1400 audit(1767225600.042:4711): apparmor="DENIED" info="a b"`,
  `type=PROCTITLE ${AT} proctitle=726D002D72`,
];

/** What parsers stumble over. */
const PIECES = [
  ..."\"'=()[]{},: \0\r\n\x1d\xff",
  "audit(",
  "type=",
  "node=",
  "msg='",
  "a0=",
  "a9999999999=",
  "argc=-1",
  "saddr=",
  "(null)",
  "x".repeat(9000),
  "=".repeat(3000),
  "a=) ".repeat(2000),
  "audit(1.001:".repeat(1000),
];

const below = wholeNumbers(seed);

function mutated(): string {
  let line = LINES[below(LINES.length)]!;
  for (let count = below(6); count > 0; count--) {
    const at = below(line.length + 1);
    const end = below(3) === 0 ? line.length : at + below(12);
    line = line.slice(0, at) + (below(4) === 0 ? "" : PIECES[below(PIECES.length)]) +
      line.slice(end);
  }
  return line;
}

/** Asks a record for all that it has. */
function use(record: AuditRecord): void {
  const fields = [...record.fields()];
  for (const [name, value] of fields.slice(0, 50)) {
    assert.ok(record.text.includes(`${name}=`), name);
    assert.ok(record.text.includes(value), value);
    assert.notEqual(record.field(name), undefined);
    assert.equal(typeof (record.string(name) ?? ""), "string");
    record.bytes(name);
    socketAddress(value);
  }
  readTitle(record);
  const words = readArguments([record, record]);
  assert.ok(words === undefined || words.length <= fields.length);
}

test(`mutated lines, seed ${seed}`, () => {
  const start = performance.now();
  let records = 0;
  for (let round = 0; round < 5000; round++) {
    const line = mutated();
    const record = decodeLine(line);
    if (record === undefined) continue;
    records++;
    use(record);
  }
  assert.ok(records > 1000, `${records} records`);
  const took = performance.now() - start;
  assert.ok(took < 30_000, `${took} ms`);
});

test(`mutated streams, seed ${seed}`, () => {
  for (let round = 0; round < 100; round++) {
    const lines = Array.from({ length: 20 }, mutated).join("\n").split(/\r?\n/);
    // A stream that begins with the version of a frame is one of frames.
    const bytes = Buffer.from(`type=\n${lines.join("\n")}`, "latin1");
    const stream = new DispatchStream();
    const assembly = new Assembly({ limit: 5 });
    const given: string[] = [];
    let records = 0;
    for (let at = 0; at < bytes.length;) {
      const end = at + 1 + below(5000);
      for (const item of stream.push(Uint8Array.from(bytes.subarray(at, end)))) {
        if (typeof item === "string") given.push(item);
        else {
          records++;
          assembly.push(item);
        }
      }
      at = end;
    }
    for (const item of stream.end()) {
      if (typeof item === "string") given.push(item);
      else {
        records++;
        assembly.push(item);
      }
    }
    const events = [...assembly.take(0), ...assembly.flush()];
    const wanted = lines.filter((line) => line !== "").length + 1;
    assert.equal(records + given.length, wanted);
    assert.equal(stream.rejected, given.length);
    assert.ok(events.reduce((sum, event) => sum + event.records.length, 0) <= records);
  }
});

test(`bytes that begin as frames, seed ${seed}`, () => {
  for (let round = 0; round < 300; round++) {
    const bytes = Uint8Array.from(
      { length: 16 + below(400) },
      () => below(5) === 0 ? 16 : below(3),
    );
    bytes.set([0, 0, 0, 0]);
    const stream = new DispatchStream();
    let count = 0;
    for (let at = 0; at < bytes.length;) {
      const end = at + 1 + below(40);
      count += stream.push(bytes.slice(at, end)).length;
      at = end;
    }
    count += stream.end().length;
    assert.ok(count > 0);
    assert.equal(stream.rejected, count);
  }
});
