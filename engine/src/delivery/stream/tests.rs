//! Both ends against a model that knows everything: two queues of words, and plain counts.

use std::collections::VecDeque;

use super::*;
use crate::delivery::schedules::seeds;

#[derive(Clone, Copy, Debug)]
enum ToReader {
    Data(u64),
    Finish(Stated),
}

#[derive(Clone, Copy, Debug)]
enum ToWriter {
    Grant(Grant),
    Done,
}

/// The two ends, what is under way between them, and what the model knows.
struct Run {
    random: fastrand::Rng,
    window: u64,
    writer: Sending,
    reader: Receiving,
    to_reader: VecDeque<ToReader>,
    to_writer: VecDeque<ToWriter>,
    /// Bytes that the application wants to write in all.
    length: u64,
    written: u64,
    came: u64,
    read: u64,
    finished: bool,
    completed: bool,
}

const CHECKSUM: u64 = 77;

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let window = 1 << random.u32(0..12);
        let window = window + random.u64(0..window);
        let reader = Receiving::new(window);
        let first = ToWriter::Grant(reader.grant());
        Self {
            length: random.u64(0..window * 8),
            random,
            window,
            writer: Sending::default(),
            reader,
            to_reader: VecDeque::new(),
            to_writer: VecDeque::from([first]),
            written: 0,
            came: 0,
            read: 0,
            finished: false,
            completed: false,
        }
    }

    fn step(&mut self) {
        match self.random.u8(0..4) {
            0 => self.write(),
            1 => self.deliver_to_reader(),
            2 => self.read(),
            _ => self.deliver_to_writer(),
        }
        self.check();
    }

    fn write(&mut self) {
        let left = self.length - self.written;
        if left == 0 && !self.finished {
            self.finished = true;
            let stated = self.writer.finish(CHECKSUM);
            assert_eq!(stated.bytes, self.length);
            self.to_reader.push_back(ToReader::Finish(stated));
        }
        let most = self.writer.room().min(left);
        if most > 0 {
            let bytes = self.random.u64(1..=most);
            self.writer.sent(bytes);
            self.written += bytes;
            self.to_reader.push_back(ToReader::Data(bytes));
        }
    }

    fn deliver_to_reader(&mut self) {
        match self.to_reader.pop_front() {
            Some(ToReader::Data(bytes)) => {
                assert_eq!(self.reader.came(bytes), Ok(()));
                self.came += bytes;
            }
            Some(ToReader::Finish(stated)) => assert_eq!(self.reader.finish(stated), Ok(())),
            None => {}
        }
    }

    fn read(&mut self) {
        let most = self.came - self.read;
        if most > 0 {
            let bytes = self.random.u64(1..=most);
            self.read += bytes;
            if let Some(grant) = self.reader.read(bytes) {
                self.to_writer.push_back(ToWriter::Grant(grant));
            }
        }
        if !self.completed && self.reader.completion(CHECKSUM).is_some() {
            self.completed = true;
            assert_eq!(self.read, self.length, "it is whole when all was read");
            let wrong = self.reader.completion(CHECKSUM + 1);
            assert_eq!(wrong, Some(Completion::Mismatch));
            self.to_writer.push_back(ToWriter::Done);
        }
    }

    fn deliver_to_writer(&mut self) {
        match self.to_writer.pop_front() {
            Some(ToWriter::Grant(grant)) => {
                let taken = self
                    .writer
                    .window(grant.granted, grant.received, grant.read);
                assert_eq!(taken, Ok(()));
            }
            Some(ToWriter::Done) => assert_eq!(self.writer.done(), Ok(())),
            None => {}
        }
    }

    fn check(&mut self) {
        assert_eq!(self.writer.bytes_sent(), self.written);
        assert_eq!(self.reader.bytes_received(), self.came);
        assert_eq!(self.reader.bytes_read(), self.read);
        assert!(
            self.written - self.read <= self.window,
            "the window bounds what is under way and unread"
        );
        assert!(self.writer.bytes_received() <= self.came);
        assert!(self.writer.bytes_read() <= self.read);
        self.forge();
    }

    /// What a hostile end might say instead is refused, and changes nothing.
    fn forge(&mut self) {
        let granted = self.reader.grant().granted;
        let beyond = granted - self.came + 1 + self.random.u64(0..10);
        let mut reader = self.reader.clone();
        assert!(reader.came(beyond).is_err());
        assert!(reader.came(0).is_err());
        assert_eq!(reader.bytes_received(), self.came);
        let (sent, read) = (self.writer.bytes_sent(), self.writer.bytes_read());
        let mut writer = self.writer.clone();
        for (granted, received, read) in [
            (granted + 1, sent + 1, read),
            (read + WINDOW_BYTES_MAX + 1, sent, read),
            (granted + 1, sent, sent + 1),
        ] {
            assert!(writer.window(granted, received, read).is_err());
        }
        assert_eq!(writer.room(), self.writer.room());
        if !self.finished {
            assert_eq!(writer.done(), Err(Violation::DoneTooEarly));
        }
    }

    fn is_over(&self) -> bool {
        self.writer.is_done()
    }
}

