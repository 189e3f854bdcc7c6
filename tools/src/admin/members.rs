//! `overlane members`: who is in the cluster, as a node knows it.

use overlane::admin::{Answer, MemberReport, Request};

use super::{Target, unexpected};
use crate::ending::{Ending, Failure, told};
use crate::table::{Column, table};

/// Lists the members of the cluster, as a node knows them.
///
/// Those that are down or have left are listed until they are forgotten, which takes 10 minutes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
}

pub(crate) fn run(arguments: &Arguments) -> Ending {
    told("members", members(&arguments.target))
}

fn members(target: &Target) -> Result<Ending, Failure> {
    match target.ask(&Request::Members {})? {
        Answer::Members(members) => target.print(&members, || text(&members)),
        other => Err(unexpected(&other)),
    }
}

fn text(members: &[MemberReport]) -> String {
    let columns = [
        Column::Word("member"),
        Column::Word("status"),
        Column::Word("address"),
        Column::Number("incarnation"),
        Column::Word("here"),
        Column::Word("role"),
        Column::Number("capacity"),
        Column::Word("zone"),
        Column::Word("metadata"),
    ];
    table(&columns, &members.iter().map(row).collect::<Vec<_>>())
}

fn row(member: &MemberReport) -> Vec<String> {
    let addresses: Vec<_> = member.addresses.iter().map(ToString::to_string).collect();
    let here = match member {
        member if member.is_self => "itself",
        member if member.is_neighbor => "neighbor",
        _ => "",
    };
    let metadata = match &member.metadata {
        Some(text) => text.clone(),
        None => format!("({} bytes)", member.metadata_bytes),
    };
    vec![
        member.member.clone(),
        member.status.clone(),
        addresses.join(","),
        member.incarnation.to_string(),
        here.to_owned(),
        member.role.clone(),
        member.capacity.to_string(),
        member.zone.clone().unwrap_or_default(),
        metadata,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_a_line_and_what_it_says_commands_no_terminal() {
        let member = MemberReport {
            member: "b".to_owned(),
            status: "alive".to_owned(),
            incarnation: 7,
            addresses: vec!["127.0.0.1:7402".parse().expect("an address")],
            metadata: Some("role=\u{1b}[2Jdb\n".to_owned()),
            metadata_bytes: 12,
            role: "server".to_owned(),
            capacity: 8,
            zone: Some("west".to_owned()),
            is_self: false,
            is_neighbor: true,
        };
        let binary = MemberReport {
            metadata: None,
            is_neighbor: false,
            zone: None,
            ..member.clone()
        };
        let said = text(&[member, binary]);
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(
            lines[0],
            "member  status  address         incarnation  here      role    capacity  zone  metadata"
        );
        assert_eq!(
            lines[1],
            "b       alive   127.0.0.1:7402            7  neighbor  server         8  west  role=\\u{1b}[2Jdb\\n"
        );
        assert_eq!(
            lines[2],
            "b       alive   127.0.0.1:7402            7            server         8        (12 bytes)"
        );
    }
}
