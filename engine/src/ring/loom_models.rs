//! Only under `--cfg overlane_loom`: every interleaving, within a bound on preemptions, of small
//! programs over the ring, the gate and the doorbell.
//!
//! Loom fails a model on a failed assertion, on two unordered accesses to the same bytes, and when
//! all threads wait, which is what a lost wake-up or a lost record comes to.

use std::ops::ControlFlow;

use bytes::Bytes;
use loom::model::Builder;
use loom::sync::{Arc, Notify};
use loom::thread;

use super::byte_ring::CAPACITY_BYTES_MIN;
use super::doorbell::Wake;
use super::gate::{Gate, GateLimits, OpenFor, Refusal};
use super::{Consumer, Doorbell, Drained, Producer, PushError, Tag, byte_ring};

/// Checks `program` with at most so many preemptions in one execution, or `LOOM_MAX_PREEMPTIONS`.
/// Most mistakes in code like this show with two; each more takes up to ten times as long.
fn check(preemptions: usize, program: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.check(program);
}

fn tag(lane: u32, number: u32) -> Tag {
    Tag {
        lane,
        mailbox: number,
        extra: 0,
    }
}

/// Pushes a record of `payload_bytes`, waiting while the ring is full; `false` if it is closed.
fn push(producer: &Producer, tag: Tag, payload_bytes: usize) -> bool {
    loop {
        match producer.try_push(tag, &[0xff; 64][..payload_bytes]) {
            Ok(()) => return true,
            Err(PushError::Full) => thread::yield_now(),
            Err(PushError::Closed) => return false,
            Err(PushError::TooLarge) => panic!("half of the smallest ring is enough here"),
        }
    }
}

/// Takes what is committed and checks that each lane's numbers come in order.
fn receive(consumer: &mut Consumer, next: &mut [u32]) -> usize {
    consumer.drain(usize::MAX, |tag, payload| {
        let next = &mut next[tag.lane as usize];
        assert_eq!(tag.mailbox, *next, "lost, doubled or out of order");
        assert!(payload.iter().all(|byte| *byte == 0xff));
        *next += 1;
        ControlFlow::Continue(())
    })
}

/// Receives until `count` records are there.
fn receive_all(consumer: &mut Consumer, next: &mut [u32], mut count: usize) {
    while count > 0 {
        match receive(consumer, next) {
            0 => thread::yield_now(),
            received => count -= received,
        }
    }
    assert_eq!(receive(consumer, next), 0);
}

#[test]
fn two_producers_lose_nothing_and_keep_their_order() {
    check(4, || {
        let (producer, mut consumer) = byte_ring(CAPACITY_BYTES_MIN);
        let other = producer.clone();
        let first = thread::spawn(move || {
            assert!(push(&producer, tag(0, 0), 16));
            assert!(push(&producer, tag(0, 1), 0));
        });
        let second = thread::spawn(move || {
            let payload = Bytes::from_static(&[0xff; 9]);
            other
                .try_push_shared(tag(1, 0), payload)
                .expect("there is room for all");
        });
        receive_all(&mut consumer, &mut [0, 0], 3);
        first.join().expect("pushes");
        second.join().expect("pushes");
    });
}

#[test]
fn a_claim_for_many_is_seen_in_order_beside_another_producer() {
    check(4, || {
        let (producer, mut consumer) = byte_ring(CAPACITY_BYTES_MIN);
        let other = producer.clone();
        let many = thread::spawn(move || {
            assert_eq!(
                producer.try_push_many(tag(0, 0), &[&[0xff; 16], &[]]),
                Ok(2)
            );
        });
        let one = thread::spawn(move || assert!(push(&other, tag(1, 0), 1)));
        let mut lanes = Vec::new();
        while lanes.len() < 3 {
            let drained = consumer.drain(usize::MAX, |tag, payload| {
                lanes.push((tag.lane, payload.len()));
                ControlFlow::Continue(())
            });
            if drained == 0 {
                thread::yield_now();
            }
        }
        assert!(
            [[(0, 16), (0, 0), (1, 1)], [(1, 1), (0, 16), (0, 0)]]
                .contains(&[lanes[0], lanes[1], lanes[2]])
        );
        many.join().expect("pushes");
        one.join().expect("pushes");
    });
}

