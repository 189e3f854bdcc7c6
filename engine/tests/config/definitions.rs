//! The text of `--channel`: what is accepted, what is refused, and that nothing panics.

use overlane::config::{
    CHANNEL_PARAMETERS, ChannelDefinition, ConfigError, Place, fuzz_channel_definition,
};
use proptest::prelude::*;

use crate::support::sample;

fn read(text: &str) -> Result<ChannelDefinition, ConfigError> {
    ChannelDefinition::read(text, &Place::Code)
}

#[test]
fn a_definition_prints_in_the_form_of_the_table() {
    for (text, printed) in [
        ("data", "data"),
        (
            "  data : priority = 4 , parallelism=2",
            "data:priority=medium,parallelism=2",
        ),
        (
            "bulk.v2:ring_bytes=65536,queue_bytes_max=4096KiB",
            "bulk.v2:ring_bytes=64KiB,queue_bytes_max=4MiB",
        ),
        (
            "g:dscp=auto,overflow=drop_oldest",
            "g:dscp=auto,overflow=drop_oldest",
        ),
    ] {
        let definition = read(text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(definition.to_string(), printed);
        assert_eq!(read(printed), Ok(definition));
    }
}

#[test]
fn what_is_not_key_and_value_is_refused_with_the_form() {
    for text in [
        "data:",
        "data:priority",
        "data:priority=1,",
        "data:,",
        "data::",
    ] {
        let error = read(text).expect_err(text).to_string();
        assert!(
            error.contains("key=value, with commas between"),
            "{text}: {error}"
        );
    }
}

#[test]
fn a_key_that_is_given_twice_is_refused() {
    let error = read("data:priority=1,priority=2")
        .expect_err("twice")
        .to_string();
    assert!(
        error.contains("`2`") && error.contains("each key once"),
        "{error}"
    );
}

/// Any name, and any of the keys with a value that is near to right.
fn near_definitions() -> impl Strategy<Value = String> {
    let setting = (
        0..CHANNEL_PARAMETERS.len(),
        "[a-z0-9_=KMiB]{0,8}",
        any::<bool>(),
    );
    let settings = prop::collection::vec(setting, 0..5);
    ("[a-z0-9_.-]{0,8}:?", settings).prop_map(|(name, settings)| {
        let settings = settings.into_iter().map(|(index, text, right)| {
            let parameter = &CHANNEL_PARAMETERS[index];
            let value = if right { sample(parameter) } else { text };
            format!("{}={value}", parameter.name)
        });
        format!("{name}{}", settings.collect::<Vec<_>>().join(","))
    })
}

proptest! {
    #[test]
    fn no_text_panics_and_what_is_accepted_prints_back(text in any::<String>()) {
        fuzz_channel_definition(text.as_bytes());
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        fuzz_channel_definition(&bytes);
    }

    #[test]
    fn near_definitions_print_back(text in near_definitions()) {
        fuzz_channel_definition(text.as_bytes());
    }
}
