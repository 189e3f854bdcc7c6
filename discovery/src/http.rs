//! Asking a web service for JSON, with bounds on time and bytes. Used by `kubernetes` and `rancher`.
//!
//! An agent goes neither through a proxy of the environment nor where a server sends it: what is asked here is in the
//! same cluster.

use std::io::Read;
use std::time::Duration;

use serde::de::DeserializeOwned;
use ureq::config::ConfigBuilder;
use ureq::typestate::AgentScope;
use ureq::{Agent, Body, RequestBuilder, http::Response, typestate::WithoutBody};

use crate::found::Failure;
use crate::stop::Stop;

/// How long a connection, and each wait for an answer, may take. Guesses: a healthy server answers in milliseconds.
const CONNECT_MAX: Duration = Duration::from_secs(3);
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How long a whole answer may take that is not watched.
const WHOLE_MAX: Duration = Duration::from_secs(30);
/// Bytes of an error's text that are read.
const ERROR_BYTES_MAX: u64 = 4 << 10;

/// What every agent has in common.
pub(crate) fn settings() -> ConfigBuilder<AgentScope> {
    Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("overlane/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(Some(CONNECT_MAX))
        .timeout_connect(Some(CONNECT_MAX))
        .timeout_send_request(Some(ANSWER_MAX))
        .timeout_recv_response(Some(ANSWER_MAX))
}

/// An agent whose connections are shut when it is asked to stop.
pub(crate) fn agent(settings: ConfigBuilder<AgentScope>, stop: &Stop) -> Agent {
    let agent = Agent::new_with_config(settings.build());
    let shut = agent.clone();
    stop.on_stop(move || shut.shutdown());
    agent
}

/// What came of a request that is no answer of the wanted form.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The server said no: its status and its words.
    Status(u16, String),
    /// There was no answer, or none that can be read.
    Failed(String),
}

impl Refused {
    /// As a failure of asking there; `right` is what to look at.
    pub(crate) fn of(self, url: &str, right: &str) -> Failure {
        Failure::new(match self {
            Self::Status(status, said) => format!("{url} answered {status}: {said}; {right}"),
            Self::Failed(why) => format!("{url} cannot be asked: {why}; {right}"),
        })
    }
}

/// Sends a request; an answer that is no success is refused.
pub(crate) fn send(request: RequestBuilder<WithoutBody>) -> Result<Response<Body>, Refused> {
    let failed = |error: ureq::Error| Refused::Failed(error.to_string());
    let mut response = request.call().map_err(failed)?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let mut said = Vec::new();
    // What could not be read of an error's text is left out.
    let _ = response
        .body_mut()
        .as_reader()
        .take(ERROR_BYTES_MAX)
        .read_to_end(&mut said);
    Err(Refused::Status(status.as_u16(), words(&said)))
}

/// What a server said in words: the `message` of an object, or the text itself.
fn words(said: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Said {
        message: String,
    }
    match serde_json::from_slice::<Said>(said) {
        Ok(said) => said.message,
        Err(_) => String::from_utf8_lossy(said).trim().to_owned(),
    }
}

/// The object of an answer, of at most so many bytes.
pub(crate) fn object<T: DeserializeOwned>(
    request: RequestBuilder<WithoutBody>,
    bytes_max: u64,
) -> Result<T, Refused> {
    let request = request
        .config()
        .timeout_global(Some(WHOLE_MAX))
        .build()
        .header("accept", "application/json");
    let mut response = send(request)?;
    let body = response.body_mut().with_config().limit(bytes_max);
    let bytes = body.read_to_vec().map_err(|error| {
        Refused::Failed(match error {
            ureq::Error::BodyExceedsLimit(_) => {
                format!("its answer has more than {bytes_max} bytes")
            }
            other => other.to_string(),
        })
    })?;
    let wrong = |error: serde_json::Error| {
        Refused::Failed(format!("its answer is not as expected: {error}"))
    };
    serde_json::from_slice(&bytes).map_err(wrong)
}
