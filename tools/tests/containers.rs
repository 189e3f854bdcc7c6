//! Nodes in containers on a network of their own, half of them where io_uring is forbidden: killed, paused, cut off, and
//! back, one of them at another address. Skipped, with a word, unless it is asked
//! for, and where no container engine answers.

#[path = "containers/site.rs"]
mod site;
mod support;

use serde_json::{Value, json};
use site::{Profile, Site, Told};
use support::until;

/// It waits for a node that is alone to count all others out, which takes that for as long as a machine is busy.
const ASKED_BY: &str = "OVERLANE_CONTAINERS";

const NODES: [&str; 4] = ["n1", "n2", "n3", "n4"];
/// The last number of the address of the first of them; the others follow.
const FIRST_HOST: u32 = 11;

/// The members that a node counts, with what it knows of them.
fn members(site: &Site, node: &str) -> Vec<(String, String)> {
    let members = site.ask(node, &["members"]);
    let members = members.as_array().cloned().unwrap_or_default();
    let word = |member: &Value, key: &str| member[key].as_str().unwrap_or("?").to_owned();
    let members = members.iter();
    let members = members.map(|member| (word(member, "member"), word(member, "status")));
    members.collect()
}

/// Waits until each of these nodes counts these members as alive, and no others.
fn all_count(site: &Site, nodes: &[&str], alive: &[&str]) {
    for node in nodes {
        let count = || {
            let members = members(site, node);
            let live = members.into_iter().filter(|(_, status)| status == "alive");
            json!(live.map(|(name, _)| name).collect::<Vec<_>>())
        };
        until(&format!("{node} counts {alive:?}"), count, |now| {
            *now == json!(alive)
        });
    }
}

/// Broadcasts from the first node: it comes to each of the others once.
fn comes_to_all(site: &Site, word: &str, others: &[&str]) {
    let begun = site.ask("n1", &["broadcast", "inbox", word]);
    assert!(begun.is_object(), "{word:?} is not begun");
    for node in others {
        let came = || {
            let said = site.said(node);
            let words = said.iter().filter(|line| line["message"]["text"] == word);
            json!(words.count())
        };
        until(&format!("{word:?} comes to {node}"), came, |now| {
            *now == json!(1)
        });
    }
}

/// Waits until that is told of a member, and of no other one that it is up or down. Others may be suspected meanwhile: one that
/// was away suspects those that it did not hear, until it hears them.
fn only(told: &Told, event: &str, member: &str) {
    let mut until_then = told.until(event, member);
    until_then.retain(|told| !told.starts_with("suspect "));
    assert_eq!(until_then, [format!("{event} {member}")]);
}

#[test]
fn a_cluster_in_containers_tells_who_is_killed_paused_and_cut_off() {
    if std::env::var_os(ASKED_BY).is_none() {
        println!("skipped: it takes a minute and a half, {ASKED_BY}=1 asks for it");
        return;
    }
    let mut site = match Site::new("containers") {
        Ok(site) => site,
        Err(why) => {
            println!("skipped: {why}");
            return;
        }
    };
    let seed = format!("{}:7400", site.address(FIRST_HOST));
    let join = ["--join", &seed];
    for (host, node) in (FIRST_HOST..).zip(NODES) {
        let (profile, more) = match node {
            "n1" => (Profile::Default, &[][..]),
            "n2" | "n4" => (Profile::WithoutIoUring, &join[..]),
            _ => (Profile::Default, &join[..]),
        };
        site.run(node, host, profile, more);
    }
    all_count(&site, &NODES, &NODES);
    for node in NODES {
        let backend = site.ask(node, &["status"])["backend"].clone();
        println!("{node}: {backend}");
        let is_forbidden = ["n2", "n4"].contains(&node);
        assert!(!is_forbidden || backend == "poll", "{node}: {backend}");
    }
    comes_to_all(&site, "formed", &["n2", "n3", "n4"]);
    let told = site.events("n1");

    site.order("kill", "n4");
    only(&told, "down", "n4");
    all_count(&site, &["n1", "n2", "n3"], &["n1", "n2", "n3"]);
    comes_to_all(&site, "without n4", &["n2", "n3"]);
    // It comes back at another address.
    site.remove("n4");
    site.run("n4", 99, Profile::WithoutIoUring, &join);
    only(&told, "up", "n4");
    all_count(&site, &NODES, &NODES);
    let listed = site.ask("n2", &["members"]);
    assert_eq!(
        listed[3]["addresses"][0],
        format!("{}:7400", site.address(99))
    );
    comes_to_all(&site, "n4 is elsewhere", &["n2", "n3", "n4"]);

    site.order("pause", "n3");
    only(&told, "down", "n3");
    comes_to_all(&site, "without n3", &["n2", "n4"]);
    site.order("unpause", "n3");
    only(&told, "up", "n3");
    all_count(&site, &NODES, &NODES);

    site.disconnect("n2");
    only(&told, "down", "n2");
    all_count(&site, &["n1", "n3", "n4"], &["n1", "n3", "n4"]);
    all_count(&site, &["n2"], &["n2"]);
    site.connect("n2", FIRST_HOST + 1);
    only(&told, "up", "n2");
    all_count(&site, &NODES, &NODES);
    comes_to_all(&site, "whole", &["n2", "n3", "n4"]);
    for node in NODES {
        let status = || site.ask(node, &["status"])["messages_open"].clone();
        until("all is accounted for", status, |open| *open == json!(0));
        let holds = site.ask(node, &["status"])["identity_holds"].clone();
        assert_eq!(holds, json!(true), "{node}");
    }
}