#[test]
fn room_that_was_freed_is_used_again() {
    // Records of 64, 48 and 64 bytes in 128: each has to wait for room, the third goes behind
    // padding, and headers come to stand where payloads were.
    check(5, || {
        let (producer, mut consumer) = byte_ring(CAPACITY_BYTES_MIN);
        let pushing = thread::spawn(move || {
            for (number, payload_bytes) in (0..).zip([48, 32, 48, 16]) {
                assert!(push(&producer, tag(0, number), payload_bytes));
            }
        });
        receive_all(&mut consumer, &mut [0], 4);
        pushing.join().expect("pushes");
    });
}

#[test]
fn room_in_a_full_ring_is_claimed_once_and_only_when_freed() {
    // Both try as the consumer drains; one may know of the room only through what the other saw.
    check(4, || {
        let (producer, mut consumer) = byte_ring(CAPACITY_BYTES_MIN);
        assert_eq!(producer.try_push_many(tag(0, 0), &[&[0xff; 48]]), Ok(1));
        assert_eq!(producer.try_push(tag(1, 0), &[0xff; 48]), Ok(()));
        let other = producer.clone();
        let first = thread::spawn(move || u32::from(producer.try_push(tag(0, 1), &[]).is_ok()));
        let second = thread::spawn(move || u32::from(other.try_push(tag(1, 1), &[]).is_ok()));
        let mut next = [0, 0];
        assert!(receive(&mut consumer, &mut next) >= 2);
        let accepted = [first, second].map(|thread| thread.join().expect("tries to push"));
        receive(&mut consumer, &mut next);
        assert_eq!(next, accepted.map(|count| 1 + count));
    });
}

/// Reads what is committed in runs, and notes the lengths of each lane's payloads.
fn read_runs(consumer: &mut Consumer, seen: &mut [Vec<usize>; 2]) {
    consumer.drain_runs::<4>(usize::MAX, |tag, drained| {
        let Drained::Copied(payloads) = drained else {
            panic!("nobody hands a buffer over");
        };
        for payload in payloads {
            assert!(payload.iter().all(|byte| *byte == 0xff));
            seen[tag.lane as usize].push(payload.len());
        }
        ControlFlow::Continue(())
    });
}

#[test]
fn runs_are_read_whole_and_handed_back_while_another_producer_pushes() {
    // Of one lane 16, 16 and 64 bytes with one tag, of another 64, as far as there is room in 128: a run ends where
    // nothing is committed yet, at another tag, at what is freed at a time, and goes on behind padding. Nobody waits:
    // two that do so by turns, while a third is between its claim and its commit, are an execution without an end, as
    // loom knows no fairness.
    check(4, || {
        let (producer, mut consumer) = byte_ring(CAPACITY_BYTES_MIN);
        let other = producer.clone();
        let first = thread::spawn(move || {
            let payloads = [0, 0, 48].into_iter();
            let tried = payloads.filter(|bytes| {
                let pushed = producer.try_push(tag(0, 0), &[0xff; 48][..*bytes]);
                pushed.is_ok()
            });
            tried.collect::<Vec<_>>()
        });
        let second = thread::spawn(move || other.try_push(tag(1, 0), &[0xff; 48]).is_ok());
        let mut seen = [Vec::new(), Vec::new()];
        for _ in 0..3 {
            read_runs(&mut consumer, &mut seen);
        }
        let accepted = first.join().expect("tries to push");
        let other = second.join().expect("tries to push");
        read_runs(&mut consumer, &mut seen);
        assert_eq!(seen, [accepted, vec![48; usize::from(other)]]);
    });
}

#[test]
fn peeking_and_advancing_hand_room_back() {
    check(5, || {
        let (producer, mut consumer) = byte_ring(CAPACITY_BYTES_MIN);
        let pushing = thread::spawn(move || {
            for number in 0..3 {
                assert!(push(&producer, tag(0, number), 40));
            }
        });
        let mut number = 0;
        while number < 3 {
            let Some(record) = consumer.peek() else {
                thread::yield_now();
                continue;
            };
            assert_eq!(record.tag, tag(0, number));
            assert_eq!(record.payload.as_slice(), [0xff; 40]);
            consumer.advance();
            number += 1;
        }
        pushing.join().expect("pushes");
    });
}

