/**
 * Audit rules as objects and as the kernel's `struct audit_rule_data`.
 *
 * What the kernel lists is decoded to an object that encodes to the same bytes: a rule is removed by its bytes.
 *
 * @module
 */

import {
  AUDIT_ADD_RULE,
  AUDIT_BITMASK_SIZE,
  AUDIT_DEL_RULE,
  AUDIT_FILTER_PREPEND,
  AUDIT_MAX_FIELDS,
  AUDIT_MAX_KEY_LEN,
  audit_rule_data,
  AUDIT_SYSCALL_CLASSES,
} from "../../ffi/abi/audit.ts";
import { EEXIST, ENOENT } from "../../ffi/abi/errno.ts";
import { PATH_MAX } from "../../ffi/abi/open.ts";
import { S_IFMT } from "../../ffi/abi/stat.ts";
import { SystemError } from "../../ffi/errno.ts";
import { bytesUnlessText, decodeText, encodeText } from "../../ffi/text.ts";
import type { AuditControl } from "./control.ts";
import {
  type ActionName,
  ACTIONS,
  FIELD_OF,
  type FieldType,
  type ListName,
  LISTS,
  type Operator,
  OPERATORS,
} from "./rule_fields.ts";

/** A condition of a rule. */
export interface AuditField {
  /** auditctl's name (`"dir"`, `"perm"`, `"a1"`), or a number that this version has no name for. */
  readonly field: string | number;
  /** Default `"="`. A number where this version does not know it. */
  readonly operator?: Operator | number;
  /**
   * A number (32 bits; `exit` signed), a name of one (`perm` `"wa"`, `arch` `"x86_64"`, `exit` `"-ENOSPC"`, ids `"unset"`),
   * or a text; as bytes where it is not valid UTF-8.
   */
  readonly value: number | string | Uint8Array;
}

/** A rule of audit. The first rule of a list that fits decides. */
export interface AuditRule {
  /** What it is tried on. A number where this version does not know it. */
  readonly list: ListName | number;
  /** Whether what it fits is recorded. A number where this version does not know it. */
  readonly action: ActionName | number;
  /** Tried before the others. The kernel does not list it. */
  readonly prepend?: true;
  /** Numbers of system calls (of the architecture of its field `arch`), or of operations of io_uring. */
  readonly syscalls: "all" | readonly number[];
  /** All of them have to fit. */
  readonly fields: readonly AuditField[];
  /** Bits of `flags` beyond list and `prepend`. */
  readonly flags?: number;
}

/** Words that have a bit for every system call but none for the classes. */
const EVERY = Uint32Array.from(
  { length: AUDIT_BITMASK_SIZE },
  (_, word) => word === AUDIT_BITMASK_SIZE - 1 ? 0xffffffff >>> AUDIT_SYSCALL_CLASSES : 0xffffffff,
);

const LIST_BITS = 0xf;

/** Several keys of a rule stand in one field, with this between them. */
const KEY_SEPARATOR = "\x01";

/** A rule as the kernel takes it. Throws `TypeError` for what it would answer EINVAL to. */
export function encodeRule(rule: AuditRule): Uint8Array<ArrayBuffer> {
  const texts = rule.fields.map(({ field, value }) => textOf(FIELD_OF.get(field), value));
  checkRule(rule, texts);
  const length = texts.reduce((sum, text) => sum + (text?.length ?? 0), 0);
  const bytes = new Uint8Array(new ArrayBuffer(audit_rule_data.size + length));
  const view = new DataView(bytes.buffer);
  const list = numberOf(LISTS, rule.list, "list");
  const flags = (rule.flags ?? 0) | list | (rule.prepend ? AUDIT_FILTER_PREPEND : 0);
  view.setUint32(audit_rule_data.flags, flags >>> 0, true);
  view.setUint32(audit_rule_data.action, numberOf(ACTIONS, rule.action, "action"), true);
  view.setUint32(audit_rule_data.field_count, rule.fields.length, true);
  for (const [word, bits] of maskOf(rule.syscalls).entries()) {
    view.setUint32(audit_rule_data.mask + 4 * word, bits, true);
  }
  let end = audit_rule_data.buf;
  for (const [i, { field, operator = "=", value }] of rule.fields.entries()) {
    const text = texts[i];
    const number = text?.length ?? valueOf(FIELD_OF.get(field), field, value);
    view.setUint32(audit_rule_data.fields + 4 * i, fieldNumber(field), true);
    view.setUint32(audit_rule_data.values + 4 * i, number, true);
    const bits = numberOf(OPERATORS, operator, "operator");
    view.setUint32(audit_rule_data.fieldflags + 4 * i, bits, true);
    if (text === undefined) continue;
    bytes.set(text, end);
    end += text.length;
  }
  view.setUint32(audit_rule_data.buflen, length, true);
  return bytes;
}

