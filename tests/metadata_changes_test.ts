/** What two looks at a file tell, and how values of the kernel's are spelled. */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import type { FileMetadata, Xattr } from "../backends/metadata/state.ts";
import { fileCapabilities } from "../classify/file_capabilities.ts";
import { commonFlags } from "../classify/file_flags.ts";
import {
  type MetadataChange,
  metadataChanges,
  type MetadataOccasion,
} from "../classify/metadata.ts";
import { aclEntries } from "../classify/posix_acl.ts";
import { FileEvent } from "../classify/event.ts";
import { isInstalled } from "../scripts/real_work/process.ts";
import { isRoot, TemporaryDirectory } from "./runtime.ts";

/** A regular file as a look at 1000 s found it. */
const FILE: FileMetadata = {
  device: 1,
  inode: 2,
  mode: 0o100644,
  uid: 10,
  gid: 20,
  links: 1,
  attributes: 0,
  attributesMask: 0x70,
  xflags: 0,
  projectId: 0,
  accessed: 500n * 10n ** 9n,
  modified: 600n * 10n ** 9n,
  changed: 1000n * 10n ** 9n,
  born: 0n,
  xattrs: new Map(),
};

const LATER = seconds(2000);

function seconds(time: number): bigint {
  return BigInt(Math.round(time * 1000)) * 1_000_000n;
}

function xattrs(...list: readonly (readonly [string, Xattr])[]): Pick<FileMetadata, "xattrs"> {
  return { xattrs: new Map(list) };
}

interface Case {
  readonly name: string;
  readonly before?: Partial<FileMetadata>;
  readonly after: Partial<FileMetadata>;
  readonly occasion?: MetadataOccasion;
  readonly told: readonly (readonly [kind: string, attributes: MetadataChange["attributes"]])[];
}

