//! What a shard relies on, on both backends.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::{Backend, ShardIo};
use crate::io::completion::Completion;
use crate::io::operation::{Operation, OperationKind, SocketCall};
use crate::io::receive_buffers::ReceiveBuffers;
use crate::io::socket;
use crate::ring::Doorbell;

/// Runs the test on each backend.
fn on_both(test: impl Fn(&mut ShardIo)) {
    for backend in [Backend::Uring, Backend::Poll] {
        let mut io = ShardIo::new(backend, 16).expect("this machine has both");
        test(&mut io);
        assert!(io.close(), "{backend} has let go of all memory");
    }
}

fn operation(kind: OperationKind, index: u32) -> Operation {
    Operation::new(kind, index, 0)
}

/// A pair of sockets; the first one is the backend's, and does not block.
fn socket_pair() -> (UnixStream, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    ours.set_nonblocking(true).expect("it can be set");
    (ours, theirs)
}

/// Waits until there are `count` completions.
fn completions(io: &mut ShardIo, count: usize) -> Vec<Completion> {
    let mut reaped = Vec::new();
    while reaped.len() < count {
        io.wait().expect("it waits");
        io.reap(&mut reaped);
    }
    reaped
}

fn next(io: &mut ShardIo) -> Completion {
    let mut reaped = completions(io, 1);
    assert_eq!(reaped.len(), 1, "{reaped:?}");
    reaped.remove(0)
}

#[test]
fn bytes_come_in_provided_buffers_until_the_end_of_the_stream() {
    on_both(|io| {
        let (ours, mut theirs) = socket_pair();
        let mut buffers = ReceiveBuffers::new(io, 0, 4, 4096).expect("buffers");
        let receive = operation(OperationKind::Receive, 3);
        io.queue(ours.as_raw_fd(), SocketCall::Receive { group: 0 }, receive)
            .expect("queued");
        for text in [b"one", b"two", b"six"] {
            theirs.write_all(text).expect("there is room");
            let done = next(io);
            assert_eq!((done.operation, done.result, done.more), (receive, 3, true));
            let bid = done.buffer.expect("a buffer was filled");
            let filled = buffers.take(bid, 3).expect("that buffer is there");
            assert_eq!(filled.bytes(), text);
            assert_eq!(buffers.unfilled(), 3);
            buffers.give_back(filled);
        }
        drop(theirs);
        let end = next(io);
        assert_eq!((end.operation, end.result, end.more), (receive, 0, false));
    });
}

#[test]
fn more_than_all_buffers_hold_comes_as_they_are_given_back() {
    on_both(|io| {
        let (ours, mut theirs) = socket_pair();
        let mut buffers = ReceiveBuffers::new(io, 0, 2, 4096).expect("buffers");
        let receive = operation(OperationKind::Receive, 0);
        let sent: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let expected = sent.clone();
        let sender = std::thread::spawn(move || theirs.write_all(&sent));
        let mut received = Vec::new();
        io.queue(ours.as_raw_fd(), SocketCall::Receive { group: 0 }, receive)
            .expect("queued");
        loop {
            for done in completions(io, 1) {
                if let Some(bid) = done.buffer {
                    let bytes = usize::try_from(done.result).expect("bytes");
                    let filled = buffers.take(bid, bytes).expect("it is there");
                    received.extend_from_slice(filled.bytes());
                    buffers.give_back(filled);
                } else {
                    assert!(
                        done.result == 0 || done.result == -libc::ENOBUFS,
                        "{done:?}"
                    );
                }
                if !done.more && done.result != 0 {
                    io.queue(ours.as_raw_fd(), SocketCall::Receive { group: 0 }, receive)
                        .expect("queued");
                }
                if done.result == 0 {
                    assert_eq!(received, expected);
                    sender.join().expect("no panic").expect("all was taken");
                    return;
                }
            }
        }
    });
}

