//! Clients that break the rules of the socket, while the node goes on and answers others.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use overlane::Node;
use overlane::admin::{Answer, Client, FOLLOWERS_MAX, RefusalKind, Reply, Request};

use super::support::{GENEROUS, ends, reliable, wait_until};
use super::{Folder, ask, refused, start};

fn connect(socket: &Path) -> UnixStream {
    let stream = UnixStream::connect(socket).expect("it is there");
    stream.set_read_timeout(Some(GENEROUS)).expect("a timeout");
    stream
}

fn answers(socket: &Path) {
    assert!(matches!(
        ask(socket, &Request::Status {}),
        Answer::Status(_)
    ));
}

fn refusal(stream: &UnixStream) -> (RefusalKind, String) {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("a line");
    match Reply::read(line.trim_end().as_bytes()) {
        Ok(Reply::Refused(refusal)) => (refusal.kind, refusal.text),
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn a_line_that_is_too_long_is_refused_and_ends_the_connection() {
    let folder = Folder::new();
    let node = start("a", &folder.socket("a"), &[]);
    let mut stream = connect(&folder.socket("a"));
    // It is not read to its end, so the rest may find nobody.
    let line = vec![b'x'; 10 << 20];
    let _ = stream.write_all(&line);
    let (kind, text) = refusal(&stream);
    assert_eq!(kind, RefusalKind::Malformed);
    assert!(text.contains("longer than 1048576 bytes"), "{text}");
    let _ = stream.read_to_end(&mut Vec::new());
    answers(&folder.socket("a"));
    drop(node);
}

#[test]
fn garbage_is_refused_and_the_connection_goes_on() {
    let folder = Folder::new();
    let node = start("a", &folder.socket("a"), &[]);
    let mut stream = connect(&folder.socket("a"));
    let deep = vec![b'['; 50_000];
    for garbage in [
        &b"\xff\xfe\x00"[..],
        b"",
        b"{}",
        b"null",
        &deep,
        br#"{"version":1,"request":{"status":{}}}"#,
        br#"{"version":-1,"request":"status"}"#,
        br#"{"version":1,"request":"send","peer":"b","mailbox":"m","payload":{"bytes":[256]},"timeout_ms":1}"#,
        br#"{"version":1,"request":"add_channel","channel":"\u001b[2J"}"#,
    ] {
        stream.write_all(garbage).and_then(|()| stream.write_all(b"\n")).expect("it reads");
        let (_, text) = refusal(&stream);
        assert!(!text.contains(char::is_control), "{text:?}");
    }
    let line = Request::Status {}.line() + "\n";
    stream.write_all(line.as_bytes()).expect("it reads");
    let mut answer = String::new();
    BufReader::new(&stream)
        .read_line(&mut answer)
        .expect("a line");
    assert!(answer.contains("\"status\""), "{answer}");
    drop(node);
}

#[test]
fn half_a_line_and_silence_hold_up_nobody() {
    let folder = Folder::new();
    let node = start("a", &folder.socket("a"), &[]);
    let mut half = connect(&folder.socket("a"));
    half.write_all(b"{\"version\":1,").expect("it reads");
    let silent = connect(&folder.socket("a"));
    answers(&folder.socket("a"));
    // The one that began a line has little time for the rest, and the other a minute.
    assert_eq!(half.read(&mut [0]).expect("an end"), 0);
    answers(&folder.socket("a"));
    drop((silent, node));
}

/// Makes events: channels that come and go.
fn stir(node: &Node, times: u32) {
    for _ in 0..times {
        node.add_channel(reliable("storm")).expect("it is added");
        node.remove_channel("storm", Duration::ZERO)
            .expect("it is removed");
    }
}

#[test]
fn who_stops_reading_events_disturbs_nobody_and_is_let_go() {
    let folder = Folder::new();
    let socket = folder.socket("a");
    let node = start("a", &socket, &[]);
    let mut stuck = connect(&socket);
    let line = Request::Events {}.line() + "\n";
    stuck.write_all(line.as_bytes()).expect("it reads");
    let mut reader = Client::connect(&socket)
        .and_then(Client::follow)
        .expect("it follows");
    // One that reads goes on all the while: what it is too slow for, it is told to have missed.
    let reading = std::thread::spawn(move || {
        let mut seen = 0;
        while seen < 2000 {
            let event = reader.next_event().expect("it reads");
            let event = event.expect("it goes on");
            seen += match &event.fields.get("events") {
                Some(missed) if event.event == "missed" => missed.as_u64().expect("a count"),
                _ => 1,
            };
        }
    });
    // More than the buffers of a socket hold.
    stir(&node, 2500);
    answers(&socket);
    ends("one that reads", move || {
        reading.join().expect("it goes on")
    });
    // It is let go once it has not read for a while: what it had got comes, then the end.
    let mut left = Vec::new();
    wait_until("it is let go", || is_let_go(&stuck), |gone| *gone);
    let _ = stuck.read_to_end(&mut left);
    assert!(left.starts_with(br#"{"version":1,"answer":"following"}"#));
    answers(&socket);
    drop(node);
}

/// Whether the server has closed its end; nothing is read or written for that.
fn is_let_go(stream: &UnixStream) -> bool {
    let mut asked = libc::pollfd {
        fd: stream.as_raw_fd(),
        events: 0,
        revents: 0,
    };
    // SAFETY: one structure that lives as long as the call.
    let told = unsafe { libc::poll(&raw mut asked, 1, 100) };
    told == 1 && asked.revents & libc::POLLHUP != 0
}

#[test]
fn followers_leave_room_for_requests() {
    let folder = Folder::new();
    let socket = folder.socket("a");
    let node = start("a", &socket, &[]);
    let following: Vec<_> = (0..FOLLOWERS_MAX)
        .map(|_| {
            Client::connect(&socket)
                .and_then(Client::follow)
                .expect("it follows")
        })
        .collect();
    assert_eq!(
        refused(&socket, &Request::Events {}).kind,
        RefusalKind::Busy
    );
    answers(&socket);
    drop(following);
    // Those that have gone are noticed, and make room.
    let follows = wait_until(
        "one more follows",
        || {
            Client::connect(&socket)
                .and_then(Client::follow)
                .map(drop)
                .map_err(|error| error.to_string())
        },
        Result::is_ok,
    );
    assert_eq!(follows, Ok(()));
    drop(node);
}
