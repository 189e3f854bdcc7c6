//! Typed channels: values through each codec, and what is not a value.

use std::time::Duration;

use crate::support::accounting::{all_acknowledged, check_accounting};
use crate::support::{GENEROUS, config, connect_both, reliable, start};
use futures_lite::future::block_on;
use overlane::typed::{
    Codec, Json, Postcard, Protobuf, Typed, TypedChannel, TypedInbox, TypedRecvError,
    TypedRequestError, TypedSendError,
};
use overlane::{Destination, Node, RecvError, SendError};
use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, Serialize, Deserialize, prost::Message)]
struct Order {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(string, tag = "2")]
    what: String,
    #[prost(bytes = "vec", tag = "3")]
    picture: Vec<u8>,
}

fn order(number: u64, bytes: usize) -> Order {
    Order {
        number,
        what: "tea, \u{1F375}".to_owned(),
        picture: vec![7; bytes],
    }
}

fn pair() -> (Node, Node, Destination) {
    let node =
        |name: &str| start(config(name).channel(reliable("data").queue_bytes_max(8_usize << 20)));
    let (a, b) = (node("a"), node("b"));
    connect_both(&a, &b);
    let to = a.destination("b", "in").expect("names");
    (a, b, to)
}

fn values_come_back<C: Codec<Order> + Clone + std::fmt::Debug + Send + 'static>(codec: C) {
    let (a, b, to) = pair();
    let mut inbox = TypedInbox::new(b.inbox_of("in", 8 << 20).expect("a mailbox"), codec.clone());
    let data = TypedChannel::new(a.channel("data").expect("it is configured"), codec.clone());
    for (number, bytes) in (0..).zip([0, 10, 2000, 100_000]) {
        let order = order(number, bytes);
        data.try_send(&to, &order).expect("accepted");
        data.send_blocking(&to, &order).expect("accepted");
        block_on(data.send(&to, &order)).expect("accepted");
        let sent = data.send_to_all([&to], &order).expect("accepted");
        assert_eq!((sent.accepted, sent.refused.len()), (1, 0));
        for came in [
            inbox.recv_timeout(GENEROUS),
            inbox.recv_blocking(),
            block_on(inbox.recv()).expect("the node runs"),
        ] {
            let came: Typed<Order> = came.expect("a value");
            assert_eq!(came.from().name(), "a");
            assert!(came.reply_handle().is_none());
            assert_eq!(came.into_value(), order);
        }
        assert_eq!(*inbox.recv_blocking().expect("a value"), order);
    }
    assert!(inbox.try_recv().is_none());
    let back = TypedChannel::new(b.channel("data").expect("it is configured"), codec);
    let answering = std::thread::spawn(move || {
        for _ in 0..2 {
            let asked = inbox.recv_timeout(GENEROUS).expect("it comes");
            let asker = asked.reply_handle().expect("it is a request").clone();
            let answer = order(asked.number + 1, 0);
            back.try_reply(&asker, &answer).expect("accepted");
        }
    });
    let answer: Order = data
        .request_blocking(&to, &order(41, 9), GENEROUS)
        .expect("a reply");
    assert_eq!(answer, order(42, 0));
    let answer: Order = block_on(data.request(&to, &order(1, 9), GENEROUS)).expect("a reply");
    assert_eq!(answer, order(2, 0));
    answering.join().expect("no panic");
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "data", 18);
}

#[test]
fn values_come_back_through_json() {
    values_come_back(Json);
}

#[test]
fn values_come_back_through_postcard() {
    values_come_back(Postcard);
}

#[test]
fn values_come_back_through_protobuf() {
    values_come_back(Protobuf);
}

