//! `kubernetes` against a stand-in for the API server.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use overlane_discovery::kubernetes::{Kubernetes, Lookup, Mode, Naming, Settings};
use overlane_discovery::{Again, Stop, Strategy};

use crate::stand_in::kubernetes::ApiServer;
use crate::stand_in::web::WebServer;
use crate::{GENEROUS, look_until, texts, wait_until};

fn server(name: &str) -> ApiServer {
    ApiServer::start(Path::new(env!("CARGO_TARGET_TMPDIR")), name)
}

pub(crate) fn settings(server: &ApiServer, watch: bool) -> Settings {
    Settings {
        url: Some(server.url()),
        account: server.account().to_owned(),
        namespace: None,
        selector: "app=overlane,tier in (core)".into(),
        lookup: Lookup::EndpointSlices,
        naming: Naming {
            mode: Mode::Ip,
            port: 7400,
            domain: "cluster.local".into(),
            service: String::new(),
        },
        watch,
    }
}

fn kubernetes(server: &ApiServer) -> Kubernetes {
    Kubernetes::new(settings(server, true))
}

#[test]
fn what_is_there_is_listed_page_by_page_and_what_comes_is_seen_at_once() {
    let server = server("watch");
    for (name, address) in [("a", "10.0.0.1"), ("b", "10.0.0.2"), ("c", "10.0.0.3")] {
        server.set(name, &[address]);
    }
    let (mut strategy, stop) = (kubernetes(&server), Stop::default());
    let found = strategy.look(&stop).expect("it answers");
    assert_eq!(
        texts(&found),
        ["10.0.0.1:7400", "10.0.0.2:7400", "10.0.0.3:7400"]
    );
    assert_eq!(found.again, Again::AtOnce);
    assert_eq!(server.counts.lists.load(Ordering::SeqCst), 2, "two pages");
    server.set("c", &["10.0.0.3", "10.0.0.4"]);
    let found = strategy.look(&stop).expect("it watches");
    assert_eq!(found.places().len(), 4);
    server.bookmark();
    server.set("a", &[]);
    let found = strategy.look(&stop).expect("it watches");
    assert_eq!(
        texts(&found),
        ["10.0.0.2:7400", "10.0.0.3:7400", "10.0.0.4:7400"]
    );
    assert_eq!(
        server.counts.watches.load(Ordering::SeqCst),
        1,
        "one watch brought all of it"
    );
    assert_eq!(server.counts.bookmarks.load(Ordering::SeqCst), 1);
}

#[test]
fn after_410_gone_it_is_listed_again() {
    let server = server("gone");
    server.set("a", &["10.0.0.1"]);
    let mut strategy = kubernetes(&server);
    look_until(&mut strategy, "it is listed", |found| found.len() == 1);
    server.compact();
    server.set("b", &["10.0.0.2"]);
    server.compact();
    look_until(&mut strategy, "what came meanwhile is found", |found| {
        found.len() == 2
    });
    assert!(server.counts.lists.load(Ordering::SeqCst) >= 2);
    server.set("c", &["10.0.0.3"]);
    look_until(&mut strategy, "it watches again", |found| found.len() == 3);
}

#[test]
fn a_token_that_is_replaced_is_read_again() {
    let server = server("token");
    server.set("a", &["10.0.0.1"]);
    let mut strategy = Kubernetes::new(settings(&server, false));
    look_until(&mut strategy, "it is listed", |found| found.len() == 1);
    server.set_token("second");
    server.set("b", &["10.0.0.2"]);
    let found = strategy
        .look(&Stop::default())
        .expect("the token is the new one");
    assert_eq!(found.places().len(), 2);
    assert_eq!(found.again, Again::ByPace, "it polls");
    assert_eq!(server.counts.unauthorized.load(Ordering::SeqCst), 0);
    server.state().token = "third".into();
    let error = strategy
        .look(&Stop::default())
        .expect_err("the token is not mounted yet");
    assert!(
        error.to_string().contains("answered 401: Unauthorized"),
        "{error}"
    );
}

#[test]
fn refusals_are_failures_that_say_what_the_server_said_and_where_to_look() {
    let server = server("refused");
    for code in [403, 500, 503] {
        server.state().list_status = Some(code);
        let error = kubernetes(&server)
            .look(&Stop::default())
            .expect_err("no")
            .to_string();
        assert!(
            error.contains(&format!("answered {code}: the stand-in says no")),
            "{error}"
        );
        assert!(error.contains("rbac.yaml"), "{error}");
    }
}