#[test]
fn what_was_accepted_before_a_close_can_be_read() {
    check(5, || {
        let (producer, mut consumer) = byte_ring(CAPACITY_BYTES_MIN);
        let other = producer.clone();
        let first = thread::spawn(move || u32::from(push(&producer, tag(0, 0), 16)));
        let second = thread::spawn(move || u32::from(push(&other, tag(1, 0), 0)));
        consumer.close();
        let mut next = [0, 0];
        while !consumer.is_finished() {
            if receive(&mut consumer, &mut next) == 0 {
                thread::yield_now();
            }
        }
        assert_eq!(next[0], first.join().expect("pushes"));
        assert_eq!(next[1], second.join().expect("pushes"));
        assert!(consumer.is_empty());
    });
}

#[test]
fn a_buffer_pushed_while_the_consumer_leaves_is_dropped_once() {
    check(5, || {
        let (producer, consumer) = byte_ring(CAPACITY_BYTES_MIN);
        let payload = Bytes::from(vec![0xff; 9]);
        let kept = payload.clone();
        let pushing = thread::spawn(move || drop(producer.try_push_shared(tag(0, 0), payload)));
        drop(consumer);
        pushing.join().expect("pushes");
        assert!(kept.try_into_mut().is_ok(), "the ring still has the buffer");
    });
}

/// Like an eventfd: remembers that it was rung until someone has waited for it.
struct Bell(Arc<Notify>);

impl Wake for Bell {
    fn wake(&self) {
        self.0.notify();
    }
}

/// One shard that sleeps on a doorbell, and producers that push one record each.
fn sleeper_and(producers: u32) {
    let bell = Arc::new(Notify::new());
    let doorbell = Arc::new(Doorbell::with_waker(Bell(Arc::clone(&bell))));
    let (producer, mut consumer) = byte_ring(CAPACITY_BYTES_MIN);
    let threads: Vec<_> = (0..producers)
        .map(|lane| {
            let (producer, doorbell) = (producer.clone(), Arc::clone(&doorbell));
            thread::spawn(move || {
                assert!(push(&producer, tag(lane, 0), 0));
                doorbell.ring();
            })
        })
        .collect();
    let mut left = producers as usize;
    let mut announcements = 0;
    let mut next = [0; 2];
    while left > 0 {
        doorbell.announce_sleep();
        announcements += 1;
        if consumer.is_empty() {
            bell.wait();
        }
        doorbell.awake();
        left -= receive(&mut consumer, &mut next);
    }
    for thread in threads {
        thread.join().expect("pushes and rings");
    }
    assert!(doorbell.wakes() <= announcements, "more wakes than sleeps");
}

#[test]
fn a_sleeper_is_woken_for_one_producer() {
    check(5, || sleeper_and(1));
}

#[test]
fn a_sleeper_is_woken_for_each_of_two_producers() {
    check(3, || sleeper_and(2));
}

const GATE_LIMITS: GateLimits = GateLimits {
    messages_max: 10,
    bytes_max: 100,
    high_percent: 80,
    low_percent: 20,
};

/// However the crossing of the high watermark and releases fall together, an empty gate is not overloaded.
#[test]
fn an_overload_does_not_outlast_what_caused_it() {
    check(4, || {
        let gate = Arc::new(Gate::new(GATE_LIMITS));
        gate.open(OpenFor::Lane);
        gate.reserve(50).expect("an empty gate has room");
        let sender = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || {
                gate.reserve(40).expect("there is room");
                gate.release(1, 40);
            })
        };
        gate.release(1, 50);
        sender.join().expect("no panic");
        assert_eq!((gate.queued(), gate.is_overloaded()), ((0, 0), false));
    });
}

#[test]
fn a_reservation_that_does_not_fit_hides_no_room_from_one_that_does() {
    check(4, || {
        let gate = Arc::new(Gate::new(GATE_LIMITS));
        gate.open(OpenFor::Lane);
        gate.reserve(20).expect("an empty gate has room");
        let too_large = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || assert_eq!(gate.reserve(90), Err(Refusal::Full)))
        };
        assert_eq!(gate.reserve(50), Ok(()));
        too_large.join().expect("no panic");
        assert_eq!(gate.queued(), (2, 70));
    });
}
