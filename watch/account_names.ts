/**
 * Names of users and groups from the files that libc's own functions read, as far as `/etc/nsswitch.conf` lets files
 * decide. What only a daemon knows (sssd, LDAP, systemd-homed) stays without a name.
 *
 * The names are this machine's, or this container's: of the uids that we see, in our user namespace, by the files in our
 * mount namespace. A process in a container may call the same uid something else.
 *
 * @module
 */

import { statx, STATX_BASIC_STATS } from "../ffi/abi/statx.ts";
import { AT_FDCWD } from "../ffi/abi/open.ts";
import { readLink, readText } from "../ffi/file.ts";
import type { Libc } from "../ffi/port.ts";
import { cString, decodeText } from "../ffi/text.ts";

/** What has names. */
type Database = "passwd" | "group";

/** Where names may be looked for, in this order. */
export interface NameSources {
  /** `/etc/passwd`, `/etc/group`. */
  readonly files: boolean;
  /** What nss-systemd knows from files. */
  readonly systemd: boolean;
}

const NO_SOURCES: NameSources = { files: false, systemd: false };

/**
 * The sources of a database by nsswitch.conf(5) that files stand for, from the first one on: where others come before, or
 * are asked though the files had a name, files do not tell. `compat` is like `files` but for lines that begin with `+` or
 * `-`, which {@linkcode parseAccounts} knows. Without a line, and in musl, it is the files.
 */
export function nameSources(nsswitch: string, database: Database): NameSources {
  const line = new RegExp(`^[ \\t]*${database}[ \\t]*:([^#\\n]*)`, "m").exec(nsswitch)?.[1];
  if (line === undefined) return { files: true, systemd: false };
  const [first, next, after] = line.match(/\[[^\]]*\]|[^\s[]+/g) ?? [];
  if (first !== "files" && first !== "compat") return NO_SOURCES;
  if (next?.startsWith("[") !== true) return { files: true, systemd: next === "systemd" };
  // `merge` adds members to a group of the same name, and success ends the search unless another action is given for it.
  const actions = next.slice(1, -1).trim().split(/\s+/).map((action) => action.toLowerCase());
  const goesOn = actions.some((action) =>
    action.startsWith("!") ? !/^!success=/.test(action) : /^success=continue$/.test(action)
  );
  const ends = actions.some((action) => /^(?:notfound|!success)=return$/.test(action));
  return goesOn ? NO_SOURCES : { files: true, systemd: after === "systemd" && !ends };
}

/** Names by id, and ids by name; of two the first, as libc takes it. */
export interface Accounts {
  readonly names: ReadonlyMap<number, string>;
  readonly ids: ReadonlyMap<string, number>;
}

const NO_ACCOUNTS: Accounts = { names: new Map(), ids: new Map() };

/**
 * The lines of `/etc/passwd` or `/etc/group`: `NAME:PASSWORD:ID:…`. None where NIS has a say, by a line that begins with
 * `+` or `-` under `compat`.
 */
