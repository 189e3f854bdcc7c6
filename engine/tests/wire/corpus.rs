//! Replays the corpora of the fuzz targets, and thousands of mutations of them, through the same
//! checks that the fuzzer runs: `fuzz/checks.rs` says what must hold for any bytes at all.
#[path = "../../fuzz/checks.rs"]
mod checks;

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

const MUTATIONS: u32 = 4000;

/// Of handshakes, which cost a key exchange each.
const HANDSHAKES: u32 = 1500;

/// The corpus of one target, smallest first.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut files: Vec<_> = entries
        .map(|entry| fs::read(entry.expect("a readable entry").path()).expect("a readable file"))
        .collect();
    files.sort_by_key(|file| (file.len(), file.clone()));
    assert!(files.len() > 5, "{folder:?} has lost its files");
    files
}

#[derive(Clone, Debug)]
enum Edit {
    Set(Index, u8),
    FlipBit(Index, u8),
    Insert(Index, u8),
    CutTail(Index),
    Remove(Index),
    Repeat,
}

fn edit() -> impl Strategy<Value = Edit> {
    let interesting = prop_oneof![
        Just(0),
        Just(1),
        Just(0x7f),
        Just(0x80),
        Just(0xff),
        any::<u8>()
    ];
    prop_oneof![
        (any::<Index>(), interesting).prop_map(|(at, byte)| Edit::Set(at, byte)),
        (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Edit::FlipBit(at, bit)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Insert(at, byte)),
        any::<Index>().prop_map(Edit::CutTail),
        any::<Index>().prop_map(Edit::Remove),
        Just(Edit::Repeat),
    ]
}

fn apply(bytes: &mut Vec<u8>, edit: &Edit) {
    let length = bytes.len();
    match edit {
        Edit::Insert(at, byte) => bytes.insert(at.index(length + 1), *byte),
        _ if bytes.is_empty() => {}
        Edit::Set(at, byte) => bytes[at.index(length)] = *byte,
        Edit::FlipBit(at, bit) => bytes[at.index(length)] ^= 1 << bit,
        Edit::CutTail(at) => bytes.truncate(at.index(length)),
        Edit::Remove(at) => drop(bytes.remove(at.index(length))),
        Edit::Repeat => bytes.extend_from_within(1..),
    }
}

fn replay(target: &str, check: fn(&[u8])) {
    replay_with(target, MUTATIONS, check);
}

fn replay_with(target: &str, mutations: u32, check: fn(&[u8])) {
    let corpus = corpus(target);
    corpus.iter().for_each(|file| check(file));
    let mut runner = TestRunner::new(Config {
        cases: mutations,
        ..Config::default()
    });
    let mutation = (any::<Index>(), prop::collection::vec(edit(), 1..6));
    runner
        .run(&mutation, |(file, edits)| {
            let mut bytes = file.get(&corpus).clone();
            edits.iter().for_each(|edit| apply(&mut bytes, edit));
            check(&bytes);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{target}: {error}"));
}

#[test]
fn any_stream_of_frames_is_read_or_refused() {
    replay("frames", checks::frames);
}

#[test]
fn any_hello_is_read_or_refused() {
    replay("hello", checks::hello);
}

#[test]
fn anything_said_of_how_messages_ended_is_read_or_refused() {
    replay("endings", checks::endings);
}

#[test]
fn any_answer_to_a_hello_is_read_or_refused() {
    replay("answer", checks::answer);
}

#[test]
fn any_extension_is_read_or_refused() {
    replay("extension", checks::extension);
}

#[test]
fn any_words_of_streams_are_read_or_refused() {
    replay("stream", checks::stream);
}

#[test]
fn any_bytes_before_a_session_with_a_secret_come_to_nothing() {
    replay_with("psk", HANDSHAKES, checks::psk);
}

#[test]
fn any_bytes_before_a_session_with_certificates_come_to_nothing() {
    replay_with("tls", HANDSHAKES, checks::tls);
}

#[test]
fn any_line_to_the_admin_socket_is_read_or_refused() {
    replay("admin", checks::admin);
}

#[test]
fn any_file_with_a_recording_is_read_or_refused() {
    replay("recording", checks::recording);
}

#[test]
fn any_summary_of_what_a_member_counts_is_read_or_refused() {
    replay("summary", checks::summary);
}
