//! Routing rules: from each source, in order, and what is wrong with one, said with its place.

use overlane::config::{ChannelConfig, Config, RULE_PARAMETERS, RULES_MAX, Rule};

use crate::support::{FileText, environment, error_of, flags, load, sample, sources};

/// Two channels, for rules to choose from.
const CHANNELS: &str = "[channel.data]\n[channel.urgent]\n";

fn of_file(text: &str) -> Vec<Rule> {
    let file = FileText::new(format!("{CHANNELS}{text}"));
    load(&sources(Some(&file), &[], &[])).rules
}

fn file_error(text: &str) -> String {
    let file = FileText::new(format!("{CHANNELS}{text}"));
    let error = error_of(&sources(Some(&file), &[], &[]));
    assert!(error.contains(&file.path()), "{error}");
    error
}

fn assert_says(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "{error:?} lacks {part:?}");
    }
}

#[test]
fn each_parameter_of_a_rule_comes_from_file_environment_and_flag() {
    let channels = "data;urgent".to_string();
    for parameter in RULE_PARAMETERS {
        let (name, text) = (parameter.name, sample(parameter));
        let mut rule = Rule::new("data");
        assert_eq!(parameter.set(&mut rule, &text), Ok(()));
        let expected = vec![rule];
        let table = format!("[[rule]]\nchannel = \"data\"\n{name} = \"{text}\"\n");
        assert_eq!(of_file(&table), expected, "file {name} = {text}");
        let rule = format!("data:{name}={text}");
        let variables = [
            ("OVERLANE_CHANNEL".to_string(), channels.clone()),
            ("OVERLANE_RULE".to_string(), rule.clone()),
        ];
        let config = load(&environment(&variables));
        assert_eq!(config.rules, expected, "variable {rule}");
        let more = ["--channel", "data", "--channel", "urgent", "--rule", &rule];
        assert_eq!(load(&flags(&more)).rules, expected, "flag {rule}");
    }
}

#[test]
fn rules_keep_their_order_and_lists_and_numbers_can_be_plain_toml() {
    let rules = of_file(
        "[[rule]]\nchannel = \"urgent\"\nmetadata = [\"tenant=7\", \"region=eu\"]\n\
         [[rule]]\nchannel = \"data\"\npayload_bytes_min = 65536\nnamed = \"*\"\n",
    );
    let expected = [
        Rule::new("urgent").metadata([("tenant", "7"), ("region", "eu")]),
        Rule::new("data").payload_bytes_min(65_536).named("*"),
    ];
    assert_eq!(rules, expected);
    let printed: Vec<_> = rules.iter().map(Rule::to_string).collect();
    let expected = [
        "urgent:metadata=tenant=7&region=eu",
        "data:named=*,payload_bytes_min=64KiB",
    ];
    assert_eq!(printed, expected);
}

#[test]
fn the_rules_of_a_later_source_stand_in_place_of_those_of_an_earlier() {
    let file = FileText::new(format!(
        "{CHANNELS}[[rule]]\nchannel = \"data\"\n[[profile.dev.rule]]\nchannel = \"urgent\"\n"
    ));
    let rules = |variables: &[(String, String)], flags: &[&str]| {
        let config = load(&sources(Some(&file), variables, flags));
        config.rules.iter().map(Rule::to_string).collect::<Vec<_>>()
    };
    assert_eq!(rules(&[], &[]), ["data"]);
    assert_eq!(rules(&[], &["--profile", "dev"]), ["urgent"]);
    let two = "data:peer=b; urgent:peer=c;".to_string();
    let variables = [("OVERLANE_RULE".to_string(), two)];
    assert_eq!(rules(&variables, &[]), ["data:peer=b", "urgent:peer=c"]);
    assert_eq!(rules(&variables, &["--rule", "urgent"]), ["urgent"]);
}

