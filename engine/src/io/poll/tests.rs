//! What is `poll`'s own: fairness between sockets, and what is watched.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use super::PollSet;
use crate::io::completion::Completion;
use crate::io::operation::{Operation, OperationKind, SocketCall};

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
        set.queue(
            ours.as_raw_fd(),
            SocketCall::Receive { group: 0 },
            receive(index),
        )
        .expect("queued");
    }
    let mut times = [0; 6];
    for _ in 0..6 {
        // As many buffers as a turn has, for more sockets than that.
        (0..4).for_each(provide);
        set.has_task_work();
        set.enter().expect("it enters");
        let mut reaped = Vec::new();
        set.reap(&mut reaped);
        let (filled, unserved): (Vec<_>, Vec<_>) = reaped
            .into_iter()
            .partition(|done: &Completion| done.buffer.is_some());
        assert_eq!(filled.len(), 4, "all buffers are used");
        for done in filled {
            times[done.operation.index as usize] += 1;
        }
        for done in unserved {
            assert_eq!((done.result, done.more), (-libc::ENOBUFS, false));
            let index = done.operation.index;
            let (ours, _) = &pairs[index as usize];
            set.queue(
                ours.as_raw_fd(),
                SocketCall::Receive { group: 0 },
                receive(index),
            )
            .expect("queued");
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
    set.queue(
        ours.as_raw_fd(),
        SocketCall::Receive { group: 0 },
        receive(0),
    )
    .expect("queued");
    assert_eq!(served(&mut set), [0; super::RECEIVES_PER_ENTER]);
    assert!(set.has_task_work(), "the rest waits for the next turn");
}

#[test]
fn a_socket_without_an_operation_is_not_watched() {
    let mut set = PollSet::new().expect("a set");
    let (ours, mut theirs) = socket_pair();
    let mut buffer = [0; 4];
    set.queue(
        ours.as_raw_fd(),
        SocketCall::ReceiveOnce {
            buffer: &mut buffer,
        },
        receive(0),
    )
    .expect("queued");
    set.enter().expect("it enters");
    theirs.write_all(b"all of it").expect("there is room");
    assert!(set.has_task_work());
    set.enter().expect("it enters");
    let mut reaped = Vec::new();
    set.reap(&mut reaped);
    assert_eq!((reaped.len(), reaped[0].result), (1, 4));
    // There is more to read, and then an end, and nobody who asked for it.
    assert!(!set.has_task_work());
    drop(theirs);
    assert!(!set.has_task_work());
}

#[test]
fn a_socket_for_which_there_is_no_buffer_ends_no_wait() {
    let mut set = PollSet::new().expect("a set");
    let buffers = set.add_group(1);
    let memory = vec![0; BUFFER_BYTES].into_boxed_slice();
    buffers.borrow_mut().provide(0, memory);
    let (ours, theirs) = socket_pair();
    flood(&theirs);
    set.queue(
        ours.as_raw_fd(),
        SocketCall::Receive { group: 0 },
        receive(0),
    )
    .expect("queued");
    assert_eq!(served(&mut set), [0]);
    // The buffer stays out, as that of a lane whose inbox is full can.
    assert!(set.has_task_work(), "the socket is watched");
    set.enter().expect("it enters");
    let mut reaped = Vec::new();
    set.reap(&mut reaped);
    assert_eq!((reaped.len(), reaped[0].result), (1, -libc::ENOBUFS));
    assert!(!set.has_task_work(), "until it is asked for again");
}

#[test]
fn who_asks_for_news_again_and_again_hears_of_them() {
    let mut set = PollSet::new().expect("a set");
    let (ours, mut theirs) = socket_pair();
    let mut buffer = [0; 4];
    set.queue(
        ours.as_raw_fd(),
        SocketCall::ReceiveOnce {
            buffer: &mut buffer,
        },
        receive(0),
    )
    .expect("queued");
    set.enter().expect("it enters");
    assert!(!set.has_news());
    theirs.write_all(b"news").expect("there is room");
    let calls = set.counters().calls;
    assert!((0..super::ASKED_PER_LOOK).any(|_| set.has_news()));
    assert_eq!(
        set.counters().calls,
        calls + 1,
        "one system call for all of it"
    );
}

#[test]
fn a_send_costs_no_look_at_what_there_is_to_receive() {
    let mut set = PollSet::new().expect("a set");
    let buffers = set.add_group(1);
    let memory = vec![0; BUFFER_BYTES].into_boxed_slice();
    buffers.borrow_mut().provide(0, memory);
    let (ours, mut theirs) = socket_pair();
    set.queue(
        ours.as_raw_fd(),
        SocketCall::Receive { group: 0 },
        receive(0),
    )
    .expect("queued");
    set.enter().expect("it enters");
    let calls = set.counters().calls;
    let send = Operation::new(OperationKind::Send, 0, 0);
    set.queue(ours.as_raw_fd(), SocketCall::Send { bytes: b"out" }, send)
        .expect("queued");
    set.enter().expect("it enters");
    assert_eq!(set.counters().calls, calls + 1);
    // Nor does it hide what comes.
    theirs.write_all(b"in").expect("there is room");
    set.queue(ours.as_raw_fd(), SocketCall::Send { bytes: b"out" }, send)
        .expect("queued");
    assert_eq!(served(&mut set), [0]);
}
