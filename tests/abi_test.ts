/**
 * Compares every number in `ffi/abi/` with what a C compiler makes of the kernel's headers: for
 * each module a C program is generated that prints its constants, and the sizeof and offsetof of
 * its structs. What is newer than the installed headers, or is not in them because it is the
 * kernel's own, is defined here and cites its source.
 */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";

import * as address from "../ffi/abi/address.ts";
import * as aio from "../ffi/abi/aio.ts";
import { arch } from "../ffi/abi/arch.ts";
import * as audisp from "../ffi/abi/audisp.ts";
import * as audit from "../ffi/abi/audit.ts";
import * as auditTypes from "../ffi/abi/audit_types.ts";
import * as capability from "../ffi/abi/capability.ts";
import * as dirent from "../ffi/abi/dirent.ts";
import * as ext4 from "../ffi/abi/ext4.ts";
import * as errno from "../ffi/abi/errno.ts";
import * as fanotify from "../ffi/abi/fanotify.ts";
import * as file_attr from "../ffi/abi/file_attr.ts";
import * as genetlink from "../ffi/abi/genetlink.ts";
import * as handle from "../ffi/abi/handle.ts";
import * as inotify from "../ffi/abi/inotify.ts";
import * as ioctl from "../ffi/abi/ioctl.ts";
import * as mount from "../ffi/abi/mount.ts";
import * as keyctl from "../ffi/abi/keyctl.ts";
import * as netlink from "../ffi/abi/netlink.ts";
import * as nsfs from "../ffi/abi/nsfs.ts";
import * as open from "../ffi/abi/open.ts";
import * as poll from "../ffi/abi/poll.ts";
import * as posix_acl from "../ffi/abi/posix_acl.ts";
import * as quota from "../ffi/abi/quota.ts";
import * as signal from "../ffi/abi/signal.ts";
import * as socket from "../ffi/abi/socket.ts";
import * as spawn from "../ffi/abi/spawn.ts";
import * as stat from "../ffi/abi/stat.ts";
import * as statfs from "../ffi/abi/statfs.ts";
import * as statx from "../ffi/abi/statx.ts";
import * as resource from "../ffi/abi/resource.ts";
import * as syscall from "../ffi/abi/syscall.ts";
import * as watch_queue from "../ffi/abi/watch_queue.ts";
import { recordType } from "../backends/audit/record_types.ts";

/** How the exports of one module of `ffi/abi/` are found in C. */
interface AbiModule {
  exports: Readonly<Record<string, unknown>>;
  /** Headers to include, in this order. */
  headers: readonly string[];
  /** Exported objects that are the layout of the C struct of that name. */
  structs?: readonly string[];
  /** Exported objects that hold constants by name, not a layout. */
  tables?: readonly string[];
  /** Macros to define where the headers do not: source → name → value. */
  macros?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** C text after the headers: the structs that they may lack. */
  definitions?: string;
  /** Where the headers' struct may lack a field, another that has it: `struct.field` → struct. */
  newFields?: Readonly<Record<string, string>>;
}

// A struct is defined here exactly when its header lacks the macro that came in the same commit.
const FANOTIFY_DEFINITIONS = `
#ifndef FAN_RESPONSE_INFO_AUDIT_RULE /* include/uapi/linux/fanotify.h, v6.3 */
struct fanotify_response_info_header {
  __u8 type;
  __u8 pad;
  __u16 len;
};
struct fanotify_response_info_audit_rule {
  struct fanotify_response_info_header hdr;
  __u32 rule_number;
  __u32 subj_trust;
  __u32 obj_trust;
};
#endif
#ifndef FAN_EVENT_INFO_TYPE_RANGE /* include/uapi/linux/fanotify.h, v6.14 */
struct fanotify_event_info_range {
  struct fanotify_event_info_header hdr;
  __u32 pad;
  __u64 offset;
  __u64 count;
};
#endif
#ifndef FAN_EVENT_INFO_TYPE_MNT /* include/uapi/linux/fanotify.h, v6.15 */
struct fanotify_event_info_mnt {
  struct fanotify_event_info_header hdr;
  __u64 mnt_id;
};
#endif
`;

