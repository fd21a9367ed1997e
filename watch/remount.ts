/**
 * What is to be done where other mounts are at a path, and below it, than those that are covered; pure.
 *
 * @module
 */

import { isWithin } from "../backends/mounts/mountinfo.ts";
import type { Target } from "./targets.ts";

/** What covers a target. */
interface Covering {
  readonly target: Target;
  /** Whether it is over, and that was told. */
  readonly end: { readonly isToldOf: boolean };
}

/** How places that cover a path become those that it has now. */
export interface Remount<Place> {
  /** Whether the path's own target is the one that it was. */
  readonly isOwnKept: boolean;
  /** Those that are not to be seen any more, the innermost first. */
  readonly gone: readonly Place[];
  /** Those that stay, with the mount points below them, and which of these differ. */
  readonly kept: readonly {
    readonly place: Place;
    readonly mounts: ReadonlySet<string>;
    readonly points: readonly string[];
  }[];
  /** Targets that are not covered, the outermost first. */
  readonly came: readonly Target[];
  /** The topmost paths at which anything differs, as the user spells them. */
  readonly points: readonly string[];
}

/**
 * Compares the places of `path` with the targets that it has `now`, of which the first is its own; none: it cannot be
 * reached. A name in a directory is its own whatever is mounted on it.
 */
export function remountOf<Place extends Covering>(
  path: string,
  places: readonly Place[],
  now: readonly Target[],
): Remount<Place> {
  const [own, ...inner] = now;
  const whole = places.find(({ target }) => !target.isInner);
  const isOwnKept = whole !== undefined && own !== undefined &&
    (whole.target.only !== undefined || whole.target.mountKey === own.mountKey);
  const isOf = ({ target, end }: Place, other: Target) =>
    target.mountKey === other.mountKey && target.path === other.path && !end.isToldOf;
  const nowOf = (place: Place) =>
    place === whole ? (isOwnKept ? own : undefined) : inner.find((target) => isOf(place, target));
  const gone = places.filter((place) => nowOf(place) === undefined).sort((a, b) =>
    Number(b.target.isInner) - Number(a.target.isInner) || depth(b.target) - depth(a.target)
  );
  const came = inner.filter((target) => !places.some((place) => isOf(place, target)))
    .sort((a, b) => depth(a) - depth(b));
  if (own !== undefined && !isOwnKept) came.unshift(own);
  const kept = places.flatMap((place) => {
    const target = nowOf(place);
    return target === undefined ? [] : [{ place, ...differing(place.target, target.mounts) }];
  });
  const points = isOwnKept
    ? topmost([
      ...gone.map(({ target }) => target.path),
      ...came.map((target) => target.path),
      ...kept.flatMap(({ points }) => points),
    ])
    : [path];
  return { isOwnKept, gone, kept, came, points };
}

/** Where other filesystems than before are mounted below a target, as far as it is to be seen there. */
function differing(
  target: Target,
  mounts: ReadonlySet<string>,
): { readonly mounts: ReadonlySet<string>; readonly points: readonly string[] } {
  const changed = [...target.mounts.symmetricDifference(mounts)]
    .filter((point) => isWithin(point, target.path));
  const isHidden = (point: string) =>
    mounts.values().some((other) => other !== point && isWithin(point, other));
  return { mounts, points: topmost(changed).filter((point) => !isHidden(point)) };
}

function depth({ path }: Target): number {
  return path.length;
}

/** Those paths that are not below another one, each once. */
function topmost(paths: readonly string[]): string[] {
  return [...new Set(paths)].filter((path) =>
    !paths.some((other) => other !== path && isWithin(path, other))
  );
}
