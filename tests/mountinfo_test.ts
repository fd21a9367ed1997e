/** The mount table: escapes, optional fields, which mount holds a path. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import {
  isTwoSided,
  isWithin,
  KERNEL_FILESYSTEMS,
  mountOf,
  parseMountInfo,
  reachable,
} from "../backends/mounts/mountinfo.ts";

test("a line, with optional fields and without", () => {
  const text = [
    "22 1 8:1 / / rw,noatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro",
    "36 22 0:32 /sub /mnt/bind ro - btrfs /dev/sdb rw,subvol=/sub",
    "40 22 0:40 / /run rw shared:5 master:2 propagate_from:1 unbindable - tmpfs tmpfs rw",
    "",
  ].join("\n");
  assert.deepEqual(parseMountInfo(text), [
    {
      id: 22,
      parent: 1,
      device: "8:1",
      root: "/",
      point: "/",
      options: "rw,noatime",
      type: "ext4",
      source: "/dev/sda1",
      superOptions: "rw,errors=remount-ro",
      shared: 1,
    },
    {
      id: 36,
      parent: 22,
      device: "0:32",
      root: "/sub",
      point: "/mnt/bind",
      options: "ro",
      type: "btrfs",
      source: "/dev/sdb",
      superOptions: "rw,subvol=/sub",
    },
    {
      id: 40,
      parent: 22,
      device: "0:40",
      root: "/",
      point: "/run",
      options: "rw",
      type: "tmpfs",
      source: "tmpfs",
      superOptions: "rw",
      shared: 5,
      master: 2,
      propagateFrom: 1,
      unbindable: true,
    },
  ]);
});

test("space, tab, newline, backslash and number sign are octal", () => {
  const text = String
    .raw`50 22 0:50 /a\040b /mnt/a\040b\011c\012d\134e\043f rw - fuse.x my\040disk rw`;
  const [mount] = parseMountInfo(text);
  assert.equal(mount!.root, "/a b");
  assert.equal(mount!.point, "/mnt/a b\tc\nd\\e#f");
  assert.equal(mount!.source, "my disk");
  // The kernel escapes the backslash itself, so that what looks like an escape is one.
  const [literal] = parseMountInfo(String.raw`50 22 0:50 / /mnt/\134040 rw - tmpfs none rw`);
  assert.equal(literal!.point, String.raw`/mnt/\040`);
});

test("a point with what looks like the separator, and names that are not ASCII", () => {
  const [mount] = parseMountInfo("50 22 0:50 / /mnt/a\\040-\\040b/ü😀 rw - tmpfs none rw");
  assert.equal(mount!.point, "/mnt/a - b/ü😀");
  assert.equal(mount!.type, "tmpfs");
});

test("an empty source, and lines that are none", () => {
  assert.equal(parseMountInfo("50 22 0:50 / /mnt rw - tmpfs  rw")[0]!.source, "");
  for (
    const text of ["", "\n\n", "nonsense", "1 2 3", "50 22 0:50 / /mnt rw", " - tmpfs none rw"]
  ) {
    assert.deepEqual(parseMountInfo(text), [], JSON.stringify(text));
  }
});

test("this machine's table", () => {
  const text = readFileSync("/proc/self/mountinfo", "utf8");
  const mounts = parseMountInfo(text);
  assert.equal(mounts.length, text.trimEnd().split("\n").length);
  for (const { id, parent, device, root, point, type } of mounts) {
    assert(Number.isInteger(id) && Number.isInteger(parent));
    assert.match(device, /^\d+:\d+$/);
    assert(root !== "" && point.startsWith("/") && type !== "");
  }
  assert.equal(mountOf("/proc/self", mounts)!.type, "proc");
});

test("the mount that holds a path: the innermost, and of several the last", () => {
  const mounts = parseMountInfo([
    "1 0 8:1 / / rw - ext4 a rw",
    "2 1 8:2 / /mnt rw - xfs b rw",
    "3 2 8:3 / /mnt/in rw - tmpfs c rw",
    "4 2 8:4 / /mnt/in rw - tmpfs d rw",
  ].join("\n"));
  const held = (path: string) => mountOf(path, mounts)?.source;
  assert.equal(held("/"), "a");
  assert.equal(held("/mntx"), "a");
  assert.equal(held("/mnt"), "b");
  assert.equal(held("/mnt/inn"), "b");
  assert.equal(held("/mnt/in"), "d");
  assert.equal(held("/mnt/in/x"), "d");
  assert.equal(mountOf("/x", []), undefined);
  assert.equal(mountOf("/x", mounts.slice(1)), undefined);
});

test("isWithin", () => {
  for (
    const [path, directory] of [["/", "/"], ["/a", "/"], ["/a", "/a"], ["/a/b", "/a"]] as const
  ) {
    assert(isWithin(path, directory));
  }
  for (const [path, directory] of [["/ab", "/a"], ["/a", "/a/b"], ["/", "/a"]] as const) {
    assert(!isWithin(path, directory));
  }
});

test("filesystems that announce nothing", () => {
  assert(KERNEL_FILESYSTEMS.has("proc") && KERNEL_FILESYSTEMS.has("sysfs"));
  assert(!KERNEL_FILESYSTEMS.has("tmpfs") && !KERNEL_FILESYSTEMS.has("ext4"));
});

test("filesystems that are changed elsewhere as well, whatever their subtype", () => {
  for (const type of ["nfs", "nfs4", "9p", "virtiofs", "fuse", "fuse.sshfs"]) {
    assert(isTwoSided(type), type);
  }
  for (const type of ["ext4", "btrfs", "overlay", "tmpfs", "fuseblk", "squashfs"]) {
    assert(!isTwoSided(type), type);
  }
});

test("mounts to which a path leads", () => {
  const table = [
    "20 1 0:20 / / rw - ext4 root rw",
    "21 20 0:21 / /a rw - tmpfs first rw",
    "22 21 0:22 / /a/b rw - tmpfs hidden-by-second rw",
    "23 21 0:23 / /a rw - tmpfs second rw",
    "24 23 0:24 / /a/c rw - tmpfs on-second rw",
    "25 20 0:25 / /d/e rw - tmpfs hidden-by-above rw",
    "26 25 0:26 / /d/e/f rw - tmpfs on-hidden rw",
    "27 20 0:27 / /d rw - tmpfs above rw",
    "28 20 0:28 / /dd rw - tmpfs beside rw",
    "29 20 0:29 / / rw - tmpfs over-the-root rw",
    "30 99 0:30 / /g rw - tmpfs on-unknown rw",
  ].join("\n");
  assert.deepEqual(reachable(parseMountInfo(table)).map(({ source }) => source), [
    "root",
    "second",
    "on-second",
    "above",
    "beside",
    "on-unknown",
  ]);
  const own = parseMountInfo(readFileSync("/proc/self/mountinfo", "utf8"));
  assert(reachable(own).length > 0);
});

test("a table that was read while it changed may go round in circles", () => {
  const table = "5 6 0:1 / /a rw - tmpfs a rw\n6 5 0:2 / /a/b rw - tmpfs b rw";
  assert.deepEqual(reachable(parseMountInfo(table)), []);
});
