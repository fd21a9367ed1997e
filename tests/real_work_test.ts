/**
 * Real tools at work under each backend, as root and as nobody: the picture that the events give is
 * the tree on disk.
 */

import assert from "node:assert/strict";
import test from "node:test";
import { type Outcome, realWork, realWorkAsNobody } from "../scripts/real_work.ts";
import { isInstalled, isRoot } from "../scripts/real_work/process.ts";
import { whyNot, WORKLOADS } from "../scripts/real_work/workloads.ts";

/** What has to have watched, so that no backend is tested in the name of another. */
const BY = {
  root: { fanotify: "fanotify filesystem", inotify: "inotify watch" },
  nobody: { fanotify: "fanotify inode", inotify: "inotify watch" },
} as const;

function check({ by, events, differences }: Outcome, expected: string): void {
  assert.equal(by, expected);
  assert.deepEqual(differences.slice(0, 10), []);
  assert(events > 0);
}

for (const backend of ["fanotify", "inotify"] as const) {
  for (const workload of WORKLOADS) {
    const skip = isRoot ? whyNot(workload) : "needs root";
    test(`root, ${backend}: ${workload.name}`, { skip, timeout: 300_000 }, async () => {
      check(await realWork(workload, backend), BY.root[backend]);
    });
    test(`root, ${backend}, saves: ${workload.name}`, { skip, timeout: 300_000 }, async () => {
      const saves = { atomicSave: true, writeFinish: true };
      check(await realWork(workload, backend, saves), BY.root[backend]);
    });
  }

  // One process does all of it, for a runtime with an empty cache takes long to start.
  const outcomes = new Map<string, Outcome>();
  let work: Promise<void> | undefined;
  const workAll = async () => {
    const all = isRoot
      ? await realWorkAsNobody(backend)
      : await Array.fromAsync(WORKLOADS, (workload) => realWork(workload, backend));
    for (const outcome of all) outcomes.set(outcome.workload, outcome);
  };
  for (const workload of WORKLOADS) {
    const skip = isRoot && !isInstalled("setpriv") ? "setpriv is not installed" : whyNot(workload);
    test(`nobody, ${backend}: ${workload.name}`, { skip, timeout: 300_000 }, async () => {
      await (work ??= workAll());
      const outcome = outcomes.get(workload.name);
      assert(outcome !== undefined);
      check(outcome, BY.nobody[backend]);
    });
  }
}
