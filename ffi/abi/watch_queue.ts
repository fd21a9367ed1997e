/**
 * Constants and layouts of the kernel's notification pipe, from `<linux/watch_queue.h>`. Since Linux 5.8.
 *
 * @module
 */

export const O_NOTIFICATION_PIPE = 0x80; // = O_EXCL, in the flags of pipe2(2)

// Requests of ioctl(2) on either end of the pipe.

export const IOC_WATCH_QUEUE_SET_SIZE = 0x5760; // in notes, 1 to 512; once
export const IOC_WATCH_QUEUE_SET_FILTER = 0x5761;

// `watch_notification.type`.

export const WATCH_TYPE_META = 0;
export const WATCH_TYPE_KEY_NOTIFY = 1;

// `watch_notification.subtype` of WATCH_TYPE_META.

export const WATCH_META_REMOVAL_NOTIFICATION = 0; // a watch is no more
export const WATCH_META_LOSS_NOTIFICATION = 1; // made by read(2)

// `watch_notification.info`.

export const WATCH_INFO_LENGTH = 0x7f; // of the record, in bytes
export const WATCH_INFO_ID = 0xff00; // as given with the watch
export const WATCH_INFO_ID__SHIFT = 8;
export const WATCH_INFO_TYPE_INFO = 0xffff0000;

// `watch_notification.subtype` of WATCH_TYPE_KEY_NOTIFY.

export const NOTIFY_KEY_INSTANTIATED = 0; // aux is an error, or 0
export const NOTIFY_KEY_UPDATED = 1;
export const NOTIFY_KEY_LINKED = 2; // aux is the key that is linked to the keyring
export const NOTIFY_KEY_UNLINKED = 3; // aux is the key that was
export const NOTIFY_KEY_CLEARED = 4;
export const NOTIFY_KEY_REVOKED = 5;
export const NOTIFY_KEY_INVALIDATED = 6;
export const NOTIFY_KEY_SETATTR = 7; // owner, permissions, time-out, restrictions

/**
 * `struct watch_notification`. Its first word is two bit fields: `type` in the low 24 bits, `subtype` in the high 8.
 */
export const watch_notification = {
  size: 8,
  info: 4,
} as const;

/** `struct key_notification`. */
export const key_notification = {
  size: 16,
  key_id: 8,
  aux: 12,
} as const;

/** `struct watch_notification_removal`; `id` is a u64, of a key its serial number. */
export const watch_notification_removal = {
  size: 16,
  id: 8,
} as const;

/** `struct watch_notification_filter`. */
export const watch_notification_filter = {
  size: 8,
  nr_filters: 0, // 1 to 16
  __reserved: 4,
  filters: 8,
} as const;

/** `struct watch_notification_type_filter`. Of the eight words of `subtype_filter` the kernel reads the first. */
export const watch_notification_type_filter = {
  size: 44,
  type: 0,
  info_filter: 4,
  info_mask: 8,
  subtype_filter: 12,
} as const;
