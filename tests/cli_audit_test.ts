/** `sentinode audit`, as a process of its own: logs, sockets, and this machine. */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { execFileSync } from "node:child_process";
import { closeSync, openSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import test from "node:test";
import { Audited, whyUnaudited } from "./audited.ts";
import { Run, runToEnd } from "./command_line.ts";
import { TemporaryDirectory } from "./runtime.ts";

const audit = (...args: string[]) => runToEnd(["audit", ...args]);

/** Text as the kernel writes what is not plain. */
const hex = (text: string) => Buffer.from(text).toString("hex").toUpperCase();

function call(
  serial: number,
  name: string,
  result = "success=yes exit=3",
  comm = '"touch"',
): string {
  const at = `msg=audit(1767225600.000:${serial})`;
  return `type=SYSCALL ${at}: arch=c000003e syscall=257 ${result} a0=ffffff9c a1=0 a2=241 a3=1b6 items=2 ` +
    `ppid=1 pid=4711 auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=3 ` +
    `comm=${comm} exe="/usr/bin/touch" key="k"\n` +
    `type=CWD ${at}: cwd="/srv"\n` +
    `type=PATH ${at}: item=0 name="/srv" inode=2 dev=08:01 mode=040755 ouid=0 ogid=0 rdev=00:00 nametype=PARENT\n` +
    `type=PATH ${at}: item=1 name=${name} inode=9 dev=08:01 mode=0100644 ouid=0 ogid=0 rdev=00:00 nametype=CREATE\n`;
}

const LOG = call(1, '"one"') + call(2, '"two"', "success=no exit=-13") + call(3, '"three"');

/** A log, and what is printed of it. */
async function replay(text: string, ...args: string[]) {
  using at = new TemporaryDirectory();
  const log = join(at.path, "audit.log");
  writeFileSync(log, text);
  return await audit("--replay", log, ...args);
}

test("a log as lines for people", async () => {
  const { status, stdout, stderr } = await replay(`${LOG}nonsense\n`, "--time-format=-");
  assert.equal(status, 0, stderr);
  assert.deepEqual(stdout.split("\n").map((line) => line.replace(/ +/g, " ")), [
    "- create.file /srv/one touch(4711) open",
    "- access.failed /srv/two touch(4711) open EACCES",
    "- create.file /srv/three touch(4711) open",
    "",
  ]);
  assert.equal(stderr, "1 line was no records\n");
});

test("the time of a log has its date", async () => {
  assert.match((await replay(LOG)).stdout, /^20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} create\.file/);
});

test("JSON, formats, kinds, a count, NUL", async () => {
  const events = (await replay(LOG, "--json")).stdout.trimEnd().split("\n")
    .map((line) => JSON.parse(line));
  assert.deepEqual(events.map(({ path }) => path), ["/srv/one", "/srv/two", "/srv/three"]);
  assert.equal(events[1].attributes.failed.code, "EACCES");
  assert.equal(events[0].actor.loginUid, 1000);
  assert.equal("raw" in events[0], false);
  const raw = JSON.parse((await replay(LOG, "--json", "--raw", "--count=1")).stdout);
  assert.equal(raw.raw.records.length, 4);
  const formatted = await replay(LOG, "--format=%k %p %c %P %e");
  assert.match(formatted.stdout, /^create\.file \/srv\/one touch 4711 \/usr\/bin\/touch\n/);
  const failed = await replay(LOG, "--events=access.failed,remove", "--format=%p");
  assert.equal(failed.stdout, "/srv/two\n");
  assert.equal((await replay(LOG, "--count=2", "--format=%p")).stdout, "/srv/one\n/srv/two\n");
  assert.equal((await replay(LOG, "--null", "--count=1", "--format=%p")).stdout, "/srv/one\0");
});

test("what others name drives no terminal", async () => {
  const evil = "a\n\x1b[31m\u202e";
  const user = `type=USER_AUTH msg=audit(1767225600.000:9): pid=1 uid=0 auid=7 ses=4 ` +
    `msg='op=PAM acct=${hex(evil)} exe="/usr/bin/su" hostname=? addr=? terminal=pts0 res=failed'\n`;
  const text = call(1, hex(evil), undefined, hex("c\x1b[2J")) + user;
  for (const args of [[], ["--json"], ["--format=%p %c"]]) {
    const { stdout, status } = await replay(text, ...args);
    assert.equal(status, 0);
    assert.equal(stdout.trimEnd().split("\n").length, 2, stdout);
    // deno-lint-ignore no-control-regex
    assert.doesNotMatch(stdout, /[\x00-\x09\x0b-\x1f\u202e]/);
  }
  const { stdout } = await replay(text);
  assert(stdout.includes("/srv/a\\n\\x1b[31m\\u202e  c\\x1b[2J(4711) open"), stdout);
});