const FILE_ATTR_DEFINITIONS = `
#ifndef FILE_ATTR_SIZE_VER0 /* include/uapi/linux/fs.h, v6.17 */
struct file_attr {
  __u64 fa_xflags;
  __u32 fa_extsize;
  __u32 fa_nextents;
  __u32 fa_projid;
  __u32 fa_cowextsize;
};
#endif
`;

// No macro tells which members struct statx has, so this one has a name of its own.
const STATX_DEFINITIONS = `
struct statx_v6_16 { /* include/uapi/linux/stat.h, v6.16 */
  __u32 stx_mask;
  __u32 stx_blksize;
  __u64 stx_attributes;
  __u32 stx_nlink;
  __u32 stx_uid;
  __u32 stx_gid;
  __u16 stx_mode;
  __u16 __spare0[1];
  __u64 stx_ino;
  __u64 stx_size;
  __u64 stx_blocks;
  __u64 stx_attributes_mask;
  struct statx_timestamp stx_atime;
  struct statx_timestamp stx_btime;
  struct statx_timestamp stx_ctime;
  struct statx_timestamp stx_mtime;
  __u32 stx_rdev_major;
  __u32 stx_rdev_minor;
  __u32 stx_dev_major;
  __u32 stx_dev_minor;
  __u64 stx_mnt_id;
  __u32 stx_dio_mem_align;
  __u32 stx_dio_offset_align;
  __u64 stx_subvol;
  __u32 stx_atomic_write_unit_min;
  __u32 stx_atomic_write_unit_max;
  __u32 stx_atomic_write_segments_max;
  __u32 stx_dio_read_offset_align;
  __u32 stx_atomic_write_unit_max_opt;
  __u32 __spare2[1];
  __u64 __spare3[8];
};
/* The copy is as long as the original, and agrees where the original has members. */
_Static_assert(sizeof(struct statx_v6_16) == sizeof(struct statx), "struct statx");
_Static_assert(offsetof(struct statx_v6_16, stx_mnt_id) == offsetof(struct statx, stx_mnt_id),
               "stx_mnt_id");
`;

// In no header for programs. libc's struct dirent agrees with it, except for the room that it has
// for the name.
const DIRENT_DEFINITIONS = `
struct linux_dirent64 { /* include/linux/dirent.h, v6.16 */
  unsigned long long d_ino;
  long long d_off;
  unsigned short d_reclen;
  unsigned char d_type;
  char d_name[];
};
_Static_assert(offsetof(struct linux_dirent64, d_off) == offsetof(struct dirent, d_off), "d_off");
_Static_assert(offsetof(struct linux_dirent64, d_reclen) == offsetof(struct dirent, d_reclen),
               "d_reclen");
_Static_assert(offsetof(struct linux_dirent64, d_type) == offsetof(struct dirent, d_type),
               "d_type");
_Static_assert(offsetof(struct linux_dirent64, d_name) == offsetof(struct dirent, d_name),
               "d_name");
`;

// The layouts here have the size of the struct under `size`, which is a member of this one.
const DISPATCHER_DEFINITIONS = `
struct dispatcher_header { /* libaudit.h, struct audit_dispatcher_header */
  uint32_t ver;
  uint32_t hlen;
  uint32_t type;
  uint32_t data_size;
};
_Static_assert(sizeof(struct dispatcher_header) == sizeof(struct audit_dispatcher_header), "size");
_Static_assert(offsetof(struct audit_dispatcher_header, ver) == 0, "ver");
_Static_assert(offsetof(struct audit_dispatcher_header, hlen) == 4, "hlen");
_Static_assert(offsetof(struct audit_dispatcher_header, type) == 8, "type");
_Static_assert(offsetof(struct audit_dispatcher_header, size) == 12, "data_size");
`;

