//! What becomes of output that nobody can read: the exit code tells, and so does standard error.

use std::fs::File;
use std::io::Read;
use std::process::{Command, Output, Stdio};

/// Each way in which the program prints, with the exit code where the output can be written.
const COMMANDS: [(&str, i32); 10] = [
    ("doctor --listen 127.0.0.1:0", 0),
    ("doctor --listen 127.0.0.1:0 --json", 0),
    ("doctor --listen 127.0.0.1:0 --cores 4095", 3),
    ("doctor --spin-us fast", 2),
    ("sim --nodes 20 --broadcasts 2", 0),
    ("sim --nodes 20 --broadcasts 2 --each --json", 0),
    ("completions zsh", 0),
    ("man", 0),
    ("--version", 0),
    ("sim --help", 0),
];

fn overlane(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_overlane"));
    command
        .args(arguments.split(' '))
        .current_dir(env!("CARGO_TARGET_TMPDIR"));
    command
}

fn error_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn output_that_cannot_be_written_is_told_with_exit_code_4() {
    for (arguments, _) in COMMANDS {
        let full = File::options().write(true).open("/dev/full");
        let output = overlane(arguments)
            .stdout(full.expect("there is /dev/full"))
            .output()
            .expect("it runs");
        let error = error_of(&output);
        assert_eq!(output.status.code(), Some(4), "{arguments}: {error}");
        for part in [
            "standard output could not be written",
            "No space left",
            "free space",
        ] {
            assert!(
                error.contains(part),
                "{arguments}: {error:?} lacks {part:?}"
            );
        }
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    for (arguments, code) in COMMANDS {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let mut child = overlane(arguments)
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        // Some read one line, some not even that.
        if code == 0 {
            let mut first = [0];
            assert_eq!(reader.read(&mut first).expect("a byte"), 1);
        }
        drop(reader);
        let mut error = String::new();
        let errors = child.stderr.take();
        errors
            .expect("it is a pipe")
            .read_to_string(&mut error)
            .expect("text");
        let status = child.wait().expect("it ends");
        assert_eq!(status.code(), Some(code), "{arguments}: {error}");
        assert_eq!(error, "", "{arguments}");
    }
}

#[test]
fn a_failure_that_cannot_be_told_either_keeps_its_exit_code() {
    let full = || {
        File::options()
            .write(true)
            .open("/dev/full")
            .expect("there is /dev/full")
    };
    for (arguments, code) in [
        ("doctor", 4),
        ("doctor --spin-uss 5", 2),
        ("--help", 4),
        ("", 2),
    ] {
        let status = overlane(arguments).stdout(full()).stderr(full()).status();
        assert_eq!(status.expect("it runs").code(), Some(code), "{arguments}");
    }
}

#[test]
fn control_characters_of_arguments_do_not_reach_the_terminal() {
    for arguments in [
        "doctor --config /no/\u{1b}[2Jwhere",
        "doctor --spin-us \u{1b}[31m5\u{7}",
        "doctor --listen \u{9b}31m",
        "doctor --channel a\u{1b}b:x\u{1b}=1",
        "doctor --peer a\u{1b}b=1",
        "doctor --profile \u{1b}c",
        "doctor --spin\u{1b}[31m 5",
        "doc\u{1b}[31mtor",
        "status --node \u{1b}[31m",
        "status --admin /no/\u{1b}[2Jwhere",
        "node --admin \u{1b}/",
        "sim --fail \u{1b}[31m",
        "sim --nodes 20 --broadcasts 1 --plot /no/\u{1b}[2Jwhere.svg",
    ] {
        let output = overlane(arguments).output().expect("it runs");
        assert!(!output.status.success(), "{arguments:?}");
        let raw = |byte: &u8| byte.is_ascii_control() && *byte != b'\n';
        for said in [&output.stdout, &output.stderr] {
            let text = String::from_utf8_lossy(said);
            assert!(!said.iter().any(raw), "{arguments:?}: {text:?}");
            assert!(!text.contains('\u{9b}'), "{arguments:?}: {text:?}");
        }
    }
}
