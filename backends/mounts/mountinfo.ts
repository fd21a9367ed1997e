/**
 * The mount table from `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
 *
 * @module
 */

/** One mount of this namespace. */
export interface MountInfo {
  /** Reusable id of the mount. */
  readonly id: number;
  readonly parent: number;
  /** `major:minor` of the filesystem. */
  readonly device: string;
  /** The directory of the filesystem that is mounted; `/` but for bind mounts and subvolumes. */
  readonly root: string;
  /** Where it is mounted. */
  readonly point: string;
  readonly options: string;
  /** The filesystem type. */
  readonly type: string;
  /** What is mounted. */
  readonly source: string;
}

/** The mounts that the text lists. Lines that are no such record are left out. */
export function parseMountInfo(text: string): MountInfo[] {
  const mounts: MountInfo[] = [];
  for (const line of text.split("\n")) {
    // id parent major:minor root point options [optional fields…] - type source super-options
    const [left, right] = line.split(" - ");
    const [id, parent, device, root, point, options] = (left ?? "").split(" ");
    const [type, source] = (right ?? "").split(" ");
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
    });
  }
  return mounts;
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