const CASES: readonly Case[] = [
  { name: "nothing", after: {}, told: [] },
  { name: "the time of change alone", after: { changed: LATER }, told: [] },
  {
    name: "permissions, with set-id and sticky bits",
    before: { mode: 0o104755 },
    after: { mode: 0o101700, changed: LATER },
    told: [["permissions", { before: { mode: 0o4755 }, after: { mode: 0o1700 } }]],
  },
  {
    name: "a chown that clears setuid",
    before: { mode: 0o104755 },
    after: { mode: 0o100755, uid: 11, changed: LATER },
    told: [
      ["permissions", { before: { mode: 0o4755 }, after: { mode: 0o755 } }],
      ["ownership", { before: { uid: 10, gid: 20 }, after: { uid: 11, gid: 20 } }],
    ],
  },
  {
    name: "a write",
    after: { modified: LATER, changed: LATER },
    told: [],
  },
  {
    name: "a write, and a change of something else",
    after: { modified: seconds(1500), changed: LATER },
    told: [],
  },
  { name: "a read", after: { accessed: seconds(1500), changed: LATER }, told: [] },
  {
    name: "a write and a read",
    after: { accessed: seconds(1800), modified: seconds(1500), changed: LATER },
    told: [],
  },
  {
    name: "touch",
    occasion: { isAnnounced: true },
    after: { accessed: LATER, modified: LATER, changed: LATER },
    told: [["times", {
      before: { accessed: 500_000, modified: 600_000 },
      after: { accessed: 2_000_000, modified: 2_000_000 },
    }]],
  },
  {
    name: "touch, or a write and a read in one tick, where nothing was announced",
    after: { accessed: LATER, modified: LATER, changed: LATER },
    told: [],
  },
  {
    name: "both times set to a moment between the looks",
    occasion: { isAnnounced: true },
    after: { accessed: seconds(1500), modified: seconds(1500), changed: LATER },
    told: [["times", {
      before: { accessed: 500_000, modified: 600_000 },
      after: { accessed: 1_500_000, modified: 1_500_000 },
    }]],
  },
  {
    name: "a write and a read in one tick, and then a chmod",
    occasion: { isAnnounced: true },
    after: { mode: 0o100600, accessed: seconds(1500), modified: seconds(1500), changed: LATER },
    told: [["permissions", { before: { mode: 0o644 }, after: { mode: 0o600 } }]],
  },
  {
    name: "a chmod, and then a write and a read in one tick",
    occasion: { isAnnounced: true },
    after: { mode: 0o100600, accessed: LATER, modified: LATER, changed: LATER },
    told: [["permissions", { before: { mode: 0o644 }, after: { mode: 0o600 } }]],
  },
  {
    name: "touch of a directory, or a name that came as it was listed",
    occasion: { isAnnounced: true },
    before: { mode: 0o040755 },
    after: { accessed: LATER, modified: LATER, changed: LATER },
    told: [],
  },
  {
    name: "a time of modification before anything that was seen",
    after: { modified: seconds(0.5), changed: LATER },
    told: [["times", { before: { modified: 600_000 }, after: { modified: 500 } }]],
  },
  {
    name: "both, one of them between the looks",
    after: { accessed: seconds(1500), modified: seconds(0.5), changed: LATER },
    told: [["times", {
      before: { accessed: 500_000, modified: 600_000 },
      after: { accessed: 1_500_000, modified: 500 },
    }]],
  },
  {
    name: "a time of modification that is still to come, and one before the epoch",
    before: { modified: -seconds(1) },
    after: { modified: seconds(9000), changed: LATER },
    told: [["times", { before: { modified: -1000 }, after: { modified: 9_000_000 } }]],
  },
  {
    name: "a time of access that goes back",
    after: { accessed: seconds(400), changed: LATER },
    told: [["times", { before: { accessed: 500_000 }, after: { accessed: 400_000 } }]],
  },
  {
    name: "a time of access that goes back while nothing changes: what was kept of reads is lost",
    after: { accessed: seconds(400) },
    told: [],
  },
  {
    name: "a time of access that is set back within a tick of the last change",
    occasion: { isAnnounced: true },
    after: { accessed: seconds(400) },
    told: [["times", { before: { accessed: 500_000 }, after: { accessed: 400_000 } }]],
  },
  {
    name: "times that are set within a tick of the last change",
    after: { accessed: seconds(400), modified: seconds(300) },
    told: [["times", {
      before: { accessed: 500_000, modified: 600_000 },
      after: { accessed: 400_000, modified: 300_000 },
    }]],
  },
  {
    name: "a write within a tick of the last change",
    after: { modified: seconds(1000) },
    told: [],
  },
  {
    name: "times, to the fraction of a ms",
    before: { modified: 1_500_001n },
    after: { modified: 2_000_000_250_000n, changed: 2_000_000_000_000n },
    told: [["times", { before: { modified: 1.500001 }, after: { modified: 2_000_000.25 } }]],
  },
  {
    name: "times where the clock was set back",
    after: { modified: seconds(10), changed: seconds(10) },
    told: [],
  },
  {
    name: "extended attributes, in the order of their names",
    before: xattrs(["user.b", { digest: "1" }], ["user.c", { digest: "2" }]),
    after: xattrs(["user.a", { digest: "3" }], ["user.b", { digest: "4" }]),
    told: [
      ["xattr", { xattr: { name: "user.a", change: "added" } }],
      ["xattr", { xattr: { name: "user.b", change: "changed" } }],
      ["xattr", { xattr: { name: "user.c", change: "removed" } }],
    ],
  },
  {
    name: "values where they are asked for and kept",
    before: xattrs(["user.a", { digest: "1", value: Buffer.from("a") }]),
    after: xattrs(["user.a", { digest: "2" }]),
    occasion: { values: true },
    told: [["xattr", {
      xattr: { name: "user.a", change: "changed" },
      before: { value: Buffer.from("a") },
    }]],
  },
  {
    name: "of attributes whose values cannot be read only that they come and go",
    before: xattrs(["security.a", { digest: undefined }], ["user.b", { digest: "1" }]),
    after: xattrs(["security.a", { digest: "1" }], ["user.b", { digest: undefined }]),
    told: [],
  },
  {
    name: "nothing of attributes that cannot be listed",
    before: { xattrs: undefined },
    after: xattrs(["user.a", { digest: "1" }]),
    told: [],
  },
  {
    name: "a list of access rights and capabilities, decoded",
    before: xattrs(["system.posix_acl_access", { digest: "1", value: acl([1, 6], [4, 4]) }]),
    after: xattrs(["security.capability", {
      digest: "2",
      value: hex("0100000200200000" + "00".repeat(12)),
    }]),
    told: [
      ["xattr", {
        xattr: { name: "security.capability", change: "added" },
        after: { capabilities: "cap_net_raw=ep" },
      }],
      ["xattr", {
        xattr: { name: "system.posix_acl_access", change: "removed" },
        before: { acl: ["user::rw-", "group::r--"] },
      }],
    ],
  },
  {
    name: "flags, all that are set",
    before: { attributes: 0x40 },
    after: { attributes: 0x50, xflags: 0x40 },
    told: [["flags", {
      before: { flags: ["nodump"] },
      after: { flags: ["immutable", "nodump", "noatime"] },
    }]],
  },
  {
    name: "flags that were told by one look only",
    before: { xflags: undefined, attributesMask: 0x10 },
    after: { attributes: 0x40, xflags: 0x40, projectId: 5 },
    told: [],
  },
  {
    name: "flags that the kernel sets by itself",
    after: { xflags: 0x80000002, attributes: 0x402000 },
    told: [],
  },
  {
    name: "the project",
    after: { projectId: 7 },
    told: [["flags", { before: { flags: [], projectId: 0 }, after: { flags: [], projectId: 7 } }]],
  },
  {
    name: "links",
    after: { links: 3 },
    told: [["links", { before: { links: 1 }, after: { links: 3 } }]],
  },
  {
    name: "links of a directory, which are its subdirectories",
    before: { mode: 0o040755 },
    after: { mode: 0o040755, links: 3 },
    told: [],
  },
  {
    name: "all at once, in order",
    after: {
      mode: 0o100600,
      gid: 21,
      accessed: seconds(400),
      modified: seconds(700),
      changed: LATER,
      links: 2,
      xflags: 0x8,
      ...xattrs(["user.a", { digest: "1" }]),
    },
    told: [
      ["permissions", { before: { mode: 0o644 }, after: { mode: 0o600 } }],
      ["ownership", { before: { uid: 10, gid: 20 }, after: { uid: 10, gid: 21 } }],
      ["times", {
        before: { accessed: 500_000, modified: 600_000 },
        after: { accessed: 400_000, modified: 700_000 },
      }],
      ["xattr", { xattr: { name: "user.a", change: "added" } }],
      ["flags", { before: { flags: [] }, after: { flags: ["immutable"] } }],
      ["links", { before: { links: 1 }, after: { links: 2 } }],
    ],
  },
];

