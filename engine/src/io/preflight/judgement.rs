//! Decides from readings and configuration whether a node can run. Asks the kernel nothing.

use std::io;

use super::memory::address_space_needed;
use super::{Check, Failure, Limit, Outcome, Readings, RingFailure};
use crate::config::{Config, IoChoice};
use crate::io::backend::Backend;

/// The oldest kernel whose io_uring has all that a data ring uses.
const KERNEL_MIN: (u32, u32) = (6, 1);

/// Locked memory without which an executor does not start.
const MEMLOCK_BYTES_MIN: u64 = 512 << 10;

/// Locked memory that an executor registers: 64 KiB in each of its three rings.
const MEMLOCK_BYTES_PER_EXECUTOR: u64 = 3 * (64 << 10);

/// Descriptors of a shard with its rings, eventfds and acceptor, of which the `uring` backend has eight.
const FILES_PER_SHARD: u64 = 8;

/// All checks, in the order in which they should be fixed.
#[must_use]
pub fn judge(config: &Config, readings: &Readings) -> Vec<Check> {
    let [kernel, disabled, ring, memlock] =
        uring(config, readings).map(|outcome| for_choice(config.io, outcome));
    let checks = [
        ("kernel", kernel),
        ("io_uring_disabled", disabled),
        ("io_uring", ring),
        ("memlock", memlock),
        ("memory", memory(config, readings)),
        ("open_files", open_files(config, readings)),
        ("cores", cores(config, readings)),
        ("listen", listen(config, readings)),
    ];
    checks
        .into_iter()
        .map(|(name, outcome)| Check { name, outcome })
        .collect()
}

/// What shards with io_uring need.
fn uring(config: &Config, readings: &Readings) -> [Outcome; 4] {
    [
        kernel(&readings.kernel_release),
        io_uring_disabled(readings),
        ring(readings),
        memlock(config, readings),
    ]
}

/// Why shards cannot use io_uring on this machine.
#[must_use]
pub fn uring_failure(config: &Config, readings: &Readings) -> Option<Failure> {
    let outcomes = uring(config, readings).into_iter();
    outcomes
        .filter_map(|outcome| match outcome {
            Outcome::Fail(failure) => Some(failure),
            Outcome::Ok(_) | Outcome::Warn(_) => None,
        })
        .next()
}

/// How the shards would do their I/O here.
pub(super) fn backend(config: &Config, readings: &Readings) -> Backend {
    match config.io {
        IoChoice::Poll => Backend::Poll,
        IoChoice::Auto if uring_failure(config, readings).is_some() => Backend::Poll,
        IoChoice::Auto | IoChoice::Uring => Backend::Uring,
    }
}

/// What a check of io_uring means for a node that uses it only where it can, or not at all.
fn for_choice(choice: IoChoice, outcome: Outcome) -> Outcome {
    match (choice, outcome) {
        (IoChoice::Auto, Outcome::Fail(failure)) => Outcome::Warn(fallback(&failure)),
        (IoChoice::Poll, _) => ok("not looked at, because io is poll"),
        (_, outcome) => outcome,
    }
}

/// The warning of a node that uses `poll` because of that failure.
#[must_use]
pub fn fallback(failure: &Failure) -> String {
    format!(
        "{}, so that the shards use poll instead of io_uring, which costs 4 to 9 times the system \
         calls per message (docs/benchmarks.md): {}, or set io to poll",
        failure.what, failure.remedy
    )
}

fn ok(detail: impl Into<String>) -> Outcome {
    Outcome::Ok(detail.into())
}

fn fail(what: impl Into<String>, remedy: impl Into<String>) -> Outcome {
    Outcome::Fail(Failure {
        what: what.into(),
        remedy: remedy.into(),
    })
}

