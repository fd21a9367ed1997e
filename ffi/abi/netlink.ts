/**
 * Constants and layouts of netlink(7), from `<linux/netlink.h>`: what audit and generic netlink use.
 *
 * @module
 */

// Protocols: the third argument of socket(2).

export const NETLINK_AUDIT = 9;
export const NETLINK_GENERIC = 16;

// Flags of a message: `nlmsghdr.nlmsg_flags`.

export const NLM_F_REQUEST = 0x1;
export const NLM_F_MULTI = 0x2; // one of several, up to NLMSG_DONE
export const NLM_F_ACK = 0x4; // asks for an NLMSG_ERROR also where all is well

// Types of messages that all protocols share: `nlmsghdr.nlmsg_type`.

export const NLMSG_ERROR = 2; // an answer; `nlmsgerr.error` is 0 where all is well
export const NLMSG_DONE = 3; // the end of several

// Options of SOL_NETLINK.

export const NETLINK_ADD_MEMBERSHIP = 1; // of a multicast group, by its number
export const NETLINK_DROP_MEMBERSHIP = 2;
export const NETLINK_CAP_ACK = 10; // an answer does not repeat the request, 4.3

/** `struct sockaddr_nl` (`<linux/netlink.h>`). `nl_family` is 16 bits wide; `nl_pid` is 0 for the kernel. */
export const sockaddr_nl = {
  size: 12,
  nl_family: 0,
  nl_pad: 2,
  nl_pid: 4,
  nl_groups: 8,
} as const;

/** `struct nlmsghdr` (`<linux/netlink.h>`), in the byte order of the machine. Type and flags are 16 bits wide. */
export const nlmsghdr = {
  size: 16,
  nlmsg_len: 0,
  nlmsg_type: 4,
  nlmsg_flags: 6,
  nlmsg_seq: 8,
  nlmsg_pid: 12,
} as const;

/** `struct nlmsgerr` (`<linux/netlink.h>`), what follows the header of an NLMSG_ERROR. `error` is a negative errno. */
export const nlmsgerr = {
  size: 20,
  error: 0,
  msg: 4,
} as const;

/** `struct nlattr` (`<linux/netlink.h>`), before each attribute. Both are 16 bits wide; `nla_len` counts this header. */
export const nlattr = {
  size: 4,
  nla_len: 0,
  nla_type: 2,
} as const;

export const NLA_F_NESTED = 0x8000; // in `nla_type`: it has attributes within
export const NLA_F_NET_BYTEORDER = 0x4000;
export const NLA_ALIGNTO = 4; // where the next attribute begins
