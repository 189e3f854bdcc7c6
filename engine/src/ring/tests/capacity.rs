//! Sizes: what the ring rounds to, what fits and what does not.

use super::super::byte_ring::{CAPACITY_BYTES_MAX, CAPACITY_BYTES_MIN};
use super::super::{PushError, byte_ring};
use super::{drain_all, tag};

#[test]
fn capacity_is_rounded_up_to_a_power_of_two_within_limits() {
    for (asked, got) in [
        (0, CAPACITY_BYTES_MIN),
        (CAPACITY_BYTES_MIN, CAPACITY_BYTES_MIN),
        (CAPACITY_BYTES_MIN + 1, 2 * CAPACITY_BYTES_MIN),
        (1000, 1024),
        (1 << 20, 1 << 20),
    ] {
        let (producer, consumer) = byte_ring(asked);
        assert_eq!(producer.capacity_bytes(), got, "asked for {asked}");
        assert_eq!(consumer.capacity_bytes(), got, "asked for {asked}");
    }
}

#[test]
fn the_largest_ring_takes_its_largest_payload() {
    // The real limit takes an interpreter too long.
    let largest = if cfg!(miri) {
        1 << 16
    } else {
        CAPACITY_BYTES_MAX
    };
    let (producer, mut consumer) = byte_ring(if cfg!(miri) { largest } else { usize::MAX });
    assert_eq!(producer.capacity_bytes(), largest);
    let payload = vec![0xa5; producer.payload_bytes_max()];
    assert_eq!(producer.try_push(tag(1), &payload), Ok(()));
    let record = consumer.peek().expect("just pushed");
    assert_eq!(record.payload.as_slice().len(), payload.len());
}

#[test]
fn the_largest_payload_fits_an_empty_ring_at_every_offset() {
    let (producer, mut consumer) = byte_ring(256);
    let payload: Vec<u8> = (0x80..=0xff)
        .cycle()
        .take(producer.payload_bytes_max())
        .collect();
    for shift in 0..64 {
        assert_eq!(
            producer.try_push(tag(shift), &payload),
            Ok(()),
            "shift {shift}"
        );
        assert_eq!(
            drain_all(&mut consumer),
            [(tag(shift), payload.clone())],
            "shift {shift}"
        );
        assert_eq!(producer.try_push(tag(shift), &[]), Ok(()), "shift {shift}");
        assert_eq!(
            drain_all(&mut consumer),
            [(tag(shift), Vec::new())],
            "shift {shift}"
        );
    }
}

#[test]
fn one_byte_more_is_too_large() {
    let (producer, consumer) = byte_ring(256);
    let payload = vec![1; producer.payload_bytes_max() + 1];
    assert_eq!(
        producer.try_push(tag(0), &payload),
        Err(PushError::TooLarge)
    );
    assert_eq!(
        producer.try_push_many(tag(0), &[&payload, b"small"]),
        Err(PushError::TooLarge)
    );
    assert!(consumer.is_empty());
}

#[test]
fn a_full_ring_says_so_and_takes_more_once_drained() {
    let (producer, mut consumer) = byte_ring(1024);
    let mut taken = 0;
    while producer.try_push(tag(taken), &[9; 48]).is_ok() {
        taken += 1;
    }
    assert_eq!(taken, 16);
    assert_eq!(producer.try_push(tag(0), &[]), Err(PushError::Full));
    consumer.advance();
    assert_eq!(producer.try_push(tag(taken), &[9; 48]), Ok(()));
    assert_eq!(producer.try_push(tag(0), &[]), Err(PushError::Full));
    let lanes: Vec<_> = drain_all(&mut consumer)
        .iter()
        .map(|(tag, _)| tag.lane)
        .collect();
    assert_eq!(lanes, (1..=taken).collect::<Vec<_>>());
}
