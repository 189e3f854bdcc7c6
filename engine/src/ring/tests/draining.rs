//! How a drain ends, and what it leaves.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::super::byte_ring;
use super::super::record::DrainPayload;
use super::{Counted, drain_all, tag};

#[test]
fn a_drain_stops_at_the_record_that_reaches_its_limit() {
    let (producer, mut consumer) = byte_ring(4096);
    for lane in 0..10 {
        producer
            .try_push(tag(lane), &[1; 84])
            .expect("there is room");
    }
    // 100 bytes each, with the header.
    assert_eq!(consumer.drain(0, |_, _| ControlFlow::Continue(())), 0);
    assert_eq!(consumer.drain(1, |_, _| ControlFlow::Continue(())), 1);
    assert_eq!(consumer.drain(100, |_, _| ControlFlow::Continue(())), 1);
    assert_eq!(consumer.drain(101, |_, _| ControlFlow::Continue(())), 2);
    assert_eq!(drain_all(&mut consumer).len(), 6);
}

#[test]
fn a_shared_payload_counts_by_its_length() {
    let (producer, mut consumer) = byte_ring(4096);
    let counted = Counted::new();
    for lane in 0..3 {
        producer
            .try_push_shared(tag(lane), counted.bytes(5000))
            .expect("there is room");
    }
    assert_eq!(consumer.drain(5017, |_, _| ControlFlow::Continue(())), 2);
    assert_eq!(counted.alive(), 1);
}

#[test]
fn the_record_that_breaks_stays() {
    let (producer, mut consumer) = byte_ring(4096);
    let counted = Counted::new();
    producer.try_push(tag(0), b"first").expect("there is room");
    producer.try_push(tag(1), b"second").expect("there is room");
    producer
        .try_push_shared(tag(2), counted.bytes(8))
        .expect("there is room");
    let break_at = |lane: u32| {
        move |tag: super::Tag, _: DrainPayload<'_>| {
            if tag.lane == lane {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        }
    };
    assert_eq!(consumer.drain(usize::MAX, break_at(1)), 1);
    assert_eq!(consumer.drain(usize::MAX, break_at(1)), 0);
    assert_eq!(consumer.drain(usize::MAX, break_at(2)), 1);
    assert_eq!(consumer.drain(usize::MAX, break_at(2)), 0);
    assert_eq!(counted.alive(), 1);
    assert_eq!(
        consumer.peek().expect("the shared record is left").tag,
        tag(2)
    );
    assert_eq!(drain_all(&mut consumer), [(tag(2), vec![7; 8])]);
    assert_eq!(counted.alive(), 0);
}

#[test]
fn a_taken_buffer_is_consumed_even_if_the_drain_breaks() {
    let (producer, mut consumer) = byte_ring(4096);
    let counted = Counted::new();
    for lane in 0..2 {
        producer
            .try_push_shared(tag(lane), counted.bytes(8))
            .expect("there is room");
    }
    let mut taken = None;
    let records = consumer.drain(usize::MAX, |_, payload| {
        if let DrainPayload::Shared(shared) = payload {
            taken = Some(shared.take());
        }
        ControlFlow::Break(())
    });
    assert_eq!(records, 1);
    assert_eq!(counted.alive(), 2);
    drop(taken);
    assert_eq!(counted.alive(), 1);
    assert_eq!(drain_all(&mut consumer).len(), 1);
    assert_eq!(counted.alive(), 0);
}

#[test]
fn a_panicking_closure_consumes_what_it_was_given() {
    for takes in [false, true] {
        let (producer, mut consumer) = byte_ring(4096);
        let counted = Counted::new();
        for lane in 0..6 {
            if lane % 2 == 0 {
                producer
                    .try_push(tag(lane), &[3; 30])
                    .expect("there is room");
            } else {
                producer
                    .try_push_shared(tag(lane), counted.bytes(30))
                    .expect("there is room");
            }
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            consumer.drain(usize::MAX, |tag, payload| {
                if let (true, DrainPayload::Shared(shared)) = (takes, payload) {
                    drop(shared.take());
                }
                assert_ne!(tag.lane, 3, "meant to panic");
                ControlFlow::Continue(())
            })
        }));
        assert!(outcome.is_err());
        assert_eq!(counted.alive(), 1, "lanes 1 and 3 are gone, 5 is not");
        let lanes: Vec<_> = drain_all(&mut consumer)
            .iter()
            .map(|(tag, _)| tag.lane)
            .collect();
        assert_eq!(lanes, [4, 5]);
        assert_eq!(counted.alive(), 0);
    }
}

#[test]
fn room_is_handed_back_during_a_long_drain() {
    let (producer, mut consumer) = byte_ring(1024);
    while producer.try_push(tag(0), &[1; 48]).is_ok() {}
    let mut pushed = 0;
    let records = consumer.drain(64 * 100, |_, _| {
        pushed += usize::from(producer.try_push(tag(1), &[2; 48]).is_ok());
        ControlFlow::Continue(())
    });
    assert_eq!(records, 100);
    assert!(pushed >= 84, "only {pushed} could be pushed meanwhile");
}
