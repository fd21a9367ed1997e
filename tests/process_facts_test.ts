/** What /proc tells of a process, and what a process cannot make it tell. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, realpathSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import test from "node:test";
import { parseMountInfo } from "../backends/mounts/mountinfo.ts";
import { openLibc } from "../ffi/libc.ts";
import { processFacts, processUser } from "../watch/process_facts.ts";
import { AS_NOBODY, isRoot, NOBODY, until } from "./runtime.ts";

/** A shell that has run `commands` and waits; killed at the end of the block. */
async function shell(under: readonly string[], commands: string) {
  const [program = "", ...args] = [...under, "/bin/sh", "-c", `${commands}\necho; read -r end`];
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
  await once(child.stdout, "data");
  const ended = once(child, "exit");
  return {
    pid: child.pid!,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

test("a process", async () => {
  await using child = await shell([], "");
  const facts = processFacts(await openLibc(), child.pid)!;
  const { ppid, uid, gid, comm, exe, cmdline } = facts;
  assert.deepEqual({ ppid, uid, gid, comm, exe, program: cmdline?.[0] }, {
    ppid: process.pid,
    uid: process.geteuid!(),
    gid: process.getegid!(),
    comm: "sh",
    exe: realpathSync("/bin/sh"),
    program: "/bin/sh",
  });
  // The child of one who has not logged in has not either.
  assert.deepEqual("session" in facts, "loginUid" in facts);
  assert(Object.values(facts).every((value) => value !== undefined));
});

test("a process that is not there", async () => {
  assert.equal(processFacts(await openLibc(), 2 ** 22 + 1), undefined);
});

/** What a process writes into its `comm`, in printf(1)'s terms, and what it is called then. */
const NAMES: readonly (readonly [string, string])[] = [
  ["\\rUid:\\t0\\t0\\t0", "\rUid:\t0\t0\t0"],
  ["\\nUid:\\t0\\t0\\t0", "\nUid:\t0\t0\t0"],
  ["\\342\\200\\250Uid:\\t0\\t0", "\u2028Uid:\t0\t0"],
  ["a\\\\nb", "a\\nb"],
  ["\\\\", "\\"],
];

test("the name of a process is no other line of its status", {
  skip: !isRoot && "needs root",
}, async () => {
  const libc = await openLibc();
  for (const [written, comm] of NAMES) {
    await using child = await shell(AS_NOBODY, `printf '${written}' > /proc/self/comm`);
    const facts = processFacts(libc, child.pid)!;
    assert.deepEqual([facts.comm, facts.uid, facts.gid], [comm, NOBODY, NOBODY]);
    assert.equal(processUser(libc, child.pid), NOBODY);
  }
});

test("who has logged in", { skip: !isRoot && "needs root" }, async () => {
  await using child = await shell([], "echo 1234567 > /proc/self/loginuid");
  const { loginUid, session, uid } = processFacts(await openLibc(), child.pid)!;
  assert.equal(loginUid, 1234567);
  assert(Number.isInteger(session) && session! > 0 && session! < 2 ** 32 - 1);
  assert.equal(uid, 0);
});

const cgroups = parseMountInfo(readFileSync("/proc/self/mountinfo", "utf8"))
  .find(({ type, options }) => type === "cgroup2" && options.startsWith("rw"))?.point;

test("the container and the unit by the cgroup", {
  skip: !isRoot ? "needs root" : cgroups === undefined && "needs a cgroup2 that can be written to",
}, async () => {
  const id = "0123456789abcdef".repeat(4);
  // A carriage return ends no line here either.
  const names = [`sentinode-test-${process.pid}\r0::.slice`, `docker-${id}.scope`, "inner"];
  const paths = names.map((_, i) => join(cgroups!, ...names.slice(0, i + 1)));
  try {
    for (const path of paths) mkdirSync(path);
    await using child = await shell([], `echo $$ > "${paths.at(-1)}/cgroup.procs"`);
    const { cgroup, container, unit, userUnit } = processFacts(await openLibc(), child.pid)!;
    assert(cgroup!.endsWith(`/${names.join("/")}`), String(cgroup));
    assert.equal(container, id);
    assert.equal(userUnit, undefined);
    assert.equal(unit, undefined); // the slice's name is none of systemd's
  } finally {
    for (const path of paths.toReversed()) await until(() => isRemoved(path));
  }
});

/** A cgroup goes once the last process in it has been reaped. */
function isRemoved(path: string): boolean {
  try {
    rmdirSync(path);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT";
  }
  return true;
}
