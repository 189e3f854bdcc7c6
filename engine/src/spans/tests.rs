//! Spans without a node: bounds, ends, and what is counted.

use super::*;

fn spans(buffer_spans: usize) -> Arc<Spans> {
    let config = TraceConfig {
        buffer_spans,
        ..TraceConfig::default()
    };
    Arc::new(Spans::new(&config, true))
}

fn subject() -> Subject {
    Subject {
        peer: "b".into(),
        channel: "data".into(),
        mailbox: "in".into(),
        bytes: 3,
    }
}

fn parent() -> TraceContext {
    TraceContext {
        trace_id: [1; 16],
        span_id: [2; 8],
        flags: 1,
    }
}

fn open(spans: &Arc<Spans>) -> Option<(u64, OpenSpan)> {
    let number = Spans::number();
    let span = spans.open(number, parent(), false, subject())?;
    Some((number, span))
}

fn taken(spans: &Spans) -> Vec<(SpanKind, SpanStatus)> {
    let wall = Wall::new(Instant::now(), std::time::SystemTime::now());
    let spans = spans.take(&wall, usize::MAX).into_iter();
    spans.map(|span| (span.kind, span.status)).collect()
}

fn what(status: &SpanStatus) -> &'static str {
    match status {
        SpanStatus::Ok => "ok",
        SpanStatus::Failed { what, .. } => what,
    }
}

#[test]
fn messages_that_are_open_are_bounded_and_the_rest_is_counted() {
    let spans = spans(2);
    let kept: Vec<_> = (0..5).filter_map(|_| open(&spans)).collect();
    assert_eq!((kept.len(), spans.metrics().open), (2, 2));
    assert_eq!(spans.metrics().dropped, 3);
    drop(kept);
    let ends: Vec<_> = taken(&spans)
        .iter()
        .map(|(_, status)| what(status))
        .collect();
    assert_eq!(ends, ["given_up"; 2]);
    assert_eq!((spans.metrics().open, spans.metrics().recorded), (0, 2));
    assert!(open(&spans).is_some(), "there is room again");
}

#[test]
fn what_nobody_takes_out_is_bounded_and_the_rest_is_counted() {
    let spans = spans(4);
    for _ in 0..10 {
        let (number, span) = open(&spans).expect("none is open");
        span.accepted();
        spans.ended(number, SpanStatus::Ok);
        spans.ended(number, SpanStatus::Ok);
    }
    let metrics = spans.metrics();
    assert_eq!((metrics.recorded, metrics.dropped, metrics.open), (4, 6, 0));
    assert_eq!(taken(&spans).len(), 4);
}

#[test]
fn each_end_has_its_word() {
    let spans = spans(64);
    let why = "the lane ended";
    let ends = [
        (Ok(()), "ok"),
        (Err(Reported::Undelivered { why }), "undelivered"),
        (Err(Reported::Undelivered { why: EXPIRED }), "expired"),
        (Err(Reported::Undelivered { why: LATE }), "expired"),
        (Err(Reported::Refused), "refused"),
        (Err(Reported::Replaced), "replaced"),
        (Err(Reported::Unknown { why }), "unknown"),
    ];
    for (outcome, word) in ends {
        let (number, span) = open(&spans).expect("there is room");
        span.accepted();
        spans.ended(number, status_of(&outcome));
        let told = taken(&spans);
        assert_eq!(told.len(), 1);
        assert_eq!(what(&told[0].1), word);
        if let (Err(reported), SpanStatus::Failed { why, .. }) = (outcome, &told[0].1) {
            assert_eq!(*why, reported.to_string());
        }
    }
    let (_, span) = open(&spans).expect("there is room");
    span.accepted();
    spans.node_ended();
    assert_eq!(what(&taken(&spans)[0].1), "unknown");
}

#[test]
fn what_lies_in_an_inbox_ends_when_it_is_read_or_the_inbox_goes() {
    let spans = spans(64);
    let mailbox = MailboxId::from_words(7, 0);
    let standing = Standing {
        trace_id: [1; 16],
        span_id: [5; 8],
        parent: Some([2; 8]),
        flags: 1,
    };
    let put = || {
        spans
            .put(standing, mailbox, subject())
            .expect("there is room")
    };
    let (read, back, _unread) = (put(), put(), put());
    spans.take_back(back);
    assert_eq!(spans.read(read), Some([5; 8]));
    assert_eq!(spans.read(read), None);
    spans.inbox_gone(mailbox);
    let ends: Vec<_> = taken(&spans)
        .iter()
        .map(|(_, status)| what(status))
        .collect();
    assert_eq!(ends, ["ok", "unread"]);
    assert_eq!(spans.metrics().open, 0);
}

#[test]
fn off_nothing_is_kept_and_no_trace_is_begun() {
    let config = TraceConfig {
        sample_ppm: 1_000_000,
        ..TraceConfig::default()
    };
    let off = Spans::new(&config, false);
    assert!(!off.is_on() && !off.begins_traces());
    assert!(off.ended.capacity() <= 1);
}
