/**
 * Signal numbers, from `<asm/signal.h>`.
 *
 * @module
 */

export const SIGINT = 2;
export const SIGTERM = 15;
