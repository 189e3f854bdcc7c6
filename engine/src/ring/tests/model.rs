//! The ring against a queue of vectors, over random sequences of every operation.
//!
//! The model knows nothing of padding, so it cannot say when the ring must be full; what it can
//! say is that an empty ring takes anything up to its limit, and that a refusal changes nothing.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use proptest::prelude::*;

use super::super::record::DrainPayload;
use super::super::{Consumer, Drained, Payload, Producer, PushError, Tag, byte_ring};
use super::{Counted, SHARED_PAYLOAD_BYTE, tag};

/// One call on either end; lengths are of payloads.
#[derive(Clone, Debug)]
enum Call {
    Push(usize),
    PushShared(usize),
    PushMany(Vec<usize>),
    Peek,
    Advance,
    /// Up to so many bytes, breaking at so many records, taking shared buffers or leaving them.
    Drain {
        bytes_max: usize,
        break_after: usize,
        takes: bool,
    },
    /// Up to so many bytes, in runs, breaking at so many calls.
    DrainRuns {
        bytes_max: usize,
        break_after: usize,
    },
    Close,
}

const CAPACITY_BYTES: usize = 1024;
const RUN_MAX: usize = 5;
const PAYLOAD_BYTES_MAX: usize = CAPACITY_BYTES / 2 - 16;

fn payload_bytes() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => 0..80_usize,
        2 => 0..=PAYLOAD_BYTES_MAX,
        1 => PAYLOAD_BYTES_MAX - 1..=PAYLOAD_BYTES_MAX + 2,
    ]
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        30 => payload_bytes().prop_map(Call::Push),
        15 => (0..3000_usize).prop_map(Call::PushShared),
        15 => prop::collection::vec(payload_bytes(), 0..8).prop_map(Call::PushMany),
        20 => Just(Call::Peek),
        20 => Just(Call::Advance),
        20 => (0..4000_usize, 0..20_usize, any::<bool>()).prop_map(
            |(bytes_max, break_after, takes)| Call::Drain { bytes_max, break_after, takes }
        ),
        20 => (0..4000_usize, 0..8_usize).prop_map(
            |(bytes_max, break_after)| Call::DrainRuns { bytes_max, break_after }
        ),
        1 => Just(Call::Close),
    ]
}

/// Both ends of one ring, and what should be in it.
struct Pair {
    producer: Producer,
    consumer: Consumer,
    queue: VecDeque<Expected>,
    closed: bool,
    pushed: u32,
    counted: Counted,
}

struct Expected {
    tag: Tag,
    payload: Vec<u8>,
    shared: bool,
}

impl Pair {
    fn new() -> Self {
        let (producer, consumer) = byte_ring(CAPACITY_BYTES);
        let counted = Counted::new();
        Self {
            producer,
            consumer,
            queue: VecDeque::new(),
            closed: false,
            pushed: 0,
            counted,
        }
    }

    fn apply(&mut self, call: Call) {
        match call {
            Call::Push(bytes) => self.push(bytes),
            Call::PushShared(bytes) => self.push_shared(bytes),
            Call::PushMany(bytes) => self.push_many(&bytes),
            Call::Peek => self.peek(),
            Call::Advance => {
                self.consumer.advance();
                self.queue.pop_front();
            }
            Call::Drain {
                bytes_max,
                break_after,
                takes,
            } => {
                self.drain(bytes_max, break_after, takes);
            }
            Call::DrainRuns {
                bytes_max,
                break_after,
            } => self.drain_runs(bytes_max, break_after),
            Call::Close => {
                self.consumer.close();
                self.closed = true;
            }
        }
        self.check_state();
    }

    fn push(&mut self, payload_bytes: usize) {
        let record = self.next_record(payload_bytes, false);
        let outcome = self.producer.try_push(record.tag, &record.payload);
        let too_large = payload_bytes > PAYLOAD_BYTES_MAX;
        self.check_outcome(outcome, too_large);
        if outcome.is_ok() {
            self.queue.push_back(record);
        }
    }

    fn push_shared(&mut self, payload_bytes: usize) {
        let record = self.next_record(payload_bytes, true);
        let outcome = self
            .producer
            .try_push_shared(record.tag, self.counted.bytes(payload_bytes));
        self.check_outcome(
            outcome
                .as_ref()
                .err()
                .map_or(Ok(()), |(error, _)| Err(*error)),
            false,
        );
        match outcome {
            Ok(()) => self.queue.push_back(record),
            Err((_, given_back)) => assert_eq!(given_back, record.payload),
        }
    }

    fn push_many(&mut self, payloads_bytes: &[usize]) {
        let tag = tag(self.pushed);
        let records: Vec<_> = payloads_bytes
            .iter()
            .map(|&bytes| Expected {
                tag,
                ..self.next_record(bytes, false)
            })
            .collect();
        let slices: Vec<_> = records
            .iter()
            .map(|record| record.payload.as_slice())
            .collect();
        let outcome = self.producer.try_push_many(tag, &slices);
        let too_large = payloads_bytes
            .first()
            .is_some_and(|&bytes| bytes > PAYLOAD_BYTES_MAX);
        self.check_outcome(outcome.map(drop), too_large);
        let taken = outcome.unwrap_or(0);
        let takeable = payloads_bytes
            .iter()
            .take_while(|&&bytes| bytes <= PAYLOAD_BYTES_MAX);
        assert!(taken <= takeable.count());
        self.queue.extend(records.into_iter().take(taken));
    }

