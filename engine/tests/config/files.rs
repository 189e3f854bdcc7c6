//! Configuration files that are wrong: what is said has file, line, key, value and what is right.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use overlane::config::{FILE_BYTES_MAX, FILE_DEFAULT, Sources};

use crate::support::{FileText, environment, error_of, flags, load, sources};

const MICROSECONDS: &str = "a whole number of microseconds from 0 to 1000000";

/// Text of a file, the line and key of its mistake, the value as it is repeated, what is right.
const MISTAKES: [(&str, usize, &str, &str, &str); 30] = [
    ("spin_us = -1", 1, "spin_us", "-1", MICROSECONDS),
    ("spin_us = 1e3", 1, "spin_us", "1e3", MICROSECONDS),
    ("spin_us = 1.0", 1, "spin_us", "1.0", MICROSECONDS),
    ("spin_us = nan", 1, "spin_us", "nan", MICROSECONDS),
    ("spin_us = \"many\"", 1, "spin_us", "many", MICROSECONDS),
    ("spin_us = \"\"", 1, "spin_us", "", MICROSECONDS),
    ("spin_us = true", 1, "spin_us", "true", MICROSECONDS),
    (
        "spin_us = [1]\npin = 5",
        2,
        "pin",
        "5",
        "one of true, false",
    ),
    (
        "spin_us = 1979-05-27",
        1,
        "spin_us",
        "1979-05-27",
        MICROSECONDS,
    ),
    (
        "pin = true\n\nspin_us = 1000001",
        3,
        "spin_us",
        "1000001",
        MICROSECONDS,
    ),
    (
        "spin_us = 99999999999999999999",
        1,
        "spin_us",
        "99999999999999999999",
        MICROSECONDS,
    ),
    (
        "spin_us = 0xffffffffffffffffffff",
        1,
        "spin_us",
        "1208925819614629174706175",
        MICROSECONDS,
    ),
    (
        "incarnation = 18446744073709551616",
        1,
        "incarnation",
        "18446744073709551616",
        "18446744073709551615",
    ),
    ("pin = 1", 1, "pin", "1", "one of true, false"),
    ("cores = [0, 1.5]", 1, "cores", "0,1.5", "such as 0,2,4"),
    ("cores = [[0]]", 1, "cores", "a list in a list", "one list"),
    (
        "cores = [{ a = 1 }]",
        1,
        "cores",
        "a table",
        "a single value",
    ),
    (
        "listen = \"localhost:7400\"",
        1,
        "listen",
        "localhost:7400",
        "127.0.0.1:7400",
    ),
    ("listen = 7400", 1, "listen", "7400", "127.0.0.1:7400"),
    (
        "[spin_us]\na = 1",
        1,
        "spin_us",
        "a table",
        "a single value",
    ),
    ("channel = 5", 1, "channel", "5", "[channel.data]"),
    (
        "[channel]\ndata = 5",
        2,
        "channel.data",
        "5",
        "a table, [channel.data]",
    ),
    (
        "[channel]\npriority = \"high\"",
        2,
        "channel.priority",
        "high",
        "put priority under [channel.NAME]",
    ),
    (
        "pin = true\n[[channel]]\nname = \"data\"",
        2,
        "channel",
        "a list",
        "[channel.data] in single brackets",
    ),
    (
        "[profile.dev]\n[profile.dev.channel]\nd = 1",
        3,
        "profile.dev.channel.d",
        "1",
        "a table, [profile.dev.channel.d]",
    ),
    ("profile = \"dev\"", 1, "profile", "dev", "[profile.dev]"),
    (
        "[profile]\ndev = 1",
        2,
        "profile.dev",
        "1",
        "a table, [profile.dev]",
    ),
    ("[peers]\nb = 5", 2, "peers.b", "b=5", "b=127.0.0.1:7401"),
    (
        "[peers]\nb = \"127.0.0.1:1,c=127.0.0.1:2\"",
        2,
        "peers.b",
        "b=127.0.0.1:1,c=127.0.0.1:2",
        "one name and one address",
    ),
    (
        "[peers]\n\"b=127.0.0.1:1,c\" = \"127.0.0.1:2\"",
        2,
        "peers.b=127.0.0.1:1,c",
        "b=127.0.0.1:1,c=127.0.0.1:2",
        "one name and one address",
    ),
];

fn error_in(file: &FileText) -> String {
    error_of(&sources(Some(file), &[], &[]))
}

fn assert_says(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "{error:?} lacks {part:?}");
    }
}

