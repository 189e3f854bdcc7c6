//! Spans of messages: what is recorded on which node, under which parent, how each end is told, and what a receiver that is slow, dead or
//! refuses does to a node: nothing.

mod receiver;

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::{Receiver as Told, Sender, bounded};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind as Role;
use overlane::config::{ConfigBuilder, Metadata, TraceConfig, TraceEndpoint};
use overlane::{
    Envelope, Node, SendError, Span, SpanKind, SpanMetrics, SpanSink, SpanStatus, StartError,
    TraceContext,
};

use crate::support::accounting::{all_acknowledged, check_accounting};
use crate::support::{
    GENEROUS, best_effort, config, connect_both, ends, hold, reliable, start, wait_until,
};
use receiver::{Answer, Receiver, Taken, text};

fn context(span: u8, is_sampled: bool) -> TraceContext {
    TraceContext {
        trace_id: [7; 16],
        span_id: [span; 8],
        flags: u8::from(is_sampled),
    }
}

fn configured(name: &str, trace: TraceConfig) -> ConfigBuilder {
    let config = config(name).channel(reliable("data"));
    config.channel(best_effort("gossip")).trace(trace)
}

fn exporting(name: &str, receiver: &Receiver) -> Node {
    let trace = TraceConfig {
        endpoint: TraceEndpoint::At(format!("http://127.0.0.1:{}", receiver.port())),
        resource: Metadata::from([("team", "x")]),
        ..TraceConfig::default()
    };
    start(configured(name, trace))
}

/// Keeps spans.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Span>>>);

impl SpanSink for Kept {
    fn take(&mut self, spans: &[Span]) {
        self.0
            .lock()
            .expect("nobody panics")
            .extend_from_slice(spans);
    }
}

impl Kept {
    fn spans(&self) -> Vec<Span> {
        self.0.lock().expect("nobody panics").clone()
    }

    /// The status of the last span of that kind, once there are so many of it.
    fn ends(&self, kind: SpanKind, count: usize) -> Vec<&'static str> {
        let ends = || {
            let spans = self.spans().into_iter();
            let of_kind = spans.filter(|span| span.kind == kind);
            of_kind.map(|span| what(&span.status)).collect::<Vec<_>>()
        };
        wait_until("the spans are taken", ends, |ends| ends.len() >= count)
    }
}

fn what(status: &SpanStatus) -> &'static str {
    match status {
        SpanStatus::Failed { what, .. } => what,
        _ => "ok",
    }
}

fn keeping(name: &str, trace: TraceConfig) -> (Node, Kept) {
    let kept = Kept::default();
    let config = configured(name, trace)
        .build()
        .expect("a valid configuration");
    let builder = Node::builder(config).span_sink(kept.clone());
    (builder.start().expect("the node starts"), kept)
}

/// Two connected nodes, `a` with that part of its messages traced, and the spans of each.
fn keeping_pair(trace: TraceConfig) -> [(Node, Kept); 2] {
    let nodes = [keeping("a", trace), keeping("b", TraceConfig::default())];
    connect_both(&nodes[0].0, &nodes[1].0);
    nodes
}

fn nested(inner: &Taken, outer: &Taken, slack: Duration) {
    let slack = u64::try_from(slack.as_nanos()).expect("it is short");
    let (inner, outer) = (&inner.span, &outer.span);
    assert!(inner.start_time_unix_nano <= inner.end_time_unix_nano);
    assert!(
        inner.start_time_unix_nano + slack >= outer.start_time_unix_nano,
        "{inner:?} {outer:?}"
    );
    assert!(
        inner.end_time_unix_nano <= outer.end_time_unix_nano + slack,
        "{inner:?} {outer:?}"
    );
}

