/**
 * `sentinode doctor`.
 *
 * @module
 */

import { SystemError } from "../ffi/errno.ts";
import {
  type AuditState,
  type Capabilities,
  capabilities,
  type Limit,
} from "../watch/capabilities.ts";
import type { WatchOptions } from "../watch/options.ts";
import { watch } from "../watch/watch.ts";
import type { Arguments, Synopsis } from "./args.ts";
import { escapeText, safeJson } from "./escape.ts";
import { wayOf } from "./follow.ts";
import type { Terminal } from "./output.ts";
import { VERSION } from "./version.ts";

/** What `doctor --help` says. */
export const DOCTOR: Synopsis = {
  name: "doctor",
  operands: "[PATH]",
  about:
    "Tells what works on PATH (default: the working directory), what does not, why, and what to do.",
  options: [{ name: "json", about: "one JSON object" }],
  notes: `Everything is tried, and taken back: each backend watches the path for a moment.

Exit status: 0 when at least one backend works on the path, 1 when none does or on an error.`,
  least: 0,
  most: 1,
};

/** The backends, and how each is made to watch a path. */
const BACKENDS: readonly { readonly name: string; readonly options: WatchOptions }[] = [
  {
    name: "fanotify, filesystem mark",
    options: { backend: "fanotify", scope: "filesystem" },
  },
  { name: "fanotify, inode marks", options: { backend: "fanotify", recursive: false } },
  { name: "inotify", options: { backend: "inotify", recursive: false } },
];

/** One backend that was tried on the path. */
interface Trial {
  readonly name: string;
  readonly available: boolean;
  /** How it watched. */
  readonly by?: string;
  readonly mount?: { readonly point: string; readonly type: string };
  readonly reason?: string;
  readonly remedy?: string;
}

/** Runs `sentinode doctor`; the exit status. */
export async function runDoctor(args: Arguments, { out }: Terminal): Promise<number> {
  const found = await capabilities(args.operands[0]);
  const backends: Trial[] = [];
  for (const { name, options } of BACKENDS) backends.push(await tried(name, found.path, options));
  const text = args.has("json")
    ? safeJson({ version: VERSION, ...found, backends })
    : report(found, backends);
  await out.line(text);
  return backends.some(({ available }) => available) ? 0 : 1;
}

async function tried(name: string, path: string, options: WatchOptions): Promise<Trial> {
  try {
    await using watcher = watch(path, options);
    await watcher.ready;
    const [coverage] = watcher.coverage();
    if (coverage === undefined) return { name, available: false, reason: "it covers nothing" };
    return { name, available: true, by: wayOf(coverage), mount: coverage.mount };
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    const { message, hint } = error;
    return { name, available: false, reason: message, ...(hint === "" ? {} : { remedy: hint }) };
  }
}

const NAME_WIDTH = 27;

function report(found: Capabilities, backends: readonly Trial[]): string {
  const { runtime, kernel, machine, uid, capabilities, path, probes, limits, audit } = found;
  const mount = backends.find(({ mount }) => mount !== undefined)?.mount;
  const where = mount === undefined ? "" : ` (${mount.type} on ${mount.point})`;
  const held = Object.entries(capabilities).filter(([, has]) => has).map(([name]) => name);
  const lacking = Object.entries(capabilities).filter(([, has]) => !has).map(([name]) => name);
  return [
    `sentinode ${VERSION}, ${runtime.name} ${runtime.version}, Linux ${kernel} on ${machine}`,
    `User ${uid}; has ${held.join(", ") || "no capability"}` +
    (lacking.length === 0 ? "" : `; lacks ${lacking.join(", ")}`),
    "",
    `Backends on ${escapeText(path + where)}`,
    ...backends.flatMap((trial) => verdict(trial.name, trial.by ?? "", trial)),
    "",
    "What the kernel does for this process",
    ...probes.flatMap((probe) => verdict(probe.name, probe.about, probe)),
    "",
    "Limits",
    ...limits.map(limitLine),
    ...(audit === undefined ? [] : ["", "Audit", `  ${auditText(audit)}`]),
  ].join("\n");
}

function verdict(
  name: string,
  about: string,
  { available, reason, remedy }: Pick<Trial, "available" | "reason" | "remedy">,
): string[] {
  const head = `  ${name.padEnd(NAME_WIDTH)} `;
  if (available) return [`${head}yes  ${about}`.trimEnd()];
  const indent = " ".repeat(head.length + 4);
  return [
    `${head}no   ${escapeText(reason ?? "")}`,
    ...(remedy === undefined ? [] : [`${indent} ${escapeText(remedy)}`]),
  ];
}

function auditText({ enabled, locked, daemon, backlogLimit, lost }: AuditState): string {
  const state = locked ? "on, locked until the next boot" : enabled ? "on" : "off";
  const whom = daemon === undefined
    ? "no daemon"
    : `daemon ${escapeText(daemon.comm)}(${daemon.pid})`;
  return `${state}, ${whom}, backlog of ${backlogLimit} records, ${lost} lost`;
}

function limitLine({ name, value, used, users }: Limit): string {
  const head = `  ${name.padEnd(NAME_WIDTH + 4)} ${value ?? "none"}`;
  if (used === undefined) return head;
  const percent = value ? ` (${Math.ceil(used / value * 100)} %)` : "";
  const whom = users.map(({ pid, comm, used }) => `${escapeText(comm)}(${pid}) ${used}`).join(", ");
  return `${head}, ${used} used by this user${percent}${whom === "" ? "" : `: ${whom}`}`;
}
