//! `overlane proxy`: a TCP proxy between two nodes that does what networks do. The proxy itself is the crate
//! `overlane-proxy`; this reads flags, ends it in time, and says what it has done.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use overlane_proxy::{Act, Counts, Direction, Plan, Proxy, Rate};
use serde_json::json;

use crate::ending::{Ending, NotWritten, complain, ended, print, told};
use crate::interrupt::{interruption, is_quiet_until};

/// Passes TCP connections on, delayed, throttled, stalled, cut or damaged.
///
/// Prints where it listens, and what it has done when it ends: after --seconds, or by Ctrl-C. Exits with 0 then.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where to dial instead of the target
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// The target
    #[arg(long, value_name = "ADDRESS:PORT")]
    to: SocketAddr,
    /// Time there and back that is added, half of it each way
    #[arg(long, value_name = "MILLISECONDS", value_parser = milliseconds)]
    rtt_ms: Option<Duration>,
    /// Time that is added on the way to the target, in place of half of --rtt-ms
    #[arg(long, value_name = "MILLISECONDS", value_parser = milliseconds)]
    delay_to_ms: Option<Duration>,
    /// Time that is added on the way back, in place of half of --rtt-ms
    #[arg(long, value_name = "MILLISECONDS", value_parser = milliseconds)]
    delay_from_ms: Option<Duration>,
    /// What passes each way in a second, over all connections, such as 100mbit
    #[arg(long)]
    rate: Option<Rate>,
    /// Cuts all connections once in each stretch of so many milliseconds
    #[arg(long, value_name = "MILLISECONDS", value_parser = milliseconds)]
    cut_every_ms: Option<Duration>,
    /// Cuts each connection when so many bytes have passed in one direction
    #[arg(long, value_name = "BYTES")]
    cut_after_bytes: Option<NonZeroU64>,
    /// Passes nothing on for a while, once in each stretch of so many milliseconds
    #[arg(long, value_name = "MILLISECONDS", value_parser = milliseconds)]
    stall_every_ms: Option<Duration>,
    /// How long a stall lasts: from a tenth of it to all of it
    #[arg(long, default_value = "500", value_name = "MILLISECONDS", value_parser = milliseconds)]
    stall_ms: Duration,
    /// Flips one bit in one of so many bytes, on average
    #[arg(long, value_name = "BYTES")]
    corrupt_every_bytes: Option<NonZeroU64>,
    /// When one end closes a connection, the other is not told
    #[arg(long)]
    half_open: bool,
    /// What is random follows from it [default: another one each time]
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Ends after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    seconds: Option<Duration>,
    /// Print one JSON object at the begin and one at the end, each on a line
    #[arg(long)]
    json: bool,
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    time(text, 1e3, "give 0 to 3600000 milliseconds")
}

fn seconds(text: &str) -> Result<Duration, String> {
    time(text, 1.0, "give 0 to 3600 seconds")
}

fn time(text: &str, per_second: f64, right: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().map_err(|_| right)? / per_second;
    if (0.0..=3_600.0).contains(&seconds) {
        return Ok(Duration::from_secs_f64(seconds));
    }
    Err(right.to_owned())
}

/// Runs the proxy until it is time.
pub(crate) fn run(arguments: &Arguments) -> Ending {
    // Before any other thread: they inherit that signals wait.
    let interrupted = match interruption() {
        Ok(interrupted) => interrupted,
        Err(failure) => return told("proxy", Err(failure)),
    };
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    let proxy = match Proxy::listen(arguments.listen, arguments.to, seed) {
        Ok(proxy) => proxy,
        Err(error) => {
            let at = arguments.listen;
            complain(format_args!(
                "overlane: cannot listen at {at}: {error}; name another place with --listen"
            ));
            return Ending::MachineLacks;
        }
    };
    set(&proxy, arguments);
    if let Err(error) = print(&beginning(&proxy, arguments, seed)) {
        return ended(Err(error), Ending::Done);
    }
    let begin = Instant::now();
    let end = arguments.seconds.map(|lasts| begin + lasts);
    proxy.play(plan(arguments, seed), |at| {
        let over = end.filter(|end| *end < at);
        is_quiet_until(&interrupted, over.unwrap_or(at)) && over.is_none()
    });
    ended(say(&proxy, arguments, begin), Ending::Done)
}

/// What to do when. Without cuts and stalls, one act that never comes: the proxy waits for its end.
fn plan(arguments: &Arguments, seed: u64) -> impl Iterator<Item = (Duration, Act)> {
    let Arguments {
        cut_every_ms,
        stall_every_ms,
        stall_ms,
        ..
    } = arguments;
    let never = (Duration::from_secs(1 << 32), Act::Resume);
    Plan::new(seed, *cut_every_ms, *stall_every_ms, *stall_ms).chain([never])
}

fn set(proxy: &Proxy, arguments: &Arguments) {
    let half = arguments.rtt_ms.unwrap_or_default() / 2;
    let delays = [arguments.delay_to_ms, arguments.delay_from_ms];
    for (direction, delay) in Direction::BOTH.into_iter().zip(delays) {
        proxy.set_delay(direction, delay.unwrap_or(half));
        proxy.set_rate(direction, arguments.rate.map(Rate::bytes_per_s));
    }
    proxy.set_corrupt_every(arguments.corrupt_every_bytes);
    proxy.cut_each_after(arguments.cut_after_bytes.map_or(0, NonZeroU64::get));
    if arguments.half_open {
        proxy.keep_half_open();
    }
}

fn beginning(proxy: &Proxy, arguments: &Arguments, seed: u64) -> String {
    let (at, to) = (proxy.address(), arguments.to);
    if arguments.json {
        return format!("{}\n", json!({"listen": at, "to": to, "seed": seed}));
    }
    format!("listening at {at}, passing on to {to}; seed {seed}\n")
}

fn say(proxy: &Proxy, arguments: &Arguments, begin: Instant) -> Result<(), NotWritten> {
    let lasted_s = begin.elapsed().as_secs_f64();
    let Counts {
        connections,
        unreachable,
        cut,
        stalls,
        bytes_to_target,
        bytes_from_target,
        corrupted_bytes,
        ..
    } = proxy.counts();
    if arguments.json {
        let object = json!({
            "seconds": (lasted_s * 1e3).round() / 1e3,
            "connections": connections,
            "unreachable": unreachable,
            "cut": cut,
            "stalls": stalls,
            "bytes_to_target": bytes_to_target,
            "bytes_from_target": bytes_from_target,
            "corrupted_bytes": corrupted_bytes,
        });
        return print(&format!("{object}\n"));
    }
    print(&format!(
        "{lasted_s:.1} s: {connections} connections ({unreachable} more found no target), {cut} cut, \
         {stalls} stalls, {bytes_to_target} bytes to the target, {bytes_from_target} back, \
         {corrupted_bytes} damaged\n"
    ))
}
