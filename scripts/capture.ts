/**
 * Captures what this kernel sends for a fixed script of changes, as the fixtures of the decoders' tests:
 *
 *     deno run -A scripts/capture.ts     (root: pidfds are asked for)
 *
 * Writes `tests/fixtures/*.hex`, a record a line. Handles, pids and cookies differ from run to run, the rest does not.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmdirSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  FAN_ATTRIB,
  FAN_CLOEXEC,
  FAN_CLOSE_WRITE,
  FAN_CREATE,
  FAN_DELETE,
  FAN_EVENT_INFO_TYPE_PIDFD,
  FAN_EVENT_ON_CHILD,
  FAN_MARK_ADD,
  FAN_MODIFY,
  FAN_NONBLOCK,
  FAN_ONDIR,
  FAN_RENAME,
  FAN_REPORT_DFID_NAME_TARGET,
  FAN_REPORT_FD_ERROR,
  FAN_REPORT_PIDFD,
} from "../ffi/abi/fanotify.ts";
import {
  IN_ALL_EVENTS,
  IN_CLOEXEC,
  IN_CLOSE_NOWRITE,
  IN_NONBLOCK,
  IN_OPEN,
} from "../ffi/abi/inotify.ts";
import { AT_FDCWD, O_CLOEXEC, O_RDONLY } from "../ffi/abi/open.ts";
import { openLibc } from "../ffi/libc.ts";
import { cString } from "../ffi/text.ts";

const libc = await openLibc();

/** One read of all that is queued. */
function drain(fd: number): Buffer {
  const chunks: Buffer[] = [];
  for (;;) {
    const buffer = new Uint8Array(1 << 20);
    const length = libc.read(fd, buffer, buffer.length);
    if (length <= 0) return Buffer.concat(chunks);
    chunks.push(Buffer.from(buffer.subarray(0, length)));
  }
}

/** A record a line, each `size(offset)` bytes long. */
function save(name: string, bytes: Buffer, size: (offset: number) => number): void {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += size(at)) {
    lines.push(bytes.toString("hex", at, at + size(at)));
  }
  const file = fileURLToPath(new URL(`../tests/fixtures/${name}.hex`, import.meta.url).href);
  writeFileSync(file, lines.join("\n") + "\n");
  console.log(`${name}: ${lines.length} records, ${bytes.length} bytes`);
}

/** The script. The tests know it by heart. */
function change(directory: string): void {
  writeFileSync(join(directory, "a"), "x");
  chmodSync(join(directory, "a"), 0o600);
  renameSync(join(directory, "a"), join(directory, "sixteen-letters."));
  writeFileSync(join(directory, "n".repeat(255)), "");
  mkdirSync(join(directory, "from"));
  renameSync(join(directory, "from"), join(directory, "to"));
  rmdirSync(join(directory, "to"));
  // A name that is no UTF-8, by a shell: the runtimes' own functions take text.
  spawnSync("sh", ["-c", `: > "$(printf 'raw-\\377\\376')" && mv "$(printf 'raw-\\377\\376')" b`], {
    cwd: directory,
  });
  unlinkSync(join(directory, "sixteen-letters."));
}

const overflowing = 17_000; // more than fs.*.max_queued_events, which is 16,384 unless somebody changed it

const parent = mkdtempSync(join(tmpdir(), "sentinode-capture-"));
try {
  const watched = join(parent, "watched");
  const path = cString(watched);

  for (
    const [kind, flags] of [["", 0], ["_pidfd", FAN_REPORT_PIDFD | FAN_REPORT_FD_ERROR]] as const
  ) {
    mkdirSync(watched);
    const all = FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_DFID_NAME_TARGET | flags;
    const fd = libc.fanotify_init(all, O_RDONLY | O_CLOEXEC);
    const mask = FAN_CREATE | FAN_DELETE | FAN_RENAME | FAN_MODIFY | FAN_ATTRIB | FAN_CLOSE_WRITE |
      FAN_ONDIR |
      FAN_EVENT_ON_CHILD;
    libc.fanotify_mark(fd, FAN_MARK_ADD, BigInt(mask), AT_FDCWD, path);
    change(watched);
    const bytes = drain(fd);
    save(`fanotify${kind}`, bytes, (at) => bytes.readUInt32LE(at));
    for (let at = 0; at < bytes.length; at += bytes.readUInt32LE(at)) {
      for (
        let info = at + 24;
        info < at + bytes.readUInt32LE(at);
        info += bytes.readUInt16LE(info + 2)
      ) {
        if (bytes[info] === FAN_EVENT_INFO_TYPE_PIDFD) libc.close(bytes.readInt32LE(info + 4));
      }
    }
    if (flags === 0) {
      for (let i = 0; i < overflowing; i++) writeFileSync(join(watched, `${i}`), "");
      save("fanotify_overflow", drain(fd).subarray(-24), () => 24);
    }
    libc.close(fd);
    rmSync(watched, { recursive: true });
  }

  mkdirSync(watched);
  const fd = libc.inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  libc.inotify_add_watch(fd, path, IN_ALL_EVENTS & ~(IN_OPEN | IN_CLOSE_NOWRITE));
  change(watched);
  const bytes = drain(fd);
  save("inotify", bytes, (at) => 16 + bytes.readUInt32LE(at + 12));
  for (let i = 0; i < overflowing; i++) writeFileSync(join(watched, `${i}`), "");
  save("inotify_overflow", drain(fd).subarray(-16), () => 16);
  rmSync(watched, { recursive: true });
  drain(fd);
  libc.close(fd);
} finally {
  rmSync(parent, { recursive: true });
}