/** The files of `ffi/abi/`, but for `arch.ts`, which has no constant. */
const MODULES: Readonly<Record<string, AbiModule>> = {
  "address.ts": {
    exports: address,
    headers: ["sys/socket.h", "netinet/in.h", "linux/vm_sockets.h"],
    structs: ["sockaddr_in", "sockaddr_in6", "sockaddr_vm"],
  },
  "aio.ts": {
    exports: aio,
    headers: ["linux/aio_abi.h"],
    structs: ["iocb", "io_event"],
  },
  "audit.ts": {
    exports: audit,
    headers: ["linux/audit.h"],
    structs: ["audit_status", "audit_rule_data"],
  },
  "audisp.ts": {
    exports: audisp,
    headers: ["libaudit.h"],
    structs: ["dispatcher_header"],
    definitions: DISPATCHER_DEFINITIONS,
  },
  "audit_types.ts": {
    exports: auditTypes,
    headers: ["linux/audit.h", "libaudit.h"],
    tables: ["AUDIT_RECORD"],
    macros: {
      "include/uapi/linux/audit.h, v6.12": {
        AUDIT_IPE_ACCESS: "1420",
        AUDIT_IPE_CONFIG_CHANGE: "1421",
        AUDIT_IPE_POLICY_LOAD: "1422",
      },
      "include/uapi/linux/audit.h, v6.14": { AUDIT_INTEGRITY_USERSPACE: "1808" },
      "include/uapi/linux/audit.h, v6.15": {
        AUDIT_LANDLOCK_ACCESS: "1423",
        AUDIT_LANDLOCK_DOMAIN: "1424",
      },
      "include/uapi/linux/audit.h, v6.18": {
        AUDIT_MAC_TASK_CONTEXTS: "1425",
        AUDIT_MAC_OBJ_CONTEXTS: "1426",
      },
    },
  },
  "dirent.ts": {
    exports: dirent,
    headers: ["dirent.h"],
    structs: ["linux_dirent64"],
    definitions: DIRENT_DEFINITIONS,
  },
  "capability.ts": {
    exports: capability,
    headers: ["linux/capability.h"],
    structs: ["vfs_ns_cap_data"],
    tables: ["CAPABILITIES"],
  },
  "errno.ts": {
    exports: errno,
    headers: ["linux/errno.h"],
    tables: ["ERRNO"],
  },
  "ext4.ts": {
    exports: ext4,
    headers: [],
    macros: {
      "fs/ext4/ext4.h, v6.18": {
        EXT4_ERR_UNKNOWN: "1",
        EXT4_ERR_EIO: "2",
        EXT4_ERR_ENOMEM: "3",
        EXT4_ERR_EFSBADCRC: "4",
        EXT4_ERR_EFSCORRUPTED: "5",
        EXT4_ERR_ENOSPC: "6",
        EXT4_ERR_ENOKEY: "7",
        EXT4_ERR_EROFS: "8",
        EXT4_ERR_EFBIG: "9",
        EXT4_ERR_EEXIST: "10",
        EXT4_ERR_ERANGE: "11",
        EXT4_ERR_EOVERFLOW: "12",
        EXT4_ERR_EBUSY: "13",
        EXT4_ERR_ENOTDIR: "14",
        EXT4_ERR_ENOTEMPTY: "15",
        EXT4_ERR_ESHUTDOWN: "16",
        EXT4_ERR_EFAULT: "17",
      },
    },
  },
  "fanotify.ts": {
    exports: fanotify,
    headers: ["linux/fanotify.h"],
    structs: [
      "fanotify_event_metadata",
      "fanotify_event_info_header",
      "fanotify_event_info_fid",
      "fanotify_event_info_pidfd",
      "fanotify_event_info_error",
      "fanotify_event_info_range",
      "fanotify_event_info_mnt",
      "fanotify_response",
      "fanotify_response_info_header",
      "fanotify_response_info_audit_rule",
    ],
    definitions: FANOTIFY_DEFINITIONS,
    macros: {
      "include/uapi/linux/fanotify.h, v6.3": {
        FAN_INFO: "0x20",
        FAN_RESPONSE_INFO_NONE: "0",
        FAN_RESPONSE_INFO_AUDIT_RULE: "1",
      },
      "include/uapi/linux/fanotify.h, v6.13": {
        FAN_REPORT_FD_ERROR: "0x00002000",
      },
      "include/uapi/linux/fanotify.h, v6.14": {
        FAN_PRE_ACCESS: "0x00100000",
        FAN_EVENT_INFO_TYPE_RANGE: "6",
        FAN_ERRNO_BITS: "8",
        FAN_ERRNO_SHIFT: "(32 - FAN_ERRNO_BITS)",
        FAN_ERRNO_MASK: "((1 << FAN_ERRNO_BITS) - 1)",
      },
      "include/uapi/linux/fanotify.h, v6.15": {
        FAN_REPORT_MNT: "0x00004000",
        FAN_MARK_MNTNS: "0x00000110",
        FAN_MNT_ATTACH: "0x01000000",
        FAN_MNT_DETACH: "0x02000000",
        FAN_EVENT_INFO_TYPE_MNT: "7",
      },
    },
  },
  "file_attr.ts": {
    exports: file_attr,
    headers: ["linux/fs.h"],
    structs: ["file_attr"],
    definitions: FILE_ATTR_DEFINITIONS,
  },
  "genetlink.ts": {
    exports: genetlink,
    headers: ["linux/genetlink.h"],
    structs: ["genlmsghdr"],
  },
  "handle.ts": {
    exports: handle,
    headers: ["fcntl.h"],
    structs: ["file_handle"],
    macros: {
      "include/uapi/linux/fcntl.h, v6.5": { AT_HANDLE_FID: "AT_REMOVEDIR" },
      "include/uapi/linux/fcntl.h, v6.12": { AT_HANDLE_MNT_ID_UNIQUE: "0x001" },
      "include/uapi/linux/fcntl.h, v6.13": { AT_HANDLE_CONNECTABLE: "0x002" },
      "include/linux/exportfs.h, v6.13": {
        FILEID_INO32_GEN: "1",
        FILEID_INO32_GEN_PARENT: "2",
        FILEID_BTRFS_WITHOUT_PARENT: "0x4d",
        FILEID_INO64_GEN: "0x81",
        FILEID_INO64_GEN_PARENT: "0x82",
        FILEID_INVALID: "0xff",
        FILEID_USER_FLAGS_MASK: "0xffff0000",
      },
    },
  },
  "inotify.ts": {
    exports: inotify,
    headers: ["linux/inotify.h"],
    structs: ["inotify_event"],
  },
  "keyctl.ts": {
    exports: keyctl,
    headers: ["linux/keyctl.h"],
  },
  "netlink.ts": {
    exports: netlink,
    headers: ["linux/netlink.h"],
    structs: ["sockaddr_nl", "nlmsghdr", "nlmsgerr", "nlattr"],
  },
  "open.ts": {
    exports: open,
    headers: ["linux/fcntl.h", "linux/limits.h"],
  },
  "poll.ts": {
    exports: poll,
    headers: ["linux/poll.h", "linux/eventpoll.h", "sys/eventfd.h"],
    structs: ["pollfd", "epoll_event"],
  },
  "posix_acl.ts": {
    exports: posix_acl,
    headers: ["linux/types.h", "linux/posix_acl.h", "linux/posix_acl_xattr.h"],
    structs: ["posix_acl_xattr_header", "posix_acl_xattr_entry"],
  },
  "quota.ts": {
    exports: quota,
    headers: ["linux/quota.h"],
  },
  "signal.ts": {
    exports: signal,
    headers: ["asm/signal.h"],
  },
  "socket.ts": {
    exports: socket,
    headers: ["sys/socket.h", "sys/un.h"],
    structs: ["sockaddr_un"],
  },
  "spawn.ts": {
    exports: spawn,
    headers: ["spawn.h"],
    macros: {
      // No more than a bound of libc's own types.
      "ffi/abi/spawn.ts": { SPAWN_STATE_SIZE: "512" },
    },
    definitions: `
_Static_assert(sizeof(posix_spawn_file_actions_t) <= 512, "posix_spawn_file_actions_t");
_Static_assert(sizeof(posix_spawnattr_t) <= 512, "posix_spawnattr_t");
`,
  },
  "stat.ts": {
    exports: stat,
    headers: ["sys/stat.h"], // <linux/stat.h> leaves the mode bits to glibc where there is one
  },
  "statfs.ts": {
    exports: statfs,
    headers: ["asm/statfs.h", "linux/magic.h"],
    structs: ["statfs"],
    macros: { "include/linux/statfs.h, v6.18": { ST_RDONLY: "0x0001" } },
  },
  "statx.ts": {
    exports: statx,
    headers: ["linux/stat.h"],
    structs: ["statx", "statx_timestamp"],
    definitions: STATX_DEFINITIONS,
    newFields: {
      "statx.stx_subvol": "statx_v6_16",
      "statx.stx_atomic_write_unit_min": "statx_v6_16",
      "statx.stx_atomic_write_unit_max": "statx_v6_16",
      "statx.stx_atomic_write_segments_max": "statx_v6_16",
      "statx.stx_dio_read_offset_align": "statx_v6_16",
      "statx.stx_atomic_write_unit_max_opt": "statx_v6_16",
    },
    macros: {
      "include/uapi/linux/stat.h, v6.8": { STATX_MNT_ID_UNIQUE: "0x00004000U" },
      "include/uapi/linux/stat.h, v6.10": { STATX_SUBVOL: "0x00008000U" },
      "include/uapi/linux/stat.h, v6.11": {
        STATX_WRITE_ATOMIC: "0x00010000U",
        STATX_ATTR_WRITE_ATOMIC: "0x00400000",
      },
      "include/uapi/linux/stat.h, v6.14": { STATX_DIO_READ_ALIGN: "0x00020000U" },
    },
  },
  "ioctl.ts": {
    exports: ioctl,
    headers: ["asm/ioctls.h", "linux/fs.h"],
  },
  "mount.ts": {
    exports: mount,
    headers: ["stdint.h", "sys/types.h", "linux/mount.h"],
    structs: ["mnt_id_req", "statmount"],
    definitions: `
#ifndef STATMOUNT_SB_SOURCE /* include/uapi/linux/mount.h, v6.13 */
struct mnt_id_req { __u32 size, spare; __u64 mnt_id, param, mnt_ns_id; };
struct statmount {
  __u32 size, mnt_opts; __u64 mask; __u32 sb_dev_major, sb_dev_minor; __u64 sb_magic;
  __u32 sb_flags, fs_type; __u64 mnt_id, mnt_parent_id; __u32 mnt_id_old, mnt_parent_id_old;
  __u64 mnt_attr, mnt_propagation, mnt_peer_group, mnt_master, propagate_from;
  __u32 mnt_root, mnt_point; __u64 mnt_ns_id; __u32 fs_subtype, sb_source;
  __u32 opt_num, opt_array, opt_sec_num, opt_sec_array; __u64 __spare2[46];
};
#endif
`,
    macros: {
      "include/uapi/linux/mount.h, v6.8": {
        STATMOUNT_SB_BASIC: "0x00000001U",
        STATMOUNT_MNT_BASIC: "0x00000002U",
        STATMOUNT_PROPAGATE_FROM: "0x00000004U",
        STATMOUNT_MNT_ROOT: "0x00000008U",
        STATMOUNT_MNT_POINT: "0x00000010U",
        STATMOUNT_FS_TYPE: "0x00000020U",
      },
      "include/uapi/linux/mount.h, v6.11": {
        STATMOUNT_MNT_NS_ID: "0x00000040U",
        STATMOUNT_MNT_OPTS: "0x00000080U",
      },
      "include/uapi/linux/mount.h, v6.13": {
        STATMOUNT_FS_SUBTYPE: "0x00000100U",
        STATMOUNT_SB_SOURCE: "0x00000200U",
      },
    },
  },
  "nsfs.ts": {
    exports: nsfs,
    headers: ["linux/magic.h", "linux/nsfs.h", "linux/sched.h", "stdint.h"],
    macros: {
      "include/uapi/linux/nsfs.h, v6.11": { NS_GET_MNTNS_ID: "_IOR(NSIO, 0x5, uint64_t)" },
    },
  },
  "resource.ts": {
    exports: resource,
    headers: ["sys/resource.h"],
    structs: ["rlimit"],
  },
  "syscall.ts": {
    exports: syscall,
    headers: ["sys/syscall.h"],
    macros: {
      "include/uapi/asm-generic/unistd.h and arch/x86/entry/syscalls/syscall_64.tbl, v6.8": {
        SYS_statmount: "457",
        SYS_listmount: "458",
      },
      "include/uapi/asm-generic/unistd.h and arch/x86/entry/syscalls/syscall_64.tbl, v6.17": {
        SYS_file_getattr: "468",
        SYS_file_setattr: "469",
      },
    },
  },
  "watch_queue.ts": {
    exports: watch_queue,
    headers: ["linux/watch_queue.h"],
    structs: [
      "watch_notification",
      "key_notification",
      "watch_notification_removal",
      "watch_notification_filter",
      "watch_notification_type_filter",
    ],
  },
};

