//! Time to write and to read one frame of a buffer that holds many.
//!
//! `cargo bench -p overlane --bench frame`. Prints the best and the median of many rounds, since a
//! shared machine only ever makes a round slower. The goal is 100 million frames a second, 10 ns.
use std::hint::black_box;
use std::time::Instant;

use overlane::wire::control::append_message;
use overlane::wire::{Ack, FrameKind, FrameLimits, HEADER_BYTES, Next, next_frame, put_header};

const ROUNDS: usize = 400;
const FRAMES: usize = 900; // of 64 bytes: a receive buffer of 64 KiB

fn main() {
    // `cargo test --benches` runs this too: then once, to show that it works.
    let rounds = if std::env::args().any(|argument| argument == "--bench") {
        ROUNDS
    } else {
        1
    };
    for payload_bytes in [0, 64, 1024] {
        let payload = vec![7; payload_bytes];
        let mut buffer = Vec::new();
        for _ in 0..FRAMES {
            append_message(&mut buffer, 3, &payload);
        }
        report("read", payload_bytes, rounds, || {
            read_all(black_box(&buffer))
        });

        let mut out = Vec::with_capacity(buffer.len());
        report("write", payload_bytes, rounds, || {
            out.clear();
            for _ in 0..FRAMES {
                append_message(&mut out, 3, black_box(&payload));
            }
            black_box(&out);
            FRAMES
        });
    }

    let mut header = [0; HEADER_BYTES];
    report("header", 64, rounds, || {
        for _ in 0..FRAMES {
            put_header(&mut header, FrameKind::Message, black_box(64), black_box(3));
            black_box(&header);
        }
        FRAMES
    });

    let mut acks = Vec::new();
    for processed in 0..900 {
        Ack {
            processed,
            refused: 0,
            late: 0,
        }
        .append_to(&mut acks);
    }
    report("read acks", 0, rounds, || read_all(black_box(&acks)));
}

/// The loop of a receiver: every frame of a buffer, in place. Touches each word and body.
fn read_all(buffer: &[u8]) -> usize {
    let limits = FrameLimits::default();
    let mut rest = buffer;
    let mut frames = 0;
    loop {
        match next_frame(rest, &limits) {
            Ok(Next::Frame(frame, consumed_bytes)) => {
                black_box((frame.kind, frame.word, frame.body));
                rest = &rest[consumed_bytes..];
                frames += 1;
            }
            Ok(Next::Skip { consumed_bytes }) => rest = &rest[consumed_bytes..],
            Ok(Next::Fragment(..)) => unreachable!("the limits have no fragments"),
            Ok(Next::Incomplete { .. }) => return frames,
            Err(error) => panic!("the bench wrote a bad frame: {error}"),
        }
    }
}

fn report(what: &str, payload_bytes: usize, rounds: usize, mut round: impl FnMut() -> usize) {
    let mut nanos_per_frame: Vec<f64> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            let frames = round();
            assert_eq!(frames, FRAMES);
            start.elapsed().as_secs_f64() * 1e9 / FRAMES as f64
        })
        .collect();
    nanos_per_frame.sort_by(f64::total_cmp);
    let (best, median) = (nanos_per_frame[0], nanos_per_frame[rounds / 2]);
    println!(
        "{what:10} {payload_bytes:5} B  best {best:7.2} ns/frame  median {median:7.2} ns/frame"
    );
}
