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

/** The fanotify hub whose group grants `wish`, opened if there is none. */
export async function fanotifyHub(wish: GroupWish): Promise<FanotifyHub> {
  const [libc, loop] = [await openLibc(), await reactor()];
  return shared(fanotify, wish, () => new FanotifyHub(libc, loop, wish));
}

/** The hub of open files whose group grants `wish`, opened if there is none. */
export async function descriptorHub(wish: GroupWish): Promise<DescriptorHub> {
  const [libc, loop] = [await openLibc(), await reactor()];
  return shared(descriptors, wish, () => new DescriptorHub(libc, loop, wish));
}

function shared<H extends Hub<unknown>>(
  hubs: Map<string, H>,
  wish: GroupWish,
  open: () => H,
): H {
  const key = JSON.stringify(wish);
  let hub = hubs.get(key);
  if (hub === undefined || hub.isClosed) hubs.set(key, hub = open());
  return hub;
}
