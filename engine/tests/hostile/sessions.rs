//! Strangers at nodes whose lanes are protected: none of them gets a lane, each is counted for its own reason, at
//! both ends where the other end is a node, and honest traffic beside it goes on.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use overlane::config::ConfigBuilder;
use overlane::wire::CloseReason;
use overlane::{Event, Node};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use crate::honest::Honest;
use crate::stranger::{Stranger, encoded, hello, letter, name};
use crate::support::authority::{Authority, Certified, Folder, Valid};
use crate::support::child::in_child;
use crate::support::{
    GENEROUS, config, counting_handler, reliable, start, wait_for_event, wait_until, with_secrets,
    with_tls,
};

pub(crate) const SECRET: &str = "the secret that both of them have";
pub(crate) const OTHER_SECRET: &str = "a secret that none of them has";

/// Both honest nodes with certificates, and who signs them.
pub(crate) fn with_certificates() -> (Honest, Authority, Folder) {
    let (authority, folder) = (Authority::new("ours"), Folder::new());
    let protect =
        |node: &str, config| with_tls(config, &folder, &authority.certify(node), &authority);
    (Honest::protected(protect), authority, folder)
}

pub(crate) fn with_secret() -> Honest {
    Honest::protected(|_, config| with_secrets(config, &[SECRET]))
}

/// Counts what reaches a mailbox of the target that only strangers send to.
pub(crate) fn trap(honest: &Honest) -> Arc<AtomicU64> {
    let (handler, caught) = counting_handler();
    honest.target.handle("trap", handler).expect("a mailbox");
    caught
}

pub(crate) fn finish(honest: Honest, caught: &AtomicU64) {
    honest.finish();
    assert_eq!(caught.load(Ordering::Relaxed), 0, "a stranger was heard");
}

/// Trusts whoever answers: it is the dialer that is judged.
#[derive(Debug)]
pub(crate) struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::ED25519,
        ]
    }
}

/// The end of somebody who dials with TLS, and shows that certificate or none.
pub(crate) fn dialer_of_tls(shown: Option<&Certified>) -> ClientConnection {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3 is there")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous));
    let mut tls = match shown {
        None => builder.with_no_client_auth(),
        Some(shown) => {
            let chain = CertificateDer::pem_slice_iter(shown.certificate.as_bytes());
            let chain = chain.collect::<Result<_, _>>().expect("a certificate");
            let key = PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).expect("a key");
            builder.with_client_auth_cert(chain, key).expect("they fit")
        }
    };
    tls.alpn_protocols = vec![b"overlane".to_vec()];
    let name = ServerName::try_from("overlane.invalid").expect("a name");
    ClientConnection::new(Arc::new(tls), name).expect("a good configuration")
}

/// Connects with TLS, shows that certificate or none, says `bytes` and reads to the end. Returns what was answered
/// within the session.
pub(crate) fn speak_tls(to: SocketAddr, shown: Option<&Certified>, bytes: &[u8]) -> Vec<u8> {
    let connection = dialer_of_tls(shown);
    let socket = TcpStream::connect(to).expect("the node listens");
    socket
        .set_read_timeout(Some(GENEROUS))
        .expect("a socket takes it");
    let mut stream = StreamOwned::new(connection, socket);
    // Whether it is refused while it speaks or afterwards is a matter of time.
    let mut answer = Vec::new();
    if stream
        .write_all(bytes)
        .and_then(|()| stream.flush())
        .is_ok()
    {
        drop(stream.read_to_end(&mut answer));
    }
    answer
}

/// What a node says when it is dialled by somebody who wants a lane and sends on it at once.
pub(crate) fn lane_and_letter(node: &str, session: &str) -> Vec<u8> {
    let mut hello = hello(node);
    hello.session = name(session);
    [encoded(&hello), letter("trap", b"heard")].concat()
}

