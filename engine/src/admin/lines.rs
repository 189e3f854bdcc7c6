//! Bytes in pieces to whole lines, of a bounded length. No I/O.
//!
//! Used by both ends of the admin socket. Never holds more than one line of the length allowed and the piece that was
//! pushed last.

/// A line that is longer than allowed. What follows it cannot be told from it: the connection is to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line is longer than {bytes_max} bytes")]
pub struct LineTooLong {
    /// The most bytes of a line, its end left out.
    pub bytes_max: usize,
}

/// What has come and was not read yet.
#[derive(Clone, Debug)]
pub struct Lines {
    bytes: Vec<u8>,
    /// So many bytes at the start are known to have no end of a line among them.
    searched: usize,
    bytes_max: usize,
}

impl Lines {
    /// Of lines of `bytes_max` bytes at most, their end left out.
    #[must_use]
    pub const fn new(bytes_max: usize) -> Self {
        Self {
            bytes: Vec::new(),
            searched: 0,
            bytes_max,
        }
    }

    /// Takes what came.
    pub fn push(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
    }

    /// The next whole line, without its end; `None` if it has not come yet.
    ///
    /// # Errors
    /// [`LineTooLong`], as soon as more bytes of a line have come than it may have.
    pub fn next_line(&mut self) -> Result<Option<Vec<u8>>, LineTooLong> {
        let new = &self.bytes[self.searched..];
        let end = new.iter().position(|byte| *byte == b'\n');
        let length = self.searched + end.unwrap_or(new.len());
        if length > self.bytes_max {
            return Err(LineTooLong {
                bytes_max: self.bytes_max,
            });
        }
        if end.is_none() {
            self.searched = length;
            return Ok(None);
        }
        let rest = self.bytes.split_off(length + 1);
        let mut line = std::mem::replace(&mut self.bytes, rest);
        line.truncate(length);
        self.searched = 0;
        Ok(Some(line))
    }

    /// Whether a line has begun and is not whole.
    #[must_use]
    pub const fn is_within_line(&self) -> bool {
        !self.bytes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of `bytes` that come in pieces, and how it ends.
    fn read(
        bytes: &[u8],
        piece_bytes: usize,
        bytes_max: usize,
    ) -> (Vec<Vec<u8>>, Option<LineTooLong>) {
        let mut lines = Lines::new(bytes_max);
        let mut whole = Vec::new();
        for piece in bytes.chunks(piece_bytes) {
            lines.push(piece);
            loop {
                match lines.next_line() {
                    Ok(Some(line)) => whole.push(line),
                    Ok(None) => break,
                    Err(error) => return (whole, Some(error)),
                }
            }
        }
        (whole, None)
    }

    #[test]
    fn lines_are_the_same_whatever_the_pieces() {
        let bytes = b"one\n\ntwo and more\nhalf";
        for piece_bytes in 1..=bytes.len() {
            let (lines, error) = read(bytes, piece_bytes, 12);
            assert_eq!(lines, [&b"one"[..], b"", b"two and more"], "{piece_bytes}");
            assert_eq!(error, None);
        }
    }

    #[test]
    fn a_line_too_long_is_told_before_it_is_whole() {
        let too_long = Some(LineTooLong { bytes_max: 4 });
        assert_eq!(
            read(b"1234\n12345", 1, 4),
            (vec![b"1234".to_vec()], too_long)
        );
        assert_eq!(read(b"12345\n", 6, 4), (vec![], too_long));
    }

    #[test]
    fn it_says_whether_a_line_has_begun() {
        let mut lines = Lines::new(8);
        assert!(!lines.is_within_line());
        lines.push(b"a\nb");
        assert_eq!(lines.next_line(), Ok(Some(b"a".to_vec())));
        assert!(lines.is_within_line());
        lines.push(b"\n");
        assert_eq!(lines.next_line(), Ok(Some(b"b".to_vec())));
        assert!(!lines.is_within_line());
    }
}
