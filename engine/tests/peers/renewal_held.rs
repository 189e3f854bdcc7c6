//! Lanes that are to be made anew while the inbox at their other end is full: what is under way cannot be acknowledged, for as long as
//! nobody reads it.

use overlane::config::{ConfigBuilder, Overflow};
use overlane::wire::CloseReason;
use overlane::{Event, Inbox, Node};

use crate::renewal::{NEW, OLD, guaranteed, with_secret_file};
use crate::support::accounting::check_accounting;
use crate::support::authority::Folder;
use crate::support::{GENEROUS, connect_both, reliable, start, wait_for_event, wait_until};

/// Of each message: a few of them fill an inbox.
const BYTES: usize = 1024;
const INBOX_BYTES: usize = 64 << 10;

/// The mailbox of each channel at `b` has an inbox of its own.
fn send(a: &Node, channel: &str, numbers: std::ops::Range<u64>) {
    let to = a.destination("b", channel).expect("names");
    let channel = a.channel(channel).expect("it is configured");
    for number in numbers {
        let mut payload = vec![0; BYTES];
        payload[..8].copy_from_slice(&number.to_le_bytes());
        channel.try_send(&to, &payload).expect("there is room");
    }
}

fn read(inbox: &mut Inbox, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let message = inbox.recv_timeout(GENEROUS).expect("each comes");
        let read = u64::from_le_bytes(*message.payload().first_chunk().expect("a number"));
        assert_eq!(read, number, "each once, in its order");
    }
}

/// The lane of `told` keeps nothing, so it goes on as it is; that of `kept`, which comes after it, is cut and resumed. It takes as long as
/// both may take.
#[test]
fn a_full_inbox_holds_the_renewal_of_a_lane_and_costs_no_message() {
    let folder = Folder::new();
    let [a, b] = ["a", "b"].map(|name| {
        let config = with_secret_file(name, &folder, &[OLD, NEW]);
        let told = reliable("told").overflow(Overflow::Block);
        let channels = [told, guaranteed()].map(|channel| channel.queue_bytes_max(4 << 20));
        start(channels.into_iter().fold(config, ConfigBuilder::channel))
    });
    let channels = ["told", "kept"];
    let inbox = |channel| b.inbox_of(channel, INBOX_BYTES).expect("a mailbox");
    let mut inboxes = channels.map(inbox);
    connect_both(&a, &b);
    for (channel, inbox) in channels.iter().zip(&mut inboxes) {
        send(&a, channel, 0..1);
        read(inbox, 0..1);
        send(&a, channel, 1..200);
    }
    let events = a.events();
    let renewed = |wanted: &str| {
        wait_for_event(&events, "a lane that is made anew", |event| match event {
            Event::LaneDown {
                channel,
                reason: CloseReason::Renewed,
                ..
            } if **channel == *wanted => Some(()),
            Event::LaneDown {
                channel, reason, ..
            } => panic!("{channel}: {reason}"),
            Event::PeerDown { .. } | Event::Reported { .. } => panic!("{event:?}"),
            _ => None,
        });
    };
    folder.write("a", &format!("{NEW}\n{OLD}\n"));
    assert_eq!(a.reload_security(), Ok(true));
    renewed("overlane.control");
    // What is accepted while they are held comes behind that.
    for channel in channels {
        send(&a, channel, 200..300);
    }
    renewed("kept");
    let told = || {
        let metrics = a.metrics();
        let lane = metrics.channel("b", "told").expect("it is used");
        lane.closes.get(&CloseReason::Renewed).copied()
    };
    assert_eq!(told(), None, "it went on as it was");
    for channel in channels {
        send(&a, channel, 300..310);
    }
    for inbox in &mut inboxes {
        read(inbox, 1..310);
    }
    wait_until("it is made anew once it can be", told, |times| {
        *times == Some(1)
    });
    check_accounting(&[&a, &b]);
}
