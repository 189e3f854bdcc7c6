//! A stand-in for a name server, by RFC 1035 and 2782: A, AAAA and SRV over UDP and TCP, with names that come and go.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What a name stands for.
#[derive(Clone, Debug, Default)]
pub struct Records {
    pub ttl_s: u32,
    pub addresses: Vec<IpAddr>,
    /// Port and host.
    pub services: Vec<(u16, String)>,
}

#[derive(Debug, Default)]
struct Shared {
    names: Mutex<BTreeMap<String, Records>>,
    /// Questions over UDP and TCP.
    asked: [AtomicU32; 2],
    ended: AtomicBool,
    /// Answers SERVFAIL.
    is_ill: AtomicBool,
    /// Answers nothing.
    is_silent: AtomicBool,
    /// Answers over TCP byte by byte, and never to the end.
    is_slow: AtomicBool,
}

/// Ends when it is dropped.
#[derive(Debug)]
pub struct NameServer {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl NameServer {
    pub fn start() -> Self {
        let (udp, tcp) = sockets();
        let address = udp.local_addr().expect("an address");
        let shared = Arc::<Shared>::default();
        let by_udp = Arc::clone(&shared);
        thread::spawn(move || by_udp.serve_udp(&udp));
        let by_tcp = Arc::clone(&shared);
        thread::spawn(move || by_tcp.serve_tcp(&tcp));
        Self { address, shared }
    }

    /// That name stands for that from now on.
    pub fn set(&self, name: &str, records: Records) {
        self.names().insert(name.to_lowercase(), records);
    }

    pub fn set_addresses(&self, name: &str, addresses: &[IpAddr]) {
        let addresses = addresses.to_vec();
        self.set(
            name,
            Records {
                ttl_s: 1,
                addresses,
                services: Vec::new(),
            },
        );
    }

    pub fn remove(&self, name: &str) {
        self.names().remove(name);
    }

    pub fn set_ill(&self, is_ill: bool) {
        self.shared.is_ill.store(is_ill, Ordering::SeqCst);
    }

    pub fn set_silent(&self, is_silent: bool) {
        self.shared.is_silent.store(is_silent, Ordering::SeqCst);
    }

    pub fn set_slow(&self, is_slow: bool) {
        self.shared.is_slow.store(is_slow, Ordering::SeqCst);
    }

    pub fn asked_by_tcp(&self) -> u32 {
        self.shared.asked[1].load(Ordering::SeqCst)
    }

    pub fn asked_by_udp(&self) -> u32 {
        self.shared.asked[0].load(Ordering::SeqCst)
    }

    fn names(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Records>> {
        self.shared.names.lock().expect("nobody panics with it")
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Its threads wait for somebody to ask.
        drop(TcpStream::connect(self.address));
        if let Ok(socket) = UdpSocket::bind("127.0.0.1:0") {
            drop(socket.send_to(&[], self.address));
        }
    }
}

/// Two sockets with one port.
fn sockets() -> (UdpSocket, TcpListener) {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().expect("an address")) {
            return (udp, tcp);
        }
    }
}

/// Between two bytes of an answer that comes slowly: each of them in time, all of them an hour.
const SLOWNESS: Duration = Duration::from_millis(100);

/// Bytes that an answer over UDP may have here.
const UDP_BYTES_MAX: usize = 1_232;

impl Shared {
    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    fn serve_udp(&self, socket: &UdpSocket) {
        let mut buffer = [0; 1_500];
        loop {
            let received = socket.recv_from(&mut buffer);
            if self.has_ended() {
                return;
            }
            // What was answered before may have found nobody.
            let Ok((length, from)) = received else {
                continue;
            };
            self.asked[0].fetch_add(1, Ordering::SeqCst);
            if self.is_silent.load(Ordering::SeqCst) {
                continue;
            }
            if let Some(mut answer) = self.answer(&buffer[..length]) {
                if answer.len() > UDP_BYTES_MAX {
                    let end = 12 + question_bytes(&answer).unwrap_or(0);
                    answer.truncate(end);
                    answer[2] |= 0x02;
                    answer[6..12].fill(0);
                }
                // Whoever asked may be gone.
                let _ = socket.send_to(&answer, from);
            }
        }
    }

