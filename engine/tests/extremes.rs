//! Every value that a parameter allows is one that a node starts and carries messages with: the
//! least and the greatest of each.

mod support;

use overlane::config::{
    Allowed, CHANNEL_PARAMETERS, ChannelConfig, ChannelSecurity, Config, NODE_PARAMETERS, Ordering,
    Overflow, OverlayChoice, Reliability, Secrets, SecurityMode, TlsConfig,
};
use overlane::{Message, Node, ShardContext};
use support::accounting::check_accounting;
use support::authority::{Authority, Folder};
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

/// Changes the others where values must agree, and leaves the one that is tried. The files that they name are in the
/// folder, if there is one.
#[must_use]
fn agree(config: &mut Config, tried: &str) -> Option<Folder> {
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
        if channel.ordering == Ordering::Causal {
            channel.reliability = Reliability::AtLeastOnce;
        }
        if tried == "queue_bytes_max" {
            channel.message_bytes_max = channel.message_bytes_max.min(channel.queue_bytes_max);
        }
        channel.queue_bytes_max = channel.queue_bytes_max.max(channel.message_bytes_max);
        if channel.large_bytes_max > 0 {
            channel.ordering = Ordering::Unordered;
            channel.message_bytes_max = channel.message_bytes_max.min(channel.large_bytes_max - 1);
        }
        if tried == "low_watermark_percent" {
            let least = channel.low_watermark_percent + 1;
            channel.high_watermark_percent = channel.high_watermark_percent.max(least);
        }
        let most = channel.high_watermark_percent - 1;
        channel.low_watermark_percent = channel.low_watermark_percent.min(most);
    }
    if config.overlay == OverlayChoice::ClientServer {
        config.servers = vec![config.node_name.clone()];
    }
    agree_protocols(config, tried);
    agree_sizes(config, tried);
    // As many connections as there are lanes to the one peer that is counted on.
    config.connections_max = config.connections_max.max(config.lanes_per_peer());
    agree_protection(config)
}

/// The same, of what protects lanes.
fn agree_protection(config: &mut Config) -> Option<Folder> {
    let mut channels = config.channels.iter();
    let is_required = channels.any(|channel| channel.security == ChannelSecurity::Required);
    if is_required && config.security == SecurityMode::Plain {
        config.security = SecurityMode::Psk;
    }
    match config.security {
        SecurityMode::Plain => None,
        SecurityMode::Psk => {
            config.secrets = Secrets::read("sixteen bytes of it").expect("long enough");
            None
        }
        SecurityMode::Tls => {
            let (folder, authority) = (Folder::new(), Authority::new("ours"));
            let certified = authority.certify(&config.node_name);
            let [certificate, key, authorities] = folder.node("node", &certified, &authority);
            config.tls = TlsConfig {
                certificate,
                key,
                authorities,
                ..TlsConfig::default()
            };
            Some(folder)
        }
    }
}

/// The same, of the cluster's protocols: each pair is a lower and an upper bound.
fn agree_protocols(config: &mut Config, tried: &str) {
    /// Moves the bound that is not tried.
    fn order<T: PartialOrd + Copy>(least: &mut T, most: &mut T, least_is_tried: bool) {
        if *least > *most {
            if least_is_tried {
                *most = *least;
            } else {
                *least = *most;
            }
        }
    }
    let tried = |name: &str| tried == name;
    let views = &mut config.hyparview;
    let is_tried = tried("hyparview_passive_walk_hops");
    order(
        &mut views.passive_walk_hops,
        &mut views.active_walk_hops,
        is_tried,
    );
    let topics = &mut config.pub_sub;
    let is_tried = tried("pub_sub_lonely_every_ms");
    order(
        &mut topics.lonely_every_ms,
        &mut topics.announce_every_ms,
        is_tried,
    );
    let is_tried = tried("pub_sub_payload_bytes_max");
    order(
        &mut topics.payload_bytes_max,
        &mut topics.fresh_bytes_max,
        is_tried,
    );
    let tree = &mut config.plumtree;
    let is_tried = tried("plumtree_payload_bytes_max");
    order(
        &mut tree.payload_bytes_max,
        &mut tree.fresh_bytes_max,
        is_tried,
    );
    let is_tried = tried("plumtree_senders_for_ms");
    order(&mut tree.keep_for_ms, &mut tree.senders_for_ms, !is_tried);
    let is_tried = tried("plumtree_catch_up_for_ms");
    order(&mut tree.catch_up_for_ms, &mut tree.keep_for_ms, is_tried);
    tree.senders_for_ms = tree.senders_for_ms.max(tree.keep_for_ms);
    let members = &mut config.membership;
    if tried("membership_probe_period_ms") {
        members.direct_wait_ms = members.direct_wait_ms.min(members.probe_period_ms / 2);
        members.indirect_wait_ms = members.indirect_wait_ms.min(members.probe_period_ms / 2);
    }
    let waits = members.direct_wait_ms + members.indirect_wait_ms;
    members.probe_period_ms = members.probe_period_ms.max(waits);
    let is_tried = tried("membership_grace_least_ms");
    order(
        &mut members.grace_least_ms,
        &mut members.grace_most_ms,
        is_tried,
    );
    if tried("membership_forget_after_ms") {
        members.grace_most_ms = members.grace_most_ms.min(members.forget_after_ms / 10);
        members.grace_least_ms = members.grace_least_ms.min(members.grace_most_ms);
    }
    members.forget_after_ms = members.forget_after_ms.max(10 * members.grace_most_ms);
    let partitions = &mut config.partitions;
    let is_tried = tried("partitions_settle_ms");
    order(
        &mut partitions.settle_ms,
        &mut partitions.window_ms,
        is_tried,
    );
    let switching = &mut config.switching;
    let is_tried = !tried("switching_prepare_max_ms");
    order(
        &mut switching.probe_every_ms,
        &mut switching.prepare_max_ms,
        is_tried,
    );
    order(
        &mut switching.join_every_ms,
        &mut switching.prepare_max_ms,
        is_tried,
    );
}

/// The same, of limits of size between which there has to be a gap.
fn agree_sizes(config: &mut Config, tried: &str) {
    if tried == "topology_mode" {
        config.overlay = OverlayChoice::HyParView;
    }
    let sizes = &mut config.topology;
    if tried == "topology_forecast_looks" {
        let looks = u16::try_from(sizes.forecast_looks).unwrap_or(u16::MAX);
        sizes.forecast_window_looks = sizes.forecast_window_looks.max(looks);
    }
    if tried.starts_with("topology_") && tried.ends_with("mesh_below") {
        let most = sizes
            .mesh_below
            .max(sizes.size_only_mesh_below)
            .max(sizes.scale_mesh_below);
        sizes.hyparview_above = sizes.hyparview_above.max(most);
        sizes.size_only_hyparview_above = sizes.size_only_hyparview_above.max(most);
        sizes.scale_servers_below = sizes.scale_servers_below.max(most);
    }
    if tried.ends_with("_above") {
        sizes.mesh_below = 0;
        sizes.size_only_mesh_below = 0;
    }
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
            let _files = agree(&mut config, parameter.name);
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
            let _files = agree(&mut config, parameter.name);
            carries(config, &what);
        }
    }
}