    fn peek(&mut self) {
        let record = self.consumer.peek();
        assert_eq!(record.is_some(), !self.queue.is_empty());
        if let (Some(record), Some(expected)) = (record, self.queue.front()) {
            assert_eq!(record.tag, expected.tag);
            assert_eq!(record.payload.as_slice(), expected.payload);
            assert_eq!(
                matches!(record.payload, Payload::Shared(_)),
                expected.shared
            );
        }
    }

    fn drain(&mut self, bytes_max: usize, break_after: usize, takes: bool) {
        let mut bytes = 0;
        let mut consumed = 0;
        let mut queue = self.queue.iter();
        let records = self.consumer.drain(bytes_max, |tag, payload| {
            assert!(bytes < bytes_max);
            let expected = queue.next().expect("more came out than went in");
            assert_eq!(tag, expected.tag);
            assert_eq!(*payload, *expected.payload);
            bytes += 16 + expected.payload.len();
            let breaks = consumed == break_after;
            match payload {
                DrainPayload::Shared(shared) if takes => {
                    assert!(expected.shared);
                    assert_eq!(shared.take(), expected.payload);
                    consumed += 1;
                }
                _ => consumed += usize::from(!breaks),
            }
            if breaks {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert_eq!(records, consumed);
        self.queue.drain(..records);
        let had_enough = bytes >= bytes_max || consumed >= break_after;
        assert!(had_enough || self.queue.is_empty(), "the drain ended early");
    }

    /// Records come as one by one, together only where their tags are equal and their payloads were copied.
    fn drain_runs(&mut self, bytes_max: usize, break_after: usize) {
        let (mut bytes, mut seen, mut calls, mut consumed) = (0, 0, 0, 0);
        let queue = &self.queue;
        let records = self
            .consumer
            .drain_runs::<RUN_MAX>(bytes_max, |tag, drained| {
                assert!(bytes < bytes_max);
                let (payloads, shared): (Vec<&[u8]>, _) = match &drained {
                    Drained::Copied(payloads) => (payloads.to_vec(), false),
                    Drained::Shared(payload) => (vec![payload], true),
                };
                assert!((1..=RUN_MAX).contains(&payloads.len()));
                for payload in payloads {
                    assert!(bytes < bytes_max, "the run goes on beyond the limit");
                    let expected = queue.get(seen).expect("more came out than went in");
                    assert_eq!((tag, shared), (expected.tag, expected.shared));
                    assert_eq!(*payload, *expected.payload);
                    bytes += 16 + payload.len();
                    seen += 1;
                }
                if calls == break_after {
                    return ControlFlow::Break(());
                }
                calls += 1;
                consumed = seen;
                ControlFlow::Continue(())
            });
        assert_eq!(records, consumed);
        self.queue.drain(..records);
        let had_enough = bytes >= bytes_max || calls >= break_after;
        assert!(had_enough || self.queue.is_empty(), "the drain ended early");
    }

    /// A refusal must have its reason.
    fn check_outcome(&self, outcome: Result<(), PushError>, too_large: bool) {
        match outcome {
            Ok(()) => assert!(!self.closed && !too_large),
            Err(PushError::Full) => assert!(!self.queue.is_empty() && !self.closed),
            Err(PushError::TooLarge) => assert!(too_large),
            Err(PushError::Closed) => assert!(self.closed),
        }
    }

    fn check_state(&self) {
        assert_eq!(self.consumer.is_empty(), self.queue.is_empty());
        assert_eq!(self.producer.is_closed(), self.closed);
        assert_eq!(
            self.consumer.is_finished(),
            self.closed && self.queue.is_empty()
        );
        let shared = self.queue.iter().filter(|record| record.shared).count();
        assert_eq!(self.counted.alive(), shared);
    }

    /// A record unlike its neighbours, whose bytes look like committed state words.
    fn next_record(&mut self, payload_bytes: usize, shared: bool) -> Expected {
        self.pushed += 1;
        let first = 0x80 | self.pushed.to_le_bytes()[0];
        let payload = if shared {
            vec![SHARED_PAYLOAD_BYTE; payload_bytes]
        } else {
            (first..=0xff).cycle().take(payload_bytes).collect()
        };
        Expected {
            tag: tag(self.pushed),
            payload,
            shared,
        }
    }
}

/// Failures are printed and kept in a file, but for an interpreter that lets no program near files.
fn config() -> ProptestConfig {
    if cfg!(miri) {
        ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::with_cases(8)
        }
    } else {
        ProptestConfig::with_cases(1000)
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_sequence_of_calls_behaves_like_a_queue(
        calls in prop::collection::vec(call(), 1..if cfg!(miri) { 60 } else { 200 })
    ) {
        let mut pair = Pair::new();
        for call in calls {
            pair.apply(call);
        }
        let Pair { producer, consumer, counted, .. } = pair;
        drop((producer, consumer));
        prop_assert_eq!(counted.alive(), 0);
    }
}
