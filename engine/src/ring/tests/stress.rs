//! Many threads at once: nothing lost, doubled, torn or out of a producer's order.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use bytes::Bytes;

use super::super::record::DrainPayload;
use super::super::{Consumer, Producer, PushError, Tag, byte_ring};

const PRODUCERS: u32 = 3;
const RECORDS_EACH: u32 = if cfg!(miri) { 80 } else { 300_000 };

/// Bytes that only this record has; their number varies from none to 200.
fn payload(producer: u32, number: u32, buffer: &mut [u8; 256]) -> &[u8] {
    let mixed = mix(producer, number);
    let len = usize::try_from(mixed % 201).expect("at most 200");
    for (place, byte) in buffer[..len]
        .iter_mut()
        .zip(mixed.to_le_bytes().iter().cycle())
    {
        *place = *byte;
    }
    &buffer[..len]
}

/// A number that spreads over all bits (the finaliser of splitmix64).
fn mix(producer: u32, number: u32) -> u64 {
    let mut z = (u64::from(producer) << 32 | u64::from(number)) + 0x9e37_79b9_7f4a_7c15;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn tag(producer: u32, number: u32) -> Tag {
    Tag {
        lane: producer,
        mailbox: number,
        extra: !number,
    }
}

/// Pushes records in the three ways in turn, and returns how many were accepted: fewer than
/// `RECORDS_EACH` only if the ring was closed.
fn produce(producer: &Producer, id: u32) -> u32 {
    let mut number = 0;
    while number < RECORDS_EACH {
        let mut buffer = [0; 256];
        let bytes = payload(id, number, &mut buffer);
        let outcome = match number % 4 {
            0 => producer
                .try_push_shared(tag(id, number), Bytes::copy_from_slice(bytes))
                .map_err(|(error, _)| error),
            1 => producer.try_push_many(tag(id, number), &[bytes]).map(drop),
            _ => producer.try_push(tag(id, number), bytes),
        };
        match outcome {
            Ok(()) => number += 1,
            Err(PushError::Full) => thread::yield_now(),
            Err(PushError::Closed) => break,
            Err(PushError::TooLarge) => panic!("200 bytes are too large"),
        }
    }
    number
}

/// Checks each record against what its producer must have pushed.
#[derive(Default)]
struct Checker {
    next: [u32; PRODUCERS as usize],
}

impl Checker {
    fn check(&mut self, got: Tag, bytes: &[u8]) {
        let next = &mut self.next[got.lane as usize];
        assert_eq!(got, tag(got.lane, *next), "lost, doubled or out of order");
        assert_eq!(
            bytes,
            payload(got.lane, *next, &mut [0; 256]),
            "torn: {got:?}"
        );
        *next += 1;
    }

    /// By peeking or by draining, in turn.
    fn consume(&mut self, consumer: &mut Consumer, turn: usize) {
        if turn.is_multiple_of(3) {
            if let Some(record) = consumer.peek() {
                self.check(record.tag, record.payload.as_slice());
                consumer.advance();
            }
            return;
        }
        let mut budget = turn % 50;
        consumer.drain(3000, |tag, payload| {
            if budget == 0 {
                return ControlFlow::Break(());
            }
            budget -= 1;
            match payload {
                DrainPayload::Inline(bytes) => self.check(tag, bytes),
                DrainPayload::Shared(shared) => self.check(tag, &shared.take()),
            }
            ControlFlow::Continue(())
        });
    }
}

#[test]
fn producers_side_by_side_lose_nothing() {
    let (producer, mut consumer) = byte_ring(8192);
    let threads: Vec<_> = (0..PRODUCERS)
        .map(|id| {
            let producer = producer.clone();
            thread::spawn(move || produce(&producer, id))
        })
        .collect();
    let mut checker = Checker::default();
    let mut turn = 0;
    while checker.next != [RECORDS_EACH; PRODUCERS as usize] {
        checker.consume(&mut consumer, turn);
        turn += 1;
        if consumer.is_empty() {
            thread::yield_now();
        }
    }
    for thread in threads {
        assert_eq!(
            thread.join().expect("a producer asserts nothing else"),
            RECORDS_EACH
        );
    }
    assert!(consumer.is_empty());
}

#[test]
fn everything_accepted_before_a_close_comes_out() {
    let rounds = if cfg!(miri) { 2 } else { 60 };
    for round in 0..rounds {
        let (producer, mut consumer) = byte_ring(4096);
        let accepted = AtomicU64::new(0);
        let mut checker = Checker::default();
        thread::scope(|scope| {
            for id in 0..PRODUCERS {
                let (producer, accepted) = (&producer, &accepted);
                scope.spawn(move || {
                    accepted.fetch_add(produce(producer, id).into(), Ordering::Relaxed);
                });
            }
            let close_at = 10 * (round + 1);
            let received = |checker: &Checker| checker.next.iter().sum::<u32>();
            let mut turn = 0;
            while !consumer.is_finished() {
                checker.consume(&mut consumer, turn);
                turn += 1;
                if received(&checker) >= close_at {
                    consumer.close();
                }
                if consumer.is_empty() {
                    thread::yield_now();
                }
            }
        });
        let received: u64 = checker.next.iter().copied().map(u64::from).sum();
        assert_eq!(received, accepted.into_inner(), "round {round}");
    }
}

#[test]
fn batches_side_by_side_arrive_whole_and_in_order() {
    const BATCHES: u32 = if cfg!(miri) { 20 } else { 50_000 };
    const BATCH: usize = 5;
    let (producer, mut consumer) = byte_ring(4096);
    let payloads: [[u8; 8]; BATCH] = std::array::from_fn(|i| [u8::try_from(i).unwrap_or(0); 8]);
    let slices: [&[u8]; BATCH] = std::array::from_fn(|i| payloads[i].as_slice());
    thread::scope(|scope| {
        for id in 0..PRODUCERS {
            let producer = &producer;
            scope.spawn(move || {
                for number in 0..BATCHES {
                    let mut rest = &slices[..];
                    while !rest.is_empty() {
                        match producer.try_push_many(tag(id, number), rest) {
                            Ok(taken) => rest = &rest[taken..],
                            Err(error) => {
                                assert_eq!(error, PushError::Full);
                                thread::yield_now();
                            }
                        }
                    }
                }
            });
        }
        let mut next = [(0, 0_usize); PRODUCERS as usize];
        let mut left = u64::from(PRODUCERS) * u64::from(BATCHES) * BATCH as u64;
        while left > 0 {
            let drained = consumer.drain(usize::MAX, |got, bytes| {
                let (number, place) = &mut next[got.lane as usize];
                assert_eq!(got, tag(got.lane, *number));
                assert_eq!(*bytes, *slices[*place]);
                *place = (*place + 1) % BATCH;
                *number += u32::from(*place == 0);
                left -= 1;
                ControlFlow::Continue(())
            });
            if drained == 0 {
                thread::yield_now();
            }
        }
    });
}
