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
//! - Messages were decoded by [`crate::decode`], so they are within their bounds, but their content
//!   is whatever the peer chose to say.
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
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::message::Message;
use crate::time::Time;

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
    PeerDown(P),
    /// A timer set earlier has run out.
    Timer(T),
    /// An order of the application, or of the layer above.
    Command(Command<P>),
    /// An event of the protocol under this one. Layers only.
    Below(Event<P>),
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
    /// Say goodbye, so that others need not find out. Nothing follows but `Start` of a new instance.
    Leave,
    /// Deliver to every member. At most [`PAYLOAD_BYTES_MAX`] bytes, longer ones are ignored.
    Broadcast(Bytes),
    /// Deliver to every subscriber of a topic.
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
    /// Let every member know this metadata of mine. More bytes than
    /// [`crate::membership::METADATA_BYTES_MAX`] are ignored: check first.
    SetMetadata(Bytes),
    /// Round-trip time to a peer as the driver measured it. Overlays that mind distance use it.
    Measured {
        /// The peer.
        peer: P,
        /// Round-trip time.
        rtt: Duration,
    },
}

/// What a protocol tells the application, or the layer above.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<P> {
    /// The overlay now connects this node to that peer.
    NeighborUp(P),
    /// No longer.
    NeighborDown(P),
    /// A broadcast or publication arrived, for the first time. Not told to its sender.
    Delivered(Delivery),
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
}

/// A payload that reached this node.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// The topic it was published to; none for a broadcast.
    pub topic: Option<TopicId>,
    /// What was sent.
    pub payload: Bytes,
    /// Hops from its sender: 1 from a neighbor.
    pub hops: u16,
}

/// Identifies a topic cluster wide: a hash of its name.
pub type TopicId = u64;

/// The most bytes of a broadcast or published payload. A default stream chunk fits.
pub const PAYLOAD_BYTES_MAX: usize = 256 * 1024;

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
