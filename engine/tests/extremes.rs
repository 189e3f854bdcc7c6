//! Every value that a parameter allows is one that a node starts and carries messages with: the
//! least and the greatest of each.

mod support;

use overlane::config::{
    Allowed, CHANNEL_PARAMETERS, ChannelConfig, Config, NODE_PARAMETERS, Overflow,
};
use overlane::{Message, Node, ShardContext};
use support::accounting::check_accounting;
use support::{GENEROUS, config, connect_both, drained, start};

/// The least and the greatest value, if the parameter has such.
fn ends_of(allowed: Allowed) -> Vec<String> {
    match allowed {
        Allowed::Number(least, most) | Allowed::PowerOfTwo(least, most) => {
            vec![least.to_string(), most.to_string()]
        }
        Allowed::Words(words) => words.iter().map(|word| (*word).to_owned()).collect(),
        Allowed::Described(_) => Vec::new(),
    }
}

/// Changes the others where values must agree, and leaves the one that is tried.
fn agree(config: &mut Config, tried: &str) {
    if tried == "receive_quantum_bytes" {
        config.receive_buffer_bytes = config
            .receive_buffer_bytes
            .min(config.receive_quantum_bytes);
    }
    config.receive_quantum_bytes = config
        .receive_quantum_bytes
        .max(config.receive_buffer_bytes);
    if tried == "turn_bytes_max" {
        config.send_quantum_bytes = config.send_quantum_bytes.min(config.turn_bytes_max);
    }
    config.turn_bytes_max = config.turn_bytes_max.max(config.send_quantum_bytes);
    if tried == "reconnect_max_ms" {
        config.reconnect_base_ms = config.reconnect_base_ms.min(config.reconnect_max_ms);
    }
    config.reconnect_max_ms = config.reconnect_max_ms.max(config.reconnect_base_ms);
    if tried == "connections_max" {
        config.pending_handshakes_max = config.pending_handshakes_max.min(config.connections_max);
    }
    config.connections_max = config.connections_max.max(config.pending_handshakes_max);
    for channel in &mut config.channels {
        if tried == "queue_bytes_max" {
            channel.message_bytes_max = channel.message_bytes_max.min(channel.queue_bytes_max);
        }
        channel.queue_bytes_max = channel.queue_bytes_max.max(channel.message_bytes_max);
        if tried == "low_watermark_percent" {
            let least = channel.low_watermark_percent + 1;
            channel.high_watermark_percent = channel.high_watermark_percent.max(least);
        }
        let most = channel.high_watermark_percent - 1;
        channel.low_watermark_percent = channel.low_watermark_percent.min(most);
    }
    // As many connections as there are lanes to the one peer that is counted on.
    config.connections_max = config.connections_max.max(config.lanes_per_peer());
}

/// Starts a node and sends a message over a channel of it to itself.
fn carries(config: Config, what: &str) {
    let node = Node::start(config).unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut inbox = node.inbox("in").expect("a mailbox");
    let channel = node.channel("data").expect("it is configured");
    let to = node.destination(node.name(), "in").expect("names");
    channel
        .send_blocking(&to, "x")
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(inbox.recv_timeout(GENEROUS).is_ok(), "{what}: it arrives");
    drained(&node);
    check_accounting(&[&node]);
    assert!(node.stop(GENEROUS).drained, "{what}");
}

#[test]
fn a_node_starts_with_both_ends_of_every_parameter_of_a_node() {
    for parameter in NODE_PARAMETERS {
        for value in ends_of(parameter.allowed) {
            let what = format!("{} = {value}", parameter.name);
            let mut config = config("a")
                .channel(ChannelConfig::new("data"))
                .build()
                .expect("valid");
            parameter
                .set(&mut config, &value)
                .unwrap_or_else(|right| panic!("{what}: {right}"));
            agree(&mut config, parameter.name);
            carries(config, &what);
        }
    }
}

/// A request carries more than its payload, which has to fit as well.
#[test]
fn the_largest_payload_that_there_can_be_is_asked_and_answered() {
    let parameter = CHANNEL_PARAMETERS
        .iter()
        .find(|parameter| parameter.name == "message_bytes_max");
    let Some(Allowed::Number(_, largest)) = parameter.map(|parameter| parameter.allowed) else {
        panic!("it is a number");
    };
    let largest = usize::try_from(largest).expect("it fits");
    let node = |name: &str| {
        let channel = ChannelConfig::new("data").message_bytes_max(largest);
        let node = start(config(name).channel(channel.queue_bytes_max(3 * largest)));
        let calls = node.channel("data").expect("it is configured");
        node.handle(
            "in",
            move |shard: &mut ShardContext<'_>, asked: Message<'_>| {
                let asker = asked.reply_handle().expect("it is a request");
                let answered = shard.try_reply(&calls, &asker, asked.payload());
                answered.expect("there is room");
            },
        )
        .expect("a mailbox");
        node
    };
    let (a, b) = (node("a"), node("b"));
    connect_both(&a, &b);
    let calls = a.channel("data").expect("it is configured");
    for peer in ["a", "b"] {
        let to = a.destination(peer, "in").expect("names");
        let reply = calls.request_blocking(&to, vec![7; largest], GENEROUS);
        assert_eq!(reply.expect("a reply").payload().len(), largest);
    }
    check_accounting(&[&a, &b]);
}

#[test]
fn a_node_starts_with_both_ends_of_every_parameter_of_a_channel() {
    for parameter in CHANNEL_PARAMETERS {
        for value in ends_of(parameter.allowed) {
            let what = format!("{} = {value}", parameter.name);
            let mut channel = ChannelConfig::new("data").overflow(Overflow::Block);
            parameter
                .set(&mut channel, &value)
                .unwrap_or_else(|right| panic!("{what}: {right}"));
            let mut config = config("a").build().expect("valid");
            config.channels.push(channel);
            agree(&mut config, parameter.name);
            carries(config, &what);
        }
    }
}
