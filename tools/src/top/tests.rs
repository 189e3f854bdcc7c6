//! Frames of nodes that were made up, in terminals of several sizes.

use std::time::{Duration, Instant};

use overlane::ChannelMetrics;
use overlane::admin::{
    ClusterStatus, EventReport, LatencyReport, MemberReport, MetricsReport, NodeStatus,
    OverlayReport, PeerStatus,
};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::draw::rate;
use super::screen::{Pane, Screen, Wanted};
use super::snapshot::Snapshot;
use super::{frame, rates};

fn status(members: usize) -> NodeStatus {
    NodeStatus {
        node: "a\u{1b}[2J".to_owned(),
        cluster: "test".to_owned(),
        incarnation: 7,
        address: "127.0.0.1:7400".parse().expect("an address"),
        overlane: "0.1.0".to_owned(),
        pid: 1,
        uptime_s: 61,
        backend: "uring".to_owned(),
        shards: 2,
        channels: vec!["data".to_owned(), "heartbeats".to_owned()],
        peers: members,
        peers_connected: members - 1,
        in_cluster: Some(ClusterStatus {
            joined: true,
            members,
            overlay: "full_mesh".to_owned(),
        }),
        identity_holds: true,
        messages_open: 12,
    }
}

fn member(index: usize) -> MemberReport {
    MemberReport {
        member: format!("node-{index:03}"),
        status: if index % 10 == 9 { "down" } else { "alive" }.to_owned(),
        incarnation: 1,
        addresses: vec![([127, 0, 0, 1], 7400).into()],
        metadata: None,
        metadata_bytes: 0,
        role: "auto".to_owned(),
        capacity: 2,
        zone: None,
        is_self: index == 0,
        is_neighbor: index % 2 == 1,
    }
}

fn lane(channel: &str, accepted: u64, bytes: u64) -> ChannelMetrics {
    ChannelMetrics {
        peer: "node-001".to_owned(),
        channel: channel.into(),
        reliable: true,
        lanes_up: 3,
        accepted,
        bytes_sent: bytes,
        in_flight: 4,
        ..ChannelMetrics::default()
    }
}

/// The same node at two moments, two seconds apart.
fn moments(members: usize) -> (Snapshot, Snapshot) {
    let began = Instant::now();
    let at = |at, accepted, bytes| Snapshot {
        at,
        status: status(members),
        cluster: Some((
            OverlayReport {
                overlay: "full_mesh".to_owned(),
                epoch: 3,
                changing_to: Some("hyparview".to_owned()),
                servers: Vec::new(),
                neighbors: vec!["node-001".to_owned()],
                coordinator: Some("node-000".to_owned()),
                members,
                broadcasts_started: 0,
                broadcasts_delivered: 0,
                broadcasts_missed: 0,
                broadcasts_given_up: 0,
                broadcasts: Vec::new(),
                topics: Vec::new(),
            },
            (0..members).map(member).collect(),
        )),
        peers: vec![PeerStatus {
            peer: "node-001".to_owned(),
            connected: true,
            address: None,
            incarnation: 1,
            lanes_up: 5,
            lanes: 9,
        }],
        metrics: MetricsReport {
            lanes: vec![lane("data", accepted, bytes), lane("heartbeats", 10, 500)],
            latency: [(
                "data".to_owned(),
                LatencyReport {
                    count: 1,
                    p50_us: 83,
                    p99_us: 1_240,
                    p999_us: 2_000,
                    max_us: 3_000,
                },
            )]
            .into(),
            ..MetricsReport::default()
        },
    };
    let later = began + Duration::from_secs(2);
    (at(began, 1_000, 0), at(later, 25_000, 3_000_000))
}

fn press(screen: &mut Screen, keys: &[KeyCode]) -> Wanted {
    let mut wanted = Wanted::Nothing;
    for key in keys {
        wanted = screen.key(KeyEvent::new(*key, KeyModifiers::NONE));
    }
    wanted
}

fn shown(screen: &Screen, width: u16, height: u16) -> String {
    let (before, now) = moments(40);
    frame(&before, &now, screen, width, height)
}

/// The cells of the line that begins so.
fn cells<'a>(text: &'a str, first: &str) -> Vec<&'a str> {
    let mut lines = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines
        .find(|cells| cells.first() == Some(&first))
        .unwrap_or_else(|| panic!("no {first} in:\n{text}"))
}