#[test]
fn each_wrong_certificate_is_refused_for_its_own_reason() {
    let (honest, ours, _folder) = with_certificates();
    let caught = trap(&honest);
    let theirs = Authority::new("theirs");
    let said = lane_and_letter("mallory", "tls");
    use CloseReason as Reason;
    for (what, shown, reason) in [
        ("none", None, Reason::CertificateMissing),
        (
            "expired",
            Some(ours.sign("mallory", Valid::Past, 7)),
            Reason::CertificateExpired,
        ),
        (
            "not valid yet",
            Some(ours.sign("mallory", Valid::Future, 7)),
            Reason::CertificateNotYetValid,
        ),
        (
            "of another authority",
            Some(theirs.certify("mallory")),
            Reason::CertificateUntrusted,
        ),
        (
            "of another node",
            Some(ours.certify("friend-of-mallory")),
            Reason::NameNotProven,
        ),
    ] {
        let answer = speak_tls(honest.target.local_addr(), shown.as_ref(), &said);
        let is_told_within = answer.starts_with(b"OVLN");
        assert_eq!(is_told_within, reason == Reason::NameNotProven, "{what}");
        honest.refused(reason, 1);
        honest.goes_on();
    }
    // With the right one, a lane comes up: the others were refused for what was wrong with them.
    let mallory = ours.certify("mallory");
    let hello = lane_and_letter("mallory", "tls");
    let address = honest.target.local_addr();
    let dials = std::thread::spawn(move || speak_tls(address, Some(&mallory), &hello));
    let heard = || caught.load(Ordering::Relaxed);
    wait_until("a letter with the right certificate", heard, |count| {
        *count == 1
    });
    honest.target.disconnect("mallory").expect("a name");
    let answer = dials.join().expect("it speaks to the end");
    assert!(answer.starts_with(b"OVLN"), "it got a Welcome");
    honest.finish();
}

#[test]
fn who_speaks_something_else_to_a_protected_node_is_told() {
    let (with_tls, _, _folder) = with_certificates();
    let with_psk = with_secret();
    for honest in [with_tls, with_psk] {
        let caught = trap(&honest);
        let address = honest.target.local_addr();
        for session in ["plain", "tls", "psk"] {
            let mut stranger = Stranger::connect(address);
            let said = lane_and_letter("mallory", session);
            assert_eq!(stranger.refused_after(&said), CloseReason::SessionMismatch);
        }
        honest.refused(CloseReason::SessionMismatch, 3);
        let mut stranger = Stranger::connect(address);
        let reason = stranger.refused_after(b"GET / HTTP/1.1\r\n\r\n");
        assert_eq!(reason, CloseReason::WrongMagic);
        honest.refused(CloseReason::WrongMagic, 1);
        finish(honest, &caught);
    }
}

#[test]
fn who_speaks_tls_or_psk_to_a_plain_node_is_told() {
    let honest = Honest::start(|config| config);
    let authority = Authority::new("ours");
    let address = honest.target.local_addr();
    speak_tls(address, Some(&authority.certify("mallory")), b"hello");
    honest.refused(CloseReason::SessionMismatch, 1);
    let mut stranger = Stranger::connect(address);
    let reason = stranger.refused_after(b"OVLP\x01\x01");
    assert_eq!(reason, CloseReason::SessionMismatch);
    honest.refused(CloseReason::SessionMismatch, 2);
    honest.finish();
}

/// A ClientHello of TLS 1.2: it has no list of supported versions.
fn client_hello_of_tls_1_2() -> Vec<u8> {
    let extensions = [
        // Groups: X25519 and P-256; signatures: ECDSA with SHA-256.
        &[0, 10, 0, 6, 0, 4, 0, 29, 0, 23][..],
        &[0, 13, 0, 4, 0, 2, 4, 3],
    ]
    .concat();
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    // No session; two cipher suites; no compression.
    body.extend([0, 0, 4, 0xc0, 0x2b, 0xc0, 0x2f, 1, 0]);
    body.extend(
        u16::try_from(extensions.len())
            .expect("a few")
            .to_be_bytes(),
    );
    body.extend(extensions);
    let length = u16::try_from(body.len()).expect("a few");
    let mut hello = vec![0x16, 3, 1];
    hello.extend((length + 4).to_be_bytes());
    hello.extend([1, 0]);
    hello.extend(length.to_be_bytes());
    hello.extend(body);
    hello
}

