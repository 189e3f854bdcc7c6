//! The terms of a lane: the channel parameters that its two ends have to settle in the handshake.
//!
//! Each node states its own. What must agree (reliability, ordering, parallelism) is compared, and a
//! difference refuses the lane with both values in the text; of what only bounds the sender (sizes, mailbox
//! names) both take the smaller, and of two compressions none, so that a change can go over the nodes of a
//! cluster one by one. What need not be equal at both ends
//! (priority, queue bounds, DSCP, quanta) is no term. Called by `hello.rs`; decides nothing else.
use super::name::Name;
use super::parameters::{Parameter, ParameterError, Parameters};

/// What two nodes settle before they share a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelTerms {
    /// `best_effort`, `reliable`, `at_least_once` or `guaranteed`.
    pub reliability: Name,
    /// `fifo`, `monotonic`, `causal` or `unordered`.
    pub ordering: Name,
    /// `none`, `lz4` or `zstd`.
    pub compression: Name,
    /// Lanes of this channel to each peer.
    pub parallelism: u16,
    /// The largest payload that this node takes, in bytes; a lane carries the smaller of both.
    pub body_bytes_max: u32,
    /// The most mailbox ids that this node takes in on one lane; a lane has the smaller of both.
    pub mailboxes_max: u32,
    /// Whether this node takes messages in fragments; a lane has them if both do.
    pub fragments: bool,
    /// The largest message that this node takes as a stream, in bytes; a lane carries the smaller of both, and none
    /// if that is 0.
    pub large_bytes_max: u32,
}

impl ChannelTerms {
    const RELIABILITY: &'static str = "reliability";
    const ORDERING: &'static str = "ordering";
    const COMPRESSION: &'static str = "compression";
    const NO_COMPRESSION: &'static str = "none";
    const PARALLELISM: &'static str = "parallelism";
    const BODY_BYTES_MAX: &'static str = "body_bytes_max";
    const MAILBOXES_MAX: &'static str = "mailboxes_max";
    const FRAGMENTS: &'static str = "fragments";
    const LARGE_BYTES_MAX: &'static str = "large_bytes_max";

    /// What both ends go by.
    ///
    /// `self` is the acceptor's, `dialer` what came in the Hello: the text says so, and therefore
    /// reads the same in the logs of both.
    ///
    /// # Errors
    /// A text with the first parameter that differs, and both its values.
    pub fn agree(&self, dialer: &Self) -> Result<Self, String> {
        differ(Self::RELIABILITY, &self.reliability, &dialer.reliability)?;
        differ(Self::ORDERING, &self.ordering, &dialer.ordering)?;
        differ(Self::PARALLELISM, &self.parallelism, &dialer.parallelism)?;
        let compression = if self.compression == dialer.compression {
            self.compression.clone()
        } else {
            Name::new(Self::NO_COMPRESSION).expect("it is a name")
        };
        Ok(Self {
            compression,
            body_bytes_max: self.body_bytes_max.min(dialer.body_bytes_max),
            mailboxes_max: self.mailboxes_max.min(dialer.mailboxes_max),
            fragments: self.fragments && dialer.fragments,
            large_bytes_max: self.large_bytes_max.min(dialer.large_bytes_max),
            ..self.clone()
        })
    }

    /// What both ends go by, between nodes of version 1: it agrees to nothing but what the dialer has, so that
    /// has to have the same compression, and a size that this node takes.
    ///
    /// # Errors
    /// As [`agree`](Self::agree), and for another compression or a larger size at the dialer.
    pub fn agree_with_version_1(&self, dialer: &Self) -> Result<Self, String> {
        let agreed = self.agree(dialer)?;
        differ(Self::COMPRESSION, &self.compression, &dialer.compression)?;
        if dialer.body_bytes_max > self.body_bytes_max {
            let (acceptor, dialer) = (self.body_bytes_max, dialer.body_bytes_max);
            return Err(at_both_ends(Self::BODY_BYTES_MAX, &acceptor, &dialer));
        }
        Ok(agreed)
    }

    /// Adds the terms to a map, each as mandatory, but for the words that there are fragments, and messages as
    /// streams: a node that does not know them sends and takes none.
    ///
    /// # Errors
    /// [`ParameterError`] if the map has one of them already, or no room for them.
    pub(super) fn write_to(&self, parameters: &mut Parameters) -> Result<(), ParameterError> {
        for (name, value) in [
            (Self::RELIABILITY, self.reliability.clone()),
            (Self::ORDERING, self.ordering.clone()),
            (Self::COMPRESSION, self.compression.clone()),
            (Self::PARALLELISM, number(self.parallelism.into())),
            (Self::BODY_BYTES_MAX, number(self.body_bytes_max)),
            (Self::MAILBOXES_MAX, number(self.mailboxes_max)),
        ] {
            let name = Name::new(name).expect("the names of terms are names");
            let mandatory = true;
            parameters.insert(Parameter {
                name,
                mandatory,
                value,
            })?;
        }
        for (name, value) in [
            (Self::FRAGMENTS, u32::from(self.fragments)),
            (Self::LARGE_BYTES_MAX, self.large_bytes_max),
        ] {
            if value > 0 {
                parameters.insert(Parameter {
                    name: Name::new(name).expect("the names of terms are names"),
                    mandatory: false,
                    value: number(value),
                })?;
            }
        }
        Ok(())
    }

