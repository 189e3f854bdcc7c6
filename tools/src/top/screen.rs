//! What the live view shows of what is there: which list has the keys, how it is sorted, filtered and scrolled. No I/O.
//!
//! A key changes it; `draw` goes by it.

use std::cmp::Ordering;
use std::collections::VecDeque;

use overlane::admin::{EventReport, MemberReport, PeerStatus};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::rates::ChannelRow;

/// Events that are kept for looking back. A guess: some screens.
const EVENTS_MAX: usize = 500;

/// A list of the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pane {
    #[default]
    Channels,
    Members,
    Events,
}

/// What follows from a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Nothing,
    End,
}

/// See the module's text.
#[derive(Clone, Debug, Default)]
pub(super) struct Screen {
    pub(super) pane: Pane,
    /// The column that channels and members are sorted by.
    pub(super) channels_by: usize,
    pub(super) members_by: usize,
    pub(super) is_reversed: bool,
    /// Only rows that have it are shown.
    pub(super) filter: String,
    /// The filter is being typed.
    pub(super) is_typing: bool,
    pub(super) is_paused: bool,
    pub(super) shows_help: bool,
    /// Rows of the list with the keys that are above the first one shown.
    pub(super) scrolled: usize,
    /// The newest last.
    pub(super) events: VecDeque<EventReport>,
}

/// Columns that channels can be sorted by, as `draw` names them.
pub(super) const CHANNEL_COLUMNS: [&str; 9] = [
    "channel", "lanes", "out/s", "in/s", "out B/s", "in B/s", "open", "lost", "p50/p99",
];

/// The same of members.
pub(super) const MEMBER_COLUMNS: [&str; 5] = ["member", "status", "here", "lanes", "address"];

impl Screen {
    /// Something happened.
    pub(super) fn note(&mut self, event: EventReport) {
        if self.events.len() >= EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// A key was pressed.
    pub(super) fn key(&mut self, key: KeyEvent) -> Wanted {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Wanted::End;
        }
        if self.is_typing {
            self.type_filter(key.code);
            return Wanted::Nothing;
        }
        match key.code {
            KeyCode::Char('q') => return Wanted::End,
            KeyCode::Tab => self.turn_to(match self.pane {
                Pane::Channels => Pane::Members,
                Pane::Members => Pane::Events,
                Pane::Events => Pane::Channels,
            }),
            KeyCode::Char('1') => self.turn_to(Pane::Channels),
            KeyCode::Char('2') => self.turn_to(Pane::Members),
            KeyCode::Char('3') => self.turn_to(Pane::Events),
            KeyCode::Char('s') => self.sort_by_next(),
            KeyCode::Char('r') => self.is_reversed = !self.is_reversed,
            KeyCode::Char('p') => self.is_paused = !self.is_paused,
            KeyCode::Char('?' | 'h') => self.shows_help = !self.shows_help,
            KeyCode::Char('/') => self.is_typing = true,
            KeyCode::Esc => {
                self.filter.clear();
                self.shows_help = false;
            }
            KeyCode::Down => self.scrolled = self.scrolled.saturating_add(1),
            KeyCode::Up => self.scrolled = self.scrolled.saturating_sub(1),
            KeyCode::PageDown => self.scrolled = self.scrolled.saturating_add(10),
            KeyCode::PageUp => self.scrolled = self.scrolled.saturating_sub(10),
            KeyCode::Home => self.scrolled = 0,
            _ => {}
        }
        Wanted::Nothing
    }

    fn type_filter(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.is_typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(character) if !character.is_control() => self.filter.push(character),
            _ => {}
        }
    }

    fn turn_to(&mut self, pane: Pane) {
        self.pane = pane;
        self.scrolled = 0;
    }

    fn sort_by_next(&mut self) {
        match self.pane {
            Pane::Channels => self.channels_by = (self.channels_by + 1) % CHANNEL_COLUMNS.len(),
            Pane::Members => self.members_by = (self.members_by + 1) % MEMBER_COLUMNS.len(),
            Pane::Events => {}
        }
    }

    /// The channels to be shown, in their order.
    pub(super) fn channels<'a>(&self, all: &'a [ChannelRow]) -> Vec<&'a ChannelRow> {
        let wanted = |row: &&ChannelRow| row.channel.contains(&self.filter);
        let mut rows: Vec<_> = all.iter().filter(wanted).collect();
        rows.sort_by(|one, other| self.order(by_column(self.channels_by, one, other)));
        rows
    }

    /// The members to be shown, in their order, each with its lanes up.
    pub(super) fn members<'a>(
        &self,
        members: &'a [MemberReport],
        peers: &[PeerStatus],
    ) -> Vec<(&'a MemberReport, u32)> {
        let lanes = |member: &MemberReport| {
            let mut known = peers.iter().filter(|peer| peer.peer == member.member);
            known.next().map_or(0, |peer| peer.lanes_up)
        };
        let wanted = members.iter().filter(|member| {
            member.member.contains(&self.filter) || member.status.contains(&self.filter)
        });
        let mut rows: Vec<_> = wanted.map(|member| (member, lanes(member))).collect();
        rows.sort_by(|(one, lanes), (other, lanes_of_other)| {
            self.order(match self.members_by {
                1 => one.status.cmp(&other.status),
                2 => (other.is_self, other.is_neighbor).cmp(&(one.is_self, one.is_neighbor)),
                3 => lanes_of_other.cmp(lanes),
                4 => one.addresses.cmp(&other.addresses),
                _ => one.member.cmp(&other.member),
            })
        });
        rows
    }

    fn order(&self, order: Ordering) -> Ordering {
        if self.is_reversed {
            order.reverse()
        } else {
            order
        }
    }
}

/// Names upwards, figures downwards: what there is most of comes first.
fn by_column(column: usize, one: &ChannelRow, other: &ChannelRow) -> Ordering {
    match column {
        1 => other.lanes.cmp(&one.lanes),
        2 => other.accepted.total_cmp(&one.accepted),
        3 => other.delivered.total_cmp(&one.delivered),
        4 => other.sent_bytes.total_cmp(&one.sent_bytes),
        5 => other.received_bytes.total_cmp(&one.received_bytes),
        6 => other.open.cmp(&one.open),
        7 => other.lost.cmp(&one.lost),
        8 => other
            .latency
            .map(|(_, p99)| p99)
            .cmp(&one.latency.map(|(_, p99)| p99)),
        _ => one.channel.cmp(&other.channel),
    }
}
