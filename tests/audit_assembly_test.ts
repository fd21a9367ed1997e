/**
 * Records become events, whatever comes between them.
 */

import assert from "node:assert/strict";
import test from "node:test";
import { Assembly } from "../backends/audit/assembly.ts";
import { decodeLine } from "../backends/audit/decode.ts";
import type { AuditRecord, AuditRecords } from "../backends/audit/record.ts";
import { wholeNumbers } from "./random.ts";

const START = 1_767_225_600_000;

/** A record of that event, whose system call began `after` ms. */
function record(type: string, serial: number, after = 0, node?: string): AuditRecord {
  const time = START + after;
  const seconds = Math.floor(time / 1000);
  const milliseconds = String(time % 1000).padStart(3, "0");
  const front = node === undefined ? "" : `node=${node} `;
  return decodeLine(`${front}type=${type} msg=audit(${seconds}.${milliseconds}:${serial}): x=1`)!;
}

/** `7 SYSCALL PATH`, with a `?` behind where the end was not seen. */
function shown(events: Iterable<AuditRecords>): string[] {
  return Array.from(
    events,
    ({ serial, records, isComplete }) =>
      `${serial} ${records.map(({ name }) => name).join(" ")}${isComplete ? "" : " ?"}`,
  );
}

test("an event ends with EOE, which is none of its records", () => {
  const assembly = new Assembly({ isLive: true });
  for (const type of ["SYSCALL", "CWD", "PATH"]) assembly.push(record(type, 7), START);
  assert.deepEqual(shown(assembly.take(START)), []);
  assembly.push(record("EOE", 7), START);
  assert.deepEqual(shown(assembly.take(START)), ["7 SYSCALL CWD PATH"]);
  assert.equal(assembly.size, 0);
});

test("an event ends with PROCTITLE, and an EOE behind it is passed over", () => {
  const assembly = new Assembly({ isLive: true });
  for (const type of ["SYSCALL", "PROCTITLE"]) assembly.push(record(type, 7), START);
  assert.deepEqual(shown(assembly.take(START)), ["7 SYSCALL PROCTITLE"]);
  assembly.push(record("EOE", 7), START);
  assert.deepEqual(shown(assembly.take(START)), []);
  assert.equal(assembly.size, 0);
  assert.deepEqual(shown(assembly.flush()), []);
});

test("records of events come one among the other", () => {
  const assembly = new Assembly();
  for (
    const [type, serial] of [
      ["SYSCALL", 8],
      ["SYSCALL", 7],
      ["CWD", 8],
      ["AVC", 9],
      ["CWD", 7],
      ["PROCTITLE", 8],
      ["SYSCALL", 9],
      ["PROCTITLE", 7],
      ["PROCTITLE", 9],
    ] as const
  ) assembly.push(record(type, serial));
  // Of those that are done, the first serial goes first.
  assert.deepEqual(shown(assembly.take(0)), [
    "7 SYSCALL CWD PROCTITLE",
    "8 SYSCALL CWD PROCTITLE",
    "9 AVC SYSCALL PROCTITLE",
  ]);
});

test("a serial means another event at another time, and on another machine", () => {
  const assembly = new Assembly();
  assembly.push(record("SYSCALL", 7, 0, "a"));
  assembly.push(record("SYSCALL", 7, 0, "b"));
  assembly.push(record("SYSCALL", 7, 4, "a"));
  assembly.push(record("PROCTITLE", 7, 0, "b"));
  assembly.push(record("PROCTITLE", 7, 4, "a"));
  assembly.push(record("PROCTITLE", 7, 0, "a"));
  const events = assembly.take(0);
  assert.deepEqual(
    events.map(({ node, time, records, isComplete }) => [
      node,
      time - START,
      records.length,
      isComplete,
    ]),
    [["b", 0, 2, true], ["a", 4, 2, true], ["a", 0, 2, true]],
  );
});

for (
  const type of [
    "USER",
    "USER_LOGIN",
    "DAEMON_START",
    "KERNEL",
    "ANOM_LOGIN_ACCT",
    "VIRT_CONTROL",
    "MAC_UNLBL_ALLOW",
  ]
) {
  test(`${type} comes alone`, () => {
    const assembly = new Assembly({ isLive: true });
    assembly.push(record(type, 7), START);
    assert.deepEqual(shown(assembly.take(START)), [`7 ${type}`]);
  });
}