    /// Takes the terms out of a map; what stays in it are parameters that this version does not know.
    ///
    /// # Errors
    /// [`ParameterError`] if one is missing or no number.
    pub(super) fn take_from(parameters: &mut Parameters) -> Result<Self, ParameterError> {
        Ok(Self {
            reliability: take(parameters, Self::RELIABILITY)?,
            ordering: take(parameters, Self::ORDERING)?,
            compression: take(parameters, Self::COMPRESSION)?,
            parallelism: take_number(parameters, Self::PARALLELISM)?,
            body_bytes_max: take_number(parameters, Self::BODY_BYTES_MAX)?,
            mailboxes_max: take_number(parameters, Self::MAILBOXES_MAX)?,
            fragments: parameters
                .take(Self::FRAGMENTS)
                .is_some_and(|fragments| *fragments.value == *"1"),
            large_bytes_max: take_optional(parameters, Self::LARGE_BYTES_MAX)?,
        })
    }
}

fn differ<T: PartialEq + ToString>(name: &str, acceptor: &T, dialer: &T) -> Result<(), String> {
    if acceptor == dialer {
        Ok(())
    } else {
        Err(at_both_ends(name, acceptor, dialer))
    }
}

fn at_both_ends<T: ToString>(name: &str, acceptor: &T, dialer: &T) -> String {
    let (acceptor, dialer) = (acceptor.to_string(), dialer.to_string());
    format!("{name} is {acceptor} at the acceptor, {dialer} at the dialer")
}

fn number(value: u32) -> Name {
    Name::new(&value.to_string()).expect("a number is a name")
}

fn take(parameters: &mut Parameters, name: &'static str) -> Result<Name, ParameterError> {
    let parameter = parameters.take(name);
    Ok(parameter.ok_or(ParameterError::Missing { name })?.value)
}

