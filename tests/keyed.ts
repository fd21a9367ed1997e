/**
 * Keys for tests: a keyring of its own, and what is done to it.
 *
 * @module
 */

import { keyctl } from "../backends/keys/keyctl.ts";
import { NotificationPipe } from "../backends/keys/pipe.ts";
import {
  KEY_SPEC_PROCESS_KEYRING,
  KEYCTL_CHOWN,
  KEYCTL_CLEAR,
  KEYCTL_GET_KEYRING_ID,
  KEYCTL_INVALIDATE,
  KEYCTL_LINK,
  KEYCTL_MOVE,
  KEYCTL_REVOKE,
  KEYCTL_SET_TIMEOUT,
  KEYCTL_SETPERM,
  KEYCTL_UNLINK,
  KEYCTL_UPDATE,
} from "../ffi/abi/keyctl.ts";
import { SYS_add_key } from "../ffi/abi/syscall.ts";
import { errnoName, SystemError } from "../ffi/errno.ts";
import { openLibc } from "../ffi/libc.ts";
import { cString, encodeText } from "../ffi/text.ts";

const libc = await openLibc();

/** Why keys cannot be watched here; false where they can. */
export const whyNoKeys: string | false = (() => {
  try {
    new NotificationPipe(libc).close();
    return false;
  } catch (error) {
    if (error instanceof SystemError) return `${error.message} (see docs/keys.md)`;
    throw error;
  }
})();

function done(result: number, what: string): number {
  if (result < 0) throw new Error(`${what}: ${errnoName(libc.errno())}`);
  return result;
}

/** Makes a key in a keyring, or changes the one that is there; its serial number. */
export function addKey(
  type: string,
  description: string,
  payload: string,
  keyring: number,
): number {
  const [typeText, text, bytes] = [cString(type), cString(description), encodeText(payload)];
  const isEmpty = bytes.length === 0; // as a keyring's has to be
  const result = libc.syscall(
    SYS_add_key,
    libc.address(typeText),
    libc.address(text),
    isEmpty ? 0 : libc.address(bytes),
    bytes.length,
    BigInt.asUintN(64, BigInt(keyring)),
  );
  return done(result, `add_key ${description}`);
}

type Operation =
  | "update"
  | "link"
  | "unlink"
  | "move"
  | "clear"
  | "revoke"
  | "invalidate"
  | "setPermissions"
  | "setOwner"
  | "setTimeout";

const OPERATIONS: Readonly<Record<Operation, number>> = {
  update: KEYCTL_UPDATE, // key, payload
  link: KEYCTL_LINK, // key, keyring
  unlink: KEYCTL_UNLINK, // key, keyring
  move: KEYCTL_MOVE, // key, from, to
  clear: KEYCTL_CLEAR, // keyring
  revoke: KEYCTL_REVOKE, // key
  invalidate: KEYCTL_INVALIDATE, // key
  setPermissions: KEYCTL_SETPERM, // key, permissions
  setOwner: KEYCTL_CHOWN, // key, uid, gid
  setTimeout: KEYCTL_SET_TIMEOUT, // key, seconds
};

/** Does something to a key, which has to succeed. */
export function act(
  operation: Operation,
  key: number,
  argument: number | string = 0,
  other: number = 0,
): void {
  const bytes = typeof argument === "string" ? encodeText(argument) : undefined;
  const result = bytes === undefined
    ? keyctl(libc, OPERATIONS[operation], key, argument as number, other)
    : keyctl(libc, OPERATIONS[operation], key, bytes, bytes.length);
  done(result, `${operation} ${key}`);
}

/** Why this process has no keys at all, as in most containers; false where it has. */
export const whyNoKeyrings: string | false =
  keyctl(libc, KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 1) < 0
    ? `keyctl says ${errnoName(libc.errno())}`
    : false;

let count = 0;

/** A keyring that nobody else uses, in this process's own, until the end of the block. */
export class OwnKeyring implements Disposable {
  readonly description: string = `sentinode-test-${count++}`;
  readonly id: number = addKey("keyring", this.description, "", KEY_SPEC_PROCESS_KEYRING);

  [Symbol.dispose](): void {
    keyctl(libc, KEYCTL_UNLINK, this.id, KEY_SPEC_PROCESS_KEYRING);
  }
}