for (const { name, before, after, occasion, told } of CASES) {
  test(`metadata that changed: ${name}`, () => {
    const [old, now] = [{ ...FILE, ...before }, { ...FILE, ...before, ...after }];
    assert.deepEqual(
      metadataChanges(old, now, occasion).map(({ kind, attributes }) => [
        kind.replace("modify.metadata.", ""),
        attributes,
      ]),
      told,
    );
  });
}

test("flags by both calls of the kernel", () => {
  const flags = (attributes: number, xflags: number | undefined) => {
    const bits = { attributes, attributesMask: 0x100874, xflags };
    return commonFlags(bits, bits).join();
  };
  assert.equal(flags(0x74, undefined), "immutable,append,nodump,compressed");
  assert.equal(flags(0x100800, undefined), "encrypted,verity");
  assert.equal(flags(0, 0xf8), "immutable,append,nodump,noatime,sync");
  assert.equal(
    flags(0, 0x1ff01),
    "dax,realtime,rtinherit,projinherit,nosymlinks,extsize,extszinherit,nodefrag,filestream,cowextsize",
  );
});

function hex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "hex"));
}

/** Entries `[tag, permissions, id]` as the kernel has them. */
function acl(
  ...entries: readonly (readonly [tag: number, allowed: number, id?: number])[]
): Uint8Array {
  const bytes = Buffer.alloc(4 + entries.length * 8);
  bytes.writeUInt32LE(2, 0);
  entries.forEach(([tag, allowed, id = 0xffffffff], i) => {
    bytes.writeUInt16LE(tag, 4 + i * 8);
    bytes.writeUInt16LE(allowed, 6 + i * 8);
    bytes.writeUInt32LE(id, 8 + i * 8);
  });
  return new Uint8Array(bytes);
}

