/** mounts(): what is mounted, moved, remounted and unmounted, told by the kernel and by comparing the mount table. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmdirSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";
import { join } from "node:path";
import test, { after } from "node:test";
import { MountReader } from "../backends/mounts/mount_table.ts";
import { parseMountInfo } from "../backends/mounts/mountinfo.ts";
import { openNamespace } from "../backends/mounts/namespace.ts";
import { openLibc } from "../ffi/libc.ts";
import { capabilities, listMounts, type MountEvent, type MountOptions, mounts } from "../mod.ts";
import { isInstalled } from "../scripts/real_work/process.ts";
import { CAPACITY } from "../watch/queue.ts";
import { Namespace, withMounts } from "./mount_namespace.ts";
import {
  AS_NOBODY,
  isDeno,
  isRoot,
  moduleFile,
  noUserNamespaces,
  runScript,
  TemporaryDirectory,
  until,
} from "./runtime.ts";

const { probes } = await capabilities();
const refused = probes.find(({ name }) => name === "mount-events")!;
const hasEvents = refused.available;

/** Why a test cannot run; `backend` and `programs` are what it takes. */
function needs(backend: string, ...programs: readonly string[]): string | false {
  if (!isRoot) return "needs root";
  if (backend === "fanotify" && !hasEvents) return `no mount events: ${refused.reason}`;
  const missing = programs.find((program) => !isInstalled(program));
  return missing === undefined ? false : `needs ${missing}`;
}

/** A stream of a namespace's mounts, and what it has told: paths relative to the namespace's own directory. */
class Told implements AsyncDisposable {
  readonly events: MountEvent[] = [];
  readonly stream: ReturnType<typeof mounts>;
  readonly #namespace: Namespace;
  readonly #places: readonly string[];
  readonly #ended: Promise<void>;

  private constructor(namespace: Namespace, options: MountOptions, places: readonly string[]) {
    this.#namespace = namespace;
    this.#places = [namespace.path, ...places];
    this.stream = mounts({ namespace: namespace.pid, ...options });
    this.#ended = this.#collect();
    this.#ended.catch(() => {});
  }

  /** Of what happens in the namespace's directory, and at `places`. */
  static async open(
    namespace: Namespace,
    options: MountOptions,
    ...places: readonly string[]
  ): Promise<Told> {
    const told = new Told(namespace, options, places);
    await told.stream.ready;
    return told;
  }

  async #collect(): Promise<void> {
    for await (const event of this.stream) {
      // Who is shared with whom is told whenever it is looked at, which is at no certain time.
      const { mount, mountBefore } = event.attributes;
      const isOther = (name: "options" | "superOptions") => mount?.[name] !== mountBefore?.[name];
      const isSharing = event.kind === "mount.change" && !isOther("options") &&
        !isOther("superOptions");
      // A new namespace has copies of all mounts of the machine, on directories that others may remove meanwhile.
      const isOwn = [event.path, event.from].some((path) =>
        path === "/" || this.#places.some((place) => path?.startsWith(place))
      );
      if (isOwn && !isSharing) this.events.push(event);
    }
  }

  /** What was told, and forgotten with this. */
  lines(): string[] {
    const below = (path: string) => path.replace(`${this.#namespace.path}/`, "");
    return this.events.splice(0).map(({ kind, path, from }) =>
      `${kind.slice("mount.".length)} ${from === undefined ? "" : `${below(from)} > `}${
        below(path)
      }`
    );
  }

  /** Until the namespace's table is what was told, and so many events were. */
  async settled(count: number): Promise<void> {
    await until(() => this.events.length >= count && this.table() === this.tableOfKernel());
  }

  /** What is mounted where, as far as it was told. */
  table(): string {
    return this.stream.list().map((mount) =>
      `${mount.tableId} ${mount.point} ${mount.root} ${mount.type} ${mount.source} ${mount.options} ` +
      `${mount.superOptions}`
    ).sort().join("\n");
  }

  tableOfKernel(): string {
    return parseMountInfo(readFileSync(`/proc/${this.#namespace.pid}/mountinfo`, "utf8")).map((
      mount,
    ) =>
      `${mount.id} ${mount.point} ${mount.root} ${mount.type} ${mount.source} ${mount.options} ` +
      `${mount.superOptions}`
    ).sort().join("\n");
  }

  /** The end of the stream. */
  ended(): Promise<void> {
    return this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stream.close();
    await this.#ended;
  }
}

