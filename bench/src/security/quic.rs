//! One QUIC stream of `quinn` over loopback, from a thread to another: messages with their length in front, as many in a
//! write as fit into 64 KiB.
//!
//! Both ends are in this process, each with an executor of its own on one of the two cores.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use quinn::rustls::{self, RootCertStore};
use quinn::{ClientConfig, Endpoint, ServerConfig};
use rcgen::{CertificateParams, KeyPair};

use super::engine;
use crate::error::{BenchError, Outcome};
use crate::pin;
use crate::sample::{Sample, Window};

/// Bytes of one write.
const WRITE_BYTES: usize = 64 << 10;
/// What is written before each message.
const LENGTH_BYTES: usize = 4;

/// One window.
pub(super) fn stream(
    payload_bytes: usize,
    warm_up: Duration,
    measured: Duration,
) -> Outcome<Window> {
    let key = KeyPair::generate().map_err(engine)?;
    let certificate = CertificateParams::new(vec!["localhost".to_owned()])
        .and_then(|params| params.self_signed(&key))
        .map_err(engine)?;
    let chain = certificate.der().clone();
    let (received, over) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let (told, listens) = std::sync::mpsc::channel();
    let (counts, ends) = (Arc::clone(&received), Arc::clone(&over));
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let shown = chain.clone();
    let receiving = thread::spawn(move || -> Outcome<()> {
        pin::pin_to(1)?;
        executor()?.block_on(receive(shown, key, &told, &counts, &ends))
    });
    let to = listens.recv().map_err(engine)?;
    let ends = Arc::clone(&over);
    let sending = thread::spawn(move || -> Outcome<()> {
        pin::pin_to(0)?;
        executor()?.block_on(send(chain, to, payload_bytes, &ends))
    });
    thread::sleep(warm_up);
    let message = payload_bytes + LENGTH_BYTES;
    let sample = || {
        let messages = received.load(Ordering::Relaxed) / message as u64;
        Sample::take(messages, messages * payload_bytes as u64, 0)
    };
    let before = sample();
    thread::sleep(measured);
    let after = sample();
    over.store(true, Ordering::Relaxed);
    for end in [sending, receiving] {
        end.join().expect("the ends do not panic")?;
    }
    // Both are this process: it is counted once.
    Ok(Window::between((after, after), (before, after)))
}

fn executor() -> Outcome<tokio::runtime::Runtime> {
    let executor = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    executor.map_err(BenchError::system("making an executor"))
}

async fn receive(
    chain: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    told: &std::sync::mpsc::Sender<SocketAddr>,
    received: &AtomicU64,
    over: &AtomicBool,
) -> Outcome<()> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(engine)?
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .map_err(engine)?;
    let tls = QuicServerConfig::try_from(tls).map_err(engine)?;
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let endpoint = Endpoint::server(ServerConfig::with_crypto(Arc::new(tls)), here);
    let endpoint = endpoint.map_err(BenchError::system("listening"))?;
    let address = endpoint.local_addr();
    told.send(address.map_err(BenchError::system("listening"))?)
        .map_err(engine)?;
    let Some(incoming) = endpoint.accept().await else {
        return Ok(());
    };
    let connection = incoming.await.map_err(engine)?;
    let mut stream = connection.accept_uni().await.map_err(engine)?;
    let mut buffer = vec![0; WRITE_BYTES];
    while let Ok(Some(bytes)) = stream.read(&mut buffer).await {
        received.fetch_add(bytes as u64, Ordering::Relaxed);
        if over.load(Ordering::Relaxed) {
            break;
        }
    }
    connection.close(0_u32.into(), b"done");
    endpoint.wait_idle().await;
    Ok(())
}

async fn send(
    trusted: CertificateDer<'static>,
    to: SocketAddr,
    payload_bytes: usize,
    over: &AtomicBool,
) -> Outcome<()> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted).map_err(engine)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(engine)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tls = QuicClientConfig::try_from(tls).map_err(engine)?;
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut endpoint = Endpoint::client(here).map_err(BenchError::system("dialling"))?;
    endpoint.set_default_client_config(ClientConfig::new(Arc::new(tls)));
    let connecting = endpoint.connect(to, "localhost").map_err(engine)?;
    let connection = connecting.await.map_err(engine)?;
    let mut stream = connection.open_uni().await.map_err(engine)?;
    let length = u32::try_from(payload_bytes)
        .unwrap_or(u32::MAX)
        .to_le_bytes();
    let message = [&length[..], &vec![7; payload_bytes]].concat();
    let batch = message.repeat((WRITE_BYTES / message.len()).max(1));
    while !over.load(Ordering::Relaxed) {
        // The other end closes when it has seen enough.
        if stream.write_all(&batch).await.is_err() {
            break;
        }
    }
    drop(stream.finish());
    connection.closed().await;
    endpoint.wait_idle().await;
    Ok(())
}