fn kernel(release: &str) -> Outcome {
    let mut numbers = release
        .split(['.', '-', '+'])
        .map_while(|part| part.parse::<u32>().ok());
    let (least_major, least_minor) = KERNEL_MIN;
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) >= KERNEL_MIN => {
            ok(format!("Linux {release}"))
        }
        (Some(_), Some(_)) => fail(
            format!("the kernel is Linux {release}, whose io_uring lacks what a shard needs"),
            format!("boot Linux {least_major}.{least_minor} or newer"),
        ),
        _ => Outcome::Warn(format!(
            "the kernel release `{release}` cannot be read; \
             Linux {least_major}.{least_minor} or newer is needed"
        )),
    }
}

fn io_uring_disabled(readings: &Readings) -> Outcome {
    match readings.io_uring_disabled {
        None => ok("this kernel has no kernel.io_uring_disabled"),
        Some(0) => ok("kernel.io_uring_disabled is 0"),
        Some(value) if readings.ring.is_ok() => ok(format!(
            "kernel.io_uring_disabled is {value}, but this process may use io_uring"
        )),
        Some(1) => fail(
            "kernel.io_uring_disabled is 1, which keeps io_uring from unprivileged processes",
            "run `sysctl kernel.io_uring_disabled=0` as root, or add this user to the group that \
             kernel.io_uring_group names",
        ),
        Some(value) => fail(
            format!("kernel.io_uring_disabled is {value}, which keeps io_uring from all processes"),
            "run `sysctl kernel.io_uring_disabled=0` as root",
        ),
    }
}

fn ring(readings: &Readings) -> Outcome {
    match &readings.ring {
        Ok(missing) if missing.is_empty() => {
            ok("single issuer, deferred task work, buffer rings and all operations are there")
        }
        Ok(missing) => fail(
            format!("io_uring lacks the operations {}", missing.join(", ")),
            "boot Linux 6.1 or newer that is built with networking and file systems",
        ),
        Err(RingFailure::Setup(number)) => setup_failure(*number, readings),
        Err(RingFailure::Enter(number)) => fail(
            format!(
                "io_uring_setup is allowed, but io_uring_enter fails ({})",
                reason(*number)
            ),
            "allow io_uring_enter too in the seccomp profile of the container or service",
        ),
        Err(RingFailure::NotTried) => ok("no ring was tried"),
        Err(RingFailure::Probe(number)) => registration("asking for its operations", *number),
        Err(RingFailure::BufferRing(number)) => registration("registering buffer rings", *number),
        Err(RingFailure::RingDescriptor(number)) => {
            registration("registering the ring's descriptor", *number)
        }
    }
}

fn setup_failure(number: i32, readings: &Readings) -> Outcome {
    let reason = reason(number);
    match number {
        libc::EPERM | libc::EACCES if readings.io_uring_disabled.unwrap_or(0) == 0 => fail(
            format!("io_uring_setup is forbidden ({reason}), most likely by a seccomp filter"),
            "allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp profile of \
             the container or service",
        ),
        libc::EPERM | libc::EACCES => fail(
            format!("io_uring_setup is forbidden ({reason})"),
            "set kernel.io_uring_disabled as said there",
        ),
        libc::ENOSYS => fail(
            format!("there is no io_uring_setup ({reason})"),
            "boot a kernel with CONFIG_IO_URING, or allow it in the seccomp profile",
        ),
        libc::EINVAL => fail(
            format!("io_uring does not know single issuer with deferred task work ({reason})"),
            "boot Linux 6.1 or newer",
        ),
        libc::ENOMEM => fail(
            format!("there is no memory for a ring ({reason})"),
            "lower data_ring_entries, or raise the memory limit of this process",
        ),
        libc::EMFILE | libc::ENFILE => fail(
            format!("there is no descriptor left for a ring ({reason})"),
            "raise the limit of open files (`ulimit -n`)",
        ),
        _ => fail(
            format!("io_uring_setup fails ({reason})"),
            "see `man 2 io_uring_setup` for this error",
        ),
    }
}

