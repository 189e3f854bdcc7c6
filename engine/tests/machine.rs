//! What a node makes of its machine: as many shards as it may keep busy, no limit that it leaves
//! raised, and one sentence where memory is too small.

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread::available_parallelism;

use overlane::config::IoChoice;
use overlane::{Config, Node};
use support::child::{descriptors, in_child, in_children, limit, limits, soft_limit};
use support::{GENEROUS, ends, reliable};

/// Every default but the port.
fn plain() -> Config {
    let builder = Config::builder().listen("127.0.0.1:0".parse().expect("an address"));
    builder.channel(reliable("data")).build().expect("valid")
}

fn stop(node: Node) {
    assert!(ends("the stop", move || node.stop(GENEROUS)).drained);
}

/// What a shell says of its own limits, when it is started now.
fn limit_of_child(option: &str) -> String {
    let output = Command::new("sh")
        .args(["-c", &format!("ulimit {option}")])
        .output();
    let said = output.expect("there is a shell").stdout;
    String::from_utf8_lossy(&said).trim().to_owned()
}

/// A control group with half a core, or `None` where this process may not make one.
fn half_a_core() -> Option<PathBuf> {
    let name = format!("overlane-test-{}", std::process::id());
    let quotas: [(&str, &[(&str, &str)]); 2] = [
        (
            "/sys/fs/cgroup/cpu",
            &[
                ("cpu.cfs_period_us", "100000"),
                ("cpu.cfs_quota_us", "50000"),
            ],
        ),
        ("/sys/fs/cgroup", &[("cpu.max", "50000 100000")]),
    ];
    quotas.into_iter().find_map(|(root, files)| {
        let group = PathBuf::from(root).join(&name);
        fs::create_dir(&group).ok()?;
        let set = |(file, value): &(&str, &str)| fs::write(group.join(file), value).is_ok();
        let made = files.iter().all(set)
            && fs::write(group.join("cgroup.procs"), std::process::id().to_string()).is_ok();
        if !made {
            drop(fs::remove_dir(&group));
        }
        made.then_some(group)
    })
}

#[test]
fn a_cpu_quota_bounds_the_shards() {
    in_child("a_cpu_quota_bounds_the_shards", || {
        let Some(group) = half_a_core() else {
            println!("no control group can be made here; engine/tests/preflight.rs has the rule");
            return;
        };
        let parallelism = available_parallelism().map(usize::from);
        let node = Node::start(plain()).expect("it starts");
        let shards = node.shards();
        stop(node);
        let parent = group
            .parent()
            .expect("it is in another")
            .join("cgroup.procs");
        fs::write(parent, std::process::id().to_string()).expect("back to where it was");
        drop(fs::remove_dir(&group));
        assert_eq!(parallelism.ok(), Some(1), "half a core is one thread");
        assert_eq!(shards, 1);
    });
}

#[test]
fn affinity_bounds_the_shards() {
    in_child("affinity_bounds_the_shards", || {
        let one = core_affinity::get_core_ids().expect("there are cores")[0];
        assert!(core_affinity::set_for_current(one));
        let node = Node::start(plain()).expect("it starts");
        assert_eq!(node.shards(), 1);
        stop(node);
    });
}

#[test]
fn children_and_the_time_after_stop_keep_their_limits() {
    in_child("children_and_the_time_after_stop_keep_their_limits", || {
        soft_limit(libc::RLIMIT_NOFILE, 512);
        // Too little for an executor, so that a start has to raise it.
        soft_limit(libc::RLIMIT_MEMLOCK, 64 << 10);
        let before = (limits(libc::RLIMIT_NOFILE), limits(libc::RLIMIT_MEMLOCK));
        let now = || (limits(libc::RLIMIT_NOFILE), limits(libc::RLIMIT_MEMLOCK));
        let node = Node::start(plain()).expect("it starts");
        assert_eq!(now(), before);
        assert_eq!(limit_of_child("-Sn"), "512");
        stop(node);
        assert_eq!(now(), before);
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let failing = Config {
            listen: taken.local_addr().expect("it is bound"),
            ..plain()
        };
        Node::start(failing).expect_err("the port is in use");
        assert_eq!(
            now(),
            before,
            "a start that failed leaves none raised either"
        );
    });
}

