/** What the command line makes of text, kinds and times; pure. */

import assert from "node:assert/strict";
import test from "node:test";
import { type Actor, FileEvent } from "../classify/event.ts";
import { lineFormatter } from "../cli/format.ts";
import { escapeBytes, escapeText, safeJson } from "../cli/escape.ts";
import { kindsOfLetters, lettersOf } from "../cli/letters.ts";
import { timeFormatter } from "../cli/time.ts";

test("escapeText leaves ordinary text alone and is unambiguous", () => {
  assert.equal(escapeText("a b-ü文🦀'\"$"), "a b-ü文🦀'\"$");
  assert.equal(escapeText("\t\r\n\\\0\x1b\x7f"), "\\t\\r\\n\\\\\\x00\\x1b\\x7f");
  assert.equal(escapeText("\u061c\u200f\u202a\u2069\ufeff"), "\\u061c\\u200f\\u202a\\u2069\ufeff");
  const seen = new Set<string>();
  for (let code = 0; code < 0x3000; code++) {
    if (code >= 0xd800 && code < 0xe000) continue;
    seen.add(escapeText(String.fromCharCode(code)));
  }
  assert.equal(seen.size, 0x3000);
});

test("escapeBytes escapes each byte that is no UTF-8", () => {
  const cases: readonly (readonly [bytes: readonly number[], text: string])[] = [
    [[0x61, 0xff, 0x62], "a\\xffb"],
    [[0xc3], "\\xc3"],
    [[0xe2, 0x82], "\\xe2\\x82"],
    [[0xe2, 0x82, 0xac, 0xe2], "€\\xe2"],
    [[0xed, 0xa0, 0x80], "\\xed\\xa0\\x80"], // a surrogate
    [[0xc0, 0x8a], "\\xc0\\x8a"], // newline, overlong
    [[0xf0, 0x9f, 0xa6, 0x80, 0x80], "🦀\\x80"],
    [[0xef, 0xbb, 0xbf, 0x0a], "\ufeff\\n"],
    [[0xc2, 0x9b], "\\u009b"],
  ];
  for (const [bytes, text] of cases) assert.equal(escapeBytes(Uint8Array.from(bytes)), text);
});

test("safeJson is JSON on one safe line", () => {
  const value = { "\u202e": ["\x7f\x9b\u2028\n", 2n ** 64n, Uint8Array.of(1, 2)], "\\": null };
  const json = safeJson(value);
  assert.match(json, /^[ -~]*$/);
  assert.deepEqual(JSON.parse(json), {
    "\u202e": ["\x7f\x9b\u2028\n", "18446744073709551616", "AQI="],
    "\\": null,
  });
});

test("letters", () => {
  assert.equal(
    lettersOf(["access.open", "modify.data", "access.close.write", "create.file"]),
    "CWO+",
  );
  assert.equal(lettersOf(["rename"]), "<>");
  assert.equal(lettersOf(["rename.out"]), "<");
  assert.equal(lettersOf(["rename.in"]), ">");
  assert.equal(lettersOf(["modify.metadata"]), "");
  assert.deepEqual(kindsOfLetters("R"), ["access.read"]);
  assert.deepEqual(kindsOfLetters("W"), ["access.close.write", "modify.data"]);
  assert.deepEqual(kindsOfLetters("XD"), ["access.exec", "remove"]);
  assert.equal(kindsOfLetters("read"), undefined);
  assert.equal(kindsOfLetters(""), undefined);
});

test("time formats", () => {
  const time = new Date(2024, 0, 2, 3, 4, 5, 6).getTime();
  assert.equal(timeFormatter("watch", "%F %T.%f")(time), "2024-01-02 03:04:05.006");
  assert.equal(timeFormatter("watch", "%Y%m%d-%H%M%S%%")(time), "20240102-030405%");
  assert.equal(timeFormatter("watch", "%s")(1_700_000_000_999), "1700000000");
  assert.match(timeFormatter("watch", "%z")(time), /^[+-]\d{4}$/);
});

test("who did it", () => {
  const style = { isRaw: false, time: String, json: String };
  const line = lineFormatter("watch", "%u %U %g %G %C %S", style);
  const lineOf = (actor: Partial<Actor>) => {
    const init = { kind: "create", path: "/f", actor: actor as Actor } as const;
    return line({ event: FileEvent.from(init, 0, "fanotify"), kinds: ["create"] }).join("");
  };
  const actor = { uid: 33, user: "www\ndata", gid: 34, group: "web", container: "ab" };
  assert.equal(
    lineOf({ ...actor, unit: "a\\x2db.service" }),
    "33 www\\ndata 34 web ab a\\\\x2db.service",
  );
  assert.equal(lineOf({ uid: 33 }), "33 - - - - -");
});
