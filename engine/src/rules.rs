//! The routing rules of a node, compiled: which channel a message goes on.
//!
//! One [`RuleBook`] for each node, read by every thread that sends, changed as a whole. Where no rule is for a channel, one
//! bit says so, and nothing else is looked at. It compares texts and numbers; it parses nothing, and moves no message.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::attributes::Attributes;
use crate::config::{Named, Pattern, Rule};

/// What rules look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said<'m> {
    pub(crate) attributes: &'m Attributes<'m>,
    pub(crate) payload_bytes: usize,
    /// The name of the node that it goes to.
    pub(crate) peer: &'m str,
}

/// A pattern, ready to be held against a text.
#[derive(Debug)]
enum Fit {
    Any,
    Exactly(Box<str>),
    Beginning(Box<str>),
}

impl Fit {
    fn new(pattern: &Pattern) -> Self {
        match pattern.parts() {
            ("", true) => Self::Any,
            (beginning, true) => Self::Beginning(beginning.into()),
            (text, false) => Self::Exactly(text.into()),
        }
    }

    fn admits(&self, text: Option<&str>) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(right) => text == Some(right),
            Self::Beginning(right) => text.is_some_and(|text| text.starts_with(&**right)),
        }
    }
}

/// For which messages a rule is, by the channel that their sender named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    Unnamed,
    Any,
    Channel(usize),
}

/// A key, and the value that a message has to carry with it.
type Pair = (Box<str>, Box<[u8]>);

/// One rule.
#[derive(Debug)]
struct CompiledRule {
    named: For,
    message_type: Fit,
    metadata: Box<[Pair]>,
    payload_bytes_min: usize,
    payload_bytes_max: usize,
    peer: Fit,
    channel: usize,
    matched: AtomicU64,
}

impl CompiledRule {
    fn is_for(&self, named: Option<usize>) -> bool {
        match (self.named, named) {
            (For::Unnamed, None) | (For::Any, Some(_)) => true,
            (For::Channel(right), Some(named)) => right == named,
            (For::Unnamed, Some(_)) | (For::Any | For::Channel(_), None) => false,
        }
    }

    fn admits(&self, said: &Said<'_>) -> bool {
        let pairs = said.attributes.said_pairs();
        let carries = |(key, value): &Pair| pairs.contains(&(&**key, &**value));
        (self.payload_bytes_min..=self.payload_bytes_max).contains(&said.payload_bytes)
            && self.message_type.admits(said.attributes.said_type())
            && self.peer.admits(Some(said.peer))
            && self.metadata.iter().all(carries)
    }
}

/// All rules of a node, in order.
#[derive(Debug, Default)]
pub(crate) struct RuleTable {
    /// As they were given.
    given: Vec<Rule>,
    compiled: Vec<CompiledRule>,
}

impl RuleTable {
    /// `channel` gives the number of a channel by its name. A rule that names one which is not there is for nothing: the
    /// configuration has been checked.
    pub(crate) fn compile(given: &[Rule], channel: impl Fn(&str) -> Option<usize>) -> Self {
        let compile = |rule: &Rule| {
            Some(CompiledRule {
                named: match &rule.named {
                    Named::Nothing => For::Unnamed,
                    Named::Any => For::Any,
                    Named::Channel(name) => For::Channel(channel(name)?),
                },
                message_type: Fit::new(&rule.message_type),
                metadata: rule
                    .metadata
                    .pairs()
                    .map(|(key, value)| (key.into(), value.as_bytes().into()))
                    .collect(),
                payload_bytes_min: rule.payload_bytes_min,
                payload_bytes_max: rule.payload_bytes_max,
                peer: Fit::new(&rule.peer),
                channel: channel(&rule.channel)?,
                matched: AtomicU64::new(0),
            })
        };
        let rules = given
            .iter()
            .filter_map(|rule| Some((rule.clone(), compile(rule)?)));
        let (given, compiled) = rules.unzip();
        Self { given, compiled }
    }

    /// The channel of the first rule that matches, which is counted.
    fn find(&self, named: Option<usize>, said: &Said<'_>) -> Option<usize> {
        let mut rules = self.compiled.iter();
        let rule = rules.find(|rule| rule.is_for(named) && rule.admits(said))?;
        rule.matched.fetch_add(1, Ordering::Relaxed);
        Some(rule.channel)
    }

    /// The channels that rules may override, a bit each.
    fn overridden(&self) -> u64 {
        let bits = self.compiled.iter().map(|rule| match rule.named {
            For::Unnamed => 0,
            For::Any => u64::MAX,
            For::Channel(channel) => bit(channel),
        });
        bits.fold(0, |all, bits| all | bits)
    }

    /// Each rule, and how often it has matched.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&Rule, u64)> {
        let counts = self.compiled.iter();
        let counts = counts.map(|rule| rule.matched.load(Ordering::Relaxed));
        self.given.iter().zip(counts)
    }
}

