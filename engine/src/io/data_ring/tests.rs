//! What a data ring promises about memory and about a kernel that refuses.

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::io::backend::{Backend, ShardIo};
use crate::io::completion::Completion;
use crate::io::operation::{Operation, OperationKind, SocketCall};
use crate::io::receive_buffers::ReceiveBuffers;

#[allow(dead_code, unreachable_pub, reason = "this test uses a part of it")]
#[path = "../../../tests/support/child.rs"]
mod child;

const ENTRIES: u32 = 16;

fn ring() -> ShardIo {
    ShardIo::new(Backend::Uring, ENTRIES).expect("this machine has io_uring")
}

fn operation(kind: OperationKind, index: u32) -> Operation {
    Operation::new(kind, index, 0)
}

fn socket_pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().expect("a pair of sockets")
}

/// Waits for the next completions.
fn completions(ring: &mut ShardIo) -> Vec<Completion> {
    let mut reaped = Vec::new();
    while reaped.is_empty() {
        ring.wait().expect("it waits");
        ring.reap(&mut reaped);
    }
    reaped
}

#[test]
fn a_kernel_that_takes_nothing_does_not_hold_up_who_queues() {
    // A thread of its own: its filter cannot be taken back.
    let test = std::thread::spawn(|| {
        let (mut ring, (ours, _theirs)) = (ring(), socket_pair());
        let mut buffers = [[0_u8; 8]; 100];
        // As under a memory limit; EBUSY is the same to the ring.
        child::forbid(libc::SYS_io_uring_enter, libc::EAGAIN);
        for (index, buffer) in buffers.iter_mut().enumerate() {
            let index = u32::try_from(index).expect("it is small");
            let (socket, receive) = (ours.as_raw_fd(), operation(OperationKind::Receive, index));
            ring.queue(socket, SocketCall::ReceiveOnce { buffer }, receive)
                .expect("it is queued");
        }
        assert_eq!(ring.queued(), 100);
        // A wait returns too, and nothing is lost.
        ring.wait().expect("it returns");
        assert_eq!(ring.queued(), 100);
        assert!(!ring.close(), "the kernel could not be asked");
    });
    test.join().expect("the test's thread does not panic");
}

#[test]
fn what_the_queue_has_no_room_for_is_submitted_in_order_later() {
    let (mut ring, (ours, mut theirs)) = (ring(), socket_pair());
    // There from the start, so that each receive completes as the kernel takes it.
    let bytes: Vec<u8> = (0..100).collect();
    theirs.write_all(&bytes).expect("there is room");
    let mut buffers = [[0_u8; 1]; 100];
    for (index, buffer) in buffers.iter_mut().enumerate() {
        let index = u32::try_from(index).expect("it is small");
        let (socket, receive) = (ours.as_raw_fd(), operation(OperationKind::Receive, index));
        ring.queue(socket, SocketCall::ReceiveOnce { buffer }, receive)
            .expect("it is queued");
    }
    let mut done = Vec::new();
    while done.len() < 100 {
        done.extend(completions(&mut ring));
    }
    assert!(done.iter().all(|completion| completion.result == 1));
    assert_eq!(ring.queued(), 0);
    assert!(ring.close(), "nothing is under way");
    let received: Vec<u8> = buffers.concat();
    assert_eq!(received, bytes);
}

#[test]
fn a_wake_up_is_kept_until_the_kernel_takes_it() {
    let mut ring = ring();
    // Nothing enters the kernel here, so that what the entry names must outlive this call.
    ring.wake_after(Duration::from_millis(1)).expect("queued");
    assert_eq!(ring.queued(), 1, "the kernel has not seen it");
    let done = completions(&mut ring);
    assert_eq!(done[0].operation.kind, OperationKind::Timeout);
    assert_eq!(done[0].result, -libc::ETIME);
}

