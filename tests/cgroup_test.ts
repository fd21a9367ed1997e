/** What cgroups' paths say of containers and units. */

import assert from "node:assert/strict";
import test from "node:test";
import { containerOf, unitsOf } from "../classify/cgroup.ts";

const ID = "0123456789abcdef".repeat(4);
const OTHER = "fedcba9876543210".repeat(4);
const POD = "9f2c1a40-03c5-4b6e-8e53-5d1f7a6b8c90";
const POD_ = POD.replaceAll("-", "_");
const KUBE = `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${POD_}.slice`;

/** Path of a cgroup → the container. */
const CONTAINERS: Readonly<Record<string, string | undefined>> = {
  // Docker: cgroupfs, systemd, in a slice, rootless; what runs inside has cgroups of its own
  [`/docker/${ID}`]: ID,
  [`/docker/${ID}/system.slice/cron.service`]: ID,
  [`/system.slice/docker-${ID}.scope`]: ID,
  [`/system.slice/docker-${ID}.scope/init.scope`]: ID,
  [`/tenants.slice/tenants-a.slice/docker-${ID}.scope`]: ID,
  [`/user.slice/user-1000.slice/user@1000.service/user.slice/docker-${ID}.scope`]: ID,
  [`/system.slice:docker:${ID}`]: ID,
  // Podman: root's, a user's, in a quadlet, by cgroupfs
  [`/machine.slice/libpod-${ID}.scope`]: ID,
  [`/machine.slice/libpod-${ID}.scope/container`]: ID,
  [`/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-${ID}.scope/container`]: ID,
  [`/machine.slice/machine-libpod_pod_${OTHER}.slice/libpod-${ID}.scope`]: ID,
  [`/system.slice/web.service/libpod-payload-${ID}`]: ID,
  [`/libpod_parent/libpod-${ID}`]: ID,
  [`/machine.slice/libpod-conmon-${ID}.scope`]: undefined,
  // containerd, and what Kubernetes starts with it, with CRI-O, and with Docker
  [`/system.slice/nerdctl-${ID}.scope`]: ID,
  [`${KUBE}/cri-containerd-${ID}.scope`]: ID,
  [`${KUBE}/crio-${ID}.scope`]: ID,
  [`${KUBE}/crio-${ID}.scope/container`]: ID,
  [`${KUBE}/docker-${ID}.scope`]: ID,
  [`${KUBE}/crio-conmon-${ID}.scope`]: undefined,
  [KUBE]: undefined,
  [`/kubepods/burstable/pod${POD}/${ID}`]: ID,
  [`/kubepods/besteffort/pod${POD}/${ID}`]: ID,
  [`/kubepods/pod${POD}/${ID}`]: ID,
  [`/kubepods/pod${POD}/crio-${ID}`]: ID,
  [`/kubepods/pod${POD}`]: undefined,
  [`/kubepods/burstable/pod${"a1".repeat(16)}/${ID}`]: ID, // of a static pod
  [`/system.slice/containerd.service/kubepods-burstable-pod${POD_}.slice:cri-containerd:${ID}`]: ID,
  [`/ecs/cluster/task/${ID}`]: ID,
  [`/ecs/task/${ID}`]: ID,
  // One in another (kind): the inner one
  [`/docker/${OTHER}/kubelet/kubepods/burstable/pod${POD}/${ID}`]: ID,
  [`/system.slice/docker-${OTHER}.scope/kubelet.slice${KUBE}/cri-containerd-${ID}.scope`]: ID,
  [`/docker/${OTHER}/docker/${ID}`]: ID,
  // LXC, LXD, Incus
  "/lxc/web": "web",
  "/lxc/100/ns/init.scope": "100",
  "/lxc.payload/web": "web",
  "/lxc.payload.web": "web",
  "/lxc.payload.project_web/system.slice/cron.service": "project_web",
  "/lxc.monitor.web": undefined,
  "/lxc.monitor/web": undefined,
  "/lxc": undefined,
  // systemd-nspawn
  "/machine.slice/systemd-nspawn@web.service/payload": "web",
  "/machine.slice/systemd-nspawn@web-1.service/payload/system.slice/cron.service": "web-1",
  "/machine.slice/systemd-nspawn@web.service/supervisor": undefined,
  "/machine.slice/machine-web\\x2d1.scope/payload/init.scope": "web-1",
  "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope": undefined, // libvirt's machines are no containers
  // None, or not to be told
  "/": undefined,
  "": undefined,
  "/system.slice/docker.service": undefined,
  "/system.slice/containerd.service": undefined,
  "/init.scope": undefined,
  "/user.slice/user-1000.slice/session-3.scope": undefined,
  [`/../${ID}`]: undefined,
  [`/../../docker/${ID}`]: ID,
  [`/../docker-${ID}.scope`]: ID,
  [`/mine/${ID}`]: undefined,
  [`/docker/${ID}0`]: undefined,
  [`/docker/${ID.slice(1)}`]: undefined,
  [`/docker/${ID.toUpperCase()}`]: undefined,
  [`/system.slice/not-docker-${ID}.scope`]: undefined,
  [`/docker/buildkit/${"k".repeat(25)}`]: undefined,
};