#[test]
fn what_is_no_value_comes_out_with_an_error_and_the_next_value_after_it() {
    let (a, b, to) = pair();
    let mut inbox = TypedInbox::<Order, _>::new(b.inbox("in").expect("a mailbox"), Json);
    let data = TypedChannel::new(a.channel("data").expect("it is configured"), Json);
    let hostile = "\u{1b}[31m\n".repeat(500);
    data.channel()
        .try_send(&to, hostile.as_str())
        .expect("accepted");
    data.try_send(&to, &order(1, 0)).expect("accepted");
    let refused = inbox.recv_timeout(GENEROUS).expect_err("it is no value");
    let TypedRecvError::Undecodable { error, message } = &refused else {
        panic!("{refused:?}");
    };
    assert_eq!(
        (error.format, message.payload()),
        ("JSON", hostile.as_bytes())
    );
    let text = refused.to_string();
    assert!(
        text.starts_with("a message from `a`") && text.len() < 600,
        "{text}"
    );
    assert!(!text.contains(|c: char| c.is_control()), "{text:?}");
    assert_eq!(inbox.recv_timeout(GENEROUS).expect("a value").number, 1);
    let none = inbox.recv_timeout(Duration::from_millis(1));
    assert!(matches!(
        none,
        Err(TypedRecvError::Recv(RecvError::TimedOut))
    ));
    check_accounting(&[&a, &b]);
}

/// Lengths that promise more than is there, endings cut off, bytes too many: an error each time.
#[test]
fn no_codec_reads_what_is_not_whole() {
    type Decode = fn(&[u8]) -> Option<Order>;
    let codecs: [(&str, Decode, Vec<u8>); 3] = [
        ("json", |bytes| Json.decode(bytes).ok(), encoded(Json)),
        (
            "postcard",
            |bytes| Postcard.decode(bytes).ok(),
            encoded(Postcard),
        ),
        (
            "protobuf",
            |bytes| Protobuf.decode(bytes).ok(),
            encoded(Protobuf),
        ),
    ];
    for (name, decode, whole) in codecs {
        assert_eq!(decode(&whole), Some(order(300, 5)), "{name}");
        for end in 0..whole.len() {
            let cut = decode(&whole[..end]);
            assert_ne!(cut, Some(order(300, 5)), "{name} up to {end}");
        }
        let longer = decode(&[&whole[..], b"\xff"].concat());
        assert_eq!(longer, None, "{name}");
    }
    // A string of 2^63 bytes.
    let huge = [
        1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, b'x',
    ];
    let read: Result<Order, _> = Postcard.decode(&huge);
    assert!(read.is_err());
    let huge = [
        0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, b'x',
    ];
    let read: Result<Order, _> = Protobuf.decode(&huge);
    assert!(read.is_err());
    let deep = "[".repeat(100_000);
    let read: Result<serde_json::Value, _> = Json.decode(deep.as_bytes());
    assert!(read.is_err());
}

fn encoded(codec: impl Codec<Order>) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec
        .encode(&order(300, 5), &mut bytes)
        .expect("it has an encoding");
    bytes
}

#[test]
fn what_cannot_be_encoded_or_sent_is_said() {
    let (a, b, to) = pair();
    let data = a.channel("data").expect("it is configured");
    // Keys of JSON are texts.
    let odd = std::collections::BTreeMap::from([(vec![1_u8], 1_u8)]);
    let maps = TypedChannel::new(data.clone(), Json);
    let refused = maps.try_send(&to, &odd).expect_err("it has no encoding");
    assert!(
        matches!(&refused, TypedSendError::Encode(error) if error.format == "JSON"),
        "{refused:?}"
    );
    let refused = maps.request_blocking::<u8>(&to, &odd, GENEROUS);
    assert!(
        matches!(refused, Err(TypedRequestError::Codec(_))),
        "{refused:?}"
    );
    let orders = TypedChannel::new(data, Postcard);
    let refused = orders
        .try_send(&to, &order(1, 2 << 20))
        .expect_err("too large");
    assert!(
        matches!(refused, TypedSendError::Send(SendError::TooLarge { .. })),
        "{refused:?}"
    );
    let metrics = check_accounting(&[&a, &b]);
    assert_eq!(
        metrics[0]
            .channel("b", "data")
            .map_or(0, |out| out.accepted),
        0
    );
}
