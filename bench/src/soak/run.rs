//! A soak in its steps: processes, proxy, traffic with faults, the end of every message, the counts.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use overlane::config::Config;
use overlane_proxy::{Direction, Plan, Proxy};

use super::flags::{Reliability, SoakFlags};
use super::gaps::Stretch;
use super::ledger;
use super::outcome::Counted;
use super::protocol::{
    CHANNEL, Command, Delivered, Order, RECEIVER, ROLE, Reply, SENDER, Specification,
};
use crate::accounts::{Account, NodeAccounts};
use crate::child::Child;
use crate::error::{BenchError, Outcome};
use crate::interrupt;
use crate::node::settings::{self, Defaults};
use crate::progress::Progress;
use crate::shown::show;

/// How long senders may take to stop: what waits for a peer that is away waits for 30 s.
const STOP_WITHIN: Duration = Duration::from_secs(60);
/// How long messages may take to end after that.
const SETTLE_WITHIN: Duration = Duration::from_secs(60);
/// How long what was sent with best effort may take to arrive.
const ARRIVE_WITHIN: Duration = Duration::from_secs(3);
/// Between two looks at whether all is well.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Runs it and prints its result.
pub(crate) fn run(flags: &SoakFlags) -> Outcome<()> {
    flags.check()?;
    let common = configuration(flags)?;
    let seed = flags
        .seed
        .unwrap_or_else(|| RandomState::new().build_hasher().finish());
    if !flags.json {
        show!(
            "{} messages/s of {} bytes over a channel that is {}, for {} s, with {} cuts and {} stalls; seed {seed}",
            flags.rate,
            flags.payload,
            flags.reliability.word(),
            flags.seconds,
            flags.cuts,
            flags.stalls
        );
    }
    let counted = Soak::start(flags, &common)?.count(seed)?;
    let figures = counted.figures();
    if flags.json {
        show!("{}", figures.json_line());
    } else {
        figures.print();
        show!("{}", counted.sentence(flags.seconds));
    }
    let faults = counted.faults();
    if faults.is_empty() {
        return Ok(());
    }
    let faults = faults.join("; ");
    Err(BenchError::CheckFailed(format!("seed {seed}: {faults}")))
}

fn configuration(flags: &SoakFlags) -> Outcome<Config> {
    let reliability = flags.reliability.word();
    let channel = format!("{CHANNEL}:priority=medium,overflow=block,reliability={reliability}");
    settings::load(
        Defaults {
            places: false,
            node: &[],
            channels: &[&channel],
        },
        &flags.engine,
    )
}

/// Where a receiver notes what it has delivered; removed with the run.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn make() -> Outcome<Self> {
        let path = std::env::temp_dir().join(format!("overlane-soak-{}", std::process::id()));
        let mut remains = interrupt::remains();
        std::fs::create_dir(&path).map_err(BenchError::file("create", &path))?;
        remains.add_folder(&path);
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        interrupt::remains().forget_folder(&self.0);
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            let path = self.0.display();
            crate::shown::complain(format_args!("cannot remove {path}: {error}"));
        }
    }
}

/// The two processes and what is between them.
struct Soak<'a> {
    flags: &'a SoakFlags,
    common: &'a Config,
    sender: Child,
    receiver: Child,
    proxy: Proxy,
    /// Present where a receiver is killed.
    folder: Option<Folder>,
}

impl<'a> Soak<'a> {
    fn start(flags: &'a SoakFlags, common: &'a Config) -> Outcome<Self> {
        let folder = flags.kill_receiver.then(Folder::make).transpose()?;
        let ledger = folder.as_ref().map(|folder| folder.0.join("ledger"));
        let (receiver, at) = start_node(common, flags, RECEIVER, ledger)?;
        let (sender, _) = start_node(common, flags, SENDER, None)?;
        let proxy = Proxy::start(at).map_err(BenchError::system("starting the proxy"))?;
        for direction in Direction::BOTH {
            proxy.set_delay(direction, Duration::from_millis(flags.rtt_ms.into()) / 2);
        }
        Ok(Self {
            flags,
            common,
            sender,
            receiver,
            proxy,
            folder,
        })
    }

    fn count(mut self, seed: u64) -> Outcome<Counted> {
        let flags = self.flags;
        let order = Order {
            address: self.proxy.address(),
            hz: flags.rate / flags.senders,
            senders: flags.senders,
            payload_bytes: flags.payload,
        };
        done(
            self.sender
                .ask_within(&Command::Start(order), STOP_WITHIN)?,
        )?;
        let before = self.disturb(seed)?;
        done(self.sender.ask_within(&Command::Stop, STOP_WITHIN)?)?;
        let account = self.settle()?;
        let told = match self.sender.ask(&Command::Told)? {
            Reply::Told(told) => told,
            other => return Err(unexpected(&other)),
        };
        let engine_delivered = match before {
            Some(_) => None,
            None => {
                let accounts = accounts(&mut self.receiver)?;
                let into = accounts.find(SENDER, CHANNEL);
                Some(into.map_or(0, |account| account.delivered))
            }
        };
        let now = self.delivered()?;
        let mut gaps = now.gaps;
        let mut lives = vec![now.entries];
        if let Some(before) = before {
            let last_ns = before.iter().map(|entry| entry.last_ns).max();
            gaps.add(Stretch {
                begin_ns: last_ns.unwrap_or_default(),
                end_ns: gaps.first_ns,
            });
            lives.insert(0, before);
        }
        Ok(Counted {
            reliability: flags.reliability,
            untold_ms_max: flags.gap_ms_max.into(),
            account,
            lives,
            damaged: now.damaged,
            engine_delivered,
            gaps,
            told,
        })
    }