    fn serve_tcp(&self, listener: &TcpListener) {
        while let Ok((mut stream, _)) = listener.accept() {
            if self.has_ended() {
                return;
            }
            self.asked[1].fetch_add(1, Ordering::SeqCst);
            stream
                .set_read_timeout(Some(Duration::from_secs(5)))
                .expect("a socket");
            let mut length = [0; 2];
            if stream.read_exact(&mut length).is_err() {
                continue;
            }
            let mut question = vec![0; u16::from_be_bytes(length).into()];
            if stream.read_exact(&mut question).is_ok()
                && let Some(answer) = self.answer(&question)
            {
                let length = u16::try_from(answer.len()).expect("a small answer");
                let bytes = [&length.to_be_bytes(), answer.as_slice()].concat();
                if self.is_slow.load(Ordering::SeqCst) {
                    // Until whoever asked has gone, which it may not have noticed yet.
                    let mut bytes = bytes.chunks(1).take(bytes.len() - 1);
                    while bytes
                        .next()
                        .is_some_and(|byte| stream.write_all(byte).is_ok())
                    {
                        thread::sleep(SLOWNESS);
                    }
                    continue;
                }
                let _ = stream.write_all(&bytes);
            }
        }
    }

    /// The answer to a question, in one message.
    fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        let question = query.get(12..12 + question_bytes(query)?)?;
        let kind = u16::from_be_bytes(*question[question.len() - 4..].first_chunk()?);
        let name = name_of(&question[..question.len() - 4])?;
        let names = self.names.lock().expect("nobody panics with it");
        let records = names.get(&name);
        let code = match records {
            _ if self.is_ill.load(Ordering::SeqCst) => 2,
            Some(_) => 0,
            None => 3,
        };
        let data: Vec<Vec<u8>> = records
            .filter(|_| code == 0)
            .map_or_else(Vec::new, |records| match kind {
                1 => records
                    .addresses
                    .iter()
                    .filter_map(|ip| match ip {
                        IpAddr::V4(ip) => Some(ip.octets().to_vec()),
                        IpAddr::V6(_) => None,
                    })
                    .collect(),
                28 => records
                    .addresses
                    .iter()
                    .filter_map(|ip| match ip {
                        IpAddr::V6(ip) => Some(ip.octets().to_vec()),
                        IpAddr::V4(_) => None,
                    })
                    .collect(),
                33 => records
                    .services
                    .iter()
                    .map(|(port, host)| {
                        let mut data = vec![0, 0, 0, 0];
                        data.extend(port.to_be_bytes());
                        data.extend(labels(host));
                        data
                    })
                    .collect(),
                _ => Vec::new(),
            });
        let count = u16::try_from(data.len()).ok()?;
        let mut answer = query[..2].to_vec();
        answer.extend([0x81, 0x80 | code, 0, 1]);
        answer.extend(count.to_be_bytes());
        answer.extend([0; 4]);
        answer.extend(question);
        for data in data {
            // The name of the question.
            answer.extend([0xc0, 12]);
            answer.extend(kind.to_be_bytes());
            answer.extend([0, 1]);
            answer.extend(records.map_or(0, |records| records.ttl_s).to_be_bytes());
            answer.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
            answer.extend(data);
        }
        Some(answer)
    }
}

/// Bytes of the question behind the header.
fn question_bytes(message: &[u8]) -> Option<usize> {
    let mut at = 12;
    loop {
        match message.get(at)? {
            0 => return Some(at + 1 + 4 - 12),
            length => at += 1 + usize::from(*length),
        }
    }
}

fn name_of(mut labels: &[u8]) -> Option<String> {
    let mut parts = Vec::new();
    while let Some((length, rest)) = labels.split_first().filter(|(length, _)| **length > 0) {
        let (label, rest) = rest.split_at_checked(usize::from(*length))?;
        parts.push(String::from_utf8_lossy(label).to_lowercase());
        labels = rest;
    }
    Some(parts.join("."))
}

fn labels(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).expect("a label"));
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes
}