#[test]
fn every_stream_ends_whole_within_its_window_whatever_the_schedule() {
    let mut steps = 0_u64;
    let seeds = seeds(0, 4_000);
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let mut run = Run::new(seed);
        let mut left = 1_000_000_u64;
        while !run.is_over() {
            run.step();
            steps += 1;
            left -= 1;
            assert!(left > 0, "seed {seed}: a stream stands still");
        }
    }
    assert!(steps > count * 20, "{steps} of {count}");
}

#[test]
fn a_window_that_takes_back_or_promises_too_much_is_refused() {
    let mut writer = Sending::default();
    assert_eq!(writer.room(), 0, "nothing goes before the reader grants it");
    writer.window(100, 0, 0).expect("a first window");
    writer.sent(60);
    assert_eq!(writer.room(), 40);
    writer.window(150, 60, 50).expect("it goes on");
    let bad = [
        (149, 60, 50),
        (150, 59, 50),
        (150, 60, 49),
        (150, 61, 50),
        (200, 60, 61),
        (51 + WINDOW_BYTES_MAX, 60, 50),
    ];
    for (granted, received, read) in bad {
        let refused = Violation::BadWindow {
            granted,
            received,
            read,
        };
        assert_eq!(writer.window(granted, received, read), Err(refused));
    }
    assert_eq!(writer.room(), 90);
    assert_eq!((writer.bytes_received(), writer.bytes_read()), (60, 50));
}

#[test]
fn what_comes_beyond_the_window_is_refused_and_told_in_bytes() {
    let mut reader = Receiving::new(100);
    reader.came(90).expect("within the window");
    let beyond = Violation::BeyondWindow { bytes: 3 };
    assert_eq!(reader.came(13), Err(beyond));
    reader.came(10).expect("the refused chunk took no room");
}

#[test]
fn an_end_that_is_not_where_the_stream_ends_is_refused() {
    let mut reader = Receiving::new(100);
    reader.came(10).expect("within the window");
    let stated = |bytes| Stated {
        bytes,
        checksum: CHECKSUM,
    };
    for bytes in [9, 11] {
        let wrong = Violation::WrongLength {
            received: 10,
            stated: bytes,
        };
        assert_eq!(reader.finish(stated(bytes)), Err(wrong));
    }
    reader.finish(stated(10)).expect("it is right");
    assert_eq!(reader.finish(stated(10)), Err(Violation::AfterFinish));
    assert_eq!(reader.came(1), Err(Violation::AfterFinish));
    assert_eq!(reader.completion(CHECKSUM), None, "nothing was read");
    assert_eq!(reader.read(10), None, "the writer needs no more");
    assert_eq!(reader.completion(CHECKSUM), Some(Completion::Whole));
}

#[test]
fn windows_are_told_by_halves() {
    let mut reader = Receiving::new(100);
    reader.came(100).expect("within the window");
    assert_eq!(reader.read(49), None);
    let grant = reader.read(1).expect("half of it is read");
    assert_eq!((grant.granted, grant.read), (150, 50));
    assert_eq!(reader.read(49), None);
    let mut smallest = Receiving::new(1);
    smallest.came(1).expect("within the window");
    assert!(smallest.read(1).is_some());
}
