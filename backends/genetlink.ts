/**
 * Generic netlink: attributes, and how a family of messages is found by its name; pure.
 *
 * @module
 */

import {
  CTRL_ATTR_FAMILY_ID,
  CTRL_ATTR_FAMILY_NAME,
  CTRL_ATTR_MCAST_GROUPS,
  CTRL_ATTR_MCAST_GRP_ID,
  CTRL_ATTR_MCAST_GRP_NAME,
  CTRL_CMD_GETFAMILY,
  CTRL_CMD_NEWFAMILY,
  GENL_ID_CTRL,
  genlmsghdr,
} from "../ffi/abi/genetlink.ts";
import {
  NLA_ALIGNTO,
  NLA_F_NESTED,
  NLA_F_NET_BYTEORDER,
  nlattr,
  NLM_F_REQUEST,
} from "../ffi/abi/netlink.ts";
import { cString, decodeText } from "../ffi/text.ts";
import { encodeMessage } from "./netlink.ts";

/** An attribute: its type without flags, and what it holds. */
export interface NetlinkAttribute {
  readonly type: number;
  readonly value: Uint8Array<ArrayBuffer>;
}

/** The attributes in `bytes`, up to one that does not fit. */
export function attributesOf(bytes: Uint8Array<ArrayBuffer>): NetlinkAttribute[] {
  const view = viewOf(bytes);
  const attributes: NetlinkAttribute[] = [];
  for (let at = 0; at + nlattr.size <= bytes.length;) {
    const length = view.getUint16(at + nlattr.nla_len, true);
    if (length < nlattr.size || at + length > bytes.length) break;
    attributes.push({
      type: view.getUint16(at + nlattr.nla_type, true) & ~(NLA_F_NESTED | NLA_F_NET_BYTEORDER),
      value: bytes.subarray(at + nlattr.size, at + length),
    });
    at += Math.ceil(length / NLA_ALIGNTO) * NLA_ALIGNTO;
  }
  return attributes;
}

/** What the attribute of that type holds; undefined where there is none. */
export function attribute(
  attributes: readonly NetlinkAttribute[],
  type: number,
): Uint8Array<ArrayBuffer> | undefined {
  return attributes.find((one) => one.type === type)?.value;
}

/** The number in an attribute of 2, 4 or 8 bytes, exact up to 2⁵³; undefined for another one. */
export function numberIn(value: Uint8Array<ArrayBuffer> | undefined): number | undefined {
  if (value === undefined) return undefined;
  switch (value.length) {
    case 2:
      return viewOf(value).getUint16(0, true);
    case 4:
      return viewOf(value).getUint32(0, true);
    case 8:
      return Number(viewOf(value).getBigUint64(0, true));
  }
  return undefined;
}

/** A message of generic netlink. */
export interface GenericMessage {
  readonly command: number;
  readonly attributes: readonly NetlinkAttribute[];
}

/** What the payload of a message of a family says; undefined where it is too short. */
export function decodeGeneric(payload: Uint8Array<ArrayBuffer>): GenericMessage | undefined {
  if (payload.length < genlmsghdr.size) return undefined;
  return {
    command: payload[genlmsghdr.cmd]!,
    attributes: attributesOf(payload.subarray(genlmsghdr.size)),
  };
}

/** The request for the number of a family. */
export function encodeFamilyRequest(name: string, sequence: number): Uint8Array<ArrayBuffer> {
  const text = cString(name);
  const payload = new Uint8Array(genlmsghdr.size + nlattr.size + text.length);
  const view = viewOf(payload);
  payload[genlmsghdr.cmd] = CTRL_CMD_GETFAMILY;
  payload[genlmsghdr.version] = 1;
  view.setUint16(genlmsghdr.size + nlattr.nla_len, nlattr.size + text.length, true);
  view.setUint16(genlmsghdr.size + nlattr.nla_type, CTRL_ATTR_FAMILY_NAME, true);
  payload.set(text, genlmsghdr.size + nlattr.size);
  return encodeMessage({ type: GENL_ID_CTRL, flags: NLM_F_REQUEST, sequence, payload });
}

/** A family of messages: the type of its messages, and its multicast groups by name. */
export interface GenericFamily {
  readonly id: number;
  readonly groups: ReadonlyMap<string, number>;
}

/** The answer to {@linkcode encodeFamilyRequest}; undefined for what is none. */
export function decodeFamily(payload: Uint8Array<ArrayBuffer>): GenericFamily | undefined {
  const message = decodeGeneric(payload);
  if (message?.command !== CTRL_CMD_NEWFAMILY) return undefined;
  const id = numberIn(attribute(message.attributes, CTRL_ATTR_FAMILY_ID));
  if (id === undefined) return undefined;
  const groups = new Map<string, number>();
  const list = attribute(message.attributes, CTRL_ATTR_MCAST_GROUPS);
  for (const { value } of list === undefined ? [] : attributesOf(list)) {
    const group = attributesOf(value);
    const name = attribute(group, CTRL_ATTR_MCAST_GRP_NAME);
    const number = numberIn(attribute(group, CTRL_ATTR_MCAST_GRP_ID));
    if (name === undefined || number === undefined) continue;
    groups.set(decodeText(name.subarray(0, -1)), number);
  }
  return { id, groups };
}

function viewOf(bytes: Uint8Array<ArrayBuffer>): DataView<ArrayBuffer> {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