/// Exactly as [`number`] writes it: each number has one text.
fn take_number<T>(parameters: &mut Parameters, name: &'static str) -> Result<T, ParameterError>
where
    T: std::str::FromStr + ToString + Bounded,
{
    read_number(name, take(parameters, name)?)
}

/// The same of a term that need not be stated.
fn take_optional<T>(parameters: &mut Parameters, name: &'static str) -> Result<T, ParameterError>
where
    T: std::str::FromStr + ToString + Bounded + Default,
{
    let stated = parameters.take(name);
    stated.map_or_else(
        || Ok(T::default()),
        |stated| read_number(name, stated.value),
    )
}

fn read_number<T>(name: &'static str, value: Name) -> Result<T, ParameterError>
where
    T: std::str::FromStr + ToString + Bounded,
{
    match value.parse::<T>() {
        Ok(read) if read.to_string() == *value => Ok(read),
        _ => Err(ParameterError::NotANumber {
            name,
            value,
            max: T::MAX,
        }),
    }
}

trait Bounded {
    const MAX: u32;
}

impl Bounded for u16 {
    const MAX: u32 = u16::MAX as u32;
}

impl Bounded for u32 {
    const MAX: u32 = Self::MAX;
}

#[cfg(test)]
impl ChannelTerms {
    /// Those of a reliable channel, for unit tests.
    pub(crate) fn of_test() -> Self {
        let name = |text| Name::new(text).expect("a good name");
        Self {
            reliability: name("reliable"),
            ordering: name("fifo"),
            compression: name("none"),
            parallelism: 1,
            body_bytes_max: 1 << 20,
            mailboxes_max: 4096,
            fragments: true,
            large_bytes_max: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).expect("a good name")
    }

    fn terms() -> ChannelTerms {
        ChannelTerms {
            parallelism: 2,
            fragments: false,
            ..ChannelTerms::of_test()
        }
    }

    #[test]
    fn each_term_that_must_agree_is_named_with_both_values() {
        assert_eq!(terms().agree(&terms()), Ok(terms()));
        type Change = fn(&mut ChannelTerms);
        let differing: [(Change, &str); 3] = [
            (
                |terms| terms.reliability = name("guaranteed"),
                "reliability is reliable at the acceptor, guaranteed at the dialer",
            ),
            (
                |terms| terms.ordering = name("causal"),
                "ordering is fifo at the acceptor, causal at the dialer",
            ),
            (
                |terms| terms.parallelism = 3,
                "parallelism is 2 at the acceptor, 3 at the dialer",
            ),
        ];
        for (change, expected) in differing {
            let mut dialer = terms();
            change(&mut dialer);
            assert_eq!(terms().agree(&dialer), Err(expected.to_owned()));
        }
    }

    #[test]
    fn of_sizes_both_take_the_smaller() {
        let smaller = ChannelTerms {
            body_bytes_max: 100,
            mailboxes_max: 7,
            ..terms()
        };
        assert_eq!(terms().agree(&smaller), Ok(smaller.clone()));
        assert_eq!(smaller.agree(&terms()), Ok(smaller.clone()));
    }

    #[test]
    fn of_two_compressions_both_take_none() {
        let with = |compression| ChannelTerms {
            compression: name(compression),
            ..terms()
        };
        for (acceptor, dialer, agreed) in [
            ("lz4", "lz4", "lz4"),
            ("lz4", "zstd", "none"),
            ("none", "zstd", "none"),
            ("zstd", "none", "none"),
        ] {
            assert_eq!(with(acceptor).agree(&with(dialer)), Ok(with(agreed)));
        }
        assert_eq!(
            with("none").agree_with_version_1(&with("lz4")),
            Err("compression is none at the acceptor, lz4 at the dialer".to_owned())
        );
    }

    #[test]
    fn a_dialer_of_version_1_that_may_send_more_than_is_taken_is_refused() {
        let smaller = ChannelTerms {
            body_bytes_max: 100,
            ..terms()
        };
        assert_eq!(terms().agree_with_version_1(&smaller), Ok(smaller.clone()));
        let text = smaller
            .agree_with_version_1(&terms())
            .expect_err("it may send more");
        assert_eq!(
            text,
            "body_bytes_max is 100 at the acceptor, 1048576 at the dialer"
        );
    }

    #[test]
    fn terms_go_through_the_map_and_back() {
        let mut parameters = Parameters::default();
        terms().write_to(&mut parameters).expect("there is room");
        assert_eq!(parameters.iter().count(), 6);
        assert!(parameters.iter().all(|parameter| parameter.mandatory));
        assert_eq!(ChannelTerms::take_from(&mut parameters), Ok(terms()));
        assert_eq!(parameters, Parameters::default());
        let missing = ParameterError::Missing {
            name: "reliability",
        };
        assert_eq!(ChannelTerms::take_from(&mut parameters), Err(missing));
    }

    #[test]
    fn a_lane_has_fragments_if_both_ends_take_them() {
        let with = ChannelTerms {
            fragments: true,
            ..terms()
        };
        let mut parameters = Parameters::default();
        with.write_to(&mut parameters).expect("there is room");
        let optional: Vec<_> = parameters.iter().filter(|each| !each.mandatory).collect();
        assert_eq!(optional.len(), 1, "a node that lacks it passes over it");
        assert_eq!(ChannelTerms::take_from(&mut parameters), Ok(with.clone()));
        assert_eq!(with.agree(&with), Ok(with.clone()));
        assert_eq!(with.agree(&terms()), Ok(terms()));
        assert_eq!(terms().agree(&with), Ok(terms()));
    }

    #[test]
    fn of_messages_as_streams_both_take_the_smaller_size() {
        let with = |large_bytes_max| ChannelTerms {
            large_bytes_max,
            ..terms()
        };
        let mut parameters = Parameters::default();
        with(9).write_to(&mut parameters).expect("there is room");
        let optional: Vec<_> = parameters.iter().filter(|each| !each.mandatory).collect();
        assert_eq!(optional.len(), 1, "a node that lacks it passes over it");
        assert_eq!(ChannelTerms::take_from(&mut parameters), Ok(with(9)));
        assert_eq!(with(9).agree(&with(7)), Ok(with(7)));
        assert_eq!(with(9).agree(&terms()), Ok(terms()));
    }

    #[test]
    fn a_number_has_one_text() {
        for bad in ["02", "+2", "65536", "-1", "two", "2 "] {
            let mut parameters = Parameters::default();
            terms().write_to(&mut parameters).expect("there is room");
            let mut parallelism = parameters.take("parallelism").expect("it is there");
            parallelism.value = name(bad);
            parameters.insert(parallelism).expect("there is room");
            let error = ChannelTerms::take_from(&mut parameters).expect_err(bad);
            assert!(
                matches!(error, ParameterError::NotANumber { max: 65535, .. }),
                "{error}"
            );
        }
    }
}
