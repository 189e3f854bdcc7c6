//! A file as messages: its size, its chunks in order, its hash.
//!
//! Pure bytes: the sender encodes, `FileAssembly` checks what arrives and says what to write. It holds
//! no chunk, refuses what is out of place, and never trusts a length that it did not see.

/// First byte of each message of a file.
const START: u8 = 1;
const CHUNK: u8 = 2;
const END: u8 = 3;

/// Bytes before the content of a chunk: its kind and its offset.
pub(crate) const CHUNK_HEADER_BYTES: usize = 9;

/// The first message of a file.
pub(crate) fn start(file_bytes: u64) -> [u8; 9] {
    let mut message = [START; 9];
    message[1..].copy_from_slice(&file_bytes.to_le_bytes());
    message
}

/// What goes before the content of a chunk.
pub(crate) fn chunk_header(offset: u64) -> [u8; CHUNK_HEADER_BYTES] {
    let mut header = [CHUNK; CHUNK_HEADER_BYTES];
    header[1..].copy_from_slice(&offset.to_le_bytes());
    header
}

/// The last message of a file.
pub(crate) fn end(hash: &blake3::Hash) -> [u8; 33] {
    let mut message = [END; 33];
    message[1..].copy_from_slice(hash.as_bytes());
    message
}

/// Why a message of a file cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FileFault {
    /// The message has no kind, or one that does not exist, or is too short for its kind.
    #[error("a message of the file that cannot be read")]
    Unreadable,
    /// A chunk or an end without a start, or a second start.
    #[error("a message of the file that nothing announced")]
    OutOfTurn,
    /// Chunks must come one after the other.
    #[error("a chunk at {offset} where {expected} was due")]
    WrongOffset {
        /// Where the chunk says that it belongs.
        offset: u64,
        /// Where the next chunk belongs.
        expected: u64,
    },
    /// More content than was announced, or an end before all of it.
    #[error("{received} bytes of a file of {announced}")]
    WrongSize {
        /// Bytes that came, with this message.
        received: u64,
        /// Bytes that the start announced.
        announced: u64,
    },
    /// The content is not what was sent.
    #[error("the hash of what arrived is not the hash of what was sent")]
    WrongHash,
}

/// What the receiver does with a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FileStep<'a> {
    /// Make an empty file.
    Create,
    /// Append these bytes.
    Write(&'a [u8]),
    /// All of it is there, and its hash is right.
    Finished(blake3::Hash),
}

/// A file that is arriving.
#[derive(Debug, Default)]
pub(crate) struct FileAssembly {
    announced: Option<u64>,
    received: u64,
    hasher: blake3::Hasher,
}

impl FileAssembly {
    /// Takes the next message of the file.
    pub(crate) fn take<'a>(&mut self, message: &'a [u8]) -> Result<FileStep<'a>, FileFault> {
        let (kind, body) = message.split_first().ok_or(FileFault::Unreadable)?;
        match (*kind, self.announced) {
            (START, None) => {
                let (bytes, []) = number(body)? else {
                    return Err(FileFault::Unreadable);
                };
                self.announced = Some(bytes);
                Ok(FileStep::Create)
            }
            (CHUNK, Some(announced)) => self.chunk(announced, body),
            (END, Some(announced)) => self.end(announced, body),
            (START, Some(_)) | (CHUNK | END, None) => Err(FileFault::OutOfTurn),
            _ => Err(FileFault::Unreadable),
        }
    }

    fn chunk<'a>(&mut self, announced: u64, body: &'a [u8]) -> Result<FileStep<'a>, FileFault> {
        let (offset, content) = number(body)?;
        if offset != self.received {
            return Err(FileFault::WrongOffset {
                offset,
                expected: self.received,
            });
        }
        let received = self.received + content.len() as u64;
        if received > announced {
            return Err(FileFault::WrongSize {
                received,
                announced,
            });
        }
        self.received = received;
        self.hasher.update(content);
        Ok(FileStep::Write(content))
    }

    fn end(&mut self, announced: u64, body: &[u8]) -> Result<FileStep<'static>, FileFault> {
        if self.received != announced {
            return Err(FileFault::WrongSize {
                received: self.received,
                announced,
            });
        }
        let stated: [u8; 32] = body.try_into().map_err(|_| FileFault::Unreadable)?;
        let hash = self.hasher.finalize();
        if hash == blake3::Hash::from_bytes(stated) {
            Ok(FileStep::Finished(hash))
        } else {
            Err(FileFault::WrongHash)
        }
    }
}

fn number(body: &[u8]) -> Result<(u64, &[u8]), FileFault> {
    let (number, rest) = body.split_first_chunk().ok_or(FileFault::Unreadable)?;
    Ok((u64::from_le_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(offset: u64, content: &[u8]) -> Vec<u8> {
        [&chunk_header(offset)[..], content].concat()
    }

    fn started(bytes: u64) -> FileAssembly {
        let mut assembly = FileAssembly::default();
        assert_eq!(assembly.take(&start(bytes)), Ok(FileStep::Create));
        assembly
    }

    #[test]
    fn a_file_arrives_whole_with_its_hash() {
        let mut assembly = started(5);
        assert_eq!(
            assembly.take(&chunk(0, b"abc")),
            Ok(FileStep::Write(b"abc"))
        );
        assert_eq!(assembly.take(&chunk(3, b"de")), Ok(FileStep::Write(b"de")));
        let hash = blake3::hash(b"abcde");
        assert_eq!(assembly.take(&end(&hash)), Ok(FileStep::Finished(hash)));
    }

    fn fault(assembly: &mut FileAssembly, message: &[u8]) -> FileFault {
        assembly.take(message).unwrap_err()
    }

    #[test]
    fn lost_doubled_and_damaged_chunks_are_found() {
        let mut file = started(6);
        file.take(&chunk(0, b"abc")).unwrap();
        let (offset, expected) = (0, 3);
        let doubled = fault(&mut file, &chunk(0, b"abc"));
        assert_eq!(doubled, FileFault::WrongOffset { offset, expected });
        let (received, announced) = (3, 6);
        let early = fault(&mut file, &end(&blake3::hash(b"abc")));
        assert_eq!(
            early,
            FileFault::WrongSize {
                received,
                announced
            }
        );
        let (received, announced) = (7, 6);
        let long = fault(&mut file, &chunk(3, b"defg"));
        assert_eq!(
            long,
            FileFault::WrongSize {
                received,
                announced
            }
        );
        file.take(&chunk(3, b"dxf")).unwrap();
        let damaged = fault(&mut file, &end(&blake3::hash(b"abcdef")));
        assert_eq!(damaged, FileFault::WrongHash);
    }

    #[test]
    fn what_is_no_message_of_a_file_is_refused() {
        let mut assembly = FileAssembly::default();
        for message in [&b""[..], &[9], &[START], &[START; 5], &[START; 10]] {
            assert_eq!(
                assembly.take(message),
                Err(FileFault::Unreadable),
                "{message:?}"
            );
        }
        assert_eq!(assembly.take(&chunk(0, b"a")), Err(FileFault::OutOfTurn));
        assembly.take(&start(1)).unwrap();
        assert_eq!(assembly.take(&start(1)), Err(FileFault::OutOfTurn));
        assert_eq!(assembly.take(&[CHUNK, 0]), Err(FileFault::Unreadable));
        assembly.take(&chunk(0, b"a")).unwrap();
        assert_eq!(assembly.take(&[END, 1]), Err(FileFault::Unreadable));
    }
}