#[test]
fn a_mistake_in_a_rule_is_said_with_line_key_value_and_what_is_right() {
    for (text, parts) in [
        (
            "[[rule]]\nchannel = \"data\"\nmessage_tipe = \"x\"",
            [
                "line 5, key rule.1.message_tipe",
                "did you mean `message_type`?",
            ],
        ),
        (
            "[[rule]]\nchannel = \"data\"\npayload_bytes_max = \"large\"",
            ["line 5, key rule.1.payload_bytes_max: `large`", "from 0 to"],
        ),
        (
            "[[rule]]\nchannel = \"data\"\n[[rule]]\npeer = \"b\"",
            [
                "line 5, key rule.2: `a rule without a channel`",
                "channel = \"NAME\"",
            ],
        ),
        (
            "[rule]\nchannel = \"data\"",
            ["line 3, key rule: `a table`", "[[rule]] in double brackets"],
        ),
        ("rule = 5", ["key channel.urgent.rule", "docs/tuning.md"]),
        (
            "[[rule]]\nchannel = \"Data\"",
            ["key rule.1.channel: `Data`", "a-z 0-9"],
        ),
        (
            "[[rule]]\nchannel = \"bulk\"",
            ["rule.1.channel = bulk (file", "take one of data, urgent"],
        ),
        (
            "[[rule]]\nchannel = \"data\"\nnamed = \"bulk\"",
            ["rule.1.named = bulk (file", "take one of data, urgent"],
        ),
        (
            "[[rule]]\nchannel = \"data\"\nmetadata = \"tenant\"",
            ["key rule.1.metadata: `tenant`", "tenant=7&region=eu"],
        ),
    ] {
        assert_says(&file_error(text), &parts);
    }
}

#[test]
fn a_mistake_in_a_variable_or_a_flag_is_said_too() {
    let error = error_of(&flags(&["--channel", "data", "--rule", "data:pear=b"]));
    assert_says(
        &error,
        &["flag --rule", "rule.pear", "did you mean `peer`?"],
    );
    let error = error_of(&flags(&["--channel", "data", "--rule", "data:peer"]));
    assert_says(&error, &["flag --rule", "key=value, with commas between"]);
    let variables = [("OVERLANE_RULE".to_string(), "bulk".to_string())];
    let error = error_of(&environment(&variables));
    assert_says(&error, &["variable OVERLANE_RULE", "bulk", "nor any other"]);
}

#[test]
fn what_a_rule_says_has_to_agree() {
    let error = |rules: Vec<Rule>| {
        let config = Config {
            channels: vec![ChannelConfig::new("data")],
            rules,
            ..Config::default()
        };
        config.validate().expect_err("a mistake").to_string()
    };
    let data = || Rule::new("data");
    let sizes = data().payload_bytes_min(2_usize).payload_bytes_max(1_usize);
    assert_says(
        &error(vec![data(), sizes]),
        &["rule.2.payload_bytes_min", "`2`"],
    );
    assert_says(&error(vec![data().peer("b!")]), &["rule.1.peer", "`b!`"]);
    let text = error(vec![data().message_type("a,b")]);
    assert_says(&text, &["rule.1.message_type", "`a,b`", "without commas"]);
    let many = error(vec![data(); RULES_MAX + 1]);
    assert_says(&many, &["rules = 65", "at most 64 rules"]);
    assert_says(&error(vec![Rule::new("")]), &["rule.1.channel"]);
}

#[test]
fn hints_lead_to_channels_that_are_there() {
    let error = error_of(&flags(&[
        "--channel",
        "data:hints=urgent+bulk",
        "--channel",
        "bulk",
    ]));
    assert_says(
        &error,
        &["channel.data.hints = urgent", "take one of data, bulk"],
    );
    let twice = error_of(&flags(&["--channel", "data:hints=bulk+bulk"]));
    assert_says(&twice, &["channel.data.hints", "each once"]);
    let file = FileText::new(
        "[channel.data]\nhints = [\"urgent\", \"bulk\"]\n[channel.urgent]\n[channel.bulk]\n",
    );
    let config = load(&sources(Some(&file), &[], &[]));
    assert_eq!(config.channels[0].hints, ["urgent", "bulk"]);
}
