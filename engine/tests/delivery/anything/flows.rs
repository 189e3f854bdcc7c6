//! The streams of the random applications: threads that write and threads that read, and what both have seen of each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use fastrand::Rng;
use overlane::{Channel, Destination, Node, StreamReader};

/// Streams of a run: each has two threads.
pub(super) const FLOWS_MAX: u64 = 40;

/// How many bytes of each stream have been read, by its number, up to its end; none of one that ended otherwise.
type ReadWhole = Arc<Mutex<BTreeMap<u64, u64>>>;

/// The number of a stream, how much was written, and whether the engine said that all of it was read.
pub(super) type Written = (u64, u64, bool);

#[derive(Default)]
pub(super) struct Flows {
    begun: u64,
    read_whole: ReadWhole,
    writers: Vec<JoinHandle<Written>>,
    /// They end with their node.
    acceptors: Vec<JoinHandle<()>>,
}

fn byte(number: u64, at: u64) -> u8 {
    (number * 31 + at / 5).to_le_bytes()[0]
}

/// Reads a stream whose first bytes are its number, to its end or for a while.
fn read(mut reader: StreamReader, read_whole: &ReadWhole, mut random: Rng) {
    let patience = random.usize(..100);
    let (mut number, mut bytes) = (Vec::new(), 0);
    for chunks in 0.. {
        let chunk = match reader.read_chunk_blocking() {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break,
            // The writer is told, too, or has ended it.
            Err(_) => return,
        };
        for read in &chunk {
            if number.len() < 8 {
                number.push(*read);
                continue;
            }
            let number = u64::from_le_bytes(number[..].try_into().expect("eight"));
            assert_eq!(*read, byte(number, bytes), "stream {number} at {bytes}");
            bytes += 1;
        }
        if random.u8(..5) == 0 && chunks == patience {
            return reader.cancel("enough");
        }
    }
    let number = number.try_into().map_or(u64::MAX, u64::from_le_bytes);
    let mut whole = read_whole.lock().expect("no thread panics with it");
    assert_eq!(
        whole.insert(number, bytes),
        None,
        "stream {number} comes once"
    );
}

impl Flows {
    /// Takes the streams that come to a node, as long as it runs.
    pub(super) fn accept(&mut self, node: &Node, seed: u64) {
        let mut streams = node.streams("flows").expect("a mailbox");
        let read_whole = Arc::clone(&self.read_whole);
        self.acceptors.push(thread::spawn(move || {
            let mut random = Rng::with_seed(seed);
            let mut readers = Vec::new();
            while let Ok(reader) = streams.accept_blocking() {
                let (read_whole, random) = (Arc::clone(&read_whole), random.fork());
                readers.push(thread::spawn(move || read(reader, &read_whole, random)));
            }
            for reader in readers {
                reader.join().expect("what is read is what was written");
            }
        }));
    }

    /// Writes a stream on a thread: some end it before its end.
    pub(super) fn begin(&mut self, channel: &Channel, to: &Destination, mut random: Rng) {
        if self.begun == FLOWS_MAX {
            return;
        }
        let number = self.begun;
        // One that cannot be opened is none.
        let Ok(mut writer) = channel.open_stream(to) else {
            return;
        };
        self.begun += 1;
        self.writers.push(thread::spawn(move || {
            let mut written = 0;
            let mut chunk = number.to_le_bytes().to_vec();
            for _ in 0..random.usize(..60) {
                let length = random.u64(..20_000);
                chunk.extend((written..written + length).map(|at| byte(number, at)));
                if writer
                    .write_bytes_blocking(Bytes::from(std::mem::take(&mut chunk)))
                    .is_err()
                {
                    return (number, written, false);
                }
                written += length;
            }
            if random.u8(..4) == 0 || written == 0 {
                writer.cancel("thought better of it");
                return (number, written, false);
            }
            (number, written, writer.finish_blocking().is_ok())
        }));
    }

    /// The numbers of those that are still being written.
    pub(super) fn unwritten(&self) -> Vec<usize> {
        let writers = self.writers.iter().enumerate();
        let writing = writers.filter(|(_, writer)| !writer.is_finished());
        writing.map(|(number, _)| number).collect()
    }

    /// What they wrote.
    pub(super) fn written(&mut self) -> Vec<Written> {
        let writers = self.writers.drain(..);
        writers
            .map(|writer| writer.join().expect("it does not panic"))
            .collect()
    }

    /// Once the nodes have stopped: what was said to have been read whole was.
    pub(super) fn judge(self, written: &[Written]) {
        for acceptor in self.acceptors {
            acceptor.join().expect("it ends with its node");
        }
        let whole = self.read_whole.lock().expect("no thread panics with it");
        for (number, bytes, is_said) in written {
            match whole.get(number) {
                Some(read) => assert_eq!(read, bytes, "stream {number}"),
                None => assert!(
                    !is_said,
                    "stream {number} of {bytes} bytes was said to be read"
                ),
            }
        }
    }
}
