/**
 * The hubs of this process: watchers share them, so that 200 watchers take one inotify instance and few groups.
 *
 * @module
 */

import type { GroupWish } from "../backends/fanotify/group.ts";
import { openLibc } from "../ffi/libc.ts";
import { reactor } from "../ffi/reactor.ts";
import { FanotifyHub } from "./fanotify_hub.ts";
import type { Hub } from "./hub.ts";
import { InotifyHub } from "./inotify_hub.ts";

let inotify: InotifyHub | undefined;
const fanotify = new Map<string, FanotifyHub>();

/** The inotify hub, opened if there is none. */
export async function inotifyHub(): Promise<InotifyHub> {
  const [libc, loop] = [await openLibc(), await reactor()];
  if (inotify === undefined || inotify.isClosed) inotify = new InotifyHub(libc, loop);
  return inotify;
}

/** The fanotify hub whose group grants `wish`, opened if there is none. */
export async function fanotifyHub(wish: GroupWish): Promise<FanotifyHub> {
  const [libc, loop] = [await openLibc(), await reactor()];
  const key = `${wish.pidfd} ${wish.unlimited}`;
  let hub = fanotify.get(key);
  if (hub === undefined || hub.isClosed) {
    hub = new FanotifyHub(libc, loop, wish);
    fanotify.set(key, hub);
  }
  return hub;
}

export type { Hub };
