//! The contract between a protocol and whoever drives it. Start reading here.
//!
//! A protocol is a state machine: one [`Input`] in, any number of [`Output`]s out. It is called by
//! the engine's control shard, by the simulator, or by a layer above it ([`crate::Stack`]), and must
//! never block, sleep, read a clock, or keep a generator of its own.
//!
//! # What a driver promises
//!
//! - [`Input::Start`] comes once and first.
//! - `now` never goes back. A timer may come late; it always comes, once per `SetTimer`, and cannot
//!   be cancelled: a protocol ignores a timer that no longer matters.
//! - `Connect` is answered by `PeerUp`, or by `PeerDown` when the lane could not be made. The other
//!   end gets `PeerUp` too. Both may come again while a lane is up or gone. A lane that ends gives `PeerDown` on both ends, except on the end that
//!   asked for it with `Disconnect`. What was sent before a `Disconnect` still leaves.
//! - `Send` to a peer without a lane dials one for the occasion and may close it when idle. If that
//!   fails the sender gets `PeerDown`. A protocol must live with lost, repeated and reordered
//!   messages all the same.
//! - `Congested` comes when there is little room left for messages with a tail ([`Message::tail`]) to a
//!   peer, `Drained` when there is room again; a lane that ends takes it back without a word. In
//!   between, messages without a tail keep their way, those with one may be dropped. Every half of a
//!   stack hears both.
//! - Messages were decoded by [`crate::decode`], so they are within their bounds, but their content
//!   is whatever the peer chose to say.
//! - After `Event::Left` nothing more comes: the driver may close the lanes once what was sent is out.
//!
//! # Layers
//!
//! A layer (broadcast, membership) is a protocol too. It sees [`Input::Below`] instead of lanes: every
//! event of the protocol under it, above all `NeighborUp` and `NeighborDown`. It gives orders down
//! with [`Output::Below`]. **What is not for a layer, it passes on**: an event from below that it does
//! not consume goes up as `Output::Event`, a command from above that it does not own goes down as
//! `Output::Below`. So the application talks to the top only, and any layer works over any overlay.

use std::fmt::Debug;
use std::hash::Hash;
use std::time::Duration;

use bytes::Bytes;
use rand::Rng;
use rand::seq::IteratorRandom;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::epoch::{Epoch, Order, OverlayKind, Report, Step, WhyBack};
use crate::message::Message;
use crate::payload::Payload;
use crate::store::MessageId;
use crate::switching::trial::{TrialReport, TrialTerms};
use crate::time::Time;

pub use crate::payload::PAYLOAD_BYTES_MAX;

/// What happens to a protocol.
#[derive(Clone, Debug, PartialEq)]
pub enum Input<P, M, T> {
    /// The node starts. First input, once.
    Start,
    /// A message came from a peer.
    Received {
        /// The peer at the other end of the lane.
        from: P,
        /// Decoded, and within its bounds.
        message: M,
    },
    /// A lane to this peer is up, whoever asked for it. Overlays only.
    PeerUp(P),
    /// The lane to this peer ended, or could not be made. Overlays only.
    PeerDown {
        /// The peer.
        peer: P,
        /// What became of the lane.
        why: WhyDown,
    },
    /// What is queued for this peer has reached its high watermark.
    Congested(P),
    /// What was queued for this peer has fallen to its low watermark.
    Drained(P),
    /// A timer set earlier has run out.
    Timer(T),
    /// An order of the application, or of the layer above.
    Command(Command<P>),
    /// An event of the protocol under this one. Layers only.
    Below(Event<P>),
}

/// Why there is no lane to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WhyDown {
    /// Nobody listens there: the process is gone, its host is not.
    Refused,
    /// No answer to a dial, or none over a lane, within the driver's time-out. The host may be gone.
    TimedOut,
    /// The lane broke.
    Lost,
    /// One of the two ends has no room for a lane just now. The peer lives: it is not forgotten for it.
    Busy,
    /// The other end closed it in order.
    AskedFor,
}

/// What a protocol wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output<P, M, T> {
    /// Send over the lane to this peer; dial one if there is none.
    Send {
        /// To whom.
        to: P,
        /// What.
        message: M,
    },
    /// Send the same to several peers. A driver encodes it once.
    SendAll {
        /// To whom. Not empty, no peer twice.
        to: Vec<P>,
        /// What.
        message: M,
    },
    /// Make a lane to this peer and keep it.
    Connect(P),
    /// The lane to this peer is not needed any more.
    Disconnect(P),
    /// Give [`Input::Timer`] with this id once, after this time.
    SetTimer {
        /// Given back unchanged.
        id: T,
        /// How long from now.
        after: Duration,
    },
    /// Something the application, or the layer above, wants to know.
    Event(Event<P>),
    /// An order to the protocol under this one. Layers only.
    Below(Command<P>),
}

