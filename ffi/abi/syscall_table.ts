/**
 * The system calls of each architecture. Made by `scripts/syscall_table.ts` from the kernel's headers.
 *
 * @module
 */

/** Names in the order of their numbers; a number stands before the one that has it, where they do not go on by one. */
export const SYSCALL_PARTS: Readonly<Record<string, string>> = {
  common: `
424 pidfd_send_signal io_uring_setup io_uring_enter io_uring_register open_tree move_mount
fsopen fsconfig fsmount fspick pidfd_open clone3 close_range openat2 pidfd_getfd faccessat2
process_madvise epoll_pwait2 mount_setattr quotactl_fd landlock_create_ruleset landlock_add_rule
landlock_restrict_self 448 process_mrelease futex_waitv set_mempolicy_home_node cachestat
fchmodat2 map_shadow_stack futex_wake futex_wait futex_requeue statmount listmount
lsm_get_self_attr lsm_set_self_attr lsm_list_modules mseal setxattrat getxattrat listxattrat
removexattrat open_tree_attr file_getattr file_setattr
`,
  classic: `
1 exit fork read write open close 8 creat link unlink execve chdir 14 mknod chmod 19 lseek
getpid mount 26 ptrace 29 pause 33 access nice 36 sync kill rename mkdir rmdir dup pipe times 45
brk 51 acct umount2 54 ioctl fcntl 57 setpgid 60 umask chroot ustat dup2 getppid getpgrp setsid
sigaction 72 sigsuspend sigpending sethostname setrlimit 77 getrusage gettimeofday settimeofday
83 symlink 85 readlink uselib swapon reboot 91 munmap truncate ftruncate fchmod 96 getpriority
setpriority 99 statfs fstatfs 103 syslog setitimer getitimer stat lstat fstat 111 vhangup 114
wait4 swapoff sysinfo 118 fsync sigreturn clone setdomainname uname 124 adjtimex mprotect
sigprocmask 128 init_module delete_module 131 quotactl getpgid fchdir bdflush sysfs personality
141 getdents 143 flock msync readv writev getsid fdatasync 150 mlock munlock mlockall munlockall
sched_setparam sched_getparam sched_setscheduler sched_getscheduler sched_yield
sched_get_priority_max sched_get_priority_min sched_rr_get_interval nanosleep mremap
`,
  time64: `
16 lchown 23 setuid getuid 46 setgid getgid 49 geteuid getegid 70 setreuid setregid 80 getgroups
setgroups 95 fchown 138 setfsuid setfsgid 164 setresuid getresuid 192 mmap2 truncate64
ftruncate64 stat64 lstat64 fstat64 403 clock_gettime64 clock_settime64 clock_adjtime64
clock_getres_time64 clock_nanosleep_time64 timer_gettime64 timer_settime64 timerfd_gettime64
timerfd_settime64 utimensat_time64 pselect6_time64 ppoll_time64 416 io_pgetevents_time64
recvmmsg_time64 mq_timedsend_time64 mq_timedreceive_time64 semtimedop_time64
rt_sigtimedwait_time64 futex_time64 sched_rr_get_interval_time64
`,
  generic: `
0 io_setup io_destroy io_submit io_cancel io_getevents setxattr lsetxattr fsetxattr getxattr
lgetxattr fgetxattr listxattr llistxattr flistxattr removexattr lremovexattr fremovexattr getcwd
lookup_dcookie eventfd2 epoll_create1 epoll_ctl epoll_pwait dup dup3 fcntl inotify_init1
inotify_add_watch inotify_rm_watch ioctl ioprio_set ioprio_get flock mknodat mkdirat unlinkat
symlinkat linkat 39 umount2 mount pivot_root nfsservctl statfs fstatfs truncate ftruncate
fallocate faccessat chdir fchdir chroot fchmod fchmodat fchownat fchown openat close vhangup
pipe2 quotactl getdents64 lseek read write readv writev pread64 pwrite64 preadv pwritev sendfile
pselect6 ppoll signalfd4 vmsplice splice tee readlinkat newfstatat fstat sync fsync fdatasync
sync_file_range timerfd_create timerfd_settime timerfd_gettime utimensat acct capget capset
personality exit exit_group waitid set_tid_address unshare futex set_robust_list get_robust_list
nanosleep getitimer setitimer kexec_load init_module delete_module timer_create timer_gettime
timer_getoverrun timer_settime timer_delete clock_settime clock_gettime clock_getres
clock_nanosleep syslog ptrace sched_setparam sched_setscheduler sched_getscheduler
sched_getparam sched_setaffinity sched_getaffinity sched_yield sched_get_priority_max
sched_get_priority_min sched_rr_get_interval restart_syscall kill tkill tgkill sigaltstack
rt_sigsuspend rt_sigaction rt_sigprocmask rt_sigpending rt_sigtimedwait rt_sigqueueinfo
rt_sigreturn setpriority getpriority reboot setregid setgid setreuid setuid setresuid getresuid
setresgid getresgid setfsuid setfsgid times setpgid getpgid getsid setsid getgroups setgroups
uname sethostname setdomainname 165 getrusage umask prctl getcpu gettimeofday settimeofday
adjtimex getpid getppid getuid geteuid getgid getegid gettid sysinfo mq_open mq_unlink
mq_timedsend mq_timedreceive mq_notify mq_getsetattr msgget msgctl msgrcv msgsnd semget semctl
semtimedop semop shmget shmctl shmat shmdt socket socketpair bind listen accept connect
getsockname getpeername sendto recvfrom setsockopt getsockopt shutdown sendmsg recvmsg readahead
brk munmap mremap add_key request_key keyctl clone execve mmap fadvise64 swapon swapoff mprotect
msync mlock munlock mlockall munlockall mincore madvise remap_file_pages mbind get_mempolicy
set_mempolicy migrate_pages move_pages rt_tgsigqueueinfo perf_event_open accept4 recvmmsg 260
wait4 prlimit64 fanotify_init fanotify_mark name_to_handle_at open_by_handle_at clock_adjtime
syncfs setns sendmmsg process_vm_readv process_vm_writev kcmp finit_module sched_setattr
sched_getattr renameat2 seccomp getrandom memfd_create bpf execveat userfaultfd membarrier
mlock2 copy_file_range preadv2 pwritev2 pkey_mprotect pkey_alloc pkey_free statx io_pgetevents
rseq kexec_file_load
`,
  x86: `
0 read write open close stat fstat lstat poll lseek mmap mprotect munmap brk 14 rt_sigprocmask
17 pread64 pwrite64 21 access pipe select sched_yield mremap msync mincore madvise shmget shmat
shmctl dup dup2 pause nanosleep getitimer alarm setitimer getpid sendfile socket connect accept
sendto 48 shutdown bind listen getsockname getpeername socketpair 56 clone fork vfork 60 exit
wait4 kill uname semget semop semctl shmdt msgget msgsnd msgrcv msgctl fcntl flock fsync
fdatasync truncate ftruncate getdents getcwd chdir fchdir rename mkdir rmdir creat link unlink
symlink readlink chmod fchmod chown fchown lchown umask gettimeofday getrlimit getrusage sysinfo
times 102 getuid syslog getgid setuid setgid geteuid getegid setpgid getppid getpgrp setsid
setreuid setregid getgroups setgroups setresuid getresuid setresgid getresgid getpgid setfsuid
setfsgid getsid capget capset 130 rt_sigsuspend 132 utime mknod 135 personality ustat statfs
fstatfs sysfs getpriority setpriority sched_setparam sched_getparam sched_setscheduler
sched_getscheduler sched_get_priority_max sched_get_priority_min sched_rr_get_interval mlock
munlock mlockall munlockall vhangup modify_ldt pivot_root 157 prctl arch_prctl adjtimex
setrlimit chroot sync acct settimeofday mount umount2 swapon swapoff reboot sethostname
setdomainname iopl ioperm 175 init_module delete_module 179 quotactl 181 getpmsg putpmsg
afs_syscall tuxcall security gettid readahead setxattr lsetxattr fsetxattr getxattr lgetxattr
fgetxattr listxattr llistxattr flistxattr removexattr lremovexattr fremovexattr tkill time futex
sched_setaffinity sched_getaffinity 207 io_destroy io_getevents 210 io_cancel 212 lookup_dcookie
epoll_create 216 remap_file_pages getdents64 set_tid_address restart_syscall semtimedop
fadvise64 223 timer_settime timer_gettime timer_getoverrun timer_delete clock_settime
clock_gettime clock_getres clock_nanosleep exit_group epoll_wait epoll_ctl tgkill utimes 237
mbind set_mempolicy get_mempolicy mq_open mq_unlink mq_timedsend mq_timedreceive 245
mq_getsetattr 248 add_key request_key keyctl ioprio_set ioprio_get inotify_init
inotify_add_watch inotify_rm_watch migrate_pages openat mkdirat mknodat fchownat futimesat
newfstatat unlinkat renameat linkat symlinkat readlinkat fchmodat faccessat pselect6 ppoll
unshare 275 splice tee sync_file_range 280 utimensat epoll_pwait signalfd timerfd_create eventfd
fallocate timerfd_settime timerfd_gettime accept4 signalfd4 eventfd2 epoll_create1 dup3 pipe2
inotify_init1 298 perf_event_open 300 fanotify_init fanotify_mark prlimit64 name_to_handle_at
open_by_handle_at clock_adjtime syncfs 308 setns getcpu 312 kcmp finit_module sched_setattr
sched_getattr renameat2 seccomp getrandom memfd_create kexec_file_load bpf 323 userfaultfd
membarrier mlock2 copy_file_range 329 pkey_mprotect pkey_alloc pkey_free statx io_pgetevents
rseq 447 memfd_secret
`,
  power: `
0 restart_syscall 7 waitpid 13 time 17 break oldstat 22 umount 25 stime 27 alarm oldfstat 30
utime stty gtty 35 ftime 44 prof 48 signal 53 lock 56 mpx 58 ulimit oldolduname 68 sgetmask
ssetmask 76 getrlimit 82 select 84 oldlstat 89 readdir mmap 98 profil 101 ioperm socketcall 109
olduname iopl 112 idle vm86 117 ipc 123 modify_ldt 127 create_module 130 get_kernel_syms 137
afs_syscall 166 query_module poll nfsservctl setresgid getresgid prctl rt_sigreturn rt_sigaction
rt_sigprocmask rt_sigpending rt_sigtimedwait rt_sigqueueinfo rt_sigsuspend pread64 pwrite64
chown getcwd capget capset sigaltstack sendfile getpmsg putpmsg vfork ugetrlimit readahead 198
pciconfig_read pciconfig_write pciconfig_iobase multiplexer getdents64 pivot_root 205 madvise
mincore gettid tkill setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr
llistxattr flistxattr removexattr lremovexattr fremovexattr futex sched_setaffinity
sched_getaffinity 225 tuxcall 227 io_setup io_destroy io_getevents io_submit io_cancel
set_tid_address fadvise64 exit_group lookup_dcookie epoll_create epoll_ctl epoll_wait
remap_file_pages timer_create timer_settime timer_gettime timer_getoverrun timer_delete
clock_settime clock_gettime clock_getres clock_nanosleep swapcontext tgkill utimes statfs64
fstatfs64 255 rtas sys_debug_setcontext 258 migrate_pages mbind get_mempolicy set_mempolicy
mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr kexec_load add_key
request_key keyctl waitid ioprio_set ioprio_get inotify_init inotify_add_watch inotify_rm_watch
spu_run spu_create pselect6 ppoll unshare splice tee vmsplice openat mkdirat mknodat fchownat
futimesat 292 unlinkat renameat linkat symlinkat readlinkat fchmodat faccessat get_robust_list
set_robust_list move_pages getcpu epoll_pwait utimensat signalfd timerfd_create eventfd
sync_file_range2 fallocate subpage_prot timerfd_settime timerfd_gettime signalfd4 eventfd2
epoll_create1 dup3 pipe2 inotify_init1 perf_event_open preadv pwritev rt_tgsigqueueinfo
fanotify_init fanotify_mark prlimit64 socket bind connect listen accept getsockname getpeername
socketpair send sendto recv recvfrom shutdown setsockopt getsockopt sendmsg recvmsg recvmmsg
accept4 name_to_handle_at open_by_handle_at clock_adjtime syncfs sendmmsg setns process_vm_readv
process_vm_writev finit_module kcmp sched_setattr sched_getattr renameat2 seccomp getrandom
memfd_create bpf execveat switch_endian userfaultfd membarrier 378 mlock2 copy_file_range
preadv2 pwritev2 kexec_file_load statx pkey_alloc pkey_free pkey_mprotect rseq io_pgetevents 393
semget semctl shmget shmctl shmat shmdt msgget msgsnd msgrcv msgctl
`,
  z: `
7 restart_syscall 22 umount 27 alarm 30 utime 48 signal 89 readdir mmap 102 socketcall 110
lookup_dcookie 112 idle 117 ipc 127 create_module 130 get_kernel_syms 137 afs_syscall 167
query_module poll nfsservctl 172 prctl rt_sigreturn rt_sigaction rt_sigprocmask rt_sigpending
rt_sigtimedwait rt_sigqueueinfo rt_sigsuspend pread64 pwrite64 183 getcwd capget capset
sigaltstack sendfile getpmsg putpmsg vfork 217 pivot_root mincore madvise getdents64 222
readahead 224 setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr
flistxattr removexattr lremovexattr fremovexattr gettid tkill futex sched_setaffinity
sched_getaffinity tgkill 243 io_setup io_destroy io_getevents io_submit io_cancel exit_group
epoll_create epoll_ctl epoll_wait set_tid_address fadvise64 timer_create timer_settime
timer_gettime timer_getoverrun timer_delete clock_settime clock_gettime clock_getres
clock_nanosleep 265 statfs64 fstatfs64 remap_file_pages mbind get_mempolicy set_mempolicy
mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr kexec_load add_key
request_key keyctl waitid ioprio_set ioprio_get inotify_init inotify_add_watch inotify_rm_watch
migrate_pages openat mkdirat mknodat fchownat futimesat 294 unlinkat renameat linkat symlinkat
readlinkat fchmodat faccessat pselect6 ppoll unshare set_robust_list get_robust_list splice
sync_file_range tee vmsplice move_pages getcpu epoll_pwait utimes fallocate utimensat signalfd
timerfd eventfd timerfd_create timerfd_settime timerfd_gettime signalfd4 eventfd2 inotify_init1
pipe2 dup3 epoll_create1 preadv pwritev rt_tgsigqueueinfo perf_event_open fanotify_init
fanotify_mark prlimit64 name_to_handle_at open_by_handle_at clock_adjtime syncfs setns
process_vm_readv process_vm_writev s390_runtime_instr kcmp finit_module sched_setattr
sched_getattr renameat2 seccomp getrandom memfd_create bpf s390_pci_mmio_write
s390_pci_mmio_read execveat userfaultfd membarrier recvmmsg sendmmsg socket socketpair bind
connect listen accept4 getsockopt setsockopt getsockname getpeername sendto sendmsg recvfrom
recvmsg shutdown mlock2 copy_file_range preadv2 pwritev2 s390_guarded_storage statx s390_sthyi
kexec_file_load io_pgetevents rseq pkey_mprotect pkey_alloc pkey_free 393 semget semctl shmget
shmctl shmat shmdt msgget msgsnd msgrcv msgctl
`,
  x86_64: `
13 rt_sigaction 15 rt_sigreturn ioctl 19 readv writev 45 recvfrom sendmsg recvmsg 54 setsockopt
getsockopt 59 execve 101 ptrace 127 rt_sigpending rt_sigtimedwait rt_sigqueueinfo 131
sigaltstack 134 uselib 174 create_module 177 get_kernel_syms query_module 180 nfsservctl 205
set_thread_area io_setup 209 io_submit 211 get_thread_area 214 epoll_ctl_old epoll_wait_old 222
timer_create 236 vserver 244 mq_notify 246 kexec_load waitid 273 set_robust_list get_robust_list
278 vmsplice move_pages 295 preadv pwritev rt_tgsigqueueinfo 299 recvmmsg 307 sendmmsg 310
process_vm_readv process_vm_writev 322 execveat 327 preadv2 pwritev2 335 uretprobe uprobe
`,
  x32: `
512 rt_sigaction rt_sigreturn ioctl readv writev recvfrom sendmsg recvmsg execve ptrace
rt_sigpending rt_sigtimedwait rt_sigqueueinfo sigaltstack timer_create mq_notify kexec_load
waitid set_robust_list get_robust_list vmsplice move_pages preadv pwritev rt_tgsigqueueinfo
recvmmsg sendmmsg process_vm_readv process_vm_writev setsockopt getsockopt io_setup io_submit
execveat preadv2 pwritev2
`,
  i386: `
0 restart_syscall 7 waitpid 13 time 17 break oldstat 22 umount 25 stime 27 alarm oldfstat 30
utime stty gtty 35 ftime 44 prof 48 signal 53 lock 56 mpx 58 ulimit oldolduname 68 sgetmask
ssetmask 76 getrlimit 82 select 84 oldlstat 89 readdir mmap 98 profil 101 ioperm socketcall 109
olduname iopl 112 idle vm86old 117 ipc 123 modify_ldt 127 create_module 130 get_kernel_syms 137
afs_syscall 166 vm86 query_module poll nfsservctl setresgid getresgid prctl rt_sigreturn
rt_sigaction rt_sigprocmask rt_sigpending rt_sigtimedwait rt_sigqueueinfo rt_sigsuspend pread64
pwrite64 chown getcwd capget capset sigaltstack sendfile getpmsg putpmsg vfork ugetrlimit 198
lchown32 getuid32 getgid32 geteuid32 getegid32 setreuid32 setregid32 getgroups32 setgroups32
fchown32 setresuid32 getresuid32 setresgid32 getresgid32 chown32 setuid32 setgid32 setfsuid32
setfsgid32 pivot_root mincore madvise getdents64 fcntl64 224 gettid readahead setxattr lsetxattr
fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr removexattr lremovexattr
fremovexattr tkill sendfile64 futex sched_setaffinity sched_getaffinity set_thread_area
get_thread_area io_setup io_destroy io_getevents io_submit io_cancel fadvise64 252 exit_group
lookup_dcookie epoll_create epoll_ctl epoll_wait remap_file_pages set_tid_address timer_create
timer_settime timer_gettime timer_getoverrun timer_delete clock_settime clock_gettime
clock_getres clock_nanosleep statfs64 fstatfs64 tgkill utimes fadvise64_64 vserver mbind
get_mempolicy set_mempolicy mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify
mq_getsetattr kexec_load waitid 286 add_key request_key keyctl ioprio_set ioprio_get
inotify_init inotify_add_watch inotify_rm_watch migrate_pages openat mkdirat mknodat fchownat
futimesat fstatat64 unlinkat renameat linkat symlinkat readlinkat fchmodat faccessat pselect6
ppoll unshare set_robust_list get_robust_list splice sync_file_range tee vmsplice move_pages
getcpu epoll_pwait utimensat signalfd timerfd_create eventfd fallocate timerfd_settime
timerfd_gettime signalfd4 eventfd2 epoll_create1 dup3 pipe2 inotify_init1 preadv pwritev
rt_tgsigqueueinfo perf_event_open recvmmsg fanotify_init fanotify_mark prlimit64
name_to_handle_at open_by_handle_at clock_adjtime syncfs sendmmsg setns process_vm_readv
process_vm_writev kcmp finit_module sched_setattr sched_getattr renameat2 seccomp getrandom
memfd_create bpf execveat socket socketpair bind connect listen accept4 getsockopt setsockopt
getsockname getpeername sendto sendmsg recvfrom recvmsg shutdown userfaultfd membarrier mlock2
copy_file_range preadv2 pwritev2 pkey_mprotect pkey_alloc pkey_free statx arch_prctl
io_pgetevents rseq 393 semget semctl shmget shmctl shmat shmdt msgget msgsnd msgrcv msgctl 447
memfd_secret
`,
  aarch64: `
38 renameat 163 getrlimit setrlimit 447 memfd_secret
`,
  riscv64: `
163 getrlimit setrlimit 258 riscv_hwprobe riscv_flush_icache 447 memfd_secret
`,
  arm: `
0 restart_syscall 168 poll nfsservctl setresgid getresgid prctl rt_sigreturn rt_sigaction
rt_sigprocmask rt_sigpending rt_sigtimedwait rt_sigqueueinfo rt_sigsuspend pread64 pwrite64
chown getcwd capget capset sigaltstack sendfile 190 vfork ugetrlimit 198 lchown32 getuid32
getgid32 geteuid32 getegid32 setreuid32 setregid32 getgroups32 setgroups32 fchown32 setresuid32
getresuid32 setresgid32 getresgid32 chown32 setuid32 setgid32 setfsuid32 setfsgid32 getdents64
pivot_root mincore madvise fcntl64 224 gettid readahead setxattr lsetxattr fsetxattr getxattr
lgetxattr fgetxattr listxattr llistxattr flistxattr removexattr lremovexattr fremovexattr tkill
sendfile64 futex sched_setaffinity sched_getaffinity io_setup io_destroy io_getevents io_submit
io_cancel exit_group lookup_dcookie epoll_create epoll_ctl epoll_wait remap_file_pages 256
set_tid_address timer_create timer_settime timer_gettime timer_getoverrun timer_delete
clock_settime clock_gettime clock_getres clock_nanosleep statfs64 fstatfs64 tgkill utimes
arm_fadvise64_64 pciconfig_iobase pciconfig_read pciconfig_write mq_open mq_unlink mq_timedsend
mq_timedreceive mq_notify mq_getsetattr waitid socket bind connect listen accept getsockname
getpeername socketpair send sendto recv recvfrom shutdown setsockopt getsockopt sendmsg recvmsg
semop semget semctl msgsnd msgrcv msgget msgctl shmat shmdt shmget shmctl add_key request_key
keyctl semtimedop vserver ioprio_set ioprio_get inotify_init inotify_add_watch inotify_rm_watch
mbind get_mempolicy set_mempolicy openat mkdirat mknodat fchownat futimesat fstatat64 unlinkat
renameat linkat symlinkat readlinkat fchmodat faccessat pselect6 ppoll unshare set_robust_list
get_robust_list splice sync_file_range2 tee vmsplice move_pages getcpu epoll_pwait kexec_load
utimensat signalfd timerfd_create eventfd fallocate timerfd_settime timerfd_gettime signalfd4
eventfd2 epoll_create1 dup3 pipe2 inotify_init1 preadv pwritev rt_tgsigqueueinfo perf_event_open
recvmmsg accept4 fanotify_init fanotify_mark prlimit64 name_to_handle_at open_by_handle_at
clock_adjtime syncfs sendmmsg setns process_vm_readv process_vm_writev kcmp finit_module
sched_setattr sched_getattr renameat2 seccomp getrandom memfd_create bpf execveat userfaultfd
membarrier mlock2 copy_file_range preadv2 pwritev2 pkey_mprotect pkey_alloc pkey_free statx rseq
io_pgetevents migrate_pages kexec_file_load
`,
  ppc64: `
16 lchown 23 setuid getuid 46 setgid getgid 49 geteuid getegid 70 setreuid setregid 80 getgroups
setgroups 95 fchown 138 setfsuid setfsgid 164 setresuid getresuid 291 newfstatat 392 semtimedop
`,
  ppc: `
204 fcntl64 226 sendfile64 254 fadvise64_64 291 fstatat64
`,
  s390x: `
142 select 191 getrlimit 198 lchown getuid getgid geteuid getegid setreuid setregid getgroups
setgroups fchown setresuid getresuid setresgid getresgid chown setuid setgid setfsuid setfsgid
293 newfstatat 392 semtimedop
`,
  s390: `
13 time 25 stime 76 getrlimit 101 ioperm 170 setresgid getresgid 182 chown 191 ugetrlimit 198
lchown32 getuid32 getgid32 geteuid32 getegid32 setreuid32 setregid32 getgroups32 setgroups32
fchown32 setresuid32 getresuid32 setresgid32 getresgid32 chown32 setuid32 setgid32 setfsuid32
setfsgid32 221 fcntl64 223 sendfile64 264 fadvise64_64 293 fstatat64
`,
};

/** The parts that an architecture's table is made of. */
export const SYSCALL_TABLES: Readonly<Record<string, readonly string[]>> = {
  x86_64: ["common", "x86", "x86_64"],
  x32: ["common", "x86", "x32"],
  i386: ["common", "classic", "time64", "i386"],
  aarch64: ["common", "generic", "aarch64"],
  riscv64: ["common", "generic", "riscv64"],
  loongarch64: ["common", "generic"],
  arm: ["common", "classic", "time64", "arm"],
  ppc64: ["common", "classic", "power", "ppc64"],
  ppc: ["common", "classic", "time64", "power", "ppc"],
  s390x: ["common", "classic", "z", "s390x"],
  s390: ["common", "classic", "time64", "z", "s390"],
};