#[test]
fn a_mistake_is_named_by_file_line_key_value_and_what_is_right() {
    for (text, line, key, value, right) in MISTAKES {
        let file = FileText::new(text);
        let place = format!("file {}, line {line}, key {key}:", file.path());
        assert_says(&error_in(&file), &[&place, &format!("`{value}`"), right]);
        // Carriage returns and a byte order mark change nothing.
        let windows = FileText::new(format!("\u{feff}{}\r\n", text.replace('\n', "\r\n")));
        let place = format!("file {}, line {line}, key {key}:", windows.path());
        assert_says(&error_in(&windows), &[&place, &format!("`{value}`"), right]);
    }
}

#[test]
fn an_unknown_key_is_named_by_its_line() {
    for (text, line, key, right) in [
        ("\nspin_su = 5", 2, "spin_su", "did you mean `spin_us`?"),
        (
            "[chanel.data]\npriority = 5",
            1,
            "chanel",
            "did you mean `channel`?",
        ),
        ("[network]\nport = 5", 1, "network", "docs/tuning.md"),
        (
            "[channel.data]\nprioritty = 5",
            2,
            "channel.data.prioritty",
            "`priority`?",
        ),
        ("[profile.prd]", 1, "profile.prd", "did you mean `prod`?"),
        (
            "[profile.dev]\nspin = 5",
            2,
            "profile.dev.spin",
            "did you mean",
        ),
    ] {
        let file = FileText::new(text);
        let place = format!("file {}, line {line}, key {key}:", file.path());
        assert_says(&error_in(&file), &[&place, right]);
    }
}

#[test]
fn of_several_mistakes_the_first_is_reported() {
    let file = FileText::new("spin_us = 1\nshards = 1000\ncontrol = 5\npin = 7\n");
    assert_says(&error_in(&file), &["line 2, key shards"]);
}

#[test]
fn what_is_not_toml_is_named_by_line_and_text() {
    let deep = format!("\na = {}", "[".repeat(100_000));
    for (text, line, about) in [
        ("pin = true\nspin_us =", 2, "in `spin_us =`"),
        (
            "pin = true\n\npin = false",
            3,
            "duplicate key in `pin = false`",
        ),
        ("[channel.a]\n[channel.a]", 2, "in `[channel.a]`"),
        ("spin_us = 1e", 1, "in `spin_us = 1e`"),
        ("spin_us = 5 \u{1b}[2J", 1, "in `spin_us = 5 \\u{1b}[2J`"),
        ("spin us = 5", 1, "in `spin us = 5`"),
        ("{\"spin_us\": 5}", 1, "in `{"),
        (&deep, 2, "bytes)`"),
    ] {
        let file = FileText::new(text);
        let place = format!("file {}, line {line}: expected TOML: ", file.path());
        let error = error_in(&file);
        assert_says(&error, &[&place, about]);
        assert!(error.len() < 1000 && !error.contains('\n'), "{error}");
    }
}

#[test]
fn what_is_not_text_is_named_by_its_line() {
    for (bytes, line) in [
        (&b"pin = true\nnode_name = \"\xe4\"\n"[..], 2),
        (b"\xff\xfes\0p\0i\0n\0", 1),
    ] {
        let file = FileText::new(bytes);
        let place = format!("file {}, line {line}: byte ", file.path());
        assert_says(
            &error_in(&file),
            &[&place, "not UTF-8", "expected a text file in TOML"],
        );
    }
}

#[test]
fn a_file_that_cannot_be_read_is_refused_with_what_to_do() {
    let absent = error_of(&flags(&["--config", "/nonexistent/overlane.toml"]));
    assert_says(
        &absent,
        &[
            "file /nonexistent/overlane.toml: No such file",
            "give --config",
        ],
    );
    let variables = [("OVERLANE_CONFIG".to_string(), "/nonexistent".to_string())];
    let absent = error_of(&environment(&variables));
    assert_says(
        &absent,
        &["file /nonexistent: No such file", "set OVERLANE_CONFIG"],
    );
    let folder = error_of(&flags(&["--config", "/"]));
    assert_says(
        &folder,
        &["file /: Is a directory", "expected a file in TOML"],
    );
    let endless = error_of(&flags(&["--config", "/dev/zero"]));
    assert_says(
        &endless,
        &[
            "file /dev/zero:",
            &format!("at most {FILE_BYTES_MAX} bytes"),
        ],
    );
    let unnamed = error_of(&flags(&["--config", ""]));
    assert_says(
        &unnamed,
        &["flag --config: `` is not", "the path of a file in TOML"],
    );
}

