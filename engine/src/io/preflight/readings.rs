//! Asks the kernel what the checks need to know. Decides nothing, and changes nothing.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::io;
use std::num::NonZeroUsize;

use io_uring::{IoUring, Probe, opcode};

use crate::config::{Config, IoChoice};
use crate::io::data_ring::make_ring;
use crate::io::socket;

/// A resource limit of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What holds now.
    pub soft: u64,
    /// Up to which it can be raised.
    pub hard: u64,
}

/// Where setting up a data ring failed, with the error number of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingFailure {
    /// No ring was made, because the configuration wants none.
    NotTried,
    /// `io_uring_setup`, or mapping what it made.
    Setup(i32),
    /// `io_uring_enter`, by which operations are given to the kernel.
    Enter(i32),
    /// Asking which operations there are.
    Probe(i32),
    /// Registering a ring of receive buffers.
    BufferRing(i32),
    /// Registering the ring's own descriptor.
    RingDescriptor(i32),
}

/// All that the checks look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readings {
    /// Release of the kernel, as `uname -r` prints it.
    pub kernel_release: String,
    /// `kernel.io_uring_disabled`; kernels before 6.6 do not have it.
    pub io_uring_disabled: Option<u32>,
    /// Operations of a data ring that the kernel lacks, or why there is no such ring.
    pub ring: Result<Vec<&'static str>, RingFailure>,
    /// Locked memory, in bytes.
    pub memlock: Limit,
    /// Open files.
    pub files: Limit,
    /// Files that are open now.
    pub files_open: u64,
    /// Cores that this thread may run on.
    pub cores_usable: Vec<usize>,
    /// How many threads it can keep busy at a time: fewer than there are cores under a CPU quota.
    pub parallelism: usize,
    /// Address space of this process, in bytes (`ulimit -v`).
    pub address_space: Limit,
    /// Address space that is in use now, in bytes.
    pub address_space_used: u64,
    /// Memory of its own that this process may write, in bytes (`ulimit -d`).
    pub data: Limit,
    /// Such memory that is in use now, in bytes.
    pub data_used: u64,
    /// The error number of binding the address to listen on, if it failed.
    pub listen_error: Option<i32>,
}

impl Readings {
    /// Asks this machine.
    #[must_use]
    pub fn take(config: &Config) -> Self {
        let proc = |path: &str| std::fs::read_to_string(format!("/proc/sys/kernel/{path}")).ok();
        let cores_usable = cores_usable();
        // Closed before a child is made, in which it would live on.
        let listen_error = socket::listen_first(config.listen).err();
        Self {
            kernel_release: proc("osrelease").unwrap_or_default().trim().to_string(),
            io_uring_disabled: proc("io_uring_disabled").and_then(|text| text.trim().parse().ok()),
            ring: match config.io {
                // A filter may end the process that tries.
                IoChoice::Poll => Err(RingFailure::NotTried),
                IoChoice::Auto | IoChoice::Uring => ring_elsewhere(config.data_ring_entries),
            },
            memlock: limit(libc::RLIMIT_MEMLOCK),
            files: limit(libc::RLIMIT_NOFILE),
            files_open: files_open(),
            parallelism: parallelism(&cores_usable),
            cores_usable,
            address_space: limit(libc::RLIMIT_AS),
            address_space_used: used_bytes("VmSize:"),
            data: limit(libc::RLIMIT_DATA),
            data_used: used_bytes("VmData:"),
            listen_error: listen_error.map(|error| number(&error)),
        }
    }
}

pub(super) fn limit(resource: libc::__rlimit_resource_t) -> Limit {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid rlimit that outlives the call. It fails only for a resource that
    // does not exist, and then leaves zeros, which the checks take for no room.
    unsafe { libc::getrlimit(resource, &raw mut limit) };
    Limit {
        soft: limit.rlim_cur,
        hard: limit.rlim_max,
    }
}

/// Numbers of the cores that this thread may run on.
fn cores_usable() -> Vec<usize> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    cores.into_iter().map(|core| core.id).collect()
}

/// What the standard library makes of affinity and of the quotas of control groups, old and new.
fn parallelism(cores_usable: &[usize]) -> usize {
    std::thread::available_parallelism().map_or(cores_usable.len(), NonZeroUsize::get)
}

/// What of a kind of memory this process has, by its word in `/proc/self/status`.
fn used_bytes(word: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let size = status.lines().find_map(|line| line.strip_prefix(word));
    let kibibytes = size.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kibibytes.unwrap_or(0).saturating_mul(1024)
}

fn files_open() -> u64 {
    let files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    // The folder that is read is one of them.
    u64::try_from(files).unwrap_or(u64::MAX).saturating_sub(1)
}

