/** `audit()` of this machine: what is told of which operation, what is counted as lost, and that all is as before. */

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import test from "node:test";
import type { AuditLosses } from "../backends/audit/losses.ts";
import { listRules } from "../backends/audit/rules.ts";
import { statusBefore } from "../backends/audit/ownership.ts";
import type { AuditEvent } from "../classify/audit_event.ts";
import { CapabilityError, UnsupportedError } from "../ffi/errno.ts";
import { isInstalled } from "../scripts/real_work/process.ts";
import { audit } from "../streams/audit.ts";
import type { AuditOptions } from "../streams/audit_options.ts";
import { openTrail } from "../watch/audit_trail.ts";
import { Auditd } from "./auditd.ts";
import { Audited, whyUnaudited } from "./audited.ts";
import { isUserMode } from "./kernel.ts";
import { Running } from "./running.ts";
import { AS_NOBODY, isDeno, moduleFile, NOBODY, runScript, until, within } from "./runtime.ts";

const settings = { skip: whyUnaudited, timeout: 60_000 };
const needs = (...programs: string[]) => {
  const missing = programs.find((program) => !isInstalled(program));
  return {
    skip: whyUnaudited || (missing === undefined ? false : `${missing} is not installed`),
    timeout: 60_000,
  };
};

/** A stream, and what it told so far. */
class Told implements AsyncDisposable {
  readonly stream: ReturnType<typeof audit>;
  readonly events: AuditEvent[] = [];
  readonly ended: Promise<void>;

  private constructor(options: AuditOptions) {
    this.stream = audit(options);
    this.ended = this.#take();
    this.ended.catch(() => {});
  }

  static async open(options: AuditOptions): Promise<Told> {
    const told = new Told(options);
    await told.stream.ready;
    return told;
  }

  async #take(): Promise<void> {
    for await (const event of this.stream) this.events.push(event);
  }

  /** Until there is an event like that. */
  async until(is: (event: AuditEvent) => boolean): Promise<AuditEvent> {
    await until(() => this.events.some(is));
    return this.events.find(is)!;
  }

  /** What was lost, once the end of the last event, which is on its way, is not missing any more. */
  async losses(): Promise<AuditLosses> {
    const losses = () => this.stream.stats().losses!;
    await until(() => losses().parts === 0);
    return losses();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stream.close();
    await this.ended;
  }
}

function python(script: string, cwd: string): void {
  execFileSync("python3", ["-c", `import os, sys\n${script}`], { cwd });
}

type Row = readonly [
  command: string,
  kind: string,
  path: string,
  operation: string,
  more?: { from?: string; isDirectory?: true; after?: unknown },
];

/** What a shell does in the directory, one after the other. */
// deno-fmt-ignore
const OPERATIONS: readonly Row[] = [
  ["touch f", "create.file", "f", "open"],
  ["echo x >> f", "access.open", "f", "open"],
  ["echo x > f", "modify.data", "f", "open"],
  ["truncate -s 3 f", "access.open", "f", "open"],
  ["chmod 640 f", "modify.metadata.permissions", "f", "chmod", { after: { mode: 0o640 } }],
  ["chown 1:2 f", "modify.metadata.ownership", "f", "chown", { after: { uid: 1, gid: 2 } }],
  ["touch -h -d @7 f", "modify.metadata.times", "f", "utime"],
  ["ln f hard", "create.link", "hard", "link"],
  ["ln -s f soft", "create.symlink", "soft", "symlink"],
  ["mkfifo fifo", "create.other", "fifo", "mknod"],
  ["mkdir d", "create.directory", "d", "mkdir", { isDirectory: true }],
  ["mv f d/g", "rename", "d/g", "rename", { from: "f" }],
  ["mv d e", "rename", "e", "rename", { from: "d", isDirectory: true }],
  ["rm e/g", "remove.file", "e/g", "unlink"],
  ["rm soft", "remove.symlink", "soft", "unlink"],
  ["rm fifo", "remove.other", "fifo", "unlink"],
  ["rmdir e", "remove.directory", "e", "rmdir", { isDirectory: true }],
];

