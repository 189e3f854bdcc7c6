//! One session: the processes that a client asks for, each request checked.
//!
//! What a client can make this host do is bounded: so many processes, traffic to its own address only,
//! settings within a table, windows of minutes. Processes end with the session.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::line::Connection;
use super::protocol::{Ask, Reply, Request};
use crate::child::Child;
use crate::error::{BenchError, Outcome};
use crate::node::settings::Settings;
use crate::{node, pin, raw};

/// Longest time between two requests: the longest window and its warm-up, and some more.
const REQUEST_WITHIN: Duration = Duration::from_secs(180);
/// Longest time that a process may take for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(90);
/// How long a reply may wait for room.
const REPLY_WITHIN: Duration = Duration::from_secs(10);
/// Processes that one session may start.
const PROCESSES_MAX: usize = 8;
/// Longest window, and longest time before one.
const WINDOW_MAX: Duration = Duration::from_secs(60);
/// What a channel, an inbox or a batch of a session may hold.
const HELD_BYTES_MAX: usize = 256 << 20;
/// Channels of a node of a session.
const CHANNELS_MAX: usize = 8;
/// Lanes of one of its channels.
const PARALLELISM_MAX: u16 = 16;

/// Answers requests until the client leaves; why it left.
pub(super) fn serve(mut connection: Connection, (own, client): (IpAddr, IpAddr)) -> String {
    let mut session = Session {
        own,
        client,
        processes: Vec::new(),
    };
    loop {
        let reply = match connection.hear_any(REQUEST_WITHIN) {
            Ok(request) => session.obey(request),
            Err(error) => return error.to_string(),
        };
        let reply = reply.unwrap_or_else(|error| Reply::Failed {
            exit: error.exit(),
            detail: error.to_string(),
        });
        if let Err(error) = connection.say(&reply, REPLY_WITHIN) {
            return error.to_string();
        }
    }
}

struct Session {
    own: IpAddr,
    client: IpAddr,
    /// None for one that has been ended.
    processes: Vec<Option<Child>>,
}

impl Session {
    fn obey(&mut self, request: Request) -> Outcome<Reply> {
        match request {
            Request::StartRaw { core } => {
                if let Some(core) = core {
                    pin::require_core("--receiver-core", core)?;
                }
                let specification = raw::protocol::Specification {
                    core,
                    listen: self.own,
                    only_from: self.client,
                };
                self.start(raw::protocol::ROLE, &specification, Reply::Raw)
            }
            Request::StartNode { settings, threads } => {
                let settings = self.allowed_settings(*settings)?;
                let specification = node::protocol::Specification {
                    nodes: vec![settings],
                    threads,
                };
                self.start(node::protocol::ROLE, &specification, Reply::Node)
            }
            Request::Raw { process, command } => {
                self.allow_raw(&command)?;
                self.ask(process, &command, Reply::Raw)
            }
            Request::Node { process, command } => {
                self.allow_node(&command)?;
                self.ask(process, &command, Reply::Node)
            }
            Request::StillThere => Ok(Reply::Done),
            Request::End { process } => {
                self.processes.get_mut(process).and_then(Option::take);
                Ok(Reply::Done)
            }
        }
    }

    fn start<S: serde::Serialize, R: DeserializeOwned>(
        &mut self,
        role: &str,
        specification: &S,
        reply: fn(R) -> Reply,
    ) -> Outcome<Reply> {
        let process = self.processes.len();
        if process == PROCESSES_MAX {
            return Err(refused(format!("more than {PROCESSES_MAX} processes")));
        }
        let (child, first) = Child::start(role, &format!("{process} of a run"), specification)?;
        self.processes.push(Some(child));
        let first = Box::new(reply(first));
        Ok(Reply::Started { process, first })
    }

    fn ask<C: Ask>(
        &mut self,
        process: usize,
        command: &C,
        reply: fn(C::Answer) -> Reply,
    ) -> Outcome<Reply> {
        let child = self.processes.get_mut(process).and_then(Option::as_mut);
        let child = child.ok_or_else(|| refused(format!("process {process}, which is none")))?;
        child.ask_within(command, ANSWER_WITHIN).map(reply)
    }

    /// Traffic goes to the client only: nobody can make this host flood another one.
    fn allow_address(&self, to: SocketAddr) -> Outcome<()> {
        if to.ip() == self.client {
            return Ok(());
        }
        Err(refused(format!(
            "traffic to {to}, which is not the client's address {}",
            self.client
        )))
    }

    fn allow_raw(&self, command: &raw::protocol::Command) -> Outcome<()> {
        use raw::protocol::Command;
        match command {
            Command::Sample | Command::StopSending => Ok(()),
            Command::StartSending(order) => {
                allow_bytes(
                    "a payload",
                    order.payload_bytes,
                    raw::frame::PAYLOAD_BYTES_MAX,
                )?;
                let batch_bytes = order.batch_bytes.unwrap_or_default();
                allow_bytes("a batch", batch_bytes, raw::frame::PAYLOAD_BYTES_MAX)?;
                self.allow_address(order.to)
            }
            Command::Ping(order) => {
                allow_bytes(
                    "a payload",
                    order.payload_bytes,
                    raw::frame::PAYLOAD_BYTES_MAX,
                )?;
                allow_times(order.warm_up, order.measure)?;
                self.allow_address(order.to)
            }
        }
    }

