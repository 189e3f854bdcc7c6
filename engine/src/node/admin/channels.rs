//! Requests about channels.

use std::time::Duration;

use super::channel_refused;
use crate::admin::{Answer, ChannelStatus, Refusal};
use crate::config::{CHANNEL_PARAMETERS, ChannelConfig, ChannelDefinition, Parameter, Place};
use crate::error::ChannelError;
use crate::node::Node;

pub(super) fn answer(node: &Node, request: crate::admin::Request) -> Result<Answer, Refusal> {
    use crate::admin::Request;
    match request {
        Request::AddChannel { channel } => {
            let defined = read(&channel)?;
            let channel = changed(ChannelConfig::new(defined.name()), &defined);
            node.add_channel(channel).map_err(channel_refused)?;
            Ok(Answer::Done)
        }
        Request::SetChannel { channel } => {
            let defined = read(&channel)?;
            let retuned = node.retune_channel(defined.name(), |channel| changed(channel, &defined));
            retuned.map_err(channel_refused)?;
            Ok(Answer::Done)
        }
        Request::RemoveChannel { channel, wait_ms } => {
            let removed = node.remove_channel(&channel, Duration::from_millis(wait_ms));
            let removed = removed.map_err(channel_refused)?;
            Ok(Answer::Removed {
                reported: removed.reported,
                dropped: removed.dropped,
            })
        }
        _ => Ok(Answer::Channels(all(node))),
    }
}

pub(super) fn read(definition: &str) -> Result<ChannelDefinition, Refusal> {
    let read = ChannelDefinition::read(definition, &Place::Request);
    read.map_err(|error| channel_refused(ChannelError::Config(error)))
}

/// With the values of a definition, which has checked each of them.
pub(super) fn changed(mut channel: ChannelConfig, defined: &ChannelDefinition) -> ChannelConfig {
    for (key, value) in defined.settings() {
        let parameter = CHANNEL_PARAMETERS.iter().find(|known| known.name == key);
        if let Some(Err(right)) = parameter.map(|known| known.set(&mut channel, value)) {
            tracing::error!("{key} = {value} was taken and is not right: expected {right}");
        }
    }
    channel
}

fn all(node: &Node) -> Vec<ChannelStatus> {
    let open = node.fabric.channels.open();
    open.iter().map(|plan| status(&plan.config)).collect()
}

fn status(channel: &ChannelConfig) -> ChannelStatus {
    let value = |known: &Parameter<ChannelConfig>| (known.name.to_owned(), known.get(channel));
    let is_set = |known: &&Parameter<ChannelConfig>| known.get(channel) != known.default_text();
    let set = CHANNEL_PARAMETERS.iter().filter(is_set);
    ChannelStatus {
        channel: channel.name.clone(),
        set: set.map(|known| known.name.to_owned()).collect(),
        parameters: CHANNEL_PARAMETERS.iter().map(value).collect(),
    }
}
