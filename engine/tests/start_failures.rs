//! What keeps a node from starting is said in one sentence that tells how to fix it, and leaves
//! nothing behind; what fails later costs as little as it can.

mod support;

use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use overlane::config::{Config, ConfigBuilder, IoChoice};
use overlane::{Backend, Event, Metrics, Node, SendError, StartError};
use support::child::{descriptors, forbid, in_child, limit, threads};
use support::{
    GENEROUS, config, connect_both, counting_handler, drained, ends, reliable, start,
    wait_for_event, wait_until,
};

/// The error of a start, which leaves no thread and no descriptor. To be called in a process of its
/// own.
fn failure(config: impl Fn() -> Config) -> StartError {
    let before = (threads().len(), descriptors());
    let error = Node::start(config()).expect_err("it cannot start");
    // A thread that was joined is still listed until the kernel has taken it apart.
    wait_until(
        "the end of its threads",
        || threads().len(),
        |count| *count == before.0,
    );
    assert_eq!(descriptors(), before.1, "{error}");
    let sentence = error.to_string();
    assert!(
        !sentence.contains('\n') && sentence.len() < 400,
        "{sentence}"
    );
    error
}

fn valid(builder: ConfigBuilder) -> Config {
    builder
        .channel(reliable("data"))
        .build()
        .expect("a valid configuration")
}

/// That each of `words` is in the error's sentence.
fn assert_says(error: &StartError, words: &[&str]) {
    let sentence = error.to_string();
    for word in words {
        assert!(
            sentence.contains(word),
            "`{word}` is missing in: {sentence}"
        );
    }
}

#[test]
fn a_port_in_use_is_named() {
    in_child("a_port_in_use_is_named", || {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("it is bound");
        let error = failure(|| valid(config("a").listen(address)));
        assert_says(&error, &[&address.to_string(), "in use", "another port"]);
        drop(taken);
        start(config("a").listen(address));
    });
}

#[test]
fn the_port_of_another_node_is_in_use() {
    let first = start(config("a"));
    let second = config("b")
        .listen(first.local_addr())
        .build()
        .expect("valid");
    let error = Node::start(second).expect_err("the port is taken");
    assert_says(&error, &[&first.local_addr().to_string(), "in use"]);
}

#[test]
fn an_address_of_another_host_is_named() {
    in_child("an_address_of_another_host_is_named", || {
        let elsewhere = "203.0.113.1:7400".parse().expect("an address");
        let error = failure(|| valid(config("a").listen(elsewhere).insecure(true)));
        assert_says(&error, &["203.0.113.1:7400", "0.0.0.0"]);
    });
}

#[test]
fn a_core_that_does_not_exist_is_named() {
    in_child("a_core_that_does_not_exist_is_named", || {
        let error = failure(|| valid(config("a").pin(true).cores(vec![4095])));
        assert_says(&error, &["core 4095", "`cores`"]);
    });
}

#[test]
fn a_core_that_may_not_be_used_ends_the_start() {
    in_child("a_core_that_may_not_be_used_ends_the_start", || {
        forbid(libc::SYS_sched_setaffinity, libc::EPERM);
        let before = (threads().len(), descriptors());
        let pinned = valid(config("a").pin(true));
        let error = Node::start(pinned).expect_err("it cannot be pinned");
        assert_says(&error, &["shard 0", "pinned", "overlane doctor"]);
        wait_until(
            "the end of its threads",
            || threads().len(),
            |count| *count == before.0,
        );
        assert_eq!(descriptors(), before.1);
        start(config("a").pin(false));
    });
}

/// A configuration that takes nothing but io_uring.
fn uring() -> Config {
    valid(config("a").io(IoChoice::Uring))
}

#[test]
fn a_kernel_without_io_uring_is_told_with_its_remedy() {
    in_child("a_kernel_without_io_uring_is_told_with_its_remedy", || {
        forbid(libc::SYS_io_uring_setup, libc::ENOSYS);
        let error = failure(uring);
        assert_says(&error, &["io_uring_setup", "CONFIG_IO_URING"]);
    });
}

