//! Parts of a test that need a process of their own: another limit, a filter, or nobody else's
//! threads and descriptors in the count.

use std::collections::BTreeMap;
use std::io;
use std::process::Command;

const CHILD: &str = "OVERLANE_TEST_CHILD";

/// Runs `body` in a process in which nothing else runs. `test` is the name of the calling test: the
/// child is this very test, found by that name.
pub fn in_child(test: &str, body: impl FnOnce()) {
    let program = std::env::current_exe().expect("this program has a path");
    run_in_child(test, Command::new(program), body);
}

/// The same in a network of its own, where dials come from the ports `first` to `last` alone.
pub fn in_network(test: &str, [first, last]: [u16; 2], body: impl FnOnce()) {
    let mut command = Command::new("unshare");
    command
        .args(["--net", "--map-root-user"])
        .arg(std::env::current_exe().expect("this program has a path"));
    run_in_child(test, command, || {
        let up = Command::new("ip")
            .args(["link", "set", "lo", "up"])
            .status();
        assert!(up.is_ok_and(|status| status.success()), "loopback comes up");
        let range = "/proc/sys/net/ipv4/ip_local_port_range";
        std::fs::write(range, format!("{first} {last}")).expect("the range can be set");
        body();
    });
}

/// Runs `body` for each of `cases`, each in a process of its own, as [`in_child`] does.
pub fn in_children(test: &str, cases: &[u64], body: impl FnOnce(u64)) {
    if let Ok(case) = std::env::var(CHILD) {
        return body(case.parse().expect("the number of a case"));
    }
    for case in cases {
        let program = std::env::current_exe().expect("this program has a path");
        await_child(test, Command::new(program), *case);
    }
}

fn run_in_child(test: &str, command: Command, body: impl FnOnce()) {
    if std::env::var_os(CHILD).is_some() {
        return body();
    }
    await_child(test, command, 1);
}

fn await_child(test: &str, mut command: Command, case: u64) {
    let output = command
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, case.to_string())
        .output()
        .expect("the child runs");
    let (said, complained) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{test} failed in its process, case {case} ({}):\n{said}\n{complained}",
        output.status
    );
}

/// Lowers a limit of this process, for good.
pub fn limit(resource: libc::__rlimit_resource_t, value: u64) {
    set_limit(resource, value, value);
}

/// Changes the soft limit of this process.
pub fn soft_limit(resource: libc::__rlimit_resource_t, value: u64) {
    set_limit(resource, value, limits(resource).1);
}

/// The soft and the hard limit of this process.
pub fn limits(resource: libc::__rlimit_resource_t) -> (u64, u64) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid rlimit that outlives the call.
    let got = unsafe { libc::getrlimit(resource, &raw mut limit) };
    assert_eq!(got, 0, "{}", io::Error::last_os_error());
    (limit.rlim_cur, limit.rlim_max)
}

fn set_limit(resource: libc::__rlimit_resource_t, soft: u64, hard: u64) {
    let limit = libc::rlimit {
        rlim_cur: soft,
        rlim_max: hard,
    };
    // SAFETY: `limit` is a valid rlimit that outlives the call.
    let set = unsafe { libc::setrlimit(resource, &raw const limit) };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
}

/// From now on `syscall` fails with `error` on this thread and on those it makes.
pub fn forbid(syscall: libc::c_long, error: i32) {
    let statement = |code: u32, k: u32| libc::sock_filter {
        code: u16::try_from(code).expect("an operation has 16 bits"),
        jt: 0,
        jf: 0,
        k,
    };
    let number = u32::try_from(syscall).expect("a number of a system call");
    let fails = libc::SECCOMP_RET_ERRNO | error.unsigned_abs();
    let mut filter = [
        // The number of the call is the first word of what a filter sees.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        libc::sock_filter {
            jf: 1,
            ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number)
        },
        statement(libc::BPF_RET | libc::BPF_K, fails),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: 4,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the program and its four instructions are alive for the call, which copies them.
    let set = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
}

/// The names of this process's threads.
pub fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("there is /proc");
    let names = tasks.filter_map(|task| {
        // A thread that ends meanwhile has none.
        std::fs::read_to_string(task.ok()?.path().join("comm")).ok()
    });
    names.map(|name| name.trim().to_owned()).collect()
}

/// What this process has open, by kind: `socket`, `anon_inode:[eventfd]`, a path.
pub fn descriptors() -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for entry in std::fs::read_dir("/proc/self/fd").expect("there is /proc") {
        let Ok(target) = std::fs::read_link(entry.expect("it can be read").path()) else {
            continue;
        };
        let target = target.to_string_lossy();
        // `socket:[123]` is a socket; `anon_inode:[eventfd]` says itself what it is.
        let kind = match target.split_once(":[") {
            Some((kind, _)) if kind != "anon_inode" => kind,
            _ => &*target,
        };
        // The folder that is being read.
        if !kind.starts_with("/proc/") {
            *kinds.entry(kind.to_owned()).or_default() += 1;
        }
    }
    kinds
}

/// Resident memory of this process that is its own: all but the pages of its program and libraries, which
/// every process that runs the same shares, and the kernel drops when it needs them.
pub fn own_bytes() -> usize {
    let maps = std::fs::read_to_string("/proc/self/smaps").expect("there is /proc");
    let (mut own_kib, mut is_own) = (0, true);
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        if first == "Rss:" && is_own {
            let kib = words.next().expect("a size in KiB");
            own_kib += kib.parse::<usize>().expect("a number");
        } else if !first.ends_with(':') {
            // Range, rights, offset, device, inode, path: a program or library is a file.
            let path = words.nth(4).unwrap_or_default();
            is_own =
                !path.starts_with('/') || path.starts_with("/dev/") || path.starts_with("/memfd:");
        }
    }
    own_kib << 10
}

/// Memory of this process.
pub fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").expect("there is /proc");
    let pages = status
        .split(' ')
        .nth(1)
        .expect("the second number is the resident pages");
    pages.parse::<usize>().expect("a number") * 4096
}
