/**
 * Lets real tools work in a tree while a watcher watches it, and compares the tree with what the
 * events alone make one believe. Prints a line a workload; exits with 1 on any difference.
 *
 *     deno run -A scripts/real_work.ts [OPTIONS] [WORKLOAD…]
 *
 *     --backend auto|fanotify|inotify    default auto
 *     --user nobody                      work as that user; needs root
 *     --atomic-save, --write-finish      watch with these options
 *     --json                             an outcome as one line of JSON
 *
 * A workload is named by any part of its name; all are done where none is named.
 *
 * @module
 */

import { mkdirSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { watch, type WatchEvent, type WatchOptions } from "../mod.ts";
import { Model } from "./real_work/model.ts";
import { Observer, Sentinel, within } from "./real_work/observer.ts";
import { isRoot, moduleCommand, runAsNobody } from "./real_work/process.ts";
import {
  type Expectation,
  type Place,
  whyNot,
  type Workload,
  WORKLOADS,
} from "./real_work/workloads.ts";

/** The backends that can be asked for. */
export const BACKENDS = ["auto", "fanotify", "inotify"] as const;

/** One of {@linkcode BACKENDS}. */
export type BackendName = (typeof BACKENDS)[number];

/** How the picture that the events gave compares with what happened. */
export interface Outcome {
  readonly workload: string;
  /** What watched: `"fanotify filesystem"`, `"fanotify inode"`, `"inotify watch"`. */
  readonly by: string;
  readonly events: number;
  /** How many events of each kind. */
  readonly kinds: Readonly<Record<string, number>>;
  readonly differences: readonly string[];
  /** Why it was not done. */
  readonly skipped?: string;
}

/** What of the options of `watch()` changes how events are told. */
export type Saves = Pick<WatchOptions, "atomicSave" | "writeFinish">;

/** Does one workload under one backend. */
export async function realWork(
  workload: Workload,
  backend: BackendName,
  saves: Saves = {},
): Promise<Outcome> {
  const why = whyNot(workload);
  if (why !== false) return skipped(workload, why);
  const base = realpathSync(mkdtempSync(join(tmpdir(), "sentinode-work-")));
  const place: Place = {
    tree: join(base, "tree"),
    outside: join(base, "outside"),
    home: join(base, "home"),
  };
  for (const directory of Object.values(place)) mkdirSync(directory);
  try {
    await workload.prepare?.(place);
    return await observe(workload, { backend, recover: "signal", ...saves }, place);
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
}

async function observe(
  workload: Workload,
  options: WatchOptions,
  place: Place,
): Promise<Outcome> {
  const { tree } = place;
  const expectation = workload.expect?.(place);
  const kinds: Record<string, number> = {};
  const differences: string[] = [];
  const renames: WatchEvent[] = [];
  let events = 0;
  const watcher = watch(tree, options);
  let model: Model | undefined;
  const observer = new Observer(watcher, (event) => {
    events++;
    kinds[event.kind] = (kinds[event.kind] ?? 0) + 1;
    if (event.kind.startsWith("rename")) renames.push(event);
    const wrong = model?.apply(event) ?? explain(event, tree, expectation);
    if (wrong !== undefined) differences.push(wrong);
  });
  let sentinel: Sentinel | undefined;
  try {
    await within(watcher.ready, "the watcher");
    const [covered] = watcher.coverage();
    const by = `${covered!.backend} ${covered!.by}`;
    model = Model.ofDisk(tree, covered!.by !== "filesystem");
    const bell = sentinel = await Sentinel.open(options);
    const settled = () => bell.settled();
    await workload.work(place, settled);
    await settled();
    await observer.close(); // which tells what is held back
    await observer.ended;
    // A rename that is part of a save is not told.
    const wrongRenames = options.atomicSave
      ? []
      : unexpectedRenames(renames, tree, by === "fanotify filesystem", expectation);
    const all = [...differences, ...model.differences(), ...wrongRenames];
    return { workload: workload.name, by, events, kinds, differences: all };
  } finally {
    await observer.close();
    await sentinel?.close();
  }
}

/** An event of what cannot have existed. */
function explain(
  event: WatchEvent,
  tree: string,
  expectation: Expectation | undefined,
): string | undefined {
  for (const path of event.from === undefined ? [event.path] : [event.from, event.path]) {
    if (path !== tree && !path.startsWith(`${tree}/`)) return `${event.kind} ${path} is not below`;
    if (path === tree || (expectation?.existed(path.slice(tree.length + 1)) ?? true)) continue;
    return `${event.kind} ${path}, which never existed`;
  }
  return undefined;
}

/**
 * Every rename is one event that has both names, and what does not cross the border is not said to.
 */
function unexpectedRenames(
  events: readonly WatchEvent[],
  tree: string,
  isWhole: boolean,
  expectation: Expectation | undefined,
): string[] {
  const relative = (path: string) => path.slice(tree.length + 1);
  const crossings = events.filter(({ kind }) => kind !== "rename")
    .map(({ kind, path }) => `${kind.slice("rename.".length)} ${relative(path)}`);
  if (expectation === undefined) {
    // A new directory may be left and entered before it is watched; then one end is all there is.
    return isWhole ? crossings.map((crossing) => `${crossing}, which crossed no border`) : [];
  }
  const differences: string[] = [];
  const expected = (expectation.crossings ?? []).join(", ");
  const reported = crossings.join(", ");
  if (expected !== reported) {
    differences.push(`crossings: ${reported || "none"}, not ${expected || "none"}`);
  }
  if (expectation.renames === undefined) return differences;
  const made = events.filter(({ kind }) => kind === "rename")
    .map(({ from, path }) => [relative(from!), relative(path)] as const);
  const left = [...expectation.renames];
  for (const [from, path] of made) {
    const anyName = from.replace(/[^/]*$/, "?");
    const at = left.findIndex((rename) =>
      [`${from} -> ${path}`, `${anyName} -> ${path}`].includes(rename)
    );
    if (at < 0) differences.push(`rename ${from} -> ${path} was not made`);
    else left.splice(at, 1);
  }
  differences.push(...left.map((rename) => `rename ${rename} was not reported`));
  return differences;
}

function skipped(workload: Workload, reason: string): Outcome {
  return {
    workload: workload.name,
    by: "",
    events: 0,
    kinds: {},
    differences: [],
    skipped: reason,
  };
}

/** The command that does all of it as another user in this runtime. */
export async function realWorkAsNobody(
  backend: BackendName,
  names: readonly string[] = [],
): Promise<Outcome[]> {
  const command = moduleCommand(new URL(import.meta.url), "--backend", backend, "--json", ...names);
  const { stdout, stderr, code } = await runAsNobody(command, { deadline: 240_000 });
  const lines = stdout.split("\n").filter((line) => line.startsWith("{"));
  const outcomes = lines.map((line) => JSON.parse(line) as Outcome);
  const failed = outcomes.some(({ differences }) => differences.length > 0) ? 1 : 0;
  if (code === failed) return outcomes;
  throw new Error(`Cannot work as nobody: exit ${code} after ${lines.length} workloads: ${stderr}`);
}

function show({ workload, by, events, kinds, differences, skipped }: Outcome): string {
  if (skipped !== undefined) return `${workload}: skipped: ${skipped}`;
  const histogram = Object.entries(kinds).sort(([, a], [, b]) => b - a)
    .map(([kind, count]) => `${kind} ${count}`).join(", ");
  const first = differences.slice(0, 10).map((difference) => `\n    ${difference}`).join("");
  const result = differences.length === 0 ? "same" : `${differences.length} DIFFERENCES`;
  return `${workload} (${by}): ${result}; ${events} events: ${histogram}${first}`;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      backend: { type: "string", default: "auto" },
      user: { type: "string" },
      json: { type: "boolean", default: false },
      "atomic-save": { type: "boolean", default: false },
      "write-finish": { type: "boolean", default: false },
    },
  });
  const backend = BACKENDS.find((name) => name === values.backend);
  if (backend === undefined) {
    throw new TypeError(`Cannot use backend ${values.backend}: not one of ${BACKENDS}`);
  }
  if (values.user !== undefined && values.user !== "nobody") {
    throw new TypeError(`Cannot work as ${values.user}: only as nobody`);
  }
  if (values.user === "nobody" && isRoot) {
    const outcomes = await realWorkAsNobody(backend, positionals);
    for (const outcome of outcomes) {
      console.log(values.json ? JSON.stringify(outcome) : show(outcome));
    }
    return outcomes.some(({ differences }) => differences.length > 0) ? 1 : 0;
  }
  let code = 0;
  for (const workload of WORKLOADS) {
    const isNamed = positionals.some((part) => workload.name.includes(part));
    if (positionals.length > 0 && !isNamed) continue;
    const outcome = await realWork(workload, backend, {
      atomicSave: values["atomic-save"],
      writeFinish: values["write-finish"],
    });
    if (outcome.differences.length > 0) code = 1;
    console.log(values.json ? JSON.stringify(outcome) : show(outcome));
  }
  return code;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) process.exitCode = await main();