test("a program's record says what it is about, once", async () => {
  const { stdout } = await replay(
    `type=USER_AUTH msg=audit(1767225600.000:9): pid=71 uid=0 auid=4294967295 ses=4294967295 ` +
      `msg='op=PAM:authentication acct="ada" exe="/usr/bin/su" hostname=? addr=? terminal=pts0 res=failed'\n`,
    "--time-format=-",
  );
  assert.equal(
    stdout.replace(/ +/g, " "),
    "- other USER_AUTH su(71) op=PAM:authentication acct=ada exe=/usr/bin/su terminal=pts0 res=failed\n",
  );
});

test("standard input, and rotated logs", async () => {
  using at = new TemporaryDirectory();
  const log = join(at.path, "audit.log");
  writeFileSync(`${log}.1`, call(1, '"old"'));
  writeFileSync(log, call(2, '"new"'));
  const fd = openSync(log, "r");
  const piped = await runToEnd(["audit", "--replay", "-", "--format=%p"], {
    stdio: [fd, "pipe", "pipe"],
  });
  closeSync(fd);
  assert.equal(piped.stdout, "/srv/new\n", piped.stderr);
  const rotated = await audit("--replay", log, "--rotated", "--format=%p");
  assert.equal(rotated.stdout, "/srv/old\n/srv/new\n");
});

test("a dispatcher's socket, until it ends", async () => {
  using at = new TemporaryDirectory();
  const path = join(at.path, "socket");
  const server = createServer((socket) => socket.end(LOG));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const { status, stdout } = await audit("--socket", path, "--format=%p");
  server.close();
  assert.equal(status, 0);
  assert.equal(stdout, "/srv/one\n/srv/two\n/srv/three\n");
});

for (
  const [args, message] of [
    [["--replay", "/no/such/log"], /^sentinode audit: Cannot read \/no\/such\/log: .*ENOENT/],
    [["--socket", "/no/such"], /^sentinode audit: Cannot audit from \/no\/such: /],
    [
      ["--replay", "/x", "--watch", "/y"],
      /Cannot audit with .*--replay.*--watch|--watch.*--replay/,
    ],
    [["--replay", "/x", "--socket", "/y"], /--replay/],
    [["--replay", "-", "--rotated"], /Cannot audit with --rotated: /],
    [["--way", "both"], /Cannot audit with --way both: it is unicast or multicast/],
    [["--unmanaged", "--watch", "/tmp"], /Cannot audit paths: manage is false/],
    [["--events", "made"], /Cannot .*made/],
    [["--raw", "--replay", "/x"], /Cannot audit with --raw: it is for --json/],
    [["/tmp"], /Cannot /],
  ] as const
) {
  test(`refused: audit ${args.join(" ")}`, async () => {
    const { status, stdout, stderr } = await audit(...args);
    assert.equal(status, 1);
    assert.equal(stdout, "");
    assert.match(stderr, message);
  });
}

const settings = { skip: whyUnaudited, timeout: 60_000 };

test("a directory of this machine, until SIGINT gives all back", settings, async () => {
  await using audited = await Audited.open();
  const { path } = audited;
  await using run = new Run(["audit", "--watch", path]);
  await run.until("Auditing", () => run.stderr.includes("\n"));
  assert.equal(run.stderr, `Auditing ${path} (unicast)\n`);
  execFileSync("sh", ["-c", "touch f; chmod 600 f; mkfifo 'a\x1bb'; mv f g; rm g"], { cwd: path });
  await run.printed("remove.file");
  run.kill("SIGINT");
  assert.equal(await run.status(), 0);
  await audited.isAsBefore();
  const lines = run.lines.map((line) => line.replace(/^\S+ /, "").replace(/ +/g, " "));
  assert.deepEqual(lines.map((line) => line.replace(/\(\d+\)/, "").replaceAll(path, "")), [
    "create.file /f touch open",
    "modify.metadata.permissions /f 0644 0:0 -> 0600 chmod chmod",
    "create.other /a\\x1bb mkfifo mknod",
    "rename /f -> /g mv rename",
    "remove.file /g rm unlink",
  ]);
  assert.match(run.stderr, /\n5 events, 0 lost\n$/);
});

test("nothing happens: the timeout, and SIGTERM", settings, async () => {
  await using audited = await Audited.open();
  const timeout = await audit("--watch", audited.path, "--timeout=0.1", "--quiet");
  assert.deepEqual(timeout, { status: 2, stdout: "", stderr: "" });
  await using run = new Run(["audit", "--watch", audited.path, "--way=multicast"]);
  await run.until("Auditing", () => run.stderr.includes("(multicast)\n"));
  run.kill("SIGTERM");
  assert.equal(await run.status(), 143);
  await audited.isAsBefore();
});

test("nobody is told what is missing", settings, async () => {
  await using audited = await Audited.open();
  const { status, stderr } = await runToEnd(["audit", "--watch", "/etc"], { user: "nobody" });
  assert.equal(status, 1);
  assert.match(stderr, /^sentinode audit: Cannot .*not permitted.*\nHint: needs CAP_AUDIT_/);
  await audited.isAsBefore();
});
