/**
 * Standard output and standard error: in order, no faster than they are read, and quiet when the reader has left.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import process from "node:process";
import { readText } from "../ffi/file.ts";
import { openLibc } from "../ffi/libc.ts";
import type { Piece } from "./format.ts";

type Stream = typeof process.stdout | typeof process.stderr;

/** A stream of lines. */
export class Output {
  /** Whether people read it in colours. */
  colors = false;
  readonly #stream: Stream;
  #isOpen = true;
  #whenBroken: () => void = () => {};
  /** Ends the write that is under way. */
  #settle: () => void = () => {};

  constructor(stream: Stream) {
    this.#stream = stream;
    // `| head` reads no more (EPIPE). Whatever else breaks it, there is nobody left to tell.
    stream.on("error", () => this.#break());
  }

  /** Calls back once, when nobody reads any more. */
  onBroken(callback: () => void): void {
    this.#whenBroken = callback;
    if (!this.#isOpen) callback();
  }

  #break(): void {
    if (!this.#isOpen) return;
    this.giveUp();
    this.#whenBroken();
  }

  /** Waits for the reader no longer, and writes no more. */
  giveUp(): void {
    this.#isOpen = false;
    this.#settle();
  }

  /** Writes; resolves when the system has it all, or when nobody reads any more. */
  async write(pieces: readonly Piece[]): Promise<void> {
    if (!this.#isOpen || pieces.length === 0) return;
    const isText = pieces.every((piece) => typeof piece === "string");
    const data = isText ? pieces.join("") : Buffer.concat(
      pieces.map((piece) => typeof piece === "string" ? Buffer.from(piece) : piece),
    );
    await new Promise<void>((resolve) => {
      this.#settle = resolve;
      this.#stream.write(data, (error) => {
        if (error) this.#break();
        resolve();
      });
    });
  }

  /** Writes a line of text. */
  async line(text: string): Promise<void> {
    await this.write([`${text}\n`]);
  }

  /** Uses colours if this is a terminal that has them and its user has not refused them (no-color.org). */
  async allowColors(): Promise<void> {
    if (!this.#stream.isTTY) return;
    // Not process.env, which asks for --allow-env in Deno.
    const environment = readText(await openLibc(), "/proc/self/environ")?.split("\0") ?? [];
    this.colors = !environment.some((entry) => /^NO_COLOR=./s.test(entry) || entry === "TERM=dumb");
  }
}

/** The two streams of a command. */
export interface Terminal {
  readonly out: Output;
  readonly err: Output;
}

/** The streams of this process. */
export function openTerminal(): Terminal {
  return { out: new Output(process.stdout), err: new Output(process.stderr) };
}
