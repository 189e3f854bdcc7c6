//! What all threads of one node share: the configuration as it is used, wishes and routes, the names
//! of mailboxes, the inboxes, and the way to each shard.
//!
//! Made by `Node::start`, read by everybody, changed only through its parts. Holds no message, and
//! knows neither shards nor the control shard: who needs to ask them something is handed a sender.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::awaited::Awaited;
use crate::channel_plan::ChannelEntry;
use crate::channel_table::ChannelTable;
use crate::config::Config;
use crate::control::routes::Routes;
use crate::control::wishes::WishBook;
use crate::deadline::Clock;
use crate::delivery::LogIds;
use crate::detour::Detour;
use crate::error::{Reported, SecurityError};
use crate::faults::book::FaultBook;
use crate::io::backend::Backend;
use crate::mailboxes::{Mailbox, Mailboxes};
use crate::payload::Payload;
use crate::rates::RateCaps;
use crate::receipt_book::ReceiptBook;
use crate::recorder::{Cause, Recorder};
use crate::relay_book::RelayBook;
use crate::request_book::RequestBook;
use crate::ring::inbox::{Inboxes, ShardSet};
use crate::ring::{Doorbell, PayloadPool};
use crate::rules::RuleBook;
use crate::session::{Reload, Security};
use crate::spans::Spans;
use crate::stream_book::{Owed, StreamBook};

/// How a thread reaches a shard.
#[derive(Debug)]
pub(crate) struct ShardLink {
    pub(crate) doorbell: Arc<Doorbell>,
    /// An inbox has room again, and the shard has not tried the lanes that wait for it since.
    pub(crate) inbox_room: AtomicBool,
    /// Counts the turns of a shard that is stopping: one that stands still is stuck.
    pub(crate) stop_steps: AtomicU64,
}

/// See the module's text.
pub(crate) struct Fabric {
    pub(crate) config: Config,
    /// How the shards do their I/O.
    pub(crate) backend: Backend,
    pub(crate) incarnation: u64,
    pub(crate) address: SocketAddr,
    pub(crate) channels: ChannelTable,
    pub(crate) wishes: WishBook,
    pub(crate) routes: Routes,
    pub(crate) mailboxes: Mailboxes,
    /// What replies are addressed to; they are told by their correlation.
    pub(crate) replies: Mailbox,
    pub(crate) requests: RequestBook,
    pub(crate) receipts: ReceiptBook,
    /// By which messages carry their deadlines within this node.
    pub(crate) clock: Clock,
    pub(crate) streams: StreamBook,
    pub(crate) log_ids: LogIds,
    /// Which messages go on which channel.
    pub(crate) rules: RuleBook,
    /// How often the caps of channels were changed.
    pub(crate) rate_changes: AtomicU64,
    /// What is done to messages and links on purpose.
    pub(crate) faults: FaultBook,
    /// What the threads did last.
    pub(crate) recorder: Recorder,
    /// Spans of messages whose trace is recorded.
    pub(crate) spans: Arc<Spans>,
    /// Memory of large payloads, sent and received.
    pub(crate) payloads: Arc<PayloadPool>,
    pub(crate) shards: Vec<ShardLink>,
    /// The node is about to stop, or stops: it is not to be sent work.
    pub(crate) retiring: AtomicBool,
    /// It takes no new peers and no new lanes, and goes on with what there is.
    pub(crate) lame_duck: AtomicBool,
    pub(crate) stopping: AtomicBool,
    /// No shard runs any more.
    pub(crate) ended: AtomicBool,
    pub(crate) inboxes: Inboxes,
    /// Where dials go.
    pub(crate) detour: Detour,
    /// Of a node in a cluster: where messages are left that go over others.
    pub(crate) relay: OnceLock<Arc<RelayBook>>,
    /// What protects connections.
    pub(crate) security: Arc<Security>,
}

