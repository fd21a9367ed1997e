/**
 * What ausearch makes of addresses, arguments and strings in a log of every kind of encoding, and what is made of them here.
 */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import test from "node:test";
import { decodeLine } from "../backends/audit/decode.ts";
import { socketAddress } from "../classify/audit_address.ts";
import { readArguments, readTitle } from "../classify/audit_actor.ts";
import { encodeText } from "../ffi/text.ts";
import { TemporaryDirectory } from "./runtime.ts";

const skip = spawnSync("ausearch", ["--version"]).status === 0
  ? {}
  : { skip: "needs ausearch, of auditd" };

/** Hex as the kernel writes it. */
function hex(text: string): string {
  return Array.from(encodeText(text), (byte) => byte.toString(16).padStart(2, "0")).join("")
    .toUpperCase();
}

/** What `ausearch -i` prints of the record of a log with that one. */
function interpreted(line: string): string {
  using directory = new TemporaryDirectory();
  const file = join(directory.path, "audit.log");
  writeFileSync(file, `${line}\n`);
  const { status, stdout, stderr } = spawnSync(
    "ausearch",
    ["-if", file, "-i", "--escape", "raw"],
    { encoding: "utf8", env: { ...process.env, TZ: "UTC", LC_ALL: "C" } },
  );
  assert.equal(status, 0, stderr);
  return stdout;
}

const AT = "msg=audit(1767225600.042:4711):";

for (
  const [family, saddr] of [
    ["inet", "020000507F0000010000000000000000"],
    ["inet6", "0A0001BB00000000FE80000000000000020000FFFE00000102000000"],
    ["inet6", "0A0001BB0000000020010DB800000001000100010001000100000000"],
    ["inet6", "0A0001BB0000000000000000000000000000FFFF0A00000100000000"],
    ["inet6", "0A0001BB000000000000000000000000000000000000000000000000"],
    ["local", `0100${hex("/run/x y")}0000`],
    ["local", `010000${hex("bus")}`],
  ] as const
) {
  test(`an address: ${saddr}`, skip, () => {
    const text = interpreted(`type=SOCKADDR ${AT} saddr=${saddr}`);
    const { address, port } = socketAddress(saddr)!;
    assert.match(text, new RegExp(`saddr_fam=${family} `));
    const shown = /(?:laddr|path)=(.*?)(?:%\w+)?(?: lport=(\d+))? \}/.exec(text);
    assert.ok(shown, text);
    // It says what this machine calls the interface of a link-local address, and not that a name is abstract.
    assert.equal(address?.replace(/^@/, ""), shown[1]);
    assert.equal(port, shown[2] === undefined ? undefined : Number(shown[2]));
  });
}

for (const value of ["rm", "rm -r", "ä€😀", "tab\tand\x01", "(null)", 'a"b', "=", "A1B2"]) {
  test(`a string: ${JSON.stringify(value)}`, skip, () => {
    const isPlain = /^[!#-~]+$/.test(value);
    const line = `type=USER_LOGIN ${AT} pid=1 uid=0 auid=1 ses=1 msg='op=login acct=${
      isPlain ? `"${value}"` : hex(value)
    } res=failed'`;
    assert.equal(decodeLine(line)!.string("acct"), value);
    assert.ok(interpreted(line).includes(` acct=${value} res=`), interpreted(line));
  });
}

test("arguments and a title", skip, () => {
  const words = ["sh", "-c", "echo a  b", "4142", "ä"];
  const fields = words.map((word, index) =>
    `a${index}=${/^[!#-~]+$/.test(word) ? `"${word}"` : hex(word)}`
  );
  const line = `type=EXECVE ${AT} argc=${words.length} ${fields.join(" ")}`;
  assert.deepEqual(readArguments([decodeLine(line)!]), words);
  const shown = words.map((word, index) => `a${index}=${word}`).join(" ");
  assert.ok(interpreted(line).includes(shown), interpreted(line));
  const title = `type=PROCTITLE ${AT} proctitle=${hex(words.join("\0"))}`;
  assert.deepEqual(readTitle(decodeLine(title)!)?.arguments, words);
  assert.ok(interpreted(title).includes(`proctitle=${words.join(" ")}`), interpreted(title));
});
