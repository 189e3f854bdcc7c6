//! The server: its address, taken at the start of a node, and one request a connection.
//!
//! Started and ended by `node`.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::request::{self, HEAD_BYTES_MAX};
use super::response::Response;
use super::{Exhibit, Token, routes};
use crate::serving::{Seated, Service, Serving, part, read_by, write_by};

/// How long the head of a request may take.
const HEAD_TIME_MAX: Duration = Duration::from_secs(5);

/// How long an answer may take until it is taken.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// Bytes read at a time.
const PIECE_BYTES: usize = 2 << 10;

/// An address that was taken.
#[derive(Debug)]
pub(crate) struct Claim {
    listener: TcpListener,
    address: SocketAddr,
    token: Option<Token>,
}

impl Claim {
    /// Takes the address; what comes to it waits until it is served.
    pub(crate) fn take(address: SocketAddr, token: Option<Token>) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        Ok(Self {
            listener,
            address,
            token,
        })
    }
}

/// A running server.
pub(crate) struct Server {
    serving: Serving<TcpListener>,
    address: SocketAddr,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_tuple("Server")
            .field(&self.address)
            .finish()
    }
}

impl Server {
    /// Serves an address that was taken.
    pub(crate) fn start(claim: Claim, exhibit: Arc<dyn Exhibit>) -> io::Result<Self> {
        let token = claim.token;
        let serving = Serving::start(claim.listener, Arc::new(Guide { exhibit, token }))?;
        Ok(Self {
            serving,
            address: claim.address,
        })
    }

    /// Where it is, with the port that was taken if the configuration said 0.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets nobody in any more.
    pub(crate) fn close(&self) {
        self.serving.close();
    }

    /// Ends what is left; after [`close`](Self::close).
    pub(crate) fn end(self) {
        self.serving.end();
    }
}

/// Shows what there is.
struct Guide {
    exhibit: Arc<dyn Exhibit>,
    token: Option<Token>,
}

impl Service<TcpStream> for Guide {
    fn name(&self) -> &'static str {
        "overlane-http"
    }

    fn serve(&self, stream: &TcpStream, seated: &Seated<TcpStream>) -> io::Result<()> {
        let answer = match read_head(stream)? {
            Came::Head(head) if seated.begin_request() => {
                let response = routes::answer(&head, &*self.exhibit, self.token.as_ref());
                response.bytes(head.is_head)
            }
            Came::Refused(response) if seated.begin_request() => response.bytes(false),
            _ => return Ok(()),
        };
        write_by(stream, &answer, Instant::now() + ANSWER_TIME_MAX)
    }

    fn turn_away(&self, stream: &TcpStream) {
        let response = Response::text(503, "there are too many connections: try again");
        part(stream, &response.bytes(false));
    }
}

enum Came {
    Head(request::Head),
    Refused(Response),
    Nothing,
}

fn read_head(stream: &TcpStream) -> io::Result<Came> {
    let deadline = Instant::now() + HEAD_TIME_MAX;
    let mut bytes = Vec::new();
    let mut piece = [0; PIECE_BYTES];
    loop {
        let room = PIECE_BYTES.min(HEAD_BYTES_MAX.saturating_sub(bytes.len()).max(1));
        match read_by(stream, &mut piece[..room], deadline)? {
            Some(0) => return Ok(Came::Nothing),
            Some(came) => bytes.extend_from_slice(&piece[..came]),
            None => {
                let text = format!(
                    "the request did not come within {} s",
                    HEAD_TIME_MAX.as_secs()
                );
                return Ok(Came::Refused(Response::text(408, text)));
            }
        }
        match request::read(&bytes) {
            Ok(Some(head)) => return Ok(Came::Head(head)),
            Ok(None) => {}
            Err(response) => return Ok(Came::Refused(response)),
        }
    }
}
