//! What a test cluster complains of, for a test to fail with.

use std::fmt;

use crate::config::ConfigError;
use crate::error::{NameError, SendError, StartError, Unsent, WaitError};
use crate::payload::Payload;

/// Why a test fails. Its `Debug` reads as its message, so that a test that returns it, or unwraps it, says what was
/// wrong.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum TestError {
    /// A node did not start.
    #[error("the node {node} did not start: {why}")]
    Start {
        /// Its name.
        node: String,
        /// Why.
        why: Box<StartError>,
    },
    /// Its configuration does not hold together.
    #[error("the configuration of the node {node} does not hold together: {why}")]
    Config {
        /// Its name.
        node: String,
        /// What is wrong.
        why: Box<ConfigError>,
    },
    /// A node that is not running, or runs already, cannot be asked for that.
    #[error("the node {node} {is}")]
    State {
        /// Its name.
        node: String,
        /// What it is.
        is: &'static str,
    },
    /// Something did not come true in time.
    #[error("{what} did not come true in time; at the end: {state}")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// How things stood.
        state: String,
    },
    /// Messages are not accounted for.
    #[error("the accounting identity is broken: {0}")]
    Unaccounted(String),
    /// A name that cannot be one.
    #[error(transparent)]
    Name(Box<NameError>),
    /// Nodes did not connect.
    #[error(transparent)]
    Wait(Box<WaitError>),
    /// A message was not accepted.
    #[error(transparent)]
    Send(#[from] SendError),
}

impl fmt::Debug for TestError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

impl From<NameError> for TestError {
    fn from(error: NameError) -> Self {
        Self::Name(Box::new(error))
    }
}

impl From<WaitError> for TestError {
    fn from(error: WaitError) -> Self {
        Self::Wait(Box::new(error))
    }
}

impl<'a> From<Unsent<Payload<'a>>> for TestError {
    fn from(unsent: Unsent<Payload<'a>>) -> Self {
        Self::Send(unsent.error)
    }
}
