//! Messages that say more than their payload: a type and metadata, by each way to send and each way to
//! receive, and what is refused before it is accepted. One message to a list of destinations.

use std::sync::mpsc;

use crate::support::accounting::{all_acknowledged, check_accounting, counted};
use crate::support::{GENEROUS, config, connect_both, reliable, start};
use futures_lite::StreamExt;
use futures_lite::future::block_on;
use overlane::wire::NameError;
use overlane::wire::extension::EXTENSION_BYTES_MAX;
use overlane::{
    Attributes, AttributesError, Channel, Destination, Envelope, METADATA_PAIRS_MAX, Message, Node,
    OwnedMessage, SendError, ShardContext, Unsent,
};

fn node(name: &str) -> Node {
    let data = reliable("data").queue_bytes_max(64_usize << 20);
    start(config(name).shards(2).channel(data))
}

fn pair() -> (Node, Node, Channel, Destination) {
    let (a, b) = (node("a"), node("b"));
    connect_both(&a, &b);
    let data = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    (a, b, data, to)
}

/// As the tests send it: its values differ with the payload's length.
fn letter(payload: &[u8]) -> Envelope<'_, &[u8]> {
    Envelope::new(payload)
        .message_type("letter")
        .metadata("first", payload.get(..8).unwrap_or(payload))
        .metadata("empty", "")
        .metadata("first", "again")
}

/// What [`letter`] says, once it has come.
fn check(message: &OwnedMessage, payload: &[u8]) {
    assert!(message.payload() == payload, "{} bytes", payload.len());
    let first = payload.get(..8).unwrap_or(payload);
    assert_eq!(message.message_type(), Some("letter"));
    assert_eq!(message.metadata("first"), Some(first), "the first of both");
    assert_eq!(message.metadata("other"), None);
    let all: Vec<_> = message.all_metadata().collect();
    assert_eq!(all, [("first", first), ("empty", b""), ("first", b"again")]);
}

fn payloads(channel: &Channel) -> Vec<Vec<u8>> {
    let lengths = [
        0,
        1,
        900,
        1000,
        1024,
        5000,
        70_000,
        channel.message_bytes_max(),
    ];
    lengths.map(|bytes| vec![7; bytes]).into()
}

/// Sends each payload by each way to send; returns how many messages that were.
fn send_by_all_ways(from: &Node, channel: &Channel, to: &Destination) -> usize {
    let payloads = payloads(channel);
    for payload in &payloads {
        channel.try_send(to, letter(payload)).expect("accepted");
        channel
            .send_blocking(to, letter(payload))
            .expect("accepted");
        block_on(channel.send(to, letter(payload))).expect("accepted");
        let sent = channel
            .send_to_all([to], letter(payload))
            .expect("accepted");
        assert_eq!((sent.accepted, sent.refused.len()), (1, 0));
    }
    // On either shard: one of them owns the lane.
    for shard in 0..2 {
        let (done, finished) = mpsc::channel();
        let (channel, to, payloads) = (channel.clone(), to.clone(), payloads.clone());
        from.spawn_on_shard(shard, move |shard| async move {
            for payload in &payloads {
                shard
                    .try_send(&channel, &to, letter(payload))
                    .expect("accepted");
                shard
                    .send(&channel, &to, letter(payload))
                    .await
                    .expect("accepted");
            }
            done.send(()).expect("the test waits");
        })
        .expect("there is that shard");
        finished.recv_timeout(GENEROUS).expect("the task ends");
    }
    payloads.len() * 8
}

#[test]
fn what_a_message_says_arrives_by_each_way_to_send_and_to_receive() {
    let (a, b, data, to) = pair();
    let itself = a.destination("a", "in").expect("names");
    for (receiver, to) in [(&b, &to), (&a, &itself)] {
        let mut inbox = receiver.inbox_of("in", 64 << 20).expect("a mailbox");
        let count = send_by_all_ways(&a, &data, to);
        for _ in 0..count / 2 {
            let lent = inbox.recv_timeout(GENEROUS).expect("it comes");
            assert_eq!(lent.message_type(), Some("letter"));
            assert_eq!(lent.metadata("empty"), Some(&b""[..]));
            assert_eq!(lent.all_metadata().count(), 3);
            let owned = lent.to_owned();
            check(&owned, &owned.to_bytes());
        }
        for _ in count / 2..count {
            let owned = block_on(inbox.next()).expect("it comes");
            check(&owned, &owned.to_bytes());
        }
        drop(inbox);
        let (tell, told) = mpsc::channel();
        receiver
            .handle(
                "in",
                move |_: &mut ShardContext<'_>, message: Message<'_>| {
                    assert_eq!(message.message_type(), Some("letter"));
                    assert_eq!(message.all_metadata().count(), 3);
                    tell.send(message.to_owned()).expect("the test waits");
                },
            )
            .expect("a mailbox");
        for _ in 0..send_by_all_ways(&a, &data, to) {
            let owned = told.recv_timeout(GENEROUS).expect("it comes");
            check(&owned, &owned.to_bytes());
        }
    }
    let metrics = check_accounting(&[&a, &b]);
    assert_eq!(counted(&metrics[0], "b", "data").reported, 0);
}