#[test]
fn a_batch_larger_than_the_socket_takes_goes_out_as_the_peer_reads() {
    on_both(|io| {
        let (ours, mut theirs) = socket_pair();
        let batch: Vec<u8> = (0..4_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
        let expected = batch.clone();
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).expect("it reads");
            assert!(all == expected, "what was sent is what came");
        });
        let mut at = 0;
        let mut header = empty_header();
        let mut pieces = [libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        }];
        while at < batch.len() {
            let send = operation(OperationKind::Send, 1);
            let rest = &batch[at..];
            // By turns, as one piece and as several.
            if at % 2 == 0 {
                io.queue(ours.as_raw_fd(), SocketCall::Send { bytes: rest }, send)
                    .expect("queued");
            } else {
                pieces[0].iov_base = rest.as_ptr().cast_mut().cast();
                pieces[0].iov_len = rest.len();
                header.msg_iov = pieces.as_mut_ptr();
                header.msg_iovlen = 1;
                io.queue(
                    ours.as_raw_fd(),
                    SocketCall::SendVectored { header: &header },
                    send,
                )
                .expect("queued");
            }
            let done = next(io);
            assert_eq!(done.operation, send);
            at += usize::try_from(done.result).expect("it was sent");
        }
        drop(ours);
        reader.join().expect("the reader does not panic");
    });
}

fn empty_header() -> libc::msghdr {
    libc::msghdr {
        msg_name: std::ptr::null_mut(),
        msg_namelen: 0,
        msg_iov: std::ptr::null_mut(),
        msg_iovlen: 0,
        msg_control: std::ptr::null_mut(),
        msg_controllen: 0,
        msg_flags: 0,
    }
}

#[test]
fn a_single_receive_takes_one_buffer_and_no_more_than_it_asked_for() {
    on_both(|io| {
        let (ours, mut theirs) = socket_pair();
        let mut buffers = ReceiveBuffers::new(io, 0, 4, 4096).expect("buffers");
        theirs.write_all(b"onetwo").expect("there is room");
        for text in [b"one", b"two"] {
            let receive = operation(OperationKind::Receive, 3);
            io.queue(
                ours.as_raw_fd(),
                SocketCall::ReceiveSome {
                    group: 0,
                    bytes_max: 3,
                },
                receive,
            )
            .expect("queued");
            let done = next(io);
            assert_eq!(
                (done.operation, done.result, done.more),
                (receive, 3, false)
            );
            let bid = done.buffer.expect("a buffer was filled");
            let filled = buffers.take(bid, 3).expect("that buffer is there");
            assert_eq!(filled.bytes(), text);
            buffers.give_back(filled);
        }
    });
}

#[test]
fn a_payload_lands_in_the_pieces_that_wait_for_it() {
    on_both(|io| {
        let (ours, mut theirs) = socket_pair();
        let (mut payload, mut stage) = ([0_u8; 5], [0_u8; 8]);
        let piece = |memory: &mut [u8]| libc::iovec {
            iov_base: memory.as_mut_ptr().cast(),
            iov_len: memory.len(),
        };
        let mut pieces = [piece(&mut payload), piece(&mut stage)];
        let mut header = empty_header();
        header.msg_iov = pieces.as_mut_ptr();
        header.msg_iovlen = pieces.len();
        let land = operation(OperationKind::Land, 1);
        io.queue(
            ours.as_raw_fd(),
            SocketCall::Land {
                header: &mut header,
            },
            land,
        )
        .expect("queued");
        io.enter().expect("it enters");
        theirs.write_all(b"largenext").expect("there is room");
        let done = next(io);
        assert_eq!((done.operation, done.result, done.more), (land, 9, false));
        assert_eq!((&payload, &stage[..4]), (b"large", &b"next"[..]));
    });
}

/// A listening socket that does not block, and its address.
fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("it can be set");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}

