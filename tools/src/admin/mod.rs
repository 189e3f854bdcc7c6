//! Commands that ask a node that runs: which node, and what becomes of its answer.
//!
//! One file per command; each asks over the admin socket and renders what comes. None knows more of a node than
//! `overlane::admin` says.

pub(crate) mod channel;
pub(crate) mod cluster;
mod cluster_metrics;
pub(crate) mod events;
pub(crate) mod fault;
mod judging;
pub(crate) mod members;
pub(crate) mod metrics;
pub(crate) mod peer_list;
pub(crate) mod peers;
pub(crate) mod ping;
pub(crate) mod places;
pub(crate) mod reload;
pub(crate) mod rules;
pub(crate) mod send;
pub(crate) mod status;
pub(crate) mod topology;

use std::path::PathBuf;

use overlane::admin::{Answer, Client, ClientError, RefusalKind, Request};
use serde::Serialize;

use crate::ending::{Ending, Failure, print};
use crate::json;

/// Which node a command asks, and how its answer is printed.
#[derive(Debug, clap::Args)]
pub(crate) struct Target {
    /// The node to ask, by its name; not needed where just one runs
    #[arg(
        id = "asked_node",
        long = "node",
        value_name = "NAME",
        conflicts_with = "asked_socket"
    )]
    node: Option<String>,
    /// The node to ask, by the path of its admin socket [env: OVERLANE_ADMIN]
    #[arg(id = "asked_socket", long = "admin", value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl Target {
    /// The socket of the node that is meant.
    pub(crate) fn path(&self) -> Result<PathBuf, Failure> {
        match (&self.socket, &self.node) {
            (Some(path), _) => Ok(path.clone()),
            (None, Some(name)) => places::socket_of(name),
            (None, None) => places::the_only_one(),
        }
    }

    /// Asks one thing.
    pub(crate) fn ask(&self, request: &Request) -> Result<Answer, Failure> {
        Client::ask_once(&self.path()?, request).map_err(Failure::from)
    }

    /// Asks for something to be done, and prints what was.
    fn order(&self, request: &Request, done: &str) -> Result<Ending, Failure> {
        match self.ask(request)? {
            Answer::Done => self.print(&serde_json::json!({"done": true}), || {
                done.to_owned() + "\n"
            }),
            other => Err(unexpected(&other)),
        }
    }

    /// Prints a value as JSON, or for people.
    pub(crate) fn print<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce() -> String,
    ) -> Result<Ending, Failure> {
        if self.json {
            print(&json::line(value))?;
        } else {
            print(&text())?;
        }
        Ok(Ending::Done)
    }
}

/// A node of another version answers something else.
pub(crate) fn unexpected(answer: &Answer) -> Failure {
    let what = format!("the node gave an answer to something else: {answer:?}");
    Failure::new(Ending::NoNode, what)
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let ending = match &error {
            ClientError::TooLarge { .. } => Ending::BadInput,
            ClientError::Refused(refusal) => match refusal.kind {
                RefusalKind::Invalid | RefusalKind::NotAllowed => Ending::BadInput,
                RefusalKind::Failed => Ending::CheckFailed,
                _ => Ending::NoNode,
            },
            _ => Ending::NoNode,
        };
        Self::new(ending, error)
    }
}
