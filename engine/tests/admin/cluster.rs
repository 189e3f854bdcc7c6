//! Requests about the cluster, with two nodes that form one.

use std::sync::atomic::Ordering;
use std::time::Duration;

use overlane::admin::{Answer, Content, MemberReport, OverlayReport, RefusalKind, Request};
use overlane::config::{Admin, NodeRole, OverlayChoice, Seed};
use overlane::{Event, Node};

use serde_json::Value;

use super::support::{self, counting_handler, reliable, wait_until};
use super::{Folder, ask, refused, start};

const WAIT_MS: u64 = 60_000;

/// Node `a` begins a cluster, node `b` joins it, and both know that. The count is of messages to `in` of `b`.
fn pair(folder: &Folder) -> (Node, Node, std::sync::Arc<std::sync::atomic::AtomicU64>) {
    let config = |name: &str| {
        let config = support::config(name).admin(Admin::At(folder.socket(name)));
        config
            .overlay(OverlayChoice::FullMesh)
            .channel(reliable("data"))
    };
    let a = support::start(config("a"));
    let (handler, count) = counting_handler();
    let config = config("b").seeds(vec![Seed::from(a.local_addr())]);
    let config = config.zone("west").role(NodeRole::Client).capacity(7);
    let b = Node::builder(config.build().expect("it is valid")).handle("in", handler);
    let b = b.start().expect("it starts");
    for name in ["a", "b"] {
        let live = || {
            members(folder, name)
                .iter()
                .filter(|member| member.status == "alive")
                .count()
        };
        wait_until("both know both", live, |live| *live == 2);
    }
    (a, b, count)
}

fn members(folder: &Folder, node: &str) -> Vec<MemberReport> {
    match ask(&folder.socket(node), &Request::Members {}) {
        Answer::Members(members) => members,
        other => panic!("{other:?}"),
    }
}