test("the container of a cgroup", () => {
  for (const [path, container] of Object.entries(CONTAINERS)) {
    assert.equal(containerOf(path), container, path);
  }
});

const MANAGER = "/user.slice/user-1000.slice/user@1000.service";

/** Path of a cgroup → the unit, and the user's. */
const UNITS: Readonly<Record<string, readonly [unit?: string, userUnit?: string]>> = {
  "/system.slice/cron.service": ["cron.service"],
  "/system.slice/system-getty.slice/getty@tty1.service": ["getty@tty1.service"],
  "/system.slice/cron.service/inner/other.service": ["cron.service"],
  "/init.scope": ["init.scope"],
  "/user.slice/user-1000.slice/session-3.scope": ["session-3.scope"],
  [MANAGER]: ["user@1000.service"],
  [`${MANAGER}/init.scope`]: ["user@1000.service", "init.scope"],
  [`${MANAGER}/app.slice/editor.service`]: ["user@1000.service", "editor.service"],
  [`${MANAGER}/app.slice/app-org.example.Viewer-1234.scope`]: [
    "user@1000.service",
    "app-org.example.Viewer-1234.scope",
  ],
  [`${MANAGER}/app.slice/app-dbus\\x2d:1.2.slice/tool@0.service`]: [
    "user@1000.service",
    "tool@0.service",
  ],
  [`${MANAGER}/app.slice`]: ["user@1000.service"],
  // Names stay as systemctl takes them; what the cgroup filesystem needs is taken back
  "/system.slice/dev-disk\\x2dby.swap": ["dev-disk\\x2dby.swap"],
  "/system.slice/srv-my\\x20files.mount": ["srv-my\\x20files.mount"],
  "/system.slice/backup@home-a.service": ["backup@home-a.service"],
  "/_cgroup.service": ["cgroup.service"],
  "/system.slice/_cpu.service": ["cpu.service"],
  "/system.slice/__x.service": ["_x.service"],
  // Those of containers are units of the machine
  [`/system.slice/docker-${ID}.scope/system.slice/cron.service`]: [`docker-${ID}.scope`],
  // None, or not to be told
  "/": [],
  "": [],
  "/system.slice": [],
  [`/docker/${ID}`]: [],
  "/docker/system.slice/cron.service": [],
  "/system.slice/cron.target": [],
  "/system.slice/cron": [],
  "/system.slice/.service": [],
  "/system.slice/a b.service": [],
  "/../cron.service": [],
  "/../../system.slice/cron.service": [],
};

test("the units of a cgroup", () => {
  for (const [path, [unit, userUnit]] of Object.entries(UNITS)) {
    const expected = {
      ...(unit === undefined ? {} : { unit }),
      ...(userUnit === undefined ? {} : { userUnit }),
    };
    assert.deepEqual(unitsOf(path), expected, path);
  }
});
