//! `overlane connect`, `disconnect` and `forget`: what is wanted of a peer.

use std::net::SocketAddr;

use overlane::admin::Request;

use super::Target;
use crate::ending::{Ending, told};

/// Connects a node to another one, and keeps it connected.
///
/// Exits with 0 once they are connected, with 1 if they are not in time; the node goes on dialling then.
#[derive(Debug, clap::Args)]
pub(crate) struct Connect {
    /// The name of the other node
    #[arg(value_name = "NODE")]
    peer: String,
    /// Where it listens
    address: SocketAddr,
    /// How long to wait until they are connected; 0 does not
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(..=600))]
    wait_s: u64,
    #[command(flatten)]
    target: Target,
}

/// Ends the lanes of a node to another one, and refuses its dials until `connect` or `forget`.
#[derive(Debug, clap::Args)]
pub(crate) struct Disconnect {
    /// The name of the other node
    #[arg(value_name = "NODE")]
    peer: String,
    #[command(flatten)]
    target: Target,
}

/// Takes back what `connect` or `disconnect` asked: the other node is not dialled, and its dials are accepted.
#[derive(Debug, clap::Args)]
pub(crate) struct Forget {
    /// The name of the other node
    #[arg(value_name = "NODE")]
    peer: String,
    #[command(flatten)]
    target: Target,
}

pub(crate) fn connect(arguments: Connect) -> Ending {
    let request = Request::Connect {
        peer: arguments.peer,
        address: arguments.address,
        wait_ms: arguments.wait_s * 1000,
    };
    let done = if arguments.wait_s > 0 {
        "connected"
    } else {
        "asked for"
    };
    told("connect", arguments.target.order(&request, done))
}

pub(crate) fn disconnect(arguments: Disconnect) -> Ending {
    let request = Request::Disconnect {
        peer: arguments.peer,
    };
    told(
        "disconnect",
        arguments.target.order(&request, "disconnected"),
    )
}

pub(crate) fn forget(arguments: Forget) -> Ending {
    let request = Request::Forget {
        peer: arguments.peer,
    };
    told("forget", arguments.target.order(&request, "forgotten"))
}