test("every kind of operation, with who did it", settings, async () => {
  await using audited = await Audited.open();
  const { path } = audited;
  await using told = await Told.open({ paths: path });
  assert.equal(told.stream.stats().way, "unicast");
  for (const [command, kind, name, operation, more = {}] of OPERATIONS) {
    told.events.length = 0;
    execFileSync("sh", ["-c", command], { cwd: path });
    const event = await told.until((event) => event.kind === kind);
    const comm = command.split(" ")[0]!;
    assert.equal(event.path, join(path, name), command);
    assert.equal(event.from, more.from && join(path, more.from), command);
    assert.equal(event.isDirectory ?? false, more.isDirectory ?? false, command);
    assert.equal(event.attributes.operation, operation, command);
    assert.equal(event.attributes.success, true);
    if (more.after !== undefined) assert.deepEqual(event.attributes.after, more.after);
    const { actor } = event;
    assert.equal(actor!.comm, comm === "echo" ? "sh" : comm);
    assert.equal(actor!.uid, 0);
    assert.equal(actor!.confidence, "exact");
    assert.equal(actor!.ppid === process.pid || comm !== "echo", true);
    assert.deepEqual(told.events.filter(({ kind }) => kind === "other" || kind === "lost"), []);
  }
  assert.deepEqual(await told.losses(), {
    kernel: 0,
    socket: 0,
    refusals: 0,
    serials: 0,
    parts: 0,
    interruptions: 0,
  });
});

test("the login user, whoever a program has become", settings, async () => {
  await using audited = await Audited.open();
  chmodSync(audited.path, 0o777);
  await using told = await Told.open({ paths: audited.path });
  const script = `echo 1234 > /proc/self/loginuid && exec ${AS_NOBODY.join(" ")} touch f`;
  execFileSync("sh", ["-c", script], { cwd: audited.path });
  const { actor } = await told.until(({ kind }) => kind === "create.file");
  assert.equal(actor!.loginUid, 1234);
  assert.equal(actor!.uid, NOBODY);
  assert.equal(typeof actor!.session, "number");
});

test("what failed, by whom and why", settings, async () => {
  await using audited = await Audited.open();
  const { path } = audited;
  chmodSync(path, 0o755);
  writeFileSync(join(path, "f"), "");
  await using told = await Told.open({ paths: path, events: ["access.failed"] });
  const script = "echo x > f; rm -f f; mkdir d; chmod 777 f; mv f g; ln f h; true";
  execFileSync(AS_NOBODY[0]!, [...AS_NOBODY.slice(1), "sh", "-c", script], {
    cwd: path,
    stdio: "ignore",
  });
  const expected = [
    ["open", "f", "EACCES"],
    ["unlink", "f", "EACCES"],
    ["mkdir", "d", "EACCES"],
    ["chmod", "f", "EPERM"],
    ["rename", "f", "EACCES"],
  ];
  for (const [operation, name, code] of expected) {
    const event = await told.until(({ attributes }) => attributes.operation === operation);
    assert.equal(event.kind, "access.failed");
    assert.equal(event.path, join(path, name!));
    assert.deepEqual(event.attributes.failed?.code, code);
    assert.equal(event.actor!.uid, NOBODY);
  }
});

test("a single file, and a directory by a symlink", settings, async () => {
  await using audited = await Audited.open();
  const { path } = audited;
  const [file, real, link] = ["file", "real", "link"].map((name) => join(path, name));
  writeFileSync(file!, "");
  mkdirSync(real!);
  symlinkSync(real!, link!);
  await using told = await Told.open({ paths: [file!, link!] });
  execFileSync("sh", ["-c", "touch other; chmod 600 file; touch link/new; rm file; touch file"], {
    cwd: path,
  });
  await told.until(({ kind, path }) => kind === "create.file" && path === file);
  const seen = told.events.map(({ kind, path }) => `${kind} ${path}`);
  assert.deepEqual(seen, [
    `modify.metadata.permissions ${file}`,
    `create.file ${path}/link/new`,
    `remove.file ${file}`,
    `create.file ${file}`,
  ]);
});

