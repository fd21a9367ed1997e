/**
 * Where the fields of a record's text are. `name=value` are separated by spaces, and so are words that belong to no
 * field; a value is bare, or in quotes where it may have spaces in it.
 *
 * @module
 */

/** {@linkcode STRIDE} numbers a field: where its name begins and ends, its value, and what the name is compared by. */
export type FieldOffsets = number[];

/** Numbers a field. */
export const STRIDE = 5;
/** Where a field's name begins. */
export const NAME = 0;
/** Where it ends. */
export const NAME_END = 1;
/** Where its value begins. */
export const VALUE = 2;
/** Where that ends. */
export const VALUE_END = 3;
/** {@linkcode nameHash} the name: most names of a record differ in it. */
const HASH = 4;

const [SPACE, QUOTE, APOSTROPHE, COMMA] = [0x20, 0x22, 0x27, 0x2c] as const;
const [OPEN, CLOSE, EQUALS, COLON] = [0x28, 0x29, 0x3d, 0x3a] as const;

/**
 * Writes the fields of `text[start, end)` behind the `count` offsets that are there, and returns how many there are then. A
 * user program's `msg='…'` is one.
 */
export function addFields(
  text: string,
  start: number,
  end: number,
  fields: FieldOffsets,
  count: number,
): number {
  for (let at = start; at < end;) {
    let name = at;
    let equals = at;
    for (;; equals++) {
      if (equals >= end) return count;
      const code = text.charCodeAt(equals);
      if (code === EQUALS) break;
      if (code === SPACE) name = equals + 1;
    }
    if (text.charCodeAt(name) === OPEN) name++; // (hostname=?, addr=?): programs before 2008
    // LOGIN of kernels before 3.14: old auid=… new auid=…
    if (name - 4 >= at && text.startsWith("old ", name - 4)) name -= 4;
    let value = equals + 1;
    let valueEnd: number;
    const first = value < end ? text.charCodeAt(value) : SPACE;
    if (first === QUOTE) {
      valueEnd = boundedIndex(text.indexOf('"', ++value), end);
      at = valueEnd + 1;
    } else if (first === APOSTROPHE) {
      // What is in msg='…' is the program's, and may have apostrophes; nothing follows it.
      value++;
      const isMessage = equals - name === 3 && text.startsWith("msg", name);
      valueEnd = isMessage ? text.lastIndexOf("'", end - 1) : text.indexOf("'", value);
      if (valueEnd < value) valueEnd = end;
      valueEnd = boundedIndex(valueEnd, end);
      at = valueEnd + 1;
    } else {
      at = value;
      while (at < end && text.charCodeAt(at) !== SPACE) at++;
      if (text.charCodeAt(at + 1) === OPEN) at = labelEnd(text, at, end);
      valueEnd = bareEnd(text, value, at);
    }
    if (name < equals) {
      fields[count++] = name;
      fields[count++] = equals;
      fields[count++] = value;
      fields[count++] = valueEnd;
      fields[count++] = nameHash(text, name, equals);
    }
  }
  return count;
}

/** Where the field of that name is among the first `count` offsets, the first of several; -1 where there is none. */
export function findField(
  text: string,
  fields: FieldOffsets,
  count: number,
  name: string,
): number {
  const hash = nameHash(name, 0, name.length);
  for (let at = 0; at < count; at += STRIDE) {
    if (fields[at + HASH] === hash && isNamed(name, text, fields[at + NAME]!)) return at;
  }
  return -1;
}

/** `text.startsWith(name, start)`, which for short names takes longer than this. */
function isNamed(name: string, text: string, start: number): boolean {
  for (let at = 0; at < name.length; at++) {
    if (name.charCodeAt(at) !== text.charCodeAt(start + at)) return false;
  }
  return true;
}

/** Its length, first and last character: comparing the names themselves took a tenth of reading a log (measured). */
export function nameHash(text: string, start: number, end: number): number {
  return (end - start) << 16 | text.charCodeAt(start) << 8 | text.charCodeAt(end - 1);
}

/** What `parseInt` makes of `text[start, end)`, without a string of its own where that is all digits; undefined for NaN. */
export function integerAt(
  text: string,
  start: number,
  end: number,
  radix: number,
): number | undefined {
  let at = start;
  let number = 0;
  for (; at < end && at - start < EXACT_DIGITS; at++) {
    const digit = text.charCodeAt(at) - ZERO;
    if (digit < 0 || digit >= radix || digit > 9) break;
    number = number * radix + digit;
  }
  if (at === end && at > start) return number;
  number = parseInt(text.slice(start, end), radix);
  return Number.isNaN(number) ? undefined : number;
}

/** As many as a double has room for, in any radix up to 16. */
const EXACT_DIGITS = 13;
const ZERO = 0x30;

function boundedIndex(index: number, end: number): number {
  return index < 0 || index > end ? end : index;
}

/** AppArmor's labels have a second word: `subj=/usr/sbin/cupsd (enforce)`. */
function labelEnd(text: string, space: number, end: number): number {
  for (let at = space + 2; at < end; at++) {
    const code = text.charCodeAt(at);
    if (code === CLOSE) return at + 1;
    if (code === SPACE || code === EQUALS || code === OPEN) break;
  }
  return space;
}

/** A bare value without the punctuation of a sentence: `addr=?,` `res=success)` `acct=root:`. */
function bareEnd(text: string, value: number, valueEnd: number): number {
  let end = valueEnd;
  while (end > value) {
    const code = text.charCodeAt(end - 1);
    if (code === CLOSE) {
      if (text.slice(value, end).includes("(")) break; // (null), (none), a label
    } else if (code !== COMMA && code !== COLON) break;
    end--;
  }
  return end;
}
