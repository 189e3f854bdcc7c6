//! What comes to the mailboxes of a node that nobody else reads: printed, a message a line.

use overlane::config::Printable;
use overlane::{Inbox, Node, ORIGIN_KEY, OwnedMessage, TOPIC_KEY};
use serde_json::json;

use crate::ending::{Ending, Failure, complain, print};
use crate::json;

/// Prints what comes to these mailboxes, until the node stops.
pub(super) fn start(node: &Node, mailboxes: &[String], json: bool) -> Result<(), Failure> {
    for mailbox in mailboxes {
        let inbox = node.inbox(mailbox);
        let inbox = inbox.map_err(|error| Failure::new(Ending::BadInput, error))?;
        let thread = std::thread::Builder::new().name("print".to_owned());
        let started = thread.spawn(move || follow(inbox, json));
        started.map_err(|error| {
            let what = format!("no thread could be made: {error}; raise the limit (ulimit -u)");
            Failure::new(Ending::MachineLacks, what)
        })?;
    }
    Ok(())
}

fn follow(mut inbox: Inbox, json: bool) {
    while let Ok(message) = inbox.recv_blocking() {
        let message = message.to_owned();
        let line = if json {
            object(&message)
        } else {
            sentence(&message)
        };
        if let Err(error) = print(&line) {
            // The node goes on: others may need it.
            complain(format_args!("overlane node: {error}"));
        }
    }
}

/// Who sent it: of a broadcast, which its own node has passed on, the member that began it.
fn from(message: &OwnedMessage) -> String {
    let origin = message
        .metadata(ORIGIN_KEY)
        .filter(|_| message.from().is_self());
    match origin {
        Some(name) => String::from_utf8_lossy(name).into_owned(),
        None => message.from().name().to_owned(),
    }
}

/// The topic that it was published to, if it was.
fn topic(message: &OwnedMessage) -> Option<String> {
    let topic = message
        .metadata(TOPIC_KEY)
        .filter(|_| message.from().is_self());
    topic.map(|topic| String::from_utf8_lossy(topic).into_owned())
}

fn object(message: &OwnedMessage) -> String {
    let payload = message.payload();
    let text = std::str::from_utf8(payload).ok();
    json::line(&json!({"message": {
        "from": from(message),
        "channel": message.channel(),
        "mailbox": message.mailbox().name(),
        "topic": topic(message),
        "bytes": payload.len(),
        "text": text,
    }}))
}

fn sentence(message: &OwnedMessage) -> String {
    let payload = message.payload();
    let what = match std::str::from_utf8(payload) {
        Ok(text) => Printable(text.trim_end_matches('\n')).to_string(),
        Err(_) => format!("({} bytes)", payload.len()),
    };
    let topic = topic(message).map(|topic| format!(" ({})", Printable(&topic)));
    format!(
        "{}{} from {} on {}: {what}\n",
        Printable(message.mailbox().name()),
        topic.unwrap_or_default(),
        Printable(&from(message)),
        Printable(message.channel())
    )
}
