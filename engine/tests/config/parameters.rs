//! Every parameter, driven from the tables: defaults round-trip, bad values are refused.

use overlane::config::{
    Allowed, CHANNEL_PARAMETERS, ChannelConfig, Config, ConfigError, DISCOVERY_PARAMETERS,
    NODE_PARAMETERS, Parameter, RULE_PARAMETERS, Unit,
};

fn defaults_round_trip<S: Default + Clone + PartialEq + std::fmt::Debug>(table: &[Parameter<S>]) {
    for parameter in table {
        let mut settings = S::default();
        let text = parameter.default_text();
        assert_eq!(
            parameter.set(&mut settings, &text),
            Ok(()),
            "{} = {text}",
            parameter.name
        );
        assert_eq!(settings, S::default(), "{} = {text}", parameter.name);
    }
}

#[test]
fn the_default_of_every_parameter_reads_back_as_itself() {
    defaults_round_trip(NODE_PARAMETERS);
    defaults_round_trip(CHANNEL_PARAMETERS);
    defaults_round_trip(RULE_PARAMETERS);
    defaults_round_trip(DISCOVERY_PARAMETERS);
}

#[test]
fn the_default_configuration_is_valid() {
    assert_eq!(Config::default().validate(), Ok(()));
    let with_channel = Config {
        channels: vec![ChannelConfig::new("data")],
        ..Config::default()
    };
    assert_eq!(with_channel.validate(), Ok(()));
}

/// Texts that no value of the parameter has.
fn bad_texts(allowed: &Allowed) -> Vec<String> {
    let mut texts: Vec<String> = ["?", "§", "a b"].map(String::from).to_vec();
    if let Allowed::Number(least, most) | Allowed::PowerOfTwo(least, most) = *allowed {
        texts.extend(least.checked_sub(1).map(|below| below.to_string()));
        texts.extend(most.checked_add(1).map(|above| above.to_string()));
        texts.extend(["", "-1", "1.5", "18446744073709551616", "9999999999GiB"].map(String::from));
    }
    if let Allowed::PowerOfTwo(least, _) = *allowed {
        texts.push((least + 1).to_string());
    }
    texts
}

fn bad_values_are_refused<S: Default + Clone + PartialEq + std::fmt::Debug>(
    table: &[Parameter<S>],
) {
    for parameter in table {
        for text in bad_texts(&parameter.allowed) {
            let mut settings = S::default();
            let refused = parameter.set(&mut settings, &text);
            let right = refused.expect_err(&format!("{} = {text}", parameter.name));
            assert!(right.contains(&parameter.expected()), "{right}");
            assert_eq!(settings, S::default(), "{} = {text}", parameter.name);
        }
    }
}

#[test]
fn values_outside_the_range_are_refused_and_change_nothing() {
    bad_values_are_refused(NODE_PARAMETERS);
    bad_values_are_refused(CHANNEL_PARAMETERS);
    bad_values_are_refused(DISCOVERY_PARAMETERS);
}

#[test]
fn the_ends_of_every_range_are_accepted() {
    fn check<S: Default>(table: &[Parameter<S>]) {
        for parameter in table {
            let (Allowed::Number(least, most) | Allowed::PowerOfTwo(least, most)) =
                parameter.allowed
            else {
                continue;
            };
            for end in [least, most] {
                let set = parameter.set(&mut S::default(), &end.to_string());
                assert_eq!(set, Ok(()), "{} = {end}", parameter.name);
            }
        }
    }
    check(NODE_PARAMETERS);
    check(CHANNEL_PARAMETERS);
    check(DISCOVERY_PARAMETERS);
}

#[test]
fn names_end_in_the_unit_of_their_value() {
    fn check<S>(table: &[Parameter<S>]) {
        for parameter in table {
            let stem = parameter.name.trim_end_matches("_max");
            match parameter.unit {
                Unit::Bytes => assert!(stem.ends_with("_bytes"), "{}", parameter.name),
                Unit::Seconds => assert!(stem.ends_with("_s"), "{}", parameter.name),
                Unit::Milliseconds => assert!(stem.ends_with("_ms"), "{}", parameter.name),
                Unit::Microseconds => assert!(stem.ends_with("_us"), "{}", parameter.name),
                Unit::None | Unit::Count(_) => {}
            }
        }
    }
    check(NODE_PARAMETERS);
    check(CHANNEL_PARAMETERS);
    check(DISCOVERY_PARAMETERS);
}

#[test]
fn a_bad_field_of_a_channel_in_code_is_refused_with_its_key_value_and_range() {
    let error = Config::builder()
        .channel(ChannelConfig::new("data").parallelism(65))
        .build()
        .expect_err("65 lanes");
    assert_eq!(
        error.to_string(),
        "configuration in code: `65` is not a value of channel.data.parallelism: \
         expected a whole number of lanes from 1 to 64"
    );
    assert!(matches!(error, ConfigError::Refused { .. }));
}