/// The operations of the engine and of the executor under it, which ends the process if one of
/// its own is missing.
const OPERATIONS: [(u8, &str); 24] = [
    (opcode::Nop::CODE, "nop"),
    (opcode::Readv::CODE, "readv"),
    (opcode::Writev::CODE, "writev"),
    (opcode::Fsync::CODE, "fsync"),
    (opcode::ReadFixed::CODE, "read_fixed"),
    (opcode::WriteFixed::CODE, "write_fixed"),
    (opcode::PollAdd::CODE, "poll_add"),
    (opcode::PollRemove::CODE, "poll_remove"),
    (opcode::SendMsg::CODE, "sendmsg"),
    (opcode::RecvMsg::CODE, "recvmsg"),
    (opcode::Timeout::CODE, "timeout"),
    (opcode::TimeoutRemove::CODE, "timeout_remove"),
    (opcode::Accept::CODE, "accept"),
    (opcode::AsyncCancel::CODE, "async_cancel"),
    (opcode::LinkTimeout::CODE, "link_timeout"),
    (opcode::Connect::CODE, "connect"),
    (opcode::Fallocate::CODE, "fallocate"),
    (opcode::OpenAt::CODE, "openat"),
    (opcode::Close::CODE, "close"),
    (opcode::Statx::CODE, "statx"),
    (opcode::Read::CODE, "read"),
    (opcode::Write::CODE, "write"),
    (opcode::Send::CODE, "send"),
    (opcode::Recv::CODE, "recv"),
];

/// Tries a ring on a thread of its own: what a closed ring leaves to do is done by the thread that
/// made it, and would interrupt whatever the caller waits for next.
fn ring_elsewhere(entries: u32) -> Result<Vec<&'static str>, RingFailure> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("overlane-check".to_owned())
            .spawn_scoped(scope, || ring(entries));
        match thread.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(found)) => found,
            // Without threads there will be no shard, which says so itself.
            Ok(Err(_)) | Err(_) => ring(entries),
        }
    })
}

/// Makes a data ring as a shard does, and says which operations it lacks. Receiving in multishot
/// has no operation of its own; kernels that can register a ring of buffers with these flags do it.
fn ring(entries: u32) -> Result<Vec<&'static str>, RingFailure> {
    let mut ring = make_ring(entries).map_err(|error| RingFailure::Setup(number(&error)))?;
    one_operation(&mut ring).map_err(|error| RingFailure::Enter(number(&error)))?;
    let mut probe = Probe::new();
    ring.submitter()
        .register_probe(&mut probe)
        .map_err(|error| RingFailure::Probe(number(&error)))?;
    buffer_ring(&ring).map_err(|error| RingFailure::BufferRing(number(&error)))?;
    ring_descriptor(&ring).map_err(|error| RingFailure::RingDescriptor(number(&error)))?;
    let missing = OPERATIONS
        .iter()
        .filter(|(code, _)| !probe.is_supported(*code));
    Ok(missing.map(|(_, name)| *name).collect())
}

/// Lets the kernel do an operation that does nothing: setting up and entering are forbidden apart.
fn one_operation(ring: &mut IoUring) -> io::Result<()> {
    // SAFETY: it names no memory. A ring that was just made has room for it.
    let pushed = unsafe { ring.submission().push(&opcode::Nop::new().build()) };
    pushed.map_err(io::Error::other)?;
    ring.submit_and_wait(1).map(drop)
}

/// Registers the ring's own descriptor and takes it back: the table of this thread has 16 places,
/// and what is left in it keeps its ring alive until the thread ends.
fn ring_descriptor(ring: &IoUring) -> io::Result<()> {
    let mut submitter = ring.submitter();
    match submitter.register_ring_fd() {
        Ok(()) => submitter.unregister_ring_fd(),
        // The caller has 16 rings of its own. Shards have threads, and tables, of theirs.
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Registers an empty ring of receive buffers and takes it back.
fn buffer_ring(ring: &IoUring) -> io::Result<()> {
    const PAGE: Layout = match Layout::from_size_align(4096, 4096) {
        Ok(layout) => layout,
        Err(_) => panic!("a page has a layout"),
    };
    /// As many entries as fit the page, by far.
    const ENTRIES: u16 = 8;
    const GROUP: u16 = 0;
    // SAFETY: the layout has a size that is not zero.
    let page = unsafe { alloc_zeroed(PAGE) };
    if page.is_null() {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    let submitter = ring.submitter();
    // SAFETY: the page is aligned and larger than the entries, and is freed only after it was
    // taken back below. If that failed, the kernel would still hold its own reference to the page,
    // and no receive is ever made with this group, so nothing would write to it.
    let registered = unsafe {
        submitter.register_buf_ring_with_flags(page.expose_provenance() as u64, ENTRIES, GROUP, 0)
    };
    let result = registered.and_then(|()| submitter.unregister_buf_ring(GROUP));
    // SAFETY: allocated above with the same layout, and not used any more.
    unsafe { dealloc(page, PAGE) };
    result
}

fn number(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(0)
}
