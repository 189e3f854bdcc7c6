//! One request to the receiver of spans, and what its answer means.
//!
//! Blocks the thread that asks, for as long as it says; answers are read within bounds. It knows no spans.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use ureq::Agent;
use ureq::http::{Response, StatusCode};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};

use super::headers::Headers;
use super::outgoing::Answer;
use crate::config::TraceConfig;

/// How long a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// Bytes of an answer that are read: it is a number and a sentence.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// Characters of what a receiver says that are kept.
const WHY_CHARACTERS_MAX: usize = 200;

/// See the module's text.
pub(super) struct Post {
    url: String,
    headers: Headers,
    agent: Agent,
}

impl Post {
    /// Requests to that URL, as the configuration says.
    ///
    /// # Errors
    /// A file that it names cannot be used: what is wrong with it.
    pub(super) fn new(url: String, config: &TraceConfig) -> Result<Self, String> {
        let headers = Headers::of_file(&config.headers_file)?;
        let mut settings = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("overlane/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(CONNECT_MAX))
            .timeout_connect(Some(CONNECT_MAX));
        if url.starts_with("https://") {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let tls = TlsConfig::builder()
                .provider(TlsProvider::Rustls)
                .unversioned_rustls_crypto_provider(provider)
                .root_certs(roots(&config.ca_file)?);
            settings = settings.tls_config(tls.build());
        }
        let agent = Agent::new_with_config(settings.build());
        Ok(Self {
            url,
            headers,
            agent,
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Sends a request, and waits for the answer for so long at most.
    pub(super) fn send(&self, body: &[u8], answer_max: Duration) -> Answer {
        let mut request = self
            .agent
            .post(&self.url)
            .content_type("application/x-protobuf");
        for (name, value) in self.headers.each() {
            request = request.header(name, value);
        }
        // None at all would be no bound.
        let answer_max = answer_max.max(Duration::from_millis(1));
        let request = request.config().timeout_global(Some(answer_max)).build();
        match request.send(body) {
            Ok(mut response) => {
                let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
                let said = body.read_to_vec().unwrap_or_default();
                meant(&response, &said)
            }
            Err(error) => Answer::Later {
                wait: None,
                why: error.to_string(),
            },
        }
    }
}

/// What an answer means, by the protocol: these statuses are worth another attempt, all others are not.
fn meant<B>(response: &Response<B>, said: &[u8]) -> Answer {
    let status = response.status();
    if status.is_success() {
        return Answer::Taken {
            refused: refused(said),
        };
    }
    let words = String::from_utf8_lossy(said);
    let words: String = words
        .chars()
        .filter(|it| !it.is_control())
        .take(WHY_CHARACTERS_MAX)
        .collect();
    let why = format!("{status} {words}").trim_end().to_owned();
    match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Answer::Later {
            wait: wait(response),
            why,
        },
        _ => Answer::Never { why },
    }
}

/// How many spans it has not taken. An answer that cannot be read comes with a status that says it has taken all.
fn refused(said: &[u8]) -> u64 {
    let answer = ExportTraceServiceResponse::decode(said).unwrap_or_default();
    let partial = answer.partial_success.unwrap_or_default();
    u64::try_from(partial.rejected_spans).unwrap_or(0)
}

/// In seconds; a date, which it may also be, is not looked at.
fn wait<B>(response: &Response<B>) -> Option<Duration> {
    let text = response.headers().get("retry-after")?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// The certificates that a receiver with https is checked against: those of a file, or of the system.
fn roots(ca_file: &Path) -> Result<RootCerts, String> {
    if ca_file.as_os_str().is_empty() {
        return of_system();
    }
    let wrong = |what: String| format!("trace_ca_file is {}: {what}", ca_file.display());
    let pem = fs::read(ca_file).map_err(|error| wrong(error.to_string()))?;
    let mut found: Vec<Certificate<'static>> = Vec::new();
    for item in parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => found.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(wrong(format!("it is not PEM: {error}"))),
        }
    }
    if found.is_empty() {
        return Err(wrong("there is no certificate in it".to_owned()));
    }
    Ok(RootCerts::new_with_certs(&found))
}

/// Some of a system's certificates may be unreadable; the others count.
fn of_system() -> Result<RootCerts, String> {
    let loaded = rustls_native_certs::load_native_certs();
    let found = loaded.certs.iter();
    let found: Vec<_> = found
        .map(|known| Certificate::from_der(known).to_owned())
        .collect();
    if found.is_empty() {
        let why = loaded.errors.first().map(ToString::to_string);
        let why = why.unwrap_or_else(|| "it has none".to_owned());
        return Err(format!(
            "trace_endpoint is checked against the certificates of the system, which cannot be read: {why}"
        ));
    }
    Ok(RootCerts::new_with_certs(&found))
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;

    use super::*;

    fn response(status: u16, retry_after: Option<&str>) -> Response<()> {
        let mut response = Response::builder().status(status);
        if let Some(text) = retry_after {
            response = response.header("retry-after", text);
        }
        response.body(()).expect("it is one")
    }

    #[test]
    fn an_answer_says_whether_to_try_again() {
        for status in [429, 502, 503, 504] {
            let answer = meant(&response(status, Some("7")), b"busy\n");
            let Answer::Later { wait, why } = answer else {
                panic!("{status}: {answer:?}");
            };
            assert_eq!(wait, Some(Duration::from_secs(7)));
            assert!(
                why.starts_with(&status.to_string()) && why.ends_with("busy"),
                "{why}"
            );
        }
        for status in [301, 400, 401, 404, 413, 500, 501] {
            let answer = meant(&response(status, None), b"");
            assert!(
                matches!(answer, Answer::Never { .. }),
                "{status}: {answer:?}"
            );
        }
        let date = meant(&response(503, Some("Thu, 01 Jan 2026 00:00:00 GMT")), b"");
        assert!(matches!(date, Answer::Later { wait: None, .. }));
    }

    #[test]
    fn part_of_a_request_may_be_refused() {
        let answer = |rejected_spans| {
            let partial = ExportTracePartialSuccess {
                rejected_spans,
                error_message: "too old".to_owned(),
            };
            let said = ExportTraceServiceResponse {
                partial_success: Some(partial),
            };
            meant(&response(200, None), &said.encode_to_vec())
        };
        assert_eq!(answer(3), Answer::Taken { refused: 3 });
        assert_eq!(answer(-3), Answer::Taken { refused: 0 });
        for said in [&b""[..], b"ok", b"\xff\xff\xff\xff"] {
            assert_eq!(
                meant(&response(200, None), said),
                Answer::Taken { refused: 0 }
            );
        }
    }
}
