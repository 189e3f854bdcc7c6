//! Where messages stand in a trace: told by the sender, found by the receiver, on each hop of what follows from one message.

use overlane::{Envelope, Node, TraceContext};

use crate::support::accounting::check_accounting;
use crate::support::{GENEROUS, best_effort, config, connect_both, reliable, start};

fn node(name: &str) -> Node {
    let config = config(name).shards(1).channel(reliable("data"));
    start(config.channel(best_effort("gossip")))
}

fn context(span: u8) -> TraceContext {
    let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let root: TraceContext = text.parse().expect("the example of the standard");
    root.at([span; 8])
}

/// `a` tells `b`, whose handler tells `c`, which answers `a`: each is the parent of the next, in one trace.
#[test]
fn a_trace_goes_on_over_three_nodes() {
    let (a, b, c) = (node("a"), node("b"), node("c"));
    connect_both(&a, &b);
    connect_both(&b, &c);
    connect_both(&a, &c);
    for channel in ["data", "gossip"] {
        let mut at_a = a.inbox(&format!("answers.{channel}")).expect("a name");
        let mut at_c = c.inbox(&format!("end.{channel}")).expect("a name");
        let onward = b.channel(channel).expect("it is configured");
        let to_c = b
            .destination("c", &format!("end.{channel}"))
            .expect("names");
        let via = format!("via.{channel}");
        b.handle(&via, move |shard, message| {
            let trace = message.trace().expect("it has one");
            assert_eq!(trace, context(1));
            let letter = Envelope::new(message.payload()).trace(trace.at([2; 8]));
            shard
                .try_send(&onward, &to_c, letter)
                .expect("there is room");
        })
        .expect("a name");
        for bytes in [3, 5_000, 100_000] {
            let payload = vec![7; bytes];
            let letter = Envelope::new(&payload[..]).trace(context(1));
            let to = a.destination("b", &via).expect("names");
            let sent = a.channel(channel).expect("it is configured");
            sent.send_blocking(&to, letter).expect("there is room");
            let came = at_c.recv_timeout(GENEROUS).expect("it comes");
            assert_eq!(
                (came.trace(), came.payload()),
                (Some(context(2)), &payload[..])
            );
            let came = came.to_owned();
            let trace = came.trace().expect("it has one").at([3; 8]);
            let answer = Envelope::new("done").message_type("answer").trace(trace);
            let to_a = c
                .destination("a", &format!("answers.{channel}"))
                .expect("names");
            let sent = c.channel(channel).expect("it is configured");
            sent.send_blocking(&to_a, answer).expect("there is room");
            let came = at_a.recv_timeout(GENEROUS).expect("it comes");
            assert_eq!(
                (came.trace(), came.message_type()),
                (Some(context(3)), Some("answer"))
            );
        }
    }
    check_accounting(&[&a, &b, &c]);
}

#[test]
fn requests_and_replies_have_one_too_and_other_messages_have_none() {
    let (a, b) = (node("a"), node("b"));
    connect_both(&a, &b);
    let replies = b.channel("data").expect("it is configured");
    b.handle("ask", move |shard, message| {
        let asked = message.reply_handle().expect("it is a request");
        match message.trace() {
            Some(trace) => {
                let reply = Envelope::new("yes").trace(trace.at([9; 8]));
                shard
                    .try_reply(&replies, &asked, reply)
                    .expect("there is room");
            }
            None => shard
                .try_reply(&replies, &asked, "no")
                .expect("there is room"),
        }
    })
    .expect("a name");
    let to = a.destination("b", "ask").expect("names");
    let data = a.channel("data").expect("it is configured");
    let traced = Envelope::new("?").trace(context(8));
    let reply = data
        .request_blocking(&to, traced, GENEROUS)
        .expect("a reply");
    assert_eq!(
        (reply.trace(), reply.payload()),
        (Some(context(9)), &b"yes"[..])
    );
    let reply = data.request_blocking(&to, "?", GENEROUS).expect("a reply");
    assert_eq!((reply.trace(), reply.payload()), (None, &b"no"[..]));
    let typed = Envelope::new("?").message_type("plain");
    let reply = data
        .request_blocking(&to, typed, GENEROUS)
        .expect("a reply");
    assert_eq!(reply.trace(), None);
    check_accounting(&[&a, &b]);
}
