/**
 * The architectures that `AUDIT_ARCH_*` of `<linux/audit.h>` stands for.
 *
 * @module
 */

/** An architecture as audit records and rules name it. */
export interface AuditArch {
  /** `uname -m`: `"x86_64"`. */
  readonly name: string;
  /** `AUDIT_ARCH_*`: the ELF machine, 0x80000000 where it has 64 bits, 0x40000000 where it is little-endian. */
  readonly value: number;
  /** Which of the tables is its own; absent where there is none. */
  readonly table?: string;
}

/** In the order of their values. */
export const AUDIT_ARCHES: readonly AuditArch[] = [
  { name: "parisc", value: 0x0000000f },
  { name: "m68k", value: 0x00000004 },
  { name: "mips", value: 0x00000008 },
  { name: "ppc", value: 0x00000014, table: "ppc" },
  { name: "s390", value: 0x00000016, table: "s390" },
  { name: "armeb", value: 0x00000028, table: "arm" },
  { name: "i386", value: 0x40000003, table: "i386" },
  { name: "mipsel", value: 0x40000008 },
  { name: "arm", value: 0x40000028, table: "arm" },
  { name: "sh", value: 0x4000002a },
  { name: "riscv32", value: 0x400000f3 },
  { name: "loongarch32", value: 0x40000102 },
  { name: "mips64", value: 0x80000008 },
  { name: "ppc64", value: 0x80000015, table: "ppc64" },
  { name: "s390x", value: 0x80000016, table: "s390x" },
  { name: "sparc64", value: 0x8000002b },
  { name: "x86_64", value: 0xc000003e, table: "x86_64" },
  { name: "mips64el", value: 0xc0000008 },
  { name: "ppc64le", value: 0xc0000015, table: "ppc64" },
  { name: "alpha", value: 0xc0009026 },
  { name: "aarch64", value: 0xc00000b7, table: "aarch64" },
  { name: "riscv64", value: 0xc00000f3, table: "riscv64" },
  { name: "loongarch64", value: 0xc0000102, table: "loongarch64" },
];

const BY_VALUE = new Map(AUDIT_ARCHES.map((arch) => [arch.value, arch]));
const BY_NAME = new Map(AUDIT_ARCHES.map((arch) => [arch.name, arch]));

/** The architecture of an `arch=` field; undefined for one that this version does not know. */
export function auditArch(value: number): AuditArch | undefined {
  return BY_VALUE.get(value);
}

/** The architecture of a name as `uname -m` gives it. */
export function auditArchNamed(name: string): AuditArch | undefined {
  return BY_NAME.get(name);
}
