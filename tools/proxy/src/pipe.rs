//! One direction of one connection: a thread reads, damages, throttles and puts pieces on a line; another takes
//! them from it when they are due, waits out a stall, and writes.
//!
//! Started by proxy.rs for each connection, twice. What ends it: the end of the stream, which is passed on
//! behind the last byte, as TCP does; an error on either socket, or a cut, which end both directions at once.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use crate::connection::{Connection, Direction};
use crate::corruption::Corruption;
use crate::line::{Next, Piece};
use crate::shared::Shared;

/// Most that is read at once.
const READ_BYTES_MAX: usize = 64 << 10;
/// A throttled link takes pieces of a thousandth of what passes in a second, so that connections share it
/// evenly, but not smaller ones than a packet.
const READ_BYTES_MIN: usize = 1_448;
/// Most that a line without delay holds.
const LINE_BYTES_MAX: usize = 256 << 10;
/// Most that a line with a delay holds: 1 GB/s for 10 ms, and some. More of either, and the delay costs
/// bandwidth.
const DELAYED_BYTES_MAX: usize = 16 << 20;

/// Starts the two threads of a direction. They end with the connection.
pub(crate) fn start(shared: &Arc<Shared>, connection: &Arc<Connection>, direction: Direction) {
    let (own, of) = (Arc::clone(shared), Arc::clone(connection));
    thread::spawn(move || read(&own, &of, direction));
    let (own, of) = (Arc::clone(shared), Arc::clone(connection));
    thread::spawn(move || write(&own, &of, direction));
}

fn read(shared: &Shared, connection: &Connection, direction: Direction) {
    let line = &connection.lines[direction as usize];
    let (mut from, _) = connection.sockets(direction);
    let seed = shared.seed_of(connection.number, direction);
    let mut corruption = Corruption::new(seed);
    let mut buffer = vec![0; READ_BYTES_MAX];
    loop {
        let rate = shared.rate(direction);
        let most = rate.map_or(READ_BYTES_MAX, |bytes_per_s| {
            let thousandth = usize::try_from(bytes_per_s.get() / 1_000).unwrap_or(usize::MAX);
            thousandth.clamp(READ_BYTES_MIN, READ_BYTES_MAX)
        });
        let bytes = match from.read(&mut buffer[..most]) {
            Ok(0) => break line.end(),
            Ok(bytes) => &mut buffer[..bytes],
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => break shared.broken(connection),
        };
        shared.count_damage(corruption.pass(bytes, shared.corrupt_every()));
        let mut left = Instant::now();
        if let Some(bytes_per_s) = rate {
            left = shared.enter_link(direction, left, bytes.len(), bytes_per_s);
            if !line.until(left) {
                break;
            }
        }
        let delay = shared.delay(direction);
        let piece = Piece {
            due: left + delay,
            bytes: Box::from(&*bytes),
        };
        let bytes_max = if delay.is_zero() {
            LINE_BYTES_MAX
        } else {
            DELAYED_BYTES_MAX
        };
        if !line.push(piece, bytes_max) {
            break;
        }
    }
}

fn write(shared: &Shared, connection: &Connection, direction: Direction) {
    let line = &connection.lines[direction as usize];
    let (_, mut to) = connection.sockets(direction);
    let mut passed = 0;
    loop {
        let piece = match line.next() {
            Next::Piece(piece) => piece,
            Next::End => {
                if !shared.keeps_half_open() && shared.wait_out_stall(connection) {
                    drop(to.shutdown(Shutdown::Write));
                }
                break;
            }
            Next::Over => break,
        };
        if !shared.wait_out_stall(connection) {
            break;
        }
        let left = shared.left_before_cut(passed);
        let bytes = piece.bytes.len().min(left);
        if to.write_all(&piece.bytes[..bytes]).is_err() {
            shared.broken(connection);
            break;
        }
        passed += bytes as u64;
        shared.count_bytes(direction, bytes as u64);
        if left <= piece.bytes.len() {
            shared.cut_one(connection);
            break;
        }
    }
    if connection.is_second_end() {
        shared.forget(connection);
    }
}