/// Which node it is of: handles of applications have it inside.
impl fmt::Debug for Fabric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fabric")
            .field("node", &self.config.node_name)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Fabric {
    /// Wakes every shard.
    pub(crate) fn ring_all(&self) {
        for shard in &self.shards {
            shard.doorbell.ring();
        }
    }

    /// An inbox has room, or none will ever be made in it: lanes that wait for it are to try again.
    /// A shard that is awake does not hear the bell, hence the flag beside it.
    pub(crate) fn tell_inbox_room(&self, waiting: ShardSet) {
        let shards = self.shards.iter().enumerate();
        for (_, shard) in shards.filter(|(index, _)| waiting.contains(*index)) {
            shard.inbox_room.store(true, Ordering::Release);
            shard.doorbell.ring();
        }
    }

    /// Goes by the files that protect lanes as they are now, if they have changed. True if so.
    ///
    /// # Errors
    /// What cannot be used; what counted before goes on.
    pub(crate) fn reload_security(&self) -> Result<bool, SecurityError> {
        let mut failed = None;
        let told = self.security.reload();
        let is_changed = !told.is_empty();
        for reload in told {
            match reload {
                Reload::Credentials => {
                    tracing::info!(
                        "files that protect lanes have changed: lanes are made anew, one after the other"
                    );
                    self.ring_all();
                }
                Reload::Revoked => {
                    tracing::info!("the list of the revoked has changed");
                    self.ring_all();
                }
                Reload::Failed(error) => {
                    tracing::warn!(%error, "files that protect lanes have changed, and what counted before goes on");
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(is_changed), Err)
    }

    /// Caps a channel: lanes that wait by the old caps are to look at the new.
    pub(crate) fn set_rate_caps(&self, channel: &ChannelEntry, caps: RateCaps) {
        channel.rates.set_caps(caps);
        self.rate_changes.fetch_add(1, Ordering::Release);
        self.ring_all();
    }

    /// A shard is to do that for a stream.
    pub(crate) fn owe_stream(&self, owed: Owed) {
        let shard = self.streams.owe(owed);
        self.shards[shard].doorbell.ring();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// The node is about to stop.
    pub(crate) fn retire(&self) {
        self.retiring.store(true, Ordering::Release);
    }

    pub(crate) fn is_retiring(&self) -> bool {
        self.retiring.load(Ordering::Acquire)
    }

    /// No new peers and no new lanes from now on.
    pub(crate) fn be_lame_duck(&self) {
        self.retire();
        self.lame_duck.store(true, Ordering::Release);
    }

    pub(crate) fn is_lame_duck(&self) -> bool {
        self.lame_duck.load(Ordering::Acquire)
    }

    /// Accepts no more messages.
    pub(crate) fn close(&self) {
        self.stopping.store(true, Ordering::Release);
        self.wishes.close();
        self.channels.wishes.close();
        self.streams.node_ended();
    }

    /// No shard pushes to an inbox or answers a request any more.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.inboxes.wake_all();
        self.requests.node_ended();
        self.receipts.node_ended();
    }

    /// A message that somebody waits for was accepted and surely does not reach its peer.
    #[cold]
    pub(crate) fn undelivered(&self, awaited: Awaited, why: &'static str) {
        match awaited {
            Awaited::Request(id) => self.requests.undelivered(id, why),
            Awaited::Receipt(number) => {
                self.receipts
                    .settle(number, Err(Reported::Undelivered { why }));
            }
        }
    }

    /// The overflow policy drops a message when it is sent; `head` bytes of it are an extension.
    #[cold]
    pub(crate) fn note_dropped(&self, head: usize, message: &Payload<'_>) {
        if head > 0 && self.spans.is_on() {
            self.spans.dropped(message.as_slice());
        }
    }

    /// A shard ended by itself: without it the node cannot keep its promises.
    pub(crate) fn shard_failed(&self) {
        self.recorder.want(Cause::Panic);
        self.close();
        self.end();
    }
}
