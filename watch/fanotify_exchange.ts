/**
 * The second half of an exchange among fanotify's records (see `exchanges.ts`): the rename back of another file; pure.
 *
 * @module
 */

import { type FanotifyRecord, nameAt } from "../backends/fanotify/decode.ts";
import { copyKey, type HandleKey, isKey } from "../backends/fanotify/handle.ts";
import { nameKey } from "../backends/tree.ts";
import { FAN_CREATE, FAN_DELETE, FAN_ONDIR, FAN_RENAME } from "../ffi/abi/fanotify.ts";
import { NEAR } from "./exchanges.ts";

/** What one half of an exchange moves. */
export interface Exchanged {
  readonly key: HandleKey;
  readonly isDirectory: boolean;
}

/**
 * What the rename back among the records `behind` a rename of the file of `key` moves, if it moves another file: then both
 * are an exchange. Undefined where there is none, `"unread"` where it may be among the records that are not read yet.
 */
export function secondHalf(
  record: FanotifyRecord,
  key: HandleKey,
  behind: Iterable<FanotifyRecord>,
): Exchanged | "unread" | undefined {
  const { batch, directory, target, name } = record;
  const from = directory < 0 ? undefined : copyKey(batch.words, directory);
  const to = copyKey(batch.words, target!.directory);
  const given = nameAt(batch, target);
  const oldKey = nameKey(name, record.nameBytes(name));
  const newKey = nameKey(given.name, given.nameBytes);
  let count = 0;
  for (const next of behind) {
    if (count++ > NEAR) return undefined;
    if ((next.bits & (FAN_CREATE | FAN_DELETE | FAN_RENAME)) === 0) continue;
    const is = (at: number | undefined, key: HandleKey | undefined) =>
      at !== undefined && at >= 0 && key !== undefined && isKey(next.batch.words, at, key);
    const back = (next.bits & FAN_RENAME) === 0 ? undefined : next.target;
    const ends = [next.directory, back?.directory];
    if (!ends.some((at) => is(at, to) || is(at, from))) continue;
    // While an exchange is made, nothing else happens in these directories.
    const isBack = (next.bits & FAN_RENAME) !== 0 && next.object >= 0 &&
      !is(next.object, key) && is(next.directory, to) &&
      nameKey(next.name, next.nameBytes(next.name)) === newKey &&
      (from === undefined ? back === undefined : is(back?.directory, from));
    if (!isBack) return undefined;
    const returned = nameAt(next.batch, back);
    if (from !== undefined && nameKey(returned.name, returned.nameBytes) !== oldKey) {
      return undefined;
    }
    return {
      key: copyKey(next.batch.words, next.object),
      isDirectory: (next.bits & FAN_ONDIR) !== 0,
    };
  }
  return "unread";
}