test("calls relative to an open directory have absolute paths", needs("python3"), async () => {
  await using audited = await Audited.open();
  const { path } = audited;
  mkdirSync(join(path, "there/below"), { recursive: true });
  await using told = await Told.open({ paths: path });
  python(
    `
d = os.open("there/below", os.O_RDONLY)
os.close(os.open("a", os.O_CREAT | os.O_WRONLY, dir_fd=d))
os.chmod("a", 0o600, dir_fd=d)
os.mkdir("made", dir_fd=d)
m = os.open("made", os.O_RDONLY, dir_fd=d)
os.rename("a", "b", src_dir_fd=d, dst_dir_fd=m)
os.rename("made", "moved", src_dir_fd=d, dst_dir_fd=d)
os.link("b", "c", src_dir_fd=m, dst_dir_fd=d)
os.symlink("x", "s", dir_fd=m)
os.unlink("b", dir_fd=m)
os.unlink("s", dir_fd=m)
os.rmdir("moved", dir_fd=d)
os.unlink("c", dir_fd=d)
`,
    path,
  );
  await told.until(({ kind, path }) => kind === "remove.file" && path.endsWith("/c"));
  const seen = told.events.map(({ kind, path: at, from }) =>
    `${kind} ${from === undefined ? "" : `${from} -> `}${at}`.replaceAll(`${path}/there/`, "")
  );
  assert.deepEqual(seen, [
    "create.file below/a",
    "modify.metadata.permissions ", // records tell the inode of the file, not its directory
    "create.directory below/made",
    "rename ", // and of two directories not which is whose
    "rename below/made -> below/moved",
    "create.link below/c",
    "create.symlink below/moved/s",
    "remove.file below/moved/b",
    "remove.symlink below/moved/s",
    "remove.directory below/moved",
    "remove.file below/c",
  ]);
});

test("a tree that comes, moves and goes, each path absolute", needs("tar"), async () => {
  await using audited = await Audited.open();
  const { path } = audited;
  mkdirSync(join(path, "w"));
  await using told = await Told.open({ paths: join(path, "w") });
  const script = `mkdir -p t/a/b t/c; for i in 1 2 3; do echo x > t/a/b/$i; echo x > t/c/$i; done
    tar cf t.tar t; cd w; tar xf ../t.tar; mv t u; rm -r u; mkdir end`;
  execFileSync("sh", ["-c", script], { cwd: path });
  await told.until(({ path }) => path.endsWith("/end"));
  const removed = told.events.filter(({ kind }) => kind.startsWith("remove")).map(({ path }) =>
    path
  );
  const names = ["", "/a", "/a/b", "/a/b/1", "/a/b/2", "/a/b/3", "/c", "/c/1", "/c/2", "/c/3"];
  assert.deepEqual(removed.toSorted(), names.map((name) => `${path}/w/u${name}`));
  const created = told.events.filter(({ kind }) => kind === "create.file").map(({ path }) => path);
  assert.equal(created.length, 6);
  assert(created.every((one) => one.startsWith(`${path}/w/t/`)), String(created));
});

