/**
 * Standard output and standard error: in order, no faster than they are read, and quiet when the reader has left.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import process from "node:process";
import { EAGAIN, EINTR } from "../ffi/abi/errno.ts";
import { pollfd, POLLOUT } from "../ffi/abi/poll.ts";
import { openLibc } from "../ffi/libc.ts";
import type { Libc } from "../ffi/port.ts";
import { readEnvironment } from "./environment.ts";
import type { Piece } from "./format.ts";

/** How much is written at once: a pipe that is ready has room for PIPE_BUF bytes (pipe(7)). */
const CHUNK = 4096;

/** The longest time between two looks whether there is room, in ms. */
const LONGEST_WAIT = 16;

/** A stream of lines. */
export class Output {
  /** Whether people read it in colours. */
  colors = false;
  readonly #stream: typeof process.stdout | typeof process.stderr;
  readonly #request = new Uint8Array(new ArrayBuffer(pollfd.size));
  #libc: Libc | undefined;
  #isOpen = true;
  #whenBroken: () => void = () => {};

  constructor(stream: typeof process.stdout | typeof process.stderr) {
    this.#stream = stream;
    // `| head` reads no more (EPIPE). Whatever else breaks it, there is nobody left to tell.
    stream.on("error", () => this.#break());
    const request = new DataView(this.#request.buffer);
    request.setInt32(pollfd.fd, stream.fd, true);
    request.setInt16(pollfd.events, POLLOUT, true);
  }

  /**
   * From now on writes through libc, when there is room. A write of Deno's own holds up its thread while a pipe is full,
   * and no signal would be heard until somebody reads. Uses colours if this is a terminal that has them and its user has
   * not refused them (no-color.org).
   */
  async prepare(): Promise<void> {
    this.#libc = await openLibc();
    if (!this.#stream.isTTY) return;
    const environment = readEnvironment(this.#libc);
    this.colors = !environment.get("NO_COLOR") && environment.get("TERM") !== "dumb";
  }

  /** Calls back once, when nobody reads any more. */
  onBroken(callback: () => void): void {
    this.#whenBroken = callback;
    if (!this.#isOpen) callback();
  }

  #break(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#whenBroken();
  }

  /** Waits for the reader no longer, and writes no more. */
  giveUp(): void {
    this.#isOpen = false;
  }

  /** Writes; resolves when the system has it all, or when nobody reads any more. */
  async write(pieces: readonly Piece[]): Promise<void> {
    if (!this.#isOpen || pieces.length === 0) return;
    const isText = pieces.every((piece) => typeof piece === "string");
    const bytes = isText ? Buffer.from(pieces.join("")) : Buffer.concat(
      pieces.map((piece) => typeof piece === "string" ? Buffer.from(piece) : piece),
    );
    if (this.#libc === undefined) await this.#writeStream(bytes);
    else await this.#writeWhenReady(this.#libc, bytes);
  }

  /** Writes a line of text. */
  async line(text: string): Promise<void> {
    await this.write([`${text}\n`]);
  }

  #writeStream(bytes: Buffer): Promise<void> {
    return new Promise((resolve) => {
      this.#stream.write(bytes, (error) => {
        if (error) this.#break();
        resolve();
      });
    });
  }

  async #writeWhenReady(libc: Libc, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    let wait = 1;
    for (let at = 0; at < bytes.length && this.#isOpen;) {
      if (libc.poll(this.#request, 1, 0) > 0) {
        const chunk = bytes.subarray(at, at + CHUNK);
        const written = libc.write(this.#stream.fd, chunk, chunk.length);
        if (written >= 0) {
          at += written;
          wait = 1;
          continue;
        }
        const errno = libc.errno();
        if (errno === EINTR) continue;
        if (errno !== EAGAIN) return this.#break();
      }
      await new Promise((resolve) => setTimeout(resolve, wait));
      wait = Math.min(2 * wait, LONGEST_WAIT);
    }
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
