/**
 * Starting a program through libc, which no permission but `--allow-ffi` is needed for.
 *
 * @module
 */

import { O_CLOEXEC } from "./abi/open.ts";
import { POSIX_SPAWN_SETSID, SPAWN_STATE_SIZE } from "./abi/spawn.ts";
import { readDirectory, readFile, readText } from "./file.ts";
import type { Libc } from "./port.ts";
import { cString, encodeText } from "./text.ts";

/** What a program is started with. */
export interface SpawnInit {
  readonly path: string;
  /** With the program's name first. */
  readonly arguments: readonly string[];
  /** `NAME=value`, beside what this process was started with. */
  readonly environment: readonly string[];
  /** What it reads from, as its one file descriptor. */
  readonly input: number;
}

/** Starts a program in a session of its own; its pid, or a negative errno. It inherits `input` and nothing else. */
export function spawn(libc: Libc, init: SpawnInit): number {
  const [actions, attributes] = [buffer(SPAWN_STATE_SIZE), buffer(SPAWN_STATE_SIZE)];
  const pid = new Int32Array(new ArrayBuffer(4));
  const path = cString(init.path);
  const argv = new CStrings(libc, init.arguments.map((text) => encodeText(text)));
  const envp = new CStrings(libc, [
    ...environment(libc),
    ...init.environment.map((text) => encodeText(text)),
  ]);
  libc.posix_spawnattr_init(attributes); // its destructor does nothing, in glibc and musl
  libc.posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSID);
  libc.posix_spawn_file_actions_init(actions);
  try {
    libc.posix_spawn_file_actions_adddup2(actions, init.input, 0);
    for (const fd of inherited(libc)) {
      if (fd !== 0) libc.posix_spawn_file_actions_addclose(actions, fd);
    }
    const errno = libc.posix_spawn(pid, path, actions, attributes, argv.pointers, envp.pointers);
    return errno === 0 ? pid[0]! : -errno;
  } finally {
    libc.posix_spawn_file_actions_destroy(actions);
  }
}

/** The open files that a started program would have too. */
function inherited(libc: Libc): number[] {
  const fds = readDirectory(libc, cString("/proc/self/fd")) ?? [];
  return fds.map(({ name }) => Number(name)).filter((fd) => {
    const info = readText(libc, `/proc/self/fdinfo/${fd}`) ?? "";
    const [, flags] = /^flags:\s*([0-7]+)$/m.exec(info) ?? [];
    return flags !== undefined && (parseInt(flags, 8) & O_CLOEXEC) === 0;
  });
}

/** What this process was started with. */
function environment(libc: Libc): Uint8Array[] {
  const bytes = readFile(libc, "/proc/self/environ") ?? new Uint8Array();
  const variables: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf(0, at);
    variables.push(bytes.subarray(at, end < 0 ? bytes.length : end));
    at = end < 0 ? bytes.length : end + 1;
  }
  return variables;
}

/** `char *strings[]`, with a null pointer at its end. */
class CStrings {
  readonly pointers: BigUint64Array<ArrayBuffer>;
  /** Kept alive as long as the pointers are. */
  readonly strings: readonly Uint8Array<ArrayBuffer>[];

  constructor(libc: Libc, strings: readonly Uint8Array[]) {
    this.strings = strings.map((string) => {
      const bytes = buffer(string.length + 1);
      bytes.set(string);
      return bytes;
    });
    this.pointers = new BigUint64Array(new ArrayBuffer(8 * (strings.length + 1)));
    for (const [i, bytes] of this.strings.entries()) this.pointers[i] = libc.address(bytes);
  }
}

/** On an explicit `ArrayBuffer`: JavaScriptCore moves the bytes of a small array that has none. */
function buffer(size: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(size));
}