#[test]
fn a_closed_ring_has_let_go_of_all_memory() {
    let (mut ring, (ours, mut theirs)) = (ring(), socket_pair());
    let (other, mut its_peer) = socket_pair();
    let bell = crate::ring::Doorbell::new().expect("an eventfd");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut buffers = ReceiveBuffers::new(&mut ring, 0, 4, 4096).expect("registered");
    let mut handshake = [0_u8; 64];
    ring.queue(
        ours.as_raw_fd(),
        SocketCall::Receive { group: 0 },
        operation(OperationKind::Receive, 1),
    )
    .expect("queued");
    let once = operation(OperationKind::ReceiveHandshake, 2);
    ring.queue(
        other.as_raw_fd(),
        SocketCall::ReceiveOnce {
            buffer: &mut handshake,
        },
        once,
    )
    .expect("queued");
    ring.listen_to(bell.fd()).expect("queued");
    ring.wake_after(Duration::from_secs(3600)).expect("queued");
    let accept = operation(OperationKind::Accept, 0);
    ring.accept(std::os::fd::AsFd::as_fd(&listener), accept)
        .expect("queued");
    // One multishot has run, so that the kernel holds it with a completion unreaped.
    theirs.write_all(b"first").expect("there is room");
    ring.enter().expect("it enters");
    assert!(ring.close(), "every operation is taken back");

    // What comes now stays in the sockets, even when the kernel is entered.
    its_peer.write_all(b"late").expect("there is room");
    theirs.write_all(b"late").expect("there is room");
    bell.announce_sleep();
    bell.ring();
    ring.enter().expect("it enters");
    let mut reaped = Vec::new();
    ring.reap(&mut reaped);
    assert!(reaped.is_empty(), "{reaped:?}");
    let mut late = [0; 4];
    for mut socket in [&ours, &other] {
        socket.read_exact(&mut late).expect("it is there");
        assert_eq!(&late, b"late");
    }
    assert_eq!(handshake, [0; 64]);
    let first = buffers.take(0, 5).expect("the kernel filled it");
    assert_eq!(first.bytes(), b"first");
}

#[test]
fn buffers_that_go_first_are_taken_back_from_receives_under_way() {
    let (mut ring, (ours, mut theirs)) = (ring(), socket_pair());
    let buffers = ReceiveBuffers::new(&mut ring, 0, 4, 4096).expect("registered");
    let receive = operation(OperationKind::Receive, 1);
    ring.queue(ours.as_raw_fd(), SocketCall::Receive { group: 0 }, receive)
        .expect("queued");
    ring.enter().expect("it enters");
    // As when a shard panics with its buffers in hand.
    drop(buffers);
    theirs.write_all(b"late").expect("there is room");
    let done = completions(&mut ring);
    assert_eq!(done[0].result, -libc::ENOBUFS, "there is nothing to fill");
    assert!(ring.close());
}

#[test]
fn a_flag_of_work_that_nothing_is_behind_is_no_news() {
    // Another core makes work all the time, so that some of it is done by an `enter` between its being
    // queued and the flag's being raised.
    const BYTES: usize = 100_000;
    let (mut ring, (ours, mut theirs)) = (ring(), socket_pair());
    let writer = std::thread::spawn(move || {
        for _ in 0..BYTES {
            theirs.write_all(b"x").expect("the other end is open");
        }
        theirs
    });
    let mut buffer = [0_u8; 4];
    let mut receive = |ring: &mut ShardIo| {
        let once = operation(OperationKind::ReceiveHandshake, 1);
        ring.queue(
            ours.as_raw_fd(),
            SocketCall::ReceiveOnce {
                buffer: &mut buffer,
            },
            once,
        )
        .expect("queued");
    };
    receive(&mut ring);
    let (mut came, mut reaped) = (0, Vec::new());
    while came < BYTES {
        ring.enter().expect("it enters");
        ring.reap(&mut reaped);
        if reaped.is_empty() {
            assert!(!ring.has_news(), "an enter found nothing, at {came}");
            // What comes behind a stale flag ends the wait all the same.
            ring.wait().expect("it waits");
            ring.reap(&mut reaped);
        }
        for completion in reaped.drain(..) {
            came += usize::try_from(completion.result).expect("bytes came");
            receive(&mut ring);
        }
    }
    drop(writer.join().expect("it wrote all"));
    assert!(ring.close());
}
