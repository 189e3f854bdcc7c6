//! Requests and replies: a server that squares numbers, and a client that matches the answers.
//!
//! Overlane moves messages; a request is a message that says where its answer goes. The client puts
//! a number in front of each request, the server repeats it, and a table holds who waits for which.
//! The server answers in its handler, on the shard, without waking a thread.
//!
//! `cargo run --example request_reply`

use std::collections::HashMap;
use std::error::Error;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use overlane::{ChannelConfig, Config, Destination, Node};

const PATIENCE: Duration = Duration::from_secs(10);

fn start(name: &str) -> Result<Node, Box<dyn Error>> {
    let config = Config::builder()
        .name(name)
        .cluster("calls")
        .listen("127.0.0.1:0".parse()?)
        .shards(1)
        .pin(false)
        .channel(ChannelConfig::new("calls"))
        .build()?;
    Ok(Node::start(config)?)
}

/// Reads the two numbers of a request or a reply.
fn numbers(payload: &[u8]) -> Option<(u64, u64)> {
    let (id, value) = payload.split_first_chunk::<8>()?;
    let value = value.first_chunk::<8>()?;
    Some((u64::from_le_bytes(*id), u64::from_le_bytes(*value)))
}

fn letter(id: u64, value: u64) -> [u8; 16] {
    let mut payload = [0; 16];
    payload[..8].copy_from_slice(&id.to_le_bytes());
    payload[8..].copy_from_slice(&value.to_le_bytes());
    payload
}

/// Squares what comes, and answers to the mailbox `replies` of whoever asked.
fn serve(server: &Node) -> Result<(), Box<dyn Error>> {
    let calls = server.channel("calls")?;
    let replies = server.mailbox("replies")?;
    server.handle("square", move |context, message| {
        let Some((id, value)) = numbers(message.payload()) else {
            return; // not a request: its sender gets no answer
        };
        let answer = letter(id, value.wrapping_mul(value));
        // Full or gone: the client's patience ends it.
        drop(context.try_send(&calls, &message.reply_to(&replies), &answer));
    })?;
    Ok(())
}

/// Whoever waits for an answer, by the number of the request.
type Waiting = Arc<Mutex<HashMap<u64, Sender<u64>>>>;

/// A client: asks, and hands answers to whoever waits for them.
struct Client {
    calls: overlane::Channel,
    square: Destination,
    waiting: Waiting,
    next: u64,
}

impl Client {
    fn new(node: &Node) -> Result<Self, Box<dyn Error>> {
        let waiting = Waiting::default();
        let answered = Arc::clone(&waiting);
        node.handle("replies", move |_, message| {
            let mut waiting = answered.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((id, value)) = numbers(message.payload())
                && let Some(asker) = waiting.remove(&id)
            {
                // Whoever asked may have given up.
                let _ = asker.send(value);
            }
        })?;
        Ok(Self {
            calls: node.channel("calls")?,
            square: node.destination("server", "square")?,
            waiting,
            next: 0,
        })
    }

    fn ask(&mut self, value: u64) -> Result<Receiver<u64>, overlane::SendError> {
        let (asker, answer) = channel();
        let id = self.next;
        self.next += 1;
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.insert(id, asker);
        drop(waiting);
        self.calls.send_blocking(&self.square, &letter(id, value))?;
        Ok(answer)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let (node, server) = (start("client")?, start("server")?);
    serve(&server)?;
    node.connect("server", server.local_addr())?;
    node.wait_connected("server", PATIENCE)?;

    let mut client = Client::new(&node)?;
    // All are asked before the first answer is looked at.
    let asked: Result<Vec<_>, _> = (1..=10)
        .map(|value| Ok((value, client.ask(value)?)))
        .collect();
    for (value, answer) in asked.map_err(|error: overlane::SendError| error)? {
        println!("{value} squared is {}", answer.recv_timeout(PATIENCE)?);
    }
    thread::scope(|scope| {
        scope.spawn(|| node.stop(PATIENCE));
        scope.spawn(|| server.stop(PATIENCE));
    });
    Ok(())
}
