//! Where spans are sent: the value of the parameter `trace_endpoint`.
//!
//! Only its text form is here; who is sent something there is `otlp`'s matter.

use std::net::IpAddr;

use super::allowed::{Allowed, Unit};
use super::setting::Setting;

/// What is read, as the end of a sentence that starts with "expected".
pub(super) const ENDPOINTS: &str = "off, or http:// or https:// with a host, and perhaps a port and a path, such as http://127.0.0.1:4318";

const OFF: &str = "off";

/// The path of OTLP for spans, where a URL has none.
const PATH: &str = "/v1/traces";

/// Longer than any that is meant.
const URL_BYTES_MAX: usize = 1024;

/// Where spans are sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TraceEndpoint {
    /// Nowhere.
    #[default]
    Off,
    /// To the receiver at that URL, which is one as the parameter takes it.
    At(String),
}

impl TraceEndpoint {
    /// The URL, if there is one, with its path.
    #[must_use]
    pub fn url(&self) -> Option<String> {
        let Self::At(url) = self else {
            return None;
        };
        let url = url.trim_end_matches('/');
        let has_path = parts(url).is_some_and(|(_, _, path)| !path.is_empty());
        Some(if has_path {
            url.to_owned()
        } else {
            format!("{url}{PATH}")
        })
    }

    /// Whether that is TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        matches!(self, Self::At(url) if url.starts_with("https://"))
    }

    /// Whether what is sent there can be read on the way: it is not TLS, and leaves this host.
    #[must_use]
    pub fn is_in_the_clear(&self) -> bool {
        let Self::At(url) = self else {
            return false;
        };
        let Some(("http", authority, _)) = parts(url) else {
            return false;
        };
        let host = host_of(authority).unwrap_or(authority);
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        let is_own = address.map_or(host == "localhost", |ip| ip.to_canonical().is_loopback());
        !is_own
    }
}

impl Setting for TraceEndpoint {
    fn read(text: &str, unit: Unit, allowed: &Allowed) -> Result<Self, String> {
        match text.trim() {
            OFF => Ok(Self::Off),
            url if is_url(url) => Ok(Self::At(url.to_owned())),
            _ => Err(allowed.sentence(unit)),
        }
    }

    fn print(&self, _: Unit) -> String {
        match self {
            Self::Off => OFF.to_owned(),
            Self::At(url) => url.clone(),
        }
    }
}

/// Scheme, host with port, and path.
fn parts(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    Some((scheme, authority, path))
}

/// The host, if that is one and what is behind it is a port.
fn host_of(authority: &str) -> Option<&str> {
    let end = match authority.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(end);
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    let is_right = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    let is_host = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(address) => matches!(address.parse(), Ok(IpAddr::V6(_))),
        None => {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            !host.is_empty() && host.bytes().all(allowed)
        }
    };
    (is_right && is_host).then_some(host)
}

/// No user, no query, nothing that would have to be escaped.
fn is_url(text: &str) -> bool {
    let Some((scheme, authority, path)) = parts(text) else {
        return false;
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/%".contains(&byte);
    text.len() <= URL_BYTES_MAX
        && ["http", "https"].contains(&scheme)
        && host_of(authority).is_some()
        && path.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: Allowed = Allowed::Described(ENDPOINTS);

    fn read(text: &str) -> Result<TraceEndpoint, String> {
        TraceEndpoint::read(text, Unit::None, &ALLOWED)
    }

    #[test]
    fn an_endpoint_has_the_path_of_the_protocol_unless_it_has_one() {
        for (text, url) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://[::1]:4318/", "http://[::1]:4318/v1/traces"),
            ("https://otlp.example", "https://otlp.example/v1/traces"),
            (
                "https://otlp.example/api/otlp",
                "https://otlp.example/api/otlp",
            ),
        ] {
            let endpoint = read(text).expect(text);
            assert_eq!(endpoint.url().as_deref(), Some(url));
            assert_eq!(endpoint.print(Unit::None), text);
        }
        assert_eq!(read("off").map(|off| off.url()), Ok(None));
    }

    #[test]
    fn what_is_no_url_is_refused_with_what_would_be_right() {
        let too_long = format!("http://{}", "a".repeat(URL_BYTES_MAX));
        for text in [
            "",
            "on",
            "127.0.0.1:4318",
            "ftp://a:1",
            "http://",
            "http://:4318",
            "http://a:0",
            "http://a:99999",
            "http://a:port",
            "http://user@a:1",
            "http://a/?q=1",
            "http://[a]:1",
            "http://[::1",
            "http://a b",
            &too_long,
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains("such as http://127.0.0.1:4318"), "{error}");
        }
    }

    #[test]
    fn what_leaves_the_host_without_tls_is_in_the_clear() {
        for (text, is_clear) in [
            ("http://127.0.0.1:4318", false),
            ("http://localhost", false),
            ("http://[::1]:4318", false),
            ("https://otlp.example", false),
            ("http://otlp.example:4318", true),
            ("http://10.0.0.1", true),
            ("http://127.0.0.1.example", true),
            ("off", false),
        ] {
            let endpoint = read(text).expect(text);
            assert_eq!(endpoint.is_in_the_clear(), is_clear, "{text}");
        }
    }
}
