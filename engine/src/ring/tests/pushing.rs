//! One producer, one thread: what goes in comes out, in order.

use bytes::Bytes;

use super::super::record::DrainPayload;
use super::super::{Payload, PushError, byte_ring};
use super::{Counted, drain_all, tag};
use std::ops::ControlFlow;

#[test]
fn a_pushed_payload_comes_out_with_its_tag() {
    let (producer, mut consumer) = byte_ring(1024);
    assert_eq!(producer.try_push(tag(3), b"hello"), Ok(()));
    let record = consumer.peek().expect("just pushed");
    assert_eq!(record.tag, tag(3));
    assert!(matches!(record.payload, Payload::Inline(b"hello")));
    assert!(consumer.peek().is_some(), "peeking leaves the record");
    consumer.advance();
    assert!(consumer.peek().is_none());
    assert!(consumer.is_empty());
}

#[test]
fn a_shared_buffer_comes_out_as_the_same_buffer() {
    let (producer, mut consumer) = byte_ring(1024);
    let payload = Bytes::from(vec![5; 100_000]);
    let address = payload.as_ptr();
    producer
        .try_push_shared(tag(4), payload)
        .expect("the ring is empty");
    let record = consumer.peek().expect("just pushed");
    assert!(matches!(record.payload, Payload::Shared(bytes) if bytes.as_ptr() == address));
    let mut taken = None;
    consumer.drain(usize::MAX, |_, payload| {
        if let DrainPayload::Shared(shared) = payload {
            taken = Some(shared.take());
        }
        ControlFlow::Continue(())
    });
    let taken = taken.expect("pushed as shared");
    assert_eq!(taken.as_ptr(), address);
    assert!(taken.try_into_mut().is_ok(), "the ring kept a reference");
}

#[test]
fn a_refused_shared_buffer_is_given_back() {
    let (producer, _consumer) = byte_ring(128);
    let counted = Counted::new();
    let mut pushed = 0;
    let (error, given_back) = loop {
        match producer.try_push_shared(tag(0), counted.bytes(10)) {
            Ok(()) => pushed += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!(error, PushError::Full);
    assert_eq!(given_back.len(), 10);
    assert_eq!(counted.alive(), pushed + 1);
}

#[test]
fn many_are_taken_in_order_as_far_as_they_fit() {
    let (producer, mut consumer) = byte_ring(256);
    let payloads: Vec<Vec<u8>> = (0..20).map(|i| vec![i; 20]).collect();
    let slices: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
    let mut rest = &slices[..];
    let mut got = Vec::new();
    while !rest.is_empty() {
        let taken = producer
            .try_push_many(tag(1), rest)
            .expect("the ring is empty");
        assert!(
            taken == rest.len() || taken >= 4,
            "256 bytes hold at least 4 such records"
        );
        rest = &rest[taken..];
        got.extend(
            drain_all(&mut consumer)
                .into_iter()
                .map(|(_, payload)| payload),
        );
    }
    assert_eq!(got, payloads);
}

#[test]
fn many_stop_before_one_that_is_too_large() {
    let (producer, mut consumer) = byte_ring(256);
    let large = vec![0; producer.payload_bytes_max() + 1];
    assert_eq!(
        producer.try_push_many(tag(1), &[b"a", b"b", &large, b"c"]),
        Ok(2)
    );
    assert_eq!(drain_all(&mut consumer).len(), 2);
}

#[test]
fn many_of_none_are_none() {
    let (producer, consumer) = byte_ring(256);
    assert_eq!(producer.try_push_many(tag(1), &[]), Ok(0));
    consumer.close();
    assert_eq!(producer.try_push_many(tag(1), &[]), Err(PushError::Closed));
}

#[test]
fn payload_bytes_are_never_taken_for_a_header() {
    // Payloads of all ones look like committed state words wherever a later header may stand.
    let (producer, mut consumer) = byte_ring(512);
    for round in 0..if cfg!(miri) { 100_usize } else { 2000 } {
        let payload = vec![0xff; round * 7 % (producer.payload_bytes_max() + 1)];
        assert_eq!(producer.try_push(tag(0), &payload), Ok(()), "round {round}");
        assert_eq!(
            drain_all(&mut consumer),
            [(tag(0), payload)],
            "round {round}"
        );
        assert!(consumer.is_empty(), "round {round}");
    }
}
