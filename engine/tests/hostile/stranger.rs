//! The other side of a connection, spoken by hand: what is said is what the test wants said.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

use overlane::wire::hello::SESSION_PLAIN;
use overlane::wire::{
    AcceptProgress, Acceptor, Agreed, ChannelTerms, CloseReason, DialProgress, Dialer, FrameKind,
    FrameLimits, HandshakeMessage, Hello, Name, Next, Parameters, Progress, Refuse, VersionRange,
    next_frame, put_header,
};

use crate::support::{CONTROL, GENEROUS, cluster};

/// See the module's text.
pub(crate) struct Stranger {
    pub(crate) stream: TcpStream,
    came: Vec<u8>,
    /// The Hello that a node said to it.
    heard: Option<Hello>,
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).expect("a good name")
}

/// A good Hello of `node` for the lane of `data`.
pub(crate) fn hello(node: &str) -> Hello {
    Hello {
        versions: VersionRange::OURS,
        cluster: name(&cluster()),
        node: name(node),
        incarnation: 1,
        expected_node: None,
        channel: name("data"),
        lane: 0,
        priority: 4,
        session: name(SESSION_PLAIN),
        progress: Progress::default(),
        terms: ChannelTerms {
            reliability: name("reliable"),
            ordering: name("fifo"),
            compression: name("none"),
            parallelism: 1,
            body_bytes_max: 1 << 20,
            mailboxes_max: 4096,
            fragments: true,
            large_bytes_max: 0,
        },
        unknown: Parameters::default(),
    }
}

/// A good Hello of `node` for the lane of `gossip`.
pub(crate) fn gossip_hello(node: &str) -> Hello {
    let mut hello = hello(node);
    hello.channel = name("gossip");
    hello.priority = 6;
    hello.terms.reliability = name("best_effort");
    hello
}

/// A good Hello of `node` for its control lane.
pub(crate) fn control_hello(node: &str) -> Hello {
    let mut hello = hello(node);
    hello.channel = name(CONTROL);
    hello.priority = 0;
    hello.terms.body_bytes_max = 64 << 10;
    hello
}

pub(crate) fn encoded(hello: &Hello) -> Vec<u8> {
    HandshakeMessage::Hello(Box::new(hello.clone())).encode()
}

/// A frame with that in its header, whatever the body is.
pub(crate) fn frame(kind: u8, stated_bytes: u32, word: u32, body: &[u8]) -> Vec<u8> {
    let first = stated_bytes | u32::from(kind) << 24;
    [&first.to_le_bytes()[..], &word.to_le_bytes(), body].concat()
}

/// A frame that is right.
pub(crate) fn good_frame(kind: FrameKind, word: u32, body: &[u8]) -> Vec<u8> {
    let mut header = [0; 8];
    put_header(
        &mut header,
        kind,
        u32::try_from(body.len()).expect("small"),
        word,
    );
    [&header[..], body].concat()
}

/// Announces mailbox 0 as `mailbox`, then a message to it.
pub(crate) fn letter(mailbox: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = good_frame(FrameKind::Mailbox, 0, mailbox.as_bytes());
    bytes.extend(good_frame(FrameKind::Message, 0, payload));
    bytes
}