const programs = new TemporaryDirectory();
after(() => programs[Symbol.dispose]());
const calls = join(programs.path, "mount_calls");
if (isInstalled("cc")) execFileSync("cc", ["-O2", "-o", calls, moduleFile("tests/mount_calls.c")]);

/** Steps of a shell in a namespace of its own, and what each is told as; `!`: of a shell that is not in it. */
type Case = readonly (readonly [command: string, ...told: readonly string[]])[];

const CASES: Readonly<Record<string, Case>> = {
  "a mount comes and goes": [
    ["mkdir a && mount -t tmpfs sentinode-test a", "attach a"],
    ["umount a", "detach a"],
  ],
  "a bind mount, of a directory and of a file": [
    ["mkdir a b && touch f g && mount --bind a b", "attach b"],
    ["mount --bind f g", "attach g"],
    ["umount b g", "detach b", "detach g"],
  ],
  "a mount is moved": [
    ["mkdir a b && mount -t tmpfs sentinode-test a", "attach a"],
    ["mount --move a b", "move a > b"],
    ["umount b", "detach b"],
  ],
  "what is mounted below a mount moves along": [
    ["mkdir a b && mount -t tmpfs sentinode-test a", "attach a"],
    ["mkdir a/s && mount -t tmpfs sentinode-test a/s", "attach a/s"],
    ["mount --move a b", "move a > b"],
    ["umount b/s", "detach b/s"],
  ],
  "a recursive bind mount": [
    ["mkdir a b && mount -t tmpfs sentinode-test a", "attach a"],
    ["mkdir a/s && mount -t tmpfs sentinode-test a/s", "attach a/s"],
    ["mount --rbind a b", "attach b", "attach b/s"],
    ["umount -R b", "detach b", "detach b/s"],
  ],
  "a filesystem that is made first, and then mounted": [
    ["mkdir a && $CALLS fsmount a", "attach a"],
    ["umount a", "detach a"],
  ],
  "a mount propagates to all peers": [
    ["mkdir a b c && mount -t tmpfs sentinode-test a", "attach a"],
    ["mount --make-shared a"],
    ["mount --bind a b", "attach b"],
    ["mount --bind a c", "attach c"],
    ["mkdir a/s && mount -t tmpfs sentinode-test a/s", "attach a/s", "attach b/s", "attach c/s"],
    ["umount b/s", "detach a/s", "detach b/s", "detach c/s"],
  ],
  "what was on a mount that is taken away below it falls on the next": [
    ["mkdir a b && mount --bind a a && mount --make-shared a", "attach a"],
    ["mount --bind a b && mount --make-slave b", "attach b"],
    ["mount -t tmpfs one a", "attach a", "attach b"],
    ["mount -t tmpfs two b", "attach b"],
    ["umount a", "detach a", "detach b", "move b > b"],
  ],
  "a mount on a directory that is removed elsewhere": [
    ["mount --bind $OUTSIDE $OUTSIDE", "attach $OUTSIDE"],
    ["! rmdir $OUTSIDE", "detach $OUTSIDE"],
  ],
  "the root becomes another one": [
    ["mkdir new && mount -t tmpfs sentinode-test new && mkdir new/old", "attach new"],
    ["pivot_root new new/old", "move / > /old", "move new > /"],
  ],
  "a lazy unmount": [
    ["mkdir a && mount -t tmpfs sentinode-test a && mkdir a/s", "attach a"],
    ["mount -t tmpfs sentinode-test a/s", "attach a/s"],
    ["umount --lazy a", "detach a", "detach a/s"],
  ],
  "a remount, of the mount and of the filesystem": [
    ["mkdir a && mount -t tmpfs sentinode-test a", "attach a"],
    ["mount -o remount,bind,ro,nosuid a", "change a"],
    ["mount -o remount,size=8k a", "change a"],
    ["umount a", "detach a"],
  ],
  "names with spaces, newlines and bytes that are no text": [
    ["mkdir 'a b' && mount -t tmpfs 'so urce' 'a b'", "attach a b"],
    ["mkdir \"$(printf 'c\\nd')\" && mount -t tmpfs x \"$(printf 'c\\nd')\"", "attach c\nd"],
    ["mkdir \"$(printf 'e\\377')\" && mount -t tmpfs x \"$(printf 'e\\377')\"", "attach e\ufffd"],
  ],
};