#[test]
fn connections_are_made_and_accepted() {
    on_both(|io| {
        let (listener, address) = listener();
        let accept = operation(OperationKind::Accept, 0);
        io.accept(listener.as_fd(), accept).expect("queued");
        let dialing = socket::dialing_socket(address).expect("a socket");
        let boxed = Box::new(socket2::SockAddr::from(address));
        let connect = operation(OperationKind::Connect, 5);
        io.queue(
            socket::raw(&dialing),
            SocketCall::Connect { address: &boxed },
            connect,
        )
        .expect("queued");
        let done = completions(io, 2);
        let of = |kind| done.iter().find(|done| done.operation.kind == kind);
        let connected = of(OperationKind::Connect).expect("it completed");
        assert_eq!((connected.operation, connected.result), (connect, 0));
        let accepted = of(OperationKind::Accept).expect("it completed");
        assert!(accepted.more && accepted.result >= 0, "{accepted:?}");
        drop(socket::accepted(accepted.result));

        let others: Vec<_> = (0..3).map(|_| TcpStream::connect(address)).collect();
        for accepted in completions(io, 3) {
            assert!(accepted.more && accepted.result >= 0, "{accepted:?}");
            drop(socket::accepted(accepted.result));
        }
        drop(others);
        io.cancel(accept).expect("queued");
        let ends = completions(io, 1);
        let end = ends.iter().find(|done| done.operation == accept);
        let end = end.expect("the accept ends");
        assert_eq!((end.result, end.more), (-libc::ECANCELED, false));
    });
}

#[test]
fn a_connect_that_is_refused_says_so() {
    on_both(|io| {
        let (listener, address) = listener();
        drop(listener);
        let dialing = socket::dialing_socket(address).expect("a socket");
        let boxed = Box::new(socket2::SockAddr::from(address));
        let connect = operation(OperationKind::Connect, 0);
        io.queue(
            socket::raw(&dialing),
            SocketCall::Connect { address: &boxed },
            connect,
        )
        .expect("queued");
        assert_eq!(next(io).result, -libc::ECONNREFUSED);
    });
}

#[test]
fn a_receive_called_off_leaves_the_bytes_in_the_socket() {
    on_both(|io| {
        let (ours, mut theirs) = socket_pair();
        let mut buffer = [0_u8; 8];
        let receive = operation(OperationKind::ReceiveHandshake, 2);
        io.queue(
            ours.as_raw_fd(),
            SocketCall::ReceiveOnce {
                buffer: &mut buffer,
            },
            receive,
        )
        .expect("queued");
        io.enter().expect("it enters");
        io.cancel(receive).expect("queued");
        let done = completions(io, 1);
        let ended = done.iter().find(|done| done.operation == receive);
        assert_eq!(ended.expect("it ends").result, -libc::ECANCELED);
        theirs.write_all(b"kept").expect("there is room");
        io.enter().expect("it enters");
        assert_eq!(buffer, [0; 8]);
        let again = operation(OperationKind::ReceiveHandshake, 2);
        io.queue(
            ours.as_raw_fd(),
            SocketCall::ReceiveOnce {
                buffer: &mut buffer,
            },
            again,
        )
        .expect("queued");
        let mut done = completions(io, 1);
        done.retain(|done| done.operation.kind != OperationKind::Cancel);
        assert_eq!(done[0].result, 4);
        assert_eq!(&buffer[..4], b"kept");
    });
}

#[test]
fn a_bell_and_a_time_end_a_wait() {
    on_both(|io| {
        let bell = Doorbell::new().expect("an eventfd");
        for _ in 0..3 {
            io.listen_to(bell.fd()).expect("it listens");
            bell.announce_sleep();
            bell.ring();
            assert_eq!(next(io).operation.kind, OperationKind::Doorbell);
            io.heard_bell();
            io.wake_after(Duration::from_millis(1)).expect("it is set");
            assert_eq!(next(io).operation.kind, OperationKind::Timeout);
        }
        io.wake_after(Duration::from_secs(3600)).expect("it is set");
        io.wake_after(Duration::ZERO).expect("it is set");
        for done in completions(io, 1) {
            assert_eq!(done.operation.kind, OperationKind::Timeout);
        }
    });
}
