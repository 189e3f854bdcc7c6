//! `docs/limits.md`: each limit, its default, what happens when it is reached, and what proves it.

use std::path::PathBuf;

use overlane::admin;
use overlane::admin::request::{PING_BYTES_MAX, WAIT_MS_MAX};
use overlane::config::{
    CHANNEL_PARAMETERS, CHANNELS_MAX, FILE_BYTES_MAX, NODE_PARAMETERS, RULES_MAX, Unit,
    ZONE_BYTES_MAX, number, quantity,
};
use overlane::delivery::REFUSALS_MAX;
use overlane::delivery::incoming::RUNS_MAX;
use overlane::http;
use overlane::wire::{
    CloseReason, causes, endings, extension, frame, hello, layout, name, parameters,
};
use overlane::{
    ADDRESSES_MAX, CHANGE_BYTES_MAX, CHANGED_MAX, DECIDERS_MAX, DECISION_BYTES_MAX,
    DECISIONS_BYTES_MAX, DECISIONS_MAX, FAULTS_MAX, METADATA_PAIRS_MAX, RECEIPTS_MAX,
    RELAYED_BYTES_MAX, RELAYED_MAX, REQUESTS_MAX, SUMMARY_BYTES_MAX,
};

use self::Reached::{Closed, Otherwise};
use self::Value::{Channel, Constant, Derived, Node};
use super::{assert_document, default_of, head, row};

const INTRODUCTION: &str = "\
# Limits

Everything that somebody else can make larger has a limit, which is checked before memory is taken
for it. A peer that exceeds one loses its connection with a counted reason, and no other peer
notices. This file follows from `engine/tests/config/documents/limits.rs`; a test fails when it
differs, and `OVERLANE_BLESS=1 cargo test -p overlane --test config documents` writes it anew.

";