#[test]
fn all_that_there_is_fits_a_small_terminal_and_uses_a_large_one() {
    let mut screen = Screen::default();
    let event = r#"{"time_ms":3723004,"event":"member_up","member":"node-003"}"#;
    screen.note(serde_json::from_str::<EventReport>(event).expect("an event"));
    for (width, height, members) in [(80, 24, 6), (200, 50, 20), (100, 30, 9)] {
        let text = shown(&screen, width, height);
        println!("{text}");
        assert_eq!(text.lines().count(), usize::from(height));
        assert!(
            text.contains("overlay full_mesh -> hyparview, epoch 3  40 members"),
            "{text}"
        );
        assert!(
            text.contains("12 messages open, all accounted for"),
            "{text}"
        );
        assert!(
            text.contains("01:02:03.004  member_up        member=node-003"),
            "{text}"
        );
        assert_eq!(
            cells(&text, "data"),
            ["data", "3", "12k", "0", "1.5M", "0", "4", "0", "83us/1.2ms"]
        );
        assert_eq!(
            cells(&text, "node-001")[..4],
            ["node-001", "alive", "neighbor", "5"]
        );
        let listed = text
            .lines()
            .filter(|line| line.starts_with("node-0"))
            .count();
        assert!(
            listed >= members,
            "{listed} members at {width} x {height}:\n{text}"
        );
        let last = text.lines().last().unwrap_or_default();
        assert!(
            last.starts_with("q end") && last.contains("? help"),
            "{last}"
        );
        assert!(!text.contains('\u{1b}'), "names command no terminal");
    }
    // However small it is, nothing breaks.
    for (width, height) in [(1, 1), (10, 4), (40, 12), (500, 3)] {
        shown(&screen, width, height);
    }
}

#[test]
fn keys_sort_filter_and_scroll_the_list_that_has_them() {
    let mut screen = Screen::default();
    press(&mut screen, &[KeyCode::Tab]);
    assert_eq!(screen.pane, Pane::Members);
    press(&mut screen, &[KeyCode::Char('s')]);
    let text = shown(&screen, 80, 24);
    assert!(text.contains("*members (40, by status)"), "{text}");
    press(&mut screen, &[KeyCode::Char('r')]);
    let text = shown(&screen, 80, 24);
    let first = text.lines().find(|line| line.starts_with("node-0"));
    assert!(first.is_some_and(|line| line.contains("down")), "{text}");
    assert!(
        text.contains("by status reversed") && !text.contains("first reversed"),
        "events stay in their order:\n{text}"
    );
    press(&mut screen, &[KeyCode::Char('?')]);
    let text = shown(&screen, 80, 24);
    assert!(text.contains("since the node started."), "{text}");
    press(&mut screen, &[KeyCode::Char('?')]);

    press(
        &mut screen,
        &[KeyCode::Char('r'), KeyCode::PageDown, KeyCode::Down],
    );
    let text = shown(&screen, 80, 24);
    assert!(!text.contains("node-000"), "it is scrolled away:\n{text}");
    press(&mut screen, &[KeyCode::PageDown; 30]);
    let text = shown(&screen, 80, 24);
    assert!(
        text.contains("node-039"),
        "scrolling ends at the last:\n{text}"
    );

    press(
        &mut screen,
        &[KeyCode::Char('/'), KeyCode::Char('q'), KeyCode::Backspace],
    );
    for character in "node-01".chars() {
        press(&mut screen, &[KeyCode::Char(character)]);
    }
    assert!(shown(&screen, 80, 24).contains("/node-01_"));
    press(&mut screen, &[KeyCode::Enter]);
    let text = shown(&screen, 80, 24);
    assert!(
        text.contains("members (10, ") && text.contains("only `node-01`"),
        "{text}"
    );
    press(&mut screen, &[KeyCode::Esc, KeyCode::Char('?')]);
    let text = shown(&screen, 100, 30);
    assert!(
        text.contains("members (40, ") && text.contains("the other way round"),
        "{text}"
    );
    assert_eq!(press(&mut screen, &[KeyCode::Char('q')]), Wanted::End);
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(Screen::default().key(interrupt), Wanted::End);
}

#[test]
fn rates_are_those_between_two_moments() {
    let (before, now) = moments(2);
    let rows = rates::channels(&before, &now);
    let data = rows
        .iter()
        .find(|row| row.channel == "data")
        .expect("it is there");
    assert!((data.accepted - 12_000.0).abs() < 1.0, "{data:?}");
    // A node that was started again counts from 0: nothing runs backwards.
    let rows = rates::channels(&now, &before);
    assert!(rows.iter().all(|row| row.accepted >= 0.0), "{rows:?}");
    for (value, text) in [
        (0.0, "0"),
        (0.5, "0.5"),
        (3.0, "3"),
        (950.4, "950"),
        (1_234.0, "1.2k"),
        (34_000.0, "34k"),
        (1.5e6, "1.5M"),
        (2.0e9, "2.0G"),
    ] {
        assert_eq!(rate(value), text);
    }
}
