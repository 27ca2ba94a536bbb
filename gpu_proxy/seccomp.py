# SPDX-License-Identifier: Apache-2.0
"""Which system calls a process of a zone may make.

Three profiles: `worker-stub` for the software GPU, `worker-real` for the driver's library, and
`compiler` for the helper that compiles kernels. What is in no list kills the process, except in
`worker-real`: there it fails with EPERM, because the driver's library tries more than it needs.
What attackers want and no program tries by accident kills in every profile.
"""

from __future__ import annotations

import errno
import os

from gpu_proxy import bpf
from gpu_proxy.bpf import ALLOW, KILL_PROCESS, Always, Match, Rule
from gpu_proxy.syscalls import NUMBERS

PROFILES = ("worker-stub", "worker-real", "compiler")
DENY = bpf.errno_action(errno.EPERM)
MISSING = bpf.errno_action(errno.ENOSYS)


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


COMMON = _names("""
read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 close close_range fstat
newfstatat stat lstat statx statfs fstatfs lseek mmap mprotect munmap mremap madvise brk msync
mincore mlock mlock2 munlock pkey_alloc pkey_free pkey_mprotect rt_sigaction rt_sigprocmask
rt_sigreturn sigaltstack rt_sigpending rt_sigtimedwait rt_sigsuspend pause poll ppoll select
pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd
eventfd2 pipe pipe2 timerfd_create timerfd_settime timerfd_gettime timer_create timer_settime
timer_gettime timer_delete timer_getoverrun alarm getitimer setitimer futex futex_waitv
futex_wake futex_wait futex_requeue mseal set_robust_list get_robust_list rseq set_tid_address
membarrier sched_yield sched_getaffinity sched_setaffinity sched_getparam sched_getscheduler
sched_get_priority_max sched_get_priority_min gettid getpid getppid getuid geteuid getgid
getegid getresuid getresgid getgroups getpgrp getpgid getsid getpriority uname sysinfo getrusage
getrlimit getcpu times time gettimeofday clock_gettime clock_getres clock_nanosleep nanosleep
getrandom access faccessat faccessat2 readlink readlinkat getdents64 getcwd fadvise64 flock
sendmsg recvmsg sendto recvfrom getsockopt getsockname getpeername shutdown memfd_create
ftruncate fallocate dup dup2 dup3 get_mempolicy arch_prctl exit exit_group restart_syscall
""")

# Harmless to try, refused: a library that probes for these goes on without.
DENIED = _names("""
socket socketpair connect bind listen accept accept4 setsockopt fork vfork wait4 waitid kill
tkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_open creat unlink unlinkat rename renameat
renameat2 mkdir mkdirat rmdir link linkat symlink symlinkat chmod fchmod fchmodat chown fchown
lchown fchownat truncate utimensat mknod mknodat fsync fdatasync umask setpgid setsid setrlimit
setpriority sched_setscheduler sched_setparam mbind set_mempolicy migrate_pages move_pages
inotify_init inotify_init1 io_uring_setup userfaultfd shmget shmat shmctl semget msgget
personality mlockall munlockall chdir fchdir sync_file_range copy_file_range sendfile splice
process_madvise map_shadow_stack cachestat getxattr lgetxattr fgetxattr listxattr
""")

DEADLY = _names("""
execve execveat ptrace process_vm_readv process_vm_writev pidfd_getfd pidfd_send_signal setuid
setgid setresuid setresgid setgroups capset unshare setns mount umount2 chroot pivot_root bpf
perf_event_open keyctl add_key request_key init_module finit_module delete_module kexec_load
reboot swapon iopl ioperm acct settimeofday clock_settime
""")

COMPILER_EXTRA = _names("""
fork vfork wait4 waitid kill tgkill pidfd_open socketpair unlink unlinkat rename renameat
renameat2 mkdir mkdirat rmdir link linkat chmod fchmod fchmodat truncate utimensat fsync
fdatasync umask setpgid setrlimit
""")