/// `a` tells `b`, whose handler tells `c`, where an inbox is read: three nodes, one trace.
#[test]
fn spans_of_three_nodes_arrive_with_their_parents() {
    let receiver = Receiver::start([]);
    let [a, b, c] = ["a", "b", "c"].map(|name| exporting(name, &receiver));
    connect_both(&a, &b);
    connect_both(&b, &c);
    for channel in ["data", "gossip"] {
        let mut at_c = c.inbox(&format!("end.{channel}")).expect("a name");
        let onward = b.channel(channel).expect("it is configured");
        let to_c = b
            .destination("c", &format!("end.{channel}"))
            .expect("names");
        let via = format!("via.{channel}");
        b.handle(&via, move |shard, message| {
            let trace = message.trace().expect("it has one");
            let letter = Envelope::new(message.payload()).trace(trace);
            shard
                .try_send(&onward, &to_c, letter)
                .expect("there is room");
        })
        .expect("a name");
        let to = a.destination("b", &via).expect("names");
        let sent = a.channel(channel).expect("it is configured");
        let letter = Envelope::new("payload").trace(context(1, true));
        sent.send_blocking(&to, letter).expect("there is room");
        let came = at_c.recv_timeout(GENEROUS).expect("it comes");
        let trace = came.trace().expect("it has one");
        assert_eq!((trace.trace_id, trace.is_sampled()), ([7; 16], true));
        drop(came);
    }
    check_accounting(&[&a, &b, &c]);
    for node in [a, b, c] {
        let report = node.stop(GENEROUS);
        let spans = report.metrics.spans;
        assert_eq!(
            (spans.dropped, spans.failed, spans.open),
            (0, 0, 0),
            "{spans:?}"
        );
        assert_eq!(spans.exported, spans.recorded);
    }
    let taken = receiver.taken();
    assert_eq!(taken.len(), 2 * 6, "{taken:#?}");
    for channel in ["data", "gossip"] {
        of_three_nodes(&taken, channel);
    }
}

fn of_three_nodes(taken: &[Taken], channel: &str) {
    let find = |node: &str, name: &str| {
        let of_channel = |it: &&Taken| text(&it.span.attributes, "overlane.channel") == channel;
        let mut found = taken
            .iter()
            .filter(of_channel)
            .filter(|it| it.node == node && it.span.name == name);
        let one = found
            .next()
            .unwrap_or_else(|| panic!("no {name} of {node}: {taken:#?}"));
        assert!(found.next().is_none(), "{name} of {node} is there twice");
        one
    };
    let slack = Duration::from_millis(25);
    let mut parent = vec![1; 8];
    for (node, next) in [("a", "b"), ("b", "c")] {
        let (queue, lane, delivery) = (
            find(node, "queue"),
            find(node, "lane"),
            find(next, "delivery"),
        );
        for (it, peer, parent, role) in [
            (queue, next, &parent, Role::Internal),
            (lane, next, &parent, Role::Producer),
            (delivery, node, &lane.span.span_id, Role::Consumer),
        ] {
            let span = &it.span;
            assert_eq!(
                (&span.trace_id, &span.parent_span_id),
                (&vec![7; 16], parent),
                "{it:#?}"
            );
            assert_eq!(span.kind, role as i32);
            assert_eq!(span.status.clone().unwrap_or_default().code, 0, "{it:#?}");
            let mailbox = if next == "b" { "via" } else { "end" };
            for (key, value) in [
                ("messaging.system", "overlane"),
                (
                    "messaging.destination.name",
                    &format!("{mailbox}.{channel}"),
                ),
                ("messaging.message.body.size", "7"),
                ("overlane.peer", peer),
            ] {
                assert_eq!(text(&span.attributes, key), value, "{key} of {it:#?}");
            }
        }
        assert_eq!(
            queue.span.end_time_unix_nano,
            lane.span.start_time_unix_nano
        );
        assert!(lane.span.start_time_unix_nano <= delivery.span.start_time_unix_nano + 25_000_000);
        let events: Vec<_> = lane
            .span
            .events
            .iter()
            .map(|event| event.name.as_str())
            .collect();
        assert_eq!(
            events,
            if channel == "data" {
                vec!["sent"]
            } else {
                vec![]
            }
        );
        if channel == "data" && next == "b" {
            // An acknowledgement says that the handler has run.
            nested(delivery, lane, slack);
        }
        parent.clone_from(&delivery.span.span_id);
    }
    let (delivery, queue) = (find("b", "delivery"), find("b", "queue"));
    nested(queue, delivery, Duration::ZERO);
}