for (const type of ["LOGIN", "AVC", "ANOM_ABEND", "INTEGRITY_DATA", "SECCOMP", "NEW_THING"]) {
  test(`${type} may have more with it`, () => {
    const assembly = new Assembly({ isLive: true });
    assembly.push(record(type, 7), START);
    assembly.push(record("SYSCALL", 7), START);
    assembly.push(record("PROCTITLE", 7), START);
    assert.deepEqual(shown(assembly.take(START)), [`7 ${type} SYSCALL PROCTITLE`]);
  });
}

test("live, an event is given up by the clock", () => {
  const assembly = new Assembly({ isLive: true, timeout: 100 });
  assert.equal(assembly.due, undefined);
  assembly.push(record("SYSCALL", 7), 1000);
  assembly.push(record("SYSCALL", 8), 1050);
  assembly.push(record("CWD", 7), 1090);
  assert.equal(assembly.due, 1100);
  assert.deepEqual(shown(assembly.take(1099)), []);
  assert.deepEqual(shown(assembly.take(1100)), ["7 SYSCALL CWD ?"]);
  assert.equal(assembly.due, 1150);
  assert.deepEqual(shown(assembly.take(1200)), ["8 SYSCALL ?"]);
  assert.equal(assembly.due, undefined);
});

test("in a log, an event is given up by the time of the records that follow", () => {
  const assembly = new Assembly();
  assembly.push(record("SYSCALL", 7));
  assembly.push(record("SYSCALL", 8, 2000));
  assert.deepEqual(shown(assembly.take(Infinity)), []);
  assembly.push(record("SYSCALL", 9, 2001));
  assert.deepEqual(shown(assembly.take(0)), ["7 SYSCALL ?"]);
  assert.equal(assembly.due, undefined);
  assert.deepEqual(shown(assembly.flush()), ["8 SYSCALL ?", "9 SYSCALL ?"]);
  assert.equal(assembly.size, 0);
});

test("in a log, another machine's clock ends nothing", () => {
  const assembly = new Assembly();
  assembly.push(record("SYSCALL", 7, 0, "a"));
  assembly.push(record("USER_LOGIN", 1, 60_000, "b"));
  assembly.push(record("PROCTITLE", 7, 0, "a"));
  assert.deepEqual(shown(assembly.take(0)), ["1 USER_LOGIN", "7 SYSCALL PROCTITLE"]);
});

test("in a log, a clock that is put back ends what was under way", () => {
  const assembly = new Assembly();
  assembly.push(record("SYSCALL", 7, 60_000));
  assembly.push(record("SYSCALL", 1));
  assert.deepEqual(shown(assembly.take(0)), ["7 SYSCALL ?"]);
});

test("too many under way: the oldest is given up", () => {
  const assembly = new Assembly({ isLive: true, limit: 2 });
  for (const serial of [7, 8, 9]) assembly.push(record("SYSCALL", serial), START);
  assert.deepEqual(shown(assembly.take(START)), ["7 SYSCALL ?"]);
  assert.equal(assembly.size, 2);
});

test("what comes for an event that was given up is not thrown away", () => {
  const assembly = new Assembly({ isLive: true, timeout: 100 });
  assembly.push(record("SYSCALL", 7), 1000);
  assert.deepEqual(shown(assembly.take(1100)), ["7 SYSCALL ?"]);
  assembly.push(record("PROCTITLE", 7), 1101);
  assert.deepEqual(shown(assembly.take(1101)), ["7 PROCTITLE"]);
});

test("serials wrap around, and begin anew with a boot", () => {
  const assembly = new Assembly();
  assembly.push(record("USER_LOGIN", 0xffffffff));
  assembly.push(record("USER_LOGIN", 1));
  assembly.push(record("USER_LOGIN", 0));
  assembly.push(record("USER_LOGIN", 0xfffffffe));
  assembly.push(record("USER_LOGIN", 5, 60_000));
  assert.deepEqual(shown(assembly.take(0)), [
    "4294967294 USER_LOGIN",
    "4294967295 USER_LOGIN",
    "0 USER_LOGIN",
    "1 USER_LOGIN",
    "5 USER_LOGIN",
  ]);
});

test("serials that are missing too long are lost", () => {
  const assembly = new Assembly({ isLive: true, timeout: 100 });
  const login = (serial: number, now: number) => {
    assembly.push(record("USER_LOGIN", serial), now);
    assembly.take(now);
  };
  login(0xfffffffe, 0);
  login(3, 10); // 4294967295, 0, 1, 2 are missing
  login(0, 20);
  login(8, 50); // 4 to 7 are missing
  assert.equal(assembly.lostSerials, 0);
  login(9, 110);
  assert.equal(assembly.lostSerials, 3);
  login(1, 120); // too late
  login(5, 140);
  login(10, 150);
  assert.equal(assembly.lostSerials, 6);
  // auditd numbers its own events by itself.
  assembly.push(record("DAEMON_ROTATE", 5000), 160);
  login(11, 1000);
  assert.equal(assembly.lostSerials, 6);
});

