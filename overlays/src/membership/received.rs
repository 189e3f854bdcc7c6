//! Messages of other nodes, and what is answered: probes to the failure detector, accusations to the
//! rules, the steps of an exchange to its session.

use super::exchange::{self, Session};
use super::message::Message;
use super::record::{Statement, Status};
use super::table::Table;
use super::{Membership, Out, Source};
use crate::event::{Command, Output, Peer};
use crate::failure_detector as detector;
use crate::time::Time;

impl<P: Peer> Membership<P> {
    pub(super) fn received(&mut self, now: Time, from: P, message: Message<P>, out: &mut Out<P>) {
        self.heard_from(now, from, &message, out);
        match message {
            Message::Probe(message) => {
                let mut actions = Vec::new();
                self.detector.received(now, from, &message, &mut actions);
                self.act(now, actions, out);
            }
            Message::Accused(version) => {
                self.about_me(version, Status::Suspect);
                self.supply(from, &[self.me], out);
            }
            Message::Summary { sum, .. } if sum == self.table.sum() => {}
            Message::Summary { .. } => out.push(Output::Send {
                to: from,
                message: Message::Buckets {
                    sums: self.table.bucket_sums(),
                    members: self.live_members(),
                },
            }),
            Message::Buckets { sums, members } => {
                self.continue_exchange(from, out, |session, table| {
                    session.sums_came(now, sums, members, table)
                });
            }
            Message::Listing { buckets, members } => {
                let found = exchange::compare(&self.table, &buckets, &members);
                self.apply_all(now, found.deaths, Source::Exchange, out);
                out.push(Output::Send {
                    to: from,
                    message: Message::Answer {
                        statements: found.statements,
                        wanted: found.wanted,
                        more: found.more,
                    },
                });
            }
            Message::Answer {
                statements,
                wanted,
                more,
            } => {
                self.apply_all(now, statements, Source::Exchange, out);
                self.supply(from, &wanted, out);
                self.continue_exchange(from, out, |session, table| {
                    session.answer_came(now, more, table)
                });
            }
            Message::Supply(statements) => {
                self.apply_all(now, statements, Source::Exchange, out);
            }
        }
    }

    /// A member that this node thinks dead or dying speaks: tell it, so that it can refute. One that it
    /// does not know: compare, as there must be a part of the cluster that this node does not know.
    fn heard_from(&mut self, now: Time, from: P, message: &Message<P>, out: &mut Out<P>) {
        let answers = matches!(message, Message::Probe(detector::Message::Ack(_)));
        let speaks = matches!(
            message,
            Message::Probe(detector::Message::Ping(_)) | Message::Summary { .. }
        );
        if !(answers || speaks) {
            return;
        }
        let Some(entry) = self.table.get(&from) else {
            if self.exchange.is_none() {
                self.compare_with(now, from, out);
            }
            return;
        };
        let (version, status) = (entry.version, entry.status);
        if status.is_live() {
            self.table.trust(&from);
        }
        if status == Status::Alive {
            return;
        }
        self.suspicions.heard(now, &from);
        out.push(Output::Send {
            to: from,
            message: Message::Accused(version),
        });
        if answers && status == Status::Down && !self.detector.neighbors().contains(&from) {
            // It answers again: the partition between us is over, so the overlay must cross it too.
            out.push(Output::Below(Command::Join(from)));
        }
    }

    pub(super) fn compare_with(&mut self, now: Time, with: P, out: &mut Out<P>) {
        self.exchange = Some(Session::begin(now, with));
        out.push(Output::Send {
            to: with,
            message: Message::Summary {
                sum: self.table.sum(),
                members: self.live_members(),
            },
        });
    }

    fn continue_exchange(
        &mut self,
        from: P,
        out: &mut Out<P>,
        step: impl FnOnce(&mut Session<P>, &Table<P>) -> Option<Message<P>>,
    ) {
        let Some(mut session) = self.exchange.take_if(|session| *session.with() == from) else {
            return;
        };
        if let Some(message) = step(&mut session, &self.table) {
            self.exchange = Some(session);
            out.push(Output::Send { to: from, message });
        }
    }

    fn supply(&self, to: P, wanted: &[P], out: &mut Out<P>) {
        let known = wanted.iter().filter_map(|peer| self.table.get_sure(peer));
        let statements: Vec<Statement<P>> = known.map(exchange::statement_of).collect();
        if !statements.is_empty() {
            let message = Message::Supply(statements);
            out.push(Output::Send { to, message });
        }
    }

    fn live_members(&self) -> u32 {
        u32::try_from(self.table.live()).unwrap_or(u32::MAX)
    }
}