#[test]
fn tls_1_2_is_refused() {
    let (honest, _, _folder) = with_certificates();
    let caught = trap(&honest);
    let mut stranger = Stranger::connect(honest.target.local_addr());
    stranger.say(&client_hello_of_tls_1_2());
    stranger.ends();
    honest.refused(CloseReason::TlsVersion, 1);
    finish(honest, &caught);
}

/// A node that is no friend dials the target; why that fails, at its end.
pub(crate) fn failed_dial(stranger: ConfigBuilder, honest: &Honest) -> CloseReason {
    let stranger = start(stranger.channel(reliable("data")));
    let events = stranger.events();
    dial(&stranger, honest);
    let reason = wait_for_event(&events, "a failed dial", |event| match event {
        Event::DialFailed { reason, .. } => Some(*reason),
        _ => None,
    });
    drop(stranger);
    reason
}

pub(crate) fn dial(stranger: &Node, honest: &Honest) {
    let address = honest.target.local_addr();
    stranger.connect("target", address).expect("a name");
}

/// Waits until the target has refused somebody for that reason.
pub(crate) fn counted(honest: &Honest, reason: CloseReason) {
    let refused = || honest.target.metrics().refused_connections;
    wait_until("the refusal", refused, |refused| {
        refused.contains_key(&reason)
    });
}

#[test]
fn nodes_that_are_protected_otherwise_learn_why_at_both_ends() {
    let ours = Authority::new("ours");
    let folder = Folder::new();
    let honest = with_secret();
    let caught = trap(&honest);
    let stranger = || config("mallory");
    let reason = failed_dial(with_secrets(stranger(), &[OTHER_SECRET]), &honest);
    assert_eq!(reason, CloseReason::SecretWrong);
    counted(&honest, CloseReason::SecretWrong);
    let other_cluster = with_secrets(stranger().cluster("elsewhere"), &[SECRET]);
    assert_eq!(
        failed_dial(other_cluster, &honest),
        CloseReason::WrongCluster
    );
    counted(&honest, CloseReason::WrongCluster);
    let with_certificate = with_tls(stranger(), &folder, &ours.certify("mallory"), &ours);
    for stranger in [with_certificate, stranger()] {
        assert_eq!(failed_dial(stranger, &honest), CloseReason::SessionMismatch);
    }
    counted(&honest, CloseReason::SessionMismatch);
    finish(honest, &caught);
}

#[test]
fn a_node_with_another_authority_learns_why_at_both_ends() {
    let (honest, _, folder) = with_certificates();
    let caught = trap(&honest);
    let theirs = Authority::new("theirs");
    let stranger = with_tls(
        config("mallory"),
        &folder,
        &theirs.certify("mallory"),
        &theirs,
    );
    // It does not trust the target either, and finds that first.
    assert_eq!(
        failed_dial(stranger, &honest),
        CloseReason::CertificateUntrusted
    );
    finish(honest, &caught);
}

#[test]
fn the_name_of_a_node_cannot_be_taken_with_a_certificate_for_another() {
    let (honest, ours, folder) = with_certificates();
    let caught = trap(&honest);
    let thief = with_tls(config("friend"), &folder, &ours.certify("mallory"), &ours);
    assert_eq!(failed_dial(thief, &honest), CloseReason::NameNotProven);
    counted(&honest, CloseReason::NameNotProven);
    finish(honest, &caught);
}

/// Where the target is dialled, another node answers, with a good certificate of its own.
#[test]
fn the_address_of_a_node_cannot_be_taken_with_a_certificate_for_another() {
    let (honest, ours, folder) = with_certificates();
    let thief = with_tls(config("thief"), &folder, &ours.certify("thief"), &ours);
    let thief = start(thief.channel(reliable("data")));
    let events = honest.target.events();
    honest
        .target
        .connect("victim", thief.local_addr())
        .expect("a name");
    let reason = wait_for_event(&events, "a failed dial", |event| match event {
        Event::DialFailed { peer, reason, .. } if peer.name() == "victim" => Some(*reason),
        _ => None,
    });
    assert_eq!(reason, CloseReason::NameNotProven);
    let refused = || thief.metrics().refused_connections;
    wait_until("the thief is told", refused, |refused| {
        refused.contains_key(&CloseReason::NameNotProven)
    });
    honest.target.disconnect("victim").expect("a name");
    honest.finish();
}

