/**
 * Requests of ioctl(2). From `<asm-generic/ioctls.h>`.
 *
 * @module
 */

export const FIONREAD = 0x541b; // how many bytes are queued
