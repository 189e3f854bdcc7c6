//! What each path shows, and when a node is well and ready.

use std::net::TcpListener;

use overlane::admin::{Client, Request};
use overlane::config::{Admin, Http, OverlayChoice, TokenFile};
use overlane::error::StartError;
use overlane::{Config, Node};
use serde_json::Value;

use super::{address, anywhere, config, get, get_with};
use crate::support::{self, reliable, wait_until};

#[test]
fn the_api_says_what_the_admin_socket_says() {
    let folder = std::env::temp_dir().join(format!(
        "http-{}-{}",
        std::process::id(),
        support::cluster()
    ));
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder).expect("it can be made");
    let socket = folder.join("a.sock");
    let node = support::start(
        config("a")
            .admin(Admin::At(socket.clone()))
            .channel(reliable("data"))
            .overlay(OverlayChoice::FullMesh),
    );
    let cluster = node.cluster().expect("it is in one");
    cluster.wait_joined(support::GENEROUS).expect("it is alone");
    // What is asked twice is to say the same twice.
    wait_until(
        "it is the coordinator",
        || cluster.coordinator(),
        |coordinator| coordinator.as_deref() == Some("a"),
    );
    for (path, request) in [
        ("members", Request::Members {}),
        ("overlay", Request::Overlay {}),
        ("peers", Request::Peers {}),
        ("channels", Request::Channels {}),
        ("rules", Request::Rules {}),
    ] {
        let got = get(address(&node), &format!("/api/{path}"));
        assert_eq!(got.status, 200, "{path}: {}", got.body);
        assert!(
            got.head.contains("Content-Type: application/json"),
            "{}",
            got.head
        );
        let shown: Value = serde_json::from_str(&got.body).expect("JSON");
        let answer = Client::ask_once(&socket, &request).expect("it answers");
        let answer = serde_json::to_value(answer).expect("JSON");
        let said = answer.as_object().and_then(|answer| answer.values().next());
        assert_eq!(Some(&shown), said, "{path}");
    }
    let status: Value =
        serde_json::from_str(&get(address(&node), "/api/status").body).expect("JSON");
    assert_eq!(
        (&status["node"], &status["identity_holds"]),
        (&"a".into(), &true.into())
    );
    let metrics: Value =
        serde_json::from_str(&get(address(&node), "/api/metrics?channel=data").body).expect("JSON");
    assert_eq!(metrics["shards"].as_array().map(Vec::len), Some(1));
    drop(std::fs::remove_dir_all(&folder));
}

#[test]
fn a_node_is_ready_when_it_has_joined_and_until_it_stops() {
    // It is held, so that nobody else listens there, and says nothing.
    let silent = TcpListener::bind(anywhere()).expect("a free port");
    let seed = silent.local_addr().expect("an address").to_string();
    let config = config("a").overlay(OverlayChoice::FullMesh);
    let lonely = support::start(config.clone().seeds([seed.parse().expect("a seed")]));
    let got = get(address(&lonely), "/readyz");
    assert_eq!(got.status, 503, "{}", got.body);
    assert!(got.body.contains("not joined its cluster"), "{}", got.body);
    assert_eq!(get(address(&lonely), "/healthz").status, 200);
    drop(lonely);

    let node = support::start(config);
    wait_until(
        "it is ready",
        || get(address(&node), "/readyz").status,
        |status| *status == 200,
    );
    // A shard that is held for longer than it is waited for is no sign of health.
    let held = support::hold(&node);
    let got = get(address(&node), "/healthz");
    assert_eq!(got.status, 503);
    assert!(got.body.contains("shards [0] do not go on"), "{}", got.body);
    drop(held);
    wait_until(
        "it goes on",
        || get(address(&node), "/healthz").status,
        |status| *status == 200,
    );

    let address = address(&node);
    let release = support::hold(&node);
    let stopping = std::thread::spawn(move || node.stop(support::GENEROUS));
    let told = wait_until(
        "it says that it stops",
        || get(address, "/readyz"),
        |got| got.status == 503,
    );
    assert!(told.body.contains("stopping"), "{}", told.body);
    drop(release);
    assert!(stopping.join().expect("it stops").drained);
    assert!(
        std::net::TcpStream::connect(address).is_err(),
        "nobody listens any more"
    );
}

#[test]
fn beyond_loopback_a_token_is_needed_and_asked_for() {
    let wrong = Config::builder()
        .http(Http::At("0.0.0.0:0".parse().expect("an address")))
        .build();
    let error = wrong.expect_err("no token").to_string();
    assert!(
        error.contains("http = \"0.0.0.0:0\"") || error.contains("0.0.0.0:0"),
        "{error}"
    );
    assert!(error.contains("name a file with a token"), "{error}");

    let file = std::env::temp_dir().join(format!("http-token-{}", std::process::id()));
    std::fs::write(&file, "a-token-of-this-test\n").expect("it can be written");
    let anywhere = Http::At("0.0.0.0:0".parse().expect("an address"));
    let node = support::start(
        support::config("a")
            .http(anywhere)
            .http_token_file(TokenFile::At(file.clone())),
    );
    let address = ([127, 0, 0, 1], address(&node).port()).into();
    assert_eq!(get(address, "/healthz").status, 200);
    let got = get(address, "/metrics");
    assert_eq!(got.status, 401);
    assert!(
        got.head.contains("WWW-Authenticate: Bearer"),
        "{}",
        got.head
    );
    assert_eq!(
        get_with(
            address,
            "/metrics",
            "Authorization: Bearer a-token-of-this-tesu\r\n"
        )
        .status,
        401
    );
    assert_eq!(
        get_with(
            address,
            "/metrics",
            "Authorization: Bearer a-token-of-this-test\r\n"
        )
        .status,
        200
    );
    drop(node);
    std::fs::write(&file, "short").expect("it can be written");
    let config = support::config("a")
        .http(anywhere)
        .http_token_file(TokenFile::At(file.clone()));
    let error = Node::start(config.build().expect("it holds together")).expect_err("no token");
    assert!(matches!(error, StartError::HttpToken { .. }), "{error}");
    drop(std::fs::remove_file(file));
}

#[test]
fn an_address_that_is_taken_is_told_by_name() {
    let taken = TcpListener::bind(anywhere()).expect("a free port");
    let address = taken.local_addr().expect("an address");
    let config = support::config("a").http(Http::At(address));
    let error = Node::start(config.build().expect("valid")).expect_err("it is taken");
    let said = error.to_string();
    assert!(
        said.contains(&format!("cannot serve HTTP on {address}")),
        "{said}"
    );
}

#[test]
fn a_name_that_was_made_to_lead_here_is_not_answered() {
    let node = support::start(config("a"));
    let request = b"GET /api/status HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    assert_eq!(super::exchange(address(&node), request).status, 403);
    assert_eq!(get(address(&node), "/api/status").status, 200);
}
