//! `overlane proxy` as a user runs it: what it says at its begin and its end, and what it refuses.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::Value;

fn overlane(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_overlane"));
    command.args(arguments.split(' '));
    command
}

fn next_line(output: &mut impl BufRead) -> Value {
    let mut line = String::new();
    output.read_line(&mut line).expect("text");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

/// A proxy that runs before a target that sends everything back, and its first line.
fn before_echo(flags: &str) -> (Child, BufReader<std::process::ChildStdout>, Value) {
    let target = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let to = target.local_addr().expect("it is bound");
    thread::spawn(move || {
        for end in target.incoming().map_while(Result::ok) {
            // A connection that is cut ends with an error.
            drop(std::io::copy(&mut &end, &mut &end));
            drop(end.shutdown(Shutdown::Write));
        }
    });
    let mut running = overlane(&format!("proxy --to {to} --json {flags}"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut output = BufReader::new(running.stdout.take().expect("it is a pipe"));
    let begin = next_line(&mut output);
    assert_eq!(begin["to"], to.to_string(), "{begin}");
    (running, output, begin)
}

fn echoed(begin: &Value, bytes: &[u8]) -> Vec<u8> {
    let at = begin["listen"].as_str().expect("an address");
    let mut end = TcpStream::connect(at).expect("the proxy listens");
    let mut sending = end.try_clone().expect("a descriptor");
    let sent = bytes.to_vec();
    let sending = thread::spawn(move || {
        drop(sending.write_all(&sent));
        drop(sending.shutdown(Shutdown::Write));
    });
    let mut came = Vec::new();
    // What is cut ends early, and may end with an error.
    drop(end.read_to_end(&mut came));
    sending.join().expect("no panic");
    came
}

#[test]
fn it_passes_on_until_it_is_interrupted_and_says_what_it_has_done() {
    let flags = "--rtt-ms 2 --rate 400mbit --seed 7";
    let (mut running, mut output, begin) = before_echo(flags);
    assert_eq!(begin["seed"], 7);
    let bytes = vec![3; 100_000];
    assert!(echoed(&begin, &bytes) == bytes);
    let interrupt = Command::new("kill")
        .args(["-INT", &running.id().to_string()])
        .status();
    assert!(interrupt.is_ok_and(|status| status.success()));
    let end = next_line(&mut output);
    for (key, count) in [
        ("connections", 1),
        ("unreachable", 0),
        ("cut", 0),
        ("stalls", 0),
        ("bytes_to_target", 100_000),
        ("bytes_from_target", 100_000),
        ("corrupted_bytes", 0),
    ] {
        assert_eq!(end[key], count, "{key}: {end}");
    }
    assert_eq!(running.wait().expect("it ends").code(), Some(0));
}

#[test]
fn it_cuts_stalls_and_damages_what_it_is_told_to_and_ends_in_time() {
    let flags = "--cut-after-bytes 50000 --corrupt-every-bytes 1000 --cut-every-ms 300 \
                 --stall-every-ms 100 --stall-ms 10 --seconds 0.6 --seed 1";
    let (mut running, mut output, begin) = before_echo(flags);
    let came = echoed(&begin, &vec![0; 1_000_000]);
    assert!(came.len() <= 50_000, "{}", came.len());
    let end = next_line(&mut output);
    for key in ["cut", "stalls", "corrupted_bytes"] {
        assert!(
            end[key].as_u64().is_some_and(|count| count > 0),
            "{key}: {end}"
        );
    }
    assert!(
        end["seconds"].as_f64().is_some_and(|lasted| lasted >= 0.6),
        "{end}"
    );
    assert_eq!(running.wait().expect("it ends").code(), Some(0));
}

#[test]
fn without_json_it_says_the_same_to_people() {
    let output = overlane("proxy --to 127.0.0.1:1 --seconds 0 --seed 5").output();
    let output = output.expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text.contains("listening at 127.0.0.1:"), "{text}");
    assert!(
        text.contains("seed 5") && text.contains("0 connections"),
        "{text}"
    );
}

#[test]
fn bad_flags_and_a_place_that_is_taken_are_told() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = taken.local_addr().expect("it is bound");
    for (flags, code, said) in [
        ("proxy".to_owned(), 2, "--to"),
        ("proxy --to nowhere".to_owned(), 2, "nowhere"),
        (
            "proxy --to 127.0.0.1:1 --rate 100".to_owned(),
            2,
            "such as 100mbit",
        ),
        (
            "proxy --to 127.0.0.1:1 --rtt-ms=-1".to_owned(),
            2,
            "--rtt-ms",
        ),
        (
            "proxy --to 127.0.0.1:1 --stall-ms 1e9".to_owned(),
            2,
            "0 to 3600000",
        ),
        (
            "proxy --to 127.0.0.1:1 --corrupt-every-bytes 0".to_owned(),
            2,
            "--corrupt-every-bytes",
        ),
        (
            format!("proxy --to 127.0.0.1:1 --listen {at}"),
            3,
            "name another place",
        ),
    ] {
        let output = overlane(&flags).output().expect("it runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{flags}: {error}");
        assert!(error.contains(said), "{flags}: {error}");
    }
}
