/**
 * This process's hold on audit: its rules, what it changes of the state, and that all of it is undone on every way out.
 *
 * @module
 */

import process from "node:process";
import { EINVAL } from "../../ffi/abi/errno.ts";
import { SIGHUP, SIGINT, SIGTERM } from "../../ffi/abi/signal.ts";
import { SystemError } from "../../ffi/errno.ts";
import type { Libc } from "../../ffi/port.ts";
import { latin1Text } from "../../ffi/text.ts";
import { AuditControl } from "./control.ts";
import type { AuditWay } from "./data_socket.ts";
import { Keeper } from "./keeper.ts";
import {
  BACKLOG_LIMIT,
  BACKLOG_WAIT,
  carrierRule,
  leave,
  locked,
  ownerKey,
  ownerOf,
  type RuleOwner,
  ruleOwner,
  settingsToRestore,
  type StatusBefore,
  statusBefore,
  sweep,
} from "./ownership.ts";
import {
  addRule,
  type AuditRule,
  deleteRule,
  encodeRule,
  keyField,
  keysOf,
  listRules,
} from "./rules.ts";
import type { AuditSettings, AuditStatus } from "./status.ts";
import { flagRules, type RuleClass, treeRules } from "./tree_rules.ts";

/** A tree that is audited. */
export interface AuditedTree {
  /** What the keys of its records begin with; the class of the rule follows. Those on flags have that of all trees. */
  readonly key: string;
  /** The classes that this kernel does not take: it has no such list or field. */
  readonly refused: readonly RuleClass[];
  /** Removes the rules, where no other tree needs them. */
  remove(): void;
}

/** The hold of a process. There is one at most, which all who need it share: {@linkcode holdAudit}. */
export class AuditHold {
  readonly control: AuditControl;
  readonly owner: RuleOwner;
  /** Why what is left after SIGKILL stays until the next start; undefined where a keeper takes care of it. */
  readonly unkept: string | undefined;
  /** How many rules of dead processes were found and removed at the start. */
  readonly swept: number;
  readonly #libc: Libc;
  readonly #before: StatusBefore;
  readonly #keeper: Keeper | undefined;
  readonly #rules: Map<string, { readonly rule: AuditRule; users: number }> = new Map();
  readonly #trees: Map<string, number> = new Map();
  #nextTree = 1;
  #isReleased = false;

