/**
 * The capabilities of an executable as text, from the value of their extended attribute.
 *
 * @module
 */

import {
  CAPABILITIES,
  VFS_CAP_FLAGS_EFFECTIVE,
  VFS_CAP_REVISION_1,
  VFS_CAP_REVISION_2,
  VFS_CAP_REVISION_3,
  VFS_CAP_REVISION_MASK,
  vfs_ns_cap_data,
} from "../ffi/abi/capability.ts";

/** How long a value of each version is. */
const LENGTHS: Readonly<Record<number, number>> = {
  [VFS_CAP_REVISION_1]: 12,
  [VFS_CAP_REVISION_2]: 20,
  [VFS_CAP_REVISION_3]: 24,
};

const NAMES = Object.entries(CAPABILITIES).map(([name, number]) =>
  [name.toLowerCase(), number] as const
);

/**
 * Capabilities as getcap(8) and setcap(8) spell them: `cap_net_raw=ep`, and ` [rootid=N]` behind those of a user
 * namespace; undefined for what are none.
 */
export function fileCapabilities(value: Uint8Array): string | undefined {
  if (value.length < vfs_ns_cap_data.data) return undefined;
  const view = new DataView(value.buffer, value.byteOffset, value.length);
  const magic = view.getUint32(vfs_ns_cap_data.magic_etc, true);
  const version = (magic & VFS_CAP_REVISION_MASK) >>> 0;
  if (value.length !== LENGTHS[version]) return undefined;
  const word = (at: number) =>
    version === VFS_CAP_REVISION_1 && at >= 8
      ? 0n
      : BigInt(view.getUint32(vfs_ns_cap_data.data + at, true));
  const permitted = word(0) | (word(8) << 32n);
  const inheritable = word(4) | (word(12) << 32n);
  const isEffective = (magic & VFS_CAP_FLAGS_EFFECTIVE) !== 0;
  const text = clauses(permitted, inheritable, isEffective);
  const root = version === VFS_CAP_REVISION_3 ? view.getUint32(vfs_ns_cap_data.rootid, true) : 0;
  return root === 0 ? text : `${text} [rootid=${root}]`;
}

function clauses(permitted: bigint, inheritable: bigint, isEffective: boolean): string {
  const groups = new Map<string, string[]>();
  const count = Math.max(
    NAMES.length,
    permitted.toString(2).length,
    inheritable.toString(2).length,
  );
  for (let number = 0; number < count; number++) {
    const isPermitted = (permitted >> BigInt(number) & 1n) !== 0n;
    const isInheritable = (inheritable >> BigInt(number) & 1n) !== 0n;
    if (!isPermitted && !isInheritable) continue;
    const letters = (isEffective ? "e" : "") + (isInheritable ? "i" : "") +
      (isPermitted ? "p" : "");
    const name = NAMES.find(([, known]) => known === number)?.[0] ?? String(number);
    groups.set(letters, [...groups.get(letters) ?? [], name]);
  }
  const all = [...groups].map(([letters, names]) => [letters, names] as const);
  if (all.length === 0) return "=";
  return all.map(([letters, names], at) =>
    `${names.length >= NAMES.length ? "" : names.join(",")}${at === 0 ? "=" : "+"}${letters}`
  ).join(" ");
}