CLONE_THREAD = 0x00000100 | 0x00000800 | 0x00010000  # VM, SIGHAND, THREAD
CLONE_NEW_ANY = 0x7E000000 | 0x00020000 | 0x00000080  # all namespaces: IPC to IO and NS, time
OPEN_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
FCNTL_COMMANDS = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1031, 1032, 1033, 1034)
IOCTL_PLAIN = (0x5401, 0x541B, 0x5421, 0x5450, 0x5451)  # TCGETS, FIONREAD, FIONBIO, FI(ON)CLEX
IOCTL_XEN = (0x4500, 0x4700, 0x5000)  # the types of evtchn, gntdev and privcmd
# A worker may ring a doorbell between domains. It may map and bind nothing: the broker does.
EVENT_CHANNEL_NOTIFY = 0x44504
PRCTL_OPTIONS = (3, 15, 16, 23, 29, 30, 0x53564D41)  # names, slack, reading; PR_SET_VMA
PR_SET_PDEATHSIG = 1


def _looked_at(pid: int) -> dict[str, Rule]:
    """Rules that look at an argument, for a process whose own id is `pid`."""
    return {
        "clone": Match(0, (CLONE_THREAD,), ALLOW, DENY, mask=CLONE_THREAD | CLONE_NEW_ANY),
        "clone3": Always(MISSING),  # Its flags lie in memory; the C library falls back to clone.
        "openat2": Always(MISSING),
        "open": Match(1, (0,), ALLOW, DENY, mask=OPEN_WRITES),
        "openat": Match(2, (0,), ALLOW, DENY, mask=OPEN_WRITES),
        "fcntl": Match(1, FCNTL_COMMANDS, ALLOW, DENY),
        "ioctl": Match(1, (*IOCTL_PLAIN, EVENT_CHANNEL_NOTIFY), ALLOW, DENY),
        "prctl": Match(0, PRCTL_OPTIONS, ALLOW, DENY),
        "prlimit64": Match(0, (0, pid), ALLOW, DENY),
        "tgkill": Match(0, (pid,), ALLOW, DENY),
        "kill": Match(0, (pid,), ALLOW, DENY),
    }


def _for_profile(profile: str) -> dict[str, Rule]:
    if profile == "worker-real":
        return {
            # Landlock and the file's mode decide which device may be opened for writing.
            "openat": Match(2, (0,), ALLOW, DENY, mask=os.O_CREAT | os.O_TRUNC | os.O_APPEND),
            "open": Match(1, (0,), ALLOW, DENY, mask=os.O_CREAT | os.O_TRUNC | os.O_APPEND),
            "ioctl": Match(
                1, IOCTL_XEN, DENY, ALLOW, mask=0xFF00, exceptions=(EVENT_CHANNEL_NOTIFY,)
            ),
        }
    if profile == "compiler":
        # It has a process namespace of its own, so signals reach nobody else.
        return {
            **{name: Always(ALLOW) for name in COMPILER_EXTRA},
            "clone": Match(0, (0,), ALLOW, DENY, mask=CLONE_NEW_ANY),
            "open": Always(ALLOW),
            "openat": Always(ALLOW),
            "prctl": Match(0, (*PRCTL_OPTIONS, PR_SET_PDEATHSIG), ALLOW, DENY),
        }
    return {}


def rules(profile: str, pid: int) -> dict[str, Rule]:
    """Return the rules of a profile by name of the call."""
    if profile not in PROFILES:
        raise ValueError(f"no seccomp profile {profile!r}")
    return {
        **{name: Always(ALLOW) for name in COMMON},
        **{name: Always(DENY) for name in DENIED},
        **_looked_at(pid),
        **_for_profile(profile),
        **{name: Always(KILL_PROCESS) for name in DEADLY},
    }


UNKNOWN_FROM = max(NUMBERS.values()) + 1


def build(profile: str, pid: int) -> bytes:
    """Return the filter of a profile, ready for bpf.install."""
    default = DENY if profile == "worker-real" else KILL_PROCESS
    numbered = {NUMBERS[name]: rule for name, rule in rules(profile, pid).items()}
    return bpf.assemble(numbered, default, UNKNOWN_FROM)