impl<P, M, T> Output<P, M, T> {
    /// The same, with its message or timer as those of the protocol that this one is a part of.
    pub fn wrap<N, U>(
        self,
        message: impl FnOnce(M) -> N,
        timer: impl FnOnce(T) -> U,
    ) -> Output<P, N, U> {
        match self {
            Self::Send { to, message: inner } => Output::Send {
                to,
                message: message(inner),
            },
            Self::SendAll { to, message: inner } => Output::SendAll {
                to,
                message: message(inner),
            },
            Self::SetTimer { id, after } => Output::SetTimer {
                id: timer(id),
                after,
            },
            Self::Connect(peer) => Output::Connect(peer),
            Self::Disconnect(peer) => Output::Disconnect(peer),
            Self::Event(event) => Output::Event(event),
            Self::Below(command) => Output::Below(command),
        }
    }
}

/// Orders from the application, or from the layer above.
#[derive(Clone, Debug, PartialEq)]
pub enum Command<P> {
    /// Enter the cluster through this node, or repair an overlay that fell apart with its help.
    Join(P),
    /// Say goodbye, so that others need not find out. Answered by [`Event::Left`]; nothing follows but
    /// `Start` of a new instance.
    Leave,
    /// Deliver to every member.
    Broadcast(Payload),
    /// Deliver to every member, after what this node had delivered or sent before. Layer:
    /// [`crate::broadcast_kinds`].
    CausalBroadcast(Payload),
    /// Deliver to all of these members or to none, this node among them. Answered by [`Event::Atomic`].
    AtomicBroadcast {
        /// Each member and its incarnation: a node that has started again since is another one.
        view: Vec<(P, u64)>,
        /// What.
        payload: Payload,
    },
    /// Write a value into the state that anti-entropy keeps alike on all nodes.
    Write {
        /// Of what.
        key: Bytes,
        /// Greater than all before it.
        version: u64,
        /// What it is from now on.
        value: Bytes,
    },
    /// Deliver to every subscriber of a topic. At most [`PAYLOAD_BYTES_MAX`] bytes.
    Publish(TopicId, Bytes),
    /// Take part in a topic.
    Subscribe(TopicId),
    /// No longer take part in a topic.
    Unsubscribe(TopicId),
    /// Send to one node that may be no neighbor, through others if need be. Overlays that relay: the
    /// client-server overlay. At most [`PAYLOAD_BYTES_MAX`] bytes; lost if there is no way.
    Relay {
        /// To whom.
        to: P,
        /// What.
        payload: Bytes,
    },
    /// Let every member know this metadata of mine. At most
    /// [`METADATA_BYTES_MAX`] bytes.
    SetMetadata(Bytes),
    /// Give all nodes another overlay. Layer: [`crate::switching::Conductor`], which tells by
    /// [`Event::Switching`] how it goes.
    SwitchOverlay {
        /// Which.
        kind: OverlayKind,
        /// Of a client-server overlay, who is to be a server, at most
        /// [`crate::client_server::SERVERS_MAX`]; none: chosen among those that have been members for longest.
        servers: Vec<P>,
        /// Try it on some nodes first, in this way; none: all get it at once.
        trial: Option<Box<TrialTerms<P>>>,
    },
    /// A trial of another overlay that goes on is given up, for that reason: the cluster is no longer as it was when it
    /// began.
    GiveUpTrial(WhyBack),
    /// From [`crate::switching::Conductor`] to [`crate::switching::Switch`].
    Epoch(Order<P>),
    /// From [`crate::membership`] to the overlay: this member is in the zone of this node, or no longer.
    /// Overlays that mind zones use it.
    Near {
        /// The member.
        peer: P,
        /// Whether it is.
        is_near: bool,
    },
    /// From [`crate::membership`] to the overlay: this node did not run for a while, and others may have taken it for gone
    /// meanwhile. It tells its neighbors at once that it is one of theirs.
    Woken,
    /// Round-trip time to a peer as the driver measured it. Overlays that mind distance use it.
    Measured {
        /// The peer.
        peer: P,
        /// Round-trip time.
        rtt: Duration,
    },
}