fn overlay(folder: &Folder, node: &str) -> OverlayReport {
    match ask(&folder.socket(node), &Request::Overlay {}) {
        Answer::Overlay(overlay) => overlay,
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_says_who_is_a_member_and_over_which_overlay() {
    let folder = Folder::new();
    let (a, b, _) = pair(&folder);
    a.cluster()
        .expect("it is in one")
        .set_metadata("role=db")
        .expect("it is small");
    let said = wait_until(
        "it is known",
        || members(&folder, "b"),
        |members| members[0].metadata.as_deref() == Some("role=db") && members[0].is_neighbor,
    );
    assert_eq!(
        (&*said[0].member, said[0].incarnation),
        ("a", a.incarnation())
    );
    assert_eq!(said[0].addresses, [a.local_addr()]);
    assert!(said[1].is_self && !said[0].is_self);
    let said = members(&folder, "a");
    let (a_says, b_says) = (&said[0], &said[1]);
    assert_eq!((&*a_says.role, a_says.zone.as_deref()), ("auto", None));
    assert!(a_says.capacity > 0, "its cores");
    let b_says = (&*b_says.role, b_says.capacity, b_says.zone.as_deref());
    assert_eq!(b_says, ("client", 7, Some("west")));
    let seen = overlay(&folder, "b");
    assert_eq!(
        (&*seen.overlay, seen.epoch, seen.members),
        ("full_mesh", 0, 2)
    );
    assert_eq!(seen.neighbors, ["a"]);
    drop((a, b));
}

#[test]
fn it_switches_broadcasts_and_leaves() {
    let folder = Folder::new();
    let (a, b, count) = pair(&folder);
    let switch = |overlay: &str| Request::SwitchOverlay {
        overlay: overlay.to_owned(),
        servers: Vec::new(),
        trial: None,
        wait_ms: WAIT_MS,
    };
    let socket = folder.socket("a");
    match ask(&socket, &switch("hyparview")) {
        Answer::Overlay(now) => assert_eq!((&*now.overlay, now.epoch), ("hyparview", 1)),
        other => panic!("{other:?}"),
    }
    wait_until(
        "it is in force",
        || overlay(&folder, "b").epoch,
        |epoch| *epoch == 1,
    );
    for name in ["hyparview", "ring", "a\u{1b}"] {
        let refusal = refused(&socket, &switch(name));
        assert_eq!(refusal.kind, RefusalKind::Invalid, "{refusal:?}");
    }
    let broadcast = |mailbox: &str, channel: Option<&str>| Request::Broadcast {
        mailbox: mailbox.to_owned(),
        channel: channel.map(str::to_owned),
        kind: None,
        wait_ms: None,
        payload: Content::Text("to all".to_owned()),
    };
    let begun = Answer::Broadcasting {
        channel: "data".to_owned(),
        members: 1,
    };
    assert_eq!(ask(&socket, &broadcast("in", None)), begun);
    wait_until(
        "it comes",
        || count.load(Ordering::Relaxed),
        |count| *count == 1,
    );
    assert_eq!(
        refused(&socket, &broadcast("in", Some("date"))).kind,
        RefusalKind::Invalid
    );
    assert_eq!(
        refused(&socket, &broadcast("", None)).kind,
        RefusalKind::Invalid
    );
    broadcasts_of_all_kinds(&folder, &count);
    support::accounting::check_accounting(&[&a, &b]);
    assert_eq!(
        ask(&socket, &Request::Leave { wait_ms: WAIT_MS }),
        Answer::Done
    );
    wait_until(
        "it left",
        || members(&folder, "b"),
        |members| members[0].status == "left",
    );
    drop(a.stop(Duration::from_secs(30)));
    drop(b);
}

#[test]
fn it_evicts_another_member() {
    let folder = Folder::new();
    let (a, b, _) = pair(&folder);
    let events = b.events();
    let evict = |member: &str| Request::Evict {
        member: member.to_owned(),
        wait_ms: WAIT_MS,
    };
    for (member, said) in [
        ("a", "itself"),
        ("c", "no member"),
        ("b\u{1b}", "no member"),
    ] {
        let refusal = refused(&folder.socket("a"), &evict(member));
        assert_eq!(refusal.kind, RefusalKind::Invalid, "{refusal:?}");
        assert!(refusal.text.contains(said), "{refusal:?}");
    }
    assert_eq!(ask(&folder.socket("a"), &evict("b")), Answer::Done);
    support::wait_for_event(&events, "it is told", |event| {
        matches!(event, Event::Evicted { by } if **by == *"a").then_some(())
    });
    let gone = refused(&folder.socket("a"), &evict("b"));
    assert!(gone.text.contains("left already"), "{gone:?}");
    drop((a, b));
}

fn topology(folder: &Folder, node: &str, request: &Request) -> Value {
    match ask(&folder.socket(node), request) {
        Answer::Topology(value) => value,
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_says_what_rules_would_do_sets_them_and_keeps_a_history() {
    let folder = Folder::new();
    let (a, b, _) = pair(&folder);
    let analysis = topology(&folder, "a", &Request::Analysis {});
    assert_eq!(analysis["overlay"], "full_mesh");
    assert!(
        analysis["rules"]
            .as_array()
            .is_some_and(|rules| !rules.is_empty())
    );
    let blocked = analysis["blocked"].as_array().expect("a list");
    assert!(
        blocked.iter().any(|blocked| blocked["why"] == "manual"),
        "{blocked:?}"
    );
    let rules = topology(&folder, "a", &Request::TopologyRules {});
    assert_eq!(
        (&rules["mode"], &rules["hold_looks"]),
        (&"manual".into(), &"3".into())
    );
    let set = |rules: &[&str]| Request::SetTopologyRules {
        rules: rules.iter().map(|rule| (*rule).to_owned()).collect(),
    };
    let now = topology(
        &folder,
        "a",
        &set(&["hold_looks=5", "topology_cooldown_s=7"]),
    );
    assert_eq!(
        (&now["hold_looks"], &now["cooldown_s"]),
        (&"5".into(), &"7".into())
    );
    assert_eq!(topology(&folder, "a", &Request::TopologyRules {}), now);
    let other = topology(&folder, "b", &Request::TopologyRules {});
    assert_eq!(other["hold_looks"], "3", "they are a node's own");
    for (wrong, said) in [
        ("hold_looks", "name=value"),
        ("hold_loops=3", "there are"),
        ("hold_looks=none", "hold_looks = none"),
        ("mesh_below=500", "mesh_below"),
    ] {
        let refusal = refused(&folder.socket("a"), &set(&["cooldown_s=9", wrong]));
        assert_eq!(refusal.kind, RefusalKind::Invalid, "{refusal:?}");
        assert!(refusal.text.contains(said), "{refusal:?}");
    }
    assert_eq!(
        topology(&folder, "a", &Request::TopologyRules {}),
        now,
        "as before"
    );
    assert_eq!(
        topology(&folder, "a", &Request::SwitchHistory {}),
        Value::Array(vec![])
    );
    let switch = Request::SwitchOverlay {
        overlay: "hyparview".to_owned(),
        servers: Vec::new(),
        trial: None,
        wait_ms: WAIT_MS,
    };
    ask(&folder.socket("a"), &switch);
    let history = topology(&folder, "a", &Request::SwitchHistory {});
    let switch = &history[0];
    assert_eq!(
        (&switch["from"], &switch["to"], &switch["by"]),
        (&"full_mesh".into(), &"hyparview".into(), &"hand".into())
    );
    assert_eq!(switch["end"], "committed");
    drop((a, b));
}

#[test]
fn a_node_in_no_cluster_says_so() {
    let folder = Folder::new();
    let node = start("a", &folder.socket("a"), &[]);
    for request in [
        Request::Members {},
        Request::Overlay {},
        Request::Leave { wait_ms: 1 },
        Request::Analysis {},
        Request::TopologyRules {},
    ] {
        let refusal = refused(&folder.socket("a"), &request);
        assert_eq!(refusal.kind, RefusalKind::Invalid);
        assert!(refusal.text.contains("in no cluster"), "{refusal:?}");
    }
    drop(node);
}

/// Each kind is sent and counted, what is no kind is refused, and `b` hears of a topic once it subscribes.
fn broadcasts_of_all_kinds(folder: &Folder, count: &std::sync::atomic::AtomicU64) {
    let socket = folder.socket("a");
    let broadcast = |kind: &str| Request::Broadcast {
        mailbox: "in".to_owned(),
        channel: None,
        kind: Some(kind.to_owned()),
        wait_ms: Some(WAIT_MS),
        payload: Content::Text("to all".to_owned()),
    };
    for kind in ["plain", "causal", "atomic", "epidemic"] {
        let before = count.load(Ordering::Relaxed);
        ask(&socket, &broadcast(kind));
        let comes = || count.load(Ordering::Relaxed);
        wait_until("it comes", comes, |count| *count == before + 1);
        // The handler has it a moment before it is counted.
        let counted = || {
            let counted = overlay(folder, "b").broadcasts;
            let counted = counted.iter().find(|counts| counts.kind == kind);
            counted.expect("it is counted").delivered
        };
        wait_until(kind, counted, |delivered| *delivered > 0);
    }
    let refusal = refused(&socket, &broadcast("total"));
    assert_eq!(refusal.kind, RefusalKind::Invalid);
    assert!(
        refusal.text.contains("plain, causal, atomic or epidemic"),
        "{refusal:?}"
    );

    let topic = "weather".to_owned();
    let publish = Request::Publish {
        topic: topic.clone(),
        channel: None,
        payload: Content::Text("sun".to_owned()),
    };
    let mailbox = "in".to_owned();
    let subscribe = Request::Subscribe {
        topic: topic.clone(),
        mailbox,
    };
    assert_eq!(ask(&folder.socket("b"), &subscribe), Answer::Done);
    assert_eq!(overlay(folder, "b").topics, [&*topic]);
    let before = count.load(Ordering::Relaxed);
    let channel = "data".to_owned();
    assert_eq!(ask(&socket, &publish), Answer::Publishing { channel });
    let comes = || count.load(Ordering::Relaxed);
    wait_until("it comes", comes, |count| *count == before + 1);
    let unsubscribe = Request::Unsubscribe { topic };
    assert_eq!(ask(&folder.socket("b"), &unsubscribe), Answer::Done);
    let refusal = refused(&folder.socket("b"), &unsubscribe);
    assert_eq!(refusal.kind, RefusalKind::Invalid);
}
