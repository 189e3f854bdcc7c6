//! The map of channel parameters in a handshake: names to values, both text, in order of the names.
//!
//! The dialer offers a map in its Hello, the acceptor answers in its Welcome with the values that
//! both go by. What a name means is for `terms.rs` to say; here is only the map, its encoding and its
//! bounds, so that a later version can add a parameter without a new layout: one that is not
//! mandatory is skipped by a node that does not know it. Values travel as text so that a node can
//! print one it has never heard of.
use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::name::Name;

/// The most parameters in one handshake message.
pub const PARAMETERS_MAX: usize = 32;

/// The most bytes of all names and values together: with the longest names beside it, a handshake
/// message stays within its 4096 bytes.
pub const PARAMETER_BYTES_MAX: usize = 2048;

/// One parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// What it is; each name is there at most once.
    pub name: Name,
    /// A node that does not know it has to refuse the lane.
    pub mandatory: bool,
    /// Its value; numbers are decimal, without leading zeros.
    pub value: Name,
}

/// Parameters in ascending order of their names, within the bounds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Parameters(Vec<Parameter>);

/// A parameter that cannot be in the map, or whose value cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// The name is there already.
    #[error("parameter {name} is given twice")]
    Twice {
        /// The name.
        name: Name,
    },
    /// More than the map holds.
    #[error("more than {PARAMETERS_MAX} parameters, or over {PARAMETER_BYTES_MAX} bytes of them")]
    TooMany,
    /// A parameter that every Hello and Welcome has to state is absent.
    #[error("parameter {name} is missing")]
    Missing {
        /// The name.
        name: &'static str,
    },
    /// The value is no number, or one that does not fit.
    #[error("parameter {name} is {value}, which is not a decimal number from 0 to {max}")]
    NotANumber {
        /// The name.
        name: &'static str,
        /// The value that came.
        value: Name,
        /// The largest number that it can be.
        max: u32,
    },
    /// The value does not say how messages ended.
    #[error("parameter endings is {value}: {fault}")]
    NotEndings {
        /// The value that came.
        value: Name,
        /// What is wrong with it.
        fault: &'static str,
    },
}

impl Parameters {
    /// Adds a parameter.
    ///
    /// # Errors
    /// [`ParameterError`] if the name is there already or a bound is reached.
    pub fn insert(&mut self, parameter: Parameter) -> Result<(), ParameterError> {
        let found = self
            .0
            .binary_search_by(|held| held.name.cmp(&parameter.name));
        let Err(place) = found else {
            let name = parameter.name;
            return Err(ParameterError::Twice { name });
        };
        if self.0.len() == PARAMETERS_MAX
            || self.bytes() + bytes_of(&parameter) > PARAMETER_BYTES_MAX
        {
            return Err(ParameterError::TooMany);
        }
        self.0.insert(place, parameter);
        Ok(())
    }

    /// Takes the parameter of that name out.
    pub fn take(&mut self, name: &str) -> Option<Parameter> {
        let found = self.0.binary_search_by(|held| held.name.as_str().cmp(name));
        Some(self.0.remove(found.ok()?))
    }

    /// The parameters in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Parameter> {
        self.0.iter()
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(bytes_of).sum()
    }
}

fn bytes_of(parameter: &Parameter) -> usize {
    parameter.name.len() + parameter.value.len()
}

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ReadParameters)
    }
}

/// Reads one parameter after the other, so that a stated count reserves no memory.
struct ReadParameters;

impl<'de> Visitor<'de> for ReadParameters {
    type Value = Parameters;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "up to {PARAMETERS_MAX} parameters in order")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Parameters, A::Error> {
        let mut parameters = Parameters::default();
        while let Some(parameter) = sequence.next_element::<Parameter>()? {
            if parameters
                .0
                .last()
                .is_some_and(|last| last.name >= parameter.name)
            {
                return Err(de::Error::custom("parameters are not in order"));
            }
            parameters.insert(parameter).map_err(de::Error::custom)?;
        }
        Ok(parameters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(name: &str, value: &str) -> Parameter {
        Parameter {
            name: Name::new(name).expect("a good name"),
            mandatory: false,
            value: Name::new(value).expect("a good value"),
        }
    }

    #[test]
    fn parameters_are_kept_in_order_and_once() {
        let mut parameters = Parameters::default();
        for name in ["c", "a", "b"] {
            assert_eq!(parameters.insert(parameter(name, "1")), Ok(()));
        }
        let names: Vec<_> = parameters
            .iter()
            .map(|held| held.name.to_string())
            .collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert!(matches!(
            parameters.insert(parameter("b", "2")),
            Err(ParameterError::Twice { .. })
        ));
        assert_eq!(parameters.take("b"), Some(parameter("b", "1")));
        assert_eq!(parameters.take("b"), None);
    }

    #[test]
    fn both_bounds_hold_when_written_and_when_read() {
        let mut parameters = Parameters::default();
        for number in 0..PARAMETERS_MAX {
            let name = format!("p{number:02}");
            assert_eq!(parameters.insert(parameter(&name, "1")), Ok(()));
        }
        assert_eq!(
            parameters.insert(parameter("q", "1")),
            Err(ParameterError::TooMany)
        );

        let mut parameters = Parameters::default();
        let longest = "v".repeat(255);
        for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            assert_eq!(parameters.insert(parameter(name, &longest)), Ok(()));
        }
        assert_eq!(
            parameters.insert(parameter("i", "1")),
            Err(ParameterError::TooMany)
        );

        let one_too_many: Vec<_> = (0..=PARAMETERS_MAX)
            .map(|number| parameter(&format!("p{number:02}"), "1"))
            .collect();
        let bytes = postcard::to_stdvec(&one_too_many).expect("it has an encoding");
        assert!(postcard::from_bytes::<Parameters>(&bytes).is_err());
    }

    #[test]
    fn a_stated_count_reserves_no_memory_and_disorder_is_refused() {
        // 2^32 - 1 parameters are stated, and none follows.
        assert!(postcard::from_bytes::<Parameters>(&[0xff, 0xff, 0xff, 0xff, 0x0f]).is_err());
        for names in [["b", "a"], ["a", "a"]] {
            let bytes = postcard::to_stdvec(&names.map(|name| parameter(name, "1")).to_vec())
                .expect("it has an encoding");
            assert!(
                postcard::from_bytes::<Parameters>(&bytes).is_err(),
                "{names:?}"
            );
        }
    }
}