test("access control lists", () => {
  const all = acl([1, 7], [2, 6, 1000], [2, 0, 0xfffffffe], [4, 5], [8, 1, 50], [0x10, 7], [
    0x20,
    4,
  ]);
  assert.deepEqual(aclEntries(all), [
    "user::rwx",
    "user:1000:rw-",
    "user:4294967294:---",
    "group::r-x",
    "group:50:--x",
    "mask::rwx",
    "other::r--",
  ]);
  assert.deepEqual(aclEntries(hex("02000000")), []);
  for (const wrong of ["", "020000", "03000000", "0200000001", "0200000003000700ffffffff"]) {
    assert.equal(aclEntries(hex(wrong)), undefined, wrong);
  }
});

const CAPABILITIES: readonly (readonly [value: string, text: string | undefined])[] = [
  ["0100000200200000000000000000000000000000", "cap_net_raw=ep"],
  ["0000000200200000000000000000000000000000", "cap_net_raw=p"],
  ["0100000200300000000000000000000000000000", "cap_net_admin,cap_net_raw=ep"],
  ["0000000200200000010000000000000000000000", "cap_chown=i cap_net_raw+p"],
  ["0100000201200000012000000000000000000000", "cap_chown,cap_net_raw=eip"],
  ["01000002ffffffff00000000ff01000000000000", "=ep"],
  ["0100000300200000000000000000000000000000e8030000", "cap_net_raw=ep [rootid=1000]"],
  ["0000000200000000000000000100000000000000", "cap_mac_override=p"],
  ["0000000200000000000000000000008000000000", "63=p"],
  ["010000010020000000000000", "cap_net_raw=ep"],
  ["0000000200000000000000000000000000000000", "="],
  ["", undefined],
  ["01000002", undefined],
  ["010000020020000000000000", undefined],
  ["0100000400200000000000000000000000000000", undefined],
];

for (const [value, text] of CAPABILITIES) {
  test(`file capabilities ${value}: ${text}`, () =>
    assert.equal(fileCapabilities(hex(value)), text));
}

test("file capabilities are spelled as getcap(8) does", {
  skip: !isRoot ? "needs root" : ["setcap", "getcap", "getfattr"].find((one) => !isInstalled(one)),
}, () => {
  using at = new TemporaryDirectory();
  const file = join(at.path, "file");
  copyFileSync("/bin/true", file);
  for (
    const wanted of ["cap_net_raw=ep", "cap_chown,cap_kill=eip", "=p", "cap_chown=i cap_kill+p"]
  ) {
    assert.equal(run("setcap", wanted, file), "");
    const value = run(
      "getfattr",
      "-e",
      "hex",
      "--absolute-names",
      "-n",
      "security.capability",
      file,
    );
    const text = fileCapabilities(hex(/=0x([0-9a-f]+)/.exec(value)![1]!));
    assert.equal(text, run("getcap", file).trim().slice(file.length + 1), wanted);
  }
});

test("access control lists are spelled as getfacl(1) does", {
  skip: ["setfacl", "getfacl", "getfattr"].find((one) => !isInstalled(one)) ?? false,
}, () => {
  using at = new TemporaryDirectory();
  const file = join(at.path, "file");
  writeFileSync(file, "");
  run("setfacl", "-m", "u:1000:rw,g:50:r,u:0:x", file);
  const value = run(
    "getfattr",
    "-e",
    "hex",
    "--absolute-names",
    "-n",
    "system.posix_acl_access",
    file,
  );
  const entries = aclEntries(hex(/=0x([0-9a-f]+)/.exec(value)![1]!));
  const shown = run(
    "getfacl",
    "--numeric",
    "--no-effective",
    "--omit-header",
    "--absolute-names",
    file,
  );
  assert.deepEqual(entries, shown.trim().split("\n"));
});

function run(command: string, ...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return stdout;
}

test("values are base64 in JSON", () => {
  const event = FileEvent.from(
    {
      kind: "modify.metadata.xattr",
      path: "/a",
      attributes: {
        xattr: { name: "user.a", change: "changed" },
        before: { value: hex("00ff") },
        after: { value: hex("") },
      },
    },
    0,
    "inotify",
  );
  const { attributes } = JSON.parse(JSON.stringify(event));
  assert.deepEqual(attributes, {
    xattr: { name: "user.a", change: "changed" },
    before: { value: "AP8=" },
    after: { value: "" },
  });
});