/** A rule as the kernel lists it. Throws `RangeError` for what is too short to be one. */
export function decodeRule(bytes: Uint8Array): AuditRule {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const word = (offset: number, i = 0) => view.getUint32(offset + 4 * i, true);
  const count = bytes.length < audit_rule_data.size ? 0 : word(audit_rule_data.field_count);
  if (bytes.length < audit_rule_data.size || count > AUDIT_MAX_FIELDS) {
    throw new RangeError(`Cannot decode a rule: ${bytes.length} bytes are none`);
  }
  const flags = word(audit_rule_data.flags);
  const fields: AuditField[] = [];
  let at: number = audit_rule_data.buf;
  for (let i = 0; i < count; i++) {
    const number = word(audit_rule_data.fields, i);
    const type = FIELD_OF.get(number);
    const raw = word(audit_rule_data.values, i);
    let value: AuditField["value"] = type?.notation?.show(raw) ?? raw;
    if (type?.isText) {
      const end = Math.min(at + raw, bytes.length);
      const text = decodeText(bytes.subarray(at, end));
      value = bytesUnlessText(bytes, at, end, text) ?? text;
      at = end;
    }
    fields.push({
      field: type?.name ?? number,
      operator: nameOf(OPERATORS, word(audit_rule_data.fieldflags, i)),
      value,
    });
  }
  const other = flags & ~LIST_BITS & ~AUDIT_FILTER_PREPEND;
  return {
    list: nameOf(LISTS, flags & LIST_BITS),
    action: nameOf(ACTIONS, word(audit_rule_data.action)),
    ...((flags & AUDIT_FILTER_PREPEND) === 0 ? {} : { prepend: true }),
    syscalls: syscallsOf((i) => word(audit_rule_data.mask, i)),
    fields,
    ...(other === 0 ? {} : { flags: other >>> 0 }),
  };
}

/** The keys of a rule. */
export function keysOf(rule: AuditRule): readonly string[] {
  const key = rule.fields.find(({ field }) => field === "key")?.value;
  if (key === undefined) return [];
  return (key instanceof Uint8Array ? decodeText(key) : String(key)).split(KEY_SEPARATOR);
}

/** The field that gives a rule these keys. */
export function keyField(...keys: readonly string[]): AuditField {
  return { field: "key", operator: "=", value: keys.join(KEY_SEPARATOR) };
}

/** The kernel's rules, in the order in which they are tried, list by list. */
export function listRules(control: AuditControl): AuditRule[] {
  return control.rules().map(decodeRule);
}

/** Adds a rule; false where it is there already. Throws what the kernel refuses. */
export function addRule(control: AuditControl, rule: AuditRule): boolean {
  return change(control, AUDIT_ADD_RULE, rule, EEXIST);
}

/** Removes a rule; false where it is not there. Throws what the kernel refuses. */
export function deleteRule(control: AuditControl, rule: AuditRule): boolean {
  return change(control, AUDIT_DEL_RULE, rule, ENOENT);
}

function change(control: AuditControl, type: number, rule: AuditRule, without: number): boolean {
  const bytes = encodeRule(rule);
  try {
    control.tell(type, bytes, `${type === AUDIT_ADD_RULE ? "add" : "remove"} a rule of audit`);
    return true;
  } catch (error) {
    if (!(error instanceof SystemError) || error.errno !== without) throw error;
    return false;
  }
}

function nameOf<Name extends string>(
  names: Readonly<Record<Name, number>>,
  value: number,
): Name | number {
  for (const name in names) if (names[name] === value) return name;
  return value;
}

function numberOf(
  names: Readonly<Record<string, number>>,
  value: string | number,
  what: string,
): number {
  if (typeof value === "number") return value >>> 0;
  if (!Object.hasOwn(names, value)) {
    throw new TypeError(
      `Cannot make a rule: ${what} ${JSON.stringify(value)} is none of ${
        Object.keys(names).join(", ")
      }`,
    );
  }
  return names[value]!;
}

function fieldNumber(field: string | number): number {
  const number = typeof field === "number" ? field : FIELD_OF.get(field)?.number;
  if (number === undefined) {
    throw new TypeError(`Cannot make a rule: there is no field ${JSON.stringify(field)}`);
  }
  return number;
}

/** The bytes of a value that is a text; undefined for one that is a number. */
function textOf(type: FieldType | undefined, value: AuditField["value"]): Uint8Array | undefined {
  if (!type?.isText) return undefined;
  return value instanceof Uint8Array ? value : encodeText(String(value));
}

