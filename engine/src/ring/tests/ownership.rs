//! Every buffer that went in is dropped exactly once.

use super::super::byte_ring;
use super::{Counted, tag};

#[test]
fn advancing_drops_the_buffer() {
    let (producer, mut consumer) = byte_ring(1024);
    let counted = Counted::new();
    producer
        .try_push_shared(tag(0), counted.bytes(1))
        .expect("there is room");
    assert!(consumer.peek().is_some());
    assert_eq!(counted.alive(), 1);
    consumer.advance();
    assert_eq!(counted.alive(), 0);
    consumer.advance();
    assert!(consumer.is_empty());
}

#[test]
fn dropping_the_ends_drops_what_is_inside_in_either_order() {
    for consumer_first in [false, true] {
        let (producer, mut consumer) = byte_ring(1024);
        let counted = Counted::new();
        for round in 0..40 {
            producer
                .try_push(tag(round), &[0xff; 33])
                .expect("there is room");
            producer
                .try_push_shared(tag(round), counted.bytes(1))
                .expect("there is room");
            if round < 37 {
                consumer.advance();
                consumer.advance();
            }
        }
        assert_eq!(counted.alive(), 3);
        let second = producer.clone();
        if consumer_first {
            drop(consumer);
            assert_eq!(
                counted.alive(),
                0,
                "the consumer drops what it could have read"
            );
            drop((producer, second));
        } else {
            drop((producer, second));
            assert_eq!(counted.alive(), 3, "the consumer could still read them");
            drop(consumer);
        }
        assert_eq!(counted.alive(), 0);
    }
}
