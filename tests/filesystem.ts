/**
 * Filesystems of every type that this machine can mount, each on a loop device, in memory, or on top of another one.
 *
 * @module
 */

import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { isWithin, parseMountInfo } from "../backends/mounts/mountinfo.ts";
import { isInstalled } from "../scripts/real_work/process.ts";
import { isRoot } from "./runtime.ts";

/** How a type is made. */
interface Recipe {
  /** The kernel's driver, as in `/proc/filesystems`. */
  readonly driver: string;
  /** The programs that make it, beside mount(8). */
  readonly programs: readonly string[];
  /** Makes and mounts it in an empty directory; the path at which it is used. */
  make(base: string): string;
  /** Whether the kernel can do it is known by trying only. */
  readonly isTried?: true;
}

const MIB = 1024 * 1024;

/** Makes a filesystem in a sparse file and mounts it. */
function onLoopDevice(base: string, size: number, mkfs: readonly string[]): string {
  const image = join(base, "image");
  writeFileSync(image, "");
  truncateSync(image, size);
  run(...mkfs, image);
  return onImage(join(base, "root"), image);
}

/** Mounts an image at a directory that it makes; the directory. */
function onImage(point: string, image: string, options?: string): string {
  mkdirSync(point);
  mountImage(image, point, options);
  return point;
}

/**
 * Mounts an image, on a loop device that goes with the mount. Not by `-o loop`: mount(8) has the device open for writing
 * meanwhile, which kernels without CONFIG_BLK_DEV_WRITE_MOUNTED (Linux 6.8) refuse.
 */
export function mountImage(image: string, point: string, options = "defaults"): void {
  const find = ["--find", "--show", image];
  const device = execFileSync("losetup", find, { encoding: "utf8" }).trim();
  try {
    run("mount", "-o", options, device, point);
  } finally {
    run("losetup", "--detach", device); // once it is not mounted any more
  }
}

/** Mounts at a directory that it makes; the directory. */
function mounted(point: string, ...options: readonly string[]): string {
  mkdirSync(point);
  run("mount", ...options, point);
  return point;
}

/** What is mounted at a path: `"/dev/loop0"`. */
export function deviceOf(point: string): string {
  const mounts = parseMountInfo(readFileSync("/proc/self/mountinfo", "utf8"));
  return mounts.findLast((mount) => mount.point === point)!.source;
}

function inMemory(base: string, name = "root"): string {
  return mounted(join(base, name), "-t", "tmpfs", "sentinode-test");
}

function ext4(base: string): string {
  const root = onLoopDevice(base, 16 * MIB, ["mkfs.ext4", "-q"]);
  rmdirSync(join(root, "lost+found")); // nobody may not read it
  return root;
}

/** With a file `directory/broken` that has no type, and goes on after an error. */
function brokenExt4(base: string): string {
  const image = join(base, "image");
  writeFileSync(image, "");
  truncateSync(image, 16 * MIB);
  run("mkfs.ext4", "-q", image);
  const source = join(base, "source");
  writeFileSync(source, "text");
  for (
    const request of [
      "mkdir directory",
      `write ${source} directory/whole`,
      `write ${source} directory/broken`,
      "sif directory/broken mode 0xff",
    ]
  ) run("debugfs", "-w", "-R", request, image);
  return onImage(join(base, "root"), image, "errors=continue");
}

function btrfs(base: string): string {
  return onLoopDevice(base, 128 * MIB, ["mkfs.btrfs", "-q"]);
}

/** A subvolume, and what is given as a snapshot of it, mounted without what is above. */
function subvolume(base: string, name: "subvolume" | "snapshot"): string {
  const top = btrfs(base);
  run("btrfs", "-q", "subvolume", "create", join(top, "subvolume"));
  writeFileSync(join(top, "subvolume", "before"), "");
  run("btrfs", "-q", "subvolume", "snapshot", join(top, "subvolume"), join(top, "snapshot"));
  return mounted(join(base, name), "-o", `subvol=${name}`, deviceOf(top));
}

/** Two layers in memory, with a file and a directory in the lower one. */
function overlay(base: string, more = ""): string {
  const memory = inMemory(base, "layers");
  const layers = ["lower", "upper", "work"].map((name) => join(memory, name));
  for (const layer of layers) mkdirSync(layer);
  const [lower, upper, work] = layers;
  writeFileSync(join(lower!, "below"), "below");
  mkdirSync(join(lower!, "directory"));
  writeFileSync(join(lower!, "directory", "inner"), "inner");
  const options = `lowerdir=${lower},upperdir=${upper},workdir=${work}${more}`;
  return mounted(join(base, "root"), "-t", "overlay", "sentinode-test", "-o", options);
}

/** The types that there are recipes for. */
export type FilesystemType =
  | "ext4"
  | "xfs"
  | "btrfs"
  | "btrfs subvolume"
  | "btrfs snapshot"
  | "tmpfs"
  | "overlay"
  | "overlay nfs_export"
  | "fuse"
  | "bind"
  | "squashfs";

/** Those that are made for one purpose. */
export type SpecialFilesystem = "ext4 broken" | "ext4 quota" | "tmpfs quota";

