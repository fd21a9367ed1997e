/** Names of users and groups: what files may tell, and when they are read again. */

import assert from "node:assert/strict";
import { mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import test from "node:test";
import { openLibc } from "../ffi/libc.ts";
import {
  AccountNames,
  mapsAll,
  nameSources,
  parseAccounts,
  parseRecord,
} from "../watch/account_names.ts";
import { moduleFile, noUserNamespaces, runScript, TemporaryDirectory, until } from "./runtime.ts";

/** The line of a database → whether files decide, and after them what systemd has in files. */
const LINES: Readonly<Record<string, "none" | "files" | "files systemd">> = {
  "passwd: files": "files",
  "passwd:\tfiles systemd": "files systemd",
  "passwd: compat": "files",
  "passwd: compat systemd # sss": "files systemd",
  " passwd : files systemd": "files systemd",
  "passwd: files sss systemd": "files",
  "passwd: files ldap": "files",
  "passwd: files mymachines systemd": "files",
  "passwd: sss files": "none",
  "passwd: systemd files": "none",
  "passwd: ldap": "none",
  "passwd:": "none",
  "passwd: #files": "none",
  "passwd: files [NOTFOUND=return] systemd": "files",
  "passwd: files [!SUCCESS=return] systemd": "files",
  "passwd: files [SUCCESS=merge] systemd": "files systemd",
  "passwd: files [success=continue] sss": "none",
  "passwd: files [!notfound=continue] sss": "none",
  "passwd: files[SUCCESS=merge]systemd": "files systemd",
  "passwd: files [UNAVAIL=return NOTFOUND=continue] systemd": "files systemd",
  "group: ldap": "files", // no line for it
  "": "files",
};

test("nsswitch.conf: where files decide", () => {
  for (const [line, expected] of Object.entries(LINES)) {
    const { files, systemd } = nameSources(`# passwd: ldap\n${line}\nshadow: files\n`, "passwd");
    const actual = files ? systemd ? "files systemd" : "files" : systemd ? "systemd" : "none";
    assert.equal(actual, expected, line);
  }
});

test("lines of passwd and group", () => {
  const { names, ids } = parseAccounts(
    "root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:\n#a:x:1:1\n\nbroken\nalso:x:broken:\nb:x:-1:\n" +
      "db server:x:70:\nwww-data:x:33:\nnewer:x:4294967294:\nwww-data:x:34:",
  );
  assert.deepEqual([...names], [
    [0, "root"],
    [70, "db server"],
    [33, "www-data"],
    [4294967294, "newer"],
    [34, "www-data"],
  ]);
  assert.equal(ids.get("www-data"), 33);
  assert.equal(ids.get("toor"), 0);
  // NIS may name others before and after.
  for (const line of ["+", "+:::", "-mallory", "+@staff"]) {
    assert.equal(parseAccounts(`root:x:0:0:\n${line}\n`).names.size, 0);
  }
});

test("records of systemd", () => {
  const record = '{"userName":"ada","uid":2000,"groupName":"crew","gid":3000}';
  assert.deepEqual(parseRecord(record, "passwd"), ["ada", 2000]);
  assert.deepEqual(parseRecord(record, "group"), ["crew", 3000]);
  for (const text of ["", "{", "null", "[]", "1", '{"userName":"ada"}', '{"userName":1,"uid":1}']) {
    assert.equal(parseRecord(text, "passwd"), null, text);
  }
});

test("a user namespace that has not all ids", () => {
  assert(mapsAll("         0          0 4294967295\n"));
  assert(mapsAll("0 0 1000\n1000 1000 4294966295\n"));
  assert(!mapsAll("         0       1000          1\n"));
  assert(!mapsAll(""));
});

/** A tree with `etc` and `run`, and the names by it. */
async function namesBy(files: Readonly<Record<string, string>>) {
  const directory = new TemporaryDirectory();
  const put = (path: string, text: string) => {
    const file = join(directory.path, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(`${file}.new`, text);
    renameSync(`${file}.new`, file);
  };
  for (const [path, text] of Object.entries(files)) put(path, text);
  const names = new AccountNames(await openLibc(), directory.path);
  return { names, put, path: directory.path, [Symbol.dispose]: () => directory[Symbol.dispose]() };
}

const PASSWD = "root:x:0:0::/:\nada:x:1000:1000::/:\n";

test("names by the files, and ids by name", async () => {
  using at = await namesBy({ "etc/passwd": PASSWD, "etc/group": "crew:x:1000:ada\n" });
  const { names } = at;
  assert.equal(names.user(1000), "ada");
  assert.equal(names.group(1000), "crew");
  assert.equal(names.user(1001), undefined);
  assert.equal(names.group(0), undefined);
  assert.equal(names.uid("ada"), 1000);
  assert.equal(names.uid("crew"), undefined);
  assert.equal(names.uid("../ada"), undefined);
});

test("no names where others are asked first", async () => {
  using at = await namesBy({
    "etc/nsswitch.conf": "passwd: sss files systemd\ngroup: files\n",
    "etc/passwd": PASSWD,
    "etc/group": "crew:x:1000:ada\n",
  });
  assert.equal(at.names.user(1000), undefined);
  assert.equal(at.names.uid("ada"), undefined);
  assert.equal(at.names.group(1000), "crew");
});

test("no names without files", async () => {
  using at = await namesBy({});
  assert.equal(at.names.user(0), undefined);
  assert.equal(at.names.uid("root"), undefined);
});

test("what systemd has in files: records, and dynamic users", async () => {
  using at = await namesBy({
    "etc/nsswitch.conf": "passwd: files systemd\ngroup: files systemd\n",
    "etc/passwd": PASSWD,
    "etc/userdb/2000.user": '{"userName":"grace","uid":2000}',
    "etc/userdb/grace.user": '{"userName":"grace","uid":2000}',
    "run/userdb/2000.user": '{"userName":"other","uid":2000}', // /etc comes first
    "run/userdb/2001.user": '{"userName":"alan","uid":2001}',
    "run/userdb/2002.user": '{"userName":"not this one","uid":2003}',
    "run/userdb/false.user": '{"userName":"true","uid":2004}',
    "usr/lib/userdb/2000.group": '{"groupName":"crew","gid":2000}',
    "run/userdb/1000.user": '{"userName":"not asked","uid":1000}',
  });
  const dynamic = join(at.path, "run/systemd/dynamic-uid");
  mkdirSync(dynamic, { recursive: true });
  symlinkSync("my-service", join(dynamic, "direct:61184"));
  symlinkSync("61184", join(dynamic, "direct:my-service"));
  const { names } = at;
  const users = [1000, 2000, 2001, 2002, 2003, 61184].map((uid) => names.user(uid));
  assert.deepEqual(users, ["ada", "grace", "alan", undefined, undefined, "my-service"]);
  assert.deepEqual([2000, 61184, 61185].map((gid) => names.group(gid)), [
    "crew",
    "my-service",
    undefined,
  ]);
  const ids = ["ada", "grace", "alan", "false", "my-service"].map((name) => names.uid(name));
  assert.deepEqual(ids, [1000, 2000, undefined, undefined, 61184]);
  // Without systemd in nsswitch.conf nobody asks for these.
  at.put("etc/nsswitch.conf", "passwd: files\ngroup: files\n");
  names.refresh();
  assert.equal(names.user(2000), undefined);
  assert.equal(names.user(61184), undefined);
  assert.equal(names.user(1000), "ada");
});

test("files are read again when they have changed", async () => {
  using at = await namesBy({ "etc/passwd": PASSWD });
  const { names } = at;
  assert.equal(names.user(1000), "ada");
  const file = join(at.path, "etc/passwd");
  for (const name of ["eva", "ida", "ora"]) { // of the same size, one after the other
    writeFileSync(file, PASSWD.replace("ada", name));
    names.refresh();
    assert.equal(names.user(1000), name);
  }
  at.put("etc/passwd", PASSWD.replace("ada", "ann"));
  names.refresh();
  assert.equal(names.user(1000), "ann");
  // Between two refreshes nothing is looked at.
  at.put("etc/passwd", PASSWD);
  assert.equal(names.user(1000), "ann");
  names.refresh();
  assert.equal(names.user(1000), "ada");
  utimesSync(file, 0, 0);
  rmSync(file);
  names.refresh();
  assert.equal(names.user(1000), undefined);
  // A record that comes and goes.
  at.put("etc/nsswitch.conf", "passwd: files systemd\n");
  at.put("etc/userdb/1000.user", '{"userName":"grace","uid":1000}');
  names.refresh();
  assert.equal(names.user(1000), "grace");
  rmSync(join(at.path, "etc/userdb/1000.user"));
  names.refresh();
  assert.equal(names.user(1000), undefined);
});

test("what has not changed is not opened again", async () => {
  using at = await namesBy({ "etc/passwd": PASSWD });
  const libc = await openLibc();
  let opened = 0;
  const counting = new Proxy(libc, {
    get(target, key) {
      if (key === "open") opened++;
      const member = Reflect.get(target, key);
      return typeof member === "function" ? member.bind(target) : member;
    },
  });
  const names = new AccountNames(counting, at.path);
  // What was written just now may be written again unseen, so it is read until its time has passed.
  await until(() => {
    opened = 0;
    names.refresh();
    assert.equal(names.user(1000), "ada");
    return opened === 0;
  });
  for (let i = 0; i < 100; i++) {
    names.refresh();
    names.user(i);
    names.uid("ada");
  }
  assert.equal(opened, 0);
});

test("in a user namespace, an id that stands for all others has no name", {
  skip: noUserNamespaces,
}, async () => {
  const { stdout, stderr } = await runScript(
    `
    import { openLibc } from ${JSON.stringify(moduleFile("ffi/libc.ts"))};
    import { AccountNames } from ${JSON.stringify(moduleFile("watch/account_names.ts"))};
    import { mkdirSync, writeFileSync } from "node:fs";
    mkdirSync("etc");
    writeFileSync("etc/passwd", "root:x:0:0::/:\\nnobody:x:65534:65534::/:\\n");
    const names = new AccountNames(await openLibc(), ".");
    console.log(names.user(0), names.user(65534), names.uid("nobody"));
    `,
    { under: ["unshare", "--user", "--map-root-user"] },
  );
  assert.equal(stdout, "root undefined 65534\n", stderr);
});
