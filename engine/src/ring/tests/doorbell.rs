//! The doorbell over a real eventfd.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;

use super::super::{Doorbell, byte_ring};
use super::{drain_all, tag};

/// The doorbell's eventfd as a file that a sleeper can read.
fn reader(doorbell: &Doorbell) -> std::fs::File {
    let fd: OwnedFd = doorbell
        .fd()
        .try_clone_to_owned()
        .expect("a descriptor is free");
    std::fs::File::from(fd)
}

/// Waits until rung; returns the count that the eventfd had.
fn sleep_until_rung(mut reader: &std::fs::File) -> u64 {
    let mut count = [0; 8];
    reader
        .read_exact(&mut count)
        .expect("an eventfd gives eight bytes");
    u64::from_ne_bytes(count)
}

#[test]
fn ringing_an_awake_sleeper_makes_no_system_call() {
    let doorbell = Doorbell::new().expect("a descriptor is free");
    doorbell.ring();
    doorbell.announce_sleep();
    doorbell.awake();
    doorbell.ring();
    assert_eq!(doorbell.wakes(), 0);
}

#[test]
fn a_sleeper_is_woken_once_however_many_ring() {
    let doorbell = Arc::new(Doorbell::new().expect("a descriptor is free"));
    doorbell.announce_sleep();
    let ringers: Vec<_> = (0..4)
        .map(|_| {
            let doorbell = Arc::clone(&doorbell);
            thread::spawn(move || (0..10).for_each(|_| doorbell.ring()))
        })
        .collect();
    for ringer in ringers {
        ringer.join().expect("ringing does not panic");
    }
    assert_eq!(doorbell.wakes(), 1);
    assert_eq!(sleep_until_rung(&reader(&doorbell)), 1);
}

#[test]
fn what_is_pushed_before_each_ring_is_seen_after_each_wake() {
    const RECORDS: u32 = if cfg!(miri) { 50 } else { 20_000 };
    let (producer, mut consumer) = byte_ring(4096);
    let doorbell = Arc::new(Doorbell::new().expect("a descriptor is free"));
    let ringer = thread::spawn({
        let doorbell = Arc::clone(&doorbell);
        move || {
            for record in 0..RECORDS {
                while producer.try_push(tag(record), &[]).is_err() {
                    thread::yield_now();
                }
                doorbell.ring();
            }
        }
    });
    let reader = reader(&doorbell);
    let mut received = 0;
    while received < RECORDS {
        doorbell.announce_sleep();
        if consumer.is_empty() {
            sleep_until_rung(&reader);
        }
        doorbell.awake();
        for (got, _) in drain_all(&mut consumer) {
            assert_eq!(got, tag(received));
            received += 1;
        }
    }
    ringer.join().expect("the ringer only pushes and rings");
}
