//! How the latest messages of a log ended that a peer has processed: what it says beside its counts in a handshake.
//!
//! A parameter of the handshake that need not be known, so a node of an earlier build skips it and states none;
//! whoever gets none goes by the counts alone. As text: runs of messages that ended alike, the oldest first, each a letter and a decimal
//! number: `d40r3d12` are forty delivered, three refused, twelve delivered. The last run ends where the count of processed messages
//! does. Called by `layout.rs` to read and write it; what follows from it, `delivery/resume.rs` decides.
use std::fmt::{self, Write};

use super::name::{NAME_BYTES_MAX, Name};
use super::parameters::{Parameter, ParameterError, Parameters};

/// The most runs that one peer states.
pub const ENDINGS_RUNS_MAX: usize = 64;

/// How a message ended that was processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A handler or an inbox has it.
    Delivered,
    /// There was no such mailbox.
    Refused,
    /// It came later than it was worth anything, and was refused for it.
    Late,
}

impl Ending {
    const fn letter(self) -> char {
        match self {
            Self::Delivered => 'd',
            Self::Refused => 'r',
            Self::Late => 'l',
        }
    }

    const fn of_letter(letter: char) -> Option<Self> {
        match letter {
            'd' => Some(Self::Delivered),
            'r' => Some(Self::Refused),
            'l' => Some(Self::Late),
            _ => None,
        }
    }
}

/// So many messages, one after the other, ended so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// How.
    pub ending: Ending,
    /// How many; not 0.
    pub messages: u64,
}

/// Runs of the latest messages, the oldest first; none if nothing is said. Neighbours end differently.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endings(Vec<Run>);

impl Endings {
    /// Nothing is said.
    pub const NONE: Self = Self(Vec::new());

    const NAME: &'static str = "endings";

    /// As many of the newest of these runs, which are the oldest first, as can be stated.
    #[must_use]
    pub fn newest_of(runs: &[Run]) -> Self {
        let mut bytes = 0;
        let fits = |run: &&Run| {
            bytes += 1 + digits(run.messages);
            bytes <= NAME_BYTES_MAX
        };
        let newest = runs.iter().rev().take(ENDINGS_RUNS_MAX);
        let count = newest.take_while(fits).count();
        Self(runs[runs.len() - count..].to_vec())
    }

    /// Whether nothing is said.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many messages it tells of.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.0.iter().map(|run| run.messages).sum()
    }

    /// How many of those were refused, late ones included.
    #[must_use]
    pub fn refused(&self) -> u64 {
        let refused = self.0.iter().filter(|run| run.ending != Ending::Delivered);
        refused.map(|run| run.messages).sum()
    }

    /// What is said of the latest `messages` alone.
    #[must_use]
    pub fn of_latest(&self, messages: u64) -> Self {
        let mut passed_over = self.messages().saturating_sub(messages);
        let runs = self.0.iter().filter_map(|run| {
            let left = run.messages.saturating_sub(passed_over);
            passed_over = passed_over.saturating_sub(run.messages);
            let ending = run.ending;
            (left > 0).then_some(Run {
                ending,
                messages: left,
            })
        });
        Self(runs.collect())
    }

    /// The runs, the oldest first.
    pub fn runs(&self) -> impl Iterator<Item = Run> + '_ {
        self.0.iter().copied()
    }

    /// Reads what [`fmt::Display`] writes.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Self, &'static str> {
        let mut runs: Vec<Run> = Vec::new();
        let mut messages: u64 = 0;
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            let ending = Ending::of_letter(letter).ok_or("a run begins with d, r or l")?;
            if runs.len() == ENDINGS_RUNS_MAX {
                return Err("there are more than 64 runs");
            }
            if runs.last().is_some_and(|last| last.ending == ending) {
                return Err("two runs in a row end alike");
            }
            let number = &rest[1..];
            let length = number.find(|digit: char| !digit.is_ascii_digit());
            let (number, others) = number.split_at(length.unwrap_or(number.len()));
            let run = number.parse().unwrap_or(0);
            if run == 0 || number.starts_with('0') {
                return Err("a run is no decimal number from 1 to 2^64 - 1");
            }
            let sum = messages.checked_add(run);
            messages = sum.ok_or("the runs are more than 2^64 messages together")?;
            runs.push(Run {
                ending,
                messages: run,
            });
            rest = others;
        }
        Ok(Self(runs))
    }

    /// States it, if there is something to say. No node has to know of it.
    ///
    /// # Errors
    /// [`ParameterError`] if the map has one already, or no room.
    pub(super) fn write_to(&self, parameters: &mut Parameters) -> Result<(), ParameterError> {
        if self.is_empty() {
            return Ok(());
        }
        parameters.insert(Parameter {
            name: Name::new(Self::NAME).expect("it is a name"),
            mandatory: false,
            value: Name::new(&self.to_string()).expect("it was made to fit"),
        })
    }

    /// Takes it out of the map.
    ///
    /// # Errors
    /// [`ParameterError`] if it cannot be read.
    pub(super) fn take_from(parameters: &mut Parameters) -> Result<Self, ParameterError> {
        let Some(Parameter { value, .. }) = parameters.take(Self::NAME) else {
            return Ok(Self::NONE);
        };
        Self::read(&value).map_err(|fault| ParameterError::NotEndings { value, fault })
    }
}

impl fmt::Display for Endings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|run| {
            formatter.write_char(run.ending.letter())?;
            write!(formatter, "{}", run.messages)
        })
    }
}

/// Of a number that is not 0.
fn digits(number: u64) -> usize {
    number.ilog10() as usize + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for text in [
            "",
            "d1",
            "r3",
            "d40r3d12",
            "l1r2l3",
            "d18446744073709551615",
        ] {
            let read = Endings::read(text).expect("it is one");
            assert_eq!(read.to_string(), text);
        }
    }

    #[test]
    fn there_is_one_text_for_each_and_none_for_what_cannot_be() {
        let too_many = "d1r1".repeat(33);
        let faulty = [
            "x1",
            "1",
            "d",
            "d0",
            "d01",
            "d1d2",
            "r1 ",
            "d-1",
            "D1",
            "d1é",
            "é",
            &too_many,
            "d18446744073709551616",
            "d18446744073709551615r1",
        ];
        for text in faulty {
            assert!(Endings::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_newest_are_stated_that_fit() {
        let run = |number: u64, messages| Run {
            ending: if number.is_multiple_of(2) {
                Ending::Delivered
            } else {
                Ending::Late
            },
            messages,
        };
        let many: Vec<Run> = (0..100).map(|number| run(number, 1)).collect();
        let stated = Endings::newest_of(&many);
        assert_eq!(stated.runs().count(), ENDINGS_RUNS_MAX);
        assert_eq!(stated.runs().last(), many.last().copied());
        let long: Vec<Run> = (0..64).map(|number| run(number, 1_000_000)).collect();
        let stated = Endings::newest_of(&long);
        assert!(Name::new(&stated.to_string()).is_ok());
        assert_eq!(stated.messages(), 31_000_000, "eight bytes each");
        assert!(Endings::newest_of(&[]).is_empty());
    }

    #[test]
    fn the_latest_can_be_looked_at_alone() {
        let all = Endings::read("d40r3l12").expect("it is one");
        assert_eq!((all.messages(), all.refused()), (55, 15));
        for (messages, text) in [
            (0, ""),
            (5, "l5"),
            (13, "r1l12"),
            (55, "d40r3l12"),
            (99, "d40r3l12"),
        ] {
            assert_eq!(all.of_latest(messages).to_string(), text, "{messages}");
        }
    }
}
