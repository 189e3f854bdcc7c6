//! Headers that the receiver of spans asks for, a token above all: read from a file once, and shown nowhere.
//!
//! Called by `post` before the node starts. An error names the line and never what is in it.

use std::fmt;
use std::fs;
use std::path::Path;

use ureq::http::{HeaderName, HeaderValue, header};

/// Most headers: receivers ask for one or two.
const HEADERS_MAX: usize = 16;

/// The largest file.
const FILE_BYTES_MAX: u64 = 16 << 10;

/// Those that follow from the request itself.
const OWN: [HeaderName; 6] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::USER_AGENT,
];

/// See the module's text.
#[derive(Default)]
pub(super) struct Headers(Vec<(HeaderName, HeaderValue)>);

/// How many there are, and nothing else.
impl fmt::Debug for Headers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Headers({})", self.0.len())
    }
}

impl Headers {
    /// Those of a file; none if no file is named.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(super) fn of_file(path: &Path) -> Result<Self, String> {
        if path.as_os_str().is_empty() {
            return Ok(Self::default());
        }
        let wrong = |what: String| format!("trace_headers_file is {}: {what}", path.display());
        let length = fs::metadata(path).map_err(|error| wrong(error.to_string()))?;
        if length.len() > FILE_BYTES_MAX {
            return Err(wrong(format!("it has more than {FILE_BYTES_MAX} bytes")));
        }
        let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        Self::read(&text).map_err(wrong)
    }

    /// `Name: value` on each line; empty lines, and those that begin with `#`, do not count.
    fn read(text: &str) -> Result<Self, String> {
        let mut headers = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let header = header_of(line).ok_or_else(|| {
                format!(
                    "line {} is no header: give `Name: value`, such as `Authorization: Bearer` and a token",
                    index + 1
                )
            })?;
            if OWN.contains(&header.0) {
                let (name, line) = (header.0, index + 1);
                return Err(format!(
                    "line {line} has {name}, which the request has itself"
                ));
            }
            headers.push(header);
        }
        if headers.is_empty() || headers.len() > HEADERS_MAX {
            return Err(format!(
                "give one header to {HEADERS_MAX}, one on each line"
            ));
        }
        Ok(Self(headers))
    }

    /// Each with its value.
    pub(super) fn each(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.0.iter().map(|(name, value)| (name, value))
    }
}

fn header_of(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(':')?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
    let mut value = HeaderValue::from_str(value.trim()).ok()?;
    value.set_sensitive(true);
    (!value.is_empty()).then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_headers_and_nothing_of_them_is_shown() {
        let text = "# of the collector\nAuthorization: Bearer a-token:x\n\n x-scope-orgid :7\r\n";
        let headers = Headers::read(text).expect("two headers");
        let each: Vec<_> = { headers.each() }
            .map(|(name, value)| (name.as_str(), value.to_str().expect("text")))
            .collect();
        assert_eq!(
            each,
            [
                ("authorization", "Bearer a-token:x"),
                ("x-scope-orgid", "7")
            ]
        );
        assert_eq!(format!("{headers:?}"), "Headers(2)");
    }

    #[test]
    fn what_is_no_header_is_named_by_its_line_and_not_shown() {
        let many = "a: secret\n".repeat(17);
        for (text, said) in [
            ("a: b\nsecret", "line 2 "),
            ("secret value: x", "line 1 "),
            (": secret", "line 1 "),
            ("a:", "line 1 "),
            ("a: sec\u{1}ret", "line 1 "),
            ("Content-Type: secret", "content-type"),
            ("# none", "one header to 16"),
            (&many, "to 16"),
        ] {
            let error = Headers::read(text).expect_err(text);
            assert!(
                error.contains(said) && !error.contains("sec"),
                "{text}: {error}"
            );
        }
    }
}
