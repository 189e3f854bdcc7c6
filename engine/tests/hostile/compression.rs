//! Compressed frames that no node sends: each costs its sender the connection, before memory is taken for
//! what it states.

use overlane::config::Compression;
use overlane::wire::codec::{Codec, EXPANSION_FREE_BYTES, batch_bytes_max};
use overlane::wire::compression::Compressor;
use overlane::wire::{CloseReason, FrameKind, Hello};

use crate::honest::Honest;
use crate::stranger::{Stranger, good_frame, hello, letter, name};
use crate::support::reliable;

const BODY_BYTES_MAX: u32 = 1 << 20;

fn compressing(codec: Compression) -> Hello {
    let mut hello = hello("mallory");
    hello.terms.compression = name(codec.word());
    hello
}

/// Those frames as a node sends them.
fn batch(codec: Codec, frames: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    let mut compressor = Compressor::new(codec, 3).expect("there is memory");
    assert!(compressor.compress(frames, BODY_BYTES_MAX, &mut body));
    states(frames.len(), &body)
}

/// A compressed frame that says that it stands for so many bytes.
fn states(batch_bytes: usize, body: &[u8]) -> Vec<u8> {
    let word = u32::try_from(batch_bytes).expect("32 bits");
    good_frame(FrameKind::Compressed, word, body)
}

#[test]
fn compressed_frames_against_the_rules_end_the_lane() {
    for (compression, codec) in [
        (Compression::Lz4, Codec::Lz4),
        (Compression::Zstd, Codec::Zstd),
    ] {
        let text = letter("x", &[b'a'; 2000]);
        let good = batch(codec, &text);
        let body = &good[8..];
        let most = batch_bytes_max(BODY_BYTES_MAX);
        let cut = &text[..text.len() - 1];
        let wrong: [(&str, Vec<u8>); 9] = [
            ("more than a batch may be", states(most + 1, &[0; 5000])),
            ("4 GiB", states(u32::MAX as usize, body)),
            (
                "a bomb: too much for its length",
                states(EXPANSION_FREE_BYTES + (1 << 19), &[0; 1000]),
            ),
            ("less than its own length", states(body.len(), body)),
            ("a byte more than it becomes", states(text.len() + 1, body)),
            ("a byte less than it becomes", states(text.len() - 1, body)),
            ("no bytes of the codec", states(2000, &[0xA5; 100])),
            ("half a frame at its end", batch(codec, cut)),
            (
                "a compressed frame in it",
                batch(codec, &batch(codec, &[0; 4000]).repeat(20)),
            ),
        ];
        let channels = vec![reliable("data").compression(compression)];
        let honest = Honest::with(channels, |config| config);
        let reason = CloseReason::BadCompression;
        for ((what, bytes), count) in wrong.into_iter().zip(1..) {
            println!("{what}, {codec:?}");
            let address = honest.target.local_addr();
            let mut mallory = Stranger::lane(address, compressing(compression));
            mallory.say(&bytes);
            mallory.ends();
            honest.closed("mallory", "data", reason, count);
        }
        honest.finish();
    }
}

#[test]
fn a_compressed_frame_on_a_lane_without_compression_ends_it() {
    let honest = Honest::start(|config| config);
    let mut mallory = Stranger::lane(honest.target.local_addr(), hello("mallory"));
    mallory.say(&batch(Codec::Lz4, &letter("x", &[b'a'; 2000])));
    mallory.ends();
    honest.closed("mallory", "data", CloseReason::BadCompression, 1);
    honest.finish();
}