#[test]
fn a_context_decides_and_of_messages_without_one_the_part_that_is_asked_for() {
    const MESSAGES: usize = 400;
    for (ppm, least, most) in [
        (0, 0, 0),
        (300_000, 60, 180),
        (1_000_000, MESSAGES, MESSAGES),
    ] {
        let trace = TraceConfig {
            sample_ppm: ppm,
            ..TraceConfig::default()
        };
        let [(a, of_a), (b, of_b)] = keeping_pair(trace);
        let mut inbox = b.inbox("in").expect("a name");
        let to = a.destination("b", "in").expect("names");
        let data = a.channel("data").expect("it is configured");
        let not_sampled = Envelope::new("x").trace(context(1, false));
        data.send_blocking(&to, not_sampled).expect("there is room");
        let came = inbox.recv_timeout(GENEROUS).expect("it comes");
        assert_eq!(came.trace(), Some(context(1, false)));
        let mut traced = 0;
        for number in 0..MESSAGES {
            let sent = if number % 2 == 0 {
                data.send_blocking(&to, "x")
            } else {
                data.send_blocking(&to, Envelope::new("x").message_type("t"))
            };
            sent.expect("there is room");
            let came = inbox.recv_timeout(GENEROUS).expect("it comes");
            traced += usize::from(came.trace().is_some());
        }
        assert!((least..=most).contains(&traced), "{ppm}: {traced}");
        let receipt = data
            .send_blocking_with_receipt(&to, "x")
            .expect("there is room");
        let mut receipt = receipt;
        assert_eq!(receipt.wait(GENEROUS), Some(Ok(())));
        let came = inbox.recv_timeout(GENEROUS).expect("it comes");
        traced += usize::from(came.trace().is_some());
        check_accounting(&[&a, &b]);
        drop((a.stop(GENEROUS), b.stop(GENEROUS)));
        let (of_a, of_b) = (of_a.spans(), of_b.spans());
        assert_eq!((of_a.len(), of_b.len()), (3 * traced, traced));
        let of_kind = |kind| of_a.iter().filter(move |span| span.kind == kind);
        for root in of_kind(SpanKind::Message) {
            assert_eq!(root.parent, None);
            let is_part =
                |span: &&Span| span.parent == Some(root.span_id) && span.trace_id == root.trace_id;
            let queue = of_kind(SpanKind::Queue)
                .find(is_part)
                .expect("it has waited");
            let lane = of_kind(SpanKind::Lane).find(is_part).expect("it was sent");
            assert!(root.start == queue.start && queue.end == lane.start && lane.end == root.end);
            let delivery = of_b.iter().find(|span| span.parent == Some(lane.span_id));
            assert_eq!(delivery.expect("it came").trace_id, root.trace_id);
        }
    }
}

