/**
 * Directory entries as getdents64(2) returns them: the layout from the kernel's own
 * `include/linux/dirent.h`, the types from `<dirent.h>`.
 *
 * @module
 */

// Types of an entry: `d_type`.

export const DT_UNKNOWN = 0; // the filesystem does not tell: use statx(2)
export const DT_FIFO = 1;
export const DT_CHR = 2;
export const DT_DIR = 4;
export const DT_BLK = 6;
export const DT_REG = 8;
export const DT_LNK = 10;
export const DT_SOCK = 12;
export const DT_WHT = 14; // whiteout

/**
 * `struct linux_dirent64` (kernel `include/linux/dirent.h`). `d_ino` is a u64, `d_off` an s64,
 * `d_reclen` a u16, `d_type` a u8; `d_name` ends with a NUL. `size` counts padding at the end of
 * the struct, where the name already starts: take the name from `d_name`, the next entry from
 * `d_reclen`.
 */
export const linux_dirent64 = {
  size: 24,
  d_ino: 0,
  d_off: 8,
  d_reclen: 16,
  d_type: 18,
  d_name: 19,
} as const;