impl<P> Command<P> {
    /// Whether it carries more bytes than it may. Asked by the first protocol that owns the command, so
    /// that what is refused is what was ordered.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`].
    pub fn check_size(&self) -> Result<(), Refusal> {
        let (bytes, bytes_max) = match self {
            Self::Broadcast(payload)
            | Self::CausalBroadcast(payload)
            | Self::AtomicBroadcast { payload, .. } => (payload.body.len(), PAYLOAD_BYTES_MAX),
            Self::Publish(_, payload) | Self::Relay { payload, .. } => {
                (payload.len(), PAYLOAD_BYTES_MAX)
            }
            Self::SetMetadata(metadata) => (metadata.len(), METADATA_BYTES_MAX),
            _ => return Ok(()),
        };
        if bytes <= bytes_max {
            Ok(())
        } else {
            Err(Refusal::TooLarge { bytes, bytes_max })
        }
    }
}

/// Why an order was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It carries more bytes than it may.
    #[error(
        "{bytes} bytes are more than the {bytes_max} allowed; send a stream, or several messages"
    )]
    TooLarge {
        /// Bytes that it carries.
        bytes: usize,
        /// Bytes allowed.
        bytes_max: usize,
    },
    /// As many of its kind as the node allows are there already.
    #[error("the node has {most} of them already; give one up, or raise the limit")]
    TooMany {
        /// How many are allowed.
        most: usize,
    },
    /// What was sent before has not gone out yet.
    #[error("too much is on its way already; wait, or send less")]
    Busy,
    /// The overlay is what it is to become.
    #[error("this is the overlay already; nothing to do")]
    AlreadyCurrent,
    /// Another change of the overlay has not ended.
    #[error("the overlay is being changed already; wait until that ends")]
    SwitchUnderWay,
    /// Nobody said in time that it has arrived. It may have, or not.
    #[error(
        "no acknowledgement came; it may have arrived or not: send it again if that does no harm"
    )]
    Unacknowledged,
    /// Its receiver had waited for it too long, and has delivered what came after it.
    #[error("it came too late to be delivered in its order; send it again as a new one")]
    TooLate,
    /// A version as great is there already.
    #[error("version {newest} is there already; give the next value a greater one")]
    Outdated {
        /// The greatest version.
        newest: u64,
    },
    /// The view is none that this node can state.
    #[error(
        "a view has this node in its present incarnation, no node twice, and at most {most} members"
    )]
    View {
        /// Members allowed.
        most: usize,
    },
    /// Nobody is known to whom it could be passed on.
    #[error("nobody is known who would pass it on; try again later")]
    NoWay,
    /// A node on which an overlay is to be tried is none, or there are too few.
    #[error(
        "an overlay is tried on live members, at least two and at most {most}; name others, or switch without a trial"
    )]
    Part {
        /// How many are allowed.
        most: usize,
    },
    /// No member is to be a server.
    #[error(
        "no member can be a server: each has role = client; name servers, or give members another role"
    )]
    NoServers,
}

/// What a protocol tells the application, or the layer above.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<P> {
    /// The overlay now connects this node to that peer.
    NeighborUp(P),
    /// No longer.
    NeighborDown(P),
    /// A broadcast or publication arrived, for the first time. Not told to its sender.
    Delivered(Delivery<P>),
    /// How an atomic broadcast ended. A member that delivers is told so by `Delivered`, its sender here.
    Atomic {
        /// Who sent it.
        sender: P,
        /// Which.
        id: MessageId,
        /// How it ended.
        outcome: AtomicOutcome<P>,
    },
    /// A newer value of the application's state came from another node, and was written.
    Written {
        /// The node, which need not be the one that wrote it first.
        from: P,
        /// Of what.
        key: Bytes,
        /// Its version.
        version: u64,
        /// What it is from now on.
        value: Bytes,
    },
    /// A payload came from one node, perhaps through others.
    Relayed {
        /// Who sent it.
        from: P,
        /// What.
        payload: Bytes,
    },
    /// A member joined, or proved to be alive.
    MemberUp(P),
    /// A live member changed its addresses or metadata.
    MemberChanged(P),
    /// A member does not answer and may be down.
    MemberSuspect(P),
    /// A member is down.
    MemberDown(P),
    /// A member said goodbye.
    MemberLeft(P),
    /// The least of the live members, for this node and all that agree with it on who lives.
    Coordinator(P),
    /// A good part of the cluster was lost at once.
    Partitioned {
        /// The members that this node still counts as live, itself included.
        here: Vec<P>,
        /// Those that were lost.
        there: Vec<P>,
    },
    /// Most of those that were lost in a partition are back.
    Healed {
        /// Those that are not.
        missing: Vec<P>,
    },
    /// A change of the overlay has come a step further.
    Switching {
        /// Of the overlay that is changed to, or retired.
        epoch: Epoch<P>,
        /// Which overlay.
        kind: OverlayKind,
        /// The step.
        step: Step,
    },
    /// An overlay was tried on some nodes, and this came of it. Told by its proposer, before the step that follows.
    Tried {
        /// Of the overlay that was tried.
        epoch: Epoch<P>,
        /// What was measured, and why it is adopted or given up.
        report: Box<TrialReport>,
    },
    /// From [`crate::switching::Switch`] to [`crate::switching::Conductor`].
    Epoch(Report<P>),
    /// Messages that this node will not deliver: they did not come in time, and others that did come
    /// depend on them. Told before those are delivered. Causal layers.
    Missed {
        /// Who sent them.
        sender: P,
        /// In which life of the sender.
        incarnation: u64,
        /// The first of them, as the layer counts that life's messages, from one.
        first: u64,
        /// The last of them.
        last: u64,
    },
    /// An order was not carried out, and why.
    Refused {
        /// The order, given back.
        command: Command<P>,
        /// Why.
        why: Refusal,
    },
    /// All that a leave has to send was sent. The last event.
    Left,
}