export function parseAccounts(text = ""): Accounts {
  const names = new Map<number, string>();
  const ids = new Map<string, number>();
  for (const line of text.split("\n")) {
    if (/^[+-]/.test(line)) return NO_ACCOUNTS;
    const [, name, digits] = /^([^#:\s][^:]*):[^:]*:(\d+):/.exec(line) ?? [];
    if (name === undefined) continue;
    const id = Number(digits);
    if (!names.has(id)) names.set(id, name);
    if (!ids.has(name)) ids.set(name, id);
  }
  return { names, ids };
}

/** Whether a user namespace has all ids, so that none of them stands for those that it does not have. */
export function mapsAll(idMap: string): boolean {
  const count = idMap.trim().split("\n").reduce((sum, line) => {
    return sum + Number(line.trim().split(/\s+/)[2] ?? 0);
  }, 0);
  return count >= 2 ** 32 - 1;
}

/** What nss-systemd reads of a database: records in JSON, by name and by id (systemd.userdb; "drop-in" records). */
const RECORDS = {
  passwd: { suffix: "user", name: "userName", id: "uid" },
  group: { suffix: "group", name: "groupName", id: "gid" },
} as const;

/** Where the records are; the first file counts. */
const USERDB = [
  "/etc/userdb",
  "/run/userdb",
  "/run/host/userdb",
  "/usr/local/lib/userdb",
  "/usr/lib/userdb",
];

/** How many files of records are remembered, also as not there. */
const MOST_RECORDS = 1024;

/** Name and id of such a record; null where it is none. */
export function parseRecord(json: string, database: Database): [string, number] | null {
  let record: Record<string, unknown> | null;
  try {
    record = JSON.parse(json);
  } catch {
    return null;
  }
  const name = record?.[RECORDS[database].name];
  const id = record?.[RECORDS[database].id];
  return typeof name === "string" && typeof id === "number" ? [name, id] : null;
}

/** Looks names up; files are read when they are needed, and again when they have changed. */
export class AccountNames {
  readonly #libc: Libc;
  readonly #root: string;
  readonly #nsswitch: Made<Readonly<Record<Database, NameSources>>>;
  readonly #files: Readonly<Record<Database, Made<Accounts>>>;
  readonly #records = new Map<string, Made<[string, number] | null | undefined>>();
  #overflow: Readonly<Record<Database, number | undefined>> | undefined;

  /** `root` is the directory that has `etc` and `run`, for tests. */
  constructor(libc: Libc, root = "") {
    this.#libc = libc;
    this.#root = root;
    this.#nsswitch = new Made(libc, `${root}/etc/nsswitch.conf`, (text = "") => ({
      passwd: nameSources(text, "passwd"),
      group: nameSources(text, "group"),
    }));
    this.#files = {
      passwd: new Made(libc, `${root}/etc/passwd`, parseAccounts),
      group: new Made(libc, `${root}/etc/group`, parseAccounts),
    };
  }

  /** What follows is asked later: files may have changed since. */
  refresh(): void {
    for (const made of [this.#nsswitch, this.#files.passwd, this.#files.group]) made.refresh();
    for (const made of this.#records.values()) made.refresh();
  }

  /** The user's name; undefined where it is not known, or may be another one's. */
  user(uid: number): string | undefined {
    return this.#name("passwd", uid);
  }

  /** The group's name, as {@linkcode user}. */
  group(gid: number): string | undefined {
    return this.#name("group", gid);
  }

  /** The uid of a user's name. */
  uid(name: string): number | undefined {
    const { files, systemd } = this.#nsswitch.get().passwd;
    const id = files ? this.#files.passwd.get().ids.get(name) : undefined;
    if (id !== undefined || !systemd || !/^[^/.][^/]*$/.test(name)) return id;
    const link = this.#dynamic(name);
    if (link !== undefined) return /^\d+$/.test(link) ? Number(link) : undefined;
    const record = this.#record("passwd", name);
    return record?.[0] === name ? record[1] : undefined;
  }

  #name(database: Database, id: number): string | undefined {
    if (id === this.#unmapped[database]) return undefined;
    const { files, systemd } = this.#nsswitch.get()[database];
    const name = files ? this.#files[database].get().names.get(id) : undefined;
    if (name !== undefined || !systemd) return name;
    const link = this.#dynamic(String(id));
    if (link !== undefined) return link;
    const record = this.#record(database, String(id));
    return record?.[1] === id ? record[0] : undefined;
  }

  /** A service with `DynamicUser=` has a user and a group of one name and number (dynamic-user.c, `make_uid_symlinks`). */
  #dynamic(key: string): string | undefined {
    const link = readLink(this.#libc, `${this.#root}/run/systemd/dynamic-uid/direct:${key}`);
    return link && decodeText(link);
  }

  #record(database: Database, key: string): [string, number] | undefined {
    for (const directory of USERDB) {
      const path = `${this.#root}${directory}/${key}.${RECORDS[database].suffix}`;
      let made = this.#records.get(path);
      if (made === undefined) {
        if (this.#records.size >= MOST_RECORDS) this.#records.clear();
        made = new Made(
          this.#libc,
          path,
          (json) => json === undefined ? undefined : parseRecord(json, database),
        );
        this.#records.set(path, made);
      }
      const record = made.get();
      if (record !== undefined) return record ?? undefined;
    }
    return undefined;
  }

  /** The ids that stand for all those that our user namespace does not have (user_namespaces(7)). */
  get #unmapped(): Readonly<Record<Database, number | undefined>> {
    return this.#overflow ??= {
      passwd: this.#overflowOf("uid"),
      group: this.#overflowOf("gid"),
    };
  }

  #overflowOf(kind: "uid" | "gid"): number | undefined {
    if (mapsAll(readText(this.#libc, `/proc/self/${kind}_map`) ?? "")) return undefined;
    return Number(readText(this.#libc, `/proc/sys/kernel/overflow${kind}`) ?? 65534);
  }
}

/** How long after a change a file may be changed again without another time in its status, in ms. */
const TICK = 20;

const status = new Uint8Array(statx.size);
const view = new DataView(status.buffer);

/** Something made of a file, and made anew when the file has changed. */
class Made<T> {
  readonly #libc: Libc;
  readonly #path: string;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #make: (text: string | undefined) => T;
  #made: T | undefined;
  /** The file that it was made of; at first, and where it may change unseen, none is the same. */
  readonly #state = { changed: NaN, inode: NaN, size: NaN };
  #isFresh = false;

  constructor(libc: Libc, path: string, make: (text: string | undefined) => T) {
    this.#libc = libc;
    this.#path = path;
    this.#bytes = cString(path);
    this.#make = make;
  }

  refresh(): void {
    this.#isFresh = false;
  }

  /** Of no text where there is no such file. */
  get(): T {
    if (!this.#isFresh && this.#hasChanged()) {
      this.#made = this.#make(readText(this.#libc, this.#path));
    }
    this.#isFresh = true;
    return this.#made as T;
  }

  /** Whether it is another file than the last time, or may be: what has just changed may change again unseen. */
  #hasChanged(): boolean {
    const state = this.#state;
    const isThere = this.#libc.statx(AT_FDCWD, this.#bytes, 0, STATX_BASIC_STATS, status) === 0;
    const changed = isThere
      ? view.getUint32(statx.stx_ctime, true) * 1000 +
        view.getUint32(statx.stx_ctime + 8, true) / 1e6
      : 0;
    const inode = isThere ? view.getUint32(statx.stx_ino, true) : 0;
    const size = isThere ? view.getUint32(statx.stx_size, true) : 0;
    const isSame = changed === state.changed && inode === state.inode && size === state.size;
    state.changed = changed < Date.now() - TICK ? changed : NaN;
    state.inode = inode;
    state.size = size;
    return !isSame;
  }
}