    fn allow_node(&self, command: &node::protocol::Command) -> Outcome<()> {
        use node::protocol::Command;
        match command {
            Command::StopSending | Command::Sample | Command::Accounts | Command::Memory => Ok(()),
            Command::Connect { peers } => {
                let [(_, to)] = &peers[..] else {
                    return Err(refused(format!("{} peers instead of one", peers.len())));
                };
                self.allow_address(*to)
            }
            Command::StartSending(order) => allow_bytes(
                "a payload",
                order.payload_bytes,
                raw::frame::PAYLOAD_BYTES_MAX,
            ),
            Command::RoundTrips(order) => {
                allow_bytes(
                    "a payload",
                    order.payload_bytes,
                    raw::frame::PAYLOAD_BYTES_MAX,
                )?;
                allow_times(order.warm_up, order.measure)
            }
        }
    }

    /// The settings, with the address of this host, if what they hold is bounded.
    fn allowed_settings(&self, settings: Settings) -> Outcome<Settings> {
        let config = settings.config()?;
        allow_bytes("inbox_bytes", config.inbox_bytes, HELD_BYTES_MAX)?;
        if config.channels.len() > CHANNELS_MAX {
            return Err(refused(format!("more than {CHANNELS_MAX} channels")));
        }
        for channel in &config.channels {
            allow_bytes("queue_bytes_max", channel.queue_bytes_max, HELD_BYTES_MAX)?;
            if channel.parallelism > PARALLELISM_MAX {
                return Err(refused(format!("a parallelism above {PARALLELISM_MAX}")));
            }
        }
        for core in &config.cores {
            pin::require_core("--receiver-core or --cores", *core)?;
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        if config.shards > 4 * cores {
            return Err(refused(format!(
                "{} shards on {cores} cores",
                config.shards
            )));
        }
        Settings::of(&config).listening_at(self.own)
    }
}

fn allow_bytes(what: &str, bytes: usize, most: usize) -> Outcome<()> {
    if bytes <= most {
        return Ok(());
    }
    Err(refused(format!("{what} of {bytes} bytes; at most {most}")))
}

fn allow_times(warm_up: Duration, measure: Duration) -> Outcome<()> {
    if warm_up <= WINDOW_MAX && measure <= WINDOW_MAX {
        return Ok(());
    }
    let most = WINDOW_MAX.as_secs();
    Err(refused(format!("a window of more than {most} s")))
}

fn refused(what: String) -> BenchError {
    BenchError::BadInput(format!("a server does not give a run {what}"))
}

#[cfg(test)]
mod tests {
    use overlane::config::Config;

    use super::*;
    use crate::exit::Exit;
    use crate::ping::Pace;

    fn session() -> Session {
        Session {
            own: [10, 0, 0, 2].into(),
            client: [10, 0, 0, 1].into(),
            processes: Vec::new(),
        }
    }

    fn refused_by(outcome: Outcome<()>, said: &str) {
        let error = outcome.unwrap_err();
        assert_eq!(error.exit(), Exit::Usage);
        assert!(error.to_string().contains(said), "{error}");
    }

    #[test]
    fn traffic_goes_to_the_client_only() {
        let order = |to: &str, payload_bytes| raw::protocol::SendOrder {
            to: to.parse().unwrap(),
            payload_bytes,
            batch_bytes: None,
        };
        let session = session();
        let send = |order| session.allow_raw(&raw::protocol::Command::StartSending(order));
        send(order("10.0.0.1:9", 64)).unwrap();
        refused_by(send(order("10.0.0.3:9", 64)), "10.0.0.3:9");
        refused_by(send(order("10.0.0.1:9", 1 << 30)), "payload");
        let connect = |peers| session.allow_node(&node::protocol::Command::Connect { peers });
        let peer = |address: &str| ("a".to_owned(), address.parse().unwrap());
        connect(vec![peer("10.0.0.1:9")]).unwrap();
        refused_by(connect(vec![peer("10.0.0.3:9")]), "10.0.0.3:9");
        refused_by(connect(vec![peer("10.0.0.1:9"); 2]), "2 peers");
    }

    #[test]
    fn windows_have_an_end() {
        let order = raw::protocol::PingOrder {
            to: "10.0.0.1:9".parse().unwrap(),
            payload_bytes: 64,
            busy: true,
            pace: Pace::Closed,
            warm_up: Duration::ZERO,
            measure: Duration::from_secs(61),
        };
        let ping = raw::protocol::Command::Ping(order);
        refused_by(session().allow_raw(&ping), "60 s");
    }

    #[test]
    fn settings_are_bounded_and_listen_on_the_server() {
        let settings = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            session().allowed_settings(Settings::of(&config))
        };
        let allowed = settings(|_| ()).unwrap().config().unwrap();
        assert_eq!(allowed.listen, "10.0.0.2:0".parse().unwrap());
        let error = |change| settings(change).map(drop);
        refused_by(
            error(|config| config.inbox_bytes = 512 << 20),
            "inbox_bytes",
        );
        refused_by(error(|config| config.shards = 256), "256 shards");
        refused_by(error(|config| config.cores = vec![4_000]), "4000");
    }

    #[test]
    fn a_process_that_is_none_cannot_be_asked() {
        let command = raw::protocol::Command::Sample;
        let asked = session().obey(Request::Raw {
            process: 3,
            command,
        });
        refused_by(asked.map(drop), "process 3");
    }
}