function valueOf(
  type: FieldType | undefined,
  field: string | number,
  value: AuditField["value"],
): number {
  const number = typeof value === "string" ? type?.notation?.parse(value) ?? Number(value) : value;
  if (
    typeof number !== "number" || !Number.isInteger(number) ||
    number < -0x80000000 || number > 0xffffffff || value === ""
  ) {
    throw new TypeError(`Cannot make a rule: ${JSON.stringify(value)} is no value of ${field}`);
  }
  return number >>> 0;
}

function maskOf(syscalls: AuditRule["syscalls"]): Uint32Array {
  if (syscalls === "all") return EVERY;
  const mask = new Uint32Array(AUDIT_BITMASK_SIZE);
  for (const number of syscalls) {
    if (!Number.isInteger(number) || number < 0 || number >= AUDIT_BITMASK_SIZE * 32) {
      throw new TypeError(`Cannot make a rule: ${number} is not the number of a system call`);
    }
    mask[number >>> 5]! |= 1 << (number & 31);
  }
  return mask;
}

function syscallsOf(word: (i: number) => number): AuditRule["syscalls"] {
  if (EVERY.every((bits, i) => bits === word(i))) return "all";
  const numbers: number[] = [];
  for (let i = 0; i < AUDIT_BITMASK_SIZE * 32; i++) {
    if ((word(i >>> 5) >>> (i & 31) & 1) === 1) numbers.push(i);
  }
  return numbers;
}

/** Operators by what a field takes. */
const TAKEN: Readonly<Record<FieldType["operators"], readonly Operator[]>> = {
  all: Object.keys(OPERATORS) as Operator[],
  order: ["=", "!=", "<", "<=", ">", ">="],
  equal: ["=", "!="],
};

/** Fields that tell which file it is: a rule has one of them. */
const FILE_FIELDS: readonly (string | number)[] = ["dir", "path", "inode"];

/** Throws `TypeError` for what the kernel answers EINVAL to, which does not say why. */
function checkRule(rule: AuditRule, texts: readonly (Uint8Array | undefined)[]): void {
  const refuse = (what: string): never => {
    throw new TypeError(`Cannot make a rule: ${what}`);
  };
  const { fields, list } = rule;
  if (fields.length > AUDIT_MAX_FIELDS) refuse(`more than ${AUDIT_MAX_FIELDS} fields`);
  for (const once of [FILE_FIELDS, ["key"], ["exe"]]) {
    const found = fields.filter(({ field }) => once.includes(field));
    if (found.length > 1) refuse(`it has ${found.map(({ field }) => field).join(" and ")}`);
  }
  for (const [i, { field, operator = "=", value }] of fields.entries()) {
    const type = FIELD_OF.get(field);
    if (type === undefined) {
      if (typeof field === "string") refuse(`there is no field ${JSON.stringify(field)}`);
      continue;
    }
    if (typeof operator === "string" && !TAKEN[type.operators].includes(operator)) {
      refuse(`${type.name} takes ${TAKEN[type.operators].join(" ")}, not ${operator}`);
    }
    if (type.lists !== undefined && typeof list === "string" && !type.lists.includes(list)) {
      refuse(`${type.name} is for the list ${type.lists.join(" or ")}, not ${list}`);
    }
    if (list === "filesystem" && type.name !== "fstype" && type.name !== "key") {
      refuse(`the list filesystem takes fstype and key, not ${type.name}`);
    }
    const text = texts[i];
    if (text !== undefined) checkText(type.name, operator, text, refuse);
    else {
      const number = valueOf(type, field, value);
      const isWrong = type.name === "filetype"
        ? (number & ~S_IFMT) !== 0
        : number > (type.most ?? 0xffffffff);
      if (isWrong) refuse(`${JSON.stringify(value)} is no value of ${type.name}`);
    }
  }
}

function checkText(
  name: string,
  operator: Operator | number,
  text: Uint8Array,
  refuse: (what: string) => never,
): void {
  if (text.length === 0) refuse(`${name} is empty`);
  if (text.includes(0)) refuse(`${name} contains NUL`);
  if (name === "key") {
    if (text.length > AUDIT_MAX_KEY_LEN) {
      refuse(`the keys are longer than ${AUDIT_MAX_KEY_LEN} bytes`);
    }
    return;
  }
  if (name !== "dir" && name !== "path" && name !== "exe") return;
  if (text[0] !== SLASH) refuse(`${name} is not an absolute path`);
  if (text.length >= PATH_MAX) refuse(`${name} is longer than ${PATH_MAX - 1} bytes`);
  if (name !== "dir" && text.at(-1) === SLASH) refuse(`${name} ends with a slash`);
  if (name !== "exe" && operator !== "=") refuse(`${name} takes =, not ${operator}`);
}

const SLASH = 0x2f;
