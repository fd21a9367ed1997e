/**
 * posix_spawn(3), from `<spawn.h>`.
 *
 * @module
 */

export const POSIX_SPAWN_SETSID = 0x80; // a session of its own; glibc 2.26, musl 1.1.17

/** `posix_spawn_file_actions_t` and `posix_spawnattr_t` are libc's own: no more than 80 and 336 bytes in glibc and musl. */
export const SPAWN_STATE_SIZE = 512;
