//! Where a process of a run is: on this host as a child, or on a server's.
//!
//! raw/pair.rs and node/pair.rs start and ask their processes through this and cannot tell which it is.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::client::Remote;
use super::protocol::{Ask, Reply, Request};
use crate::child::Child;
use crate::error::{BenchError, Outcome};
use crate::node::settings::Settings;
use crate::{node, raw};

/// How long a process may take to start, or to answer what needs no waiting of its own.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// The two hosts of a run; without a server both are this one.
#[derive(Debug, Clone)]
pub(crate) struct Hosts {
    remote: Option<Remote>,
}

/// A host that processes are started on.
#[derive(Debug, Clone)]
pub(crate) enum Site {
    /// This one.
    Here {
        /// Where its processes listen.
        listen: IpAddr,
        /// Where the others are.
        others: IpAddr,
    },
    /// A server's.
    There(Remote),
}

impl Hosts {
    /// Does `work` on this host and that of the server at `remote`.
    ///
    /// When it fails because the server is gone, which a process on this host notices first, that is
    /// what the error says.
    pub(crate) fn with<T>(
        remote: Option<&str>,
        work: impl FnOnce(&Self) -> Outcome<T>,
    ) -> Outcome<T> {
        let remote = remote.map(Remote::connect).transpose()?;
        let hosts = Self { remote };
        work(&hosts).map_err(|error| hosts.cause_of(error))
    }

    fn cause_of(&self, error: BenchError) -> BenchError {
        match (&self.remote, error) {
            (Some(remote), error) if !matches!(error, BenchError::Lost { .. }) => {
                let asked = remote.ask(&Request::StillThere, ANSWER_WITHIN);
                asked.err().unwrap_or(error)
            }
            (_, error) => error,
        }
    }

    /// This host only.
    pub(crate) fn this_one() -> Self {
        Self { remote: None }
    }

    /// The host of the processes that ask: always this one.
    pub(crate) fn near(&self) -> Site {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let (listen, others) = match &self.remote {
            None => (loopback, loopback),
            Some(remote) => (remote.near, remote.far),
        };
        Site::Here { listen, others }
    }

    /// The host of the processes that answer.
    pub(crate) fn far(&self) -> Site {
        match &self.remote {
            None => self.near(),
            Some(remote) => Site::There(remote.clone()),
        }
    }

    /// What the far host is, where it is another one.
    pub(crate) fn far_host(&self) -> Option<&str> {
        self.remote.as_ref().map(|remote| &*remote.host)
    }
}

/// A process on one of the hosts.
#[derive(Debug)]
pub(crate) enum Worker {
    /// A child of this process.
    Here(Child),
    /// A child of a server.
    There {
        /// The session with the server.
        remote: Remote,
        /// Its number there.
        process: usize,
    },
}

impl Worker {
    /// Starts a raw process; with its first answer.
    pub(crate) fn start_raw(
        site: &Site,
        name: &str,
        core: Option<usize>,
    ) -> Outcome<(Self, raw::protocol::Reply)> {
        match site {
            Site::Here { listen, others } => {
                let specification = raw::protocol::Specification {
                    core,
                    listen: *listen,
                    only_from: *others,
                };
                let (child, first) = Child::start(raw::protocol::ROLE, name, &specification)?;
                Ok((Self::Here(child), first))
            }
            Site::There(remote) => {
                Self::start_there::<raw::protocol::Command>(remote, &Request::StartRaw { core })
            }
        }
    }

    /// Starts a process with one node; with its first answer.
    pub(crate) fn start_node(
        site: &Site,
        name: &str,
        settings: Settings,
        threads: bool,
    ) -> Outcome<(Self, node::protocol::Reply)> {
        match site {
            Site::Here { listen, .. } => {
                let nodes = vec![settings.listening_at(*listen)?];
                Self::start_nodes_here(name, nodes, threads)
            }
            Site::There(remote) => {
                let settings = Box::new(settings);
                let request = Request::StartNode { settings, threads };
                Self::start_there::<node::protocol::Command>(remote, &request)
            }
        }
    }

    /// Starts a process with several nodes on this host; with its first answer.
    pub(crate) fn start_nodes_here(
        name: &str,
        nodes: Vec<Settings>,
        threads: bool,
    ) -> Outcome<(Self, node::protocol::Reply)> {
        let specification = node::protocol::Specification { nodes, threads };
        let (child, first) = Child::start(node::protocol::ROLE, name, &specification)?;
        Ok((Self::Here(child), first))
    }

    fn start_there<C: Ask>(remote: &Remote, request: &Request) -> Outcome<(Self, C::Answer)> {
        let reply = remote.ask(request, ANSWER_WITHIN)?;
        let Reply::Started { process, first } = reply else {
            return Err(unexpected(&reply));
        };
        let worker = Self::There {
            remote: remote.clone(),
            process,
        };
        Ok((worker, answer::<C>(*first)?))
    }

    /// Gives a command and waits for its answer.
    pub(crate) fn ask<C: Ask>(&mut self, command: &C) -> Outcome<C::Answer> {
        self.ask_within(command, ANSWER_WITHIN)
    }

    /// The same, for commands that run for a while.
    pub(crate) fn ask_within<C: Ask>(
        &mut self,
        command: &C,
        within: Duration,
    ) -> Outcome<C::Answer> {
        match self {
            Self::Here(child) => child.ask_within(command, within),
            Self::There { remote, process } => {
                answer::<C>(remote.ask(&command.request(*process), within)?)
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Self::There { remote, process } = self {
            // A server that is gone has ended it too.
            drop(remote.ask(&Request::End { process: *process }, ANSWER_WITHIN));
        }
    }
}

fn answer<C: Ask>(reply: Reply) -> Outcome<C::Answer> {
    match C::answer(reply) {
        Some(answer) => Ok(answer),
        None => Err(BenchError::Engine(
            "the server answered another question".to_owned(),
        )),
    }
}

fn unexpected(reply: &Reply) -> BenchError {
    BenchError::Engine(format!("the server answered {reply:?} to another question"))
}