impl Stranger {
    pub(crate) fn from(stream: TcpStream) -> Self {
        stream
            .set_read_timeout(Some(GENEROUS))
            .expect("a socket takes a timeout");
        stream
            .set_write_timeout(Some(GENEROUS))
            .expect("a socket takes a timeout");
        stream.set_nodelay(true).expect("a socket takes it");
        Self {
            stream,
            came: Vec::new(),
            heard: None,
        }
    }

    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::from(TcpStream::connect(address).expect("the node listens"))
    }

    /// Connects and brings the lane of that Hello up.
    pub(crate) fn lane(address: SocketAddr, hello: Hello) -> Self {
        Self::lane_and_progress(address, hello).0
    }

    /// The same, and how far the node says that it had come before.
    pub(crate) fn lane_and_progress(address: SocketAddr, hello: Hello) -> (Self, Progress) {
        let mut stranger = Self::connect(address);
        stranger.say(&encoded(&hello));
        match stranger.answer(hello) {
            DialProgress::Welcomed { welcome, .. } => (stranger, welcome.progress()),
            other => panic!("no lane: {other:?}"),
        }
    }

    /// Waits for a node to dial, reads its Hello and answers with `welcome`.
    pub(crate) fn accept(listener: &TcpListener) -> (Self, Hello) {
        let (stream, _) = listener.accept().expect("a node dials");
        let mut stranger = Self::from(stream);
        let mut acceptor = Acceptor::new();
        let hello = *loop {
            let bytes = stranger.read_some().expect("a Hello comes");
            match acceptor.receive(&bytes).expect("a good Hello") {
                AcceptProgress::Done { hello, .. } => break hello,
                AcceptProgress::NeedMore => {}
            }
        };
        stranger.heard = Some(hello.clone());
        (stranger, hello)
    }

    /// Accepts the next connection for a channel, as a node of an older version does: it knows no control
    /// lanes.
    pub(crate) fn accept_as_older(listener: &TcpListener) -> (Self, Hello) {
        loop {
            let (mut stranger, hello) = Self::accept(listener);
            if hello.channel.as_str() != CONTROL {
                return (stranger, hello);
            }
            let refuse = Refuse::new(CloseReason::ChannelUnknown, "no such channel");
            let refuse = refuse.in_version(hello.layout_version());
            stranger.say(&HandshakeMessage::Refuse(refuse).encode());
        }
    }

    /// Answers the Hello as a node of that name does that has the same terms.
    pub(crate) fn welcome(&mut self, node: &str, incarnation: u64) {
        let hello = self.heard.as_ref().expect("a node said Hello");
        let agreed = Agreed {
            version: hello.layout_version(),
            terms: hello.terms.clone(),
        };
        let welcome = hello.welcome(name(node), incarnation, Progress::default(), &agreed);
        self.say(&HandshakeMessage::Welcome(welcome).encode());
    }

    /// Writes; a node that has closed already is as good.
    pub(crate) fn say(&mut self, bytes: &[u8]) -> bool {
        match self.stream.write_all(bytes) {
            Ok(()) => true,
            Err(error) if is_end(error.kind()) => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// The answer to a Hello that was said.
    fn answer(&mut self, hello: Hello) -> DialProgress {
        let (mut dialer, _) = Dialer::new(hello);
        loop {
            let bytes = self.read_some().expect("an answer comes before the end");
            match dialer.receive(&bytes).expect("a good answer") {
                DialProgress::NeedMore => {}
                answer => {
                    if let DialProgress::Welcomed { consumed_bytes, .. } = &answer {
                        self.came = bytes[*consumed_bytes..].to_vec();
                    }
                    return answer;
                }
            }
        }
    }

    /// Whether the answer to the Hello that was said is a Welcome.
    pub(crate) fn is_welcome(&mut self) -> bool {
        matches!(self.answer(hello("nobody")), DialProgress::Welcomed { .. })
    }

    /// The reason of the refusal that comes, after which the connection ends.
    pub(crate) fn refusal(&mut self) -> CloseReason {
        match self.answer(hello("nobody")) {
            DialProgress::Refused { refuse, .. } => {
                self.ends();
                refuse.reason()
            }
            other => panic!("no refusal: {other:?}"),
        }
    }

    /// Says `bytes`, for which the connection is refused.
    pub(crate) fn refused_after(&mut self, bytes: &[u8]) -> CloseReason {
        self.say(bytes);
        self.refusal()
    }

    /// Reads to the end of the connection.
    pub(crate) fn ends(&mut self) {
        while self.read_some().is_some() {}
    }

    /// What comes next; `None` at the end.
    pub(crate) fn read_some(&mut self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 64 << 10];
        match self.stream.read(&mut buffer) {
            Ok(0) => None,
            Ok(bytes) => {
                buffer.truncate(bytes);
                Some(buffer)
            }
            Err(error) if is_end(error.kind()) => None,
            Err(error) if error.kind() == ErrorKind::Interrupted => self.read_some(),
            Err(error) => panic!("the node neither speaks nor closes: {error}"),
        }
    }

    /// The next frame: its kind, word and body.
    pub(crate) fn next_frame(&mut self) -> Option<(FrameKind, u32, Vec<u8>)> {
        loop {
            let next = next_frame(&self.came, &FrameLimits::default()).expect("a good frame");
            if let Next::Frame(frame, consumed) = next {
                let found = (frame.kind, frame.word, frame.body.to_vec());
                self.came.drain(..consumed);
                return Some(found);
            }
            let more = self.read_some()?;
            self.came.extend(more);
        }
    }

    /// Says no more; what the node says can still be read.
    pub(crate) fn fall_silent(&self) {
        drop(self.stream.shutdown(Shutdown::Write));
    }
}

/// The node closed, in an orderly way or with what was said still unread.
fn is_end(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted
    )
}