#[test]
fn a_filter_on_io_uring_is_told_with_its_remedy() {
    in_child("a_filter_on_io_uring_is_told_with_its_remedy", || {
        forbid(libc::SYS_io_uring_setup, libc::EPERM);
        let error = failure(uring);
        assert_says(&error, &["io_uring_setup", "seccomp"]);
    });
}

#[test]
fn a_filter_on_entering_alone_is_told_with_its_remedy() {
    in_child("a_filter_on_entering_alone_is_told_with_its_remedy", || {
        forbid(libc::SYS_io_uring_enter, libc::EPERM);
        let error = failure(uring);
        assert_says(&error, &["io_uring_enter", "seccomp"]);
    });
}

#[test]
fn a_thread_that_cannot_be_made_ends_the_start() {
    in_child("a_thread_that_cannot_be_made_ends_the_start", || {
        forbid(libc::SYS_clone3, libc::EAGAIN);
        let error = failure(|| valid(config("a")));
        assert_says(&error, &["did not start", "overlane doctor"]);
    });
}

#[test]
fn too_little_locked_memory_is_told_with_what_is_needed() {
    in_child(
        "too_little_locked_memory_is_told_with_what_is_needed",
        || {
            limit(libc::RLIMIT_MEMLOCK, 64 << 10);
            let error = failure(uring);
            assert_says(&error, &["64 KiB", "512 KiB", "ulimit -l"]);
        },
    );
}

#[test]
fn too_few_open_files_are_told_with_what_is_needed() {
    in_child("too_few_open_files_are_told_with_what_is_needed", || {
        limit(libc::RLIMIT_NOFILE, 64);
        let error = failure(|| {
            let peers = (0..100).map(|number| format!("peer-{number}"));
            let address = "127.0.0.1:1".parse().expect("an address");
            valid(peers.fold(config("a"), |config, name| config.peer(name, address)))
        });
        assert_says(&error, &["64 files", "100 configured peers", "ulimit -n"]);
        limit(libc::RLIMIT_NOFILE, 10);
        let error = failure(|| valid(config("a")));
        assert_says(&error, &["10 files", "ulimit -n"]);
    });
}

#[test]
fn a_bad_configuration_starts_nothing() {
    in_child("a_bad_configuration_starts_nothing", || {
        let error = failure(|| Config {
            shards: 100_000,
            ..Config::default()
        });
        assert!(matches!(error, StartError::Config(_)), "{error}");
        assert_says(&error, &["shards", "100000", "256"]);
    });
}

#[test]
fn a_mailbox_that_cannot_be_ends_the_start() {
    in_child("a_mailbox_that_cannot_be_ends_the_start", || {
        let before = threads().len();
        let (handler, _) = counting_handler();
        for (names, words) in [
            (["in", "in"], ["`in`", "a receiver already"]),
            (["in", "a\nb"], ["cannot be a name", "control"]),
        ] {
            let mut builder = Node::builder(valid(config("a")));
            for name in names {
                builder = builder.handle(name, handler.clone());
            }
            let error = builder.start().expect_err("the mailboxes cannot be");
            assert_says(&error, &words);
            wait_until(
                "the end of its threads",
                || threads().len(),
                |count| *count == before,
            );
        }
    });
}

#[test]
fn a_thread_starts_any_number_of_nodes() {
    for _ in 0..20 {
        start(config("a"));
    }
}

