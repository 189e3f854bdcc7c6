//! Strangers among the control shards of a cluster: words that mean nothing, lies about who one is, and
//! questions for a node's name.

use std::io::Read;

use overlane::config::OverlayChoice;
use overlane::wire::hello::WHO;
use overlane::wire::{CloseReason, DialProgress, Dialer};

use crate::honest::Honest;
use crate::stranger::{Stranger, control_hello, encoded, hello, letter, name};
use crate::support::{GENEROUS, wait_until};

/// Where control shards hear from one another.
const WORDS: &str = "overlane.cluster";

fn honest_cluster() -> Honest {
    Honest::start(|config| config.overlay(OverlayChoice::HyParView))
}

#[test]
fn words_that_mean_nothing_end_the_lane_and_are_counted() {
    let honest = honest_cluster();
    let mut long = vec![2_u8];
    // A question for more nodes than there can be in one.
    long.extend([0xff; 4_000]);
    let words: [&[u8]; 5] = [
        b"",
        b"\xff",
        b"\0\xff\xff\xff\xff\xff",
        &long,
        b"\x03\x01\x05other\0",
    ];
    for (number, word) in (0_u64..).zip(words) {
        let mut stranger = Stranger::lane(
            honest.target.local_addr(),
            control_hello(&format!("mallory{number}")),
        );
        stranger.say(&letter(WORDS, word));
        stranger.ends();
        let cluster = honest.target.cluster().expect("it has an overlay");
        wait_until(
            "the word is counted",
            || cluster.broadcast_counts().malformed,
            |malformed| *malformed == number + 1,
        );
        assert_eq!(cluster.live(), 1, "a stranger became a member");
    }
    honest.finish();
}

/// What a node answers to who asks for its name.
fn asked(honest: &Honest) -> DialProgress {
    let mut question = hello("asker");
    question.channel = name(WHO);
    let mut stranger = Stranger::connect(honest.target.local_addr());
    stranger.say(&encoded(&question));
    let (mut dialer, _) = Dialer::new(question);
    let mut answer = Vec::new();
    stranger
        .stream
        .set_read_timeout(Some(GENEROUS))
        .expect("it takes one");
    stranger
        .stream
        .read_to_end(&mut answer)
        .expect("it answers and closes");
    dialer.receive(&answer).expect("a good answer")
}

#[test]
fn a_lame_duck_tells_nobody_its_name_and_says_why() {
    let honest = honest_cluster();
    honest.target.be_lame_duck();
    match asked(&honest) {
        DialProgress::Refused { refuse, .. } => {
            assert_eq!(refuse.reason(), CloseReason::LocalStop, "{refuse:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn whoever_asks_for_a_name_gets_it_and_no_lane() {
    let honest = honest_cluster();
    for _ in 0..200 {
        let progress = asked(&honest);
        let DialProgress::Welcomed { welcome, .. } = progress else {
            panic!("{progress:?}");
        };
        assert_eq!(welcome.node.as_str(), "target");
    }
    let mut foreign = hello("asker");
    foreign.channel = name(WHO);
    foreign.cluster = name("another");
    let mut stranger = Stranger::connect(honest.target.local_addr());
    stranger.say(&encoded(&foreign));
    stranger.ends();
    assert!(
        honest
            .target
            .peers()
            .iter()
            .all(|peer| peer.peer.name() != "asker")
    );
    honest.finish();
}
