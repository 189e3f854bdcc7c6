//! Peers that take messages and acknowledge none: what is under way to them is bounded.

use overlane::wire::FrameKind;
use overlane::{ChannelMetrics, SendError};

use crate::honest::Honest;
use crate::stranger::{Stranger, good_frame, hello};
use crate::support::{best_effort, reliable, wait_until};

const PAYLOAD: [u8; 1000] = [7; 1000];

/// `unacknowledged_bytes_max` of the channel.
const BOUND: usize = 64 << 10;

/// A batch that is smaller than the bound, or goes out when nothing is under way, is sent whole.
const BATCH_BYTES_MAX: usize = 64 << 10;

fn to_alice(honest: &Honest) -> ChannelMetrics {
    let metrics = honest.target.metrics();
    metrics
        .channel("alice", "data")
        .expect("it was used")
        .clone()
}

/// Reads until `count` messages have come.
fn read_messages(stranger: &mut Stranger, count: u64) {
    let mut messages = 0;
    while messages < count {
        let (kind, ..) = stranger.next_frame().expect("more frames");
        messages += u64::from(kind == FrameKind::Message);
    }
}

#[test]
fn a_peer_that_acknowledges_nothing_is_sent_no_more_than_the_bound() {
    let channels = vec![
        // Without a budget: from the start, so much is under way as may ever be.
        reliable("data")
            .unacknowledged_bytes_max(BOUND)
            .window_budget_us(0_u64),
        best_effort("gossip"),
    ];
    let honest = Honest::with(channels, |config| config);
    let mut alice = Stranger::lane(honest.target.local_addr(), hello("alice"));
    honest.up("alice");
    let channel = honest.target.channel("data").expect("it is configured");
    let to = honest.target.destination("alice", "x").expect("names");
    let refused = loop {
        if let Err(error) = channel.try_send(&to, &PAYLOAD) {
            break error;
        }
    };
    assert!(matches!(refused, SendError::Full), "{refused:?}");

    let under_way = |lane: &ChannelMetrics| lane.in_flight * PAYLOAD.len() as u64;
    wait_until(
        "messages under way",
        || to_alice(&honest),
        |lane| under_way(lane) >= BOUND as u64,
    );
    // She reads all that is sent, so the kernel would take more.
    read_messages(&mut alice, to_alice(&honest).in_flight);
    honest.goes_on();
    let lane = to_alice(&honest);
    assert!(
        under_way(&lane) <= (BOUND + BATCH_BYTES_MAX) as u64,
        "{lane:#?}"
    );
    assert!(lane.queued > 0 && lane.identity_holds(), "{lane:#?}");

    // With each acknowledgement it goes on.
    let mut read = lane.in_flight;
    loop {
        let count = u32::try_from(read).expect("small");
        alice.say(&good_frame(FrameKind::Ack, count, &[]));
        let settled = move |lane: &ChannelMetrics| {
            lane.acknowledged == read && (lane.in_flight > 0 || lane.queued == 0)
        };
        let lane = wait_until("what is next", || to_alice(&honest), settled);
        if lane.in_flight == 0 {
            assert_eq!(lane.accepted, lane.acknowledged, "{lane:#?}");
            break;
        }
        read_messages(&mut alice, lane.in_flight);
        read += lane.in_flight;
    }
    honest.finish();
}
