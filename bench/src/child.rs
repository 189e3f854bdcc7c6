//! Child processes: started, asked and ended by the parent over their standard streams.
//!
//! A child is this same binary with a hidden subcommand. It gets one specification line, then commands,
//! each answered by one line; all lines are JSON. It ends when its input closes, and the kernel kills
//! it when the parent dies, so an interrupted run leaves no process behind. Parents start children on
//! their main thread only: the death signal is tied to the thread that forked.

use std::io::{BufRead, BufReader, Lines, StdinLock, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{BenchError, Outcome};
use crate::exit::Exit;
use crate::interrupt;

/// How long a child may take for an answer that needs no waiting of its own.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How long a child may take to end after its input closed, before it is killed.
const END_WITHIN: Duration = Duration::from_secs(3);

/// The first argument of a child: how `main` knows that it is one.
pub(crate) const SUBCOMMAND: &str = "child";

/// What a child says to a command.
#[derive(Debug, Serialize, Deserialize)]
enum Answer<T> {
    Done(T),
    Failed { exit: Exit, detail: String },
}

/// A running child.
#[derive(Debug)]
pub(crate) struct Child {
    name: String,
    process: std::process::Child,
    commands: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl Child {
    /// Starts this binary in `role` and waits for its first answer, to its specification.
    pub(crate) fn start<S, R>(role: &str, name: &str, specification: &S) -> Outcome<(Self, R)>
    where
        S: Serialize,
        R: DeserializeOwned,
    {
        let name = format!("{role} {name}");
        let own = std::env::current_exe().map_err(BenchError::system("finding this binary"))?;
        let mut remains = interrupt::remains();
        let mut process = Command::new(own)
            .args([SUBCOMMAND, role, &std::process::id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(BenchError::system("starting a child process"))?;
        remains.add_child(process.id());
        drop(remains);
        let commands = process.stdin.take();
        let output = process
            .stdout
            .take()
            .expect("the output was asked to be a pipe");
        let (lines, answers) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    return;
                }
            }
        });
        let mut child = Self {
            name,
            process,
            commands,
            answers,
        };
        let first = child.ask(specification)?;
        Ok((child, first))
    }

    /// Gives a command and waits for its answer.
    pub(crate) fn ask<C: Serialize, R: DeserializeOwned>(&mut self, command: &C) -> Outcome<R> {
        self.ask_within(command, ANSWER_WITHIN)
    }

    /// The same, for commands that run for a while.
    pub(crate) fn ask_within<C, R>(&mut self, command: &C, within: Duration) -> Outcome<R>
    where
        C: Serialize,
        R: DeserializeOwned,
    {
        self.tell(command)?;
        self.answer(within)
    }

    /// Gives a command; the answer must be fetched before the next one.
    pub(crate) fn tell<C: Serialize>(&mut self, command: &C) -> Outcome<()> {
        let mut line = serde_json::to_string(command).expect("commands are plain data");
        line.push('\n');
        let written = match &mut self.commands {
            Some(pipe) => pipe.write_all(line.as_bytes()),
            None => Ok(()),
        };
        written.map_err(|error| self.gone(&error.to_string()))
    }

    /// Waits for the answer to the last command.
    pub(crate) fn answer<R: DeserializeOwned>(&mut self, within: Duration) -> Outcome<R> {
        let line = self
            .answers
            .recv_timeout(within)
            .map_err(|error| match error {
                RecvTimeoutError::Timeout => BenchError::ChildSilent {
                    name: self.name.clone(),
                    within,
                },
                RecvTimeoutError::Disconnected => self.gone("its output ended"),
            })?;
        let name = || self.name.clone();
        match serde_json::from_str(&line) {
            Ok(Answer::Done(answer)) => Ok(answer),
            Ok(Answer::Failed { exit, detail }) => Err(BenchError::ChildFailed {
                name: name(),
                exit,
                detail,
            }),
            Err(error) => Err(BenchError::ChildFailed {
                name: name(),
                exit: Exit::Failed,
                detail: format!("an answer that cannot be read ({error}): {line}"),
            }),
        }
    }

    /// Kills it, as the kernel does when memory runs out, and waits until it is gone.
    pub(crate) fn kill(&mut self) -> Outcome<()> {
        let killed = self.process.kill().and_then(|()| self.process.wait());
        killed
            .map(drop)
            .map_err(BenchError::system("killing a process"))
    }

    /// Stops it where it is, as SIGSTOP does, or lets it go on. It is not told of either.
    pub(crate) fn set_running(&self, running: bool) -> Outcome<()> {
        let signal = if running {
            Signal::SIGCONT
        } else {
            Signal::SIGSTOP
        };
        let id = i32::try_from(self.process.id()).map(Pid::from_raw);
        let id = id.expect("the kernel's process ids fit");
        kill(id, signal).map_err(|errno| BenchError::system("signalling a process")(errno.into()))
    }

    fn gone(&self, detail: &str) -> BenchError {
        BenchError::ChildGone {
            name: self.name.clone(),
            detail: detail.to_owned(),
        }
    }
}

impl Drop for Child {
    /// Closes the input, which ends the child; kills it when that takes too long.
    fn drop(&mut self) {
        interrupt::remains().forget_child(self.process.id());
        drop(self.commands.take());
        let deadline = Instant::now() + END_WITHIN;
        while Instant::now() < deadline {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        // Both fail only when the child has ended meanwhile, which is what is wanted.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The child's end of the pipes.
#[derive(Debug)]
pub(crate) struct Parent {
    lines: Lines<StdinLock<'static>>,
}

impl Parent {
    /// Ties this process to the parent that started it, and opens the pipes.
    pub(crate) fn of_this_process(parent: i32) -> Outcome<Self> {
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
            .map_err(|errno| BenchError::system("asking for a death signal")(errno.into()))?;
        if nix::unistd::getppid().as_raw() != parent {
            return Err(BenchError::BadInput(
                "a child is started by overlane-bench itself; run a subcommand of --help".into(),
            ));
        }
        Ok(Self {
            lines: std::io::stdin().lines(),
        })
    }

    /// The next command; `None` when the parent closed the pipe: time to end.
    pub(crate) fn next<C: DeserializeOwned>(&mut self) -> Option<Outcome<C>> {
        let line = self.lines.next()?.ok()?;
        Some(serde_json::from_str(&line).map_err(|error| {
            BenchError::BadInput(format!("a command that cannot be read ({error}): {line}"))
        }))
    }

    /// Answers the last command.
    pub(crate) fn answer<R: Serialize>(&mut self, outcome: Outcome<R>) {
        let answer = match outcome {
            Ok(done) => Answer::Done(done),
            Err(error) => Answer::Failed {
                exit: error.exit(),
                detail: error.to_string(),
            },
        };
        let mut line = serde_json::to_string(&answer).expect("answers are plain data");
        line.push('\n');
        let mut output = std::io::stdout().lock();
        // A parent that no longer reads has ended, and the death signal is under way.
        drop(
            output
                .write_all(line.as_bytes())
                .and_then(|()| output.flush()),
        );
    }

    /// Answers commands until the parent closes the pipe.
    pub(crate) fn serve<C, R>(mut self, mut obey: impl FnMut(C) -> Outcome<R>)
    where
        C: DeserializeOwned,
        R: Serialize,
    {
        while let Some(command) = self.next() {
            self.answer(command.and_then(&mut obey));
        }
    }
}