#[test]
fn a_handler_that_panics_costs_its_message_and_nothing_else() {
    let a = start(config("a").channel(reliable("data")));
    let b = start(config("b").channel(reliable("data")));
    let seen = std::sync::Arc::new(AtomicU64::new(0));
    let count = std::sync::Arc::clone(&seen);
    b.handle("in", move |_, message| {
        count.fetch_add(1, Ordering::Relaxed);
        assert!(
            message.payload() != b"bad",
            "a message that the handler cannot bear"
        );
    })
    .expect("a mailbox");
    connect_both(&a, &b);
    let (at_a, channel) = (a.events(), a.channel("data").expect("it is configured"));
    let to = a.destination("b", "in").expect("names");
    for payload in ["good", "bad", "good", "bad", "good"] {
        channel.send_blocking(&to, payload).expect("it is accepted");
    }
    let metrics = drained(&a);
    let lane = metrics.channel("b", "data").expect("it was used");
    assert_eq!((lane.accepted, lane.acknowledged, lane.reported), (5, 5, 0));
    assert_eq!(seen.load(Ordering::Relaxed), 5);
    let metrics = b.metrics();
    let panics: u64 = metrics
        .shards
        .iter()
        .map(|shard| shard.handler_panics)
        .sum();
    assert_eq!(panics, 2);
    assert_eq!(
        metrics.channel("a", "data").expect("it was used").delivered,
        5
    );
    while let Some(event) = at_a.try_recv() {
        assert!(
            !matches!(event, Event::LaneDown { .. }),
            "the lane stays up: {event:?}"
        );
    }
}

#[test]
fn a_shard_that_fails_closes_its_node_and_no_other() {
    in_child("a_shard_that_fails_closes_its_node_and_no_other", || {
        for shards in [1, 2] {
            fail_a_shard_of(shards);
        }
    });
}

/// Forbids the system call that a shard lives by, on its own thread.
fn fail_a_shard_of(shards: usize) {
    let a = start(
        config("a")
            .shards(shards)
            .channel(reliable("data").parallelism(2)),
    );
    let b = start(config("b").channel(reliable("data").parallelism(2)));
    let mut inbox = a.inbox("in").expect("a mailbox");
    connect_both(&a, &b);
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    // Each shard has a lane.
    for key in 0..2 {
        let sent = channel.try_send(&to.with_key(key), b"x");
        sent.expect("there is room");
    }
    drained(&a);
    let at_b = b.events();
    let lives_by = match a.backend() {
        Backend::Uring => libc::SYS_io_uring_enter,
        Backend::Poll => libc::SYS_epoll_pwait,
    };
    a.spawn_on_shard(0, move |_| async move { forbid(lives_by, libc::EIO) })
        .expect("the shard is there");
    let _closed = wait_until(
        "the end of the node",
        || channel.try_send(&to, b"too late"),
        |outcome| *outcome == Err(SendError::Closed),
    );
    assert!(inbox.recv_blocking().is_err(), "whoever reads learns of it");
    wait_for_event(&at_b, "the end of a lane", |event| match event {
        Event::LaneDown { reason, .. } => Some(*reason),
        _ => None,
    });
    let report = ends("the stop", move || a.stop(GENEROUS));
    assert!(report.metrics.identity_holds());
    wait_until(
        "the end of all lanes",
        || b.metrics(),
        |metrics: &Metrics| {
            metrics
                .channel("a", "data")
                .is_some_and(|lane| lane.lanes_up == 0)
        },
    );
    assert!(b.metrics().identity_holds());
    assert!(ends("the stop", move || b.stop(Duration::from_secs(3600))).drained);
}

#[test]
fn a_task_that_panics_costs_itself_and_nothing_else() {
    let a = start(config("a").channel(reliable("data")));
    a.spawn_on_shard(0, |_| async { panic!("a task that fails") })
        .expect("the shard is there");
    a.spawn_on_shard(0, |_| -> std::future::Ready<()> {
        panic!("a task that cannot begin")
    })
    .expect("the shard is there");
    wait_until(
        "the count",
        || a.metrics(),
        |metrics: &Metrics| metrics.shards[0].task_panics == 2,
    );
    let (sent, seen) = std::sync::mpsc::channel();
    a.spawn_on_shard(0, move |shard| async move {
        shard.sleep(Duration::from_millis(1)).await;
        sent.send(shard.shard()).expect("the test waits");
    })
    .expect("the shard is there");
    assert_eq!(seen.recv_timeout(GENEROUS), Ok(0));
}
