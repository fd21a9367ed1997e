/**
 * The machine's audit, for one test at a time, and as it was before at its end.
 *
 * @module
 */

import assert from "node:assert/strict";
import process from "node:process";
import { AuditControl } from "../backends/audit/control.ts";
import type { RecordSink } from "../backends/audit/record_stream.ts";
import type { AuditLoss } from "../backends/audit/record_stream.ts";
import type { AuditWay } from "../backends/audit/data_socket.ts";
import { type AuditRule, deleteRule, keysOf, listRules } from "../backends/audit/rules.ts";
import { O_CLOEXEC, O_RDONLY } from "../ffi/abi/open.ts";
import { SYS_flock } from "../ffi/abi/syscall.ts";
import { openLibc } from "../ffi/libc.ts";
import type { Libc } from "../ffi/port.ts";
import { cString, decodeText } from "../ffi/text.ts";
import { isRoot, openFiles, TemporaryDirectory, until, within } from "./runtime.ts";

const libc = await openLibc();

/** Why audit cannot be tested here; false where it can. */
export const whyUnaudited: string | false = (() => {
  if (!isRoot) return "needs root";
  try {
    using control = new AuditControl(libc);
    const { enabled, pid } = control.status();
    return enabled === 2
      ? "audit is locked"
      : pid !== 0 && pid !== process.pid && "a daemon is registered";
  } catch (error) {
    return String(error);
  }
})();

const LOCK_EX = 2;
const LOCK_NB = 4;

/** A part of the state that a test may change and has to change back. */
function stateOf(control: AuditControl): unknown {
  const { enabled, failure, pid, backlogLimit, backlogWaitTime } = control.status();
  return { enabled, failure, pid, backlogLimit, backlogWaitTime };
}

/** A directory of its own, and audit, which no other test has meanwhile: the namespace of host names is locked for it. */
export class Audited implements AsyncDisposable {
  readonly libc: Libc = libc;
  readonly control: AuditControl;
  readonly path: string;
  readonly #directory = new TemporaryDirectory();
  readonly #lock: number;
  readonly #state: unknown;
  readonly #rules: readonly AuditRule[];
  readonly #files: number;

  private constructor(lock: number) {
    this.#lock = lock;
    this.#files = openFiles();
    this.control = new AuditControl(libc);
    this.path = this.#directory.path;
    this.#state = stateOf(this.control);
    this.#rules = listRules(this.control);
  }

  /** Once no other test has it. */
  static async open(): Promise<Audited> {
    const fd = libc.open(cString("/proc/self/ns/uts"), O_RDONLY | O_CLOEXEC, 0);
    const isLocked = () => libc.syscall(SYS_flock, fd, LOCK_EX | LOCK_NB, 0, 0, 0) === 0;
    const deadline = performance.now() + 50_000;
    while (!isLocked()) {
      assert(performance.now() < deadline, "another test has audit");
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return new Audited(fd);
  }

  /** Until the state and the rules are as before. */
  async isAsBefore(): Promise<void> {
    await until(() => this.#difference() === undefined);
  }

  #difference(): unknown {
    try {
      assert.deepEqual(stateOf(this.control), this.#state);
      assert.deepEqual(listRules(this.control), this.#rules);
      return undefined;
    } catch (error) {
      return error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const wrong = this.#difference();
    // What a failed test leaves behind is removed all the same.
    for (const rule of listRules(this.control)) {
      if (keysOf(rule).some((key) => key.startsWith("sentinode"))) deleteRule(this.control, rule);
    }
    const { enabled, backlogLimit, backlogWaitTime } = this.#state as Record<string, number>;
    this.control.set({
      enabled: enabled!,
      backlogLimit: backlogLimit!,
      backlogWaitTime: backlogWaitTime!,
    });
    this.control.close();
    this.#directory[Symbol.dispose]();
    try {
      if (wrong !== undefined) throw wrong;
      // Fewer, where others' files of before were closed only since.
      await until(() => openFiles() <= this.#files);
    } finally {
      libc.close(this.#lock);
    }
  }
}

/** A record that came. */
export interface Came {
  readonly type: number;
  readonly text: string;
}

/** Takes records, and waits for them. */
export class Records implements RecordSink {
  readonly full = false;
  readonly all: Came[] = [];
  readonly losses: AuditLoss[] = [];
  readonly ways: AuditWay[] = [];
  #error: unknown;
  #came = Promise.withResolvers<void>();

  message(type: number, payload: Uint8Array): void {
    this.all.push({ type, text: decodeText(payload) });
  }
  flush(): void {
    this.#came.resolve();
  }
  lost(loss: AuditLoss): void {
    this.losses.push(loss);
  }
  way(way: AuditWay): void {
    this.ways.push(way);
    this.#came.resolve();
  }
  fail(error: unknown): void {
    this.#error = error;
    this.#came.resolve();
  }

  /** Until it is so. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.#error !== undefined) throw this.#error;
      this.#came = Promise.withResolvers<void>();
      await within(this.#came.promise, `${condition}`, 15_000);
    }
  }

  /** Until a record (of that type) has that text, and its event has ended; the records of the event. */
  async event(text: string, type?: number): Promise<Came[]> {
    const found = () =>
      this.all.find((one) => one.text.includes(text) && type === (type && one.type));
    await this.until(() => found() !== undefined);
    const [serial] = /:\d+\)/.exec(found()!.text)!;
    const records = () => this.all.filter((one) => one.text.includes(serial));
    await this.until(() => records().some(({ type }) => type === EOE));
    return records();
  }

  /** The serial numbers, in their order. */
  get serials(): number[] {
    return [...new Set(this.all.map(({ text }) => Number(/:(\d+)\)/.exec(text)![1])))]
      .sort((a, b) => a - b);
  }
}

/** A system call, whose record has the key of the rule; `<linux/audit.h>`. */
export const SYSCALL = 1300;
/** The end of an event. */
export const EOE = 1320;
