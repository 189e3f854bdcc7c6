//! A stand-in for a receiver of OTLP over HTTP: it decodes what comes, and answers as it is told.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// How it answers a request; all after the last that was said are taken.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    /// It takes all but so many.
    Taken { rejected: i64 },
    /// With that status.
    Status(u16),
}

/// A span, and the node that sent it.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) node: String,
    pub(super) span: Span,
}

#[derive(Default)]
struct Book {
    taken: Vec<Taken>,
    answers: VecDeque<Answer>,
    requests: usize,
    /// Of the last request.
    head: String,
}

#[derive(Clone)]
pub(super) struct Receiver {
    address: SocketAddr,
    book: Arc<Mutex<Book>>,
}

impl Receiver {
    pub(super) fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::serve(answers, None)
    }

    /// One that speaks TLS.
    pub(super) fn start_tls(config: ServerConfig) -> Self {
        Self::serve([], Some(Arc::new(config)))
    }

    fn serve(answers: impl IntoIterator<Item = Answer>, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let receiver = Self {
            address: listener.local_addr().expect("it has one"),
            book: Arc::new(Mutex::new(Book {
                answers: answers.into_iter().collect(),
                ..Book::default()
            })),
        };
        let serving = receiver.clone();
        // Ends with the process.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (serving, tls) = (serving.clone(), tls.clone());
                thread::spawn(move || match tls {
                    None => serving.converse(stream),
                    Some(config) => {
                        let session = ServerConnection::new(config).expect("a configuration");
                        serving.converse(StreamOwned::new(session, stream));
                    }
                });
            }
        });
        receiver
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(super) fn requests(&self) -> usize {
        self.book.lock().expect("nobody panics").requests
    }

    /// The head of the last request, in lower case.
    pub(super) fn head(&self) -> String {
        self.book.lock().expect("nobody panics").head.clone()
    }

    /// What it has taken.
    pub(super) fn taken(&self) -> Vec<Taken> {
        self.book.lock().expect("nobody panics").taken.clone()
    }

    fn converse(&self, stream: impl Read + Write) {
        let mut stream = BufReader::new(stream);
        while let Some((head, body)) = read_request(&mut stream) {
            assert!(head.starts_with("POST /v1/traces HTTP/1.1"), "{head}");
            let lower = head.to_lowercase();
            assert!(
                lower.contains("content-type: application/x-protobuf"),
                "{head}"
            );
            self.book.lock().expect("nobody panics").head = lower;
            let answer = self.take(&body);
            if stream.get_mut().write_all(&answer).is_err() {
                return;
            }
        }
    }

    fn take(&self, body: &[u8]) -> Vec<u8> {
        let request = ExportTraceServiceRequest::decode(body).expect("it is one");
        let mut book = self.book.lock().expect("nobody panics");
        book.requests += 1;
        let answer = book.answers.pop_front();
        match answer.unwrap_or(Answer::Taken { rejected: 0 }) {
            Answer::Status(status) => {
                format!("HTTP/1.1 {status} No\r\nretry-after: 0\r\ncontent-length: 4\r\n\r\nbusy")
                    .into()
            }
            Answer::Taken { rejected } => {
                book.taken.extend(spans_of(request));
                let partial = ExportTracePartialSuccess {
                    rejected_spans: rejected,
                    error_message: String::new(),
                };
                let said = ExportTraceServiceResponse {
                    partial_success: Some(partial),
                };
                let said = said.encode_to_vec();
                let length = said.len();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
                [head.into_bytes(), said].concat()
            }
        }
    }
}

fn read_request(stream: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let lower = head.to_lowercase();
    let length = lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))?;
    let mut body = vec![0; length.trim().parse().ok()?];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn spans_of(request: ExportTraceServiceRequest) -> Vec<Taken> {
    let mut taken = Vec::new();
    for of_node in request.resource_spans {
        let resource = of_node.resource.expect("it names the node");
        let node = text(&resource.attributes, "service.name");
        for of_scope in of_node.scope_spans {
            let scope = of_scope.scope.expect("it names who recorded it");
            assert_eq!(scope.name, "overlane");
            taken.extend(of_scope.spans.into_iter().map(|span| Taken {
                node: node.clone(),
                span,
            }));
        }
    }
    taken
}

/// What an attribute says in words or as a number.
pub(super) fn text(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    let value = found.and_then(|attribute| attribute.value.clone()?.value);
    match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{key} is {other:?}"),
    }
}
