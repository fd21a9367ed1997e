/**
 * keyctl(2), and what it says of keys.
 *
 * @module
 */

import { ENOKEY } from "../../ffi/abi/errno.ts";
import {
  KEY_SPEC_PROCESS_KEYRING,
  KEY_SPEC_SESSION_KEYRING,
  KEY_SPEC_THREAD_KEYRING,
  KEY_SPEC_USER_KEYRING,
  KEY_SPEC_USER_SESSION_KEYRING,
  KEYCTL_CAPABILITIES,
  KEYCTL_CAPS1_NOTIFICATIONS,
  KEYCTL_DESCRIBE,
  KEYCTL_GET_KEYRING_ID,
  KEYCTL_READ,
} from "../../ffi/abi/keyctl.ts";
import { SYS_keyctl, SYS_request_key } from "../../ffi/abi/syscall.ts";
import { readText } from "../../ffi/file.ts";
import type { Libc } from "../../ffi/port.ts";
import { cString, decodeText } from "../../ffi/text.ts";
import { keyError } from "./refusal.ts";

/** A key as far as it may be seen. */
export interface Key {
  /** Its serial number. */
  readonly id: number;
  /** `"keyring"`, `"user"`, `"logon"` … */
  readonly type?: string;
  /** What it is called; U+FFFD where that is not UTF-8. */
  readonly description?: string;
  /** Its owner. */
  readonly uid?: number;
  /** Its group. */
  readonly gid?: number;
  /** Who may do what: eight bits for the possessor, the owner, the group, others, as keyctl(1) prints them. */
  readonly permissions?: number;
}

/**
 * A keyring of this process by what it is, any key by its serial number, or a keyring that is below those of this process
 * by its name, also as keyctl(1) has it: `"%:name"`.
 */
export type Keyring =
  | "session"
  | "user"
  | "user-session"
  | "process"
  | "thread"
  | number
  | (string & Record<never, never>);

/** The keyrings that every process has, or could have. */
const SPECIAL: Readonly<Record<string, number>> = {
  "thread": KEY_SPEC_THREAD_KEYRING,
  "process": KEY_SPEC_PROCESS_KEYRING,
  "session": KEY_SPEC_SESSION_KEYRING,
  "user": KEY_SPEC_USER_KEYRING,
  "user-session": KEY_SPEC_USER_SESSION_KEYRING,
};

/** An argument of keyctl(2). */
type Argument = number | Uint8Array<ArrayBuffer>;

/** `keyctl`, which returns -1 where {@linkcode Libc.errno} explains. */
export function keyctl(
  libc: Libc,
  operation: number,
  ...args: readonly [Argument?, Argument?, Argument?, Argument?]
): number {
  const [a, b, c, d] = [0, 1, 2, 3].map((i) => {
    const arg = args[i] ?? 0;
    // A register is as wide as a pointer: what is negative fills all of it.
    return typeof arg === "number" ? BigInt.asUintN(64, BigInt(arg)) : libc.address(arg);
  }) as [bigint, bigint, bigint, bigint];
  return libc.syscall(SYS_keyctl, operation, a, b, c, d);
}

/** Whether the kernel tells of changes of keys; undefined where keyctl(2) itself is refused. */
export function hasNotifications(libc: Libc): boolean | undefined {
  const bits = new Uint8Array(new ArrayBuffer(2));
  const length = keyctl(libc, KEYCTL_CAPABILITIES, bits, bits.length);
  return length < 0 ? undefined : length >= 2 && (bits[1]! & KEYCTL_CAPS1_NOTIFICATIONS) !== 0;
}

/**
 * The serial number of a keyring. Where this process has no session keyring, the kernel takes the user's; the keyrings of
 * the process and the thread are made where there are none. Throws `SystemError`.
 */
export function keyringId(libc: Libc, keyring: Keyring): number {
  if (typeof keyring === "number") return keyring;
  const special = Object.hasOwn(SPECIAL, keyring) ? SPECIAL[keyring] : undefined;
  if (special !== undefined) {
    const isOwn = special === KEY_SPEC_THREAD_KEYRING || special === KEY_SPEC_PROCESS_KEYRING;
    const id = keyctl(libc, KEYCTL_GET_KEYRING_ID, special, Number(isOwn));
    if (id >= 0) return id;
    const init = { syscall: "keyctl", errno: libc.errno() };
    throw keyError(libc, `find the ${keyring} keyring`, init);
  }
  // Without callout information nobody is asked to make one.
  const [type, name] = [cString("keyring"), cString(keyring.replace(/^%(keyring)?:/, ""))];
  const id = libc.syscall(SYS_request_key, libc.address(type), libc.address(name), 0, 0, 0);
  if (id >= 0) return id;
  const errno = libc.errno();
  const hint =
    "it is looked for below the keyrings of this process; name others by their number, " +
    "which /proc/keys has in hexadecimal";
  throw keyError(libc, `find keyring ${JSON.stringify(keyring)}`, {
    syscall: "request_key",
    errno,
    ...(errno === ENOKEY ? { hint } : {}),
  });
}

let buffer = new Uint8Array(new ArrayBuffer(4096));

/** What an operation writes about a key, valid until the next one; undefined (and errno) where it fails. */
function ask(libc: Libc, operation: number, id: number): Uint8Array<ArrayBuffer> | undefined {
  for (;;) {
    const length = keyctl(libc, operation, id, buffer, buffer.length);
    if (length < 0) return undefined;
    if (length <= buffer.length) return buffer.subarray(0, length);
    buffer = new Uint8Array(new ArrayBuffer(2 ** Math.ceil(Math.log2(length)))); // it has grown
  }
}

/** What a key is; undefined (and errno) where it may not be seen, is revoked, or gone. */
export function describeKey(libc: Libc, id: number): Key | undefined {
  const bytes = ask(libc, KEYCTL_DESCRIBE, id);
  return bytes && parseDescription(id, decodeText(bytes).replace(/\0$/, ""));
}

/** `type;uid;gid;permissions;description`, of which the last may have anything in it. */
export function parseDescription(id: number, text: string): Key | undefined {
  const parts = /^([^;]*);(-?\d+);(-?\d+);([0-9a-f]+);(.*)$/s.exec(text);
  if (parts === null) return undefined;
  const [, type, uid, gid, permissions, description] = parts;
  return {
    id,
    type: type!,
    description: description!,
    uid: Number(uid) >>> 0,
    gid: Number(gid) >>> 0,
    permissions: parseInt(permissions!, 16),
  };
}

/** The serial numbers of the keys in a keyring; undefined (and errno) where it may not be read. */
export function keysIn(libc: Libc, keyring: number): number[] | undefined {
  const bytes = ask(libc, KEYCTL_READ, keyring);
  if (bytes === undefined) return undefined;
  const view = new DataView(bytes.buffer, 0, bytes.length);
  return Array.from({ length: bytes.length >> 2 }, (_, i) => view.getInt32(i * 4, true));
}

/**
 * The keys that are being made by request_key(2)'s helper, of those that may be seen (proc_keys(5)): whoever names one in
 * most calls waits until it is done. Undefined where there is no /proc/keys.
 */
export function underConstruction(libc: Libc): ReadonlySet<number> | undefined {
  const text = readText(libc, "/proc/keys");
  return text === undefined ? undefined : parseConstruction(text);
}

/** Those of which a line of /proc/keys has the flag U. */
export function parseConstruction(text: string): ReadonlySet<number> {
  const lines = text.matchAll(/^([0-9a-f]+) .{4}U/gm);
  return new Set([...lines].map(([, id]) => parseInt(id!, 16)));
}
