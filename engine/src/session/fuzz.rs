//! Sessions before any bytes at all: what a fuzzer feeds them, and what must hold then.
//!
//! For the fuzz targets and the replay of their corpora, not for programs. It has what a node has to protect a connection, and
//! no connection.

use std::io::IoSlice;
use std::sync::Arc;

use super::{RECORD_BYTES_MAX, Security, Session, SessionError};
use crate::config::{Config, SecurityMode};
use crate::error::SecurityError;
use crate::wire::layout::SESSION_HANDSHAKE_BYTES_MAX;

/// Two nodes that trust each other. Hidden: for fuzz targets.
#[doc(hidden)]
#[derive(Debug)]
pub struct SessionFuzz([Arc<Security>; 2]);

/// What one end has said, and what it says next.
struct End {
    session: Box<Session>,
    plain: Vec<u8>,
    out: Vec<u8>,
}

impl End {
    fn hear(&mut self, bytes: &[u8]) -> Result<(), SessionError> {
        let heard = self.session.open(bytes, &mut self.plain, &mut self.out);
        if let Err(error) = &heard {
            assert!(!error.text.is_empty());
        }
        assert!(self.session.identity().is_some() || self.plain.is_empty());
        heard
    }
}

impl SessionFuzz {
    /// Of the configurations of two nodes.
    ///
    /// # Errors
    /// [`SecurityError`].
    pub fn new(dialer: &Config, acceptor: &Config) -> Result<Self, SecurityError> {
        Ok(Self([Security::load(dialer)?, Security::load(acceptor)?]))
    }

    /// The first byte says who hears the rest: an acceptor or a dialer that knows nobody, in pieces of a length that it gives too; or
    /// both ends of an honest handshake, or of an honest session, of which the rest alters a message.
    ///
    /// # Panics
    /// A promise is broken.
    pub fn check(&self, data: &[u8]) {
        let Some((&choice, bytes)) = data.split_first() else {
            return;
        };
        match choice % 4 {
            0 => stranger(self.acceptor(), bytes, usize::from(choice / 4) + 1),
            1 => stranger(self.dialer(), bytes, usize::from(choice / 4) + 1),
            2 => self.altered_handshake(choice / 4, bytes),
            _ => self.altered_record(bytes),
        }
    }

    /// What the dialer says first, for a corpus.
    #[must_use]
    pub fn first_bytes(&self) -> Vec<u8> {
        self.dialer().out
    }

    fn dialer(&self) -> End {
        let begun = self.0[0].dial(Some("b"));
        let (session, out) = begun.expect("a session begins").expect("it is not plain");
        End {
            session,
            plain: Vec::new(),
            out,
        }
    }

    fn acceptor(&self) -> End {
        let session = self.0[1].accept().expect("a session begins");
        End {
            session: session.expect("it is not plain"),
            plain: Vec::new(),
            out: Vec::new(),
        }
    }

    fn means_the_same(&self, said: &[u8], heard: &[u8]) -> bool {
        self.0[0].mode() == SecurityMode::Tls && heads_alone(said, heard)
    }

    /// One message of an honest handshake, altered, comes to nothing.
    fn altered_handshake(&self, place: u8, edits: &[u8]) {
        let (mut dialer, mut acceptor) = (self.dialer(), self.acceptor());
        let mut is_altered = false;
        // Dialer, acceptor, dialer: TLS has three flights, Noise two.
        for flight in 0..3 {
            let (from, to) = if flight % 2 == 0 {
                (&mut dialer, &mut acceptor)
            } else {
                (&mut acceptor, &mut dialer)
            };
            let said = std::mem::take(&mut from.out);
            let mut heard = said.clone();
            if flight == place % 3 {
                alter(&mut heard, edits);
                // What is put behind a handshake is no part of it, and TLS leaves the heads of records open.
                is_altered = !heard.starts_with(&said) && !self.means_the_same(&said, &heard);
            }
            match to.hear(&heard) {
                Ok(()) => {}
                Err(_) if heard != said || is_altered => return,
                Err(error) => panic!("flight {flight}: {error}"),
            }
        }
        let are_both_in =
            dialer.session.identity().is_some() && acceptor.session.identity().is_some();
        assert_ne!(
            are_both_in, is_altered,
            "who says it as it was is let in, and nobody else"
        );
    }

    /// A record of an established session, altered, is not heard.
    fn altered_record(&self, edits: &[u8]) {
        let (mut dialer, mut acceptor) = (self.dialer(), self.acceptor());
        for _ in 0..2 {
            let said = std::mem::take(&mut dialer.out);
            acceptor.hear(&said).expect("it is honest");
            let said = std::mem::take(&mut acceptor.out);
            dialer.hear(&said).expect("it is honest");
        }
        let length = edits.first().map_or(0, |byte| usize::from(*byte) * 80);
        let text = vec![7; length.min(RECORD_BYTES_MAX)];
        let sealed = dialer.session.seal(
            &[IoSlice::new(b"head"), IoSlice::new(&text)],
            &mut dialer.out,
        );
        sealed.expect("it is established");
        let said = std::mem::take(&mut dialer.out);
        let mut heard = said.clone();
        alter(&mut heard, edits.get(1..).unwrap_or_default());
        let outcome = acceptor.hear(&heard);
        let honest = [b"head", &text[..]].concat();
        assert!(honest.starts_with(&acceptor.plain), "only what was said");
        let is_whole = heard.starts_with(&said) || self.means_the_same(&said, &heard);
        assert!(outcome.is_err() || is_whole || acceptor.plain.len() < honest.len());
    }
}

/// Nobody becomes somebody by such bytes, and no more of them is taken than a handshake has.
fn stranger(mut end: End, bytes: &[u8], piece_bytes: usize) {
    end.out.clear();
    let mut taken = 0;
    for piece in bytes.chunks(piece_bytes) {
        taken += piece.len();
        if end.hear(piece).is_err() {
            return;
        }
        assert!(taken <= SESSION_HANDSHAKE_BYTES_MAX, "over the limit");
        assert!(end.session.identity().is_none(), "it is a stranger");
    }
}

/// Each three bytes of `edits` say where, and what: a bit flipped, the rest cut off, or a byte put in.
fn alter(message: &mut Vec<u8>, edits: &[u8]) {
    for edit in edits.chunks_exact(3).take(8) {
        if message.is_empty() {
            return;
        }
        let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % message.len();
        match edit[2] {
            bit @ 0..=239 => message[at] ^= 1 << (bit % 8),
            240..=247 => message.truncate(at),
            byte => message.insert(at, byte),
        }
    }
}

/// Whether two messages of TLS differ in nothing but what each record begins with, its type and version: those of protected
/// records mean nothing, and `rustls` does not read them.
pub(super) fn heads_alone(said: &[u8], heard: &[u8]) -> bool {
    if said.len() != heard.len() {
        return false;
    }
    let mut at = 0;
    let mut bare = [said.to_vec(), heard.to_vec()];
    while let Some(header) = said.get(at..at + 5) {
        for message in &mut bare {
            message[at..at + 3].fill(0);
        }
        at += 5 + usize::from(u16::from_be_bytes([header[3], header[4]]));
    }
    bare[0] == bare[1]
}
