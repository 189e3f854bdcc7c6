//! A crowd at the admin socket. Alone in its process, as it counts that process's threads.

mod support;

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::path::Path;

use overlane::admin::{Answer, CONNECTIONS_MAX, Client, RefusalKind, Reply, Request};
use overlane::config::Admin;

use support::{GENEROUS, wait_until};

fn connect(socket: &Path) -> UnixStream {
    let stream = UnixStream::connect(socket).expect("it is there");
    stream.set_read_timeout(Some(GENEROUS)).expect("a timeout");
    stream
}

fn answers(socket: &Path) {
    let answer = Client::ask_once(socket, &Request::Status {});
    assert!(matches!(answer, Ok(Answer::Status(_))), "{answer:?}");
}

#[test]
fn a_thousand_connections_keep_nobody_out() {
    let socket = std::env::temp_dir().join(format!("admin-crowd-{}.sock", std::process::id()));
    let config = support::config("a").admin(Admin::At(socket.clone()));
    let node = support::start(config);
    let mut silent = Vec::new();
    for number in 0..1000 {
        silent.push(connect(&socket));
        if number % 100 == 0 {
            answers(&socket);
        }
    }
    answers(&socket);
    // Those that had to make room were told so.
    let mut line = String::new();
    BufReader::new(&silent[0])
        .read_line(&mut line)
        .expect("a line");
    match Reply::read(line.trim_end().as_bytes()) {
        Ok(Reply::Refused(refusal)) => assert_eq!(refusal.kind, RefusalKind::Busy),
        other => panic!("{line}: {other:?}"),
    }
    let threads = || own_threads("overlane-admin");
    wait_until("their threads end", threads, |threads| {
        *threads <= CONNECTIONS_MAX + 1
    });
    drop(silent);
    wait_until("all threads end", threads, |threads| *threads <= 1);
    answers(&socket);
    drop(node);
}

/// Threads of this test's process whose name begins so.
fn own_threads(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("there is one");
    let names = tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|thread| thread.trim_end() == name).count()
}
