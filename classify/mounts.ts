/**
 * What happened to a mount, as an event.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Mount } from "../backends/mounts/mount.ts";
import type { MountNotice } from "../backends/mounts/monitor.ts";
import { type Actor, type Attributes, FileEvent, type WatchEvent } from "./event.ts";
import type { Kind } from "./kinds.ts";

/** What is known of a mount that changed. */
export interface MountAttributes extends Attributes {
  /** Its id, where nothing else is known: it came and went before it could be looked at. */
  readonly mountId?: number;
  /** As it is now; of one that is gone, as it was last seen. */
  readonly mount?: Mount;
  /** `mount.move` and `mount.change`: as it was. */
  readonly mountBefore?: Mount;
}

/**
 * A `mount.*` event. `path` is where it is mounted, of `mount.move` now, with `from` where it was; empty where it came and
 * went before it could be looked at.
 */
export interface MountEvent extends WatchEvent {
  /** What is known beyond. */
  readonly attributes: MountAttributes;
}

const KIND_OF: Readonly<Record<MountNotice["what"], Kind>> = {
  attach: "mount.attach",
  detach: "mount.detach",
  move: "mount.move",
  change: "mount.change",
};

/** The event of a change that was told, or found, at `time`; `spell` says how its paths are written. */
export function mountEvent(
  notice: MountNotice,
  time: number,
  actor?: Actor,
  spell: (path: string) => string = (path) => path,
): MountEvent {
  const { what, id, mount, before, isSynthetic, raw } = notice;
  const source = raw === undefined ? undefined : { record: () => raw };
  const path = mount === undefined ? "" : spell(mount.point);
  const event = new MountFileEvent(KIND_OF[what], path, undefined, time, "mounts", source);
  if (mount?.pointBytes !== undefined) event.pathBytes = mount.pointBytes;
  if (what === "move" && before !== undefined) {
    event.from = spell(before.point);
    if (before.pointBytes !== undefined) event.fromBytes = before.pointBytes;
  }
  if (isSynthetic) event.synthetic = true;
  if (actor !== undefined) event.actor = actor;
  event.attributes = mount === undefined
    ? { mountId: id }
    : { mount, ...(before === undefined ? {} : { mountBefore: before }) };
  return event;
}

/** An event whose mounts are JSON, too. */
class MountFileEvent extends FileEvent {
  declare attributes: MountAttributes;

  override toJSON(): Record<string, unknown> {
    const { mount, mountBefore } = this.attributes;
    const attributes: Record<string, unknown> = { ...this.attributes };
    if (mount !== undefined) attributes["mount"] = mountJson(mount);
    if (mountBefore !== undefined) attributes["mountBefore"] = mountJson(mountBefore);
    return { ...super.toJSON(), attributes };
  }
}

/** A mount with its bytes in base64. */
export function mountJson(mount: Mount): Record<string, unknown> {
  const json: Record<string, unknown> = { ...mount };
  for (const name of ["pointBytes", "rootBytes", "sourceBytes"] as const) {
    const bytes = mount[name];
    if (bytes !== undefined) json[name] = Buffer.from(bytes).toString("base64");
  }
  return json;
}