for (const backend of ["fanotify", "mountinfo"] as const) {
  for (const [name, steps] of Object.entries(CASES)) {
    test(`${backend}: ${name}`, { skip: needs(backend, "cc"), timeout: 60_000 }, async () => {
      const outside = mkdtempSync(join(tmpdir(), "sentinode-outside-"));
      try {
        await using namespace = await Namespace.open();
        await using told = await Told.open(namespace, { backend }, outside);
        const named = (text: string) =>
          text.replaceAll("$OUTSIDE", outside).replaceAll("$CALLS", calls);
        for (const [command, ...expected] of steps) {
          if (command.startsWith("!")) execFileSync("sh", ["-c", named(command.slice(1))]);
          else await namespace.run(named(command));
          await told.settled(expected.length);
          assert.deepEqual(told.lines().sort(), expected.map(named).sort(), command);
        }
        const { way, losses, scans } = told.stream.stats();
        assert.deepEqual([way, losses], [backend, 0]);
        if (backend === "fanotify") assert.equal(scans, 0);
      } finally {
        if (existsSync(outside)) rmdirSync(outside);
      }
    });
  }
}

test("two streams tell the same, and one goes on when the other is closed", {
  skip: needs("any"),
  timeout: 60_000,
}, async () => {
  await using namespace = await Namespace.open();
  await using one = await Told.open(namespace, {});
  {
    await using other = await Told.open(namespace, {});
    await namespace.run("mkdir a && mount -t tmpfs sentinode-test a");
    await Promise.all([one.settled(1), other.settled(1)]);
    assert.deepEqual([one.lines(), other.lines()], [["attach a"], ["attach a"]]);
  }
  await namespace.run("umount a");
  await one.settled(1);
  assert.deepEqual(one.lines(), ["detach a"]);
});

test("what is gone has all that was known of it, and who did it is told", {
  skip: needs("fanotify"),
  timeout: 60_000,
}, async () => {
  await using namespace = await Namespace.open();
  await using told = await Told.open(namespace, { actor: true });
  await namespace.run(
    "mkdir a && mount -t tmpfs -o ro,size=8k 'so urce' a && exec 3</proc/self/stat",
  );
  await told.settled(1);
  await namespace.run("umount a");
  await told.settled(2);
  const [came, went] = told.events;
  const { mount } = went!.attributes;
  assert.deepEqual(mount, came!.attributes.mount);
  const { source, type, options, superOptions, point, id } = mount!;
  assert.deepEqual([source, type, options, point], [
    "so urce",
    "tmpfs",
    "ro,relatime",
    join(namespace.path, "a"),
  ]);
  assert.match(superOptions, /^ro,.*size=8k/);
  assert(id > 2 ** 31, "a unique id");
  for (const event of [came!, went!]) {
    assert(event.actor!.pid > 0);
    assert.equal(event.actor!.self, false);
    assert.equal(event.synthetic, undefined);
    assert.match(JSON.stringify(event.raw), /"mountId"/);
  }
  assert.deepEqual(JSON.parse(JSON.stringify(went)).attributes.mount, { ...mount });
});

test(
  "kinds that are not asked for are not told",
  { skip: needs("any"), timeout: 60_000 },
  async () => {
    await using namespace = await Namespace.open();
    await using told = await Told.open(namespace, { events: ["mount.detach"] });
    await namespace.run("mkdir a && mount -t tmpfs sentinode-test a");
    await told.settled(0);
    await namespace.run("umount a");
    await told.settled(1);
    assert.deepEqual(told.lines(), ["detach a"]);
  },
);