#[test]
fn a_handler_sends_and_requests_and_replies_say_more_than_their_payload_too() {
    let (a, b, data, to) = pair();
    let back = b.channel("data").expect("it is configured");
    b.handle("in", move |shard, message| {
        assert_eq!(message.message_type(), Some("letter"));
        if let Some(asker) = message.reply_handle() {
            assert!(asker.deadline().is_some(), "it is a request");
            shard
                .try_reply(&back, &asker, letter(message.payload()))
                .expect("accepted");
        } else {
            let answers = message.reply_to(message.mailbox());
            shard
                .try_send(&back, &answers, letter(message.payload()))
                .expect("accepted");
        }
    })
    .expect("a mailbox");
    let mut answers = a.inbox_of("in", 8 << 20).expect("a mailbox");
    for payload in payloads(&data) {
        let reply = data
            .request_blocking(&to, letter(&payload), GENEROUS)
            .expect("a reply");
        check(&reply, &payload);
        let reply = block_on(data.request(&to, letter(&payload), GENEROUS)).expect("a reply");
        check(&reply, &payload);
        data.try_send(&to, letter(&payload)).expect("accepted");
        let answer = answers.recv_timeout(GENEROUS).expect("it comes");
        check(&answer.to_owned(), &payload);
    }
    check_accounting(&[&a, &b]);
}

#[test]
fn a_message_that_says_nothing_more_is_a_plain_one() {
    let (a, b, data, to) = pair();
    let mut inbox = b.inbox("in").expect("a mailbox");
    data.try_send(&to, Envelope::new("x")).expect("accepted");
    data.try_send(&to, "x").expect("accepted");
    for _ in 0..2 {
        let message = inbox.recv_timeout(GENEROUS).expect("it comes");
        assert_eq!(
            (message.message_type(), message.metadata("k")),
            (None, None)
        );
        assert_eq!(message.all_metadata().count(), 0);
    }
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "data", 2);
}

#[test]
fn what_is_beyond_the_bounds_is_refused_before_it_is_accepted() {
    let (a, b, data, to) = pair();
    let long = "k".repeat(256);
    let value = vec![0; EXTENSION_BYTES_MAX - 4];
    let mut many = Attributes::new();
    for _ in 0..=METADATA_PAIRS_MAX {
        many = many.metadata("k", "v");
    }
    let refused = [
        (many, AttributesError::TooManyPairs { pairs: 9 }),
        (
            Attributes::new().metadata("k", &value),
            AttributesError::TooLarge {
                bytes: EXTENSION_BYTES_MAX + 1,
            },
        ),
        (
            Attributes::new().metadata("", "v"),
            AttributesError::BadKey(NameError::Empty),
        ),
        (
            Attributes::new().metadata(&long, "v"),
            AttributesError::BadKey(NameError::TooLong { bytes: 256 }),
        ),
        (
            Attributes::new().message_type("a\nb"),
            AttributesError::BadType(NameError::ControlCharacter { at: 1 }),
        ),
    ];
    for (attributes, error) in refused {
        let error = SendError::Attributes(error);
        let payload = vec![1, 2, 3];
        let unsent = Unsent {
            error: error.clone(),
            payload: payload.clone(),
        };
        let sent = data.try_send(&to, Envelope::with(payload.clone(), attributes));
        assert_eq!(sent, Err(unsent.clone()), "what was handed over comes back");
        let sent = data.send_blocking(&to, Envelope::with(payload.clone(), attributes));
        assert_eq!(sent, Err(unsent.clone()));
        let sent = block_on(data.send(&to, Envelope::with(payload, attributes)));
        assert_eq!(sent, Err(unsent));
        let sent = data.send_to_all([&to], Envelope::with("x", attributes));
        assert_eq!(sent.err(), Some(error));
    }
    let metrics = check_accounting(&[&a, &b]);
    assert_eq!(
        metrics[0]
            .channel("b", "data")
            .map_or(0, |out| out.accepted),
        0
    );
    // What just fits does.
    let mut inbox = b.inbox("in").expect("a mailbox");
    let mut most = Attributes::new().message_type(&long[1..]);
    for _ in 0..METADATA_PAIRS_MAX {
        most = most.metadata(&long[200..], &value[..140]);
    }
    data.try_send(&to, Envelope::with("x", most))
        .expect("accepted");
    let message = inbox.recv_timeout(GENEROUS).expect("it comes");
    assert_eq!(message.all_metadata().count(), METADATA_PAIRS_MAX);
    check_accounting(&[&a, &b]);
}

