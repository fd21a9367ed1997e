/**
 * A filesystem whose handles cannot be opened.
 *
 * @module
 */

import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TemporaryDirectory } from "./runtime.ts";

/** An overlayfs on a tmpfs, with a file `below` in its lower layer. Needs root. */
export class Overlay implements Disposable {
  readonly #base = new TemporaryDirectory();
  readonly path: string = join(this.#base.path, "merged");

  constructor() {
    const { path } = this.#base;
    execFileSync("mount", ["-t", "tmpfs", "sentinode-test", path]);
    const [lower, upper, work] = ["lower", "upper", "work"].map((name) => join(path, name));
    for (const directory of [lower!, upper!, work!, this.path]) mkdirSync(directory);
    writeFileSync(join(lower!, "below"), "below");
    chmodSync(this.path, 0o777);
    const layers = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
    execFileSync("mount", ["-t", "overlay", "sentinode-test", "-o", layers, this.path]);
  }

  [Symbol.dispose](): void {
    execFileSync("umount", [this.path]);
    execFileSync("umount", [this.#base.path]);
    this.#base[Symbol.dispose]();
  }
}
