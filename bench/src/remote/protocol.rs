//! What the two ends of a control connection say, one JSON line each.
//!
//! The client greets, the server welcomes it or says why not, then requests are answered one by one. Both
//! ends must be of one version: processes of different versions would not measure the same.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::exit::Exit;
use crate::node::{self, settings::Settings};
use crate::raw;

/// What a line must begin a connection with to be ours at all.
pub(crate) const MAGIC: &str = "overlane-bench";
/// The version of this binary.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Grows with every change of what is said here.
pub(crate) const PROTOCOL: u32 = 1;

/// The client's first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// [`MAGIC`].
    pub(crate) magic: String,
    /// The client's [`VERSION`].
    pub(crate) version: String,
    /// The client's [`PROTOCOL`].
    pub(crate) protocol: u32,
}

/// The server's first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Welcome {
    /// [`MAGIC`].
    pub(crate) magic: String,
    /// The server's [`VERSION`].
    pub(crate) version: String,
    /// The server's [`PROTOCOL`].
    pub(crate) protocol: u32,
    /// Whether requests may follow.
    pub(crate) answer: Answer,
}

/// Whether a client may go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// It may; and on what it runs.
    Ready {
        /// Kernel and cores of the server's host.
        host: String,
    },
    /// Another run has the server.
    Busy,
    /// The versions differ.
    OtherVersion,
}

impl Hello {
    /// What this binary says.
    pub(crate) fn own() -> Self {
        Self {
            magic: MAGIC.to_owned(),
            version: VERSION.to_owned(),
            protocol: PROTOCOL,
        }
    }

    /// Whether the other end is of this version.
    pub(crate) fn fits(&self) -> bool {
        *self == Self::own()
    }
}

impl Welcome {
    /// What this binary answers.
    pub(crate) fn own(answer: Answer) -> Self {
        Self {
            magic: MAGIC.to_owned(),
            version: VERSION.to_owned(),
            protocol: PROTOCOL,
            answer,
        }
    }
}

/// What a client asks.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Start a raw process.
    StartRaw {
        /// Core of its busy thread.
        core: Option<usize>,
    },
    /// Start a process with one node; the server says where it listens.
    StartNode {
        /// Its configuration.
        settings: Box<Settings>,
        /// Whether application threads read its inboxes.
        threads: bool,
    },
    /// A command for a raw process.
    Raw {
        /// Which, by the order of their start.
        process: usize,
        /// The command.
        command: raw::protocol::Command,
    },
    /// A command for a node process.
    Node {
        /// Which, by the order of their start.
        process: usize,
        /// The command.
        command: node::protocol::Command,
    },
    /// Whether the server is still there.
    StillThere,
    /// End a process.
    End {
        /// Which, by the order of their start.
        process: usize,
    },
}

/// What the server answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// A process was started, and this was its first answer.
    Started {
        /// Its number.
        process: usize,
        /// The answer to its specification.
        first: Box<Reply>,
    },
    /// The answer of a raw process.
    Raw(raw::protocol::Reply),
    /// The answer of a node process.
    Node(node::protocol::Reply),
    /// Done, nothing to say.
    Done,
    /// It failed.
    Failed {
        /// What it would have ended with.
        exit: Exit,
        /// Why.
        detail: String,
    },
}

/// A command that a process can be given, on this host or through a server.
pub(crate) trait Ask: Serialize {
    /// What the process answers.
    type Answer: DeserializeOwned;

    /// The command for a process of a server.
    fn request(&self, process: usize) -> Request;

    /// The answer in a server's reply, if it is one to such a command.
    fn answer(reply: Reply) -> Option<Self::Answer>;
}

impl Ask for raw::protocol::Command {
    type Answer = raw::protocol::Reply;

    fn request(&self, process: usize) -> Request {
        let command = self.clone();
        Request::Raw { process, command }
    }

    fn answer(reply: Reply) -> Option<Self::Answer> {
        match reply {
            Reply::Raw(answer) => Some(answer),
            _ => None,
        }
    }
}

impl Ask for node::protocol::Command {
    type Answer = node::protocol::Reply;

    fn request(&self, process: usize) -> Request {
        let command = self.clone();
        Request::Node { process, command }
    }

    fn answer(reply: Reply) -> Option<Self::Answer> {
        match reply {
            Reply::Node(answer) => Some(answer),
            _ => None,
        }
    }
}
