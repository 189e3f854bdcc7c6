//! One way, as fast as blocking sockets go: a sender that batches frames, a receiver that decodes them.
//!
//! Called by raw/process.rs on a thread each. Neither may allocate once it runs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};

use super::frame;
use crate::error::{BenchError, Outcome};
use crate::payloads::{Arrivals, Payloads, Place};

/// Receive buffer: the fastest of 64 KiB to 1 MiB for payloads of 64 and of 65536 bytes; larger ones fall
/// out of the second-level cache.
const RECEIVE_BYTES: usize = 256 * 1024;

/// Sends until `stop`, then closes.
pub(crate) fn send_until(
    stop: &AtomicBool,
    stream: &mut TcpStream,
    payloads: &Payloads,
    batch_bytes: usize,
) -> Outcome<()> {
    let mut place = Place::default();
    let frame_bytes = frame::HEADER_BYTES + payloads.at(place).len();
    let mut batch = Vec::with_capacity(batch_bytes + frame_bytes);
    while !stop.load(Ordering::Relaxed) {
        batch.clear();
        while batch.len() < batch_bytes {
            frame::encode(&mut batch, payloads.at(place));
            place.advance(1);
        }
        stream
            .write_all(&batch)
            .map_err(BenchError::system("writing a raw batch"))?;
    }
    Ok(())
}

/// The same with one write for each message, of frames that were made before: nothing is copied.
pub(crate) fn send_each_until(
    stop: &AtomicBool,
    stream: &mut TcpStream,
    payloads: &Payloads,
) -> Outcome<()> {
    let frames: Vec<Vec<u8>> = payloads
        .rotation()
        .map(|payload| {
            let mut frame = Vec::with_capacity(frame::HEADER_BYTES + payload.len());
            frame::encode(&mut frame, payload);
            frame
        })
        .collect();
    for frame in frames.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        stream
            .write_all(frame)
            .map_err(BenchError::system("writing a raw message"))?;
    }
    Ok(())
}

/// Decodes frames of up to `payload_bytes` until the sender closes, handing each to `arrivals`.
pub(crate) fn receive(
    stream: &mut TcpStream,
    payload_bytes: usize,
    arrivals: &mut Arrivals,
) -> Outcome<()> {
    let mut buffer = vec![0_u8; RECEIVE_BYTES.max(4 * (frame::HEADER_BYTES + payload_bytes))];
    let (mut start, mut end) = (0, 0);
    loop {
        let read = stream.read(&mut buffer[end..]);
        let count = read.map_err(BenchError::system("reading a raw batch"))?;
        if count == 0 {
            return Ok(());
        }
        end += count;
        let mut rest = &buffer[start..end];
        while let Some(payload) = frame::decode(&mut rest)? {
            hand_over(arrivals, payload);
        }
        start = end - rest.len();
        // Move the part of a frame to the front only when little room is left behind it.
        if start == end {
            (start, end) = (0, 0);
        } else if buffer.len() - end < buffer.len() / 2 {
            buffer.copy_within(start..end, 0);
            (start, end) = (0, end - start);
        }
    }
}

/// A call for each message, as any receiver with more than one handler has it.
#[inline(never)]
fn hand_over(arrivals: &mut Arrivals, payload: &[u8]) {
    arrivals.take(payload);
}
