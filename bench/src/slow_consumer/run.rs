//! The run in its phases: all read, one does not, all read again; and what it came to.

use std::time::{Duration, Instant};

use overlane::config::Config;
use serde::Serialize;

use super::flags::SlowConsumerFlags;
use super::protocol::{CHANNEL, Command, Order, ROLE, Receivers, Reply, SENDER, Specification};
use crate::accounts::{Account, NodeAccounts};
use crate::child::Child;
use crate::error::{BenchError, Outcome, unless_faulty};
use crate::latencies::Latencies;
use crate::node::settings::{self, Defaults};
use crate::pair::Spread;
use crate::progress::Progress;
use crate::sample::figure;
use crate::shown::show;
use crate::table;

/// Lanes of a thousand peers come up within this.
const START_WITHIN: Duration = Duration::from_secs(90);
/// How long what waits may take to arrive when the consumer reads again.
const ARRIVE_WITHIN: Duration = Duration::from_secs(60);
/// Length of a window whose latencies are judged.
const WINDOW: Duration = Duration::from_secs(1);
/// Time until caches, allocators and connections have what they need.
const WARM_UP: Duration = Duration::from_secs(3);

/// The figures; their names are a promise to scripts.
#[derive(Debug, Serialize)]
struct Figures {
    /// What both processes grew by while the consumer was stopped, beyond the most that they took before.
    rss_growth_bytes: u64,
    /// What of that is the heap's in use, at its highest: the rest is the allocator's, of threads' stacks and of pages touched first.
    heap_growth_bytes: u64,
    /// What one peer may cost: the log of its lane at the sender, the inbox at the receiver.
    budget_bytes: u64,
    /// The others' p99 while it was stopped, to that before and after.
    others_p99_ratio: f64,
}

/// Runs it and prints its result.
pub(crate) fn run(flags: &SlowConsumerFlags) -> Outcome<()> {
    flags.check()?;
    let common = configuration(flags)?;
    let mut run = Run::start(flags, &common)?;
    let (measured, faults) = run.measure(&common)?;
    let figures = measured.figures()?;
    if flags.json {
        let line = serde_json::to_string(&figures).expect("figures are numbers");
        show!("{line}");
    } else {
        measured.print(&figures, flags)?;
    }
    unless_faulty(&faults)
}

fn configuration(flags: &SlowConsumerFlags) -> Outcome<Config> {
    let channel = format!("{CHANNEL}:priority=medium,reliability=guaranteed");
    settings::load(
        Defaults {
            places: false,
            // So many nodes share the cores: one that spins takes the time of those that have work.
            node: &[("shards", "1"), ("spin_us", "0")],
            channels: &[&settings::wide_enough(channel, flags.payload)],
        },
        &flags.engine,
    )
}

struct Run<'a> {
    flags: &'a SlowConsumerFlags,
    names: Vec<String>,
    sender: Child,
    receivers: Child,
}

/// All windows, and the memory.
struct Measured {
    reading: Vec<f64>,
    stopped: Vec<f64>,
    growth_bytes: [u64; 2],
    heap_growth_bytes: [u64; 2],
    budget_bytes: u64,
    account: Account,
}

/// One look at both processes.
struct Look {
    resident_bytes: [u64; 2],
    heap_bytes: [u64; 2],
    p99_us: Option<f64>,
    accounts: NodeAccounts,
    receivers: Receivers,
}

impl<'a> Run<'a> {
    fn start(flags: &'a SlowConsumerFlags, common: &Config) -> Outcome<Self> {
        let names: Vec<String> = (0..flags.peers).map(|peer| format!("p{peer}")).collect();
        let settings = names.iter();
        let settings = settings.map(|name| settings::as_configured(common, name));
        let specification = Specification::Receivers(settings.collect());
        let (receivers, reply) = Child::start(ROLE, "receivers", &specification)?;
        let Reply::Listening(addresses) = reply else {
            return Err(unexpected(&reply));
        };
        let specification = Specification::Sender(settings::as_configured(common, SENDER));
        let (mut sender, _) = Child::start::<_, Reply>(ROLE, "sender", &specification)?;
        let order = Order {
            peers: names.iter().cloned().zip(addresses).collect(),
            hz: flags.rate,
            payload_bytes: flags.payload,
            others_hz: flags.others_rate,
        };
        done(sender.ask_within(&Command::Start(order), START_WITHIN)?)?;
        Ok(Self {
            flags,
            names,
            sender,
            receivers,
        })
    }