#[test]
fn a_limit_that_is_raised_on_request_is_lowered_with_the_last_node() {
    in_child(
        "a_limit_that_is_raised_on_request_is_lowered_with_the_last_node",
        || {
            soft_limit(libc::RLIMIT_NOFILE, 512);
            let wanted = 2000;
            let raising = || Config {
                raise_open_files: true,
                connections_max: wanted,
                ..plain()
            };
            let soft =
                || usize::try_from(limits(libc::RLIMIT_NOFILE).0).expect("a number of files");
            let first = Node::start(raising()).expect("it starts");
            let second = Node::start(raising()).expect("it starts");
            assert!(soft() >= wanted, "{}", soft());
            stop(first);
            assert!(soft() >= wanted, "the other needs it still");
            stop(second);
            assert_eq!(soft(), 512);
            // A limit that the application sets itself meanwhile is left to it.
            let node = Node::start(raising()).expect("it starts");
            soft_limit(libc::RLIMIT_NOFILE, 3000);
            stop(node);
            assert_eq!(soft(), 3000);
        },
    );
}

/// MiB beside what the process has: from nothing to plenty.
const MORE_MEMORY: [u64; 20] = [
    1, 4, 16, 32, 64, 96, 128, 160, 192, 224, 256, 320, 352, 360, 368, 384, 416, 448, 512, 4096,
];

/// Starts a node in processes that may have so much more memory: it is up, or says why not.
fn starts_whole_or_not_at_all(
    test: &str,
    resource: libc::__rlimit_resource_t,
    used: &str,
    parts: [&str; 3],
) {
    in_children(test, &MORE_MEMORY, |more| {
        let status = fs::read_to_string("/proc/self/status").expect("there is /proc");
        let used = status.lines().find_map(|line| line.strip_prefix(used));
        let used = used.and_then(|size| size.trim().strip_suffix(" kB"));
        let used: u64 = used.expect("the size").parse().expect("a number");
        let before = descriptors();
        soft_limit(resource, (used << 10) + (more << 20));
        let started = Node::start(Config {
            shards: 2,
            ..plain()
        });
        soft_limit(resource, limits(resource).1);
        match started {
            Ok(node) => stop(node),
            Err(error) => {
                assert!(more < 4096, "{error}");
                let sentence = error.to_string();
                for part in parts {
                    assert!(sentence.contains(part), "{sentence:?} lacks {part:?}");
                }
                assert_eq!(descriptors(), before, "{error}");
            }
        }
    });
}

#[test]
fn a_node_starts_whole_or_not_at_all_whatever_the_address_space() {
    starts_whole_or_not_at_all(
        "a_node_starts_whole_or_not_at_all_whatever_the_address_space",
        libc::RLIMIT_AS,
        "VmSize:",
        ["address space", "2 shards", "ulimit -v"],
    );
}

#[test]
fn a_node_starts_whole_or_not_at_all_whatever_memory_it_may_write() {
    starts_whole_or_not_at_all(
        "a_node_starts_whole_or_not_at_all_whatever_memory_it_may_write",
        libc::RLIMIT_DATA,
        "VmData:",
        ["memory that can be written", "2 shards", "ulimit -d"],
    );
}

#[test]
fn no_lockable_memory_is_told_with_the_true_cause() {
    in_child("no_lockable_memory_is_told_with_the_true_cause", || {
        limit(libc::RLIMIT_MEMLOCK, 0);
        let uring = Config {
            io: IoChoice::Uring,
            ..plain()
        };
        let error = Node::start(uring).expect_err("an executor locks memory");
        let sentence = error.to_string();
        for part in [
            "only 0 KiB",
            "locked",
            "asks for 512",
            "ulimit -l",
            "LimitMEMLOCK=",
        ] {
            assert!(sentence.contains(part), "{sentence:?} lacks {part:?}");
        }
        // Who leaves the choice to the engine has a node that needs none.
        stop(Node::start(plain()).expect("it starts"));
    });
}
