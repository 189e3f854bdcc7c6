//! A seccomp filter as container runtimes have it: `io_uring_setup` fails with `EPERM`.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The command, in a process that may not set up an io_uring.
pub(crate) fn forbid_io_uring(mut command: Command) -> Command {
    // SAFETY: the closure makes two system calls and allocates nothing, as is needed after a fork.
    unsafe { command.pre_exec(install) };
    command
}

const LOAD_WORD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

const fn instruction(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

/// Both architectures of the engine have the call under this number.
const IO_URING_SETUP: u32 = 425;
const FORBIDDEN: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;

fn install() -> io::Result<()> {
    let mut filter = [
        instruction(LOAD_WORD, 0, 0, 0), // the number of the call is at the start
        instruction(JUMP_EQUAL, IO_URING_SETUP, 0, 1),
        instruction(RETURN, FORBIDDEN, 0, 0),
        instruction(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let program = libc::sock_fprog {
        len: 4,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the arguments are those that the two calls are documented with; the program and its
    // filter outlive them.
    let failed = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const program,
            ) != 0
    };
    if failed {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