#[test]
fn each_span_says_how_it_ended() {
    let (a, of_a) = keeping("a", TraceConfig::default());
    let (b, of_b) = keeping("b", TraceConfig::default());
    let data = a.channel("data").expect("it is configured");
    let gossip = a.channel("gossip").expect("it is configured");
    let letter = || Envelope::new("x").trace(context(1, true));
    let to = |mailbox| a.destination("b", mailbox).expect("names");
    // Nobody is connected yet.
    assert_eq!(
        data.try_send(&to("in"), letter()),
        Err(SendError::Unreachable)
    );
    gossip.try_send(&to("in"), letter()).expect("it is dropped");
    assert_eq!(of_a.ends(SpanKind::Queue, 2), ["not_accepted", "dropped"]);
    connect_both(&a, &b);
    data.send_blocking(&to("nobody"), letter())
        .expect("there is room");
    assert_eq!(of_a.ends(SpanKind::Lane, 1), ["refused"]);
    // Its deadline comes while its shard is held.
    let shard = hold(&a);
    let soon = Duration::from_millis(1);
    data.try_send(&to("in"), letter().deadline(soon))
        .expect("there is room");
    std::thread::sleep(2 * soon);
    drop(shard);
    assert_eq!(of_a.ends(SpanKind::Lane, 2)[1], "expired");
    // A request is open until it is answered, or given up.
    let replies = b.channel("data").expect("it is configured");
    b.handle("ask", move |shard, message| {
        if message.payload() == b"panic" {
            panic!("as the test wants it");
        }
        let asked = message.reply_handle().expect("it is a request");
        let trace = message.trace().expect("it has one");
        let reply = Envelope::new("yes").trace(trace);
        shard
            .try_reply(&replies, &asked, reply)
            .expect("there is room");
    })
    .expect("a name");
    let reply = data
        .request_blocking(&to("ask"), letter(), GENEROUS)
        .expect("a reply");
    assert_eq!(of_a.ends(SpanKind::Lane, 3)[2], "ok");
    assert_eq!(of_b.ends(SpanKind::Lane, 1), ["ok"]);
    assert_eq!(of_b.ends(SpanKind::Delivery, 1), ["ok"]);
    assert_eq!(of_a.ends(SpanKind::Delivery, 1), ["ok"]);
    assert_eq!(reply.trace().map(|trace| trace.trace_id), Some([7; 16]));
    let panics = Envelope::new("panic").trace(context(1, true));
    data.request_blocking(&to("ask"), panics, GENEROUS)
        .expect_err("it is refused");
    assert_eq!(of_b.ends(SpanKind::Delivery, 2)[1], "panicked");
    assert_eq!(of_a.ends(SpanKind::Lane, 4)[3], "unanswered");
    // Nobody reads it.
    let inbox = b.inbox("in").expect("a name");
    data.send_blocking(&to("in"), letter())
        .expect("there is room");
    assert_eq!(of_a.ends(SpanKind::Lane, 5)[4], "ok");
    drop(inbox);
    assert_eq!(of_b.ends(SpanKind::Delivery, 3)[2], "unread");
    check_accounting(&[&a, &b]);
    // What is on its way when its node stops at once.
    let held = hold(&b);
    data.send_blocking(&to("in"), letter())
        .expect("there is room");
    assert_eq!(of_a.ends(SpanKind::Queue, 8).len(), 8);
    drop(a.stop(Duration::ZERO));
    drop(held);
    let ends = of_a.ends(SpanKind::Lane, 6);
    assert!(["unknown", "undelivered"].contains(&ends[5]), "{ends:?}");
    let spans = of_a.spans();
    let refused = spans
        .iter()
        .find(|span| what(&span.status) == "refused")
        .expect("it is there");
    let SpanStatus::Failed { why, .. } = &refused.status else {
        panic!("{refused:?}");
    };
    assert_eq!(why, "not delivered: the peer has no such mailbox");
    assert_eq!(
        (&*refused.peer, &*refused.mailbox, refused.bytes),
        ("b", "nobody", 1)
    );
}

/// Sends so many recorded messages from `a` to `b`, where nothing but their bytes is seen of it.
fn send_recorded(a: &Node, b: &Node, messages: u64) {
    b.handle("in", |_, _| {}).expect("a name");
    send_letters(a, messages);
    let metrics = check_accounting(&[a, b]);
    all_acknowledged(&metrics[0], "b", "data", messages);
}

fn send_letters(a: &Node, messages: u64) {
    let to = a.destination("b", "in").expect("names");
    let data = a.channel("data").expect("it is configured");
    for _ in 0..messages {
        let letter = Envelope::new("x").trace(context(1, true));
        data.send_blocking(&to, letter).expect("there is room");
    }
}

/// Holds the thread of spans until it may go on.
struct Stuck {
    holding: Sender<()>,
    go_on: Told<()>,
}

