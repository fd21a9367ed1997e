/**
 * Files to be guarded, on a filesystem of their own, and processes that use them: `opener.c`.
 *
 * @module
 */

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isWithin } from "../backends/mounts/mountinfo.ts";
import type { Guard, WatchEvent } from "../mod.ts";
import { isInstalled } from "../scripts/real_work/process.ts";
import { Filesystem, type FilesystemType, whyNot } from "./filesystem.ts";
import { finish, type Finished, moduleFile, openLinks, until } from "./runtime.ts";

/** What a process does with a file. */
export type Use = "open" | "read" | "write" | "map" | "exec";

/** What became of it: `"0"`, or an errno's name, after so many ms. */
export interface Used {
  readonly pid: number;
  readonly errno: string;
  readonly ms: number;
}

/** How a file is used. */
export interface UseInit {
  /** By how many processes at once. Default 1. */
  readonly count?: number;
  /** Which bytes. Default the first one. */
  readonly offset?: number;
  readonly length?: number;
}

/** Longer than an opener waits at most, so that one that was not released is told of by its absence. In ms. */
const DEADLINE = 40_000;

/** Why nothing can be guarded on a filesystem of a type here; false where it can. */
export function whyUnguarded(type: FilesystemType): string | false {
  return whyNot(type) || (!isInstalled("cc") && "cc is not installed");
}

/** A filesystem of its own, unmounted at the end of the block. */
export class Guarded implements Disposable {
  readonly #filesystem: Filesystem;
  readonly path: string;
  /** The program that uses files, elsewhere. */
  readonly opener: string;

  constructor(type: FilesystemType = "tmpfs") {
    this.#filesystem = new Filesystem(type);
    this.path = this.#filesystem.path;
    this.opener = join(this.#filesystem.base, "opener");
    const { status, stderr } = spawnSync(
      "cc",
      ["-Wall", "-Werror", "-o", this.opener, moduleFile("tests/opener.c")],
      { encoding: "utf8" },
    );
    if (status !== 0) {
      this[Symbol.dispose]();
      throw new Error(`Cannot compile opener.c: ${stderr}`);
    }
  }

  /** Where things can be that are not guarded. */
  get base(): string {
    return this.#filesystem.base;
  }

  /** Makes a file; its path. */
  file(name: string, content: string | Uint8Array = name): string {
    const path = join(this.path, name);
    writeFileSync(path, content);
    return path;
  }

  /** Makes a program that does nothing; its path. */
  program(name: string): string {
    const path = join(this.path, name);
    copyFileSync("/bin/true", path);
    return path;
  }

  /** Has processes use a file, and waits for all of them, each of which has to have been released. */
  async use(use: Use, path: string, init: UseInit = {}): Promise<Used[]> {
    const { count = 1, offset = 0, length = 1 } = init;
    const { stdout, stderr, status } = await this.run(
      ...[this.opener, `${count}`, use, path, `${offset}`, `${length}`],
    );
    assert.equal(status, 0, stderr);
    const all = stdout.trim().split("\n").map((line) => JSON.parse(line) as Used);
    assert.equal(all.length, count, "all are released");
    return all;
  }

  /** Has one process use a file; `"0"`, or the errno's name. */
  async try(use: Use, path: string, init: Omit<UseInit, "count"> = {}): Promise<string> {
    return (await this.use(use, path, init))[0]!.errno;
  }

  /** Runs a command to its end. */
  run(...command: readonly string[]): Promise<Finished> {
    return finish(command, this.base, DEADLINE);
  }

  /** Until a guard of this process, which answers first, has closed all that it was asked about at or below a path. */
  async closed(path: string): Promise<void> {
    await until(() => !openLinks().some((link) => isWithin(link, path)));
  }

  /** Unmounts what nobody else uses. */
  async unmount(point: string): Promise<void> {
    await this.closed(point);
    execFileSync("umount", [point]);
  }

  [Symbol.dispose](): void {
    this.#filesystem[Symbol.dispose]();
  }
}

/** What a guard tells, from the beginning. */
export class Told {
  readonly events: WatchEvent[] = [];
  /** Settles as the iterator does. */
  readonly end: Promise<void>;

  constructor(gate: Guard) {
    this.end = this.#follow(gate);
    this.end.catch(() => {});
  }

  async #follow(gate: Guard): Promise<void> {
    for await (const event of gate) this.events.push(event);
  }

  /** The first `count` events, once there are so many. */
  async first(count: number): Promise<readonly WatchEvent[]> {
    await until(() => this.events.length >= count);
    return this.events.slice(0, count);
  }
}
