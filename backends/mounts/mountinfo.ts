/**
 * The mount table from `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
 *
 * @module
 */

/** One mount of a namespace, as its table has it. */
export interface MountInfo extends Propagation {
  /** Reusable id of the mount. */
  readonly id: number;
  /** Reusable id of the mount that it is on; of the first mount of a namespace one that is not in the table. */
  readonly parent: number;
  /** `major:minor` of the filesystem. */
  readonly device: string;
  /** The directory of the filesystem that is mounted; `/` but for bind mounts and subvolumes. */
  readonly root: string;
  /** Where it is mounted. */
  readonly point: string;
  /** The mount's own: `"rw,nosuid,relatime"`. */
  readonly options: string;
  /** The filesystem type, with its subtype: `"ext4"`, `"fuse.sshfs"`. */
  readonly type: string;
  /** What is mounted: a device, or what the filesystem makes of it; `"none"` where nothing was said. */
  readonly source: string;
  /** The filesystem's: `"rw,size=4k"`; spaces, tabs, newlines and backslashes as `\\040` and the like. */
  readonly superOptions: string;
}

/** Where mounts on a mount appear as well (mount_namespaces(7)); without any of it, nowhere. */
export interface Propagation {
  /** The peer group that it shares them with. */
  readonly shared?: number;
  /** The peer group that it takes them from. */
  readonly master?: number;
  /** The nearest one above `master` that is below our root, where `master` is not. */
  readonly propagateFrom?: number;
  /** It cannot be mounted elsewhere with `--bind`. */
  readonly unbindable?: true;
}

/** The mounts that the text lists. Lines that are no such record are left out. */
export function parseMountInfo(text: string): MountInfo[] {
  const mounts: MountInfo[] = [];
  for (const line of text.split("\n")) {
    // id parent major:minor root point options [optional fields…] - type source super-options
    const [left, right] = line.split(" - ");
    const [id, parent, device, root, point, options, ...optional] = (left ?? "").split(" ");
    const [type, source, superOptions] = (right ?? "").split(" ");
    if (point === undefined || device === undefined || !type) continue;
    mounts.push({
      id: Number(id),
      parent: Number(parent),
      device,
      root: unescape(root ?? "/"),
      point: unescape(point),
      options: options ?? "",
      type,
      source: unescape(source ?? ""),
      superOptions: superOptions ?? "",
      ...propagation(optional),
    });
  }
  return mounts;
}

const PEERS: Readonly<Record<string, "shared" | "master" | "propagateFrom">> = {
  shared: "shared",
  master: "master",
  propagate_from: "propagateFrom",
};

/** What the optional fields tell: `shared:7`, `unbindable`. */
function propagation(fields: readonly string[]): Propagation {
  const known: Record<string, number | true> = {};
  for (const field of fields) {
    const [name, group] = field.split(":");
    if (name === "unbindable") known["unbindable"] = true;
    else if (PEERS[name!] !== undefined) known[PEERS[name!]!] = Number(group);
  }
  return known;
}

/** Space, tab, newline and backslash stand as three octal digits. */
function unescape(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(parseInt(octal, 8)));
}

/** The mount that holds an absolute path without symlinks: the innermost, and of several at one point the last. */
export function mountOf(path: string, mounts: readonly MountInfo[]): MountInfo | undefined {
  let found: MountInfo | undefined;
  for (const mount of mounts) {
    if (!isWithin(path, mount.point)) continue;
    if (found === undefined || mount.point.length >= found.point.length) found = mount;
  }
  return found;
}

/** Those mounts to which a path leads: others are hidden by what is mounted over them, or above. */
export function reachable(mounts: readonly MountInfo[]): MountInfo[] {
  const ids = new Set(mounts.map(({ id }) => id));
  const above = Map.groupBy(
    mounts,
    ({ id, parent }) => parent !== id && ids.has(parent) ? parent : 0,
  );
  const found = new Set<MountInfo>();
  const waiting = [...above.get(0) ?? []];
  const tops = new Set(waiting);
  for (let mount = waiting.pop(); mount !== undefined; mount = waiting.pop()) {
    if (found.has(mount)) continue; // a table that was read while it changed may go round in circles
    const { id, point } = mount;
    const on = above.get(id) ?? [];
    // What is mounted over a process's root is none of its paths.
    const over = tops.has(mount) ? undefined : on.findLast((one) => one.point === point);
    if (over === undefined) found.add(mount);
    const below = on.filter((one) => one.point !== point);
    waiting.push(...over === undefined ? below.filter((one) => !isHidden(one, below)) : [over]);
  }
  return mounts.filter((mount) => found.has(mount));
}

function isHidden({ point }: MountInfo, others: readonly MountInfo[]): boolean {
  return others.some((other) => other.point !== point && isWithin(point, other.point));
}

/** Whether `path` is `directory` or below it. */
export function isWithin(path: string, directory: string): boolean {
  return directory === "/" || path === directory ||
    (path.startsWith(directory) && path[directory.length] === "/");
}

/** Filesystems whose contents are made up by the kernel, and change without an event. */
export const KERNEL_FILESYSTEMS: ReadonlySet<string> = new Set([
  "autofs",
  "binfmt_misc",
  "bpf",
  "cgroup",
  "cgroup2",
  "configfs",
  "debugfs",
  "devpts",
  "efivarfs",
  "fusectl",
  "mqueue",
  "nsfs",
  "proc",
  "pstore",
  "rpc_pipefs",
  "securityfs",
  "selinuxfs",
  "sysfs",
  "tracefs",
]);

/** Types of filesystems that other machines change as well: the kernel announces what this one does, and no more. */
export const SHARED_FILESYSTEMS: ReadonlySet<string> = new Set([
  "9p",
  "afs",
  "ceph",
  "cifs",
  "fuse.glusterfs",
  "fuse.sshfs",
  "nfs",
  "nfs4",
  "smb3",
  "virtiofs",
]);

/**
 * Filesystems whose other side changes files as well, and tells this kernel nothing of it: a server, other machines, the
 * host, or a process (whoever serves FUSE). What is changed here is announced as anywhere.
 */
const TWO_SIDED: ReadonlySet<string> = new Set([
  ...SHARED_FILESYSTEMS,
  "acfs",
  "beegfs",
  "coda",
  "fuse",
  "gfs2",
  "gpfs",
  "hostfs",
  "lustre",
  "ncpfs",
  "ocfs2",
  "orangefs",
  "prl_fs",
  "smbfs",
  "vboxsf",
  "vmhgfs",
]);

/** Whether files of a filesystem of this type (`"nfs4"`, `"fuse.sshfs"`) are changed elsewhere, too. */
export function isTwoSided(type: string): boolean {
  return TWO_SIDED.has(type.split(".")[0]!);
}
