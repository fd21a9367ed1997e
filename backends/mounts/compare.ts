/**
 * What became of a mount table, from what it was and what it is; pure.
 *
 * @module
 */

import type { Mount } from "./mount.ts";

/** What happened to a mount. */
export interface MountChange {
  readonly what: "attach" | "detach" | "move" | "change";
  /** Its id, which is all that is known of one that came and went unseen. */
  readonly id: number;
  /** As it is now; of one that is gone, as it was last seen. */
  readonly mount: Mount | undefined;
  /** As it was, where it is still there. */
  readonly before: Mount | undefined;
}

/**
 * The differences of two tables: first what went, the innermost first, then what moved and what is mounted otherwise, then
 * what came, the outermost first. What was moved along with a mount that it is on has not moved itself.
 */
export function compareMounts(
  before: ReadonlyMap<number, Mount>,
  after: ReadonlyMap<number, Mount>,
): MountChange[] {
  const gone: MountChange[] = [];
  const stayed: MountChange[] = [];
  for (const [id, old] of before) {
    const mount = after.get(id);
    if (mount === undefined || isAnother(old, mount)) {
      gone.push({ what: "detach", id, mount: old, before: undefined });
    } else {
      if (isMoved(old, mount, before, after)) {
        stayed.push({ what: "move", id, mount, before: old });
      }
      if (isChanged(old, mount)) stayed.push({ what: "change", id, mount, before: old });
    }
  }
  const came: MountChange[] = [];
  for (const [id, mount] of after) {
    const old = before.get(id);
    if (old !== undefined && !isAnother(old, mount)) continue;
    came.push({ what: "attach", id, mount, before: undefined });
  }
  const depth = (table: ReadonlyMap<number, Mount>) => ({ mount }: MountChange) =>
    depthOf(mount!, table);
  return [...sorted(gone, depth(before), -1), ...stayed, ...sorted(came, depth(after), 1)];
}

/** Whether a mount's options are others, or its filesystem's, or where it propagates to. */
export function isChanged(before: Mount, after: Mount): boolean {
  return CHANGEABLE.some((name) => before[name] !== after[name]);
}

const CHANGEABLE = [
  "options",
  "superOptions",
  "source",
  "shared",
  "master",
  "propagateFrom",
  "unbindable",
] as const;

/** Whether an id stands for another mount by now, as happens before Linux 6.8. */
function isAnother(before: Mount, after: Mount): boolean {
  return before.device !== after.device || before.root !== after.root ||
    before.type !== after.type;
}

/** Whether it is elsewhere on the mount that it is on, or on another one. */
function isMoved(
  old: Mount,
  mount: Mount,
  before: ReadonlyMap<number, Mount>,
  after: ReadonlyMap<number, Mount>,
): boolean {
  return old.parent !== mount.parent || within(old, before) !== within(mount, after);
}

/** The path of a mount below the mount that it is on. */
function within({ parent, point }: Mount, table: ReadonlyMap<number, Mount>): string {
  const above = table.get(parent)?.point;
  if (above === undefined || above === "/" || !point.startsWith(above)) return point;
  return point.slice(above.length);
}

function depthOf(mount: Mount, table: ReadonlyMap<number, Mount>): number {
  let depth = 0;
  for (let above = table.get(mount.parent); above !== undefined; depth++) {
    above = table.get(above.parent);
    if (depth > table.size) break; // a table that was read while it changed may go round in circles
  }
  return depth;
}

function sorted(
  changes: readonly MountChange[],
  depth: (change: MountChange) => number,
  direction: 1 | -1,
): MountChange[] {
  return changes.map((change) => ({ change, depth: depth(change) }))
    .sort((a, b) => (a.depth - b.depth) * direction)
    .map(({ change }) => change);
}