#[test]
fn a_default_file_that_cannot_be_read_is_not_skipped() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("unreadable");
    std::fs::create_dir_all(&folder).expect("a folder");
    let sources = Sources {
        file_default: Some(folder.clone()),
        ..Sources::default()
    };
    assert_says(&error_of(&sources), &["unreadable: Is a directory"]);
    std::fs::remove_dir(&folder).expect("it is empty");
    assert_eq!(FILE_DEFAULT, "overlane.toml");
}

#[test]
fn a_file_of_somebody_else_is_refused_as_such() {
    let file = FileText::new("pin = true");
    std::fs::set_permissions(file.path(), PermissionsExt::from_mode(0o000)).expect("it is ours");
    // Root may read it all the same.
    if std::fs::read(file.path()).is_err() {
        let error = error_in(&file);
        assert_says(&error, &["Permission denied", "allow this user to read it"]);
    }
}

#[test]
fn control_characters_are_escaped_in_every_part_of_a_message() {
    for text in [
        "listen = \"\\u001b[2J\"",
        "\"a\\u001b[31m\" = 5",
        "[\"\\u009b31m\"]\na = 5",
        "[channel.\"a\\u0007\"]",
        "[channel.data]\n\"\\u001bc\" = 5",
        "[channel.data]\npriority = \"\\u001bc\"",
        "[peers]\n\"b\\n\" = \"\\r\"",
        "[profile.\"\\u001b\"]",
        "[profile]\ndev = \"\\u001b\"",
    ] {
        let error = error_in(&FileText::new(text));
        assert!(!error.contains(char::is_control), "{error:?}");
        assert!(error.contains("\\u{") || error.contains("\\n"), "{error:?}");
    }
}

#[test]
fn a_long_value_is_cut() {
    let error = error_in(&FileText::new(format!(
        "listen = \"{}\"",
        "7".repeat(500_000)
    )));
    assert!(error.len() < 1000, "{} bytes", error.len());
    assert_says(&error, &["(500000 bytes)", "127.0.0.1:7400"]);
}

#[test]
fn whole_numbers_can_be_written_in_every_way_of_toml() {
    for (text, incarnation) in [
        ("0x10", 16),
        ("0o17", 15),
        ("0b101", 5),
        ("+7", 7),
        ("1_000", 1000),
        ("18446744073709551615", u64::MAX),
        ("\"18446744073709551615\"", u64::MAX),
    ] {
        let file = FileText::new(format!("incarnation = {text}"));
        let config = load(&sources(Some(&file), &[], &[]));
        assert_eq!(config.incarnation, Some(incarnation), "{text}");
    }
}

#[test]
fn an_error_reads_the_same_by_debug_as_by_display() {
    let file = FileText::new("spin_us = -1");
    let error = sources(Some(&file), &[], &[])
        .load()
        .expect_err("it is wrong");
    assert_eq!(format!("{error:?}"), error.to_string());
    let error = overlane::StartError::from(error);
    assert_eq!(format!("{error:?}"), error.to_string());
    assert!(error.to_string().contains("key spin_us"), "{error}");
}

#[test]
fn parameters_of_a_group_are_a_table_of_it_or_have_its_name() {
    let flat = FileText::new("hyparview_active_max = 7\nmembership_probe_period_ms = 2000\n");
    let tables = FileText::new(
        "[hyparview]\nactive_max = 3\n[membership]\nprobe_period_ms = 2_000\n\
         [profile.prod.hyparview]\nactive_max = 7\n",
    );
    let config = load(&sources(Some(&tables), &[], &[]));
    assert_eq!(config, load(&sources(Some(&flat), &[], &[])));
    assert_eq!(config.hyparview.active_max, 7);
    let wrong = FileText::new("[hyparview]\nactive_mx = 3\n");
    let place = format!("file {}, line 2, key hyparview.active_mx", wrong.path());
    assert_says(
        &error_in(&wrong),
        &[&place, "did you mean `hyparview_active_max`?"],
    );
    let wrong = FileText::new("[hyparview]\nactive_max = 65\n");
    assert_says(
        &error_in(&wrong),
        &["line 2", "hyparview_active_max", "`65`", "from 1 to 64"],
    );
    assert_says(
        &error_in(&FileText::new("[hyparwiev]\nactive_max = 3\n")),
        &["did you mean `hyparview`?"],
    );
}
