//! In what pieces the kernel sends the bytes of a connection, and how much of a batch is whole pieces.
//!
//! Owned by a connection, asked by `lane` before each send that more waits behind. It reads what the kernel says of the
//! socket and changes nothing.

use std::os::fd::OwnedFd;

use crate::io::socket;

/// The most bytes in one segment: 64 KiB without headers and timestamps. On a loopback interface it is one packet, elsewhere the
/// network card cuts it into packets.
const SEGMENT_BYTES_MAX: usize = 65_483;

/// After so many answers the kernel is asked again: packets become larger as the other end's window grows, for a loopback connection from
/// 32 to 64 KiB, and smaller where a path changes. 16: a quarter of a percent of what the sends between cost.
const ANSWERS_MAX: u32 = 16;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Segments {
    /// As the kernel said last.
    bytes: usize,
    /// How often that is still taken for true.
    answers_left: u32,
}

impl Segments {
    pub(super) const fn new() -> Self {
        Self {
            bytes: SEGMENT_BYTES_MAX,
            answers_left: 0,
        }
    }

    /// How many of `bytes` are whole segments; all of them, if they do not fill one.
    pub(super) fn whole(&mut self, socket: &OwnedFd, bytes: usize) -> usize {
        if self.answers_left == 0 {
            self.bytes = segment_bytes(socket::packet_bytes(socket));
            self.answers_left = ANSWERS_MAX;
        }
        self.answers_left -= 1;
        whole(bytes, self.bytes)
    }

    /// Less than a segment, as far as is known.
    pub(super) fn is_part(&self, bytes: usize) -> bool {
        bytes < self.bytes
    }
}

/// Of packets of that size; 0 stands for one that is not known.
fn segment_bytes(packet_bytes: usize) -> usize {
    match SEGMENT_BYTES_MAX.checked_div(packet_bytes) {
        Some(packets) if packets > 0 => packets * packet_bytes,
        _ => SEGMENT_BYTES_MAX,
    }
}

fn whole(bytes: usize, segment_bytes: usize) -> usize {
    match bytes - bytes % segment_bytes {
        0 => bytes,
        whole => whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_as_many_whole_packets_as_go_into_64_kib() {
        for (packet_bytes, segment) in [
            (65_483, 65_483),
            (32_768, 32_768),
            (8_948, 62_636),
            (1_448, 65_160),
            (536, 65_392),
            (70_000, 65_483),
            (0, 65_483),
        ] {
            assert_eq!(segment_bytes(packet_bytes), segment, "{packet_bytes}");
        }
    }

    #[test]
    fn whole_segments_are_taken_and_what_does_not_fill_one_goes_as_it_is() {
        for (bytes, is) in [(0, 0), (1, 1), (99, 99), (100, 100), (101, 100), (399, 300)] {
            assert_eq!(whole(bytes, 100), is, "{bytes}");
        }
    }
}
