//! A process of the matrix: one node, which answers requests, and asks another when told to.

use std::time::{Duration, Instant};

use bytes::Bytes;
use overlane::{Channel, Destination, Message, Node, ShardContext};

use super::protocol::{CHANNELS, Command, Order, Reply, SERVER, Timed};
use crate::child::Parent;
use crate::clock;
use crate::error::{BenchError, Outcome};
use crate::latencies::Latencies;
use crate::node::settings::Settings;

const MAILBOX: &str = "asked";
/// Lanes come up within this.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
/// An answer comes within this, or the run is over.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Runs this process until the parent closes its pipe.
pub(crate) fn serve(mut parent: Parent) {
    let Some(settings) = parent.next::<Settings>() else {
        return;
    };
    match settings.and_then(|settings| Host::start(&settings)) {
        Ok(host) => {
            parent.answer(Ok(Reply::Listening(host.node.local_addr())));
            parent.serve(|command| host.obey(&command));
        }
        Err(error) => parent.answer::<Reply>(Err(error)),
    }
}

struct Host {
    node: Node,
    channels: Vec<Channel>,
}

fn engine(error: impl std::error::Error) -> BenchError {
    BenchError::Engine(error.to_string())
}

impl Host {
    fn start(settings: &Settings) -> Outcome<Self> {
        let config = settings.config()?;
        let of_the_matrix = |name: &&&str| config.channels.iter().any(|known| known.name == **name);
        let names: Vec<&str> = CHANNELS.iter().filter(of_the_matrix).copied().collect();
        let node = Node::start(config)?;
        let channels: Vec<Channel> = names
            .into_iter()
            .map(|name| node.channel(name).map_err(engine))
            .collect::<Outcome<_>>()?;
        let answering = channels.clone();
        node.handle(
            MAILBOX,
            move |shard: &mut ShardContext<'_>, message: Message<'_>| {
                let came_on = answering.get(message.channel_index());
                if let (Some(channel), Some(to)) = (came_on, message.reply_handle()) {
                    // Who asks finds out: no answer comes.
                    drop(shard.try_reply(channel, &to, b"it came".as_slice()));
                }
            },
        )
        .map_err(engine)?;
        Ok(Self { node, channels })
    }

    fn obey(&self, command: &Command) -> Outcome<Reply> {
        match command {
            Command::Connect(address) => {
                self.node.connect(SERVER, *address).map_err(engine)?;
                let waited = self.node.wait_connected(SERVER, CONNECT_WITHIN);
                waited.map_err(engine)?;
                Ok(Reply::Connected)
            }
            Command::Request(order) => self.request(order).map(Reply::Timed),
        }
    }

    /// Each sender has a channel, and by its number as the key a lane of it.
    fn request(&self, order: &Order) -> Outcome<Timed> {
        let payload = Bytes::from(vec![0x5a; order.payload_bytes]);
        let begin = Instant::now();
        let end = begin + order.lasts;
        let to = self.node.destination(SERVER, MAILBOX).map_err(engine)?;
        let mut all = Latencies::default();
        std::thread::scope(|scope| {
            let mut senders = Vec::new();
            for sender in 0..order.senders {
                let channel = &self.channels[sender as usize % self.channels.len()];
                let (to, payload) = (to.with_key(sender.into()), payload.clone());
                let thread = std::thread::Builder::new().name("sender".into());
                let thread = thread.spawn_scoped(scope, move || ask(channel, &to, &payload, end));
                senders.push(thread.map_err(BenchError::system("starting a thread"))?);
            }
            for sender in senders {
                let panicked = |_| Err(BenchError::Engine("a sender panicked".into()));
                all.add(&sender.join().unwrap_or_else(panicked)?.buckets());
            }
            Ok::<_, BenchError>(())
        })?;
        Ok(Timed {
            buckets: all.buckets(),
            took: begin.elapsed(),
        })
    }
}

/// One request after the other, until `end`.
fn ask(channel: &Channel, to: &Destination, payload: &Bytes, end: Instant) -> Outcome<Latencies> {
    let mut latencies = Latencies::default();
    while Instant::now() < end {
        let sent_ns = clock::now_ns();
        let answer = channel.request_blocking(to, payload.clone(), ANSWER_WITHIN);
        answer.map_err(engine)?;
        latencies.record(clock::now_ns() - sent_ns);
    }
    Ok(latencies)
}