impl SpanSink for Stuck {
    fn take(&mut self, spans: &[Span]) {
        if !spans.is_empty() {
            let _ = self.holding.try_send(());
            let _ = self.go_on.recv();
        }
    }
}

#[test]
fn spans_that_nobody_takes_in_time_are_dropped_and_counted_and_messages_go_on() {
    let trace = TraceConfig {
        buffer_spans: 16,
        ..TraceConfig::default()
    };
    let (holding, _held) = bounded(1);
    let (go_on, going_on) = bounded(0);
    let stuck = Stuck {
        holding,
        go_on: going_on,
    };
    let of_a = configured("a", trace)
        .build()
        .expect("a valid configuration");
    let a = Node::builder(of_a)
        .span_sink(stuck)
        .start()
        .expect("the node starts");
    let b = start(configured("b", TraceConfig::default()));
    connect_both(&a, &b);
    send_recorded(&a, &b, 500);
    let spans = a.metrics().spans;
    assert!(spans.dropped > 0, "{spans:?}");
    assert!(spans.recorded + spans.dropped <= 1_000, "{spans:?}");
    let recorder_off = b.metrics().spans;
    assert_eq!((recorder_off.recorded, recorder_off.dropped), (0, 0));
    drop(go_on);
    assert_eq!(a.stop(GENEROUS).metrics.spans.open, 0);
}

/// Many at once and one to several are messages like others: each is among those that get a trace or not, keeps its place in the
/// order, and has spans of its own on both nodes.
#[test]
fn runs_and_what_goes_to_several_at_once_get_traces_like_others() {
    const MESSAGES: u64 = 200;
    for (ppm, least, most) in [(0, 0, 0), (300_000, 100, 380), (1_000_000, 800, 800)] {
        let trace = TraceConfig {
            sample_ppm: ppm,
            buffer_spans: 16_384,
            ..TraceConfig::default()
        };
        let [(a, of_a), (b, of_b)] = keeping_pair(trace);
        let mut inbox = b.inbox("in").expect("a name");
        let to = a.destination("b", "in").expect("names");
        let data = a.channel("data").expect("it is configured");
        let numbers: Vec<_> = (0..MESSAGES).map(u64::to_le_bytes).collect();
        let run: Vec<&[u8]> = numbers.iter().map(<[u8; 8]>::as_slice).collect();
        let mut traced = 0;
        let mut read = |order: &str| {
            for number in 0..MESSAGES {
                let came = inbox.recv_timeout(GENEROUS).expect("each comes");
                assert_eq!(came.payload(), number.to_le_bytes(), "{ppm}: {order}");
                traced += usize::from(came.trace().is_some());
            }
        };
        let mut sent = 0;
        while sent < run.len() {
            sent += data.send_many(&to, &run[sent..]).expect("there is room");
        }
        read("a run of a thread");
        let (channel, there) = (data.clone(), to.clone());
        a.spawn_on_shard(0, move |shard| async move {
            let numbers: Vec<_> = (0..MESSAGES).map(u64::to_le_bytes).collect();
            let run: Vec<&[u8]> = numbers.iter().map(<[u8; 8]>::as_slice).collect();
            let mut sent = 0;
            while sent < run.len() {
                let some = shard.send_many(&channel, &there, &run[sent..]);
                sent += some.expect("there is room");
            }
        })
        .expect("there is that shard");
        read("a run of a shard");
        for number in &run {
            let sent = data.send_to_all([&to], *number).expect("it is small");
            assert_eq!(sent.accepted, 1, "{sent:?}");
        }
        read("to a list");
        let mailbox = a.mailbox("in").expect("a name");
        for number in &run {
            let letter = Envelope::new(*number).message_type("t");
            let sent = data.broadcast(&mailbox, letter).expect("it is small");
            assert_eq!(sent.accepted, 1, "{sent:?}");
        }
        read("to all");
        assert!((least..=most).contains(&traced), "{ppm}: {traced}");
        let metrics = check_accounting(&[&a, &b]);
        all_acknowledged(&metrics[0], "b", "data", 4 * MESSAGES);
        drop((a.stop(GENEROUS), b.stop(GENEROUS)));
        let (of_a, of_b) = (of_a.spans(), of_b.spans());
        assert_eq!((of_a.len(), of_b.len()), (3 * traced, traced));
        for delivery in &of_b {
            let lane = of_a
                .iter()
                .find(|span| Some(span.span_id) == delivery.parent);
            let lane = lane.expect("the lane is its parent");
            assert_eq!(lane.kind, SpanKind::Lane);
            let root = of_a.iter().find(|span| Some(span.span_id) == lane.parent);
            assert_eq!(root.map(|root| root.kind), Some(SpanKind::Message));
        }
    }
}

