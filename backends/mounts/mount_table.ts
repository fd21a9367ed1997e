/**
 * All mounts of a namespace at once, by the best that the kernel has.
 *
 * @module
 */

import { readFile } from "../../ffi/file.ts";
import { systemError } from "../../ffi/errno.ts";
import type { Libc } from "../../ffi/port.ts";
import { bytesUnlessText, decodeText, latin1Bytes, latin1Text } from "../../ffi/text.ts";
import type { Mount } from "./mount.ts";
import { type MountInfo, parseMountInfo } from "./mountinfo.ts";
import type { MountNamespace } from "./namespace.ts";
import { listMountIds, mountById, tellsSources } from "./statmount.ts";

/** Reads the mounts of a namespace, and counts how. */
export class MountReader {
  readonly #libc: Libc;
  readonly #namespace: MountNamespace;
  /** Whether the kernel tells all of a mount by its id. */
  #isById: boolean | undefined;
  /** How often `/proc/PID/mountinfo` was read. */
  scans = 0;
  /** How often all ids were listed. */
  listings = 0;
  /** How many mounts were asked for by their ids. */
  looks = 0;

  /** Reads by ids where the kernel tells all of a mount so, or, with `false`, the table in any case. */
  constructor(libc: Libc, namespace: MountNamespace, isById?: false) {
    this.#libc = libc;
    this.#namespace = namespace;
    this.#isById = isById;
  }

  /** Whether one mount can be read by its id, as since Linux 6.13. */
  get isById(): boolean {
    return this.#isById ??= this.#tellsAll();
  }

  /** One mount, {@linkcode isById}; undefined where it is gone. */
  mount(id: number): Mount | undefined {
    this.looks++;
    return mountById(this.#libc, BigInt(id), this.#namespace.id);
  }

  /** All of them by id. Throws `SystemError` where nothing tells. */
  all(): Map<number, Mount> {
    return byId(this.isById ? this.#listed() : this.#scanned());
  }

  #ids(): bigint[] | undefined {
    const { id } = this.#namespace;
    if (id === undefined) return undefined;
    this.listings++;
    return listMountIds(this.#libc, id);
  }

  #tellsAll(): boolean {
    const ids = this.#ids();
    return ids !== undefined && tellsSources(this.#libc, ids, this.#namespace.id);
  }

  #listed(): Mount[] {
    const mounts: Mount[] = [];
    for (const id of this.#ids() ?? []) {
      const mount = this.mount(Number(id));
      if (mount !== undefined) mounts.push(mount);
    }
    return mounts;
  }

  /** From the table, with unique ids where the kernel has them, which is since Linux 6.8. */
  #scanned(): Mount[] {
    const before = this.#uniqueIds();
    const table = this.#table();
    const isListed = before === undefined || table.every(({ id }) => before.has(id));
    // What came in between is in what is listed now, unless it has gone again: then its own id serves.
    const uniqueIds = isListed ? before : new Map([...this.#uniqueIds() ?? [], ...before]);
    const unique = (id: number) => uniqueIds?.get(id) ?? id;
    return table.map(({ id, parent, ...rest }) => ({
      id: unique(id),
      parent: unique(parent),
      tableId: id,
      ...rest,
    }));
  }

  /** Unique ids by the table's. */
  #uniqueIds(): Map<number, number> | undefined {
    const ids = this.#ids();
    if (ids === undefined) return undefined;
    const unique = new Map<number, number>();
    for (const id of ids) {
      const mount = this.mount(Number(id));
      if (mount !== undefined) unique.set(mount.tableId, mount.id);
    }
    return unique;
  }

  #table(): (MountInfo & Bytes)[] {
    const { table, name } = this.#namespace;
    this.scans++;
    const content = table === undefined ? undefined : readFile(this.#libc, table);
    if (content === undefined) {
      throw systemError(this.#libc, `read the mounts of ${name}`, {
        syscall: "open",
        ...(table === undefined ? {} : { path: table }),
      });
    }
    return parseMountInfo(latin1Text(content, content.length)).map(decoded);
  }
}

type Bytes = Pick<Mount, "pointBytes" | "rootBytes" | "sourceBytes">;

/** A line that was parsed with a character a byte, its names decoded. */
function decoded(mount: MountInfo): MountInfo & Bytes {
  const names: Record<string, string | Uint8Array> = {};
  for (const name of ["point", "root", "source"] as const) {
    const bytes = latin1Bytes(mount[name]);
    names[name] = decodeText(bytes);
    const raw = bytesUnlessText(bytes, 0, bytes.length, names[name]);
    if (raw !== undefined) names[`${name}Bytes`] = raw;
  }
  return { ...mount, ...names };
}

function byId(mounts: readonly Mount[]): Map<number, Mount> {
  return new Map(mounts.map((mount) => [mount.id, mount]));
}
