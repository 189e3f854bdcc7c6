//! Streams between nodes: what comes is what was sent, whatever happens to connections, and both ends hear how
//! a stream ends that does not come whole.

use std::cell::Cell;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::accounting::check_accounting;
use crate::support::{
    GENEROUS, best_effort, config, connect_both, connect_through_proxy, ends, pair_through_proxy,
    reliable, start, wait_until,
};
use async_executor::LocalExecutor;
use bytes::Bytes;
use overlane::config::{ChannelConfig, ConfigBuilder, Overflow, Reliability};
use overlane::error::SendError;
use overlane::wire::stream::CancelReason;
use overlane::{Node, RecvError, StreamError, StreamReader, StreamWriter, Streams};

/// Bytes that are different wherever they stand: `from` is the place of the first.
fn pattern(from: u64, bytes: usize) -> Vec<u8> {
    let mut made = Vec::with_capacity(bytes + 8);
    let mut word = from / 8;
    while made.len() < bytes + 8 {
        made.extend_from_slice(&word.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        word += 1;
    }
    let skipped = usize::try_from(from % 8).expect("small");
    made.drain(..skipped);
    made.truncate(bytes);
    made
}

fn guaranteed(name: &str) -> ChannelConfig {
    reliable(name).reliability(Reliability::Guaranteed)
}

/// Two connected nodes with that channel, both configured so.
fn pair(channel: &ChannelConfig, also: impl Fn(ConfigBuilder) -> ConfigBuilder) -> (Node, Node) {
    let node = |name| start(also(config(name).channel(channel.clone())));
    let (a, b) = (node("a"), node("b"));
    connect_both(&a, &b);
    (a, b)
}

fn open(node: &Node, peer: &str, mailbox: &str) -> StreamWriter {
    let channel = node.channel("data").expect("it is configured");
    let to = node.destination(peer, mailbox).expect("names");
    channel.open_stream(&to).expect("the peer is there")
}

fn accept(streams: &mut Streams) -> StreamReader {
    streams.accept_timeout(GENEROUS).expect("a stream comes")
}

/// Reads all of it, and holds it against the pattern.
fn read_all(mut reader: StreamReader) -> Result<u64, StreamError> {
    let mut at = 0;
    while let Some(chunk) = reader.read_chunk_blocking()? {
        assert!(chunk == pattern(at, chunk.len()), "other bytes at {at}");
        at += chunk.len() as u64;
    }
    assert_eq!(reader.progress().length, Some(at));
    assert_eq!(reader.progress().read, at);
    Ok(at)
}

/// Writes so many bytes of the pattern, in pieces of `piece`.
fn write_all(mut writer: StreamWriter, bytes: u64, piece: usize) -> Result<(), StreamError> {
    let mut at = 0;
    while at < bytes {
        let piece = piece.min(usize::try_from(bytes - at).expect("small"));
        writer.write_bytes_blocking(pattern(at, piece).into())?;
        at += piece as u64;
    }
    assert_eq!(writer.progress().written, bytes);
    writer.finish_blocking()
}

/// Waits until no stream is open any more, and checks the accounts.
fn closed(nodes: &[&Node]) {
    for node in nodes {
        wait_until(
            "its streams are over",
            || node.metrics().streams,
            |streams| streams.open_outgoing + streams.open_incoming == 0,
        );
    }
    check_accounting(nodes);
}

#[test]
fn a_stream_comes_as_it_was_written() {
    let (a, b) = pair(&reliable("data"), |config| config);
    let mut streams = b.streams("files").expect("a name");
    for (bytes, piece) in [
        (0, 1),
        (1, 1),
        (5_000, 1),
        (3_000_000, 7_000),
        (9_000_001, 1 << 20),
    ] {
        let writer = open(&a, "b", "files");
        let writing = thread::spawn(move || write_all(writer, bytes, piece));
        let reader = accept(&mut streams);
        assert_eq!((reader.from().name(), reader.channel()), ("a", "data"));
        assert_eq!(reader.mailbox(), "files");
        assert_eq!(read_all(reader), Ok(bytes));
        assert_eq!(writing.join().expect("it does not panic"), Ok(()));
    }
    closed(&[&a, &b]);
}

#[test]
fn a_stream_can_be_written_and_read_like_a_file() {
    let (a, b) = pair(&reliable("data"), |config| config);
    let mut streams = b.streams("files").expect("a name");
    let mut writer = open(&a, "b", "files");
    let writing = thread::spawn(move || {
        for at in (0..2_000_000).step_by(1_000) {
            writer.write_all(&pattern(at, 1_000)).expect("it is read");
            if at % 100_000 == 0 {
                writer.flush().expect("it is read");
            }
        }
        writer.finish_blocking()
    });
    let mut reader = accept(&mut streams);
    let mut all = Vec::new();
    reader.read_to_end(&mut all).expect("it comes whole");
    assert!(all == pattern(0, 2_000_000));
    assert_eq!(reader.read(&mut [0; 8]).expect("the end stays"), 0);
    assert_eq!(writing.join().expect("it does not panic"), Ok(()));
    closed(&[&a, &b]);
}

#[test]
fn a_stream_can_be_written_and_read_in_tasks() {
    use futures_lite::{AsyncReadExt, AsyncWriteExt, StreamExt, future};
    let (a, b) = pair(&reliable("data"), |config| config);
    let mut streams = b.streams("files").expect("a name");
    let mut writer = open(&a, "b", "files");
    let write = async move {
        AsyncWriteExt::write_all(&mut writer, &pattern(0, 3_000_000))
            .await
            .expect("it is read");
        writer
            .write_bytes(pattern(3_000_000, 77).into())
            .await
            .expect("it is read");
        writer.close().await.expect("it is read to its end");
    };
    let read = async move {
        let mut reader = StreamExt::next(&mut streams).await.expect("a stream comes");
        let mut all = Vec::new();
        AsyncReadExt::read_to_end(&mut reader, &mut all)
            .await
            .expect("it comes whole");
        assert!(all == pattern(0, 3_000_077));
    };
    future::block_on(future::zip(write, read));
    closed(&[&a, &b]);
}

#[test]
fn a_stream_is_a_reader_and_a_writer_of_tokio() {
    use std::future::poll_fn;
    use std::pin::Pin;
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
    let (a, b) = pair(&reliable("data"), |config| config);
    let mut streams = b.streams("files").expect("a name");
    let mut writer = open(&a, "b", "files");
    let write = async move {
        let all = pattern(0, 3_000_000);
        let mut at = 0;
        while at < all.len() {
            let rest = &all[at..];
            let written = poll_fn(|context| Pin::new(&mut writer).poll_write(context, rest));
            at += written.await.expect("it is read");
        }
        let flushed = poll_fn(|context| Pin::new(&mut writer).poll_flush(context));
        flushed.await.expect("it is read");
        let shut_down = poll_fn(|context| Pin::new(&mut writer).poll_shutdown(context));
        shut_down.await.expect("it is read to its end");
    };
    let read = async move {
        let mut reader = streams.accept().await.expect("a stream comes");
        let (mut all, mut buffer) = (Vec::new(), vec![0; 10_000]);
        loop {
            let mut into = ReadBuf::new(&mut buffer);
            let read = poll_fn(|context| Pin::new(&mut reader).poll_read(context, &mut into));
            read.await.expect("it comes whole");
            if into.filled().is_empty() {
                break all;
            }
            all.extend_from_slice(into.filled());
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.build().expect("it needs nothing");
    let all = runtime.block_on(async {
        let writing = tokio::spawn(write);
        let all = read.await;
        writing.await.expect("it does not panic");
        all
    });
    assert!(all == pattern(0, 3_000_000));
    closed(&[&a, &b]);
}

#[test]
fn a_node_streams_to_itself() {
    let node = start(config("a").channel(reliable("data")));
    let mut streams = node.streams("files").expect("a name");
    let writer = open(&node, "a", "files");
    let writing = thread::spawn(move || write_all(writer, 3_000_000, 100_000));
    assert_eq!(read_all(accept(&mut streams)), Ok(3_000_000));
    assert_eq!(writing.join().expect("it does not panic"), Ok(()));
    closed(&[&node]);
}

#[test]
fn an_unread_stream_stops_its_writer_within_its_window_and_nothing_else() {
    const WINDOW: usize = 100_000;
    let small = |config: ConfigBuilder| {
        config
            .stream_window_bytes(WINDOW)
            .stream_chunk_bytes(30_000)
    };
    let (a, b) = pair(&reliable("data"), small);
    let mut streams = b.streams("files").expect("a name");
    let writer = open(&a, "b", "files");
    let unread = accept(&mut streams);
    let writing = thread::spawn(move || write_all(writer, 1_000_000, 10_000));
    wait_until(
        "the window is full",
        || unread.progress().received,
        |received| *received == WINDOW as u64,
    );
    // Another stream, and messages, pass it on the same lane.
    let other = open(&a, "b", "files");
    let other = thread::spawn(move || write_all(other, 1_000_000, 10_000));
    assert_eq!(read_all(accept(&mut streams)), Ok(1_000_000));
    assert_eq!(other.join().expect("it does not panic"), Ok(()));
    let mut inbox = b.inbox("in").expect("a name");
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    channel.send_blocking(&to, "beside").expect("there is room");
    assert_eq!(
        inbox.recv_timeout(GENEROUS).expect("it comes").payload(),
        b"beside"
    );
    assert_eq!(unread.progress().received, WINDOW as u64);
    assert_eq!(read_all(unread), Ok(1_000_000));
    assert_eq!(writing.join().expect("it does not panic"), Ok(()));
    closed(&[&a, &b]);
}

#[test]
fn a_stream_goes_on_over_cut_connections() {
    const BYTES: u64 = 20_000_000;
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let (a, b, proxy) = pair_through_proxy(&guaranteed("data"));
    let mut streams = b.streams("files").expect("a name");
    let writer = open(&a, "b", "files");
    let mut backwards = a.streams("files").expect("a name");
    let back = open_when_there(&b, "a", "files");
    let writing =
        [writer, back].map(|writer| thread::spawn(move || write_all(writer, BYTES, 50_000)));
    let readers = [accept(&mut streams), accept(&mut backwards)];
    let done = Arc::new(AtomicBool::new(false));
    let reading = readers.map(|reader| thread::spawn(move || read_all(reader)));
    let cut_at: Vec<u64> = (1..=5)
        .map(|cut| cut * BYTES / 4 + random.u64(0..BYTES / 8))
        .collect();
    let cutting = thread::spawn({
        let done = Arc::clone(&done);
        move || {
            for at in cut_at {
                while proxy.bytes() < at && !done.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_micros(200));
                }
                proxy.cut();
            }
            proxy
        }
    });
    for reading in reading {
        assert_eq!(reading.join().expect("it does not panic"), Ok(BYTES));
    }
    done.store(true, Ordering::Relaxed);
    let proxy = cutting.join().expect("it does not panic");
    for writing in writing {
        assert_eq!(writing.join().expect("it does not panic"), Ok(()));
    }
    closed(&[&a, &b]);
    drop(proxy);
}

/// Opens a stream as soon as the peer is connected from this side as well.
fn open_when_there(node: &Node, peer: &str, mailbox: &str) -> StreamWriter {
    node.wait_connected(peer, GENEROUS).expect("lanes come up");
    open(node, peer, mailbox)
}

#[test]
fn on_a_channel_that_does_not_resume_both_ends_hear_that_the_lane_ended() {
    let (a, b, proxy) = pair_through_proxy(&reliable("data"));
    let mut streams = b.streams("files").expect("a name");
    let writer = open(&a, "b", "files");
    let mut reader = accept(&mut streams);
    let writing = thread::spawn(move || write_all(writer, u64::MAX, 10_000));
    let first = reader.read_chunk_blocking().expect("it comes");
    assert!(first.is_some());
    proxy.cut();
    let read = loop {
        match reader.read_chunk_blocking() {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    assert!(
        matches!(read, Err(StreamError::LaneEnded { .. })),
        "{read:?}"
    );
    let written = writing.join().expect("it does not panic");
    assert!(
        matches!(written, Err(StreamError::LaneEnded { .. })),
        "{written:?}"
    );
    closed(&[&a, &b]);
}

#[test]
fn the_reader_hears_why_the_writer_cancels_behind_what_came() {
    let (a, b) = pair(&reliable("data"), |config| config);
    let mut streams = b.streams("files").expect("a name");
    let mut writer = open(&a, "b", "files");
    writer.write_all(b"begun").expect("there is room");
    writer.flush().expect("there is room");
    let mut reader = accept(&mut streams);
    assert_eq!(
        reader.read_chunk_blocking(),
        Ok(Some(Bytes::from_static(b"begun")))
    );
    writer.cancel("the disk is on fire");
    let why = "the disk is on fire".to_owned();
    assert_eq!(
        reader.read_chunk_blocking(),
        Err(StreamError::Cancelled { why })
    );
    let dropped = open(&a, "b", "files");
    let mut reader = accept(&mut streams);
    drop(dropped);
    let outcome = reader.read_chunk_blocking();
    assert!(
        matches!(outcome, Err(StreamError::Cancelled { .. })),
        "{outcome:?}"
    );
    closed(&[&a, &b]);
}

#[test]
fn the_writer_hears_why_the_reader_cancels() {
    let (a, b) = pair(&reliable("data"), |config| config);
    let mut streams = b.streams("files").expect("a name");
    let writer = open(&a, "b", "files");
    let mut reader = accept(&mut streams);
    let writing = thread::spawn(move || write_all(writer, u64::MAX, 100_000));
    assert!(reader.read_chunk_blocking().expect("it comes").is_some());
    reader.cancel("no room left");
    let why = "no room left".to_owned();
    let written = writing.join().expect("it does not panic");
    assert_eq!(written, Err(StreamError::Cancelled { why }));
    let writer = open(&a, "b", "files");
    drop(accept(&mut streams));
    let written = write_all(writer, u64::MAX, 100_000);
    assert!(
        matches!(written, Err(StreamError::Cancelled { .. })),
        "{written:?}"
    );
    closed(&[&a, &b]);
}

/// The reader has given its lane up, and with it the word that it reads no more; the writer's time for the lane is longer, so its
/// half would wait for that word without end.
#[test]
fn the_writer_hears_that_the_reader_cancelled_though_the_word_was_given_up_with_its_lane() {
    let node = |name, waits_ms: u128| {
        let waits_ms = u64::try_from(waits_ms).expect("it is short");
        start(config(name).channel(guaranteed("data").resume_timeout_ms(waits_ms)))
    };
    let (a, b) = (node("a", (GENEROUS * 2).as_millis()), node("b", 300));
    let proxy = connect_through_proxy(&a, &b);
    for is_read in [false, true] {
        let mut streams = b.streams("files").expect("a name");
        let writer = open_when_there(&a, "b", "files");
        let mut reader = accept(&mut streams);
        let writing = thread::spawn(move || write_all(writer, 100_000, 10_000));
        if is_read {
            // The word that is given up says that all of it was read.
            wait_until(
                "all has come",
                || reader.progress(),
                |now| now.length.is_some(),
            );
        } else {
            reader.read_chunk_blocking().expect("it comes");
        }
        let reported = || -> u64 {
            let metrics = b.metrics();
            metrics.lanes.iter().map(|lane| lane.reported).sum()
        };
        let before = reported();
        proxy.stall(true);
        if is_read {
            assert_eq!(read_all(reader), Ok(100_000));
        } else {
            reader.cancel("enough");
        }
        proxy.cut();
        wait_until("it is given up", reported, |now| *now > before);
        assert!(!writing.is_finished(), "nobody has told it");
        proxy.stall(false);
        wait_until("it is told", || writing.is_finished(), |is_told| *is_told);
        let written = writing.join().expect("it does not panic");
        match is_read {
            true => assert_eq!(written, Ok(())),
            false => assert!(matches!(written, Err(StreamError::Cancelled { .. }))),
        }
    }
    closed(&[&a, &b]);
}

#[test]
fn a_stream_that_nobody_accepts_is_refused() {
    let (a, b) = pair(&reliable("data"), |config| config);
    let nobody = Err(StreamError::Refused {
        reason: CancelReason::NobodyAccepts,
    });
    assert_eq!(open(&a, "b", "files").finish_blocking(), nobody);
    let streams = b.streams("files").expect("a name");
    let waiting = open(&a, "b", "files");
    wait_until(
        "it waits",
        || b.metrics().streams.open_incoming,
        |open| *open == 1,
    );
    // Whoever accepted there goes, and with them what waited.
    drop(streams);
    assert_eq!(waiting.finish_blocking(), nobody);
    assert_eq!(b.metrics().streams.refused, 1);
    closed(&[&a, &b]);
}

#[test]
fn open_streams_are_bounded_at_both_ends() {
    const MAX: usize = 3;
    let a = start(config("a").channel(reliable("data")));
    let b = start(config("b").channel(reliable("data")).streams_max(MAX));
    connect_both(&a, &b);
    let mut back = a.streams("files").expect("a name");
    let open_ones: Vec<_> = (0..MAX).map(|_| open(&b, "a", "files")).collect();
    let channel = b.channel("data").expect("it is configured");
    let to = b.destination("a", "files").expect("names");
    let error = channel.open_stream(&to).expect_err("there are too many");
    assert_eq!(error, StreamError::TooMany { streams_max: MAX });
    drop(open_ones);
    open(&b, "a", "files").cancel("there is room again");
    drop(accept(&mut back));
    let mut streams = b.streams("files").expect("a name");
    let writers: Vec<_> = (0..MAX + 2).map(|_| open(&a, "b", "files")).collect();
    let readers: Vec<_> = (0..MAX).map(|_| accept(&mut streams)).collect();
    let reading = thread::spawn(move || {
        let read = readers.into_iter().map(read_all);
        read.collect::<Vec<_>>()
    });
    let written: Vec<_> = writers
        .into_iter()
        .map(|writer| write_all(writer, 1_000, 100))
        .collect();
    let refused = Err(StreamError::Refused {
        reason: CancelReason::TooMany,
    });
    let expected = [vec![Ok(()); MAX], vec![refused; 2]].concat();
    assert_eq!(written, expected);
    assert_eq!(
        reading.join().expect("it does not panic"),
        vec![Ok(1_000); MAX]
    );
    assert_eq!(b.metrics().streams.refused, 2);
    assert_eq!(
        streams.accept_timeout(Duration::from_millis(1)).err(),
        Some(RecvError::TimedOut)
    );
    // What is over makes room.
    let writer = open(&a, "b", "files");
    let writing = thread::spawn(move || write_all(writer, 1_000, 100));
    assert_eq!(read_all(accept(&mut streams)), Ok(1_000));
    assert_eq!(writing.join().expect("it does not panic"), Ok(()));
    closed(&[&a, &b]);
}

#[test]
fn a_channel_that_may_drop_messages_carries_no_streams() {
    for channel in [
        best_effort("data"),
        reliable("data").overflow(Overflow::DropOldest),
    ] {
        let (a, _b) = pair(&channel, |config| config);
        let channel = a.channel("data").expect("it is configured");
        let to = a.destination("b", "files").expect("names");
        let error = channel.open_stream(&to).expect_err("it may drop");
        let channel = "data".to_owned();
        assert_eq!(error, StreamError::NotReliable { channel });
        let nobody = a.destination("c", "files").expect("names");
        drop(nobody);
    }
    let a = start(config("a").channel(reliable("data")));
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("c", "files").expect("names");
    let error = channel.open_stream(&to).expect_err("it is not there");
    assert_eq!(error, StreamError::Send(SendError::Unreachable));
}

#[test]
fn a_stop_ends_the_streams_at_both_ends() {
    let (a, b) = pair(&guaranteed("data"), |config| config);
    let mut streams = b.streams("files").expect("a name");
    let writer = open(&a, "b", "files");
    let mut reader = accept(&mut streams);
    let writing = thread::spawn(move || write_all(writer, u64::MAX, 100_000));
    assert!(reader.read_chunk_blocking().expect("it comes").is_some());
    drop(a.stop(GENEROUS));
    let written = writing.join().expect("it does not panic");
    assert_eq!(written, Err(StreamError::Send(SendError::Closed)));
    let read = loop {
        match reader.read_chunk_blocking() {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    assert!(
        matches!(read, Err(StreamError::LaneEnded { .. })),
        "{read:?}"
    );
    drop(b);
    assert_eq!(streams.accept_blocking().err(), Some(RecvError::Closed));
}

/// Tasks on one thread for each side, so that the lane is shared and not the processor.
#[test]
fn many_streams_share_a_lane_alike() {
    const STREAMS: usize = 100;
    const ALL_BYTES: u64 = 1200 << 20;
    let small = |config: ConfigBuilder| {
        config
            .stream_chunk_bytes(64 << 10)
            .stream_window_bytes(256 << 10)
    };
    let (a, b) = pair(&reliable("data"), small);
    let mut streams = b.streams("files").expect("a name");
    let mut writers = Vec::new();
    let mut readers = Vec::new();
    for _ in 0..STREAMS {
        writers.push(open(&a, "b", "files"));
        readers.push(accept(&mut streams));
    }
    let writing = thread::spawn(move || {
        let chunk = Bytes::from(pattern(0, 64 << 10));
        let tasks = LocalExecutor::new();
        let tasks_of = writers.into_iter().map(|mut writer| {
            let chunk = chunk.clone();
            tasks.spawn(async move { while writer.write_bytes(chunk.clone()).await.is_ok() {} })
        });
        let all: Vec<_> = tasks_of.collect();
        futures_lite::future::block_on(tasks.run(async {
            for task in all {
                task.await;
            }
        }));
    });
    let shares: Vec<_> = (0..STREAMS).map(|_| Cell::new(0)).collect();
    let total = Cell::new(0);
    let tasks = LocalExecutor::new();
    let (shares_of, total_of) = (&shares, &total);
    let tasks_of = readers
        .into_iter()
        .zip(shares_of)
        .map(|(mut reader, share)| {
            tasks.spawn(async move {
                while total_of.get() < ALL_BYTES {
                    let chunk = reader.read_chunk().await.expect("it goes on");
                    let bytes = chunk.expect("it goes on").len() as u64;
                    if total_of.get() < ALL_BYTES {
                        share.set(share.get() + bytes);
                        total_of.set(total_of.get() + bytes);
                    }
                }
            })
        });
    let all: Vec<_> = tasks_of.collect();
    futures_lite::future::block_on(tasks.run(async {
        for task in all {
            task.await;
        }
    }));
    writing.join().expect("it does not panic");
    let (least, most) = (shares.iter().min(), shares.iter().max());
    let (least, most) = (least.expect("many").get(), most.expect("many").get());
    assert!(least * 10 >= most * 9, "from {least} to {most} bytes");
    closed(&[&a, &b]);
}

#[test]
fn a_node_that_stops_when_it_has_read_a_stream_has_said_so() {
    for turn in 0..10 {
        let channel = if turn % 2 == 0 {
            reliable("data")
        } else {
            guaranteed("data")
        };
        let (a, b) = pair(&channel, |config| config);
        let mut streams = b.streams("files").expect("a name");
        let writer = open(&a, "b", "files");
        let writing = thread::spawn(move || write_all(writer, 100_000, 10_000));
        assert_eq!(read_all(accept(&mut streams)), Ok(100_000));
        drop(b.stop(GENEROUS));
        assert_eq!(writing.join().expect("it does not panic"), Ok(()));
    }
}

/// Streams both ways that are finished, cancelled and let go of at random, while connections are cut: each end
/// hears how its stream ends, what was read is what was written, and nothing is left over.
#[test]
fn streams_end_whatever_their_ends_do_while_connections_are_cut() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    for (turn, channel) in [guaranteed("data"), reliable("data")]
        .into_iter()
        .enumerate()
    {
        let mut random = fastrand::Rng::with_seed(seed + turn as u64);
        let small = |name| {
            let config = config(name).channel(channel.clone());
            start(
                config
                    .stream_chunk_bytes(20_000)
                    .stream_window_bytes(50_000),
            )
        };
        let (a, b) = (small("a"), small("b"));
        let proxy = connect_through_proxy(&a, &b);
        b.wait_connected("a", GENEROUS).expect("lanes come up");
        let over = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for (from, to) in [(&a, "b"), (&b, "a")] {
            let mut streams = from.streams("files").expect("a name");
            let closing = Arc::clone(&over);
            let seed = random.u64(..);
            threads.push(thread::spawn(move || {
                accept_at_random(&mut streams, &closing, seed)
            }));
            for _ in 0..3 {
                let channel = from.channel("data").expect("it is configured");
                let to = from.destination(to, "files").expect("names");
                let over = Arc::clone(&over);
                let mut random = random.fork();
                threads.push(thread::spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        match channel.open_stream(&to) {
                            Ok(writer) => write_at_random(writer, &mut random),
                            Err(_) => thread::yield_now(),
                        }
                    }
                }));
            }
        }
        for _ in 0..40 {
            let at = proxy.bytes() + random.u64(0..1_000_000);
            wait_until("traffic goes on", || proxy.bytes(), |bytes| *bytes >= at);
            proxy.cut();
        }
        over.store(true, Ordering::Relaxed);
        for thread in threads {
            ends("a thread", move || {
                thread.join().expect("it does not panic")
            });
        }
        closed(&[&a, &b]);
        drop(proxy);
    }
}

fn write_at_random(mut writer: StreamWriter, random: &mut fastrand::Rng) {
    let bytes = random.u64(0..300_000);
    let mut at = 0;
    while at < bytes {
        let piece = random
            .usize(1..40_000)
            .min(usize::try_from(bytes - at).expect("small"));
        if writer
            .write_bytes_blocking(pattern(at, piece).into())
            .is_err()
        {
            return;
        }
        at += piece as u64;
        match random.u8(0..60) {
            0 => return writer.cancel("at random"),
            1 => return,
            _ => {}
        }
    }
    drop(writer.finish_blocking());
}

fn accept_at_random(streams: &mut Streams, over: &Arc<AtomicBool>, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut readers = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let Ok(mut reader) = streams.accept_timeout(Duration::from_millis(20)) else {
            continue;
        };
        let mut random = random.fork();
        readers.push(thread::spawn(move || {
            let mut at = 0;
            while let Ok(Some(chunk)) = reader.read_chunk_blocking() {
                assert!(chunk == pattern(at, chunk.len()), "other bytes at {at}");
                at += chunk.len() as u64;
                match random.u8(0..60) {
                    0 => return reader.cancel("at random"),
                    1 => return,
                    _ => {}
                }
            }
        }));
    }
    for reader in readers {
        reader.join().expect("it does not panic");
    }
}
