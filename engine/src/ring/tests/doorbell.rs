//! The doorbell over a real eventfd.

use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
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

#[test]
#[cfg(not(miri))] // it knows no io_uring
fn a_read_through_io_uring_waits_for_the_ring() {
    let doorbell = Doorbell::new().expect("a descriptor is free");
    let mut data_ring = io_uring::IoUring::new(2).expect("the kernel has io_uring");
    let mut count = [0_u8; 8];
    let fd = io_uring::types::Fd(doorbell.fd().as_raw_fd());
    let read = io_uring::opcode::Read::new(fd, count.as_mut_ptr(), 8).build();
    // SAFETY: the buffer outlives the read, which is completed below.
    unsafe { data_ring.submission().push(&read) }.expect("the queue is empty");
    data_ring.submit().expect("one entry was queued");
    assert!(data_ring.completion().next().is_none(), "nobody has rung");
    doorbell.announce_sleep();
    doorbell.ring();
    data_ring.submit_and_wait(1).expect("rung");
    let completion = data_ring.completion().next().expect("waited for");
    assert_eq!(completion.result(), 8);
    assert_eq!(u64::from_ne_bytes(count), 1);
}