const RECIPES: Readonly<Record<FilesystemType | SpecialFilesystem, Recipe>> = {
  ext4: { driver: "ext4", programs: ["mkfs.ext4"], make: ext4 },
  "ext4 broken": { driver: "ext4", programs: ["mkfs.ext4", "debugfs"], make: brokenExt4 },
  /** Users have quotas. */
  "ext4 quota": {
    driver: "ext4",
    programs: ["mkfs.ext4"],
    isTried: true,
    make(base) {
      const image = join(base, "image");
      writeFileSync(image, "");
      truncateSync(image, 16 * MIB);
      run("mkfs.ext4", "-q", "-O", "quota", "-E", "quotatype=usrquota", image);
      return onImage(join(base, "root"), image, "usrquota");
    },
  },
  /** Of 1 MiB and 5 files a user (Linux 6.6). */
  "tmpfs quota": {
    driver: "tmpfs",
    programs: [],
    isTried: true,
    make: (base) =>
      mounted(
        join(base, "root"),
        "-t",
        "tmpfs",
        "-o",
        "usrquota,usrquota_block_hardlimit=1m,usrquota_inode_hardlimit=5",
        "sentinode-test",
      ),
  },
  xfs: {
    driver: "xfs",
    programs: ["mkfs.xfs"],
    make: (base) => onLoopDevice(base, 300 * MIB, ["mkfs.xfs", "-q"]), // it takes no less
  },
  btrfs: { driver: "btrfs", programs: ["mkfs.btrfs"], make: btrfs },
  "btrfs subvolume": {
    driver: "btrfs",
    programs: ["mkfs.btrfs", "btrfs"],
    make: (base) => subvolume(base, "subvolume"),
  },
  "btrfs snapshot": {
    driver: "btrfs",
    programs: ["mkfs.btrfs", "btrfs"],
    make: (base) => subvolume(base, "snapshot"),
  },
  tmpfs: { driver: "tmpfs", programs: [], make: inMemory },
  overlay: { driver: "overlay", programs: [], make: overlay },
  "overlay nfs_export": {
    driver: "overlay",
    programs: [],
    make: (base) => overlay(base, ",nfs_export=on,index=on"),
  },
  /** Of what is in "other side". */
  fuse: {
    driver: "fuse",
    programs: ["bindfs"],
    make(base) {
      const point = join(base, "root");
      mkdirSync(point);
      run("bindfs", inMemory(base, "other side"), point);
      return point;
    },
  },
  /** "part" of "root". */
  bind: {
    driver: "ext4",
    programs: ["mkfs.ext4"],
    make(base) {
      const part = join(ext4(base), "part");
      mkdirSync(part);
      return mounted(join(base, "bound"), "--bind", part);
    },
  },
  squashfs: {
    driver: "squashfs",
    programs: ["mksquashfs"],
    make(base) {
      const source = join(base, "source");
      mkdirSync(join(source, "directory"), { recursive: true });
      writeFileSync(join(source, "directory", "file"), "text");
      run("mksquashfs", source, join(base, "image"), "-quiet", "-no-progress");
      return mounted(join(base, "root"), "-o", "loop", join(base, "image"));
    },
  },
};

/** Why a type cannot be mounted here; false where it can. */
export function whyNot(type: FilesystemType | SpecialFilesystem): string | false {
  if (!isRoot) return "needs root";
  const { driver, programs, isTried } = RECIPES[type];
  if (!readFileSync("/proc/filesystems", "utf8").split(/\s+/).includes(driver)) {
    return `the kernel has no ${driver}`;
  }
  const missing = programs.find((program) => !isInstalled(program));
  if (missing !== undefined) return `${missing} is not installed`;
  if (isTried) {
    try {
      new Filesystem(type)[Symbol.dispose]();
    } catch {
      return `the kernel cannot mount ${type}`;
    }
  }
  return false;
}

/** What the directories are called: by the process that is to remove them. */
const PREFIX = "sentinode-filesystem-";

/** A filesystem of its own, that everybody may write to, unmounted at the end of the block. Needs root. */
export class Filesystem implements Disposable {
  /** Where everything of it is mounted. */
  readonly base: string;
  readonly path: string;

  constructor(type: FilesystemType | SpecialFilesystem) {
    sweep();
    this.base = realpathSync(mkdtempSync(join(tmpdir(), `${PREFIX}${process.pid}-`)));
    chmodSync(this.base, 0o755);
    try {
      this.path = RECIPES[type].make(this.base);
      if (type !== "squashfs") chmodSync(this.path, 0o777);
    } catch (error) {
      remove(this.base);
      throw error;
    }
  }

  [Symbol.dispose](): void {
    remove(this.base);
  }
}

/** Removes what processes left that were killed. */
function sweep(): void {
  for (const name of readdirSync(tmpdir())) {
    const [, pid] = /^sentinode-filesystem-(\d+)-/.exec(name) ?? [];
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue;
    remove(realpathSync(join(tmpdir(), name)));
  }
}

function remove(base: string): void {
  unmountBelow(base);
  rmSync(base, { recursive: true });
}

/** Unmounts everything at and below a path, the last first; the loop devices go with the mounts. */
export function unmountBelow(base: string): void {
  const below = () =>
    parseMountInfo(readFileSync("/proc/self/mountinfo", "utf8"))
      .filter(({ point }) => isWithin(point, base));
  for (const { point } of below().toReversed()) run("umount", "--lazy", point);
  if (below().length > 0) throw new Error(`Cannot remove ${base}: it is still mounted`);
}

function run(...[program, ...args]: readonly string[]): void {
  execFileSync(program!, args, { stdio: ["ignore", "ignore", "pipe"] });
}