#[test]
fn a_list_of_destinations_says_what_became_of_each() {
    let hub = node("hub");
    let peers = ["one", "two"].map(node);
    let mut inboxes = peers.each_ref().map(|peer| {
        connect_both(&hub, peer);
        peer.inbox_of("in", 8 << 20).expect("a mailbox")
    });
    let mut own = hub.inbox_of("in", 8 << 20).expect("a mailbox");
    let data = hub.channel("data").expect("it is configured");
    let foreign = peers[0].destination("hub", "in").expect("names");
    let to =
        ["one", "nobody", "two", "hub"].map(|name| hub.destination(name, "in").expect("names"));
    for bytes in [0, 50, 100_000] {
        let payload = vec![5; bytes];
        let list = to.iter().chain([&foreign]);
        let sent = data
            .send_to_all(list, letter(&payload))
            .expect("it can be sent");
        assert_eq!(sent.accepted, 3);
        let refused = sent.refused.iter();
        let refused: Vec<_> = refused.map(|(peer, error)| (peer.name(), error)).collect();
        assert_eq!(
            refused,
            [
                ("nobody", &SendError::Unreachable),
                ("hub", &SendError::OtherNode)
            ]
        );
        for inbox in inboxes.iter_mut().chain([&mut own]) {
            let message = inbox.recv_timeout(GENEROUS).expect("it comes");
            check(&message.to_owned(), &payload);
        }
        let sent = data.send_to_all(&to, payload).expect("it can be sent");
        assert_eq!((sent.accepted, sent.refused.len()), (3, 1));
        for inbox in inboxes.iter_mut().chain([&mut own]) {
            let message = inbox.recv_timeout(GENEROUS).expect("it comes");
            assert_eq!(
                (message.payload().len(), message.message_type()),
                (bytes, None)
            );
        }
    }
    let bytes_max = data.message_bytes_max();
    let too_large = data.send_to_all(&to, vec![0; bytes_max + 1]);
    let bytes = bytes_max + 1;
    assert_eq!(
        too_large.err(),
        Some(SendError::TooLarge { bytes, bytes_max })
    );
    let [one, two] = &peers;
    let metrics = check_accounting(&[&hub, one, two]);
    for peer in ["one", "two"] {
        all_acknowledged(&metrics[0], peer, "data", 6);
    }
}

/// Many small ones in a row, and a stream of them: what they say does not get mixed up.
#[test]
fn each_message_keeps_what_it_says() {
    let (a, b, data, to) = pair();
    let mut inbox = b.inbox_of("in", 8 << 20).expect("a mailbox");
    for number in 0..2000_u32 {
        let value = number.to_le_bytes();
        let payload = vec![1; usize::try_from(number % 1500).expect("small")];
        let sent = match number % 3 {
            0 => data.try_send(&to, payload),
            1 => data.try_send(&to, Envelope::new(payload).metadata("number", &value)),
            _ => data.try_send(
                &to,
                Envelope::new(payload).message_type(if number % 2 == 0 { "even" } else { "odd" }),
            ),
        };
        sent.expect("there is room");
    }
    for number in 0..2000_u32 {
        let message = block_on(inbox.next()).expect("it comes");
        assert_eq!(
            message.payload().len(),
            usize::try_from(number % 1500).expect("small")
        );
        let value = number.to_le_bytes();
        let expected = if number % 2 == 0 { "even" } else { "odd" };
        let said = (message.metadata("number"), message.message_type());
        match number % 3 {
            0 => assert_eq!(said, (None, None)),
            1 => assert_eq!(said, (Some(&value[..]), None)),
            _ => assert_eq!(said, (None, Some(expected))),
        }
    }
    check_accounting(&[&a, &b]);
}
