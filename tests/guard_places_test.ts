/** Where guarded paths lie in their filesystems, and what a path on some mount is to them. */

import assert from "node:assert/strict";
import test from "node:test";
import { parseMountInfo } from "../backends/mounts/mountinfo.ts";
import { Places, type Relation } from "../guard/places.ts";

const TABLE = parseMountInfo(
  [
    "20 1 8:1 / / rw - ext4 /dev/a rw",
    "21 20 8:2 / /data rw - ext4 /dev/b rw",
    "22 20 8:1 /srv /twin rw - ext4 /dev/a rw",
    "23 20 8:1 /home/one /srv/tree/one rw - ext4 /dev/a rw",
    "24 20 8:2 /hosts /etc/hosts rw - ext4 /dev/b rw",
    "25 20 8:2 /deep/below /apart rw - ext4 /dev/b rw",
  ].join("\n"),
);

const CASES: readonly (readonly [id: number, path: string, relation: Relation])[] = [
  [20, "/srv/tree/file", "guarded"],
  [20, "/srv/tree", "guarded"],
  [20, "/srv/treehouse/file", "outside"],
  [20, "/srv/file", "outside"],
  [22, "/twin/tree/sub/file", "guarded"],
  [22, "/twin/file", "outside"],
  [23, "/srv/tree/one/file", "guarded"],
  [20, "/home/one/file", "guarded"],
  [20, "/home/two/file", "outside"],
  [24, "/etc/hosts", "guarded"],
  [21, "/data/hosts", "guarded"],
  [21, "/data/other", "beside"],
  [20, "/etc/hosts", "guarded"], // what is covered
  [20, "/etc/passwd", "beside"],
  [21, "/data/srv/tree/file", "outside"], // the same path in another filesystem
  [21, "/data/deep/file", "guarded"],
  [25, "/apart/file", "guarded"],
  [25, "/elsewhere/file", "guarded"], // the table does not tell
  [99, "/somewhere/file", "guarded"],
];

for (const [id, path, relation] of CASES) {
  test(`${path} on mount ${id} is ${relation}`, () => {
    const places = new Places(["/srv/tree", "/data/deep"], ["/etc/hosts"], TABLE);
    assert.equal(places.relation(path, places.mount(id)), relation);
  });
}

test("all is below the root directory", () => {
  const places = new Places(["/"], [], TABLE);
  for (const [id, path] of CASES) {
    assert.equal(places.relation(path, places.mount(id)), "guarded");
  }
});