#[test]
fn where_watching_is_refused_or_cut_it_is_polled() {
    for (name, status, cut) in [("forbidden", Some(403), false), ("cut", None, true)] {
        let server = server(name);
        server.state().watch_status = status;
        server.state().cut = cut;
        server.set("a", &["10.0.0.1"]);
        let (mut strategy, stop) = (kubernetes(&server), Stop::default());
        let deadline = Instant::now() + GENEROUS;
        while strategy.look(&stop).expect("it answers").again != Again::ByPace {
            assert!(Instant::now() < deadline, "it goes on watching");
        }
        server.set("b", &["10.0.0.2"]);
        let found = strategy.look(&stop).expect("it polls");
        assert_eq!(
            (found.places().len(), found.again),
            (2, Again::ByPace),
            "{name}"
        );
    }
}

#[test]
fn a_silent_server_does_not_keep_whoever_stops_waiting() {
    for is_watching in [false, true] {
        let server = server(if is_watching {
            "slow-watch"
        } else {
            "slow-list"
        });
        server.set("a", &["10.0.0.1"]);
        let mut strategy = kubernetes(&server);
        let stop = Arc::new(Stop::default());
        if is_watching {
            strategy.look(&stop).expect("it is listed");
        } else {
            server.state().silent = true;
        }
        let before = server.counts.requests.load(Ordering::SeqCst);
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || drop(strategy.look(&stopped)));
        wait_until("it has asked", || {
            server.counts.requests.load(Ordering::SeqCst) > before
        });
        assert!(!thread.is_finished(), "it waits");
        let asked = Instant::now();
        stop.stop();
        thread.join().expect("it does not panic");
        println!("it ended {:?} after it was asked to", asked.elapsed());
        assert!(asked.elapsed() < GENEROUS / 4);
    }
}

/// 100 MB, of which no more is taken than an answer may have.
#[test]
fn an_answer_that_is_too_large_is_refused() {
    const SAID: usize = 100_000_000;
    let (told, taken) = std::sync::mpsc::channel();
    let web = WebServer::start(move |_, answering| {
        let piece = " ".repeat(64 << 10);
        let mut said = 0;
        let mut goes_on = answering.announce(SAID);
        while goes_on && said < SAID {
            goes_on = answering.part(&piece);
            said += piece.len();
        }
        told.send(said).expect("the test waits");
    });
    let server = server("huge");
    let settings = Settings {
        url: Some(web.url()),
        ..settings(&server, true)
    };
    let error = Kubernetes::new(settings)
        .look(&Stop::default())
        .expect_err("too large");
    assert!(
        error.to_string().contains("more than 16777216 bytes"),
        "{error}"
    );
    let said = taken.recv_timeout(GENEROUS).expect("it has noticed");
    // What is on its way in the kernel comes on top.
    assert!(said < SAID / 2, "{said} bytes were taken");
}

/// An object in a watch that does not end, and events that are none.
#[test]
fn a_watch_that_says_nonsense_is_a_failure_and_is_listed_again() {
    for (name, line, said) in [
        ("endless", "x".repeat(3 << 20), "more than 2097152 bytes"),
        (
            "no-json",
            "{\"type\":\"ADDED\"".to_owned(),
            "not as expected",
        ),
        (
            "unknown",
            "{\"type\":\"MOVED\",\"object\":{}}".to_owned(),
            "unknown type MOVED",
        ),
    ] {
        let server = server(name);
        server.set("a", &["10.0.0.1"]);
        let (mut strategy, stop) = (kubernetes(&server), Stop::default());
        strategy.look(&stop).expect("it is listed");
        server.tell(&line);
        let error = strategy.look(&stop).expect_err("it is nonsense");
        assert!(error.to_string().contains(said), "{error}");
        assert!(error.to_string().len() < 600, "{error}");
        server.set("b", &["10.0.0.2"]);
        look_until(&mut strategy, "it is listed again", |found| {
            found.len() == 2
        });
    }
}

