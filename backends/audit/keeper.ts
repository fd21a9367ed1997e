/**
 * The keeper: a process that puts the state of audit back when this one ends in a way that it cannot see, as SIGKILL.
 *
 * It is a shell that waits for the end of a socket (1 MB, one process), and becomes the runtime only then; its program is
 * `keeper_main.ts`. Where there is no shell, or this program is no runtime, there is no keeper, and what is left behind
 * stays until the next start of a sentinode program that uses audit.
 *
 * @module
 */

import { EINTR } from "../../ffi/abi/errno.ts";
import { AF_UNIX, MSG_NOSIGNAL, SOCK_CLOEXEC, SOCK_STREAM } from "../../ffi/abi/socket.ts";
import { SYS_socketpair, SYS_wait4 } from "../../ffi/abi/syscall.ts";
import { errnoName } from "../../ffi/errno.ts";
import { readLink } from "../../ffi/file.ts";
import type { Libc } from "../../ffi/port.ts";
import { spawn } from "../../ffi/spawn.ts";
import { decodeText, encodeText } from "../../ffi/text.ts";
import { KEEPER_SOURCE } from "./keeper_source.ts";

/** Ends at a line; at the end of its input it becomes what its arguments say. */
const SCRIPT =
  'trap "" HUP INT QUIT TERM; exec >/dev/null 2>&1; cd /; read -r line && exit; exec "$@"';

const SHELL = "/bin/sh";

/** A keeper that waits. */
export class Keeper {
  readonly #libc: Libc;
  readonly #socket: number;
  readonly #pid: number;

  private constructor(libc: Libc, socket: number, pid: number) {
    this.#libc = libc;
    this.#socket = socket;
    this.#pid = pid;
  }

  /** Starts one for the process `pid`; why there is none, where there cannot be. */
  static start(libc: Libc, pid: number): Keeper | string {
    const { evaluation } = libc;
    const program = readLink(libc, "/proc/self/exe");
    if (evaluation === undefined || program === undefined) return "this program is no runtime";
    const pair = new Int32Array(new ArrayBuffer(8));
    const made = libc.syscall(
      SYS_socketpair,
      AF_UNIX,
      SOCK_STREAM | SOCK_CLOEXEC,
      0,
      libc.address(pair),
      0,
    );
    if (made < 0) return `no socket (${errnoName(libc.errno())})`;
    const [own, its] = pair as unknown as [number, number];
    const child = spawn(libc, {
      path: SHELL,
      arguments: [
        "sh",
        "-c",
        SCRIPT,
        "sentinode-keeper",
        decodeText(program),
        ...evaluation.arguments(KEEPER_SOURCE),
        String(pid),
      ],
      environment: evaluation.environment,
      input: its,
    });
    libc.close(its);
    if (child > 0) return new Keeper(libc, own, child);
    libc.close(own);
    return `${SHELL} does not start (${errnoName(-child)})`;
  }

  /** Lets it go, and waits until it has ended. */
  end(): void {
    const libc = this.#libc;
    libc.sendto(this.#socket, LINE, LINE.length, MSG_NOSIGNAL, null, 0);
    libc.close(this.#socket);
    while (libc.syscall(SYS_wait4, this.#pid, 0, 0, 0, 0) < 0 && libc.errno() === EINTR);
  }
}

const LINE = encodeText("\n");
