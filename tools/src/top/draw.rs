//! One frame of the live view: a pure function of what the node said and of what is to be shown.

use overlane::config::Printable;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph, Row, Table};

use super::rates::ChannelRow;
use super::screen::{CHANNEL_COLUMNS, MEMBER_COLUMNS, Pane, Screen};
use super::snapshot::Snapshot;
use crate::admin::events::line_of;

const KEYS: &str = "q end  Tab/1-3 list  s sort  r reverse  / filter  Esc clear  p pause  ? help";

const HELP: [&str; 10] = [
    "q, Ctrl-C      end",
    "Tab, 1, 2, 3   give the keys to channels, members or events",
    "s              sort that list by its next column",
    "r              the other way round",
    "/ Enter        show only what has that in its name",
    "Esc            show everything again",
    "p              pause, and go on",
    "Up Down PgUp PgDn Home   scroll that list",
    "Rates are those of the last interval,",
    "latencies and losses those since the node started.",
];

/// Draws it.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    now: &Snapshot,
    channels: &[ChannelRow],
    screen: &Screen,
) {
    let all = frame.area();
    let rows = u16::try_from(channels.len()).unwrap_or(u16::MAX);
    // Channels have what they need, up to half; members and events share the rest.
    let channels_height = rows.saturating_add(3).min((all.height / 2).max(5));
    let [head, top, middle, bottom, foot] = Layout::vertical([
        Constraint::Length(3),
        Constraint::Length(channels_height),
        Constraint::Fill(3),
        Constraint::Fill(2),
        Constraint::Length(1),
    ])
    .areas(all);
    frame.render_widget(Paragraph::new(summary(now, screen)), head);
    draw_channels(frame, top, channels, screen);
    draw_members(frame, middle, now, screen);
    draw_events(frame, bottom, screen);
    frame.render_widget(Paragraph::new(foot_line(screen)), foot);
    if screen.shows_help {
        draw_help(frame, all);
    }
}

fn shown(text: &str) -> String {
    Printable(text).to_string()
}

fn summary(now: &Snapshot, screen: &Screen) -> Vec<Line<'static>> {
    let status = &now.status;
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let first = Line::from(vec![
        Span::styled(format!("node {}", shown(&status.node)), bold),
        Span::raw(format!(
            "  cluster {}  {}  overlane {}  {} shards, io {}  up {} s",
            shown(&status.cluster),
            status.address,
            shown(&status.overlane),
            status.shards,
            shown(&status.backend),
            status.uptime_s
        )),
    ]);
    let second = match &now.cluster {
        None => "in no cluster".to_owned(),
        Some((overlay, _)) => {
            let next = overlay.changing_to.as_ref();
            let next = next.map_or_else(String::new, |next| format!(" -> {}", shown(next)));
            format!(
                "overlay {}{next}, epoch {}  {} members, {} neighbors  coordinator {}",
                shown(&overlay.overlay),
                overlay.epoch,
                overlay.members,
                overlay.neighbors.len(),
                shown(overlay.coordinator.as_deref().unwrap_or("none"))
            )
        }
    };
    let accounted = if status.identity_holds {
        "all accounted for"
    } else {
        "NOT all accounted for"
    };
    let paused = if screen.is_paused { "  PAUSED" } else { "" };
    let third = format!(
        "{} of {} peers connected  {} messages open, {accounted}{paused}",
        status.peers_connected, status.peers, status.messages_open
    );
    vec![first, Line::raw(second), Line::raw(third)]
}

fn block(title: String, has_keys: bool) -> Block<'static> {
    let style = if has_keys {
        Style::new().add_modifier(Modifier::BOLD)
    } else {
        Style::new()
    };
    Block::new()
        .borders(Borders::TOP)
        .title(Span::styled(title, style))
}

/// A list from where it is scrolled to, which cannot be beyond its end.
fn seen<T>(rows: Vec<T>, pane: Pane, screen: &Screen, height: u16) -> Vec<T> {
    let most = rows.len().saturating_sub(usize::from(height));
    let skipped = if screen.pane == pane {
        screen.scrolled.min(most)
    } else {
        0
    };
    rows.into_iter()
        .skip(skipped)
        .take(usize::from(height))
        .collect()
}

fn title(name: &str, count: usize, pane: Pane, sorted_by: Option<&str>, screen: &Screen) -> String {
    let mark = if screen.pane == pane { "*" } else { " " };
    let sorted = sorted_by.map_or_else(String::new, |column| {
        // Events stay in their order.
        let is_reversed = screen.is_reversed && pane != Pane::Events;
        let way = if is_reversed { " reversed" } else { "" };
        format!(", by {column}{way}")
    });
    format!("{mark}{name} ({count}{sorted}) ")
}

