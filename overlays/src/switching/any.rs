//! Any of the overlays, chosen while the node runs, behind one type.
//!
//! Owns how each is made from a proposal, and what each needs before it can carry. Used by
//! [`super::Switch`] alone; adds nothing to what the overlays do.

use bytes::Bytes;
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::client_server::{self, ClientServer, Role};
use crate::epoch::{OverlayKind, Proposal};
use crate::event::{Input, InputOf, Output, OutputOf, Overlay, Peer, Protocol};
use crate::full_mesh::{self, FullMesh};
use crate::hyparview::{self, HyParView};
use crate::message::{DecodeError, Message};
use crate::pub_sub::{self, PubSub};
use crate::time::Time;

/// Settings of every overlay that a node may be given.
#[derive(Clone, Debug)]
pub struct Overlays {
    /// Of the full mesh.
    pub full_mesh: full_mesh::Config,
    /// Of HyParView.
    pub hyparview: hyparview::Config,
    /// Of client-server: servers that a client is connected to at a time.
    pub servers_per_client: usize,
    /// Of client-server: most clients of one server.
    pub clients_max: usize,
    /// Of publish-subscribe.
    pub pub_sub: pub_sub::Config,
}

impl Default for Overlays {
    fn default() -> Self {
        let star = client_server::Config::<u32>::client(Vec::new());
        Self {
            full_mesh: full_mesh::Config::default(),
            hyparview: hyparview::Config::default(),
            servers_per_client: star.servers_per_client,
            clients_max: star.clients_max,
            pub_sub: pub_sub::Config::default(),
        }
    }
}

/// One of the overlays.
#[derive(Debug)]
pub enum AnyOverlay<P> {
    /// Everybody connected to everybody.
    FullMesh(FullMesh<P>),
    /// A few random neighbors.
    HyParView(Box<HyParView<P>>),
    /// Servers, and clients of a few of them.
    ClientServer(Box<ClientServer<P>>),
    /// HyParView, and another one for each topic.
    PubSub(Box<PubSub<P>>),
}

/// A message of one of the overlays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AnyMessage<P> {
    /// Of the full mesh.
    FullMesh(full_mesh::Message<P>),
    /// Of HyParView.
    HyParView(hyparview::Message<P>),
    /// Of client-server.
    ClientServer(client_server::Message<P>),
    /// Of publish-subscribe.
    PubSub(pub_sub::Message<P>),
}

/// A timer of one of the overlays.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub enum AnyTimer {
    /// Of the full mesh.
    FullMesh(full_mesh::PeriodOver),
    /// Of HyParView.
    HyParView(hyparview::Timer),
    /// Of client-server.
    ClientServer(client_server::PeriodOver),
    /// Of publish-subscribe.
    PubSub(pub_sub::Timer),
}

impl<P: Peer> AnyOverlay<P> {
    /// The overlay of a proposal, connected to nobody.
    pub(super) fn new(me: P, proposal: &Proposal<P>, settings: &Overlays) -> Self {
        match proposal.kind {
            OverlayKind::FullMesh => Self::FullMesh(FullMesh::new(me, settings.full_mesh.clone())),
            OverlayKind::HyParView => {
                Self::HyParView(Box::new(HyParView::new(me, settings.hyparview.clone())))
            }
            OverlayKind::ClientServer => {
                let servers = proposal.servers.clone();
                let config = client_server::Config {
                    role: if servers.contains(&me) {
                        Role::Server
                    } else {
                        Role::Client
                    },
                    servers_per_client: settings.servers_per_client,
                    clients_max: settings.clients_max,
                    ..client_server::Config::client(servers)
                };
                Self::ClientServer(Box::new(ClientServer::new(me, config)))
            }
            OverlayKind::PubSub => {
                Self::PubSub(Box::new(PubSub::new(me, settings.pub_sub.clone())))
            }
        }
    }

    /// How many neighbors a node needs before this overlay can carry for it, with so many other members.
    /// Half of a view: the rest comes of shuffles, and in some small clusters never.
    pub(super) fn neighbors_needed(&self, settings: &Overlays, others: usize) -> usize {
        let half = |config: &hyparview::Config| config.active_max.div_ceil(2);
        let most = match self {
            Self::FullMesh(_) => others,
            Self::HyParView(_) => half(&settings.hyparview),
            Self::PubSub(_) => half(&settings.pub_sub.base_overlay),
            // A second server is a matter of safety, and may be full or gone.
            Self::ClientServer(_) => 1,
        };
        others.min(most)
    }

    /// Whether it takes part in topics.
    pub(super) const fn has_topics(&self) -> bool {
        matches!(self, Self::PubSub(_))
    }

    /// Says which bound is broken, if any is.
    ///
    /// # Errors
    /// One sentence.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::FullMesh(_) => Ok(()),
            Self::HyParView(overlay) => overlay.check(),
            Self::ClientServer(overlay) => overlay.check(),
            Self::PubSub(overlay) => overlay.check(),
        }
    }
}

