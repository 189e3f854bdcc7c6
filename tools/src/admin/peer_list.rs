//! `overlane peers`: whom a node has lanes to, or is to have.

use overlane::admin::{Answer, PeerStatus, Request};

use super::{Target, unexpected};
use crate::ending::{Ending, Failure, told};
use crate::table::{Column, table};

/// Lists the nodes that a node has lanes to, or is to have, and how many lanes are up.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
}

pub(crate) fn run(arguments: &Arguments) -> Ending {
    told("peers", peers(&arguments.target))
}

fn peers(target: &Target) -> Result<Ending, Failure> {
    match target.ask(&Request::Peers {})? {
        Answer::Peers(peers) => target.print(&peers, || text(&peers)),
        other => Err(unexpected(&other)),
    }
}

fn text(peers: &[PeerStatus]) -> String {
    let columns = [
        Column::Word("node"),
        Column::Word("state"),
        Column::Word("address"),
        Column::Number("incarnation"),
        Column::Number("lanes"),
    ];
    let row = |peer: &PeerStatus| {
        let address = peer.address.map(|address| address.to_string());
        vec![
            peer.peer.clone(),
            if peer.connected { "connected" } else { "away" }.to_owned(),
            address.unwrap_or_else(|| "-".to_owned()),
            peer.incarnation.to_string(),
            format!("{}/{}", peer.lanes_up, peer.lanes),
        ]
    };
    table(&columns, &peers.iter().map(row).collect::<Vec<_>>())
}
