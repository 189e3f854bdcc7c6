//! `docs/getting-started.md`, run as it stands: every command of it, and what it prints.
//!
//! A block is what happens in terminals: `terminal-N$ ` before a command, `terminal-N: ` before a line that comes in a
//! terminal in which a command goes on, no mark before lines of the last command. Ports are others, and numbers may be.

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use support::{GENEROUS, Home};

/// A line of a block.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// In that terminal, so many words.
    Command(String, Vec<String>),
    /// What is printed in that terminal.
    Line(String, String),
}

/// The blocks of the document, one after the other.
fn steps() -> Vec<Step> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/getting-started.md");
    let document = std::fs::read_to_string(path).expect("it is there");
    let mut steps = Vec::new();
    let (mut is_within, mut last) = (false, String::new());
    for line in document.lines() {
        match line {
            "```console" => is_within = true,
            "```" => is_within = false,
            line if is_within => {
                let marked = |mark: &str| {
                    let (terminal, rest) = line.split_once(mark)?;
                    let is_terminal = terminal
                        .strip_prefix("terminal-")
                        .is_some_and(|number| number.len() == 1);
                    is_terminal.then(|| (terminal.to_owned(), rest))
                };
                if let Some((terminal, command)) = marked("$ ") {
                    last.clone_from(&terminal);
                    steps.push(Step::Command(terminal, words(command)));
                } else if let Some((terminal, line)) = marked(": ") {
                    steps.push(Step::Line(terminal, line.to_owned()));
                } else {
                    steps.push(Step::Line(last.clone(), line.to_owned()));
                }
            }
            _ => {}
        }
    }
    steps
}

/// The words of a command, as a shell has them.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for character in command.chars() {
        match character {
            '"' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            character => words.last_mut().expect("there is one").push(character),
        }
    }
    words
}

/// What matters of a line: each number is like any other, and so are spaces.
fn essence(line: &str) -> String {
    let mut essence = String::new();
    for character in line.chars() {
        let character = if character.is_ascii_digit() {
            '0'
        } else {
            character
        };
        let repeats = essence.ends_with(character) && matches!(character, '0' | ' ');
        // 118.2 and 118 are numbers too.
        let is_fraction = character == '.' && essence.ends_with('0');
        if !(repeats || is_fraction) {
            essence.push(character);
        }
    }
    while essence.contains("00") {
        essence = essence.replace("00", "0");
    }
    essence
}

/// Whether a line is as the document has it, which may leave out its end.
fn fits(line: &str, expected: &str) -> bool {
    match expected.strip_suffix("...") {
        Some(begin) => essence(line).starts_with(&essence(begin)),
        None => essence(line) == essence(expected),
    }
}

/// A terminal in which a command goes on.
struct Terminal {
    process: Child,
    lines: Receiver<String>,
    /// What came and was not asked for yet.
    seen: Vec<String>,
}

impl Terminal {
    fn start(mut command: Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let output = process.stdout.take().expect("a pipe");
        let (to, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::<ChildStdout>::new(output)
                .lines()
                .map_while(Result::ok)
            {
                drop(to.send(line));
            }
        });
        Self {
            process,
            lines,
            seen: Vec::new(),
        }
    }

    /// Waits for a line; others may come before it.
    fn shows(&mut self, expected: &str) {
        let deadline = Instant::now() + GENEROUS;
        loop {
            if let Some(place) = self.seen.iter().position(|line| fits(line, expected)) {
                self.seen.remove(place);
                return;
            }
            match self
                .lines
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => self.seen.push(line),
                Err(_) => panic!("{expected:?} did not come; what came: {:#?}", self.seen),
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The document's ports are of one machine, these are free here.
fn free_ports() -> BTreeMap<String, String> {
    let taken: Vec<_> = (1..=3)
        .map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"))
        .collect();
    let ports = taken
        .iter()
        .map(|listener| listener.local_addr().expect("it is bound").port());
    let ports = ports.enumerate();
    ports
        .map(|(index, port)| (format!(":740{}", index + 1), format!(":{port}")))
        .collect()
}

#[test]
fn the_document_is_what_happens() {
    let home = Home::new("start");
    let ports = free_ports();
    let here = |text: &str| {
        let mut text = text.to_owned();
        for (there, here) in &ports {
            text = text.replace(there, here);
        }
        text
    };
    let mut terminals: BTreeMap<String, Terminal> = BTreeMap::new();
    // What the last command that has ended printed, in its terminal.
    let (mut printed, mut foreground) = (Vec::new().into_iter(), String::new());
    let steps = steps();
    let commands = steps
        .iter()
        .filter(|step| matches!(step, Step::Command(..)));
    assert!(commands.count() > 10, "the document has lost its commands");
    for step in steps {
        match step {
            Step::Command(terminal, words) => {
                assert_eq!(
                    printed.next(),
                    None::<String>,
                    "more is printed than the document says"
                );
                let words: Vec<_> = words.iter().map(|word| here(word)).collect();
                assert_eq!(words[0], "overlane");
                let words: Vec<_> = words[1..].iter().map(String::as_str).collect();
                if words[0] == "node" {
                    // One thread each is enough here.
                    let words = [&words[..], &["--shards", "1"]].concat();
                    terminals.insert(terminal, Terminal::start(home.command(&words)));
                } else if words.contains(&"--follow") {
                    terminals.insert(terminal, follow(&home, &words));
                } else {
                    let lines: Vec<_> = home.text(&words).lines().map(str::to_owned).collect();
                    (printed, foreground) = (lines.into_iter(), terminal);
                }
            }
            Step::Line(terminal, line) if terminal == foreground => {
                let next = printed.next().unwrap_or_default();
                assert!(
                    fits(&next, &line),
                    "printed {next:?}, where the document says {line:?}"
                );
            }
            Step::Line(terminal, line) => {
                let terminal = terminals.get_mut(&terminal);
                terminal.expect("a command runs there").shows(&line);
            }
        }
    }
    assert_eq!(printed.next(), None);
}

/// Returns once nothing that happens is missed.
fn follow(home: &Home, words: &[&str]) -> Terminal {
    let mut command = home.command(words);
    let mut terminal = Terminal::start({
        command.stderr(Stdio::piped());
        command
    });
    let errors = terminal.process.stderr.take().expect("a pipe");
    let mut line = String::new();
    BufReader::new(errors).read_line(&mut line).expect("text");
    assert!(line.contains("from now on"), "{line}");
    terminal
}

#[test]
fn numbers_and_spaces_do_not_matter_and_words_do() {
    assert!(fits("1  c  83.25 us", "1  c  118.2 us"));
    assert!(fits(
        "b    alive  127.0.0.1:40123    7",
        "b  alive  127.0.0.1:7402  1795680171363"
    ));
    assert!(!fits(
        "b    down  127.0.0.1:40123    7",
        "b  alive  127.0.0.1:7402  1795680171363"
    ));
    assert!(fits("admin socket /tmp/x", "admin socket ..."));
    assert_eq!(
        words("send c \"hello, c\" x"),
        ["send", "c", "hello, c", "x"]
    );
}
