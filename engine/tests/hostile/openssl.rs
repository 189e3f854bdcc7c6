//! OpenSSL as the other end of a connection, dialling and dialled: refused for what is wrong with it, each time with the reason that
//! is its own, and let in with what is right.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;

use overlane::wire::CloseReason;
use overlane::{Event, Node};

use crate::honest::Honest;
use crate::sessions::{finish, lane_and_letter, trap, with_certificates, with_secret};
use crate::support::authority::{Authority, Certified, Folder, Valid};
use crate::support::{config, reliable, start, wait_for_event, wait_until, with_tls};

/// Whether there is one; if not, that is said.
fn is_installed() -> bool {
    let is_there = Command::new("openssl").arg("version").output().is_ok();
    if !is_there {
        println!("skipped: there is no openssl on this machine");
    }
    is_there
}

/// `openssl s_client`, which says `bytes` once its handshake is over, and ends. Returns what it wrote.
fn s_client(to: SocketAddr, arguments: &[String], bytes: &[u8]) -> String {
    let mut client = Command::new("openssl")
        .args([
            "s_client",
            "-quiet",
            "-no_ign_eof",
            "-connect",
            &to.to_string(),
        ])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl runs");
    let mut stdin = client.stdin.take().expect("it was asked to be a pipe");
    // It may have been refused before.
    drop(stdin.write_all(bytes));
    drop(stdin);
    let output = client.wait_with_output().expect("it ends");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// How it shows a certificate.
fn shown(folder: &Folder, name: &str, certified: &Certified, trusts: &Authority) -> Vec<String> {
    let files = folder.node(name, certified, trusts);
    let [certificate, key, authorities] = files.map(|file| file.to_string_lossy().into_owned());
    ["-cert", &certificate, "-key", &key, "-CAfile", &authorities]
        .map(str::to_owned)
        .into()
}

#[test]
fn openssl_is_refused_for_what_it_lacks_and_let_in_with_what_it_needs() {
    if !is_installed() {
        return;
    }
    let (honest, ours, folder) = with_certificates();
    let caught = trap(&honest);
    let to = honest.target.local_addr();
    let theirs = Authority::new("theirs");
    let with = |name: &str, certified: &Certified| shown(&folder, name, certified, &ours);
    let right = with("right", &ours.certify("mallory"));
    let said = lane_and_letter("mallory", "tls");
    use CloseReason as Reason;
    let cases: [(&str, Vec<String>, &[u8], Reason); 8] = [
        (
            "TLS 1.2",
            vec!["-tls1_2".to_owned()],
            &said,
            Reason::TlsVersion,
        ),
        (
            "no certificate",
            Vec::new(),
            &said,
            Reason::CertificateMissing,
        ),
        (
            "expired",
            with("expired", &ours.sign("mallory", Valid::Past, 7)),
            &said,
            Reason::CertificateExpired,
        ),
        (
            "not valid yet",
            with("early", &ours.sign("mallory", Valid::Future, 7)),
            &said,
            Reason::CertificateNotYetValid,
        ),
        (
            "of another authority",
            with("theirs", &theirs.certify("mallory")),
            &said,
            Reason::CertificateUntrusted,
        ),
        (
            "of another node",
            with("another", &ours.certify("friend-of-mallory")),
            &said,
            Reason::NameNotProven,
        ),
        (
            "another protocol",
            right.clone(),
            b"GET / HTTP/1.1\r\n\r\n",
            Reason::WrongMagic,
        ),
        ("nothing to say", right.clone(), b"", Reason::PeerClosed),
    ];
    for (what, arguments, bytes, reason) in cases {
        let wrote = s_client(to, &arguments, bytes);
        honest.refused(reason, 1);
        println!(
            "{what}: {reason}; openssl: {}",
            wrote.lines().last().unwrap_or_default()
        );
        honest.goes_on();
    }
    // It trusts the target in turn.
    let checks = [right.clone(), vec!["-verify_return_error".to_owned()]].concat();
    let wrote = s_client(to, &checks, b"");
    assert!(wrote.contains("verify return:1"), "{wrote}");
    honest.refused(Reason::PeerClosed, 2);
    assert_eq!(caught.load(Ordering::Relaxed), 0, "none of them was heard");
    // With all that is right, a lane comes up.
    let wrote = s_client(to, &right, &said);
    let heard = || caught.load(Ordering::Relaxed);
    wait_until("a letter of openssl's", heard, |count| *count == 1);
    println!(
        "a Hello and a letter: heard; openssl: {}",
        wrote.lines().last().unwrap_or_default()
    );
    honest.finish();
}

#[test]
fn openssl_is_told_apart_by_nodes_that_speak_something_else() {
    if !is_installed() {
        return;
    }
    for honest in [with_secret(), Honest::start(|config| config)] {
        let caught = trap(&honest);
        for version in ["-tls1_2", "-tls1_3"] {
            s_client(honest.target.local_addr(), &[version.to_owned()], b"");
        }
        honest.refused(CloseReason::SessionMismatch, 2);
        finish(honest, &caught);
    }
}

/// `openssl s_server`, which asks for a certificate. Ends when it is dropped.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(arguments: &[String]) -> Self {
        let mut process = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-Verify", "1"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl runs");
        let output = process.stdout.take().expect("it was asked to be a pipe");
        let mut lines = BufReader::new(output).lines();
        let address = lines
            .find_map(|line| line.ok()?.strip_prefix("ACCEPT ")?.parse().ok())
            .expect("it says where it listens");
        // What else it says is of no interest, and must not stop it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[test]
fn a_node_that_dials_openssl_finds_what_is_wrong_with_it() {
    if !is_installed() {
        return;
    }
    let (ours, theirs, folder) = (
        Authority::new("ours"),
        Authority::new("theirs"),
        Folder::new(),
    );
    let node = with_tls(config("a"), &folder, &ours.certify("a"), &ours);
    let node = start(node.channel(reliable("data")));
    let with = |name: &str, certified: &Certified| shown(&folder, name, certified, &ours);
    let right = with("right", &ours.certify("b"));
    use CloseReason as Reason;
    for (what, arguments, reason) in [
        (
            "TLS 1.2",
            [right, vec!["-tls1_2".to_owned()]].concat(),
            Reason::TlsVersion,
        ),
        (
            "expired",
            with("expired", &ours.sign("b", Valid::Past, 7)),
            Reason::CertificateExpired,
        ),
        (
            "not valid yet",
            with("early", &ours.sign("b", Valid::Future, 7)),
            Reason::CertificateNotYetValid,
        ),
        (
            "of another authority",
            with("theirs", &theirs.certify("b")),
            Reason::CertificateUntrusted,
        ),
        (
            "of another node",
            with("another", &ours.certify("c")),
            Reason::NameNotProven,
        ),
    ] {
        let server = Server::start(&arguments);
        let (reason_found, detail) = failed(&node, server.address);
        println!("{what}: {reason_found}: {detail}");
        assert_eq!(reason_found, reason, "{what}: {detail}");
    }
}

/// Why a dial of `b` there fails.
fn failed(node: &Node, there: SocketAddr) -> (CloseReason, String) {
    let events = node.events();
    node.connect("b", there).expect("a name");
    let failed = wait_for_event(&events, "a failed dial", |event| match event {
        Event::DialFailed { reason, detail, .. } => Some((*reason, detail.clone())),
        _ => None,
    });
    node.disconnect("b").expect("a name");
    failed
}