/// Where the value of a limit is.
enum Value {
    /// A parameter of the node.
    Node(&'static str),
    /// A parameter of a channel.
    Channel(&'static str),
    /// A constant of the source, and its value.
    Constant(&'static str, u64, Unit),
    /// It follows from other limits.
    Derived(&'static str),
}

/// What happens when a limit is reached.
enum Reached {
    /// The connection is closed, with this counted reason.
    Closed(CloseReason),
    /// Something else.
    Otherwise(&'static str),
}

struct Limit {
    what: &'static str,
    value: Value,
    reached: Reached,
    /// File and name of the test.
    proof: &'static str,
}

const fn limit(what: &'static str, value: Value, reached: Reached, proof: &'static str) -> Limit {
    Limit {
        what,
        value,
        reached,
        proof,
    }
}

const STRANGERS: &[Limit] = &[
    limit(
        "beacon of multicast",
        Constant(
            "discovery::multicast::PACKET_BYTES_MAX",
            overlane_discovery::multicast::PACKET_BYTES_MAX as u64,
            Unit::Bytes,
        ),
        Otherwise("it is not believed, counted as `refused`"),
        "`discovery/src/multicast/packet.rs`",
    ),
    limit(
        "senders of beacons that are remembered",
        Constant(
            "discovery::multicast::SENDERS_MAX",
            overlane_discovery::multicast::SENDERS_MAX as u64,
            Unit::Count("senders"),
        ),
        Otherwise("beacons of others are not believed until one of them has been silent for 30 s"),
        "`discovery/src/multicast/guard.rs`",
    ),
    limit(
        "places of a discovery",
        Constant(
            "discovery::PLACES_MAX",
            overlane_discovery::PLACES_MAX as u64,
            Unit::Count("places"),
        ),
        Otherwise("the rest is counted as `left_out`"),
        "`discovery/src/found.rs`",
    ),
    limit(
        "records of an answer of DNS",
        Constant(
            "discovery::resolver::RECORDS_MAX",
            overlane_discovery::resolver::RECORDS_MAX as u64,
            Unit::Count("records"),
        ),
        Otherwise("the rest is left out"),
        "`discovery/src/resolver/message.rs`",
    ),
    limit(
        "time for an answer of DNS",
        Derived(
            "3 s for each server by UDP, and 3 s by TCP; what `/etc/resolv.conf` says where no server is named",
        ),
        Otherwise("the next server is asked, each twice"),
        "`discovery/tests/servers/dns.rs`",
    ),
    limit(
        "page of a list of Kubernetes' API, line of a watch",
        Derived("16 MiB, 2 MiB"),
        Otherwise("the discovery fails and says so, and is tried again"),
        "`discovery/tests/servers/kubernetes.rs`",
    ),
    limit(
        "handshake message",
        Constant(
            "wire::layout::HANDSHAKE_BODY_BYTES_MAX",
            layout::HANDSHAKE_BODY_BYTES_MAX as u64,
            Unit::Bytes,
        ),
        Closed(CloseReason::HandshakeTooLarge),
        "hostile/handshakes.rs::a_handshake_over_its_limit_is_closed",
    ),
    limit(
        "bytes held for a stranger",
        Derived("one handshake message and its prefix of 8 bytes"),
        Closed(CloseReason::HandshakeTooLarge),
        "hostile/handshakes.rs::a_handshake_over_its_limit_is_closed",
    ),
    limit(
        "handshake of a session, before the other side is authenticated",
        Constant(
            "wire::layout::SESSION_HANDSHAKE_BYTES_MAX",
            layout::SESSION_HANDSHAKE_BYTES_MAX as u64,
            Unit::Bytes,
        ),
        Closed(CloseReason::HandshakeTooLarge),
        "hostile/sessions.rs::a_session_that_goes_on_for_ever_is_closed",
    ),
    limit(
        "time for a handshake",
        Node("handshake_deadline_ms"),
        Closed(CloseReason::HandshakeTimeout),
        "hostile/handshakes.rs::a_handshake_of_one_byte_per_second_is_closed",
    ),
    limit(
        "unfinished handshakes",
        Node("pending_handshakes_max"),
        Otherwise(
            "the oldest of the address that has the most is closed, counted as `too_many_handshakes`",
        ),
        "hostile/connections.rs::a_flood_of_silent_connections_keeps_nobody_out",
    ),
    limit(
        "connections",
        Node("connections_max"),
        Closed(CloseReason::TooManyHandshakes),
        "hostile/connections.rs::connections_over_the_limit_are_closed",
    ),
    limit(
        "peers",
        Node("peers_max"),
        Closed(CloseReason::TooManyPeers),
        "hostile/connections.rs::a_peer_too_many_is_refused",
    ),
    limit(
        "addresses of one peer",
        Constant(
            "ADDRESSES_MAX",
            ADDRESSES_MAX as u64,
            Unit::Count("addresses"),
        ),
        Otherwise("`Node::reach` says how many there may be"),
        "peers/reach.rs::what_cannot_be_an_address_of_a_peer_is_refused",
    ),
    limit(
        "lanes of a channel to one peer",
        Channel("parallelism"),
        Closed(CloseReason::LaneOutOfRange),
        "hostile/handshakes.rs::a_lane_index_out_of_range_is_refused",
    ),
    limit(
        "name of a cluster, node, channel or mailbox",
        Constant(
            "wire::name::NAME_BYTES_MAX",
            name::NAME_BYTES_MAX as u64,
            Unit::Bytes,
        ),
        Closed(CloseReason::HandshakeMalformed),
        "config/mistakes.rs::a_bad_channel_name_is_refused_in_every_source",
    ),
    limit(
        "parameters of a handshake",
        Constant(
            "wire::parameters::PARAMETERS_MAX",
            parameters::PARAMETERS_MAX as u64,
            Unit::Count("parameters"),
        ),
        Closed(CloseReason::HandshakeMalformed),
        "the unit tests of engine/src/wire/parameters.rs",
    ),
    limit(
        "names and values of a handshake's parameters",
        Constant(
            "wire::parameters::PARAMETER_BYTES_MAX",
            parameters::PARAMETER_BYTES_MAX as u64,
            Unit::Bytes,
        ),
        Closed(CloseReason::HandshakeMalformed),
        "the unit tests of engine/src/wire/parameters.rs",
    ),
    limit(
        "text of a refusal",
        Constant(
            "wire::hello::REFUSE_TEXT_BYTES_MAX",
            hello::REFUSE_TEXT_BYTES_MAX as u64,
            Unit::Bytes,
        ),
        Otherwise("the sender shortens it"),
        "the unit tests of engine/src/wire/hello.rs",
    ),
];

const PEERS: &[Limit] = &[
    limit(
        "payload of a message, sending",
        Channel("message_bytes_max"),
        Otherwise("refused with `TooLarge`"),
        "hostile/frames.rs::a_payload_over_the_limit_is_refused_to_the_sender",
    ),
    limit(
        "payload of a message, receiving",
        Channel("message_bytes_max"),
        Closed(CloseReason::FrameTooLarge),
        "hostile/frames.rs::a_frame_over_the_limit_is_closed_before_its_body",
    ),
    limit(
        "body of a frame",
        Constant(
            "wire::BODY_BYTES_MAX",
            frame::BODY_BYTES_MAX as u64,
            Unit::Bytes,
        ),
        Otherwise("the header has no more bits for it"),
        "the unit tests of engine/src/wire/frame.rs",
    ),
    limit(
        "messages of a lane that are put together from fragments at a time",
        Derived("1, of at most `message_bytes_max`"),
        Closed(CloseReason::FrameMalformed),
        "hostile/fragments.rs::fragments_against_the_rules_end_the_lane",
    ),
    limit(
        "bytes that a compressed frame stands for",
        Derived(
            "1 MiB, or one message of `message_bytes_max` with header and extension; and 256 KiB plus 512 times its own length",
        ),
        Closed(CloseReason::BadCompression),
        "hostile/compression.rs::compressed_frames_against_the_rules_end_the_lane",
    ),
    limit(
        "body of a frame of unknown, optional kind",
        Constant(
            "wire::frame::OPTIONAL_BODY_BYTES_MAX",
            frame::OPTIONAL_BODY_BYTES_MAX as u64,
            Unit::Bytes,
        ),
        Closed(CloseReason::FrameTooLarge),
        "the unit tests of engine/src/wire/frame.rs",
    ),
    limit(
        "extension of a frame",
        Constant(
            "wire::extension::EXTENSION_BYTES_MAX",
            extension::EXTENSION_BYTES_MAX as u64,
            Unit::Bytes,
        ),
        Closed(CloseReason::FrameTooLarge),
        "hostile/extensions.rs::an_extension_over_its_limits_is_closed_before_its_body",
    ),
    limit(
        "entries of a frame's extension",
        Constant(
            "wire::extension::EXTENSION_ENTRIES_MAX",
            extension::EXTENSION_ENTRIES_MAX as u64,
            Unit::Count("entries"),
        ),
        Closed(CloseReason::FrameMalformed),
        "hostile/extensions.rs::an_extension_that_cannot_be_is_closed",
    ),
    limit(
        "mailbox ids of a lane",
        Node("mailboxes_per_lane_max"),
        Closed(CloseReason::BadMailbox),
        "hostile/frames.rs::a_mailbox_too_many_is_closed",
    ),
    limit(
        "ids announced with another name, without a message between them",
        Derived("as many as the lane has ids; more count as control frames"),
        Closed(CloseReason::ControlFlood),
        "hostile/mailboxes.rs::names_without_messages_are_a_flood",
    ),
    limit(
        "memory for the mailbox names of one peer, over all its lanes",
        Node("peer_names_bytes_max"),
        Closed(CloseReason::OverBudget),
        "hostile/floods.rs::names_are_charged_to_their_peer_and_given_back_when_its_lanes_end",
    ),
    limit(
        "refusals of requests owed to a peer",
        Derived("what the queue of the lane has room for"),
        Otherwise("the request is not refused, and ends by its deadline"),
        "hostile/extensions.rs::refusals_of_requests_to_a_peer_that_does_not_read_are_bounded",
    ),
    limit(
        "messages on a control lane",
        Derived("none"),
        Closed(CloseReason::BadMailbox),
        "hostile/lanes.rs::a_message_on_the_control_lane_ends_it",
    ),
    limit(
        "control frames per second and lane",
        Node("control_frames_per_second_max"),
        Closed(CloseReason::ControlFlood),
        "hostile/floods.rs::a_flood_of_control_frames_is_closed",
    ),
    limit(
        "silence of the other end",
        Node("idle_timeout_ms"),
        Closed(CloseReason::IdleTimeout),
        "hostile/silence.rs::a_peer_that_stops_answering_is_closed",
    ),
    limit(
        "silence of the other end of a lane that it dials anew",
        Derived("a quarter of `idle_timeout_ms`"),
        Closed(CloseReason::IdleTimeout),
        "hostile/silence.rs::a_lane_that_its_peer_dials_anew_has_to_answer_at_once_or_makes_room",
    ),
    limit(
        "time that a lane stopped by a full inbox outlives its peer",
        Derived(
            "`idle_timeout_ms`; up to two minutes where the peer's host has lost its power and neither side reads",
        ),
        Closed(CloseReason::IdleTimeout),
        "hostile/silence.rs::peers_that_go_while_an_unread_inbox_stops_their_lanes_are_found_out",
    ),
    limit(
        "answers owed to a peer that does not read",
        Derived("one Pong and one Ack, and the socket's send buffer"),
        Otherwise("the newest Ping is answered"),
        "hostile/floods.rs::pings_of_a_peer_that_does_not_read_make_the_node_owe_one_pong",
    ),
    limit(
        "time for a frame",
        Derived("`idle_timeout_ms`, and as long again while 1 KiB a second of it comes"),
        Closed(CloseReason::TooSlow),
        "hostile/silence.rs::a_frame_of_one_byte_per_second_is_closed",
    ),
    limit(
        "dials under way per shard",
        Derived("128; 96 for lanes whose last dial failed"),
        Otherwise("the others wait for their turn"),
        "hostile/dials.rs::dials_under_way_are_bounded_and_each_gets_its_turn",
    ),
    limit(
        "time that messages wait for a lane that cannot be made",
        Derived(
            "a back-off and a dial (`reconnect_max_ms`, `connect_timeout_ms`, `handshake_deadline_ms`), and as much again for the dial of the peer",
        ),
        Otherwise("they are reported with the reason of the dial"),
        "peers/lanes/demand.rs::messages_to_a_peer_that_nobody_can_reach_any_more_are_reported_in_time",
    ),
    limit(
        "time for what is under way on a lane that is made anew",
        Derived("5 s"),
        Otherwise(
            "an inbox is full: a lane that keeps its messages is cut and resumed, another goes on as it is and is tried again up to every second",
        ),
        "peers/renewal_held.rs::a_full_inbox_holds_the_renewal_of_a_lane_and_costs_no_message",
    ),
    limit(
        "connections of a lane that wait for the Bye of the one before",
        Derived("1 of each lane, for 1 s"),
        Otherwise(
            "the older one is closed; after that second it takes the place of the one before",
        ),
        "the unit tests of engine/src/shard/renewal.rs",
    ),
    limit(
        "refusals of lanes that wait to be said to one peer",
        Derived("16 KiB"),
        Otherwise("the peer is not told, and waits until its own patience ends"),
        "peers/lanes/demand.rs::refusals_of_lanes_to_a_peer_that_does_not_read_are_bounded",
    ),
    limit(
        "time without a message after which a lane closes",
        Node("lane_idle_ms"),
        Otherwise("both ends close it when both find it idle; the next message makes it again"),
        "peers/lanes/idle.rs::an_idle_lane_closes_at_both_ends_and_the_next_message_makes_it_again",
    ),
    limit(
        "time for a dial",
        Node("connect_timeout_ms"),
        Closed(CloseReason::ConnectTimeout),
        "hostile/dials.rs::a_dial_without_answer_ends",
    ),
    limit(
        "bytes received per priority, shard and turn",
        Node("receive_quantum_bytes"),
        Otherwise("the rest waits in the socket for the next turn"),
        "hostile/floods.rs::a_flooding_peer_does_not_stop_honest_ones",
    ),
    limit(
        "bytes sent per shard and turn",
        Node("turn_bytes_max"),
        Otherwise("lower priorities wait for the next turn, counted as starved"),
        "hostile/floods.rs::a_flooding_channel_starves_only_lower_priorities_counted",
    ),
    limit(
        "causal broadcasts held back, a quarter of them for one sender",
        Node("broadcast_causal_held_max"),
        Otherwise("the longest wait ends: what is missing is given up and told"),
        "the unit tests of overlays/src/hold_back",
    ),
    limit(
        "bytes of them, a quarter for one sender",
        Node("broadcast_causal_held_bytes_max"),
        Otherwise("the longest wait ends: what is missing is given up and told"),
        "the unit tests of overlays/src/hold_back",
    ),
    limit(
        "causal broadcasts kept for those that miss them",
        Node("broadcast_causal_kept_max"),
        Otherwise("the oldest are let go of"),
        "the unit tests of overlays/src/causal_broadcast",
    ),
    limit(
        "atomic broadcasts of one member that this node is prepared for",
        Node("broadcast_atomic_rounds_max"),
        Otherwise("it votes against more, and nobody delivers them"),
        "the unit tests of overlays/src/atomic_broadcast",
    ),
    limit(
        "bytes of atomic broadcasts under way",
        Node("broadcast_atomic_bytes_max"),
        Otherwise("it votes against more, and nobody delivers them"),
        "the unit tests of overlays/src/atomic_broadcast",
    ),
    limit(
        "topics of others that a node of a publish-subscribe overlay remembers",
        Node("pub_sub_topics_known_max"),
        Otherwise("a random one is forgotten, and asked for when it is needed"),
        "the unit tests of overlays/src/pub_sub",
    ),
    limit(
        "open streams of one peer",
        Node("streams_max"),
        Otherwise("the stream is refused, counted"),
        "delivery/streams.rs::open_streams_are_bounded_at_both_ends",
    ),
    limit(
        "bytes of one stream that came and are not read",
        Node("stream_window_bytes"),
        Closed(CloseReason::BadStream),
        "hostile/streams.rs::a_chunk_beyond_the_window_ends_the_lane",
    ),
    limit(
        "bytes of messages that come from one peer as streams",
        Channel("large_bytes_max"),
        Otherwise(
            "one more is refused, counted; one that is longer is closed, counted as `bad_stream`",
        ),
        "hostile/streams.rs::messages_that_come_as_streams_are_bounded_before_memory_is_taken",
    ),
    limit(
        "answers to a flood of streams",
        Derived("1,024 words, and of a lane's log `queue_bytes_max` (`log_bytes_max`) and 16 KiB"),
        Otherwise("they are left out"),
        "hostile/streams.rs::a_flood_of_streams_is_bounded_also_where_the_peer_reads_no_answer",
    ),
    limit(
        "memory charged to one peer",
        Derived(
            "per lane `queue_bytes_max` to send and one `message_bytes_max` being received and one in fragments, what one compressed frame stands for where an inbox is full, per open stream its window, and as many bytes of messages that come as streams as the largest `large_bytes_max`",
        ),
        Otherwise("by its parts"),
        "hostile/floods.rs::a_peer_holds_no_more_than_its_budget",
    ),
];

const QUEUE_IS_FULL: &str = "`overflow` of the channel decides; drops are counted; `drop_oldest` keeps the \
     newest message besides, while the kernel has all the others";

const APPLICATIONS: &[Limit] = &[
    limit(
        "topics that a node subscribes to",
        Node("pub_sub_topics_max"),
        Otherwise("refused with `TooMany`"),
        "cluster/topics.rs::topics_are_bounded_in_number_and_length",
    ),
    limit(
        "messages in the queue of a lane",
        Channel("queue_messages_max"),
        Otherwise(QUEUE_IS_FULL),
        "traffic/overflow.rs::each_policy_keeps_the_queue_within_its_messages",
    ),
    limit(
        "bytes in the queue of a lane",
        Channel("queue_bytes_max"),
        Otherwise(QUEUE_IS_FULL),
        "traffic/overflow.rs::each_policy_keeps_the_queue_within_its_bytes",
    ),
    limit(
        "bytes sent on a lane and not acknowledged",
        Channel("unacknowledged_bytes_max"),
        Otherwise("the rest waits in the queue of the lane; one batch always passes"),
        "hostile/acknowledgements.rs::a_peer_that_acknowledges_nothing_is_sent_no_more_than_the_bound",
    ),
    limit(
        "bytes queued and not acknowledged together, on a lane that keeps its messages",
        Channel("log_bytes_max"),
        Otherwise("`overflow` of the channel decides: reject or block"),
        "delivery/resume.rs::the_log_is_bounded_and_a_slow_peer_makes_senders_wait",
    ),
    limit(
        "time that kept messages wait for a peer that is away",
        Channel("resume_timeout_ms"),
        Otherwise("they are reported, and the channel refuses more as unreachable"),
        "delivery/resume.rs::a_peer_that_stays_away_is_given_up_and_each_message_reported",
    ),
    limit(
        "bytes of one peer that a causal channel holds",
        Channel("hold_back_bytes_max"),
        Otherwise("the lane is not read, so that what the peer sends waits there"),
        "delivery/causal/main.rs::a_sender_that_has_too_much_on_hold_waits_and_the_others_do_not",
    ),
    limit(
        "messages of one peer that a causal channel holds",
        Channel("hold_back_messages_max"),
        Otherwise("the lane is not read, so that what the peer sends waits there"),
        "delivery/causal/main.rs::a_sender_that_has_too_much_on_hold_waits_and_the_others_do_not",
    ),
    limit(
        "time that a message of a causal channel waits for what it follows",
        Channel("hold_back_wait_ms"),
        Otherwise(
            "what it follows is given up: told by `Event::GivenUp`, counted, and refused when it comes",
        ),
        "delivery/causal/main.rs::what_does_not_come_is_given_up_told_and_refused_when_it_comes",
    ),
    limit(
        "bytes of a message's causes",
        Constant(
            "causes::CAUSES_BYTES_MAX",
            causes::CAUSES_BYTES_MAX as u64,
            Unit::Bytes,
        ),
        Otherwise("sending answers as for a full ring, until some of what is open is acknowledged"),
        "the unit tests of engine/src/causal",
    ),
    limit(
        "bytes in a channel's ring to a shard",
        Channel("ring_bytes"),
        Otherwise("`try_send` returns `Full`, the others wait"),
        "traffic/overflow.rs::a_full_ring_refuses_and_takes_again",
    ),
    limit(
        "bytes in an inbox",
        Node("inbox_bytes"),
        Otherwise("the shard stops reading the lanes that bring more, which stay up"),
        "traffic/overflow.rs::a_full_inbox_stops_its_lanes_and_loses_nothing",
    ),
    limit(
        "open requests of a node",
        Constant("REQUESTS_MAX", REQUESTS_MAX as u64, Unit::Count("requests")),
        Otherwise("refused with `TooMany`"),
        "delivery/requests.rs::open_requests_are_bounded",
    ),
    limit(
        "key=value pairs of a message",
        Constant(
            "METADATA_PAIRS_MAX",
            METADATA_PAIRS_MAX as u64,
            Unit::Count("pairs"),
        ),
        Otherwise(
            "refused with `Attributes`, as are type, keys and values above `EXTENSION_BYTES_MAX`",
        ),
        "delivery/options.rs::what_is_beyond_the_bounds_is_refused_before_it_is_accepted",
    ),
    limit(
        "routing rules of a node",
        Constant("config::RULES_MAX", RULES_MAX as u64, Unit::Count("rules")),
        Otherwise("refused, from a configuration and at run time"),
        "config/rules.rs::what_a_rule_says_has_to_agree",
    ),
    limit(
        "open receipts of a node",
        Constant("RECEIPTS_MAX", RECEIPTS_MAX as u64, Unit::Count("receipts")),
        Otherwise("refused with `TooManyReceipts`"),
        "delivery/receipts.rs::a_best_effort_channel_gives_no_receipts_and_there_is_a_bound_for_all",
    ),
    limit(
        "faults on purpose that are open on a node",
        Constant("FAULTS_MAX", FAULTS_MAX as u64, Unit::Count("faults")),
        Otherwise("refused with `TooMany`"),
        "the unit tests of engine/src/faults/book.rs",
    ),
    limit(
        "name of the zone that a member says it is in",
        Constant("ZONE_BYTES_MAX", ZONE_BYTES_MAX as u64, Unit::Bytes),
        Otherwise("what says it is not taken; from a peer, its lanes end"),
        "the unit tests of overlays/src/membership/record.rs",
    ),
    limit(
        "decisions of a node that others keep",
        Constant(
            "DECISIONS_MAX",
            DECISIONS_MAX as u64,
            Unit::Count("decisions"),
        ),
        Otherwise("the oldest go; who misses them is told how many"),
        "the unit tests of engine/src/cluster/decisions.rs",
    ),
    limit(
        "bytes of them",
        Constant(
            "DECISIONS_BYTES_MAX",
            DECISIONS_BYTES_MAX as u64,
            Unit::Bytes,
        ),
        Otherwise("the oldest go"),
        "the unit tests of engine/src/cluster/decisions.rs",
    ),
    limit(
        "one decision",
        Constant("DECISION_BYTES_MAX", DECISION_BYTES_MAX as u64, Unit::Bytes),
        Otherwise("refused with `DecisionTooLarge`; from a peer, its lanes end"),
        "the unit tests of engine/src/cluster/words.rs",
    ),
    limit(
        "nodes whose decisions are kept",
        Constant("DECIDERS_MAX", DECIDERS_MAX as u64, Unit::Count("nodes")),
        Otherwise("those of others are not taken"),
        "the unit tests of engine/src/cluster/decisions.rs",
    ),
    limit(
        "what a member says of what it counts",
        Constant("SUMMARY_BYTES_MAX", SUMMARY_BYTES_MAX as u64, Unit::Bytes),
        Otherwise("not taken and counted as `refused`; one is kept of each live member"),
        "the unit tests of engine/src/cluster/summaries",
    ),
    limit(
        "summaries of members that one peer gets in a period",
        Derived("256 KiB"),
        Otherwise("it gets no more until the next one"),
        "the unit tests of engine/src/cluster/summaries",
    ),
    limit(
        "channels of which it is kept what was ordered for the whole cluster",
        Constant("CHANGED_MAX", CHANGED_MAX as u64, Unit::Count("channels")),
        Otherwise("the oldest removal is forgotten; if there is none, the change is not taken"),
        "the unit tests of engine/src/cluster/tests/channels.rs",
    ),
    limit(
        "bytes of parameters in a change for the whole cluster",
        Constant("CHANGE_BYTES_MAX", CHANGE_BYTES_MAX as u64, Unit::Bytes),
        Otherwise("refused with `TooLarge`; from a peer, its lanes end"),
        "the unit tests of engine/src/cluster/words.rs",
    ),
    limit(
        "messages under way over other nodes to one member",
        Constant("RELAYED_MAX", RELAYED_MAX as u64, Unit::Count("messages")),
        Otherwise("`Full`, or waiting; to all members together sixteen times as many"),
        "the unit tests of engine/src/relay_book.rs",
    ),
    limit(
        "their bytes",
        Constant("RELAYED_BYTES_MAX", RELAYED_BYTES_MAX as u64, Unit::Bytes),
        Otherwise("`Full`, or waiting; to all members together sixteen times as many"),
        "the unit tests of engine/src/relay_book.rs",
    ),
    limit(
        "acknowledgements owed to a lane because its peer's messages are refused and taken in turn",
        Constant("RUNS_MAX", RUNS_MAX as u64, Unit::Count("acknowledgements")),
        Otherwise("the last covers what follows, and does not say which were refused"),
        "the unit tests of engine/src/delivery/incoming.rs",
    ),
    limit(
        "runs of refused messages of a peer that a lane remembers, to tell them apart when it is resumed",
        Constant("REFUSALS_MAX", REFUSALS_MAX as u64, Unit::Count("runs")),
        Otherwise(
            "the oldest are forgotten: of messages before those it says only how many it refused",
        ),
        "the unit tests of engine/src/delivery/refusals.rs",
    ),
    limit(
        "streams given up with their lane of which the peer is told when that is back",
        Derived("1024 streams for each lane"),
        Otherwise("the peer is not told of the oldest, and lets go of them with the lane"),
        "delivery/large.rs::a_receiver_lets_go_of_the_half_that_it_has_of_a_message_that_was_given_up",
    ),
    limit(
        "runs of messages that a peer tells apart when it resumes",
        Constant(
            "wire::endings::ENDINGS_RUNS_MAX",
            endings::ENDINGS_RUNS_MAX as u64,
            Unit::Count("runs"),
        ),
        Closed(CloseReason::HandshakeMalformed),
        "hostile/resume.rs::a_peer_that_tells_apart_what_cannot_be_is_refused_and_nothing_is_lost",
    ),
    limit(
        "time that a request waits for its reply",
        Derived("the deadline that it was sent with"),
        Otherwise("`DeadlinePassed`; what comes later is dropped, counted as `late_replies`"),
        "delivery/requests.rs::a_deadline_ends_a_request_and_a_reply_after_it_is_counted",
    ),
    limit(
        "events that wait",
        Node("events_queue_max"),
        Otherwise("the oldest are dropped, counted"),
        "traffic/overflow.rs::a_slow_reader_of_events_loses_the_oldest",
    ),
    limit(
        "channels",
        Constant(
            "config::CHANNELS_MAX",
            CHANNELS_MAX as u64,
            Unit::Count("channels"),
        ),
        Otherwise("the configuration is refused; at run time `TooMany`"),
        "config/mistakes.rs::more_channels_than_a_node_has_are_refused",
    ),
    limit(
        "channels, with those that were removed and of which messages are unread",
        Derived("twice as many"),
        Otherwise("none is added before some are read: `StillInUse`"),
        "peers/channels/removing.rs::places_that_unread_messages_hold_are_bounded",
    ),
    limit(
        "lanes to each peer, with those of a channel that is to be added",
        Node("connections_max"),
        Otherwise("it is not added: `TooManyLanes`"),
        "peers/channels/adding.rs::lanes_to_a_peer_are_bounded_by_its_connections",
    ),
    limit(
        "removed channels whose counters are told apart",
        Derived("the last 64 on each shard"),
        Otherwise("the counters of those before them are summed up"),
        "peers/channels/storm.rs::counters_of_many_removed_channels_are_summed_up",
    ),
    limit(
        "spans that wait to be taken, messages whose spans are open, recorded messages in inboxes (of these 32767), spans that wait for their receiver: each",
        Node("trace_buffer_spans"),
        Otherwise("dropped, counted as `dropped` or `failed`; the messages go on"),
        "delivery/spans.rs::spans_that_nobody_takes_in_time_are_dropped_and_counted_and_messages_go_on",
    ),
    limit(
        "configuration file",
        Constant("config::FILE_BYTES_MAX", FILE_BYTES_MAX, Unit::Bytes),
        Otherwise("the configuration is refused"),
        "config/files.rs::a_file_that_cannot_be_read_is_refused_with_what_to_do",
    ),
];

impl Value {
    /// The value, and where it is set.
    fn cells(&self) -> (String, String) {
        match self {
            Self::Node(name) => parameter(NODE_PARAMETERS, name),
            Self::Channel(name) => parameter(CHANNEL_PARAMETERS, name),
            Self::Constant(name, value, unit) => {
                let text = quantity(*value, *unit);
                assert_eq!(number(&text, *unit), Some(*value));
                (
                    format!("{text} {unit}").replace("iB bytes", "iB"),
                    format!("constant `{name}`"),
                )
            }
            Self::Derived(how) => ((*how).to_string(), "follows".to_string()),
        }
    }
}

/// By the admin socket, which its user and root alone can open.
const CLIENTS: &[Limit] = &[
    limit(
        "line of a request",
        Constant(
            "admin::REQUEST_BYTES_MAX",
            admin::REQUEST_BYTES_MAX as u64,
            Unit::Bytes,
        ),
        Otherwise("refused as `malformed`, and the connection is closed"),
        "admin/hostile.rs::a_line_that_is_too_long_is_refused_and_ends_the_connection",
    ),
    limit(
        "connections",
        Constant(
            "admin::CONNECTIONS_MAX",
            admin::CONNECTIONS_MAX as u64,
            Unit::Count("connections"),
        ),
        Otherwise(
            "the one that has done nothing for the longest time makes room; where all do something, refused as `busy`",
        ),
        "admin_crowd.rs::a_thousand_connections_keep_nobody_out",
    ),
    limit(
        "connections that follow events",
        Constant(
            "admin::FOLLOWERS_MAX",
            admin::FOLLOWERS_MAX as u64,
            Unit::Count("connections"),
        ),
        Otherwise("refused as `busy`"),
        "admin/hostile.rs::followers_leave_room_for_requests",
    ),
    limit(
        "time without a request",
        Derived("60 s; 10 s from the first byte of a line to its end"),
        Otherwise("the connection is closed"),
        "admin/hostile.rs::half_a_line_and_silence_hold_up_nobody",
    ),
    limit(
        "time until a line is read",
        Derived("10 s; meanwhile events wait as for any reader (`events_queue_max`)"),
        Otherwise("the connection is closed"),
        "admin/hostile.rs::who_stops_reading_events_disturbs_nobody_and_is_let_go",
    ),
    limit(
        "time that a request waits for other nodes",
        Constant(
            "admin::request::WAIT_MS_MAX",
            WAIT_MS_MAX,
            Unit::Milliseconds,
        ),
        Otherwise("refused as `invalid`"),
        "the unit tests of engine/src/admin/request.rs",
    ),
    limit(
        "payload of a ping",
        Constant(
            "admin::request::PING_BYTES_MAX",
            PING_BYTES_MAX as u64,
            Unit::Bytes,
        ),
        Otherwise("refused as `invalid`"),
        "the unit tests of engine/src/admin/request.rs",
    ),
];

const VIEWERS: &[Limit] = &[
    limit(
        "head of a request",
        Constant(
            "http::HEAD_BYTES_MAX",
            http::HEAD_BYTES_MAX as u64,
            Unit::Bytes,
        ),
        Otherwise("answered with 431"),
        "the unit tests of engine/src/http/request.rs",
    ),
    limit(
        "headers of a request",
        Constant(
            "http::HEADERS_MAX",
            http::HEADERS_MAX as u64,
            Unit::Count("headers"),
        ),
        Otherwise("answered with 431"),
        "the unit tests of engine/src/http/request.rs",
    ),
    limit(
        "body of a request",
        Derived("none is read; only GET and HEAD are answered"),
        Otherwise("answered with 405"),
        "admin/http/hostile.rs::what_is_no_request_is_refused_and_the_node_goes_on",
    ),
    limit(
        "requests of a connection",
        Derived("1"),
        Otherwise("the connection is closed"),
        "admin/http/hostile.rs::what_is_no_request_is_refused_and_the_node_goes_on",
    ),
    limit(
        "time for a request",
        Derived("5 s, and 10 s until the answer is taken"),
        Otherwise("answered with 408; the connection is closed"),
        "admin/http/hostile.rs::a_head_that_does_not_end_is_let_go_in_time",
    ),
    limit(
        "connections",
        Derived("16, as of the admin socket"),
        Otherwise(
            "the one that has said nothing for the longest time makes room; where all are being answered, 503",
        ),
        "admin/http/hostile.rs::hundreds_of_silent_connections_keep_nobody_out",
    ),
    limit(
        "series of `/metrics`",
        Derived("by channels, shards, reasons and rules; by peers only with `peers=1`"),
        Otherwise("there are no others"),
        "the unit tests of engine/src/http/exposition.rs",
    ),
];

fn parameter<S: Default>(table: &[overlane::config::Parameter<S>], name: &str) -> (String, String) {
    let parameter = table.iter().find(|parameter| parameter.name == name);
    let parameter = parameter.unwrap_or_else(|| panic!("there is no parameter {name}"));
    let default = default_of(parameter).replace('`', "");
    let unit = match parameter.unit {
        Unit::Bytes if default.ends_with("iB") => String::new(),
        unit => format!(" {unit}"),
    };
    (format!("{default}{unit}"), format!("`{name}`"))
}

fn table(limits: &[Limit]) -> String {
    let mut text = head(&["Limit", "Default", "Set by", "When it is reached", "Test"]);
    for limit in limits {
        let (default, set_by) = limit.value.cells();
        let reached = match &limit.reached {
            Closed(reason) => format!("closed, counted as `{}`", reason.name()),
            Otherwise(text) => (*text).to_string(),
        };
        let proof = match limit.proof.split_once("::") {
            Some((file, test)) => {
                assert_has_test(file, test);
                format!("`engine/tests/{}`", limit.proof)
            }
            None => limit.proof.to_string(),
        };
        text += &row(&[limit.what, &default, &set_by, &reached, &proof]);
    }
    text
}

/// A test that a file is said to have must be there.
fn assert_has_test(file: &str, test: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(file);
    if let Ok(text) = std::fs::read_to_string(&path) {
        assert!(
            text.contains(&format!("fn {test}(")),
            "{file} has no test {test}"
        );
    }
}

fn document() -> String {
    format!(
        "{INTRODUCTION}## What strangers can do\n\n{}\n## What peers can do\n\n{}\n\
         ## What applications can do\n\n{}\n## What clients of the admin socket can do\n\n{}\n\
         ## What clients of the HTTP address can do\n\n{}",
        table(STRANGERS),
        table(PEERS),
        table(APPLICATIONS),
        table(CLIENTS),
        table(VIEWERS)
    )
}

#[test]
fn limits_are_those_of_the_definitions() {
    assert_document("limits.md", &document());
}
