//! Sessions of `psk`: a Noise handshake (NNpsk0) with a shared secret, then records.
//!
//! Two messages of fixed length, so that no length can be altered: the dialer's says its cluster, its name and whom
//! it means, the acceptor's its cluster and its name. All of it is encrypted, and part of what the keys are made of. An acceptor does
//! no work for a dialer without the secret but a few hashes. Owned by `Session`; the crate `snow` has the cryptography.

use std::fmt;
use std::io::IoSlice;
use std::sync::Arc;

use snow::{Builder, HandshakeState, TransportState};
use zeroize::Zeroizing;

use super::error::SessionError;
use super::identity::Identity;
use super::opening::Opening;
use super::{RECORD_BYTES_MAX, SessionError as Error};
use crate::config::{Secrets, SecurityMode};
use crate::wire::{CloseReason, NAME_BYTES_MAX, Name, PSK_MAGIC};

/// X25519, AES-256-GCM, SHA-256: what `ring` does with the instructions of the processor.
const PROTOCOL: &str = "Noise_NNpsk0_25519_AESGCM_SHA256";
/// Both sides state it, unseen: another layout of the messages has another one.
const PROLOGUE: &[u8] = b"overlane psk 1";
/// What makes 32 bytes of a secret of any length.
const DERIVATION: &[u8] = b"overlane psk secret 1";
/// What makes a mark of a key, from which nobody can go back.
const MARKING: &[u8] = b"overlane psk mark 1";

/// Bytes that authenticate one message or record.
const TAG_BYTES: usize = 16;
/// Of a public key.
const KEY_BYTES: usize = 32;
/// A name in a message: its length, and as much room as the longest has.
const NAME_ROOM_BYTES: usize = 1 + NAME_BYTES_MAX;
/// What a message begins with, in clear: magic, version, which of the two it is.
const PREFIX_BYTES: usize = PSK_MAGIC.len() + 2;
const VERSION: u8 = 1;
/// The numbers of the two messages.
const DIALERS: u8 = 1;
const ACCEPTORS: u8 = 2;
/// Names in each.
const DIALERS_NAMES: usize = 3;
const ACCEPTORS_NAMES: usize = 2;

/// What a record begins with: the length of the rest.
const LENGTH_BYTES: usize = 2;
/// Records after which both sides go on with keys made of the last, at most 1 GiB: far below what AES-GCM carries under one.
const RECORDS_PER_KEY: u64 = 1 << 16;

/// What tells one secret from another, and opens nothing.
type Mark = [u8; KEY_BYTES];

/// The key that a secret stands for.
struct Key {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
    mark: Mark,
}

impl Key {
    fn of(secret: &[u8]) -> Self {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        digest(DERIVATION, secret, &mut bytes);
        let mut mark = [0; KEY_BYTES];
        digest(MARKING, &bytes[..], &mut mark);
        Self { bytes, mark }
    }
}

fn digest(label: &[u8], of: &[u8], into: &mut [u8; KEY_BYTES]) {
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    hash.update(label);
    hash.update(of);
    into.copy_from_slice(hash.finish().as_ref());
}

/// The keys that a node's secrets stand for, and the names that it binds to them.
pub(crate) struct PskKeys {
    keys: Vec<Key>,
    cluster: Name,
    node: Name,
}

impl PskKeys {
    pub(super) fn new(secrets: &Secrets, cluster: Name, node: Name) -> Self {
        Self {
            keys: secrets.each().map(Key::of).collect(),
            cluster,
            node,
        }
    }

    fn has(&self, mark: &Mark) -> bool {
        self.keys.iter().any(|key| key.mark == *mark)
    }
}

/// No key of it.
impl fmt::Debug for PskKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PskKeys").finish_non_exhaustive()
    }
}

/// One connection.
pub(super) struct Psk {
    opening: Opening,
    stage: Stage,
    /// An incomplete message or record.
    came: Vec<u8>,
    /// Who is at the other end, until `Session` has been told.
    identity: Option<Identity>,
    /// The secret that both have, once that is shown.
    shared: Option<Mark>,
}

enum Stage {
    /// The dialer waits for the acceptor's message.
    Dialing {
        noise: Box<HandshakeState>,
        keys: Arc<PskKeys>,
        mark: Mark,
    },
    /// The acceptor waits for the dialer's.
    Accepting(Arc<PskKeys>),
    Established(Box<TransportState>),
    /// Nothing can be read or said any more.
    Failed,
}