/// What was deleted before it was added, what comes twice, and what belongs to nobody.
#[test]
fn events_in_another_order_come_to_what_the_last_of_them_says() {
    let server = server("order");
    server.set("a", &["10.0.0.1"]);
    let (mut strategy, stop) = (kubernetes(&server), Stop::default());
    strategy.look(&stop).expect("it is listed");
    let event = |kind: &str, name: &str, endpoints: &str| {
        server.tell(&format!(
            "{{\"type\":\"{kind}\",\"object\":{{\"metadata\":{{\"name\":\"{name}\",\"namespace\":\"prod\"}},\"endpoints\":{endpoints}}}}}"
        ));
    };
    event("DELETED", "never-there", "[]");
    event("MODIFIED", "b", "[{\"addresses\":[\"10.0.0.2\"]}]");
    event("ADDED", "b", "[{\"addresses\":[\"10.0.0.3\"]}]");
    event("ADDED", "", "null");
    event(
        "ADDED",
        "c",
        "[{\"addresses\":[\"0.0.0.0\",\"no address\"]}]",
    );
    event("DELETED", "a", "null");
    event("DELETED", "a", "null");
    look_until(&mut strategy, "the last counts", |found| {
        found == ["10.0.0.3:7400"]
    });
    assert_eq!(server.counts.lists.load(Ordering::SeqCst), 1);
}

/// A server that calls each version too old is not asked again and again without a pause.
#[test]
fn a_server_for_which_every_version_is_too_old_is_polled() {
    let server = server("forgets");
    server.state().forgets = true;
    server.set("a", &["10.0.0.1"]);
    let (mut strategy, stop) = (kubernetes(&server), Stop::default());
    let mut looks = 0;
    while strategy.look(&stop).expect("it answers").again != Again::ByPace {
        looks += 1;
        assert!(looks < 10, "it asks without a pause");
    }
    // What changes is found all the same, and once it is well, it is watched.
    server.set("b", &["10.0.0.2"]);
    look_until(&mut strategy, "it is listed", |found| found.len() == 2);
    server.state().forgets = false;
    server.set("c", &["10.0.0.3"]);
    look_until(&mut strategy, "it is listed", |found| found.len() == 3);
    let lists = server.counts.lists.load(Ordering::SeqCst);
    server.set("d", &["10.0.0.4"]);
    look_until(&mut strategy, "it is watched", |found| found.len() == 4);
    assert_eq!(server.counts.lists.load(Ordering::SeqCst), lists);
}

/// While the token cannot be read the watch that is under way goes on; the next request is a failure that names the file.
#[test]
fn a_token_that_vanishes_is_named_and_found_again() {
    let server = server("vanished");
    server.set("a", &["10.0.0.1"]);
    let mut watching = kubernetes(&server);
    look_until(&mut watching, "it is listed", |found| found.len() == 1);
    server.set("b", &["10.0.0.2"]);
    look_until(&mut watching, "it is watched", |found| found.len() == 2);
    std::fs::remove_file(server.account().join("token")).expect("it is there");
    server.set("c", &["10.0.0.3"]);
    look_until(&mut watching, "the watch goes on", |found| found.len() == 3);
    let mut polling = Kubernetes::new(settings(&server, false));
    let stop = Stop::default();
    let error = polling.look(&stop).expect_err("there is no token");
    let error = error.to_string();
    assert!(error.contains("token cannot be read"), "{error}");
    assert_eq!(server.counts.unauthorized.load(Ordering::SeqCst), 0);
    server.set_token("another");
    look_until(&mut polling, "it is there again", |found| found.len() == 3);
}

#[test]
fn a_pod_without_a_service_account_is_told_what_is_missing() {
    let server = server("account");
    let settings = Settings {
        account: "/nonexistent".into(),
        ..settings(&server, true)
    };
    let error = Kubernetes::new(settings)
        .look(&Stop::default())
        .expect_err("no account")
        .to_string();
    assert!(
        error.contains("/nonexistent/namespace") && error.contains("`account`"),
        "{error}"
    );
    let settings = Settings {
        url: Some("https://127.0.0.1:1".into()),
        namespace: Some("prod".into()),
        ..self::settings(&server, true)
    };
    let error = Kubernetes::new(settings)
        .look(&Stop::default())
        .expect_err("no authority")
        .to_string();
    assert!(error.contains("ca.crt"), "{error}");
}