/// Nobody listens there, or somebody listens and never says a word. Messages go on as if nobody recorded them; what waits is bounded, at each
/// moment, and each span that is lost by that is counted, while the node runs and at its end.
#[test]
fn a_receiver_that_is_dead_disturbs_nobody() {
    const SPANS_MAX: usize = 64;
    const MESSAGES: u64 = 1_000;
    for answers_connections in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it has one").port();
        // The kernel accepts for it.
        let _silent = answers_connections.then_some(listener);
        let trace = TraceConfig {
            endpoint: TraceEndpoint::At(format!("http://127.0.0.1:{port}")),
            buffer_spans: SPANS_MAX,
            ..TraceConfig::default()
        };
        let a = start(configured("a", trace));
        let b = start(configured("b", TraceConfig::default()));
        b.handle("in", |_, _| {}).expect("a name");
        connect_both(&a, &b);
        let told = || a.metrics().spans;
        let held = |spans: &SpanMetrics| spans.recorded - spans.exported - spans.failed;
        // One lot that has ended and waits for the thread, and one that the thread has.
        let held_max = 2 * SPANS_MAX as u64;
        for round in 1..=4 {
            send_letters(&a, MESSAGES);
            let metrics = check_accounting(&[&a, &b]);
            all_acknowledged(&metrics[0], "b", "data", round * MESSAGES);
            let spans = told();
            assert!(held(&spans) <= held_max, "{answers_connections}: {spans:?}");
            // Those that found no room were two each, or one.
            let all = spans.recorded + spans.dropped;
            let sent = round * MESSAGES;
            assert!((sent..=2 * sent).contains(&all), "{sent}: {spans:?}");
        }
        let is_counted = |spans: &SpanMetrics| spans.failed + spans.dropped >= held_max;
        wait_until("the loss is counted while it runs", told, is_counted);
        let spans = told();
        assert!(spans.exported == 0 && held(&spans) <= held_max, "{spans:?}");
        let deadline = Duration::from_secs(2);
        let spans = ends("a node that nobody waits for", move || {
            a.stop(deadline).metrics.spans
        });
        assert_eq!((spans.exported, spans.open), (0, 0), "{spans:?}");
        assert!(spans.recorded >= 2 && held(&spans) <= held_max, "{spans:?}");
        if !answers_connections {
            assert_eq!(spans.failed, spans.recorded, "{spans:?}");
        }
    }
}

#[test]
fn what_a_receiver_cannot_take_now_it_gets_later_and_what_it_refuses_is_counted() {
    let answers = [
        Answer::Status(503),
        Answer::Taken { rejected: 1 },
        Answer::Status(400),
    ];
    let receiver = Receiver::start(answers);
    let a = exporting("a", &receiver);
    let b = start(configured("b", TraceConfig::default()));
    connect_both(&a, &b);
    send_recorded(&a, &b, 5);
    let told = || a.metrics().spans;
    let all = |spans: &SpanMetrics| spans.recorded == 10 && spans.exported + spans.failed == 10;
    let spans = wait_until("they are sent", told, all);
    // They may come in two parts, of which the second is refused.
    assert!(spans.exported > 0 && spans.failed > 0, "{spans:?}");
    let (requests, taken) = (receiver.requests(), receiver.taken().len() as u64);
    assert!(
        requests >= 2 && taken > spans.exported,
        "{requests}: {taken}, {spans:?}"
    );
    let to = a.destination("b", "in").expect("names");
    let data = a.channel("data").expect("it is configured");
    let letter = Envelope::new("x").trace(context(1, true));
    data.send_blocking(&to, letter).expect("there is room");
    check_accounting(&[&a, &b]);
    let after = a.stop(GENEROUS).metrics.spans;
    assert_eq!(after.recorded, spans.recorded + 2);
    assert_eq!(after.exported + after.failed, after.recorded, "{after:?}");
}

