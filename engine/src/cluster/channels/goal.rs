//! What a change means for this node: from the channel that it has, if it has one, to the one that it is to have.
//!
//! No I/O and no state: asked by `applying`, which knows what was made before. A node's own channel of that name is never
//! removed to make room for another one, unless an order has removed it before.

use super::change::{Change, ChangeEpoch, Settings, Wanted};
use crate::config::{
    CHANNEL_PARAMETERS, ChannelConfig, ConfigError, Place, differences, retunable,
};
use crate::error::ChannelError;

/// What orders have made of a channel here so far.
#[derive(Clone, Debug, Default)]
pub(in crate::cluster) struct Before {
    /// The channel as the node had it by itself.
    pub(in crate::cluster) own: Option<ChannelConfig>,
    /// The change that was made last.
    pub(in crate::cluster) made: Option<Change>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cluster) enum Goal {
    Nothing,
    Add(ChannelConfig),
    Retune(ChannelConfig),
    Remove,
    /// Remove it and add this one, which cannot be made of it.
    Replace(ChannelConfig),
}

/// See the module's text.
pub(in crate::cluster) fn goal(
    here: Option<&ChannelConfig>,
    before: &Before,
    change: &Change,
) -> Result<Goal, ChannelError> {
    let Wanted::Present { added, settings } = &change.wanted else {
        return Ok(match here {
            Some(_) => Goal::Remove,
            None => Goal::Nothing,
        });
    };
    let name = change.channel.as_str();
    if added.is_some() {
        return defined(here, before, change, settings);
    }
    let (made_here, old) = made_so_far(before);
    let Some(here) = here else {
        // An order that has lost took it away.
        let is_taken = matches!(&before.made, Some(made) if made.is_removal());
        let own = before.own.as_ref().filter(|_| is_taken);
        let own = own.ok_or_else(|| unknown(name))?;
        return with(own.clone(), settings).map(Goal::Add);
    };
    match &before.own {
        Some(own) if made_here => Ok(from_to(here, with(own.clone(), settings)?)),
        own => {
            let basis = own.as_ref().unwrap_or(here);
            retuned(here, basis, old, settings)
        }
    }
}

/// The order defines the channel as a whole.
fn defined(
    here: Option<&ChannelConfig>,
    before: &Before,
    change: &Change,
    settings: &Settings,
) -> Result<Goal, ChannelError> {
    let defaults = ChannelConfig::new(change.channel.clone());
    let target = with(defaults.clone(), settings)?;
    let Some(here) = here else {
        return Ok(Goal::Add(target));
    };
    let (made_here, old) = made_so_far(before);
    if made_here && added_by(before.made.as_ref()) == added_by(Some(change)) {
        return retuned(here, &defaults, old, settings);
    }
    let life_here = before.made.as_ref().map_or(0, |made| made.life);
    // The one that is here is of an order that has lost, or was removed.
    if made_here || life_here < change.life {
        return Ok(from_to(here, target));
    }
    match differences(here, &target).into_iter().find(is_fixed) {
        Some((parameter, is, wanted)) => Err(ChannelError::Fixed {
            name: change.channel.clone(),
            parameter,
            is,
            wanted,
        }),
        None if target == *here => Ok(Goal::Nothing),
        None => Err(ChannelError::Exists {
            name: change.channel.clone(),
        }),
    }
}

/// Whether an order has added the channel that is here, and what orders have set of it.
fn made_so_far(before: &Before) -> (bool, &[(String, String)]) {
    match before.made.as_ref().map(|made| &made.wanted) {
        Some(Wanted::Present { added, settings }) => (added.is_some(), settings),
        _ => (false, &[]),
    }
}

/// The order that has added the channel.
fn added_by(change: Option<&Change>) -> Option<ChangeEpoch> {
    match change?.wanted {
        Wanted::Present { added, .. } => added,
        Wanted::Absent { .. } => None,
    }
}

/// What was set before and is not any more goes back to `basis`; what nobody has ordered stays.
fn retuned(
    here: &ChannelConfig,
    basis: &ChannelConfig,
    old: &[(String, String)],
    settings: &Settings,
) -> Result<Goal, ChannelError> {
    let mut target = here.clone();
    for (key, _) in old {
        let value = parameter(key).map(|known| known.get(basis));
        set(&mut target, key, &value.unwrap_or_default())?;
    }
    let target = with(target, settings)?;
    Ok(if target == *here {
        Goal::Nothing
    } else {
        Goal::Retune(target)
    })
}

fn from_to(here: &ChannelConfig, target: ChannelConfig) -> Goal {
    if target == *here {
        Goal::Nothing
    } else if is_retunable(here, &target) {
        Goal::Retune(target)
    } else {
        Goal::Replace(target)
    }
}

fn is_retunable(here: &ChannelConfig, target: &ChannelConfig) -> bool {
    !differences(here, target).iter().any(is_fixed)
}

fn is_fixed((parameter, ..): &(&'static str, String, String)) -> bool {
    retunable(parameter).is_none()
}

fn with(mut channel: ChannelConfig, settings: &Settings) -> Result<ChannelConfig, ChannelError> {
    for (key, value) in settings {
        set(&mut channel, key, value)?;
    }
    Ok(channel)
}

fn set(channel: &mut ChannelConfig, key: &str, value: &str) -> Result<(), ChannelError> {
    let set = match parameter(key) {
        Some(known) => known.set(channel, value),
        None => Err("a parameter that this version has".to_owned()),
    };
    set.map_err(|right| {
        ChannelError::Config(ConfigError::Refused {
            place: Place::Cluster,
            key: format!("channel.{}.{key}", channel.name),
            value: value.to_owned(),
            right,
        })
    })
}

fn parameter(key: &str) -> Option<&'static crate::config::Parameter<ChannelConfig>> {
    CHANNEL_PARAMETERS.iter().find(|known| known.name == key)
}

fn unknown(name: &str) -> ChannelError {
    ChannelError::NotHere {
        name: name.to_owned(),
    }
}
