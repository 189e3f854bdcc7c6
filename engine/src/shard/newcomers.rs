//! Strangers who have said Hello under a name that has no place yet: they wait for the control shard to
//! give it one, or to say that there are too many.
//!
//! Called by `accept` when a name is not in the routes, and by the turn when an answer is there.

use std::io;
use std::sync::Arc;

use super::Core;
use super::command::Newcomer;
use crate::control::link::{Answer, Question, Verdict};
use crate::wire::{CloseReason, Refuse};

/// Those who wait on one shard.
#[derive(Debug, Default)]
pub(super) struct Newcomers {
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    newcomer: Newcomer,
    answer: Arc<Answer>,
}

impl Newcomers {
    /// They count as unfinished handshakes.
    pub(super) fn count(&self) -> usize {
        self.waiting.len()
    }

    /// Whether somebody need not wait any longer.
    pub(super) fn has_answer(&self) -> bool {
        let mut answers = self.waiting.iter().map(|waiting| &waiting.answer);
        answers.any(|answer| answer.verdict() != Verdict::Pending)
    }

    /// The next who need not wait any longer.
    fn next_answered(&mut self) -> Option<(Newcomer, Verdict)> {
        let answered = |waiting: &Waiting| waiting.answer.verdict() != Verdict::Pending;
        let place = self.waiting.iter().position(answered)?;
        let waiting = self.waiting.remove(place);
        Some((waiting.newcomer, waiting.answer.verdict()))
    }
}

impl Core {
    /// The name of that newcomer needs a place.
    pub(super) fn ask_for_place(&mut self, newcomer: Newcomer) {
        let doorbell = &self.fabric.shards[self.index].doorbell;
        let answer = Answer::awaited_by(doorbell);
        self.control_link.ask(Question {
            name: newcomer.hello.node.as_str().to_owned(),
            answer: Arc::clone(&answer),
        });
        self.newcomers.waiting.push(Waiting { newcomer, answer });
    }

    /// Goes on with those who have got their answer. True if there were any.
    pub(crate) fn hear_answers(&mut self) -> io::Result<bool> {
        let mut any = false;
        while let Some((newcomer, verdict)) = self.newcomers.next_answered() {
            any = true;
            if verdict == Verdict::Full {
                let peers_max = self.fabric.config.peers_max;
                let text = format!("{peers_max} peers are there already: raise peers_max");
                self.refuse_newcomer(newcomer, Refuse::new(CloseReason::TooManyPeers, &text));
            } else {
                self.place_newcomer(newcomer)?;
            }
        }
        Ok(any)
    }

    /// The node stops: nobody is let in any more.
    pub(super) fn turn_newcomers_away(&mut self) {
        for waiting in std::mem::take(&mut self.newcomers.waiting) {
            let reason = CloseReason::LocalStop;
            self.refuse_newcomer(waiting.newcomer, Refuse::new(reason, reason.sentence()));
        }
    }
}
