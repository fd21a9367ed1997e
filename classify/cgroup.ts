/**
 * What the path of a cgroup says of who runs a process: the container, and the unit of systemd; pure.
 *
 * Paths are as `/proc/PID/cgroup` has them, which is below the root of the reader's own cgroup namespace: what is above
 * is not seen, and a process elsewhere has a path that begins with `/../`.
 *
 * @module
 */

/** What engines give a container: a SHA-256 or 256 random bits. */
const ID = "([0-9a-f]{64})";

/**
 * How container engines name cgroups; in parentheses the container. Not among them are those of the monitors beside it:
 * `libpod-conmon-…`, `crio-conmon-…`, `lxc.monitor.…`, and systemd-nspawn's `supervisor`.
 */
const CONTAINERS: readonly string[] = [
  // By systemd a scope, `docker-ID.scope`; by cgroupfs, and in a service (`podman --cgroups=split`), `libpod-ID`.
  `(?:docker|libpod|libpod-payload|nerdctl|cri-containerd|crio)-${ID}(?:\\.scope)?`,
  // What runc is told for systemd, taken for a path: `kubepods-podUID.slice:cri-containerd:ID`.
  `[^/:]+:(?:docker|libpod|nerdctl|cri-containerd|crio):${ID}`,
  // By cgroupfs: Docker, Amazon's ECS (`/ecs/CLUSTER/TASK/ID`, `/ecs/TASK/ID`), Kubernetes (`/kubepods/burstable/podUID/ID`).
  `docker/${ID}`,
  `ecs/(?:[^/]+/){1,2}${ID}`,
  `pod[0-9a-f_-]{32,36}/${ID}`,
  // LXC, LXD and Incus, the latter two with the project before the name: since LXC 4.0 `lxc.payload.NAME`.
  "lxc(?:\\.payload)?/([^/]+)",
  "lxc\\.payload\\.([^/]+)",
  // systemd-nspawn, as a service and as a scope.
  "machine\\.slice/systemd-nspawn@([^/]+)\\.service/payload",
  "machine\\.slice/machine-([^/]+)\\.scope/payload",
];
const CONTAINER = new RegExp(`(?<=^|/)(?:${CONTAINERS.join("|")})(?=/|$)`, "g");

/**
 * The container of a cgroup: the id that its engine gave it, whole, or its name (LXC, LXD, Incus, systemd-nspawn). Of one
 * in another the inner one. Undefined outside of containers, in those of others, and where the path does not tell: within
 * a container its own cgroup is `/`, and in `/../ID` the engine is not seen.
 */
export function containerOf(cgroup: string): string | undefined {
  const inner = [...cgroup.matchAll(CONTAINER)].at(-1)?.slice(1).find((name) => name !== undefined);
  return inner?.replace(/\\x([0-9a-f]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
}

/** The units of systemd that a process belongs to. */
export interface Units {
  /** Of the system's systemd. */
  readonly unit?: string;
  /** Of the user's systemd, which itself is the unit `user@UID.service`. */
  readonly userUnit?: string;
}

/** A valid name of a unit that can have processes (systemd.unit(5)). */
const UNIT = /^[\w:.\\-]+(?:@[\w:.\\@-]*)?\.(?:service|scope|socket|mount|swap)$/;
const SLICE = /^[\w:.\\-]+\.slice$/;
const MANAGER = /^(?:user@\d+|capsule@[\w:.\\-]+)\.service$/;

/**
 * The units of a cgroup: below the slices first the system's, and where that is a manager of its user's units, below its
 * slices the user's; deeper ones are a unit's own business. Names are as `systemctl` takes them, so that `\x2d` stays.
 * None for a path that begins outside of our cgroup namespace, for units may be above.
 */
export function unitsOf(cgroup: string): Units {
  const names = cgroup.split("/").slice(1).map(unescapeGroup);
  const unit = takeUnit(names);
  if (unit === undefined) return {};
  const userUnit = MANAGER.test(unit) ? takeUnit(names) : undefined;
  return userUnit === undefined ? { unit } : { unit, userUnit };
}

/** Takes slices and the unit after them from the front. */
function takeUnit(names: string[]): string | undefined {
  while (names[0] !== undefined && SLICE.test(names[0])) names.shift();
  const name = names.shift();
  return name !== undefined && UNIT.test(name) ? name : undefined;
}

/** systemd puts `_` before what would else be the name of one of the kernel's files (`cg_escape`, cgroup-util.c). */
function unescapeGroup(name: string): string {
  return name.replace(/^_/, "");
}
