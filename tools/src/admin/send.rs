//! `overlane send`: one message from a node to a mailbox of another.

use std::io::Read;

use overlane::admin::{Answer, Content, REQUEST_BYTES_MAX, Request, SendOutcome};

use super::{Target, unexpected};
use crate::ending::{Ending, Failure, told};

/// Sends a message from a node to a mailbox of another one, and says what became of it.
///
/// Exits with 0 if it was delivered (on a best-effort channel: accepted), with 1 if not.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The node it goes to
    #[arg(value_name = "NODE")]
    peer: String,
    /// The mailbox there
    mailbox: String,
    /// What is sent; - or nothing: what comes on standard input
    text: Option<String>,
    /// The channel it goes on [default: as the routing rules say; without rules the only one]
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    /// How long to wait for what becomes of it
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    timeout_ms: u64,
    #[command(flatten)]
    target: Target,
}

pub(crate) fn run(arguments: Arguments) -> Ending {
    told("send", send(arguments))
}

fn send(arguments: Arguments) -> Result<Ending, Failure> {
    let payload = content(arguments.text)?;
    let request = Request::Send {
        peer: arguments.peer,
        mailbox: arguments.mailbox,
        channel: arguments.channel,
        payload,
        timeout_ms: arguments.timeout_ms,
    };
    let answer = arguments.target.ask(&request)?;
    let Answer::Sent { channel, outcome } = &answer else {
        return Err(unexpected(&answer));
    };
    let object = serde_json::json!({"channel": channel, "outcome": outcome});
    arguments.target.print(&object, || {
        match outcome {
            SendOutcome::Acknowledged => "delivered\n",
            SendOutcome::Accepted => "accepted; the channel acknowledges nothing\n",
        }
        .to_owned()
    })
}

/// What is given on the command line, or comes on standard input.
pub(super) fn content(text: Option<String>) -> Result<Content, Failure> {
    match text {
        Some(text) if text != "-" => Ok(Content::Text(text)),
        _ => read(),
    }
}

/// All of standard input, as far as a request can have it.
fn read() -> Result<Content, Failure> {
    let mut bytes = Vec::new();
    let most = REQUEST_BYTES_MAX as u64 + 1;
    let read = std::io::stdin().lock().take(most).read_to_end(&mut bytes);
    read.map_err(|error| {
        let what = format!("standard input cannot be read: {error}");
        Failure::new(Ending::BadInput, what)
    })?;
    Ok(Content::from(bytes))
}