/** One number of a module: its name here, its value here, and the C expression for it. */
interface Item {
  name: string;
  value: number;
  c: string;
}

/** All numbers of a module. Throws on an export of which it cannot tell what it is in C. */
function items(module: AbiModule): Item[] {
  const list: Item[] = [];
  for (const [name, value] of Object.entries(module.exports)) {
    if (typeof value === "number") {
      list.push({ name, value, c: name });
      continue;
    }
    const isStruct = module.structs?.includes(name);
    const isTable = module.tables?.includes(name);
    assert.ok(isStruct || isTable, `${name}: neither a number nor a known struct`);
    for (const [key, number] of Object.entries(value as Record<string, number>)) {
      const path = `${name}.${key}`;
      let c = key;
      if (isStruct && key === "size") c = `sizeof(struct ${name})`;
      else if (isStruct) c = `offsetof(struct ${module.newFields?.[path] ?? name}, ${key})`;
      list.push({ name: path, value: number, c });
    }
  }
  return list;
}

/** How many numbers there are in a value, at any depth: counts without knowing what they are. */
function countNumbers(value: unknown): number {
  if (typeof value !== "object" || value === null) return typeof value === "number" ? 1 : 0;
  return Object.values(value).reduce((sum: number, inner) => sum + countNumbers(inner), 0);
}