    /// Lets the proxy do its worst while messages are sent. Returns what a receiver that was killed had got.
    fn disturb(&mut self, seed: u64) -> Outcome<Option<Vec<ledger::Entry>>> {
        let flags = self.flags;
        let stall_max = Duration::from_millis(flags.stall_ms.into());
        let plan = Plan::new(
            seed,
            flags.each(flags.cuts),
            flags.each(flags.stalls),
            stall_max,
        );
        let plan = plan.take_while(|(at, _)| *at < flags.lasts());
        let over = AtomicBool::new(false);
        let goes_on = |at| {
            sleep_until(at, &over);
            !over.load(Ordering::Relaxed)
        };
        let Self {
            common,
            sender,
            receiver,
            proxy,
            folder,
            ..
        } = self;
        let proxy = &*proxy;
        std::thread::scope(|scope| {
            let playing = scope.spawn(|| proxy.play(plan, goes_on));
            let begin = Instant::now();
            let progress = Progress::of_steps("soak", flags.seconds.into());
            let half = watch(sender, &progress, begin, begin + flags.lasts() / 2);
            let killed = half.and_then(|()| match folder {
                None => Ok(None),
                Some(folder) => replace(common, flags, receiver, proxy, &folder.0).map(Some),
            });
            let watched = killed.and_then(|killed| {
                watch(sender, &progress, begin, begin + flags.lasts()).map(|()| killed)
            });
            over.store(watched.is_err(), Ordering::Relaxed);
            let panicked = |_| BenchError::Engine("the proxy panicked".into());
            playing.join().map_err(panicked)?;
            watched
        })
    }

    /// Waits until each message has ended.
    fn settle(&mut self) -> Outcome<Account> {
        let deadline = Instant::now() + SETTLE_WITHIN;
        loop {
            let accounts = accounts(&mut self.sender)?;
            let account = accounts.find(RECEIVER, CHANNEL).ok_or_else(|| {
                BenchError::CheckFailed("not one message was accepted".to_owned())
            })?;
            if account.is_settled() || Instant::now() > deadline {
                let account = account.clone();
                self.wait_for_arrivals(&account)?;
                return Ok(account);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What is not acknowledged may still be under way.
    fn wait_for_arrivals(&mut self, account: &Account) -> Outcome<()> {
        let deadline = Instant::now() + ARRIVE_WITHIN;
        while self.flags.reliability == Reliability::BestEffort && Instant::now() < deadline {
            let came = accounts(&mut self.receiver)?;
            if came.find(SENDER, CHANNEL).map(|into| into.delivered) == Some(account.sent) {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn delivered(&mut self) -> Outcome<Delivered> {
        match self.receiver.ask(&Command::Delivered)? {
            Reply::Delivered(Delivered {
                fault: Some(fault), ..
            }) => Err(BenchError::Engine(fault)),
            Reply::Delivered(delivered) => Ok(delivered),
            other => Err(unexpected(&other)),
        }
    }
}

fn start_node(
    common: &Config,
    flags: &SoakFlags,
    name: &str,
    ledger: Option<PathBuf>,
) -> Outcome<(Child, SocketAddr)> {
    let specification = Specification {
        settings: settings::as_configured(common, name),
        senders: flags.senders,
        ledger,
    };
    match Child::start(ROLE, name, &specification)? {
        (child, Reply::Listening(address)) => Ok((child, address)),
        (_, other) => Err(unexpected(&other)),
    }
}

/// Kills the receiver, and starts another in its place. Returns what the first had got.
fn replace(
    common: &Config,
    flags: &SoakFlags,
    receiver: &mut Child,
    proxy: &Proxy,
    folder: &Path,
) -> Outcome<Vec<ledger::Entry>> {
    receiver.kill()?;
    let before = ledger::read(&folder.join("ledger"))?;
    let next = folder.join("ledger-of-the-next");
    let (new, at) = start_node(common, flags, RECEIVER, Some(next))?;
    *receiver = new;
    proxy.set_target(at);
    Ok(before)
}

/// Waits until `end`, and looks after the sender meanwhile.
fn watch(sender: &mut Child, progress: &Progress, begin: Instant, end: Instant) -> Outcome<()> {
    while Instant::now() < end {
        std::thread::sleep(LOOK_EVERY.min(end.saturating_duration_since(Instant::now())));
        progress.reach(begin.elapsed().as_secs());
        accounts(sender)?;
    }
    Ok(())
}

/// Sleeps in short pieces: a run that fails does not wait for the end of its plan.
fn sleep_until(at: Instant, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let left = at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(LOOK_EVERY));
    }
}

fn accounts(child: &mut Child) -> Outcome<NodeAccounts> {
    match child.ask(&Command::Accounts)? {
        Reply::Accounts(accounts) => Ok(accounts),
        other => Err(unexpected(&other)),
    }
}

fn done(reply: Reply) -> Outcome<()> {
    match reply {
        Reply::Done => Ok(()),
        other => Err(unexpected(&other)),
    }
}

fn unexpected(reply: &Reply) -> BenchError {
    BenchError::Engine(format!(
        "a process of the soak answered {reply:?} to another question"
    ))
}
