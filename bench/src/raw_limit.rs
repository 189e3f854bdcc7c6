//! `overlane-bench raw`: the limit alone, as three results.

use crate::error::{BenchError, Outcome};
use crate::flags::{self, RawFlags};
use crate::latencies::Latencies;
use crate::pair::Spread;
use crate::progress::Progress;
use crate::raw::pair::RawPair;
use crate::record::Record;
use crate::remote::site::Hosts;
use crate::sample::Window;
use crate::shown::show;
use crate::table;

/// One-way frames, blocking ping-pong and busy ping-pong, each in as many windows as pairs were asked.
pub(crate) fn run(flags: &RawFlags) -> Outcome<()> {
    flags::check_payload("--payload", flags.payload)?;
    flags.pair.check()?;
    Hosts::with(flags.pair.remote.as_deref(), |hosts| measure(hosts, flags))
}

fn measure(hosts: &Hosts, flags: &RawFlags) -> Outcome<()> {
    let mut raw = RawPair::on_cores(hosts, flags.pair.cores(), flags.pair.raw_batch_kib)?;
    let progress = Progress::of_steps("raw", 3 * u64::from(flags.pair.pairs));
    let (warm_up, measure) = (flags.pair.warm_up(), flags.pair.measure());
    let mut windows = Vec::new();
    let (mut blocking, mut busy) = (Vec::new(), Vec::new());
    for _ in 0..flags.pair.pairs {
        progress.say("one way");
        windows.push(raw.stream(flags.payload, warm_up, measure)?);
        progress.step();
        for (spins, into) in [(false, &mut blocking), (true, &mut busy)] {
            progress.say(if spins {
                "busy ping-pong"
            } else {
                "blocking ping-pong"
            });
            into.push(raw.ping(flags.payload, spins, warm_up, measure)?);
            progress.step();
        }
    }
    drop(progress);
    let payload_bytes = flags.payload as u64;
    let results = [
        stream_result(payload_bytes, &windows)?,
        ping_result("raw-ping-pong-blocking", payload_bytes, &blocking)?,
        ping_result("raw-ping-pong-busy", payload_bytes, &busy)?,
    ];
    for (record, spread) in &results {
        if flags.pair.json {
            show!("{}", record.json_line());
        } else {
            print_result(record, *spread);
        }
    }
    if !flags.pair.json {
        let all = windows.iter().copied().fold(Window::default(), Window::and);
        show!(
            "one way, {}",
            table::cpu(all.cpu_shares(), hosts.far_host())
        );
    }
    Ok(())
}

fn stream_result(payload_bytes: u64, windows: &[Window]) -> Outcome<(Record, Spread)> {
    let rates = Spread::of(windows.iter().map(Window::messages_per_s)).ok_or_else(no_windows)?;
    let mib = Spread::of(windows.iter().map(Window::mib_per_s)).ok_or_else(no_windows)?;
    let all = windows.iter().copied().fold(Window::default(), Window::and);
    let record = Record {
        test: "raw-throughput".into(),
        payload_bytes: Some(payload_bytes),
        messages_per_s: Some(rates.median),
        mib_per_s: Some(mib.median),
        cpu_ns_per_message: Some(all.per_message(all.cpu_ns())),
        ..Record::default()
    }
    .with_cpu(all.cpu_shares());
    Ok((record, rates))
}

fn ping_result(test: &str, payload_bytes: u64, windows: &[Latencies]) -> Outcome<(Record, Spread)> {
    let median = |percent| Spread::of(windows.iter().map(|window| window.percentile_us(percent)));
    let p50 = median(50.0).ok_or_else(no_windows)?;
    let record = Record {
        test: test.into(),
        payload_bytes: Some(payload_bytes),
        p50_us: Some(p50.median),
        p99_us: median(99.0).map(|spread| spread.median),
        p999_us: median(99.9).map(|spread| spread.median),
        ..Record::default()
    };
    Ok((record, p50))
}

fn no_windows() -> BenchError {
    BenchError::CheckFailed("no raw message arrived within a window; give longer --seconds".into())
}

fn print_result(record: &Record, spread: Spread) {
    let mut rows = Vec::new();
    let mut row = |name: &str, value: Option<f64>| {
        if let Some(value) = value {
            rows.push(vec![name.to_owned(), table::number(value)]);
        }
    };
    row("messages/s", record.messages_per_s);
    row("MiB/s", record.mib_per_s);
    row("CPU ns/message", record.cpu_ns_per_message);
    row("p50 us", record.p50_us);
    row("p99 us", record.p99_us);
    row("p99.9 us", record.p999_us);
    row("smallest window", Some(spread.min));
    row("largest window", Some(spread.max));
    show!(
        "{}\n",
        table::of(&[&record.test, "median of windows"], &rows)
    );
}
