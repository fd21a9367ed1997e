/**
 * A checkout that every user can read, for the tests that become nobody.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { isInstalled, isRoot, NOBODY } from "./real_work/process.ts";

/** Whether nobody, too, reaches this checkout; only root can tell, and only root's tests need it. */
function isReachable(): boolean {
  if (!isRoot || !isInstalled("setpriv")) return true;
  const user = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"];
  return ["mod.ts", "node_modules"].every((name) =>
    spawnSync("setpriv", [...user, "test", "-r", join(process.cwd(), name)]).status === 0
  );
}

/** A copy of this checkout where nobody reaches it, or undefined where there is no need for one. */
export function reachableCopy(): Disposable & { readonly path: string } | undefined {
  if (isReachable()) return undefined;
  const path = mkdtempSync(join(tmpdir(), "sentinode-checkout-"));
  const remove = () => rmSync(path, { recursive: true, force: true });
  for (const command of [["cp", "-a", "."], ["chmod", "-R", "go+rX"]]) {
    const [program = "", ...args] = [...command, path];
    const { status, stderr } = spawnSync(program, args, { encoding: "utf8" });
    if (status === 0) continue;
    remove();
    throw new Error(`Cannot copy the checkout to ${path}: ${program}: ${stderr}`);
  }
  return { path, [Symbol.dispose]: remove };
}
