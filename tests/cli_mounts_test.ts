/** `sentinode mounts`, as a process of its own. */

import assert from "node:assert/strict";
import test from "node:test";
import { Run, runToEnd, USERS } from "./command_line.ts";
import { Namespace, withMounts } from "./mount_namespace.ts";
import { isRoot } from "./runtime.ts";

for (const user of USERS) {
  test(`the list, as ${user}`, async () => {
    const { seen: [{ status, stdout, stderr }, json], table } = await withMounts(async () =>
      [
        await runToEnd(["mounts", "--list", "--null"], { user }),
        await runToEnd(["mounts", "--list", "--json"], { user }),
      ] as const
    );
    assert.equal(status, 0, stderr);
    const expected = table.map(({ point, root, type, source, options }) =>
      `${point} ${type} ${source}${root === "/" ? "" : `[${root}]`} ${options}`
    );
    const lines = stdout.split("\0").slice(0, -1);
    assert.equal(lines.length, expected.length);
    for (const line of expected) assert(lines.some((one) => one.startsWith(line)), line);
    const ids = json.stdout.trimEnd().split("\n").map((line) => JSON.parse(line).tableId);
    assert.deepEqual(ids.sort(), table.map(({ id }) => id).sort());
  });
}

const settings = { skip: isRoot ? false : "needs root", timeout: 60_000 };

test("a line an event, as people read them", settings, async () => {
  await using namespace = await Namespace.open();
  const which = `--namespace=${namespace.pid}`;
  await using run = new Run(["mounts", which, "--time-format=-"]);
  await run.armed();
  assert.match(
    run.stderr,
    /^Watching mounts \((told by the kernel|by comparing the mount table.*)\)\n/,
  );
  await namespace.run("mkdir a && mount -t tmpfs 'so urce' a");
  await run.printed(`mount.attach         ${namespace.path}/a`);
  await namespace.run("mount -o remount,ro a");
  await run.printed(`mount.change         ${namespace.path}/a`);
  await namespace.run("umount a");
  await run.printed(`mount.detach         ${namespace.path}/a`);
  run.kill("SIGTERM");
  assert.equal(await run.status(), 0);
  // The namespace has copies of all mounts of the machine, on directories that others may remove meanwhile.
  const lines = run.lines.filter((line) => line.includes(namespace.path)).map((line) =>
    line.replace(namespace.path, "").replace(/ +/g, " ")
  );
  assert.match(lines[0]!, /^- mount\.attach \/a tmpfs so urce rw,relatime/);
  assert.match(
    lines[1]!,
    /^- mount\.change \/a tmpfs so urce ro,relatime.* \(was rw,relatime.*\)$/,
  );
  assert.match(lines[2]!, /^- mount\.detach \/a tmpfs so urce ro,relatime/);
});

test("wrong options are refused", async () => {
  for (
    const [args, complaint] of [
      [
        ["--list", "--actor"],
        /^sentinode mounts: Cannot list mounts with --actor: it is for events\n/,
      ],
      [
        ["--backend", "x"],
        /^sentinode mounts: Cannot watch mounts with backend "x": it is one of auto, /,
      ],
      [["--events", "mount.x"], /^sentinode mounts: Cannot watch .*mount\.x/],
      [
        ["--namespace", "/nowhere"],
        /^sentinode mounts: Cannot watch the mounts of \/nowhere: no such/,
      ],
    ] as const
  ) {
    const { status, stdout, stderr } = await runToEnd(["mounts", ...args]);
    assert.deepEqual([status, stdout], [1, ""]);
    assert.match(stderr, complaint);
  }
});