test("the stream ends with the process whose mounts it tells", {
  skip: needs("any"),
  timeout: 60_000,
}, async () => {
  let told: Told;
  {
    await using namespace = await Namespace.open();
    told = await Told.open(namespace, {});
  }
  await told.ended();
});

for (const backend of ["fanotify", "mountinfo"] as const) {
  test(`${backend}: 1,000 mounts that come and go leave the same table`, {
    skip: needs(backend, "cc"),
    timeout: 60_000,
  }, async () => {
    const isExact = backend === "fanotify";
    await using namespace = await Namespace.open();
    await using told = await Told.open(namespace, { backend });
    const before = told.stream.stats();
    await namespace.run(`mkdir m && ${calls} burst m 1000 300`);
    await told.settled(isExact ? 1700 : 300);
    await namespace.run("umount m/7?? m/8?? m/9??");
    await told.settled(isExact ? 2000 : 600);
    const mounted = new Set<string>();
    const all = new Set<string>();
    for (const { kind, path } of told.events) {
      if (kind === "mount.detach") {
        assert(mounted.delete(path), path);
      } else {
        assert.equal(kind, "mount.attach");
        assert(!all.has(path), path);
        all.add(path);
        mounted.add(path);
      }
    }
    assert.equal(mounted.size, 0);
    assert(all.size === 1000 || !isExact, `${all.size} were told`);
    const { scans, listings, losses } = told.stream.stats();
    assert.equal(losses, 0);
    if (isExact) assert.deepEqual([scans, listings - before.listings], [0, 0], "nothing was read");
  });
}

test("mountinfo: a mount has one id, however many come while the table is read", {
  skip: needs("mountinfo", "cc"),
  timeout: 60_000,
}, async () => {
  await using namespace = await Namespace.open();
  const libc = await openLibc();
  const reader = new MountReader(libc, openNamespace(libc, namespace.pid), false);
  const ids = new Map<string, Set<number>>();
  let isBurst = true;
  const bursts = `for i in 1 2 3 4 5 6; do mkdir m$i && ${calls} burst m$i 400 0; done`;
  const burst = namespace.run(bursts).finally(() => isBurst = false);
  let looks = 0;
  for (; isBurst; looks++) {
    for (const { id, point } of reader.all().values()) {
      if (!/\/m\d\/\d+$/.test(point)) continue; // on others there may be several
      ids.set(point, (ids.get(point) ?? new Set()).add(id));
    }
    await new Promise((resolve) => setTimeout(resolve));
  }
  await burst;
  assert.deepEqual([...ids].filter(([, several]) => several.size > 1), []);
  assert(looks > 1 && ids.size > 0, `${looks} looks, ${ids.size} mounts`);
});

test("what the kernel drops is lost, and then found by comparing", {
  skip: needs("fanotify", "cc"),
  timeout: 60_000,
}, async () => {
  await using namespace = await Namespace.open();
  await namespace.run("mkdir a b c && mount -t tmpfs sentinode-test a");
  const limit = Number(readFileSync("/proc/sys/fs/fanotify/max_queued_events", "utf8"));
  // Nothing is iterated: the stream's own queue is full first, and then the kernel's.
  const stream = mounts({ namespace: namespace.pid });
  try {
    await stream.ready;
    await namespace.run(`${calls} events b ${CAPACITY + limit + 1000}`);
    await namespace.run("umount a && mount -t tmpfs sentinode-test c");
    const seen: MountEvent[] = [];
    for await (const event of stream) {
      seen.push(event);
      if (event.kind === "recovered") break;
    }
    const lost = seen.findIndex(({ kind }) => kind === "lost");
    assert(lost >= CAPACITY, `${lost}`);
    assert.deepEqual(
      seen.slice(lost).map(({ kind, path, synthetic }) => [
        kind,
        path.replace(`${namespace.path}/`, ""),
        synthetic ?? false,
      ]).filter(([, path]) => path !== "b"),
      [
        ["lost", "/", false],
        ["mount.detach", "a", true],
        ["mount.attach", "c", true],
        ["recovered", "/", false],
      ],
    );
    assert.equal(stream.stats().losses, 1);
    assert.equal(stream.stats().dropped, 0);
  } finally {
    await stream.close();
  }
});