impl<P: Peer> Message for AnyMessage<P> {
    const BYTES_MAX: usize = {
        let mut most = full_mesh::Message::<P>::BYTES_MAX;
        let others = [
            hyparview::Message::<P>::BYTES_MAX,
            client_server::Message::<P>::BYTES_MAX,
            pub_sub::Message::<P>::BYTES_MAX,
        ];
        let mut index = 0;
        while index < others.len() {
            if others[index] > most {
                most = others[index];
            }
            index += 1;
        }
        1 + most
    };

    fn tail(&self) -> Bytes {
        match self {
            Self::FullMesh(message) => message.tail(),
            Self::HyParView(message) => message.tail(),
            Self::ClientServer(message) => message.tail(),
            Self::PubSub(message) => message.tail(),
        }
    }

    fn attach(&mut self, tail: Bytes) -> Result<(), DecodeError> {
        match self {
            Self::FullMesh(message) => message.attach(tail),
            Self::HyParView(message) => message.attach(tail),
            Self::ClientServer(message) => message.attach(tail),
            Self::PubSub(message) => message.attach(tail),
        }
    }

    fn validate(&self) -> Result<(), DecodeError> {
        match self {
            Self::FullMesh(message) => message.validate(),
            Self::HyParView(message) => message.validate(),
            Self::ClientServer(message) => message.validate(),
            Self::PubSub(message) => message.validate(),
        }
    }
}

/// The input as one of the overlays takes it; none if it is a message or timer of another one.
fn narrow<P, M, T>(
    input: Input<P, AnyMessage<P>, AnyTimer>,
    message_of: impl FnOnce(AnyMessage<P>) -> Option<M>,
    timer_of: impl FnOnce(AnyTimer) -> Option<T>,
) -> Option<Input<P, M, T>> {
    Some(match input {
        Input::Received { from, message } => Input::Received {
            from,
            message: message_of(message)?,
        },
        Input::Timer(id) => Input::Timer(timer_of(id)?),
        Input::Start => Input::Start,
        Input::PeerUp(peer) => Input::PeerUp(peer),
        Input::PeerDown { peer, why } => Input::PeerDown { peer, why },
        Input::Congested(peer) => Input::Congested(peer),
        Input::Drained(peer) => Input::Drained(peer),
        Input::Command(command) => Input::Command(command),
        Input::Below(event) => Input::Below(event),
    })
}

/// Gives the input to the overlay that there is, and takes its outputs, in one of the variants.
macro_rules! handle {
    ($overlay:expr, $variant:ident, $now:expr, $input:expr, $random:expr, $out:expr) => {{
        let message_of = |message| match message {
            AnyMessage::$variant(message) => Some(message),
            _ => None,
        };
        let timer_of = |id| match id {
            AnyTimer::$variant(id) => Some(id),
            _ => None,
        };
        if let Some(input) = narrow($input, message_of, timer_of) {
            let mut inner = Vec::new();
            $overlay.handle($now, input, $random, &mut inner);
            let wrap =
                |output: Output<_, _, _>| output.wrap(AnyMessage::$variant, AnyTimer::$variant);
            $out.extend(inner.into_iter().map(wrap));
        }
    }};
}

impl<P: Peer> Protocol<P> for AnyOverlay<P> {
    type Message = AnyMessage<P>;
    type Timer = AnyTimer;

    fn handle<R: Rng>(
        &mut self,
        now: Time,
        input: InputOf<Self, P>,
        random: &mut R,
        out: &mut Vec<OutputOf<Self, P>>,
    ) {
        match self {
            Self::FullMesh(overlay) => handle!(overlay, FullMesh, now, input, random, out),
            Self::HyParView(overlay) => handle!(overlay, HyParView, now, input, random, out),
            Self::ClientServer(overlay) => {
                handle!(overlay, ClientServer, now, input, random, out);
            }
            Self::PubSub(overlay) => handle!(overlay, PubSub, now, input, random, out),
        }
    }
}

impl<P: Peer> Overlay<P> for AnyOverlay<P> {
    fn neighbors(&self) -> Vec<P> {
        match self {
            Self::FullMesh(overlay) => overlay.neighbors(),
            Self::HyParView(overlay) => overlay.neighbors(),
            Self::ClientServer(overlay) => overlay.neighbors(),
            Self::PubSub(overlay) => overlay.neighbors(),
        }
    }

    fn next_hop<R: Rng>(&self, to: P, came_from: Option<P>, random: &mut R) -> Option<P> {
        match self {
            Self::FullMesh(overlay) => overlay.next_hop(to, came_from, random),
            Self::HyParView(overlay) => overlay.next_hop(to, came_from, random),
            Self::ClientServer(overlay) => overlay.next_hop(to, came_from, random),
            Self::PubSub(overlay) => overlay.next_hop(to, came_from, random),
        }
    }
}
