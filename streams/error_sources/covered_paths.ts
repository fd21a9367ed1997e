/**
 * Which filesystems the paths are on, as mounts come and go.
 *
 * @module
 */

import {
  KERNEL_FILESYSTEMS,
  type MountInfo,
  mountOf,
  parseMountInfo,
} from "../../backends/mounts/mountinfo.ts";
import { mountId } from "../../backends/mounts/mount_id.ts";
import { AT_FDCWD, O_CLOEXEC, O_PATH } from "../../ffi/abi/open.ts";
import { STATX_MNT_ID } from "../../ffi/abi/statx.ts";
import { systemError, UnsupportedError } from "../../ffi/errno.ts";
import { pathOfFd, readText } from "../../ffi/file.ts";
import type { Libc } from "../../ffi/port.ts";
import { cString } from "../../ffi/text.ts";
import type { Filesystem } from "./source.ts";

/** A path, and the filesystem that is mounted where it was found. */
export interface CoveredPath {
  /** As it was given, absolute. */
  readonly path: string;
  /** Where the filesystem is mounted that it is on: whatever is mounted there later is covered instead. */
  readonly point: string;
  filesystem: Filesystem | undefined;
}

/** What has changed. */
export interface MountDifference {
  readonly gone: Filesystem[];
  readonly came: Filesystem[];
}

/** The paths of one stream. */
export class CoveredPaths {
  readonly #libc: Libc;
  readonly #paths: CoveredPath[] = [];
  readonly #filesystems = new Map<string, Filesystem>();
  #mounts: readonly MountInfo[] = [];

  /** Throws `SystemError` for what is not there, `UnsupportedError` for what the kernel makes up. */
  constructor(libc: Libc, paths: readonly string[]) {
    this.#libc = libc;
    this.#mounts = this.#readMounts();
    for (const path of paths) {
      this.#paths.push({ path, point: this.#pointOf(path), filesystem: undefined });
    }
  }

  /** All of them, in their order. */
  get all(): readonly CoveredPath[] {
    return this.#paths;
  }

  /** Those filesystems that are mounted, each once. */
  get filesystems(): Iterable<Filesystem> {
    return this.#filesystems.values();
  }

  /** The device of a mount of this namespace, by its id. */
  deviceOf(id: number): string | undefined {
    return this.#mounts.find((mount) => mount.id === id)?.device;
  }

  #readMounts(): MountInfo[] {
    return parseMountInfo(readText(this.#libc, "/proc/self/mountinfo") ?? "");
  }

  #pointOf(path: string): string {
    const libc = this.#libc;
    const action = `watch ${path} for errors`;
    const fd = libc.open(cString(path), O_PATH | O_CLOEXEC, 0);
    if (fd < 0) throw systemError(libc, action, { syscall: "open", path });
    const id = mountId(libc, fd, "", STATX_MNT_ID);
    const real = pathOfFd(libc, fd);
    libc.close(fd);
    const mount = this.#mounts.find((mount) => mount.id === id) ??
      mountOf(real ?? path, this.#mounts);
    if (mount === undefined) {
      throw new UnsupportedError(`Cannot ${action}: it is on no mount that is to be seen`, {
        path,
        hint: "the mount table is read from /proc/self/mountinfo",
      });
    }
    if (KERNEL_FILESYSTEMS.has(mount.type)) {
      throw new UnsupportedError(`Cannot ${action}: ${mount.type} is made up by the kernel`, {
        path,
        hint: "name a path on a filesystem that has files of its own",
      });
    }
    return mount.point;
  }

  /** Reads the mount table (again). */
  refresh(): MountDifference {
    const mounts = this.#mounts = this.#readMounts();
    const before = new Set(this.#filesystems.values());
    const known = new Map(this.#filesystems);
    this.#filesystems.clear();
    for (const path of this.#paths) {
      const mount = mounts.findLast((mount) => mount.point === path.point && this.#isSeen(mount));
      if (mount === undefined) {
        path.filesystem = undefined;
        continue;
      }
      const { device } = mount;
      let filesystem = this.#filesystems.get(device);
      if (filesystem === undefined) {
        filesystem = known.get(device) ?? { device, mount, top: mount };
        filesystem.mount = mount;
        filesystem.top = this.#topOf(mount);
        this.#filesystems.set(device, filesystem);
      }
      path.filesystem = filesystem;
    }
    const now = new Set(this.#filesystems.values());
    return {
      gone: [...before].filter((one) => !now.has(one)),
      came: [...now].filter((one) => !before.has(one)),
    };
  }

  /** Whether a mount is what its mount point leads to, and not hidden by another one. */
  #isSeen({ id, point }: MountInfo): boolean {
    const there = mountId(this.#libc, AT_FDCWD, point, STATX_MNT_ID);
    return there === 0 || there === id;
  }

  /** A mount that shows the whole filesystem, where there is one. */
  #topOf(mount: MountInfo): MountInfo {
    if (mount.root === "/") return mount;
    return this.#mounts.find((one) =>
      one.device === mount.device && one.root === "/" && this.#isSeen(one)
    ) ?? mount;
  }
}