impl fmt::Debug for Psk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Dialing { .. } => "dialing",
            Stage::Accepting(_) => "accepting",
            Stage::Established(_) => "established",
            Stage::Failed => "failed",
        };
        formatter.debug_tuple("Psk").field(&stage).finish()
    }
}

impl Psk {
    fn new(stage: Stage) -> Self {
        let dials = matches!(stage, Stage::Dialing { .. });
        Self {
            opening: Opening::new(SecurityMode::Psk, dials),
            stage,
            came: Vec::new(),
            identity: None,
            shared: None,
        }
    }

    pub(super) fn accept(keys: &Arc<PskKeys>) -> Self {
        Self::new(Stage::Accepting(Arc::clone(keys)))
    }

    /// Dials with the first secret; `hello` gets what is to be sent first.
    ///
    /// # Errors
    /// The machine has no random numbers.
    pub(super) fn dial(
        keys: &Arc<PskKeys>,
        expected: Option<&str>,
        hello: &mut Vec<u8>,
    ) -> Result<Self, Error> {
        let Some(key) = keys.keys.first() else {
            return Err(failed(&snow::Error::Input));
        };
        let builder = builder(key).map_err(|error| failed(&error))?;
        let mut noise = builder.build_initiator().map_err(|error| failed(&error))?;
        let names = [&keys.cluster, &keys.node, expected.unwrap_or_default()];
        write_message(&mut noise, DIALERS, &names, hello)?;
        Ok(Self::new(Stage::Dialing {
            noise: Box::new(noise),
            keys: Arc::clone(keys),
            mark: key.mark,
        }))
    }

    /// Who is at the other end, once.
    pub(super) fn identity(&mut self) -> Option<Identity> {
        self.identity.take()
    }

