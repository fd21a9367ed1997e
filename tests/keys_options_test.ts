/** The arguments of `keys()`, and a kernel that does not have it. */

import assert from "node:assert/strict";
import test from "node:test";
import { CapabilityError, keys, type KeysOptions, SystemError, UnsupportedError } from "../mod.ts";
import { settleKeys } from "../streams/keys_options.ts";
import { whyNoKeys } from "./keyed.ts";
import { moduleFile, openLinks, runScript } from "./runtime.ts";

test("keyrings and their tags", () => {
  const tags = (...args: Parameters<typeof keys>) =>
    settleKeys(args[0]!, args[1] ?? {}).keyrings.map(({ keyring, tag }) => [keyring, tag]);
  assert.deepEqual(tags("session"), [["session", 0]]);
  assert.deepEqual(tags(12345), [[12345, 0]]);
  assert.deepEqual(tags(["user", 7, { keyring: "%:mail", tag: 255 }, { keyring: "process" }]), [
    ["user", 0],
    [7, 1],
    ["%:mail", 255],
    ["process", 3],
  ]);
  assert.deepEqual(tags(new Set(["thread"])), [["thread", 0]]);
});

const wrong:
  readonly (readonly [unknown, unknown, typeof TypeError | typeof RangeError, RegExp])[] = [
    [null, {}, TypeError, /keys of null: not a keyring/],
    [{ keyring: "user" }, {}, TypeError, /not a keyring, and not a list/],
    [[], {}, TypeError, /no keyring is given/],
    ["", {}, TypeError, /keyring ""/],
    ["a\0b", {}, TypeError, /no name/],
    [[null], {}, TypeError, /keyring null/],
    [[{ tag: 1 }], {}, TypeError, /keyring undefined/],
    [0, {}, RangeError, /key 0: no serial number/],
    [-3, {}, RangeError, /key -3/],
    [1.5, {}, RangeError, /key 1.5/],
    [2 ** 31, {}, RangeError, /no serial number/],
    [[{ keyring: 5, tag: 256 }], {}, RangeError, /tag 256: it is 0 to 255/],
    [[{ keyring: 5, tag: -1 }], {}, RangeError, /tag -1/],
    [Array.from({ length: 257 }, () => "user"), {}, RangeError, /tag 256/],
    ["user", null, TypeError, /options null/],
    ["user", { filters: [] }, TypeError, /option filters: no such option/],
    ["user", { events: "key" }, TypeError, /events/],
    ["user", { events: ["key.made"] }, TypeError, /key\.made": no such kind/],
    ["user", { signal: {} }, TypeError, /not an AbortSignal/],
    ["user", { filter: [] }, RangeError, /0 filters: there may be 1 to 15/],
    ["user", { filter: Array.from({ length: 16 }, () => ({})) }, RangeError, /16 filters/],
    ["user", { filter: ["key.link"] }, TypeError, /by key.link: not an object/],
    ["user", { filter: null }, TypeError, /by null/],
    ["user", { filter: { subtypes: 3 } }, TypeError, /subtypes 3: not a list/],
    ["user", { filter: { subtypes: [32] } }, RangeError, /not 32/],
    ["user", { filter: { infoMask: 0x7f } }, RangeError, /length/],
  ];

for (const [keyring, options, kind, message] of wrong) {
  test(`refused: ${message}`, () => {
    assert.throws(() => keys(keyring as string, options as KeysOptions), (error) => {
      assert(error instanceof kind, String(error));
      assert.match(error.message, /^Cannot /);
      assert.match(error.message, message);
      return true;
    });
  });
}

test("filters are copied, and one needs no list", () => {
  const filter = { subtypes: [1] };
  const settled = settleKeys("user", { filter });
  filter.subtypes.push(2);
  assert.deepEqual(settled.filter, [{ subtypes: [1] }]);
});

const lacks = { skip: whyNoKeys === false ? "this kernel has it" : false };

test("a kernel that lacks it says which option, and who has it", lacks, async () => {
  const before = openLinks().filter((link) => link.startsWith("pipe:"));
  const stream = keys();
  const failures = [
    await stream.ready.catch((error) => error),
    await stream[Symbol.asyncIterator]().next().catch((error) => error),
  ];
  for (const error of failures) {
    assert(error instanceof SystemError);
    if (error.code === "EPERM") continue; // a container that forbids keyctl(2)
    assert(error instanceof UnsupportedError && !(error instanceof CapabilityError));
    assert.match(error.message, /^Cannot watch keys: the kernel /);
    for (const word of ["CONFIG_WATCH_QUEUE", "CONFIG_KEY_NOTIFICATIONS"]) {
      assert(error.hint.includes(word), word);
    }
    for (const word of ["Fedora", "RHEL", "Ubuntu", "Debian"]) {
      assert(error.hint.includes(word), word);
    }
  }
  assert.equal(failures[0], failures[1]);
  assert.deepEqual(stream.coverage(), []);
  assert.equal(stream.stats().watches, 0);
  assert.equal(stream.close(), stream.close());
  await stream.close();
  assert.deepEqual(openLinks().filter((link) => link.startsWith("pipe:")), before);
});

test("nobody needs to look at what failed, and the process ends", lacks, async () => {
  const ended = await runScript(`
    import { keys } from ${JSON.stringify(moduleFile("mod.ts"))};
    const stream = keys("user");
    await stream.ready.catch((error) => console.log(error.name));
    keys("session");
    const aborted = keys("session", { signal: AbortSignal.abort() });
    await aborted.close();
  `);
  assert.deepEqual(ended, { status: 0, stdout: "UnsupportedError\n", stderr: "" });
});