const AS_ROOT_OF_ITS_OWN = `
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { mounts } from "${moduleFile("mod.ts")}";
mkdirSync("m");
await using stream = mounts();
await stream.ready;
spawn("sh", ["-c", "mount -t tmpfs sentinode-test m && umount m"], { stdio: "inherit" });
const told = [];
for await (const { kind, path } of stream) {
  told.push(kind + " " + path.split("/").pop());
  if (told.length === 2) break;
}
console.log(stream.stats().way, told.join(", "));
`;

test("in a user namespace of one's own, nobody is told by the kernel", {
  skip: noUserNamespaces || needs("fanotify"),
  timeout: 60_000,
}, async () => {
  const { stdout, stderr } = await runScript(AS_ROOT_OF_ITS_OWN, {
    asNobody: true,
    under: ["unshare", "--user", "--map-root-user", "--mount"],
  });
  assert.match(stdout, /^fanotify mount.attach m?, mount.detach m?$/m, stderr);
});

test("of the mounts of root, nobody is told by comparing", {
  skip: needs("any"),
  timeout: 60_000,
}, async () => {
  await using namespace = await Namespace.open();
  const flags = isDeno ? ["run", "--quiet", "--allow-ffi"] : [];
  using directory = new TemporaryDirectory();
  chmodSync(directory.path, 0o755);
  const runtime = join(directory.path, "runtime"); // Deno adds -A to its own name
  symlinkSync(process.execPath, runtime);
  const command = [...AS_NOBODY, runtime, ...flags, moduleFile("cli.ts"), "mounts", "--count", "1"];
  await namespace.run(`mkdir a && (${command.join(" ")} &)`);
  await namespace.until(/by comparing the mount table, for fanotify_\w+: E/);
  await namespace.run("mount -t tmpfs sentinode-test a");
  await namespace.until(/mount\.attach +\S+\/a tmpfs/);
});

test("what cannot be watched is refused, with what to do", { timeout: 60_000 }, async () => {
  const failure = async (options: MountOptions) => {
    const stream = mounts(options);
    try {
      await stream.ready;
    } catch (error) {
      await assert.rejects(stream[Symbol.asyncIterator]().next(), error as Error);
      return error as { code: string; message: string; hint: string };
    }
    throw new Error("it was not refused");
  };
  const missing = await failure({ namespace: 2 ** 22 + 1 });
  assert.deepEqual([missing.code, missing.message], [
    "ENOENT",
    "Cannot watch the mounts of process 4194305: no such file or directory (ENOENT)",
  ]);
  const file = await failure({ namespace: "/proc/self/ns/net" });
  assert.deepEqual([file.code, file.message], [
    "EINVAL",
    "Cannot watch the mounts of /proc/self/ns/net: it is no mount namespace",
  ]);
  for (
    const options of [
      { namespace: -1 },
      { namespace: "" },
      { namespace: {} },
      { backend: "inotify" },
      { actor: 1 },
      { events: ["mount.nothing"] },
      { signal: 1 },
      { other: 1 },
      null,
    ]
  ) {
    assert.throws(() => mounts(options as MountOptions), {
      name: "TypeError",
      message: /^Cannot /,
    });
  }
});

test("the list is the mount table, with ids that are never given again", async () => {
  const { seen: list, table } = await withMounts(() => listMounts());
  assert.deepEqual(
    list.map(({ id: _, parent: __, tableId: id, ...rest }) => ({ id, ...rest }))
      .sort((a, b) => a.id - b.id),
    table.map(({ parent: _, ...rest }) => rest).sort((a, b) => a.id - b.id),
  );
  const ids = new Map(list.map(({ id, tableId }) => [tableId, id]));
  for (const { id, parent } of table) {
    const mount = list.find(({ tableId }) => tableId === id)!;
    if (ids.has(parent)) assert.equal(mount.parent, ids.get(parent));
  }
});
