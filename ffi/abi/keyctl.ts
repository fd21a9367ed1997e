/**
 * Constants of keyctl(2), from `<linux/keyctl.h>`.
 *
 * @module
 */

// Names of the caller's own keyrings, in the place of a serial number.

export const KEY_SPEC_THREAD_KEYRING = -1;
export const KEY_SPEC_PROCESS_KEYRING = -2;
export const KEY_SPEC_SESSION_KEYRING = -3;
export const KEY_SPEC_USER_KEYRING = -4;
export const KEY_SPEC_USER_SESSION_KEYRING = -5;

// Operations.

export const KEYCTL_GET_KEYRING_ID = 0;
export const KEYCTL_JOIN_SESSION_KEYRING = 1;
export const KEYCTL_UPDATE = 2;
export const KEYCTL_REVOKE = 3;
export const KEYCTL_CHOWN = 4;
export const KEYCTL_SETPERM = 5;
export const KEYCTL_DESCRIBE = 6; // as text: type;uid;gid;permissions;description
export const KEYCTL_CLEAR = 7;
export const KEYCTL_LINK = 8;
export const KEYCTL_UNLINK = 9;
export const KEYCTL_READ = 11; // of a keyring: the serial numbers of what is in it
export const KEYCTL_SET_TIMEOUT = 15;
export const KEYCTL_INVALIDATE = 21;
export const KEYCTL_MOVE = 30; // 5.3
export const KEYCTL_CAPABILITIES = 31; // 5.3
export const KEYCTL_WATCH_KEY = 32; // 5.8

// The second byte of what KEYCTL_CAPABILITIES gives.

export const KEYCTL_CAPS1_NOTIFICATIONS = 0x04; // 5.8
