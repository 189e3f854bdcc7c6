//! The head of a request: bytes to method, path, parameters and the headers that count. No I/O.
//!
//! Called by the server as bytes come. Nothing but GET and HEAD is taken, and no body.

use super::response::Response;

/// The most bytes of the head of a request.
pub const HEAD_BYTES_MAX: usize = 8 << 10;

/// The most headers of a request.
pub const HEADERS_MAX: usize = 64;

/// What a request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// Only the head of the answer is wanted.
    pub(super) is_head: bool,
    pub(super) path: String,
    /// Names and values behind the question mark, as they came.
    pub(super) parameters: Vec<(String, String)>,
    /// Whom it was meant for, with or without a port.
    pub(super) host: Option<String>,
    /// What follows `Authorization: Bearer`.
    pub(super) token: Option<String>,
    /// It takes OpenMetrics.
    pub(super) takes_openmetrics: bool,
}

impl Head {
    /// The value of a parameter.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let mut known = self.parameters.iter().filter(|(known, _)| known == name);
        known.next().map(|(_, value)| value.as_str())
    }
}

/// Reads what has come of a request: none if its end has not.
///
/// # Errors
/// What it is answered with, if it is none.
pub(super) fn read(bytes: &[u8]) -> Result<Option<Head>, Response> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let is_whole = match request.parse(bytes) {
        Ok(status) => status.is_complete(),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Response::text(
                431,
                format!("more than {HEADERS_MAX} headers"),
            ));
        }
        Err(error) => return Err(Response::text(400, format!("no HTTP request: {error}"))),
    };
    if !is_whole {
        if bytes.len() >= HEAD_BYTES_MAX {
            let text = format!("the head of the request has more than {HEAD_BYTES_MAX} bytes");
            return Err(Response::text(431, text));
        }
        return Ok(None);
    }
    let is_head = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => {
            return Err(Response::text(
                405,
                "only GET and HEAD: nothing can be changed here",
            ));
        }
    };
    let mut head = Head {
        is_head,
        ..target(request.path.unwrap_or_default())
    };
    for header in request.headers.iter() {
        let value = String::from_utf8_lossy(header.value);
        if header.name.eq_ignore_ascii_case("host") {
            head.host = Some(value.trim().to_owned());
        } else if header.name.eq_ignore_ascii_case("accept") {
            head.takes_openmetrics |= value.contains("application/openmetrics-text");
        } else if header.name.eq_ignore_ascii_case("authorization") {
            head.token = bearer(&value).map(str::to_owned);
        }
    }
    Ok(Some(head))
}

/// Path and parameters.
fn target(target: &str) -> Head {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let parameters = query.split('&').filter(|pair| !pair.is_empty());
    let parameters = parameters.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name.to_owned(), value.to_owned())
    });
    Head {
        path: path.to_owned(),
        parameters: parameters.collect(),
        ..Head::default()
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(text: &str) -> Head {
        read(text.as_bytes()).expect("a request").expect("its end")
    }

    fn refused(text: &str) -> u16 {
        read(text.as_bytes()).expect_err("none").status
    }

    #[test]
    fn what_counts_of_a_request_is_read() {
        let head = whole(
            "GET /api/metrics?peer=b&channel=data&flag HTTP/1.1\r\nHost: a:7480\r\n\
             AUTHORIZATION: bearer  s3cret \r\nAccept: text/html, application/openmetrics-text;version=1.0.0\r\n\r\n",
        );
        assert_eq!(head.path, "/api/metrics");
        assert_eq!(head.parameter("channel"), Some("data"));
        assert_eq!(head.parameter("flag"), Some(""));
        assert_eq!(head.parameter("none"), None);
        assert_eq!(head.host.as_deref(), Some("a:7480"));
        assert_eq!(head.token.as_deref(), Some("s3cret"));
        assert!(head.takes_openmetrics && !head.is_head);
        assert!(whole("HEAD / HTTP/1.0\r\n\r\n").is_head);
    }

    #[test]
    fn what_is_none_is_refused_by_what_is_wrong() {
        assert_eq!(refused("POST / HTTP/1.1\r\n\r\n"), 405);
        assert_eq!(refused("{\"version\":1}\n\n"), 400);
        assert_eq!(refused("GET / HTTP/2.0\r\n\r\n"), 400);
        let many = format!(
            "GET / HTTP/1.1\r\n{}\r\n",
            "a: b\r\n".repeat(HEADERS_MAX + 1)
        );
        assert_eq!(refused(&many), 431);
        let long = format!("GET /{}", "a".repeat(HEAD_BYTES_MAX));
        assert_eq!(refused(&long), 431);
        assert_eq!(
            read(b"GET / HTTP/1.1\r\nHost:").map(|head| head.is_none()),
            Ok(true)
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), at in 0..60_usize) {
            let _ = read(&bytes);
            // A request with some bytes that are not its own.
            let mut request = b"GET /api/metrics?peer=b&x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer t\r\n\r\n".to_vec();
            for (place, byte) in request.iter_mut().skip(at).zip(&bytes) {
                *place ^= byte;
            }
            let _ = read(&request);
        }
    }
}
