/**
 * What auditd's dispatcher sends to its plugins and its unix socket, from `<libaudit.h>` of audit 3.0.9.
 *
 * @module
 */

/** Version 0 of the frames: the text begins with `audit(`, and the header has the type. */
export const AUDISP_PROTOCOL_VER = 0;
/** Version 1: the text is a line of a log. */
export const AUDISP_PROTOCOL_VER2 = 1;

/** The longest text, and the room that the dispatcher gives to each. */
export const MAX_AUDIT_MESSAGE_LENGTH = 8970;

/** `struct audit_dispatcher_header`: four u32. Its member `size`, the bytes of the text, is `data_size` here. */
export const dispatcher_header = {
  size: 16,
  ver: 0,
  hlen: 4,
  type: 8,
  data_size: 12,
} as const;
