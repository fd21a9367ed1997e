/** `sentinode keys`, as a process of its own. */

import assert from "node:assert/strict";
import test from "node:test";
import { Run, runToEnd } from "./command_line.ts";
import { act, addKey, whyNoKeyrings, whyNoKeys } from "./keyed.ts";
import { KEY_SPEC_USER_KEYRING } from "../ffi/abi/keyctl.ts";

const watched = (...args: string[]) => runToEnd(["keys", ...args]);

for (
  const [args, message] of [
    [["0"], /Cannot watch key 0: no serial number/],
    [["0xffffffff"], /no serial number/],
    [[""], /Cannot watch keyring ""/],
    [["--events", "made"], /Cannot .*made/],
    [["--raw"], /Cannot watch keys with --raw: it is for --json/],
    [["--json", "--format", "%k"], /--json.*--format/],
  ] as const
) {
  test(`refused: keys ${args.join(" ")}`, async () => {
    const { status, stdout, stderr } = await watched(...args);
    assert.equal(status, 1);
    assert.equal(stdout, "");
    assert.match(stderr, message);
  });
}

const lacks = { skip: whyNoKeys === false ? "this kernel has it" : false };

test("a kernel that lacks it", lacks, async () => {
  const { status, stdout, stderr } = await watched();
  assert.deepEqual([status, stdout], [1, ""]);
  assert.match(
    stderr,
    /^sentinode keys: Cannot watch keys: .*\nHint: .*(CONFIG_WATCH_QUEUE|seccomp)/,
  );
});

/** A keyring in the user's, which other processes of the user can watch, until the end of the block. */
class SharedKeyring implements Disposable {
  readonly id: number = addKey("keyring", "sentinode-test\x1b", "", KEY_SPEC_USER_KEYRING);

  constructor() {
    act("setPermissions", this.id, 0x3f3f0000);
  }

  [Symbol.dispose](): void {
    act("unlink", this.id, KEY_SPEC_USER_KEYRING);
  }
}

const settings = { skip: whyNoKeys || whyNoKeyrings, timeout: 60_000 };

test("a keyring's events, for people, until SIGINT", settings, async () => {
  using ring = new SharedKeyring();
  await using run = new Run(["keys", `0x${ring.id.toString(16)}`, "--time-format=-"]);
  await run.armed();
  assert.equal(run.stderr, `Watching keyring "sentinode-test\\x1b" ${ring.id} (keys, 1 watch)\n`);
  const one = addKey("user", 'a "b"\n', "1", ring.id);
  await run.printed("key.link"); // and watched
  act("setPermissions", one, 0x3f3f0000);
  await run.printed("key.setattr");
  act("clear", ring.id);
  await run.printed("key.remove"); // which is in no keyring any more
  run.kill("SIGINT");
  assert.equal(await run.status(), 0);
  const shown = `keyring "sentinode-test\\x1b" ${ring.id}`;
  assert.deepEqual(run.lines.map((line) => line.replace(/ +/g, " ")), [
    `- key.link user "a "b"\\n" ${one} in ${shown}`,
    `- key.setattr user "a "b"\\n" ${one} in ${shown}`,
    `- key.clear ${shown}`,
    `- key.remove user "a "b"\\n" ${one} in ${shown}`,
  ]);
  assert.match(run.stderr, /\n4 events, 0 lost\n$/);
});

test("JSON, kinds, a count; two keyrings", settings, async () => {
  using ring = new SharedKeyring();
  const args = [
    "keys",
    "user",
    `${ring.id}`,
    "--json",
    "--raw",
    "--events=key.unlink",
    "--count=1",
  ];
  await using run = new Run(args);
  await run.until("both", () => run.stderr.split("\n").length === 3);
  const one = addKey("user", "one", "1", ring.id);
  act("unlink", one, ring.id);
  assert.equal(await run.status(), 0);
  const [event] = run.lines.map((line) => JSON.parse(line));
  assert.deepEqual([event.kind, event.backend, event.path], ["key.unlink", "keys", ""]);
  assert.equal(event.attributes.keyring.id, ring.id);
  assert.equal(event.attributes.tag, 1, "the second was asked for as well, and is nearer");
  assert.deepEqual([event.raw.keyId, event.raw.aux], [ring.id, one]);
});

test("nothing happens: the timeout", settings, async () => {
  using ring = new SharedKeyring();
  const ended = await watched(`${ring.id}`, "--timeout=0.1", "--quiet");
  assert.deepEqual(ended, { status: 2, stdout: "", stderr: "" });
});

test("there is no such key", settings, async () => {
  const { status, stderr } = await watched("no such keyring");
  assert.equal(status, 1);
  assert.match(stderr, /Cannot find keyring "no such keyring": there is no such key.*\nHint: /);
});