/** The C program that prints a line `NAME VALUE` for each number of the module. */
function program(module: AbiModule): string {
  const lines = ["#include <stddef.h>", "#include <stdio.h>"];
  for (const header of module.headers) lines.push(`#include <${header}>`);
  // Before the macros: whether a struct is defined depends on which macros the headers lack.
  if (module.definitions !== undefined) lines.push(module.definitions);
  for (const [source, macros] of Object.entries(module.macros ?? {})) {
    for (const [name, value] of Object.entries(macros)) {
      lines.push(`#ifndef ${name}`, `#define ${name} ${value} /* ${source} */`, "#endif");
    }
  }
  lines.push("int main(void) {");
  for (const { name, c } of items(module)) {
    lines.push(`  printf("%s %lld\\n", "${name}", (long long)(${c}));`);
  }
  lines.push("  return 0;", "}", "");
  return lines.join("\n");
}

/** Runs a program and returns what it prints; throws what it complains about. */
function run(command: string, args: readonly string[]): string {
  const result = spawnSync(command, args, { encoding: "utf8" });
  assert.equal(result.status, 0, `${command}: ${result.error ?? result.stderr}`);
  return result.stdout;
}

/** What C says: the value of each number of the module by its name. */
function measure(module: AbiModule): Map<string, number> {
  const directory = mkdtempSync(join(tmpdir(), "sentinode-abi-"));
  try {
    const source = join(directory, "abi.c");
    const binary = join(directory, "abi");
    writeFileSync(source, program(module));
    run("cc", ["-std=gnu11", "-D_GNU_SOURCE", "-o", binary, source]);
    const measured = new Map<string, number>();
    for (const line of run(binary, []).trimEnd().split("\n")) {
      const [name = "", value] = line.split(" ");
      measured.set(name, Number(value));
    }
    return measured;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** One line for each number of the module that differs from C, or that C does not have. */
function mismatches(module: AbiModule, measured: ReadonlyMap<string, number>): string[] {
  return items(module)
    .filter(({ name, value }) => measured.get(name) !== value)
    .map(({ name, value }) => `${name}: ${value} here, ${measured.get(name)} in C`);
}

const hasCompiler = spawnSync("cc", ["--version"]).status === 0;
const needsCompiler = hasCompiler ? {} : { skip: "no C compiler (cc)" };

test("every file of ffi/abi is compared", () => {
  const files = readdirSync(new URL("../ffi/abi/", import.meta.url).pathname).sort();
  // Which machine this is, and the calls of all machines, which syscall_names_test.ts compares.
  const others = ["arch.ts", "audit_arches.ts", "syscall_names.ts", "syscall_table.ts"];
  assert.deepEqual(files, [...Object.keys(MODULES), ...others].sort());
});

for (const [file, module] of Object.entries(MODULES)) {
  test(`ffi/abi/${file} agrees with C`, needsCompiler, () => {
    const measured = measure(module);
    assert.deepEqual(mismatches(module, measured), []);
    assert.equal(measured.size, countNumbers(module.exports), "numbers compared");
  });
}

test("arch is the compiler's", needsCompiler, () => {
  const machine = { x64: "x86_64", arm64: "aarch64" }[arch];
  assert.equal(run("cc", ["-dumpmachine"]).split("-")[0], machine);
});

test("ERRNO has every error number of the headers", needsCompiler, () => {
  const macros = run("cc", ["-E", "-dM", "-include", "linux/errno.h", "-x", "c", "/dev/null"]);
  const names = [...macros.matchAll(/^#define (E[A-Z0-9]+) /gm)].map((match) => match[1]);
  assert.ok(names.length > 100, "error numbers found in the headers");
  assert.deepEqual(names.sort(), Object.keys(errno.ERRNO).sort());
});

test("record types are named as libaudit names them", needsCompiler, () => {
  const directory = mkdtempSync(join(tmpdir(), "sentinode-abi-"));
  try {
    const source = join(directory, "names.c");
    const binary = join(directory, "names");
    writeFileSync(
      source,
      `#include <stdio.h>
#include <libaudit.h>
int main(void) {
  for (int type = 1100; type < 3000; type++) {
    const char *name = audit_msg_type_to_name(type);
    if (name) printf("%d %s\\n", type, name);
  }
}`,
    );
    run("cc", ["-o", binary, source, "-laudit"]);
    const names = run(binary, []).trimEnd().split("\n");
    assert.ok(names.length > 150, "names of libaudit");
    const ours = names.map((line) => recordType(Number(line.split(" ")[0])))
      .map(({ number, name }) => `${number} ${name}`);
    assert.deepEqual(ours, names);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("a wrong constant and a wrong offset are noticed", needsCompiler, () => {
  const wrong: AbiModule = {
    exports: {
      POLLIN: 0x2,
      POLLPRI: 0x2,
      pollfd: { size: 8, fd: 0, events: 4, revents: 7 },
    },
    headers: ["linux/poll.h"],
    structs: ["pollfd"],
  };
  assert.deepEqual(mismatches(wrong, measure(wrong)), [
    "POLLIN: 2 here, 1 in C",
    "pollfd.revents: 7 here, 6 in C",
  ]);
});

test("an export of unknown kind is refused", () => {
  const unknown: AbiModule = { exports: { new_struct: { size: 8 } }, headers: [] };
  assert.throws(() => items(unknown), /new_struct: neither a number nor a known struct/);
});
