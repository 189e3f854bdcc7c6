//! The list of those who are refused although their session is right: node names and serials of certificates.
//!
//! Read from a file by `security`, asked by `Identity`.

use std::collections::BTreeSet;

use crate::config::Printable;
use crate::wire::name::check_name;

/// Most entries: a guess, each is a name.
const ENTRIES_MAX: usize = 65_536;

/// What a line begins with that has a serial, in hexadecimal, with or without colons.
const SERIAL: &str = "serial:";

/// See the module's text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Revoked {
    names: BTreeSet<Box<str>>,
    serials: BTreeSet<Box<[u8]>>,
}

impl Revoked {
    /// A name or `serial:HEX` on each line; what follows a `#`, and a byte order mark, do not count.
    ///
    /// # Errors
    /// The first line that is neither, as a sentence.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut revoked = Self::default();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (index, line) in text.lines().enumerate() {
            let entry = line.split('#').next().unwrap_or_default().trim();
            if entry.is_empty() {
                continue;
            }
            let is_read = match entry.strip_prefix(SERIAL) {
                Some(digits) => serial(digits).map(|serial| revoked.serials.insert(serial)),
                None => check_name(entry)
                    .ok()
                    .map(|()| revoked.names.insert(entry.into())),
            };
            if is_read.is_none() {
                let (line, entry) = (index + 1, Printable(entry));
                return Err(format!(
                    "line {line} is `{entry}`: give the name of a node, or serial: and hexadecimal digits"
                ));
            }
            if revoked.names.len() + revoked.serials.len() > ENTRIES_MAX {
                return Err(format!("it has more than {ENTRIES_MAX} entries"));
            }
        }
        Ok(revoked)
    }

    /// Whether a node of that name is revoked.
    pub(super) fn has_name(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Whether a certificate with that serial is.
    pub(super) fn has_serial(&self, serial: &[u8]) -> bool {
        self.serials.contains(without_zeros(serial))
    }
}

/// The bytes of a serial in hexadecimal.
fn serial(digits: &str) -> Option<Box<[u8]>> {
    let digits: String = digits.trim().replace(':', "");
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let padded = if digits.len() % 2 == 1 {
        format!("0{digits}")
    } else {
        digits
    };
    let byte = |place| u8::from_str_radix(padded.get(place..place + 2)?, 16).ok();
    let bytes: Option<Vec<_>> = (0..padded.len()).step_by(2).map(byte).collect();
    let bytes = bytes?;
    let bytes = without_zeros(&bytes);
    (!bytes.is_empty()).then(|| bytes.into())
}

/// A number can begin with zeros, and is the same without.
fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_serials_are_revoked() {
        let text = "# who has left\nnode-a\n\n  serial:0A:ff # lost\nserial: 7\n";
        let revoked = Revoked::read(text).expect("a good list");
        assert!(revoked.has_name("node-a"));
        assert!(!revoked.has_name("node-b") && !revoked.has_name("# who has left"));
        for (serial, is_revoked) in [
            (&[0x0a, 0xff][..], true),
            (&[0, 0x0a, 0xff], true),
            (&[7], true),
            (&[8], false),
            (&[], false),
        ] {
            assert_eq!(revoked.has_serial(serial), is_revoked, "{serial:?}");
        }
    }

    /// Otherwise the first of the list would be somebody else, and nobody would notice.
    #[test]
    fn a_list_may_begin_with_a_byte_order_mark_and_end_lines_as_windows_does() {
        for first in ["node-a", "serial:7"] {
            let text = format!("\u{feff}{first}\r\nnode-b\r\n");
            let revoked = Revoked::read(&text).expect("a good list");
            assert!(revoked.has_name("node-a") || revoked.has_serial(&[7]));
            assert!(revoked.has_name("node-b"));
        }
    }

    #[test]
    fn a_line_that_is_neither_is_named() {
        for (text, line) in [
            ("a\nserial:xyz", 2),
            ("serial:", 1),
            ("serial:00", 1),
            ("\u{7}", 1),
        ] {
            let error = Revoked::read(text).expect_err("no list");
            assert!(error.starts_with(&format!("line {line} ")), "{error}");
        }
    }
}