/// The bit of a channel. Those beyond the last share one.
const fn bit(channel: usize) -> u64 {
    1 << if channel < 63 { channel } else { 63 }
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct RuleBook {
    /// The channels that rules may override, a bit each; it follows the table.
    overridden: AtomicU64,
    changing: Mutex<()>,
    table: ArcSwap<RuleTable>,
}

impl RuleBook {
    pub(crate) fn new(table: RuleTable) -> Self {
        let book = Self::default();
        book.put(table);
        book
    }

    /// These rules from now on, in place of those there are.
    pub(crate) fn put(&self, table: RuleTable) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let overridden = table.overridden();
        // Whichever of the two a thread sees first: each message goes by the old rules or by the new.
        self.table.store(Arc::new(table));
        self.overridden.store(overridden, Ordering::Release);
    }

    /// Whether a rule may override that channel.
    #[inline]
    pub(crate) fn may_override(&self, channel: usize) -> bool {
        self.overridden.load(Ordering::Relaxed) & bit(channel) != 0
    }

    /// The channel that a rule chooses for a message whose sender named that one, or none.
    pub(crate) fn find(&self, named: Option<usize>, said: &Said<'_>) -> Option<usize> {
        self.table.load().find(named, said)
    }

    pub(crate) fn table(&self) -> Arc<RuleTable> {
        self.table.load_full()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHANNELS: [&str; 3] = ["a", "b", "c"];

    fn number(name: &str) -> Option<usize> {
        CHANNELS.iter().position(|known| *known == name)
    }

    /// A message, as the model has it.
    #[derive(Clone, Debug)]
    struct Message {
        named: Option<usize>,
        message_type: Option<String>,
        pairs: Vec<(String, String)>,
        payload_bytes: usize,
        peer: String,
    }

    /// A text of few letters, so that some are alike and some begin alike.
    fn text() -> impl Strategy<Value = String> {
        "[xy]{1,3}"
    }

    fn pattern() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("*".to_string()),
            text(),
            text().prop_map(|text| text + "*")
        ]
    }

    fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
        prop::collection::vec(("[kl]", "[vw]"), 0..3)
    }

    prop_compose! {
        fn message()(
            named in prop::option::of(0..3_usize),
            message_type in prop::option::of(text()),
            pairs in pairs(),
            payload_bytes in 0..8_usize,
            peer in text(),
        ) -> Message {
            Message { named, message_type, pairs, payload_bytes, peer }
        }
    }

    prop_compose! {
        fn rule()(
            channel in prop::sample::select(CHANNELS.to_vec()),
            named in prop::sample::select(vec!["none", "*", "a", "b", "c"]),
            message_type in pattern(),
            pairs in pairs(),
            bytes in (0..8_usize, 0..8_usize),
            peer in pattern(),
        ) -> Rule {
            let pairs: Vec<_> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let metadata = pairs.join("&");
            let (min, max) = (bytes.0.min(bytes.1), bytes.0.max(bytes.1));
            let text = format!(
                "{channel}:named={named},message_type={message_type},metadata={metadata},\
                 payload_bytes_min={min},payload_bytes_max={max},peer={peer}"
            );
            Rule::read(&text, &crate::config::Place::Code).expect("a rule")
        }
    }

    /// Whether a rule is for a message, by its text.
    fn fits(rule: &Rule, message: &Message) -> bool {
        let fits = |pattern: &str, text: Option<&str>| match pattern.strip_suffix('*') {
            Some("") => true,
            Some(beginning) => text.is_some_and(|text| text.starts_with(beginning)),
            None => text == Some(pattern),
        };
        let named = match &rule.named {
            Named::Nothing => message.named.is_none(),
            Named::Any => message.named.is_some(),
            Named::Channel(name) => message.named.is_some() && message.named == number(name),
        };
        let carried = |(key, value): (&str, &str)| {
            let mut pairs = message.pairs.iter();
            pairs.any(|pair| pair.0 == key && pair.1 == value)
        };
        named
            && fits(rule.message_type.text(), message.message_type.as_deref())
            && fits(rule.peer.text(), Some(&message.peer))
            && rule.metadata.pairs().all(carried)
            && rule.payload_bytes_min <= message.payload_bytes
            && message.payload_bytes <= rule.payload_bytes_max
    }

    proptest! {
        #[test]
        fn the_first_rule_whose_conditions_hold_decides_and_is_counted(
            rules in prop::collection::vec(rule(), 0..6),
            messages in prop::collection::vec(message(), 1..20),
        ) {
            let book = RuleBook::new(RuleTable::compile(&rules, number));
            let mut counts = vec![0; rules.len()];
            for message in &messages {
                let mut attributes = Attributes::new();
                if let Some(message_type) = &message.message_type {
                    attributes = attributes.message_type(message_type);
                }
                for (key, value) in &message.pairs {
                    attributes = attributes.metadata(key, value);
                }
                let said = Said {
                    attributes: &attributes,
                    payload_bytes: message.payload_bytes,
                    peer: &message.peer,
                };
                let first = rules.iter().position(|rule| fits(rule, message));
                let expected = first.and_then(|place| number(&rules[place].channel));
                prop_assert_eq!(book.find(message.named, &said), expected);
                if let Some(place) = first {
                    counts[place] += 1;
                }
                if let (Some(named), Some(_)) = (message.named, first) {
                    prop_assert!(book.may_override(named), "the bit of the channel is set");
                }
            }
            let table = book.table();
            let counted: Vec<_> = table.counts().map(|(_, matched)| matched).collect();
            prop_assert_eq!(counted, counts);
        }

        #[test]
        fn a_rule_prints_as_it_is_read(rule in rule()) {
            let again = Rule::read(&rule.to_string(), &crate::config::Place::Code);
            prop_assert_eq!(again, Ok(rule));
        }
    }

    #[test]
    fn only_channels_that_rules_name_are_overridden() {
        let read = |text| Rule::read(text, &crate::config::Place::Code).expect("a rule");
        let of = |rules: &[Rule]| RuleBook::new(RuleTable::compile(rules, number));
        let overridden = |book: &RuleBook| [0, 1, 2, 70].map(|channel| book.may_override(channel));
        let book = of(&[read("a"), read("c:named=b")]);
        assert_eq!(overridden(&book), [false, true, false, false]);
        book.put(RuleTable::compile(&[read("a:named=*")], number));
        assert_eq!(overridden(&book), [true; 4]);
        book.put(RuleTable::default());
        assert_eq!(overridden(&book), [false; 4]);
    }
}
