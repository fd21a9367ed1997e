/**
 * Signal numbers, from `<asm/signal.h>`.
 *
 * @module
 */

export const SIGHUP = 1;
export const SIGINT = 2;
export const SIGTERM = 15;
