//! The socket for looking: who may open it, and that nothing is changed over it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use overlane::Node;
use overlane::admin::{Answer, Client, Content, RefusalKind, Request, Role};

use super::support::{config, reliable};
use super::{Folder, ask, refused, start};

const WAIT_MS: u64 = 1000;

/// One request of each kind; events are asked for by following.
fn requests() -> Vec<Request> {
    let name = || "x".to_owned();
    let payload = || Content::from(b"x".to_vec());
    let rules = Vec::new;
    vec![
        Request::Status {},
        Request::Peers {},
        Request::Members {},
        Request::Overlay {},
        Request::SwitchOverlay {
            overlay: name(),
            servers: Vec::new(),
            trial: None,
            wait_ms: WAIT_MS,
        },
        Request::Analysis {},
        Request::SwitchHistory {},
        Request::TopologyRules {},
        Request::SetTopologyRules { rules: rules() },
        Request::Evict {
            member: name(),
            wait_ms: WAIT_MS,
        },
        Request::Leave { wait_ms: WAIT_MS },
        Request::Broadcast {
            mailbox: name(),
            channel: None,
            kind: None,
            wait_ms: None,
            payload: payload(),
        },
        Request::Publish {
            topic: name(),
            channel: None,
            payload: payload(),
        },
        Request::Subscribe {
            topic: name(),
            mailbox: name(),
        },
        Request::Unsubscribe { topic: name() },
        Request::Reload { wait_ms: WAIT_MS },
        Request::ClusterMetrics {},
        Request::Metrics {
            peer: None,
            channel: None,
        },
        Request::Channels {},
        Request::AddChannel { channel: name() },
        Request::SetChannel { channel: name() },
        Request::RemoveChannel {
            channel: "data".to_owned(),
            wait_ms: WAIT_MS,
        },
        Request::AddClusterChannel {
            channel: name(),
            wait_ms: WAIT_MS,
        },
        Request::SetClusterChannel {
            channel: name(),
            wait_ms: WAIT_MS,
        },
        Request::RemoveClusterChannel {
            channel: "data".to_owned(),
            drain_ms: WAIT_MS,
            wait_ms: WAIT_MS,
        },
        Request::ChannelChanges {},
        Request::Parameters {},
        Request::Recording {},
        Request::Faults {},
        Request::AddFault {
            peer: None,
            channel: None,
            drop_ppm: 1_000_000,
            delay_us: 0,
            cut: true,
            lasts_ms: WAIT_MS,
            seed: 0,
        },
        Request::RemoveFault { id: 1 },
        Request::Rules {},
        Request::SetRules { rules: rules() },
        Request::Connect {
            peer: name(),
            address: "127.0.0.1:9".parse().expect("an address"),
            wait_ms: 0,
        },
        Request::Disconnect { peer: name() },
        Request::Forget { peer: name() },
        Request::Ping {
            peer: name(),
            channel: None,
            bytes: 1,
            timeout_ms: WAIT_MS,
        },
        Request::Send {
            peer: name(),
            mailbox: name(),
            channel: None,
            payload: payload(),
            timeout_ms: WAIT_MS,
        },
    ]
}

fn start_with_both(folder: &Folder) -> Node {
    let config = config("a")
        .admin(overlane::config::Admin::At(folder.socket("a")))
        .admin_read(folder.socket("a.read"))
        .channel(reliable("data"));
    Node::start(config.build().expect("a valid configuration")).expect("it starts")
}

fn mode(socket: &Path) -> u32 {
    let file = fs::symlink_metadata(socket).expect("it is there");
    file.permissions().mode() & 0o777
}

#[test]
fn the_group_may_open_the_socket_for_looking_and_no_other() {
    let folder = Folder::new();
    let node = start_with_both(&folder);
    assert_eq!(mode(&folder.socket("a")), 0o600);
    assert_eq!(mode(&folder.socket("a.read")), 0o660);
    drop(node);
    assert!(!folder.socket("a").exists() && !folder.socket("a.read").exists());
}

#[test]
fn over_the_socket_for_looking_everything_is_shown_and_nothing_changed() {
    let folder = Folder::new();
    let node = start_with_both(&folder);
    let (read, admin) = (folder.socket("a.read"), folder.socket("a"));
    let mut looks = 0;
    for request in requests() {
        let answer = Client::ask_once(&read, &request);
        let refused = match &answer {
            Err(overlane::admin::ClientError::Refused(refusal)) => Some(refusal),
            _ => None,
        };
        let is_barred = refused.is_some_and(|refusal| refusal.kind == RefusalKind::NotAllowed);
        assert_eq!(
            is_barred,
            request.needs() == Role::Admin,
            "{request:?}: {answer:?}"
        );
        if let Some(refusal) = refused.filter(|_| is_barred) {
            assert!(refusal.text.contains("socket of `admin`"), "{refusal}");
        } else {
            looks += 1;
        }
    }
    assert_eq!(looks, 15, "kinds of looks beside events");
    node.channel("data").expect("it was not removed");
    assert!(node.peers().is_empty(), "and nobody connected to");
    let add = Request::AddChannel {
        channel: "more".to_owned(),
    };
    assert_eq!(refused(&read, &add).kind, RefusalKind::NotAllowed);
    assert_eq!(ask(&admin, &add), Answer::Done);
    // The connection goes on after a refusal, and events are told to who may look.
    let mut client = Client::connect(&read).expect("it is there");
    client.ask(&add).expect_err("it is refused");
    let mut events = client.follow().expect("it follows");
    let remove = Request::RemoveChannel {
        channel: "more".to_owned(),
        wait_ms: WAIT_MS,
    };
    ask(&admin, &remove);
    let event = events.next_event().expect("it reads").expect("it goes on");
    assert_eq!(&*event.event, "channel_removed");
    drop(node);
}

#[test]
fn a_node_can_be_looked_at_without_being_administered() {
    let folder = Folder::new();
    let config = config("a").admin_read(folder.socket("a.read"));
    let node = Node::start(config.build().expect("a valid configuration")).expect("it starts");
    assert!(matches!(
        ask(&folder.socket("a.read"), &Request::Status {}),
        Answer::Status(_)
    ));
    drop(node);
    // Nor is the one for changing affected by the other.
    let node = start("a", &folder.socket("a"), &[]);
    assert!(!folder.socket("a.read").exists());
    drop(node);
}

#[test]
fn each_socket_has_a_path_of_its_own() {
    let path = "/run/overlane/a.sock";
    let error = config("a")
        .admin(overlane::config::Admin::At(path.into()))
        .admin_read(path.into())
        .build()
        .expect_err("one is for both");
    let said = error.to_string();
    assert!(
        said.contains("admin_read") && said.contains("of its own"),
        "{said}"
    );
    let long = format!("/{}", "x".repeat(107));
    let error = config("a")
        .admin_read(long.into())
        .build()
        .expect_err("too long");
    assert!(error.to_string().contains("107"), "{error}");
}