  constructor(libc: Libc) {
    this.#libc = libc;
    this.owner = ownerOf(libc, process.pid) ?? { pid: process.pid, started: "0" };
    this.control = new AuditControl(libc);
    try {
      this.control.status(); // says first what is missing
      [this.swept, this.#before] = locked(libc, () => this.#arrive());
    } catch (error) {
      this.release();
      throw error;
    }
    const keeper = Keeper.start(libc, process.pid);
    this.#keeper = typeof keeper === "string" ? undefined : keeper;
    this.unkept = typeof keeper === "string" ? keeper : undefined;
    process.on("exit", this.#atExit);
    globalThis.addEventListener?.("unload", this.#atExit); // Deno.exit() raises no "exit" (2.9)
    if (this.unkept !== undefined) {
      for (const { name } of SIGNALS) process.on(name, this.#atSignal);
    }
  }

  /** Removes what dead processes left, and writes down what the state was before anybody changed it. */
  #arrive(): [swept: number, before: StatusBefore] {
    const swept = sweep(this.#libc, this.control);
    const others = listRules(this.control).filter((rule) => ruleOwner(rule) !== undefined);
    const before = others.map(statusBefore).find((one) => one !== undefined) ??
      stateOf(this.control.status());
    this.#add(carrierRule(this.owner, before));
    if (this.control.status().enabled === 0) this.control.set({ enabled: 1 });
    return [swept, before];
  }

  /** What the keys of this process's rules begin with. */
  get key(): string {
    return ownerKey(this.owner);
  }

  /** Adds the rules for a tree, or shares those that are there for it. Throws where the kernel refuses the most of it. */
  addTree(path: string, isDirectory: boolean): AuditedTree {
    const number = this.#trees.get(path) ?? this.#nextTree++;
    this.#trees.set(path, number);
    const key = `${this.key}:${number}`;
    const added: AuditRule[] = [];
    const refused = new Set<RuleClass>();
    const remove = () => {
      for (const rule of added.splice(0)) this.#remove(rule);
    };
    try {
      for (const rule of [...treeRules(path, isDirectory, key), ...flagRules(`${this.key}:all`)]) {
        try {
          this.#add(rule);
          added.push(rule);
        } catch (error) {
          const kind = keysOf(rule)[0]!.split(":").at(-1) as RuleClass;
          const isKnown = kind === "change" || !(error instanceof SystemError) ||
            error.errno !== EINVAL;
          if (isKnown) throw error;
          refused.add(kind);
        }
      }
    } catch (error) {
      remove();
      throw error;
    }
    return { key, refused: [...refused], remove };
  }

  /** Adds a rule of the program's own, with a key of ours beside its own; what removes it. */
  addRule(rule: AuditRule): () => void {
    const key = `${this.key}:rule`;
    const fields = rule.fields.filter(({ field }) => field !== "key");
    const owned = { ...rule, fields: [...fields, keyField(...keysOf(rule), key)] };
    this.#add(owned);
    let isAdded = true;
    return () => {
      if (isAdded) this.#remove(owned);
      isAdded = false;
    };
  }

  /**
   * Sets what fits the way that records come: a daemon's queue is long, and nobody waits for it for long. What another holder has
   * set for itself as the daemon stays.
   */
  tune(way: AuditWay): void {
    const status = this.control.status();
    const isHolder = () =>
      listRules(this.control).some((rule) => ruleOwner(rule)?.pid === status.pid);
    if (way === "multicast" && status.pid !== 0 && isHolder()) return;
    let settings: AuditSettings;
    if (way === "unicast") {
      const { backlogLimit, backlogWaitTime = 0 } = status;
      settings = {
        ...(backlogLimit > 0 && backlogLimit < BACKLOG_LIMIT
          ? { backlogLimit: BACKLOG_LIMIT }
          : {}),
        ...(backlogWaitTime > BACKLOG_WAIT ? { backlogWaitTime: BACKLOG_WAIT } : {}),
      };
    } else settings = settingsToRestore(status, this.#before, true);
    if (Object.keys(settings).length > 0) this.control.set(settings);
  }

  #add(rule: AuditRule): void {
    const bytes = encodeRule(rule);
    const name = latin1Text(bytes, bytes.length);
    const known = this.#rules.get(name);
    if (known !== undefined) known.users++;
    else {
      addRule(this.control, rule);
      this.#rules.set(name, { rule, users: 1 });
    }
  }

  #remove(rule: AuditRule): void {
    const bytes = encodeRule(rule);
    const name = latin1Text(bytes, bytes.length);
    const known = this.#rules.get(name);
    if (known === undefined || --known.users > 0 || this.#isReleased) return;
    this.#rules.delete(name);
    deleteRule(this.control, rule);
  }

  /** Undoes all, at the end of the last who holds it. */
  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    process.off("exit", this.#atExit);
    globalThis.removeEventListener?.("unload", this.#atExit);
    for (const { name } of SIGNALS) process.off(name, this.#atSignal);
    try {
      locked(this.#libc, () => leave(this.#libc, this.control, this.owner));
    } finally {
      this.control.close();
      this.#keeper?.end();
    }
  }

  readonly #atExit = () => {
    try {
      this.release();
    } catch (error) {
      if (!(error instanceof SystemError)) throw error; // there is nobody left to tell
    }
  };

  /** The signal's default, once all is undone: where the program has a handler of its own, it is its to end. */
  readonly #atSignal = (name: string) => {
    if (process.listenerCount(name) > 1) return;
    this.#atExit();
    const number = SIGNALS.find((signal) => signal.name === name)!.number;
    this.#libc.kill(process.pid, number);
  };
}

const SIGNALS = [
  { name: "SIGHUP", number: SIGHUP },
  { name: "SIGINT", number: SIGINT },
  { name: "SIGTERM", number: SIGTERM },
] as const;

function stateOf({ enabled, backlogLimit, backlogWaitTime }: AuditStatus): StatusBefore {
  return { enabled, backlogLimit, backlogWaitTime };
}

let shared: { readonly hold: AuditHold; users: number } | undefined;

/** A share of this process's hold on audit, to be released. Throws what audit refuses. */
export function holdAudit(libc: Libc): { readonly hold: AuditHold; release(): void } {
  shared ??= { hold: new AuditHold(libc), users: 0 };
  const own = shared;
  own.users++;
  let isReleased = false;
  return {
    hold: own.hold,
    release() {
      if (isReleased) return;
      isReleased = true;
      if (--own.users > 0) return;
      if (shared === own) shared = undefined;
      own.hold.release();
    },
  };
}