/// As many as the target takes at a time, over and over: each says all that a lane needs, in clear.
#[test]
fn thousands_who_are_not_authenticated_deliver_nothing() {
    const STRANGERS: u64 = 2_000;
    let honest = with_secret();
    let caught = trap(&honest);
    let address = honest.target.local_addr();
    let said = lane_and_letter("mallory", "psk");
    for _ in 0..STRANGERS {
        let mut stranger = Stranger::connect(address);
        stranger.say(&said);
        stranger.ends();
    }
    honest.refused(CloseReason::SessionMismatch, STRANGERS);
    // Others begin as a dialer with the secret does, and go on with a lane at once.
    let mut guess = b"OVLP\x01\x01".to_vec();
    guess.resize(900, 7);
    guess.extend(&said);
    for _ in 0..STRANGERS {
        let mut stranger = Stranger::connect(address);
        stranger.say(&guess);
        stranger.ends();
    }
    honest.refused(CloseReason::SecretWrong, STRANGERS);
    finish(honest, &caught);
}

/// A ClientHello that never ends: its first record is right, and so are those behind it.
#[test]
fn a_session_that_goes_on_for_ever_is_closed() {
    let (honest, _, _folder) = with_certificates();
    let caught = trap(&honest);
    let mut record = vec![0x16, 3, 1, 0x10, 0, 1, 0, 0xea, 0x60];
    record.resize(5 + 0x1000, 0);
    let mut stranger = Stranger::connect(honest.target.local_addr());
    for _ in 0..20 {
        stranger.say(&record);
        record[5] = 0;
    }
    stranger.ends();
    honest.refused(CloseReason::HandshakeTooLarge, 1);
    finish(honest, &caught);
}

/// Peak of the resident memory of this process, in KiB: it never falls.
fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("proc is mounted");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let figure = line.and_then(|line| line.split_whitespace().next());
    figure.and_then(|kib| kib.parse().ok()).expect("a figure")
}

/// Nobody of them is authenticated: what they say is a Hello and messages that would be right on a plain node, half of them
/// more than a handshake may have.
#[test]
fn ten_thousand_connections_that_send_valid_frames_are_not_heard() {
    in_child(
        "sessions::ten_thousand_connections_that_send_valid_frames_are_not_heard",
        || {
            crowd(with_secret());
            let (honest, _, _folder) = with_certificates();
            crowd(honest);
        },
    );
}

fn crowd(honest: Honest) {
    const STRANGERS: u64 = 5_000;
    const HELD: usize = 128;
    let caught = trap(&honest);
    let address = honest.target.local_addr();
    let short = lane_and_letter("mallory", "plain");
    let long = [short.clone(), letter("trap", &[7; 1000]).repeat(64)].concat();
    let before_kib = peak_memory_kib();
    let mut held = VecDeque::new();
    for number in 0..STRANGERS {
        let said = if number % 2 == 0 { &short } else { &long };
        let mut stranger = TcpStream::connect(address).expect("the node listens");
        // It may be refused in the middle of it.
        drop(stranger.write_all(said));
        held.push_back(stranger);
        if held.len() > HELD {
            drop(held.pop_front());
        }
    }
    drop(held);
    let refused = || honest.target.metrics().refused_connections;
    let refused = wait_until("each is refused", refused, |refused| {
        refused.values().sum::<u64>() >= STRANGERS
    });
    let mismatched = refused.get(&CloseReason::SessionMismatch);
    assert!(mismatched > Some(&(STRANGERS / 2)), "{refused:?}");
    // They said 160 MB together; of each 16 KiB are held at most, and of 256 at a time.
    let grown_kib = peak_memory_kib() - before_kib;
    println!("{refused:?}; the peak of memory grew by {grown_kib} KiB");
    assert!(grown_kib < 32 << 10, "it grew by {grown_kib} KiB");
    honest.goes_on();
    finish(honest, &caught);
}
