//! A stand-in for a web service: HTTP/1.1 over TCP, or over TLS, one thread for each connection, answers by a closure.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Path without what follows a question mark.
    pub path: String,
    /// What follows it, decoded, by name.
    pub query: Vec<(String, String)>,
    /// Names in small letters.
    pub headers: Vec<(String, String)>,
}

impl Asked {
    pub fn of_query(&self, name: &str) -> Option<&str> {
        find(&self.query, name)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = pairs.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

/// How it is answered.
pub struct Answering<'a> {
    stream: &'a mut dyn Write,
}

impl Answering<'_> {
    /// An answer in one piece.
    pub fn whole(&mut self, status: u16, body: &str) {
        let head = format!(
            "HTTP/1.1 {status} Stand-in\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        // Whoever asked may be gone.
        let _ = self.say(&format!("{head}{body}"));
    }

    /// The head of an answer that goes on in pieces.
    pub fn begin(&mut self) {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
        let _ = self.say(head);
    }

    /// The head of an answer of so many bytes, which come in parts.
    pub fn announce(&mut self, bytes: usize) -> bool {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {bytes}\r\n\r\n"
        );
        self.part(&head)
    }

    /// A part of such an answer. False if whoever asked is gone.
    pub fn part(&mut self, text: &str) -> bool {
        self.say(text).is_ok()
    }

    /// A piece. False if whoever asked is gone.
    pub fn piece(&mut self, text: &str) -> bool {
        let piece = format!("{:x}\r\n{text}\r\n", text.len());
        self.say(&piece).is_ok()
    }

    pub fn end(&mut self) {
        let _ = self.say("0\r\n\r\n");
    }

    fn say(&mut self, text: &str) -> std::io::Result<()> {
        self.stream.write_all(text.as_bytes())?;
        self.stream.flush()
    }
}

/// Ends when it is dropped.
#[derive(Debug)]
pub struct WebServer {
    pub address: SocketAddr,
    ended: Arc<AtomicBool>,
    scheme: &'static str,
}

impl WebServer {
    pub fn start(answer: impl Fn(&Asked, &mut Answering<'_>) + Send + Sync + 'static) -> Self {
        Self::start_with(None, answer)
    }

    /// Over TLS, if that is said.
    pub fn start_with(
        tls: Option<Arc<ServerConfig>>,
        answer: impl Fn(&Asked, &mut Answering<'_>) + Send + Sync + 'static,
    ) -> Self {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let ended = Arc::new(AtomicBool::new(false));
        let answer = Arc::new(answer);
        let stopped = Arc::clone(&ended);
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let answer = Arc::clone(&answer);
                let tls = tls.clone();
                thread::spawn(move || {
                    let Some(tls) = tls else {
                        return serve(stream, &*answer);
                    };
                    let session = ServerConnection::new(tls).expect("a configuration");
                    serve(StreamOwned::new(session, stream), &*answer);
                });
            }
        });
        Self {
            address,
            ended,
            scheme,
        }
    }

    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // It waits for somebody to come.
        drop(TcpStream::connect(self.address));
    }
}

fn serve(stream: impl Read + Write, answer: &(impl Fn(&Asked, &mut Answering<'_>) + ?Sized)) {
    let mut reader = BufReader::new(stream);
    while let Some(asked) = read(&mut reader) {
        let stream = reader.get_mut();
        answer(&asked, &mut Answering { stream });
    }
}

fn read(reader: &mut impl BufRead) -> Option<Asked> {
    let mut line = String::new();
    reader
        .read_line(&mut line)
        .ok()
        .filter(|bytes| *bytes > 0)?;
    let target = line.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_lowercase(), value.trim().to_owned())),
            None => break,
        }
    }
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let query = query.split('&').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        Some((name.to_owned(), decoded(value)))
    });
    Some(Asked {
        path: path.to_owned(),
        query: query.collect(),
        headers,
    })
}

/// Without percent signs.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        let code = || u8::from_str_radix(std::str::from_utf8(others.get(..2)?).ok()?, 16).ok();
        match (first, code()) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &others[2..];
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = others;
            }
            _ => {
                bytes.push(*first);
                rest = others;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
