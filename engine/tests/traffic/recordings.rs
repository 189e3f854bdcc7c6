//! The flight recorder: a recording names what held a shard up and what waited behind it, and is written by itself when something is wrong.

use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::task::{Poll, Waker};
use std::time::Duration;

use overlane::config::{ConfigBuilder, RecorderConfig};
use overlane::{Channel, Destination, Node, Recorded, Recording};

use crate::support::accounting::{check_accounting, counted};
use crate::support::{
    GENEROUS, config, connect_both, counting_handler, hold, reliable, start, use_lane, wait_until,
};

/// An empty folder, gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let name = format!("overlane-recordings-{}-{test}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        drop(std::fs::remove_dir_all(&folder));
        Self(folder)
    }

    /// The recordings in it.
    fn recordings(&self) -> Vec<(String, Recording)> {
        let Ok(entries) = std::fs::read_dir(&self.0) else {
            return Vec::new();
        };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let whole = paths.filter(|path| path.extension().is_some_and(|end| end == "recording"));
        let read = |path: PathBuf| {
            let bytes = std::fs::read(&path).expect("it can be read");
            let name = path.file_name().expect("it has one").to_string_lossy();
            (
                name.into_owned(),
                Recording::decode(&bytes).expect("it is one"),
            )
        };
        whole.map(read).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn recorded(folder: &Path) -> RecorderConfig {
    RecorderConfig {
        dir: folder.to_owned(),
        ..RecorderConfig::default()
    }
}

fn with_channels(name: &str) -> ConfigBuilder {
    let config = config(name).channel(reliable("data"));
    config.channel(reliable("low").priority(6))
}

fn pair(of_b: RecorderConfig) -> (Node, Node) {
    let (a, b) = (
        start(with_channels("a")),
        start(with_channels("b").recorder(of_b)),
    );
    connect_both(&a, &b);
    (a, b)
}

fn way(node: &Node, channel: &str, mailbox: &str) -> (Channel, Destination) {
    (
        node.channel(channel).expect("it is configured"),
        node.destination("b", mailbox).expect("names"),
    )
}

fn all(recording: &Recording) -> impl Iterator<Item = &Recorded> {
    let threads = recording.threads.iter();
    threads.flat_map(|thread| thread.entries.iter().map(|entry| &entry.what))
}

#[test]
fn a_slow_handler_is_named_and_so_are_the_messages_that_waited_behind_it() {
    let (a, b) = pair(RecorderConfig::default());
    b.handle("slow", |_, _| std::thread::sleep(Duration::from_millis(20)))
        .expect("free");
    let (quick, _) = counting_handler();
    b.handle("quick", quick).expect("free");
    let ((data, slow), (low, quick)) = (way(&a, "data", "slow"), way(&a, "low", "quick"));
    use_lane(&a, "b", "data", "quick");
    use_lane(&a, "b", "low", "quick");
    let round = || {
        // Both are with b's kernel when its shard goes on, and the urgent one is read first.
        let held = hold(&b);
        let gone = |channel: &str| counted(&a.metrics(), "b", channel).sent;
        let before = (gone("data"), gone("low"));
        data.try_send(&slow, b"x").expect("there is room");
        for _ in 0..5 {
            low.try_send(&quick, b"y").expect("there is room");
        }
        wait_until(
            "they are sent",
            || (gone("data"), gone("low")),
            |sent| *sent == (before.0 + 1, before.1 + 5),
        );
        drop(held);
        check_accounting(&[&a, &b]);
        // What is told of a turn is told in the next.
        use_lane(&a, "b", "data", "quick");
        b.recording()
    };
    let recording = wait_until("they waited behind it", round, |recording| {
        all(recording).any(|what| {
            matches!(what, Recorded::Behind { mailbox, channel, .. } if mailbox == "quick" && channel == "low")
        })
    });
    let (mut slow_ones, mut behind) = (0, 0);
    for what in all(&recording) {
        match what {
            Recorded::SlowHandler {
                took_us,
                mailbox,
                from,
                channel,
                messages,
            } if mailbox == "slow" => {
                assert_eq!((&**from, &**channel, *messages), ("a", "data", 1));
                assert!(*took_us >= 20_000, "{took_us}");
                slow_ones += 1;
            }
            Recorded::Behind {
                mailbox,
                from,
                channel,
                messages,
            } if mailbox == "quick" && channel == "low" => {
                assert_eq!(&**from, "a");
                assert!((1..=5).contains(messages), "{messages}");
                behind += 1;
            }
            _ => {}
        }
    }
    assert!(slow_ones >= 1 && behind >= 1, "{slow_ones}, {behind}");
    let told = |kind: &str| {
        all(&recording).any(|what| matches!(what, Recorded::Event { event, .. } if event == kind))
    };
    assert!(told("peer_up") && told("lane_up"), "events are in it");
    let ran = |what: &Recorded| matches!(what, Recorded::Turns { .. } | Recorded::LongTurn { .. });
    assert!(all(&recording).any(ran), "turns are in it");
    assert_eq!(Recording::decode(&recording.encode()), Ok(recording));
}

#[test]
fn a_recording_is_written_when_a_handler_panics() {
    let folder = Folder::new("panic");
    let (a, b) = pair(recorded(&folder.0));
    b.handle("bad", |_, _| panic!("on purpose")).expect("free");
    let (data, bad) = way(&a, "data", "bad");
    data.try_send(&bad, b"x").expect("there is room");
    let written = wait_until(
        "it is written",
        || folder.recordings(),
        |all| !all.is_empty(),
    );
    let (name, recording) = &written[0];
    assert!(
        name.starts_with("b-") && name.ends_with("-panic.recording"),
        "{name}"
    );
    assert!(recording.cause.contains("panicked"), "{}", recording.cause);
    let panicked =
        |what: &Recorded| matches!(what, Recorded::HandlerPanic { mailbox } if mailbox == "bad");
    assert!(all(recording).any(panicked), "{recording:#?}");
    check_accounting(&[&a, &b]);
}

#[test]
fn a_recording_is_written_when_a_lane_ends_with_messages_under_way() {
    let folder = Folder::new("lane");
    let a = start(with_channels("a").recorder(recorded(&folder.0)));
    let b = start(with_channels("b"));
    connect_both(&a, &b);
    b.handle("in", counting_handler().0).expect("free");
    use_lane(&a, "b", "data", "in");
    let held = hold(&b);
    let (data, to) = way(&a, "data", "in");
    data.try_send(&to, b"x").expect("there is room");
    let sent = || counted(&a.metrics(), "b", "data").in_flight;
    wait_until("it is under way", sent, |in_flight| *in_flight == 1);
    a.disconnect("b").expect("a name");
    let written = wait_until(
        "it is written",
        || folder.recordings(),
        |all| !all.is_empty(),
    );
    drop(held);
    let (name, recording) = &written[0];
    assert!(name.ends_with("-lane.recording"), "{name}");
    let ended = |what: &Recorded| {
        matches!(what, Recorded::Event { event, said }
            if event == "lane_down" && said.contains(r#""unknown":1"#))
    };
    assert!(all(recording).any(ended), "{recording:#?}");
}

#[test]
fn a_recording_is_written_when_a_turn_takes_too_long_and_once_in_a_while_alone() {
    let folder = Folder::new("turn");
    let of_b = RecorderConfig {
        turn_us: 5000,
        ..recorded(&folder.0)
    };
    let (a, b) = pair(of_b);
    b.handle("slow", |_, _| std::thread::sleep(Duration::from_millis(10)))
        .expect("free");
    let (data, slow) = way(&a, "data", "slow");
    for _ in 0..10 {
        data.try_send(&slow, b"x").expect("there is room");
    }
    check_accounting(&[&a, &b]);
    let written = wait_until(
        "it is written",
        || folder.recordings(),
        |all| !all.is_empty(),
    );
    assert_eq!(written.len(), 1, "ten turns were too long");
    let long =
        |what: &Recorded| matches!(what, Recorded::LongTurn { took_us, .. } if *took_us > 5000);
    assert!(written[0].0.ends_with("-turn.recording"));
    assert!(all(&written[0].1).any(long), "{written:#?}");
}

#[test]
fn a_node_that_records_nothing_has_an_empty_recording() {
    let of_b = RecorderConfig {
        entries: 0,
        ..RecorderConfig::default()
    };
    let (a, b) = pair(of_b);
    let (quick, _) = counting_handler();
    b.handle("quick", quick).expect("free");
    use_lane(&a, "b", "data", "quick");
    check_accounting(&[&a, &b]);
    let recording = b.recording();
    assert_eq!(recording.threads.len(), 2, "a shard, and the control shard");
    assert_eq!(all(&recording).count(), 0, "{recording:#?}");
}

#[test]
fn a_shard_that_sleeps_behind_a_task_has_no_long_turn() {
    let a = start(with_channels("a"));
    let (tell, told) = std::sync::mpsc::channel::<Waker>();
    a.spawn_on_shard(0, move |_| {
        let mut polls = 0_u32;
        poll_fn(move |context| {
            polls += 1;
            if polls.is_multiple_of(1000) {
                // Nobody listens any more at the end of the test.
                drop(tell.send(context.waker().clone()));
            } else {
                // For longer than the turn that it was woken in: those that follow find nothing else to do.
                context.waker().wake_by_ref();
            }
            Poll::Pending
        })
    })
    .expect("the shard runs");
    for _ in 0..20 {
        let waker = told.recv_timeout(GENEROUS).expect("it runs");
        std::thread::sleep(Duration::from_millis(30));
        waker.wake();
    }
    let slept = |what: &&Recorded| matches!(what, Recorded::LongTurn { took_us, with_tasks: true } if *took_us > 20_000);
    let recording = a.recording();
    let slept = all(&recording).filter(slept).count();
    // On a machine with other work a task may wait for its core that long, and not each time.
    assert!(slept < 10, "{recording:#?}");
}
