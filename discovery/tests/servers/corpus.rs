//! Replays the corpora of the fuzz targets (`discovery/fuzz`), and mutations of them, through the same checks.

use std::fs;
use std::path::Path;

use overlane_discovery::{kubernetes, multicast, resolver};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut corpus: Vec<_> = entries
        .map(|entry| fs::read(entry.expect("a readable entry").path()).expect("a readable file"))
        .collect();
    corpus.sort();
    assert!(corpus.len() > 5, "{folder:?} has lost its files");
    corpus.iter().for_each(|file| check(file));
    let config = Config {
        cases: 2_000,
        ..Config::default()
    };
    let edits = prop::collection::vec((any::<Index>(), any::<u8>(), 0..4_u8), 1..6);
    TestRunner::new(config)
        .run(&(any::<Index>(), edits), |(file, edits)| {
            let mut bytes = file.get(&corpus).clone();
            for (at, byte, kind) in edits {
                let at = at.index(bytes.len() + 1);
                match kind {
                    0 => bytes.insert(at, byte),
                    1 => bytes.truncate(at),
                    2 if at < bytes.len() => bytes[at] ^= 1 << (byte % 8),
                    _ if at < bytes.len() => bytes[at] = byte,
                    _ => {}
                }
            }
            check(&bytes);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{target}: {error}"));
}

#[test]
fn any_multicast_packet_is_read_or_refused() {
    replay("packet", multicast::fuzz_packet);
}

#[test]
fn any_answer_of_a_name_server_is_read_or_refused() {
    replay("answer", resolver::fuzz_answer);
}

#[test]
fn any_line_of_a_watch_is_read_or_refused() {
    replay("line", kubernetes::fuzz_line);
}
