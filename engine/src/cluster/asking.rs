//! Asking who is at an address: how a node finds its seeds, whose names it need not know.
//!
//! Resolving a host name and dialling wait, so each place is asked on a thread of its own, a few at a time and for
//! some seconds at most; the control shard gets the answers. The question is a Hello for no lane
//! ([`WHO`]): a node of another cluster, or something else than a node, is told apart by the same
//! checks as on any lane.

use std::collections::BTreeSet;
use std::io::{IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::seeds::SeedAnswer;
use crate::control::link::ControlLink;
use crate::session::{Security, Session};
use crate::wire::hello::{WHO, Welcome};
use crate::wire::parameters::Parameters;
use crate::wire::progress::Progress;
use crate::wire::version::VersionRange;
use crate::wire::{ChannelTerms, DialProgress, Dialer, Hello, Name};

/// Places asked at a time.
const ASKED_MAX: usize = 8;
/// How long a dial, and each wait for an answer, may take. 3 s: as failure detection takes a host for
/// silent.
const PATIENCE: Duration = Duration::from_secs(3);
/// Addresses of one host name that are tried.
const ADDRESSES_MAX: usize = 8;

/// What is said of oneself when asking.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    pub(super) cluster: Name,
    pub(super) node: Name,
    pub(super) session: Name,
    pub(super) security: Arc<Security>,
    pub(super) incarnation: u64,
    pub(super) terms: ChannelTerms,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Asking {
    asker: Arc<Asker>,
    link: Arc<ControlLink>,
    /// Places that are to be asked, and those that are being asked.
    waiting: Vec<String>,
    asked: BTreeSet<String>,
    answers: (Sender<SeedAnswer>, Receiver<SeedAnswer>),
}

impl Asking {
    /// Asks nobody yet; `link` is told of answers.
    pub(super) fn new(asker: Asker, link: Arc<ControlLink>) -> Self {
        Self {
            asker: Arc::new(asker),
            link,
            waiting: Vec::new(),
            asked: BTreeSet::new(),
            answers: unbounded(),
        }
    }

    /// Asks at these places, but for those that are being asked.
    pub(super) fn ask(&mut self, places: Vec<String>) {
        for place in places {
            if !self.asked.contains(&place) && !self.waiting.contains(&place) {
                self.waiting.push(place);
            }
        }
        self.go_on();
    }

    /// An answer, if there is one.
    pub(super) fn take_answer(&mut self) -> Option<SeedAnswer> {
        let answer = self.answers.1.try_recv().ok()?;
        self.asked.remove(&answer.place);
        self.go_on();
        Some(answer)
    }

    fn go_on(&mut self) {
        while self.asked.len() < ASKED_MAX
            && let Some(place) = self.waiting.pop()
        {
            let (asker, link) = (Arc::clone(&self.asker), Arc::clone(&self.link));
            let answers = self.answers.0.clone();
            let asked_place = place.clone();
            let name = "overlane-seed".to_owned();
            let thread = thread::Builder::new().name(name).spawn(move || {
                let found = who_is_at(&asker, &asked_place);
                let place = asked_place;
                // Nobody reads it once the node has stopped.
                let _ = answers.send(SeedAnswer { place, found });
                link.look();
            });
            match thread {
                Ok(_) => {
                    self.asked.insert(place);
                }
                Err(error) => {
                    let found = Err(format!("no thread could be made to ask ({error})"));
                    let _ = self.answers.0.send(SeedAnswer { place, found });
                }
            }
        }
    }
}

/// The name and address of the node at a place, or why there is none.
fn who_is_at(asker: &Asker, place: &str) -> Result<(String, SocketAddr), String> {
    let addresses = place
        .to_socket_addrs()
        .map_err(|error| format!("the host name cannot be resolved: {error}"))?;
    let mut failure = "the host name has no address".to_owned();
    for address in addresses.take(ADDRESSES_MAX) {
        match who_is(asker, address) {
            Ok(name) => return Ok((name, address)),
            Err(why) => failure = format!("{address}: {why}"),
        }
    }
    Err(failure)
}

fn who_is(asker: &Asker, address: SocketAddr) -> Result<String, String> {
    let lost = |error: std::io::Error| error.to_string();
    let stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(lost)?;
    // The end of a session's handshake and the Hello go out one after the other.
    stream.set_nodelay(true).map_err(lost)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(lost)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(lost)?;
    let channel = Name::new(WHO).map_err(|error| error.to_string())?;
    let (mut dialer, hello) = Dialer::new(Hello {
        versions: VersionRange::OURS,
        cluster: asker.cluster.clone(),
        node: asker.node.clone(),
        incarnation: asker.incarnation,
        expected_node: None,
        channel,
        lane: 0,
        priority: 0,
        session: asker.session.clone(),
        progress: Progress::default(),
        terms: asker.terms.clone(),
        unknown: Parameters::default(),
    });
    let mut line = Line::secured(stream, &asker.security)?;
    line.say(&hello)?;
    loop {
        match dialer.receive(&line.hear()?) {
            Ok(DialProgress::NeedMore) => {}
            Ok(DialProgress::Welcomed { welcome, .. }) => {
                line.check(&asker.security, &welcome.node)?;
                return who(asker, &welcome);
            }
            Ok(DialProgress::Refused { refuse, .. }) => return Err(refuse.text().to_owned()),
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// A connection on which this thread waits, with its session.
struct Line {
    stream: TcpStream,
    session: Option<Box<Session>>,
}

impl Line {
    /// The session is there, if there is to be one.
    fn secured(stream: TcpStream, security: &Security) -> Result<Self, String> {
        let begun = security.dial(None).map_err(|error| error.text)?;
        let Some((session, first)) = begun else {
            return Ok(Self {
                stream,
                session: None,
            });
        };
        let mut line = Self {
            stream,
            session: Some(session),
        };
        line.send(&first)?;
        while line
            .session
            .as_ref()
            .is_some_and(|session| session.identity().is_none())
        {
            line.hear()?;
        }
        Ok(line)
    }

    fn say(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Some(session) = &mut self.session else {
            return self.send(bytes);
        };
        let mut sealed = Vec::new();
        let pieces = [IoSlice::new(bytes)];
        session
            .seal(&pieces, &mut sealed)
            .map_err(|error| error.text)?;
        self.send(&sealed)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream
            .write_all(bytes)
            .map_err(|error| error.to_string())
    }

    /// What comes next, none of it while only the session has said something.
    fn hear(&mut self) -> Result<Vec<u8>, String> {
        let mut buffer = vec![0; 4096];
        let bytes = self.stream.read(&mut buffer);
        let bytes = bytes.map_err(|error| error.to_string())?;
        if bytes == 0 {
            return Err("it closed the connection without an answer".to_owned());
        }
        buffer.truncate(bytes);
        let Some(session) = &mut self.session else {
            return Ok(buffer);
        };
        let (mut plain, mut answer) = (Vec::new(), Vec::new());
        let opened = session.open(&buffer, &mut plain, &mut answer);
        self.send(&answer)?;
        opened.map(|()| plain).map_err(|error| error.text)
    }

    /// Whether the session proves that name.
    fn check(&self, security: &Security, node: &str) -> Result<(), String> {
        let identity = { self.session.as_ref() }.and_then(|session| session.identity());
        let checked = identity.map_or(Ok(()), |identity| security.check(identity, node));
        checked.map_err(|error| error.text)
    }
}

/// The name of whoever answered: this node itself too, whatever its address looks like from outside.
fn who(asker: &Asker, welcome: &Welcome) -> Result<String, String> {
    let is_named_alike = welcome.node == asker.node;
    if is_named_alike && welcome.incarnation != asker.incarnation {
        return Err(format!(
            "another node there is named {}, as this one; names are unique in a cluster",
            asker.node
        ));
    }
    Ok(welcome.node.to_string())
}
