/** What differs between the mounts that are covered and those that there are. */

import assert from "node:assert/strict";
import test from "node:test";
import { remountOf } from "../watch/remount.ts";
import type { Target } from "../watch/targets.ts";

/** Targets of `/w`, from where which mount is: `{ "/w": 1, "/w/m": 2 }`. */
function targets(mounts: Readonly<Record<string, number>>): Target[] {
  const points = Object.keys(mounts);
  return points.map((path) => ({
    path,
    real: path,
    directory: path,
    root: "/w",
    only: undefined,
    isLasting: false,
    recursive: true,
    mount: { point: path, type: "tmpfs" },
    device: "0:1",
    mountKey: String(mounts[path]),
    isInner: path !== "/w",
    mounts: new Set(points.filter((point) => point !== "/w" && point !== path)),
  }));
}

/** Before and now, and what is gone, stays with what differs there, and came; and the points. */
type Row = readonly [
  before: Readonly<Record<string, number>>,
  now: Readonly<Record<string, number>>,
  gone: string,
  kept: string,
  came: string,
  points: string,
];

const ROWS: Readonly<Record<string, Row>> = {
  "nothing": [{ "/w": 1, "/w/m": 2 }, { "/w": 1, "/w/m": 2 }, "", "/w() /w/m()", "", ""],
  "mounted": [{ "/w": 1 }, { "/w": 1, "/w/m": 2 }, "", "/w(/w/m)", "/w/m", "/w/m"],
  "unmounted": [{ "/w": 1, "/w/m": 2 }, { "/w": 1 }, "/w/m", "/w(/w/m)", "", "/w/m"],
  "mounted over": [
    { "/w": 1, "/w/m": 2 },
    { "/w": 1, "/w/m": 3 },
    "/w/m",
    "/w()",
    "/w/m",
    "/w/m",
  ],
  "mounted inside a mount": [
    { "/w": 1, "/w/m": 2 },
    { "/w": 1, "/w/m/n": 3, "/w/m": 2 },
    "",
    "/w() /w/m(/w/m/n)",
    "/w/m/n",
    "/w/m/n",
  ],
  "several, from outside in": [
    { "/w": 1 },
    { "/w": 1, "/w/m/n": 3, "/w/m": 2, "/w/mm": 4 },
    "",
    "/w(/w/m /w/mm)",
    "/w/m /w/mm /w/m/n",
    "/w/m /w/mm",
  ],
  "all gone, from inside out": [
    { "/w": 1, "/w/m": 2, "/w/m/n": 3 },
    { "/w": 1 },
    "/w/m/n /w/m",
    "/w(/w/m)",
    "",
    "/w/m",
  ],
  "hidden by one above": [
    { "/w": 1, "/w/m/n": 3 },
    { "/w": 1, "/w/m": 2 },
    "/w/m/n",
    "/w(/w/m)",
    "/w/m",
    "/w/m",
  ],
  "the path itself": [
    { "/w": 1, "/w/m": 2 },
    { "/w": 4 },
    "/w/m /w",
    "",
    "/w",
    "/w",
  ],
  "not to be reached": [{ "/w": 1, "/w/m": 2 }, {}, "/w/m /w", "", "", "/w"],
  "to be reached again": [{}, { "/w": 1, "/w/m": 2 }, "", "", "/w /w/m", "/w"],
};

for (const [what, [before, now, gone, kept, came, points]] of Object.entries(ROWS)) {
  test(what, () => {
    const places = targets(before).map((target) => ({ target, end: { isToldOf: false } }));
    const found = remountOf("/w", places, targets(now));
    const sorted = (paths: readonly string[]) => paths.toSorted().join(" ");
    assert.equal(found.gone.map(({ target }) => target.path).join(" "), gone);
    assert.equal(
      found.kept.map(({ place, points }) => `${place.target.path}(${sorted(points)})`).join(" "),
      kept,
    );
    assert.equal(found.came.map(({ path }) => path).join(" "), came);
    assert.equal(sorted(found.points), points);
    const isOwnKept = before["/w"] !== undefined && before["/w"] === now["/w"];
    assert.equal(found.isOwnKept, isOwnKept);
  });
}

test("one that is over is not covered, whatever is mounted there", () => {
  const [own, inner] = targets({ "/w": 1, "/w/m": 2 }) as [Target, Target];
  const places = [
    { target: own, end: { isToldOf: false } },
    { target: inner, end: { isToldOf: true } },
  ];
  const { gone, came } = remountOf("/w", places, targets({ "/w": 1, "/w/m": 2 }));
  assert.deepEqual([gone.length, came.length], [1, 1]);
});
