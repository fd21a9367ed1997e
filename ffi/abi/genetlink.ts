/**
 * Generic netlink, from `<linux/genetlink.h>`: how a family is found by its name, and its multicast groups.
 *
 * @module
 */

/** `struct genlmsghdr` (`<linux/genetlink.h>`), what follows the header of a message. `cmd` and `version` are a byte each. */
export const genlmsghdr = {
  size: 4,
  cmd: 0,
  version: 1,
  reserved: 2,
} as const;

// The family that knows the others.

export const GENL_ID_CTRL = 0x10; // its `nlmsghdr.nlmsg_type`
export const CTRL_CMD_NEWFAMILY = 1; // the answer
export const CTRL_CMD_GETFAMILY = 3;

// Attributes of both.

export const CTRL_ATTR_FAMILY_ID = 1; // u16
export const CTRL_ATTR_FAMILY_NAME = 2; // with NUL
export const CTRL_ATTR_MCAST_GROUPS = 7; // a list of attributes, each a list of the next two

export const CTRL_ATTR_MCAST_GRP_NAME = 1; // with NUL
export const CTRL_ATTR_MCAST_GRP_ID = 2; // u32