    fn measure(&mut self, common: &Config) -> Outcome<(Measured, Vec<String>)> {
        let stopped_windows = u64::from(self.flags.seconds);
        // What is in use at most depends on how long one looks: as long as while it is stopped, up to a minute.
        let reading_windows = stopped_windows.clamp(3, 60);
        let progress = Progress::of_steps("slow-consumer", stopped_windows + 2 * reading_windows);
        std::thread::sleep(WARM_UP);
        self.look()?;
        progress.say("all read");
        let (mut reading, mut stopped) = (Vec::new(), Vec::new());
        // What is in use goes up and down with what is under way: the most of it is what more is held against.
        let (mut resident_bytes, mut heap_bytes) = ([0; 2], [0; 2]);
        for _ in 0..reading_windows {
            let look = self.window(&progress)?;
            reading.extend(look.p99_us);
            raise(&mut resident_bytes, [0; 2], look.resident_bytes);
            raise(&mut heap_bytes, [0; 2], look.heap_bytes);
        }
        let (mut growth_bytes, mut heap_growth_bytes) = ([0; 2], [0; 2]);
        progress.say("one does not read");
        done(self.receivers.ask(&Command::Read(false))?)?;
        for _ in 0..stopped_windows {
            let look = self.window(&progress)?;
            stopped.extend(look.p99_us);
            raise(&mut growth_bytes, resident_bytes, look.resident_bytes);
            raise(&mut heap_growth_bytes, heap_bytes, look.heap_bytes);
        }
        progress.say("all read again");
        done(self.receivers.ask(&Command::Read(true))?)?;
        let rate = u64::from(self.flags.rate);
        self.wait_for_arrivals(|_, slow| slow.under_way < rate)?;
        self.look()?;
        for _ in 0..reading_windows {
            reading.extend(self.window(&progress)?.p99_us);
        }
        drop(progress);
        done(self.sender.ask(&Command::Stop)?)?;
        let end = self.wait_for_arrivals(|all, _| all.is_settled())?;
        let faults = self.faults(&end);
        let account = self.slow_account(&end.accounts)?.clone();
        let measured = Measured {
            reading,
            stopped,
            growth_bytes,
            heap_growth_bytes,
            budget_bytes: budget_bytes(common),
            account,
        };
        Ok((measured, faults))
    }

    fn window(&mut self, progress: &Progress) -> Outcome<Look> {
        std::thread::sleep(WINDOW);
        progress.step();
        self.look()
    }

    fn look(&mut self) -> Outcome<Look> {
        let receivers = match self.receivers.ask(&Command::Look)? {
            Reply::Receivers(receivers) => receivers,
            other => return Err(unexpected(&other)),
        };
        let (resident_bytes, heap_bytes, accounts) = match self.sender.ask(&Command::Look)? {
            Reply::Sender {
                resident_bytes,
                heap_bytes,
                accounts,
            } => (resident_bytes, heap_bytes, accounts),
            other => return Err(unexpected(&other)),
        };
        let mut latencies = Latencies::default();
        latencies.add(&receivers.others);
        let p99_us = (latencies.count() > 0).then(|| latencies.percentile_us(99.0));
        Ok(Look {
            resident_bytes: [resident_bytes, receivers.resident_bytes],
            heap_bytes: [heap_bytes, receivers.heap_bytes],
            p99_us,
            accounts,
            receivers,
        })
    }

