/**
 * The hubs of this process: watchers share them, so that 200 watchers take one inotify instance and few groups.
 *
 * @module
 */

import type { GroupWish } from "../backends/fanotify/group.ts";
import { openLibc } from "../ffi/libc.ts";
import { reactor } from "../ffi/reactor.ts";
import { DescriptorHub } from "./descriptor_hub.ts";
import { FanotifyHub } from "./fanotify_hub.ts";
import type { Hub } from "./hub.ts";
import { InotifyHub } from "./inotify_hub.ts";

let inotify: InotifyHub | undefined;
const fanotify = new Map<string, FanotifyHub>();
const descriptors = new Map<string, DescriptorHub>();

/** The inotify hub, opened if there is none. */
export async function inotifyHub(): Promise<InotifyHub> {
  const [libc, loop] = [await openLibc(), await reactor()];
  if (inotify === undefined || inotify.isClosed) inotify = new InotifyHub(libc, loop);
  return inotify;
}

/**
 * The fanotify hub whose group grants `wish`, opened if there is none: for all filesystems, or for the one of `device`
 * alone.
 */
export async function fanotifyHub(wish: GroupWish, device?: string): Promise<FanotifyHub> {
  const [libc, loop] = [await openLibc(), await reactor()];
  return shared(fanotify, [wish, device], () => new FanotifyHub(libc, loop, wish));
}

/** The hub of open files whose group grants `wish`, opened if there is none. */
export async function descriptorHub(wish: GroupWish): Promise<DescriptorHub> {
  const [libc, loop] = [await openLibc(), await reactor()];
  return shared(descriptors, [wish], () => new DescriptorHub(libc, loop, wish));
}

function shared<H extends Hub<unknown>>(
  hubs: Map<string, H>,
  what: readonly unknown[],
  open: () => H,
): H {
  const key = JSON.stringify(what);
  const known = hubs.get(key);
  if (known?.isClosed === false) return known;
  for (const [other, hub] of hubs) if (hub.isClosed) hubs.delete(other);
  const hub = open();
  hubs.set(key, hub);
  return hub;
}