fn header(columns: &[&'static str], sorted: usize) -> Row<'static> {
    let cells = columns.iter().enumerate().map(|(place, name)| {
        let style = if place == sorted {
            Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
        } else {
            Style::new().add_modifier(Modifier::BOLD)
        };
        Span::styled(*name, style)
    });
    Row::new(cells.collect::<Vec<_>>())
}

fn draw_channels(frame: &mut Frame<'_>, area: Rect, channels: &[ChannelRow], screen: &Screen) {
    let rows = screen.channels(channels);
    let title = title(
        "channels",
        rows.len(),
        Pane::Channels,
        Some(CHANNEL_COLUMNS[screen.channels_by]),
        screen,
    );
    let height = area.height.saturating_sub(2);
    let rows = seen(rows, Pane::Channels, screen, height)
        .into_iter()
        .map(|row| {
            let latency = row
                .latency
                .map(|(p50, p99)| format!("{}/{}", micros(p50), micros(p99)));
            Row::new([
                shown(&row.channel),
                row.lanes.to_string(),
                rate(row.accepted),
                rate(row.delivered),
                rate(row.sent_bytes),
                rate(row.received_bytes),
                row.open.to_string(),
                row.lost.to_string(),
                latency.unwrap_or_else(|| "-".to_owned()),
            ])
        });
    let widths = [
        Constraint::Fill(1),
        Constraint::Length(5),
        Constraint::Length(7),
        Constraint::Length(7),
        Constraint::Length(7),
        Constraint::Length(7),
        Constraint::Length(6),
        Constraint::Length(6),
        Constraint::Length(13),
    ];
    let table = Table::new(rows, widths).header(header(&CHANNEL_COLUMNS, screen.channels_by));
    frame.render_widget(
        table.block(block(title, screen.pane == Pane::Channels)),
        area,
    );
}

fn draw_members(frame: &mut Frame<'_>, area: Rect, now: &Snapshot, screen: &Screen) {
    let members = now.cluster.as_ref().map_or(&[][..], |(_, members)| members);
    let rows = screen.members(members, &now.peers);
    let title = title(
        "members",
        rows.len(),
        Pane::Members,
        Some(MEMBER_COLUMNS[screen.members_by]),
        screen,
    );
    let height = area.height.saturating_sub(2);
    let rows = seen(rows, Pane::Members, screen, height)
        .into_iter()
        .map(|(member, lanes)| {
            let here = match member {
                member if member.is_self => "itself",
                member if member.is_neighbor => "neighbor",
                _ => "",
            };
            let address = member.addresses.first().map(ToString::to_string);
            Row::new([
                shown(&member.member),
                shown(&member.status),
                here.to_owned(),
                lanes.to_string(),
                address.unwrap_or_default(),
            ])
        });
    let widths = [
        Constraint::Fill(2),
        Constraint::Length(8),
        Constraint::Length(9),
        Constraint::Length(6),
        Constraint::Fill(2),
    ];
    let table = Table::new(rows, widths).header(header(&MEMBER_COLUMNS, screen.members_by));
    frame.render_widget(
        table.block(block(title, screen.pane == Pane::Members)),
        area,
    );
}

fn draw_events(frame: &mut Frame<'_>, area: Rect, screen: &Screen) {
    let lines = screen.events.iter().rev().map(line_of);
    let lines: Vec<_> = lines.filter(|line| line.contains(&screen.filter)).collect();
    let title = title(
        "events",
        lines.len(),
        Pane::Events,
        Some("time, the newest first"),
        screen,
    );
    let height = area.height.saturating_sub(1);
    let lines = seen(lines, Pane::Events, screen, height);
    let lines: Vec<_> = lines
        .into_iter()
        .map(|line| Line::raw(line.trim_end().to_owned()))
        .collect();
    let events = Paragraph::new(lines).block(block(title, screen.pane == Pane::Events));
    frame.render_widget(events, area);
}

fn foot_line(screen: &Screen) -> Line<'static> {
    let filter = shown(&screen.filter);
    if screen.is_typing {
        Line::raw(format!(
            "/{filter}_   Enter: show only what has it   Esc: everything"
        ))
    } else if filter.is_empty() {
        Line::raw(KEYS)
    } else {
        Line::raw(format!("only `{filter}`  {KEYS}"))
    }
}

fn draw_help(frame: &mut Frame<'_>, all: Rect) {
    let wide = HELP.iter().map(|line| line.len()).max().unwrap_or_default() + 4;
    let width = u16::try_from(wide).unwrap_or(u16::MAX).min(all.width);
    let height = u16::try_from(HELP.len() + 2)
        .unwrap_or(u16::MAX)
        .min(all.height);
    let area = Rect {
        x: (all.width - width) / 2,
        y: (all.height - height) / 2,
        width,
        height,
    };
    let lines: Vec<_> = HELP
        .iter()
        .map(|line| Line::raw(format!(" {line}")))
        .collect();
    frame.render_widget(Clear, area);
    let block = Block::new().borders(Borders::ALL).title(" keys ");
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

/// Three digits and a unit: 950, 1.2k, 34k, 1.5M.
pub(super) fn rate(value: f64) -> String {
    let (value, unit) = match value {
        value if value < 1e3 => (value, ""),
        value if value < 1e6 => (value / 1e3, "k"),
        value if value < 1e9 => (value / 1e6, "M"),
        value => (value / 1e9, "G"),
    };
    if value < 10.0 && (!unit.is_empty() || value.fract() > 0.05) {
        format!("{value:.1}{unit}")
    } else {
        format!("{value:.0}{unit}")
    }
}

/// Microseconds, shortened: 83, 1.2ms, 34ms, 1.5s.
fn micros(micros: u32) -> String {
    let value = f64::from(micros);
    match micros {
        0..1_000 => format!("{micros}us"),
        1_000..10_000 => format!("{:.1}ms", value / 1e3),
        10_000..1_000_000 => format!("{:.0}ms", value / 1e3),
        _ => format!("{:.1}s", value / 1e6),
    }
}