    fn slow_account<'b>(&self, accounts: &'b NodeAccounts) -> Outcome<&'b Account> {
        let account = accounts.find(&self.names[0], CHANNEL);
        account.ok_or_else(|| BenchError::CheckFailed("nothing was accepted".into()))
    }

    /// Waits until the sender is that far, by all accounts and that of the slow peer, and its consumer too; or
    /// for as long as that may take.
    fn wait_for_arrivals(
        &mut self,
        is_enough: impl Fn(&NodeAccounts, &Account) -> bool,
    ) -> Outcome<Look> {
        let deadline = Instant::now() + ARRIVE_WITHIN;
        loop {
            let look = self.look()?;
            let account = self.slow_account(&look.accounts)?;
            let is_consumed = look.receivers.consumed >= account.acknowledged;
            if is_enough(&look.accounts, account) && is_consumed || Instant::now() > deadline {
                return Ok(look);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What is wrong at the end, each in a sentence.
    fn faults(&self, end: &Look) -> Vec<String> {
        let mut faults = Vec::new();
        for account in &end.accounts.accounts {
            let fault = account.sender_fault();
            faults.extend(fault.map(|fault| format!("to {}: {fault}", account.peer)));
            if account.reported > 0 {
                let Account { peer, reported, .. } = account;
                faults.push(format!("{reported} messages to {peer} were reported"));
            }
        }
        let Receivers {
            disorders,
            consumed,
            faults: wrong,
            ..
        } = end.receivers;
        if disorders > 0 {
            faults.push(format!(
                "{disorders} messages to others came damaged or out of order"
            ));
        }
        if wrong > 0 {
            faults.push(format!(
                "{wrong} messages to the slow consumer are damaged, doubled, late or missing"
            ));
        }
        let accepted = end.accounts.find(&self.names[0], CHANNEL);
        let accepted = accepted.map_or(0, |account| account.accepted);
        if consumed != accepted {
            faults.push(format!(
                "the slow consumer got {consumed} of {accepted} messages"
            ));
        }
        faults
    }
}

/// What each process has grown by since `before`, at most.
fn raise(growth: &mut [u64; 2], before: [u64; 2], now: [u64; 2]) {
    for (process, growth) in growth.iter_mut().enumerate() {
        *growth = now[process].saturating_sub(before[process]).max(*growth);
    }
}

/// What one peer may cost both processes.
fn budget_bytes(common: &Config) -> u64 {
    let logs = common.channels.iter();
    let logs = logs.filter(|channel| channel.name == CHANNEL);
    let log_bytes: usize = logs.map(|channel| channel.log_bytes_max).sum();
    (log_bytes + common.inbox_bytes) as u64
}

impl Measured {
    fn figures(&self) -> Outcome<Figures> {
        let median = |windows: &[f64]| {
            let spread = Spread::of(windows.iter().copied());
            let none = || BenchError::CheckFailed("a window without messages".into());
            spread.map(|spread| spread.median).ok_or_else(none)
        };
        let ratio = median(&self.stopped)? / median(&self.reading)?;
        Ok(Figures {
            rss_growth_bytes: self.growth_bytes.iter().sum(),
            heap_growth_bytes: self.heap_growth_bytes.iter().sum(),
            budget_bytes: self.budget_bytes,
            others_p99_ratio: (ratio * 1e3).round() / 1e3,
        })
    }

    fn print(&self, figures: &Figures, flags: &SlowConsumerFlags) -> Outcome<()> {
        show!(
            "one of {} peers does not read for {} s",
            flags.peers,
            flags.seconds
        );
        let row = |name: &str, windows: &[f64]| {
            let none = || BenchError::CheckFailed("a window without messages".into());
            let spread = Spread::of(windows.iter().copied()).ok_or_else(none)?;
            let cells = [spread.median, spread.min, spread.max].map(table::number);
            Ok::<_, BenchError>([&[name.to_owned()][..], &cells].concat())
        };
        let rows = [
            row("all read", &self.reading)?,
            row("one does not", &self.stopped)?,
        ];
        let header = ["p99 of windows, others", "median us", "least us", "most us"];
        show!("{}", table::of(&header, &rows));
        let shown = |growth: [u64; 2]| growth.map(|bytes| table::number(figure(bytes)));
        let [sender, receivers] = shown(self.growth_bytes);
        let [sender_heap, receivers_heap] = shown(self.heap_growth_bytes);
        show!(
            "ratio {}; resident memory grew by {sender} bytes at the sender and {receivers} at the receivers \
             (heap in use {sender_heap} and {receivers_heap}), budget {}; {} messages to the slow consumer, all of which came",
            figures.others_p99_ratio,
            table::number(figure(figures.budget_bytes)),
            self.account.accepted
        );
        Ok(())
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
        "a process of the test answered {reply:?} to another question"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_the_promised_ones() {
        let figures = Figures {
            rss_growth_bytes: 1,
            heap_growth_bytes: 3,
            budget_bytes: 2,
            others_p99_ratio: 1.5,
        };
        let line = serde_json::to_string(&figures).unwrap();
        assert_eq!(
            line,
            r#"{"rss_growth_bytes":1,"heap_growth_bytes":3,"budget_bytes":2,"others_p99_ratio":1.5}"#
        );
    }
}