test("an event of which nothing but its end came is missing, and that is known in time", () => {
  const assembly = new Assembly({ isLive: true, timeout: 100 });
  assembly.push(record("USER_LOGIN", 1), 0);
  assembly.push(record("EOE", 2), 1);
  assert.equal(assembly.due, undefined);
  assembly.push(record("USER_LOGIN", 3), 2);
  assert.deepEqual(shown(assembly.take(2)), ["1 USER_LOGIN", "3 USER_LOGIN"]);
  assert.equal(assembly.due, 102);
  assembly.take(102);
  assert.equal(assembly.lostSerials, 1);
});

test("what is missing in an event of a call is counted, live", () => {
  const missing = (types: string, items: number, isLive = true) => {
    const assembly = new Assembly({ isLive, timeout: 100 });
    for (const type of types.split(" ")) {
      const first = { SYSCALL: `items=${items}`, URINGOP: `items=${items}` }[type] ?? "x=1";
      assembly.push(decodeLine(`type=${type} msg=audit(1767225600.000:7): ${first}`)!, 0);
    }
    assembly.take(100);
    return assembly.missingParts;
  };
  for (
    const [types, items, count] of [
      ["SYSCALL CWD PATH PATH PROCTITLE EOE", 2, 0],
      ["SYSCALL PROCTITLE EOE", 0, 0],
      ["URINGOP CWD PATH EOE", 1, 0],
      ["USER_LOGIN", 0, 0],
      ["CONFIG_CHANGE", 0, 0],
      ["SYSCALL CWD PATH PATH PROCTITLE", 2, 1],
      ["SYSCALL CWD PATH PATH EOE", 2, 1],
      ["SYSCALL PATH PATH PROCTITLE EOE", 2, 1],
      ["SYSCALL CWD PATH PROCTITLE EOE", 2, 1],
      ["SYSCALL CWD PATH PATH", 2, 2],
      ["URINGOP PATH", 2, 3],
      ["SYSCALL", 2, 5],
      ["CWD PATH PROCTITLE EOE", 0, 1],
      ["PATH", 0, 4],
    ] as const
  ) {
    assert.equal(missing(types, items), count, types);
    assert.equal(missing(types, items, false), 0, types);
  }
});

test("an end that comes for another event than the one that waits for it is none of its", () => {
  const assembly = new Assembly({ isLive: true });
  for (const type of ["SYSCALL", "PROCTITLE"]) assembly.push(record(type, 7), START);
  assert.equal(assembly.missingParts, 1);
  assembly.push(record("EOE", 6), START);
  assert.equal(assembly.missingParts, 1);
  assembly.push(record("EOE", 7), START);
  assert.equal(assembly.missingParts, 0);
});

test("ends that never come are missing, however many there are", () => {
  const assembly = new Assembly({ isLive: true });
  for (let serial = 1; serial <= 10_000; serial++) {
    for (const type of ["SYSCALL", "PROCTITLE"]) assembly.push(record(type, serial), START);
  }
  assert.equal(assembly.missingParts, 10_000);
});

test("what is not in a log is not lost", () => {
  const assembly = new Assembly();
  assembly.push(record("USER_LOGIN", 1));
  assembly.push(record("USER_LOGIN", 1000, 9000));
  assembly.take(Infinity);
  assert.equal(assembly.lostSerials, 0);
});

test("any interleaving gives the same events", () => {
  const below = wholeNumbers(7);
  for (let round = 0; round < 50; round++) {
    const queues = Array.from(
      { length: 8 },
      (_, serial) =>
        ["SYSCALL", "CWD", "PATH", "PATH", "PROCTITLE"].map((type) => record(type, serial)),
    );
    const assembly = new Assembly();
    let left = queues;
    while (left.length > 0) {
      assembly.push(left[below(left.length)]!.shift()!);
      left = left.filter((queue) => queue.length > 0);
    }
    assert.deepEqual(
      shown(assembly.take(0)),
      queues.map((_, serial) => `${serial} SYSCALL CWD PATH PATH PROCTITLE`),
    );
  }
});
