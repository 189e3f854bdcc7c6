//! What is `poll`'s own: fairness between sockets, and what is watched.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use super::PollSet;
use crate::io::completion::Completion;
use crate::io::operation::{Operation, OperationKind};

const BUFFER_BYTES: usize = 4096;

fn receive(index: u32) -> Operation {
    Operation::new(OperationKind::Receive, index, 0)
}

fn socket_pair() -> (UnixStream, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    theirs.set_nonblocking(true).expect("it can be set");
    (ours, theirs)
}

/// Fills the socket.
fn flood(mut socket: &UnixStream) {
    while socket.write(&[7; BUFFER_BYTES]).is_ok() {}
}

/// One `enter`, and the connections that it received for, in order.
fn served(set: &mut PollSet) -> Vec<u32> {
    set.has_task_work();
    set.enter().expect("it enters");
    let mut reaped: Vec<Completion> = Vec::new();
    set.reap(&mut reaped);
    let filled = reaped.iter().filter(|done| done.buffer.is_some());
    filled.map(|done| done.operation.index).collect()
}

#[test]
fn each_socket_gets_a_buffer_before_any_gets_a_second() {
    let mut set = PollSet::new().expect("a set");
    let buffers = set.add_group(4);
    let provide = |bid| {
        let memory = vec![0; BUFFER_BYTES].into_boxed_slice();
        buffers.borrow_mut().provide(bid, memory);
    };
    let pairs: Vec<_> = (0..6).map(|_| socket_pair()).collect();
    for (index, (ours, theirs)) in (0..).zip(&pairs) {
        flood(theirs);
        set.receive(ours.as_raw_fd(), 0, receive(index))
            .expect("queued");
    }
    let mut times = [0; 6];
    for _ in 0..6 {
        // As many buffers as a turn has, for more sockets than that.
        (0..4).for_each(provide);
        let served = served(&mut set);
        assert_eq!(served.len(), 4, "all buffers are used");
        for index in served {
            times[index as usize] += 1;
        }
        (0..4).for_each(|bid| drop(buffers.borrow_mut().take(bid)));
    }
    // 24 buffers over 6 sockets, in turn.
    assert_eq!(times, [4; 6]);
}

#[test]
fn one_socket_gets_so_much_and_no_more_in_a_turn() {
    let mut set = PollSet::new().expect("a set");
    let buffers = set.add_group(16);
    for bid in 0..16 {
        let memory = vec![0; BUFFER_BYTES].into_boxed_slice();
        buffers.borrow_mut().provide(bid, memory);
    }
    let (ours, theirs) = socket_pair();
    flood(&theirs);
    set.receive(ours.as_raw_fd(), 0, receive(0))
        .expect("queued");
    assert_eq!(served(&mut set), [0; super::RECEIVES_PER_ENTER]);
    assert!(set.has_task_work(), "the rest waits for the next turn");
}

#[test]
fn a_socket_without_an_operation_is_not_watched() {
    let mut set = PollSet::new().expect("a set");
    let (ours, mut theirs) = socket_pair();
    let mut buffer = [0; 4];
    set.receive_once(ours.as_raw_fd(), &mut buffer, receive(0))
        .expect("queued");
    set.enter().expect("it enters");
    theirs.write_all(b"all of it").expect("there is room");
    assert!(set.has_task_work());
    set.enter().expect("it enters");
    let mut reaped = Vec::new();
    set.reap(&mut reaped);
    assert_eq!((reaped.len(), reaped[0].result), (1, 4));
    // There is more to read, and then an end, and nobody who asked for it.
    assert!(!set.has_news());
    drop(theirs);
    assert!(!set.has_news());
}
