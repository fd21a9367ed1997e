/**
 * Kernel AIO, as far as it is needed to poll an fd through it: io_submit(2) with IOCB_CMD_POLL.
 * From `<linux/aio_abi.h>`. The offsets are those of a little-endian machine.
 *
 * @module
 */

export const IOCB_CMD_POLL = 5; // iocb.aio_lio_opcode: poll(2) events in aio_buf, 4.18
export const IOCB_FLAG_RESFD = 0x1; // iocb.aio_flags: signal the eventfd aio_resfd, 2.6.22

/**
 * `struct iocb` (`<linux/aio_abi.h>`), a request. u64 are `aio_data`, `aio_buf`, `aio_nbytes` and
 * `aio_reserved2`, s64 is `aio_offset`; `aio_lio_opcode` and `aio_reqprio` are 16 bits wide, the
 * others 32.
 */
export const iocb = {
  size: 64,
  aio_data: 0,
  aio_key: 8,
  aio_rw_flags: 12,
  aio_lio_opcode: 16,
  aio_reqprio: 18,
  aio_fildes: 20,
  aio_buf: 24,
  aio_nbytes: 32,
  aio_offset: 40,
  aio_reserved2: 48,
  aio_flags: 56,
  aio_resfd: 60,
} as const;

/**
 * `struct io_event` (`<linux/aio_abi.h>`), a completion. `data` is the request's `aio_data` and
 * `obj` its address, both u64; `res` and `res2` are s64.
 */
export const io_event = {
  size: 32,
  data: 0,
  obj: 8,
  res: 16,
  res2: 24,
} as const;
