//! The end of a run: a session with a server on another host, and the processes that it starts there.

use std::net::{IpAddr, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::line::{Connection, LineError};
use super::protocol::{Answer, Hello, MAGIC, PROTOCOL, Reply, Request, VERSION, Welcome};
use crate::error::{BenchError, Outcome};

/// How long a host may take to accept a connection, and a server to welcome it.
const WELCOME_WITHIN: Duration = Duration::from_secs(5);
/// How much longer than a process itself the way to it may take.
const WAY_WITHIN: Duration = Duration::from_secs(10);
/// Longest welcome.
const WELCOME_BYTES_MAX: usize = 4 * 1024;

/// A session with a server.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    address: Arc<str>,
    /// None once it failed: what is asked then fails at once.
    connection: Arc<Mutex<Option<Connection>>>,
    /// The address of this host that the server sees: what its processes connect to.
    pub(crate) near: IpAddr,
    /// The address of the server's host.
    pub(crate) far: IpAddr,
    /// Kernel and cores of the server's host.
    pub(crate) host: Arc<str>,
}

impl Remote {
    /// Opens a session with the server at `address`, a host and a port.
    pub(crate) fn connect(address: &str) -> Outcome<Self> {
        let stream = stream_to(address)?;
        let ends = stream
            .local_addr()
            .and_then(|near| Ok((near, stream.peer_addr()?)));
        let (near, far) = ends.map_err(BenchError::system("asking for a connection's ends"))?;
        let mut connection =
            Connection::over(stream).map_err(BenchError::system("setting socket options"))?;
        let welcomed = connection
            .say(&Hello::own(), WELCOME_WITHIN)
            .and_then(|()| connection.hear::<Welcome>(WELCOME_BYTES_MAX, WELCOME_WITHIN));
        let welcome = welcomed.map_err(|error| match error {
            LineError::Closed => lost(address, "it closed the connection; it may have too many"),
            LineError::Foreign => no_server(address),
            LineError::Silent(_) | LineError::Failed(_) => lost(address, &error.to_string()),
        })?;
        if welcome.magic != MAGIC {
            return Err(no_server(address));
        }
        let host = match welcome.answer {
            Answer::Ready { host } => host,
            Answer::Busy => {
                return Err(BenchError::Machine(format!(
                    "the server at {address} is busy with another run; try again when that is over"
                )));
            }
            Answer::OtherVersion => {
                let Welcome {
                    version, protocol, ..
                } = welcome;
                return Err(BenchError::Machine(format!(
                    "the server at {address} is overlane-bench {version} (protocol {protocol}), this \
                     is {VERSION} (protocol {PROTOCOL}); run one version on both hosts"
                )));
            }
        };
        Ok(Self {
            address: address.into(),
            connection: Arc::new(Mutex::new(Some(connection))),
            near: near.ip(),
            far: far.ip(),
            host: host.into(),
        })
    }

    /// Asks the server for something that it, or a process of its, may take `within` for.
    pub(crate) fn ask(&self, request: &Request, within: Duration) -> Outcome<Reply> {
        let mut held = self.connection.lock().expect("no holder of it panics");
        let Some(connection) = held.as_mut() else {
            return Err(lost(&self.address, "it was lost before"));
        };
        let reply = connection
            .say(request, WAY_WITHIN)
            .and_then(|()| connection.hear_any(within + WAY_WITHIN));
        match reply {
            Ok(Reply::Failed { exit, detail }) => Err(BenchError::ChildFailed {
                name: format!("the server at {}", self.address),
                exit,
                detail,
            }),
            Ok(reply) => Ok(reply),
            Err(error) => {
                *held = None;
                Err(lost(&self.address, &error.to_string()))
            }
        }
    }
}

/// Connects to the first address of the name that accepts.
fn stream_to(address: &str) -> Outcome<TcpStream> {
    let resolved = address.to_socket_addrs().map_err(|error| {
        BenchError::BadInput(format!(
            "--remote {address}: {error}; give the host and port of a server, such as 10.0.0.2:7500"
        ))
    })?;
    let mut refused = None;
    for candidate in resolved {
        match TcpStream::connect_timeout(&candidate, WELCOME_WITHIN) {
            Ok(stream) => return Ok(stream),
            Err(error) => refused = Some(error),
        }
    }
    let why = refused.map_or_else(|| "it has no address".to_owned(), |error| error.to_string());
    Err(BenchError::Machine(format!(
        "no server at {address}: {why}; start `overlane-bench serve --listen {address}` there, and let \
         both hosts reach each other on all ports"
    )))
}

fn no_server(address: &str) -> BenchError {
    BenchError::Machine(format!(
        "what listens at {address} is not `overlane-bench serve`; give that one's address"
    ))
}

fn lost(address: &str, detail: &str) -> BenchError {
    BenchError::Lost {
        address: address.to_owned(),
        detail: detail.to_owned(),
    }
}
