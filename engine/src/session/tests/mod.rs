//! Sessions against each other, without sockets: what one says, the other hears, altered where a test alters it.

mod altered;
#[path = "../../../tests/support/authority.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    missing_debug_implementations,
    reason = "shared with the tests of nodes"
)]
mod authority;
mod files;
mod names;
mod noise;
mod psk;
mod tls;

use std::io::IoSlice;
use std::sync::Arc;

use super::{Security, Session, SessionError};
use crate::config::{Config, Secrets, SecurityMode};
use crate::wire::CloseReason;

const SECRET: &str = "one secret of a test cluster";
const OTHER_SECRET: &str = "another secret, as long as that";

fn security(config: Config) -> Arc<Security> {
    config.validate().expect("a good configuration");
    Security::load(&config).unwrap_or_else(|error| panic!("{error}"))
}

fn config(node: &str, mode: SecurityMode) -> Config {
    Config {
        node_name: node.to_owned(),
        security: mode,
        ..Config::default()
    }
}

/// A node of that name with these secrets.
fn psk(node: &str, secrets: &[&str]) -> Arc<Security> {
    security(Config {
        secrets: Secrets::read(&secrets.join("\n")).expect("good secrets"),
        ..config(node, SecurityMode::Psk)
    })
}

/// What one end of a connection has.
struct End {
    session: Box<Session>,
    /// What it has read.
    plain: Vec<u8>,
    /// What it has to send.
    out: Vec<u8>,
}

impl End {
    fn dial(security: &Security, expected: Option<&str>) -> Self {
        let begun = security.dial(expected).expect("a session begins");
        let (session, out) = begun.expect("it is not plain");
        let plain = Vec::new();
        Self {
            session,
            plain,
            out,
        }
    }

    fn accept(security: &Security) -> Self {
        let session = security.accept().expect("a session begins");
        Self {
            session: session.expect("it is not plain"),
            plain: Vec::new(),
            out: Vec::new(),
        }
    }

    fn hear(&mut self, bytes: &[u8]) -> Result<(), SessionError> {
        self.session.open(bytes, &mut self.plain, &mut self.out)
    }

    fn say(&mut self, pieces: &[&[u8]]) {
        let pieces: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let said = self.session.seal(&pieces, &mut self.out);
        said.unwrap_or_else(|error| panic!("{error}"));
    }

    fn is_established(&self) -> bool {
        self.session.identity().is_some()
    }

    fn take_out(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }
}

/// Which end found what.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// Both are established.
    Both,
    /// The dialer fails for that reason.
    Dialer(CloseReason),
    /// The acceptor does, and the dialer hears that, as that reason.
    Acceptor(CloseReason, Option<CloseReason>),
}

/// Lets two ends talk until nobody has anything to say.
fn talk(dialer: &mut End, acceptor: &mut End) -> Found {
    loop {
        let said = dialer.take_out();
        if !said.is_empty()
            && let Err(error) = acceptor.hear(&said)
        {
            let heard = dialer.hear(&acceptor.take_out());
            return Found::Acceptor(error.reason, heard.err().map(|error| error.reason));
        }
        let answer = acceptor.take_out();
        if answer.is_empty() {
            assert!(dialer.is_established() && acceptor.is_established());
            return Found::Both;
        }
        if let Err(error) = dialer.hear(&answer) {
            return Found::Dialer(error.reason);
        }
    }
}

/// Two ends that are established.
fn established(a: &Security, b: &Security) -> (End, End) {
    let (mut dialer, mut acceptor) = (End::dial(a, None), End::accept(b));
    assert_eq!(talk(&mut dialer, &mut acceptor), Found::Both);
    (dialer, acceptor)
}

/// Everything comes through, both ways, in whatever pieces the network makes of it.
fn carries(a: &Security, b: &Security) {
    let (mut dialer, mut acceptor) = established(a, b);
    carries_one_way(&mut dialer, &mut acceptor, 1);
    carries_one_way(&mut acceptor, &mut dialer, 2);
}

fn carries_one_way(from: &mut End, to: &mut End, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut heard = to.plain.len();
    for round in 0..40 {
        let sizes: [usize; 3] = [round * round * 31, 3, round * 700];
        let pieces = sizes.map(|size| (0..size).map(|_| random.u8(..)).collect::<Vec<_>>());
        from.say(&pieces.each_ref().map(Vec::as_slice));
        let out = from.take_out();
        let mut rest = &out[..];
        while !rest.is_empty() {
            let taken = random.usize(1..=rest.len().min(20_000));
            to.hear(&rest[..taken])
                .unwrap_or_else(|error| panic!("{error}"));
            rest = &rest[taken..];
        }
        // Nothing is held back.
        assert!(
            to.plain[heard..] == pieces.concat(),
            "round {round} of seed {seed}"
        );
        heard = to.plain.len();
    }
}

/// What is said within a session, and then altered, left out, repeated or sent back, is not heard.
fn notices_what_was_altered(a: &Security, b: &Security) {
    let said = |dialer: &mut End, text: &[u8]| {
        dialer.say(&[text]);
        dialer.take_out()
    };
    let broken = |acceptor: &mut End, bytes: &[u8], what: &str| {
        let before = acceptor.plain.len();
        let error = acceptor.hear(bytes).expect_err(what);
        assert_eq!(error.reason, CloseReason::SessionBroken, "{what}: {error}");
        assert_eq!(acceptor.plain.len(), before, "{what}");
    };
    let (mut dialer, mut acceptor) = established(a, b);
    let first = said(&mut dialer, b"first");
    let second = said(&mut dialer, b"second");
    broken(&mut acceptor, &second, "one was left out");
    let (mut dialer, mut acceptor) = established(a, b);
    let third = said(&mut dialer, b"third");
    acceptor.hear(&third).expect("as it was");
    broken(&mut acceptor, &third, "it was repeated");
    let (_, mut acceptor) = established(a, b);
    broken(&mut acceptor, &first, "it is of another session");
    let (mut dialer, _) = established(a, b);
    let fourth = said(&mut dialer, b"fourth");
    broken(&mut dialer, &fourth, "it was sent back");
}