    /// Whether the secret that it was made with is one of these still.
    ///
    /// # Errors
    /// It is not.
    pub(super) fn check(&self, keys: &PskKeys) -> Result<(), Error> {
        match &self.shared {
            Some(mark) if !keys.has(mark) => {
                let reason = CloseReason::SecretRetired;
                Err(Error::new(reason, reason.sentence()))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn open(
        &mut self,
        bytes: &[u8],
        plain: &mut Vec<u8>,
        answer: &mut Vec<u8>,
    ) -> Result<(), Error> {
        if let Stage::Established(_) = self.stage {
            return self.open_records(bytes, plain);
        }
        let outcome = self.shake_hands(bytes, answer);
        if let Err(error) = &outcome {
            if let Stage::Accepting(_) = self.stage {
                answer.extend_from_slice(&error.refusal());
            }
            self.stage = Stage::Failed;
            return outcome;
        }
        if let Stage::Established(_) = self.stage {
            // What came behind the last message.
            self.open_records(&[], plain)?;
        }
        Ok(())
    }

    fn shake_hands(&mut self, bytes: &[u8], answer: &mut Vec<u8>) -> Result<(), Error> {
        let Some(bytes) = self.opening.pass(bytes)? else {
            return Ok(());
        };
        self.came.extend_from_slice(&bytes);
        let (number, names) = match self.stage {
            Stage::Accepting(_) => (DIALERS, DIALERS_NAMES),
            _ => (ACCEPTORS, ACCEPTORS_NAMES),
        };
        let length = message_bytes(names);
        check_prefix(&self.came, number)?;
        if self.came.len() < length {
            return Ok(());
        }
        let rest = self.came.split_off(length);
        let message = std::mem::replace(&mut self.came, rest);
        let stage = std::mem::replace(&mut self.stage, Stage::Failed);
        match stage {
            Stage::Accepting(keys) => {
                let accepted = self.accepted(&keys, &message, answer);
                if accepted.is_err() {
                    // So that the dialer is told why.
                    self.stage = Stage::Accepting(keys);
                }
                accepted
            }
            Stage::Dialing { noise, keys, mark } => self.dialed(*noise, &keys, mark, &message),
            Stage::Established(_) | Stage::Failed => Err(Error::broken("the session has ended")),
        }
    }

    /// The dialer's message is there.
    fn accepted(
        &mut self,
        keys: &PskKeys,
        message: &[u8],
        answer: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let (mut noise, names, mark) = keys
            .keys
            .iter()
            .find_map(|key| {
                let mut noise = builder(key).ok()?.build_responder().ok()?;
                let names = read_message(&mut noise, message, DIALERS_NAMES)?;
                Some((noise, names, key.mark))
            })
            .ok_or_else(wrong_secret)?;
        let [cluster, node, _] = &names[..] else {
            return Err(malformed());
        };
        check_cluster(keys, cluster.as_deref())?;
        let node = node.clone().ok_or_else(malformed)?;
        if *node == *keys.node {
            // Its own message, sent back to it, or a node of its name.
            let reason = CloseReason::SelfDial;
            return Err(Error::new(reason, reason.sentence()));
        }
        write_message(&mut noise, ACCEPTORS, &[&keys.cluster, &keys.node], answer)?;
        self.established(noise, node, mark)
    }

    /// The acceptor's message is there.
    fn dialed(
        &mut self,
        mut noise: HandshakeState,
        keys: &PskKeys,
        mark: Mark,
        message: &[u8],
    ) -> Result<(), Error> {
        let names = read_message(&mut noise, message, ACCEPTORS_NAMES).ok_or_else(wrong_secret)?;
        let [cluster, node] = &names[..] else {
            return Err(malformed());
        };
        check_cluster(keys, cluster.as_deref())?;
        let node = node.clone().ok_or_else(malformed)?;
        self.established(noise, node, mark)
    }

    fn established(&mut self, noise: HandshakeState, node: Name, mark: Mark) -> Result<(), Error> {
        let transport = noise
            .into_transport_mode()
            .map_err(|error| failed(&error))?;
        self.stage = Stage::Established(Box::new(transport));
        self.identity = Some(Identity::named(node));
        self.shared = Some(mark);
        Ok(())
    }

    /// Records, whole or in parts.
    fn open_records(&mut self, bytes: &[u8], plain: &mut Vec<u8>) -> Result<(), Error> {
        let Stage::Established(noise) = &mut self.stage else {
            return Err(Error::broken("the session has ended"));
        };
        let mut rest = bytes;
        // First what began in an earlier receive, then the rest in place.
        while !self.came.is_empty() {
            let needed = match record_bytes(&self.came)? {
                None => LENGTH_BYTES,
                Some(needed) if needed <= self.came.len() => {
                    open_record(noise, &self.came[LENGTH_BYTES..needed], plain)?;
                    self.came.drain(..needed);
                    continue;
                }
                Some(needed) => needed,
            };
            if rest.is_empty() {
                return Ok(());
            }
            let taken = (needed - self.came.len()).min(rest.len());
            self.came.extend_from_slice(&rest[..taken]);
            rest = &rest[taken..];
        }
        while let Some(needed) = record_bytes(rest)?
            && needed <= rest.len()
        {
            open_record(noise, &rest[LENGTH_BYTES..needed], plain)?;
            rest = &rest[needed..];
        }
        self.came.extend_from_slice(rest);
        Ok(())
    }

    pub(super) fn seal(
        &mut self,
        pieces: &[IoSlice<'_>],
        sealed: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let Stage::Established(noise) = &mut self.stage else {
            return Err(Error::broken("there is no session yet"));
        };
        // Small pieces together make a record.
        let said: usize = pieces.iter().map(|piece| piece.len()).sum();
        let mut record = Vec::with_capacity(said.min(RECORD_BYTES_MAX));
        for piece in pieces {
            let mut piece = &piece[..];
            while !piece.is_empty() {
                if record.is_empty() && piece.len() >= RECORD_BYTES_MAX {
                    let (whole, rest) = piece.split_at(RECORD_BYTES_MAX);
                    seal_record(noise, whole, sealed)?;
                    piece = rest;
                    continue;
                }
                let taken = piece.len().min(RECORD_BYTES_MAX - record.len());
                record.extend_from_slice(&piece[..taken]);
                piece = &piece[taken..];
                if record.len() == RECORD_BYTES_MAX {
                    seal_record(noise, &record, sealed)?;
                    record.clear();
                }
            }
        }
        if !record.is_empty() {
            seal_record(noise, &record, sealed)?;
        }
        Ok(())
    }
}

fn builder(key: &Key) -> Result<Builder<'_>, snow::Error> {
    let parameters = PROTOCOL.parse()?;
    let builder = Builder::new(parameters).prologue(PROLOGUE)?;
    builder.psk(0, &key.bytes)
}

/// Bytes of a message with so many names.
const fn message_bytes(names: usize) -> usize {
    PREFIX_BYTES + KEY_BYTES + names * NAME_ROOM_BYTES + TAG_BYTES
}

fn write_message(
    noise: &mut HandshakeState,
    number: u8,
    names: &[&str],
    message: &mut Vec<u8>,
) -> Result<(), Error> {
    let mut payload = vec![0; names.len() * NAME_ROOM_BYTES];
    for (room, name) in payload.chunks_mut(NAME_ROOM_BYTES).zip(names) {
        room[0] = u8::try_from(name.len()).map_err(|_| malformed())?;
        room[1..=name.len()].copy_from_slice(name.as_bytes());
    }
    message.extend_from_slice(&PSK_MAGIC);
    message.extend_from_slice(&[VERSION, number]);
    let start = message.len();
    message.resize(start + message_bytes(names.len()) - PREFIX_BYTES, 0);
    noise
        .write_message(&payload, &mut message[start..])
        .map_err(|error| failed(&error))?;
    Ok(())
}

/// The names in a message; absent ones are `None`. `None` if it is not of somebody with that secret.
fn read_message(
    noise: &mut HandshakeState,
    message: &[u8],
    names: usize,
) -> Option<Vec<Option<Name>>> {
    let mut payload = vec![0; names * NAME_ROOM_BYTES];
    let read = noise.read_message(&message[PREFIX_BYTES..], &mut payload);
    if read.ok()? != payload.len() {
        return None;
    }
    let name = |room: &[u8]| {
        let bytes = room.get(1..=usize::from(room[0]))?;
        Name::new(std::str::from_utf8(bytes).ok()?).ok()
    };
    Some(payload.chunks(NAME_ROOM_BYTES).map(name).collect())
}

/// Fails at the first byte that cannot be right.
fn check_prefix(came: &[u8], number: u8) -> Result<(), Error> {
    let behind_magic = came.get(PSK_MAGIC.len()..).unwrap_or_default();
    let expected = [VERSION, number];
    match behind_magic
        .iter()
        .zip(expected)
        .find(|(came, right)| **came != *right)
    {
        Some(_) => Err(malformed()),
        None => Ok(()),
    }
}

/// The whole length of the record that `bytes` begin, once that is there.
fn record_bytes(bytes: &[u8]) -> Result<Option<usize>, Error> {
    let Some(length) = bytes.first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let length = usize::from(u16::from_le_bytes(*length));
    if !(TAG_BYTES + 1..=RECORD_BYTES_MAX + TAG_BYTES).contains(&length) {
        let text = format!("a record of {length} bytes was announced, which none can have");
        return Err(Error::broken(text));
    }
    Ok(Some(LENGTH_BYTES + length))
}

fn open_record(
    noise: &mut TransportState,
    record: &[u8],
    plain: &mut Vec<u8>,
) -> Result<(), Error> {
    let start = plain.len();
    plain.resize(start + record.len(), 0);
    let read = noise.read_message(record, &mut plain[start..]);
    plain.truncate(start + read.as_ref().copied().unwrap_or(0));
    read.map_err(|_| Error::broken("a record was altered, left out or repeated"))?;
    if noise.receiving_nonce().is_multiple_of(RECORDS_PER_KEY) {
        noise.rekey_incoming();
    }
    Ok(())
}

fn seal_record(
    noise: &mut TransportState,
    record: &[u8],
    sealed: &mut Vec<u8>,
) -> Result<(), Error> {
    let bytes = record.len() + TAG_BYTES;
    let length = u16::try_from(bytes).map_err(|_| Error::broken("a record is too long"))?;
    sealed.extend_from_slice(&length.to_le_bytes());
    let start = sealed.len();
    sealed.resize(start + bytes, 0);
    let written = noise.write_message(record, &mut sealed[start..]);
    written.map_err(|error| failed(&error))?;
    if noise.sending_nonce().is_multiple_of(RECORDS_PER_KEY) {
        noise.rekey_outgoing();
    }
    Ok(())
}

fn check_cluster(keys: &PskKeys, theirs: Option<&str>) -> Result<(), Error> {
    if theirs == Some(keys.cluster.as_str()) {
        return Ok(());
    }
    let theirs = theirs.unwrap_or("not a name");
    let text = format!(
        "the cluster is {}, the other side's is {theirs}",
        keys.cluster
    );
    Err(Error::new(CloseReason::WrongCluster, text))
}

fn wrong_secret() -> Error {
    let text = "the other side has another secret, or its handshake was altered on the way: give both nodes the \
                same secret, and while it is changed, both";
    SessionError::new(CloseReason::SecretWrong, text)
}

fn malformed() -> Error {
    Error::broken("the handshake of a psk session cannot be read")
}

fn failed(error: &snow::Error) -> Error {
    Error::broken(format!("the handshake of a psk session failed: {error}"))
}
