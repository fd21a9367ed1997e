/**
 * Error numbers, from `<asm-generic/errno-base.h>` and `<asm-generic/errno.h>`, which x86-64 and
 * arm64 share.
 *
 * @module
 */

// The numbers that code compares with by name.

export const EPERM = 1; // operation not permitted
export const ENOENT = 2; // no such file or directory
export const ESRCH = 3; // no such process
export const EINTR = 4; // interrupted by a signal
export const EIO = 5; // input/output error
export const EBADF = 9; // bad file descriptor
export const EAGAIN = 11; // try again; also EWOULDBLOCK
export const ENOMEM = 12; // out of memory
export const EACCES = 13; // permission denied
export const EBUSY = 16; // in use
export const EEXIST = 17; // exists already
export const EXDEV = 18; // across filesystems
export const ENODEV = 19; // no such device
export const ENOTDIR = 20; // not a directory
export const EISDIR = 21; // is a directory
export const EINVAL = 22; // invalid argument
export const ENFILE = 23; // too many open files in the system
export const EMFILE = 24; // too many open files in the process
export const ETXTBSY = 26; // text file busy
export const ENOSPC = 28; // no space left; watch or mark limit
export const EROFS = 30; // read-only filesystem
export const ENAMETOOLONG = 36; // file name too long
export const ENOSYS = 38; // no such system call
export const ENOTEMPTY = 39; // directory not empty
export const ELOOP = 40; // too many symbolic links
export const ENODATA = 61; // no such extended attribute
export const ENOPKG = 65; // not configured into the kernel
export const EOVERFLOW = 75; // value or buffer too small
export const EPROTONOSUPPORT = 93; // no such protocol in this kernel
export const EOPNOTSUPP = 95; // not supported here; libc's ENOTSUP
export const ENOBUFS = 105; // a socket's buffer overran
export const ETIMEDOUT = 110; // no answer in time
export const ECONNREFUSED = 111; // nobody listens
export const ESTALE = 116; // stale file handle
export const EDQUOT = 122; // quota exceeded
export const ENOKEY = 126; // no such key
export const EKEYEXPIRED = 127; // the key's time is over
export const EKEYREVOKED = 128; // the key is revoked

/**
 * Every error number of the two headers by its name, in their order. EWOULDBLOCK and EDEADLOCK are
 * second names of numbers that come before them: the first name of a number is the usual one.
 */
export const ERRNO: Readonly<Record<string, number>> = {
  EPERM,
  ENOENT,
  ESRCH,
  EINTR,
  EIO,
  ENXIO: 6,
  E2BIG: 7,
  ENOEXEC: 8,
  EBADF,
  ECHILD: 10,
  EAGAIN,
  ENOMEM,
  EACCES,
  EFAULT: 14,
  ENOTBLK: 15,
  EBUSY,
  EEXIST,
  EXDEV,
  ENODEV,
  ENOTDIR,
  EISDIR,
  EINVAL,
  ENFILE,
  EMFILE,
  ENOTTY: 25,
  ETXTBSY,
  EFBIG: 27,
  ENOSPC,
  ESPIPE: 29,
  EROFS,
  EMLINK: 31,
  EPIPE: 32,
  EDOM: 33,
  ERANGE: 34,
  EDEADLK: 35,
  ENAMETOOLONG,
  ENOLCK: 37,
  ENOSYS,
  ENOTEMPTY,
  ELOOP,
  EWOULDBLOCK: EAGAIN,
  ENOMSG: 42,
  EIDRM: 43,
  ECHRNG: 44,
  EL2NSYNC: 45,
  EL3HLT: 46,
  EL3RST: 47,
  ELNRNG: 48,
  EUNATCH: 49,
  ENOCSI: 50,
  EL2HLT: 51,
  EBADE: 52,
  EBADR: 53,
  EXFULL: 54,
  ENOANO: 55,
  EBADRQC: 56,
  EBADSLT: 57,
  EDEADLOCK: 35,
  EBFONT: 59,
  ENOSTR: 60,
  ENODATA,
  ETIME: 62,
  ENOSR: 63,
  ENONET: 64,
  ENOPKG,
  EREMOTE: 66,
  ENOLINK: 67,
  EADV: 68,
  ESRMNT: 69,
  ECOMM: 70,
  EPROTO: 71,
  EMULTIHOP: 72,
  EDOTDOT: 73,
  EBADMSG: 74,
  EOVERFLOW,
  ENOTUNIQ: 76,
  EBADFD: 77,
  EREMCHG: 78,
  ELIBACC: 79,
  ELIBBAD: 80,
  ELIBSCN: 81,
  ELIBMAX: 82,
  ELIBEXEC: 83,
  EILSEQ: 84,
  ERESTART: 85,
  ESTRPIPE: 86,
  EUSERS: 87,
  ENOTSOCK: 88,
  EDESTADDRREQ: 89,
  EMSGSIZE: 90,
  EPROTOTYPE: 91,
  ENOPROTOOPT: 92,
  EPROTONOSUPPORT,
  ESOCKTNOSUPPORT: 94,
  EOPNOTSUPP,
  EPFNOSUPPORT: 96,
  EAFNOSUPPORT: 97,
  EADDRINUSE: 98,
  EADDRNOTAVAIL: 99,
  ENETDOWN: 100,
  ENETUNREACH: 101,
  ENETRESET: 102,
  ECONNABORTED: 103,
  ECONNRESET: 104,
  ENOBUFS,
  EISCONN: 106,
  ENOTCONN: 107,
  ESHUTDOWN: 108,
  ETOOMANYREFS: 109,
  ETIMEDOUT,
  ECONNREFUSED,
  EHOSTDOWN: 112,
  EHOSTUNREACH: 113,
  EALREADY: 114,
  EINPROGRESS: 115,
  ESTALE,
  EUCLEAN: 117,
  ENOTNAM: 118,
  ENAVAIL: 119,
  EISNAM: 120,
  EREMOTEIO: 121,
  EDQUOT,
  ENOMEDIUM: 123,
  EMEDIUMTYPE: 124,
  ECANCELED: 125,
  ENOKEY,
  EKEYEXPIRED,
  EKEYREVOKED,
  EKEYREJECTED: 129,
  EOWNERDEAD: 130,
  ENOTRECOVERABLE: 131,
  ERFKILL: 132,
  EHWPOISON: 133,
};