/// How an atomic broadcast ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AtomicOutcome<P> {
    /// All members of its view deliver it that live on. Told to its sender.
    Committed,
    /// Nobody delivers it. Told to its sender, and to who was ready to deliver it.
    Aborted {
        /// At its sender: who was not ready. Elsewhere nobody.
        missing: Vec<P>,
    },
    /// It has ended, and so long ago that too few know how. Told to who was ready to deliver it and was
    /// cut off since; it was not delivered here.
    Unknown,
}

/// A payload that reached this node.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery<P> {
    /// Who sent it, as the nodes that passed it on said. A node can lie about it.
    pub sender: P,
    /// Which of the sender's messages, as its broadcast layer counts them, those of layers included.
    pub id: MessageId,
    /// The topic it was published to; none for a broadcast.
    pub topic: Option<TopicId>,
    /// What was sent.
    pub payload: Payload,
    /// Hops from its sender: 1 from a neighbor.
    pub hops: u16,
}

/// Identifies a topic cluster wide: a hash of its name.
pub type TopicId = u64;

/// The most bytes of a member's metadata. 512 is also the limit of serf's tags.
pub const METADATA_BYTES_MAX: usize = 512;

/// Shorthand for the inputs of a protocol.
pub type InputOf<X, P> = Input<P, <X as Protocol<P>>::Message, <X as Protocol<P>>::Timer>;
/// Shorthand for the outputs of a protocol.
pub type OutputOf<X, P> = Output<P, <X as Protocol<P>>::Message, <X as Protocol<P>>::Timer>;

/// A state machine among peers.
pub trait Protocol<P: Peer> {
    /// What it sends to its like on other nodes.
    type Message: Message;
    /// Names its timers.
    type Timer: Clone + Debug + PartialEq + Serialize + 'static;

    /// Takes one input, appends what is to be done to `out`. The order of `out` is the order to act.
    fn handle<R: Rng>(
        &mut self,
        now: Time,
        input: InputOf<Self, P>,
        random: &mut R,
        out: &mut Vec<OutputOf<Self, P>>,
    );
}

/// A protocol that decides who connects to whom.
pub trait Overlay<P: Peer>: Protocol<P> {
    /// The peers that this node is connected to by the overlay's rule: exactly those told by
    /// `NeighborUp` and not yet by `NeighborDown`.
    fn neighbors(&self) -> Vec<P>;

    /// The neighbor that something for `to` goes to next, and not back to `came_from`; none if there is
    /// no way. Whoever passes it on counts its hops down, and drops it when none is left: where nothing
    /// better is known than a random neighbor, as here, that bounds the walk.
    fn next_hop<R: Rng>(&self, to: P, came_from: Option<P>, random: &mut R) -> Option<P> {
        let neighbors = self.neighbors();
        if neighbors.contains(&to) {
            return Some(to);
        }
        let onward = neighbors.into_iter();
        onward
            .filter(|peer| Some(*peer) != came_from)
            .choose(random)
    }
}

/// Identity of a node, unique in the cluster. Small: it is copied and compared often.
///
/// A driver must be able to dial a peer by its identity alone, also one that it heard of a moment ago
/// from another peer: the identity carries the address, or the driver knows where to look it up.
pub trait Peer:
    Copy + Debug + Ord + Hash + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// The most bytes that an identity has when encoded with postcard.
    const BYTES_MAX: usize;
}

impl Peer for u32 {
    const BYTES_MAX: usize = 5;
}

impl Peer for u64 {
    const BYTES_MAX: usize = 10;
}

impl Peer for u128 {
    const BYTES_MAX: usize = 19;
}