test("what is mounted in a tree later is audited as a part of it", needs("mount"), async () => {
  await using audited = await Audited.open();
  const { path } = audited;
  mkdirSync(join(path, "w/m/n"), { recursive: true });
  const mount = (at: string) => {
    execFileSync("mount", ["-t", "tmpfs", "sentinode-test", join(path, at)]);
    return { [Symbol.dispose]: () => execFileSync("umount", ["--lazy", join(path, at)]) };
  };
  await using told = await Told.open({ paths: join(path, "w") });
  /** The kernel includes it a moment after it was mounted, and so do we: what happens until then is not audited. */
  const isAudited = async (name: string) => {
    const isTold = () => told.events.some(({ path: at }) => at === join(path, name));
    for (let i = 0; !isTold() && i < 1000; i++) {
      execFileSync("touch", [join(path, name)]);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return told.events.find(({ path: at }) => at === join(path, name));
  };
  {
    using _ = mount("w/m");
    assert.equal((await isAudited("w/m/f"))?.actor?.comm, "touch");
    // Relative to an open directory, which is known by its inode.
    execFileSync("mkdir", [join(path, "w/m/d")]);
    await told.until((event) => event.path === join(path, "w/m/d"));
    python(
      `fd = os.open("w/m/d", os.O_RDONLY)\nos.mkdir("e", dir_fd=fd)`,
      path,
    );
    const made = await told.until(({ kind, path }) =>
      kind === "create.directory" && path.endsWith("/e")
    );
    assert.equal(made.path, join(path, "w/m/d/e"));
    execFileSync("mkdir", [join(path, "w/m/n")]);
    using _nested = mount("w/m/n");
    assert((await isAudited("w/m/n/f")) !== undefined);
  }
  execFileSync("touch", [join(path, "w/m/below")]);
  await told.until((event) => event.path === join(path, "w/m/below"));
  {
    using _ = mount("w"); // over the tree itself
    assert((await isAudited("w/over")) !== undefined);
  }
  assert(told.events.every(({ attributes: { type } }) => type !== "CONFIG_CHANGE"));
});

test("chattr is told without a path, and says so", needs("chattr"), async () => {
  await using audited = await Audited.open();
  writeFileSync(join(audited.path, "f"), "");
  await using told = await Told.open({ paths: audited.path });
  execFileSync("chattr", ["+d", "f"], { cwd: audited.path });
  const event = await told.until(({ kind }) => kind === "modify.metadata.flags");
  assert.equal(event.path, "");
  assert.equal(event.attributes.unresolved, true);
  assert.equal(event.actor!.comm, "chattr");
});

const [ARCH, KILL] = process.arch === "arm64" ? ["aarch64", 129] as const : ["x86_64", 62] as const;

test("rules of one's own, with their keys", settings, async () => {
  await using _audited = await Audited.open();
  await using told = await Told.open({
    rules: [{
      list: "exit",
      action: "always",
      syscalls: [KILL],
      fields: [{ field: "arch", value: ARCH }, { field: "key", value: "signals" }],
    }],
  });
  execFileSync("sh", ["-c", "kill -0 $$"]);
  const event = await told.until(({ attributes: { keys } }) => keys?.[0] === "signals");
  assert.equal(event.kind, "other");
  assert.equal(event.attributes.syscall, "kill");
  assert.equal(event.actor!.comm, "sh");
});

test("what audit does for itself is not told", settings, async () => {
  await using audited = await Audited.open();
  for (const source of ["unicast", "multicast"] as const) {
    await using told = await Told.open({ source, paths: audited.path });
    await using other = await Told.open({ source: "multicast", paths: join(audited.path, "..") });
    execFileSync("touch", ["f"], { cwd: audited.path });
    await told.until(({ path }) => path.endsWith("/f"));
    await other.stream.close();
    execFileSync("touch", ["end"], { cwd: audited.path });
    await told.until(({ path }) => path.endsWith("/end"));
    assert.deepEqual(told.events.filter(({ kind }) => kind === "other"), []);
    assert.deepEqual(other.events.filter(({ kind }) => kind === "other"), []);
  }
});

test("what is not managed is left alone", settings, async () => {
  await using audited = await Audited.open();
  await using told = await Told.open({ manage: false, source: "multicast" });
  await audited.isAsBefore();
  assert.equal(told.stream.unkept, undefined);
});

test("two streams of one process, and of two", settings, async () => {
  await using audited = await Audited.open();
  const { control } = audited;
  const path = directoryIn(audited);
  const first = await Told.open({ paths: path });
  const second = await Told.open({ paths: path, events: ["create"] });
  assert.equal(second.stream.stats().way, "unicast");
  const tuned = control.status();
  await using other = new Running(consumer(path, ""));
  await other.until(/ready multicast/);
  assert.deepEqual(
    [control.status().backlogLimit, control.status().backlogWaitTime],
    [tuned.backlogLimit, tuned.backlogWaitTime],
    "what the daemon has set for itself stays",
  );
  execFileSync("sh", ["-c", "touch f; rm f"], { cwd: path });
  await other.until(/remove\.file .*\/f\n/);
  await first.until(({ kind }) => kind === "remove.file");
  await second.until(({ kind }) => kind === "create.file");
  await first[Symbol.asyncDispose]();
  execFileSync("touch", ["g"], { cwd: path });
  await second.until(({ path }) => path.endsWith("/g"));
  assert.deepEqual(second.events.map(({ kind }) => kind), ["create.file", "create.file"]);
  await second[Symbol.asyncDispose]();
  execFileSync("touch", ["h"], { cwd: path });
  await other.until(/create\.file .*\/h\n/);
  other.signal("SIGTERM");
  await other.ended();
  await audited.isAsBefore();
});

/** A command that prints what is audited at a path, and does something at the first event. */
function consumer(path: string, then: string): string[] {
  const script = `${path}.ts`;
  const source = `import process from "node:process";
import { audit } from ${JSON.stringify(moduleFile("streams/audit.ts"))};
const stream = audit({ paths: ${JSON.stringify(path)} });
await stream.ready;
console.log("ready", stream.stats().way);
for await (const event of stream) {
  console.log(event.kind, event.path);
  ${then}
}
`;
  writeFileSync(script, source);
  const flags = isDeno ? ["--quiet", "--no-check", "--allow-ffi"] : [];
  return [process.execPath, "run", ...flags, script];
}

/** A directory in the one of the test. */
function directoryIn({ path }: Audited): string {
  const directory = join(path, "w");
  mkdirSync(directory);
  return directory;
}

for (
  const [how, then, signal] of [
    ["breaks", "break;", undefined],
    ["closes", "await stream.close();", undefined],
    ["throws", "throw new Error('as it should');", undefined],
    ["exits", "process.exit(3);", undefined],
    ["crashes", "process.kill(process.pid, 'SIGABRT');", undefined],
    ["gets SIGTERM", "", "SIGTERM"],
    ["gets SIGKILL", "", "SIGKILL"],
  ] as const
) {
  test(`audit is as before once its consumer ${how}`, settings, async () => {
    await using audited = await Audited.open();
    const path = directoryIn(audited);
    await using running = new Running(consumer(path, then));
    await running.until(/ready unicast/);
    assert(listRules(audited.control).length > 5);
    execFileSync("touch", ["f"], { cwd: path });
    await running.until(/create\.file .*\/f\n/);
    if (signal !== undefined) running.signal(signal);
    await running.ended();
    await audited.isAsBefore();
  });
}

test("break, abort and close give all back, also at once", settings, async () => {
  await using audited = await Audited.open();
  const { path } = audited;
  for (const how of ["break", "abort", "close", "at once"] as const) {
    const abort = new AbortController();
    const stream = audit({ paths: path, signal: abort.signal });
    if (how === "at once") {
      await stream.close();
    } else {
      await stream.ready;
      execFileSync("touch", [how], { cwd: path });
      for await (const _ of stream) {
        if (how === "break") break;
        if (how === "abort") abort.abort();
        else void stream.close();
      }
      await stream.close();
    }
    assert.deepEqual(listRules(audited.control), []);
    await audited.isAsBefore();
  }
});

test("a path that is not there changes nothing", settings, async () => {
  await using audited = await Audited.open();
  const path = join(audited.path, "missing");
  const stream = audit({ paths: [audited.path, path] });
  await assert.rejects(stream.ready, {
    code: "ENOENT",
    path,
    message: `Cannot audit ${path}: no such file or directory (ENOENT)`,
  });
  await assert.rejects(stream[Symbol.asyncIterator]().next(), { code: "ENOENT" });
  await audited.isAsBefore();
});

/** What a process is refused, as JSON. */
const REFUSED = `import { audit } from ${JSON.stringify(moduleFile("streams/audit.ts"))};
const stream = audit({ paths: "/etc" });
try { await stream.ready; console.log("ready", stream.stats().way); }
catch ({ name, code, message, hint }) { console.log(JSON.stringify({ name, code, message, hint })); }
await stream.close();`;

for (
  const [where, init, name, message, hint] of [
    ["nobody", { asNobody: true }, CapabilityError.name, /not permitted \(EPERM\)/, /CAP_AUDIT_/],
    [
      "a user namespace",
      { under: ["unshare", "-Ur"] },
      UnsupportedError.name,
      /not from within a user namespace/,
      /first user namespace/,
    ],
    [
      "a pid namespace",
      { under: ["unshare", "-p", "-f", "--mount-proc"] },
      UnsupportedError.name,
      /not from within a pid namespace/,
      /--pid=host/,
    ],
  ] as const
) {
  test(`${where} is told what is missing`, settings, async () => {
    await using audited = await Audited.open();
    const flags = isDeno ? ["--allow-ffi"] : [];
    const { stdout, stderr } = await runScript(REFUSED, { flags, ...init });
    const refusal = JSON.parse(stdout || JSON.stringify({ stderr }));
    assert.equal(refusal.name, name, stdout);
    assert.match(refusal.message, message);
    assert.match(refusal.hint, hint);
    await audited.isAsBefore();
  });
}

test("in a network namespace the kernel's records come as to its daemon", settings, async () => {
  await using audited = await Audited.open();
  const flags = isDeno ? ["--allow-ffi"] : [];
  const { stdout } = await runScript(REFUSED, { flags, under: ["unshare", "-n"] });
  assert.equal(stdout, "ready unicast\n");
  await audited.isAsBefore();
});

test(
  "beside auditd: its rules and log stay, and the events are the same",
  needs("auditd"),
  async () => {
    await using audited = await Audited.open();
    await using auditd = new Auditd();
    const running = auditd.start();
    const { control, path } = audited;
    await until(() => control.status().pid !== 0);
    const before = control.status();
    {
      await using told = await Told.open({ paths: path });
      assert.equal(told.stream.stats().way, "multicast");
      execFileSync("touch", ["one"], { cwd: path });
      const { attributes: { serial } } = await told.until(({ path }) => path.endsWith("/one"));
      await until(() => auditd.log.includes(`:${serial}): item=1 name="one"`));
      assert.equal(control.status().pid, before.pid);
      assert.equal(control.status().backlogLimit, before.backlogLimit);
    }
    assert.deepEqual(listRules(control).filter((rule) => statusBefore(rule) !== undefined), []);
    assert.equal(control.status().pid, before.pid);
    const logged = execFileSync("ausearch", ["-if", auditd.file, "-f", "one"]);
    assert(String(logged).includes("one"));
    running.signal("SIGTERM");
    await running.ended();
    control.set({ enabled: 0 }); // auditd leaves it on
  },
);

/** Runs `many_opens.c` in the directory, with those arguments. */
async function openMany(directory: string, ...args: readonly number[]): Promise<void> {
  const program = `${directory}.many_opens`;
  execFileSync("cc", ["-O2", "-o", program, moduleFile("tests/many_opens.c")]);
  const child = spawn(program, [directory, ...args.map(String)], { stdio: "ignore" });
  const ended = Promise.withResolvers<unknown>();
  child.on("close", ended.resolve);
  assert.equal(await within(ended.promise, "many_opens", 50_000), 0);
}

/** Whether an event is of a call, or of what is left of one. */
function isOfCall({ attributes: { type = "" } }: AuditEvent): boolean {
  return ["SYSCALL", "CWD", "PATH", "PROCTITLE"].includes(type);
}

const sum = (events: readonly AuditEvent[], reason: RegExp) =>
  events.filter(({ kind, attributes }) => kind === "lost" && reason.test(attributes.reason!))
    .reduce((sum, { attributes: { count = 0 } }) => sum + count, 0);

test("without loss each of 8,000 opens of 8 processes is told once", needs("cc"), async () => {
  await using audited = await Audited.open();
  const path = directoryIn(audited);
  await using told = await Told.open({ paths: path });
  await openMany(path, 8, 1000, 2000); // for longer than it takes to give up an event
  execFileSync("touch", ["end"], { cwd: path });
  await told.until((event) => event.path.endsWith("/end"));
  const { refusals: _, ...losses } = await told.losses(); // what is late is not lost
  assert.deepEqual(losses, {
    kernel: 0,
    socket: 0,
    serials: 0,
    parts: 0,
    interruptions: 0,
  });
  assert.equal(told.events.length, 8001);
  assert(told.events.every(({ attributes }) => attributes.incomplete === undefined));
  for (let i = 0; i < 8; i++) {
    const own = told.events.filter((event) => event.path === join(path, `file${i}`));
    assert.equal(own.length, 1000);
    assert.equal(own.filter(({ kind }) => kind === "create.file").length, 1);
  }
});

test("200,000 opens at full speed: what is not told is counted", needs("cc"), async () => {
  await using audited = await Audited.open();
  const path = directoryIn(audited);
  const COUNT = isUserMode ? 50_000 : 200_000; // in 50 s
  let told: Told;
  {
    await using stream = told = await Told.open({ paths: path });
    await openMany(path, 8, COUNT / 8);
    // Then there is room for one more, behind which nothing is left to be told.
    await until(() => audited.control.status().backlog === 0);
    execFileSync("touch", ["end"], { cwd: path });
    await stream.until((event) => event.path.endsWith("/end"));
    const losses = () => stream.stream.stats().losses!;
    for (let before = -1; before !== losses().serials;) {
      before = losses().serials;
      await new Promise((resolve) => setTimeout(resolve, 2500)); // a gap is one after 2 s
    }
  }
  const { kernel, socket, refusals, serials, parts, interruptions } = told.stream.stats().losses!;
  assert.equal(interruptions, 0);
  const ends = told.events.filter((event) => event.path.endsWith("/end")).length;
  const calls = told.events.filter(isOfCall).length - ends;
  // Who is audited waits for room: without that, nine of ten are lost.
  assert(calls > COUNT / 2, `${calls}`);
  // A record that the kernel lost is part of an event that was told, or one that it did not begin: it made nothing of it.
  // But where the socket was full for 0.1 s, the kernel may have thrown away what it had numbered, with and without counting.
  const counted = JSON.stringify({ calls, kernel, refusals, serials, parts });
  if (refusals === 0) assert.equal(calls + serials + kernel! - parts, COUNT, counted);
  assert(calls + serials <= COUNT && COUNT <= calls + serials + kernel!, counted);
  assert.equal(sum(told.events, /^the kernel/), kernel);
  assert.equal(sum(told.events, /numbers/), serials);
  assert.equal(socket, 0);
  assert.equal(new Set(told.events.map(({ attributes }) => attributes.serial)).size > 1, true);
});

test(
  "what a small socket drops: told and missing serials are all that was done",
  needs("cc"),
  async () => {
    await using audited = await Audited.open();
    const path = directoryIn(audited);
    const COUNT = 20_000;
    const events: AuditEvent[] = [];
    const { trail, release } = await openTrail({
      manages: true,
      way: "multicast",
      receiveBuffer: 256 * 1024, // it has room for what is told of our own rules
    });
    let dropped = 0;
    let isFull = false;
    const leave = trail.listen({
      get isFull() {
        return isFull;
      },
      heard: (more) => void events.push(...more),
      lost: (_reason, count = 0) => dropped += count,
      fail: (error) => {
        throw error;
      },
    });
    const tree = trail.addTree(path, true, "0:0");
    try {
      // Beside no daemon the kernel's own queue is short, and nobody's business here: they wait, and lose nothing.
      const { kernel: before } = trail.losses;
      isFull = true; // so that nothing is read meanwhile
      await openMany(path, 8, COUNT / 8);
      isFull = false;
      trail.resume();
      let ends = 0;
      await until(() => {
        execFileSync("touch", ["end"], { cwd: path });
        ends++;
        return events.some((event) => event.path.endsWith("/end"));
      });
      const all = () => events.filter(isOfCall).length + trail.losses.serials;
      await until(() => all() >= COUNT + ends);
      // Among what is missing may be others' events: the socket hears the whole machine.
      assert(all() - (COUNT + ends) < 50, `${all() - (COUNT + ends)}`);
      const { socket, serials, kernel } = trail.losses;
      assert.equal(kernel, before);
      assert(serials > 0);
      assert(socket > serials, "records, of which an event has five");
      assert.equal(dropped, socket);
    } finally {
      tree.remove();
      leave();
      release();
    }
  },
);
