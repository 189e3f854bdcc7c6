//! The end of a ring: nothing accepted is lost, nothing is accepted afterwards.

use super::super::{PushError, byte_ring};
use super::{Counted, drain_all, tag};

#[test]
fn a_closed_ring_refuses_and_keeps_what_it_has() {
    let (producer, mut consumer) = byte_ring(1024);
    let counted = Counted::new();
    producer.try_push(tag(1), b"before").expect("there is room");
    assert!(!producer.is_closed());
    assert!(!consumer.is_finished());
    consumer.close();
    consumer.close();
    assert!(producer.is_closed());
    assert_eq!(producer.try_push(tag(2), b"after"), Err(PushError::Closed));
    assert_eq!(
        producer.try_push_many(tag(2), &[b"after"]),
        Err(PushError::Closed)
    );
    let (error, _) = producer
        .try_push_shared(tag(2), counted.bytes(1))
        .expect_err("closed");
    assert_eq!(error, PushError::Closed);
    assert!(!consumer.is_finished(), "a record is left");
    assert_eq!(drain_all(&mut consumer), [(tag(1), b"before".to_vec())]);
    assert!(consumer.is_finished());
}

#[test]
fn a_full_ring_that_is_closed_says_closed() {
    let (producer, consumer) = byte_ring(128);
    while producer.try_push(tag(0), &[]).is_ok() {}
    consumer.close();
    assert_eq!(producer.try_push(tag(0), &[]), Err(PushError::Closed));
}

#[test]
fn producers_of_a_dropped_consumer_are_told() {
    let (producer, consumer) = byte_ring(1024);
    drop(consumer);
    assert!(producer.is_closed());
    assert_eq!(producer.try_push(tag(0), b"late"), Err(PushError::Closed));
}
