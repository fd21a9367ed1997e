/**
 * Where the fields of a record's text are. `name=value` are separated by spaces, and so are words that belong to no
 * field; a value is bare, or in quotes where it may have spaces in it.
 *
 * @module
 */

/** Offsets into the text, {@linkcode STRIDE} a field: where its name begins and ends, and its value. */
export type FieldOffsets = number[];

/** Offsets a field. */
export const STRIDE = 4;
/** Where a field's name begins. */
export const NAME = 0;
/** Where it ends. */
export const NAME_END = 1;
/** Where its value begins. */
export const VALUE = 2;
/** Where that ends. */
export const VALUE_END = 3;

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
    const equals = text.indexOf("=", at);
    if (equals < 0 || equals >= end) return count;
    let name = equals;
    while (name > at && text.charCodeAt(name - 1) !== SPACE) name--;
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
      at = boundedIndex(text.indexOf(" ", value), end);
      if (text.charCodeAt(at + 1) === OPEN) at = labelEnd(text, at, end);
      valueEnd = bareEnd(text, value, at);
    }
    if (name < equals) {
      fields[count++] = name;
      fields[count++] = equals;
      fields[count++] = value;
      fields[count++] = valueEnd;
    }
  }
  return count;
}

/** Where the field of that name is among the offsets, the first of several; -1 where there is none. */
export function findField(text: string, fields: FieldOffsets, name: string): number {
  const length = name.length;
  for (let at = 0; at < fields.length; at += STRIDE) {
    const start = fields[at + NAME]!;
    if (fields[at + NAME_END]! - start === length && text.startsWith(name, start)) return at;
  }
  return -1;
}

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
