/**
 * Where the guarded paths lie in their filesystems, so that a file is known whichever mount leads to it.
 *
 * A path names a file through one mount. The same file has other paths through other mounts, in this mount namespace and in
 * others; what all of them share is the place in the filesystem, which the mount table tells.
 *
 * @module
 */

import { posix } from "node:path";
import { isWithin, type MountInfo } from "../backends/mounts/mountinfo.ts";

/** What a file is to the guarded paths: one of theirs, beside a guarded file, neither. */
export type Relation = "guarded" | "beside" | "outside";

/** A path in a filesystem. */
interface Place {
  readonly device: string;
  readonly path: string;
}

/** The guarded paths, as their filesystems have them. */
export class Places {
  readonly #mounts: ReadonlyMap<number, MountInfo>;
  readonly #directories: readonly Place[];
  readonly #files: readonly Place[];

  /** Of guarded directories and files, and the mounts of this namespace. */
  constructor(
    directories: readonly string[],
    files: readonly string[],
    mounts: readonly MountInfo[],
  ) {
    this.#mounts = new Map(mounts.map((mount) => [mount.id, mount]));
    this.#files = files.flatMap((file) => mounts.flatMap((mount) => placeOf(file, mount) ?? []));
    this.#directories = directories.flatMap((root) =>
      mounts.flatMap((mount) => {
        const { device, point, root: path } = mount;
        return isWithin(point, root) ? { device, path } : placeOf(root, mount) ?? [];
      })
    );
  }

  /** The mount of this namespace with that id. */
  mount(id: number): MountInfo | undefined {
    return this.#mounts.get(id);
  }

  /** What a path on that mount is; guarded where nobody can tell. */
  relation(path: string, mount: MountInfo | undefined): Relation {
    const place = mount && placeOf(path, mount);
    if (place === undefined) return "guarded";
    const isOn = (other: Place) => other.device === place.device;
    if (this.#directories.some((root) => isOn(root) && isWithin(place.path, root.path))) {
      return "guarded";
    }
    const files = this.#files.filter(isOn);
    if (files.some((file) => file.path === place.path)) return "guarded";
    const parent = posix.dirname(place.path);
    return files.some((file) => posix.dirname(file.path) === parent) ? "beside" : "outside";
  }
}

/** Where a path on that mount lies in the filesystem, whatever is mounted above. */
function placeOf(path: string, { device, root, point }: MountInfo): Place | undefined {
  if (!isWithin(path, point)) return undefined;
  // Of a mount of a single file nothing is left of the path; join() would add a slash to none.
  return { device, path: path === point ? root : posix.join(root, path.slice(point.length)) };
}