#[test]
fn a_receiver_that_asks_for_a_token_gets_it_and_nobody_else_sees_it() {
    let receiver = Receiver::start([]);
    let file = std::env::temp_dir().join(format!("overlane-headers-{}", std::process::id()));
    let with_headers = |text: &str| {
        std::fs::write(&file, text).expect("it can be written");
        let trace = TraceConfig {
            endpoint: TraceEndpoint::At(format!("http://127.0.0.1:{}", receiver.port())),
            headers_file: file.clone(),
            ..TraceConfig::default()
        };
        configured("a", trace).build().expect("it is valid")
    };
    let a = Node::start(with_headers(
        "Authorization: Bearer the-token\nX-Scope-OrgID: 7\n",
    ));
    let a = a.expect("the node starts");
    let b = start(configured("b", TraceConfig::default()));
    connect_both(&a, &b);
    send_recorded(&a, &b, 3);
    assert_eq!(a.stop(GENEROUS).metrics.spans.exported, 6);
    let head = receiver.head();
    for header in ["authorization: bearer the-token", "x-scope-orgid: 7"] {
        assert!(head.contains(header), "{head}");
    }
    let error = Node::start(with_headers("Bearer the-token")).expect_err("it is no header");
    let error = error.to_string();
    assert!(
        error.contains("trace_headers_file") && error.contains("line 1"),
        "{error}"
    );
    assert!(!error.contains("the-token"), "{error}");
    std::fs::remove_file(&file).expect("it is there");
}

#[test]
fn a_receiver_with_tls_is_checked_against_the_certificates_that_are_named() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let folder = std::env::temp_dir().join(format!("overlane-spans-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("it can be made");
    let ca_file = folder.join("ca.pem");
    std::fs::write(&ca_file, made.cert.pem()).expect("it can be written");
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.expect("a key"))
        .expect("they fit");
    let receiver = Receiver::start_tls(tls);
    let trace = |ca_file| TraceConfig {
        endpoint: TraceEndpoint::At(format!("https://127.0.0.1:{}", receiver.port())),
        ca_file,
        ..TraceConfig::default()
    };
    let a = start(configured("a", trace(ca_file.clone())));
    let b = start(configured("b", TraceConfig::default()));
    connect_both(&a, &b);
    send_recorded(&a, &b, 3);
    assert_eq!(a.stop(GENEROUS).metrics.spans.exported, 6);
    assert_eq!(receiver.taken().len(), 6);
    for (content, wrong) in [
        ("no certificate", "there is no certificate in it"),
        ("", "there is no certificate in it"),
    ] {
        std::fs::write(&ca_file, content).expect("it can be written");
        let config = configured("a", trace(ca_file.clone()))
            .build()
            .expect("it is valid");
        let error = Node::start(config).expect_err("it is no certificate");
        assert!(matches!(error, StartError::Machine { .. }), "{error}");
        assert!(
            error.to_string().contains(wrong) && error.to_string().contains("trace_ca_file"),
            "{error}"
        );
    }
    std::fs::remove_dir_all(&folder).expect("it is there");
    let config = configured("a", trace(ca_file))
        .build()
        .expect("it is valid");
    let error = Node::start(config).expect_err("there is no file");
    assert!(error.to_string().contains("trace_ca_file"), "{error}");
}