fn registration(doing: &str, number: i32) -> Outcome {
    let remedy = match number {
        libc::EPERM | libc::EACCES | libc::ENOSYS => {
            "allow io_uring_register in the seccomp profile of the container or service"
        }
        libc::ENOMEM => "raise the limit of locked memory (`ulimit -l`)",
        _ => "boot Linux 6.1 or newer",
    };
    fail(
        format!("{doing} of io_uring fails ({})", reason(number)),
        remedy,
    )
}

/// The kernel's words for an error number.
fn reason(number: i32) -> String {
    io::Error::from_raw_os_error(number).to_string()
}

/// How many shards a node would have here. The control shard has neither executor nor rings.
fn shards(config: &Config, readings: &Readings) -> usize {
    config
        .placement(&readings.cores_usable, readings.parallelism)
        .len()
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Locked memory with which executors have all that they ask for, in bytes.
pub(super) fn locked_bytes_needed(config: &Config, readings: &Readings) -> u64 {
    count(shards(config, readings))
        .saturating_mul(MEMLOCK_BYTES_PER_EXECUTOR)
        .max(MEMLOCK_BYTES_MIN)
}

fn memlock(config: &Config, readings: &Readings) -> Outcome {
    let Limit { soft, hard } = readings.memlock;
    let needed = locked_bytes_needed(config, readings);
    if hard < MEMLOCK_BYTES_MIN {
        return fail(
            format!(
                "only {} KiB of memory can be locked, but an executor asks for {}",
                hard >> 10,
                MEMLOCK_BYTES_MIN >> 10
            ),
            format!(
                "raise the limit to {} KiB (`ulimit -l`, LimitMEMLOCK= of the service)",
                needed >> 10
            ),
        );
    }
    if hard < needed {
        return Outcome::Warn(format!(
            "{} KiB of memory can be locked but {} KiB are wanted, so that executors go on without \
             registered memory; raise `ulimit -l`",
            hard >> 10,
            needed >> 10
        ));
    }
    let needs = needed >> 10;
    if soft < needed {
        return ok(format!(
            "{needs} KiB needed, {} KiB now, which a start raises while it sets up its shards",
            soft >> 10
        ));
    }
    ok(format!("{needs} KiB needed, {} allowed", kibibytes(soft)))
}

fn kibibytes(bytes: u64) -> String {
    if bytes == libc::RLIM_INFINITY {
        "unlimited".to_string()
    } else {
        format!("{} KiB", bytes >> 10)
    }
}

/// Address space, and of that the memory that can be written: each has a limit of its own.
fn memory(config: &Config, readings: &Readings) -> Outcome {
    let shards = shards(config, readings);
    let needed = address_space_needed(config, shards, backend(config, readings));
    let limits = [
        (
            "the address space",
            "`ulimit -v unlimited`, LimitAS= of the service",
            readings.address_space.soft,
            readings.address_space_used,
        ),
        (
            "memory that can be written",
            "`ulimit -d unlimited`, LimitDATA= of the service",
            readings.data.soft,
            readings.data_used,
        ),
    ];
    let limited = limits
        .into_iter()
        .filter(|(_, _, soft, _)| *soft != libc::RLIM_INFINITY);
    let least = limited.min_by_key(|(_, _, soft, used)| soft.saturating_sub(*used));
    let Some((what, how, soft, used)) = least else {
        return ok(format!("{} MiB needed, unlimited", needed >> 20));
    };
    let left = soft.saturating_sub(used);
    if left < needed {
        return fail(
            format!(
                "{what} is limited to {} MiB, of which {} are left, but {shards} shards with \
                 their threads, rings and buffers need {}",
                soft >> 20,
                left >> 20,
                (needed >> 20) + 1
            ),
            format!(
                "raise the limit ({how}), or lower shards, ring_bytes or receive_quantum_bytes"
            ),
        );
    }
    ok(format!("{} MiB needed, {} left", needed >> 20, left >> 20))
}

/// What a node has open beside its connections.
fn own_files(config: &Config, readings: &Readings) -> u64 {
    readings
        .files_open
        .saturating_add(count(shards(config, readings)).saturating_mul(FILES_PER_SHARD))
}

/// Files that are open when there are as many connections as there may be.
pub(super) fn files_wanted(config: &Config, readings: &Readings) -> u64 {
    own_files(config, readings).saturating_add(count(config.connections_max))
}

fn open_files(config: &Config, readings: &Readings) -> Outcome {
    let Limit { soft, hard } = readings.files;
    let (allowed, by_itself) = if config.raise_open_files {
        (hard, "")
    } else if soft < hard {
        (soft, ", or let the node do it with raise_open_files = true")
    } else {
        (soft, "")
    };
    // Each peer has one lane always; others come and go with what is sent.
    let lanes = count(config.peers.len());
    let needed = own_files(config, readings).saturating_add(lanes);
    let most = files_wanted(config, readings);
    if allowed < needed {
        return fail(
            format!(
                "only {allowed} files can be open, but the {} configured peers need {needed}",
                config.peers.len()
            ),
            format!(
                "raise the limit to {most} (`ulimit -n`, LimitNOFILE= of the service){by_itself}"
            ),
        );
    }
    if allowed < most {
        return Outcome::Warn(format!(
            "{allowed} files can be open, so that connections_max = {} cannot be reached; raise \
             `ulimit -n` to {most}{by_itself}, or lower connections_max",
            config.connections_max
        ));
    }
    if soft < most {
        return ok(format!(
            "{most} wanted, {soft} now, which a start raises while the node runs"
        ));
    }
    let soft = if soft == libc::RLIM_INFINITY {
        "unlimited".to_string()
    } else {
        format!("{soft} allowed")
    };
    ok(format!("{most} wanted, {soft}"))
}

fn cores(config: &Config, readings: &Readings) -> Outcome {
    let usable = &readings.cores_usable;
    let list = |cores: &[usize]| {
        cores
            .iter()
            .map(usize::to_string)
            .collect::<Vec<_>>()
            .join(",")
    };
    if let Some(core) = config.cores.iter().find(|core| !usable.contains(core)) {
        return fail(
            format!("core {core} does not exist or is not allowed to this process"),
            format!("take `cores` from {}, or leave it empty", list(usable)),
        );
    }
    let placement = config.placement(usable, readings.parallelism);
    let available = if config.cores.is_empty() {
        usable.len()
    } else {
        config.cores.len()
    };
    if placement.len() > available.max(1) {
        return Outcome::Warn(format!(
            "{} shards share {available} cores and wait for one another; lower `shards`",
            placement.len()
        ));
    }
    let pinned: Vec<usize> = placement.iter().copied().flatten().collect();
    if pinned.is_empty() {
        let quota = if readings.parallelism < usable.len() {
            format!(
                ", because a CPU quota allows {} of {} cores",
                readings.parallelism,
                usable.len()
            )
        } else {
            String::new()
        };
        return ok(format!("shards: {}, not pinned{quota}", placement.len()));
    }
    ok(format!(
        "shards: {}, on cores {}",
        placement.len(),
        list(&pinned)
    ))
}

fn listen(config: &Config, readings: &Readings) -> Outcome {
    let address = config.listen;
    let Some(number) = readings.listen_error else {
        return ok(format!("{address} is free"));
    };
    let remedy = match number {
        libc::EADDRINUSE => {
            "stop the process that has it (`ss -ltnp` shows it), or take another port \
                             with `listen`"
                .to_string()
        }
        libc::EADDRNOTAVAIL => {
            "take an address of this host (`ip address` shows them), or 0.0.0.0".to_string()
        }
        libc::EACCES => {
            "take a port of 1024 or more, or give the process CAP_NET_BIND_SERVICE".to_string()
        }
        _ => "take another address with `listen`".to_string(),
    };
    fail(
        format!(
            "the address {address} cannot be listened on ({})",
            reason(number)
        ),
        remedy,
    )
}
