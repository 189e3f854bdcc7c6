//! A recording as lines for people: thread by thread, each entry with its time before the recording was taken.

use std::fmt::Write;

use overlane::config::Printable;
use overlane::{Recorded, Recording};

/// Lines of what took at least so long, and of what has no length.
pub(super) fn text(recording: &Recording, longer_us: u32) -> String {
    let Recording {
        node,
        cluster,
        incarnation,
        overlane,
        pid,
        cause,
        taken_us,
        threads,
    } = recording;
    let mut text = format!(
        "node {} of cluster {}, incarnation {incarnation}, process {pid}, overlane {}\n\
         taken at {} ms since 1970: {}\n",
        Printable(node),
        Printable(cluster),
        Printable(overlane),
        taken_us / 1000,
        Printable(cause)
    );
    for thread in threads {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n{}: {} entries, {} older ones are gone\n",
            Printable(&thread.thread),
            thread.entries.len(),
            thread.overwritten
        );
        let shown = thread
            .entries
            .iter()
            .filter(|entry| entry.what.took_us().is_none_or(|took| took >= longer_us));
        for entry in shown {
            let _ = writeln!(
                text,
                "{:>12.3} ms  {}",
                ago_ms(*taken_us, entry.at_us),
                line(&entry.what)
            );
        }
    }
    text
}

#[expect(
    clippy::cast_precision_loss,
    reason = "some seconds in microseconds fit"
)]
fn ago_ms(taken_us: u64, at_us: u64) -> f64 {
    -(taken_us.saturating_sub(at_us) as f64) / 1e3
}

fn line(what: &Recorded) -> String {
    match what {
        Recorded::Turns {
            took_us,
            turns,
            busy_us,
            longest_us,
        } => {
            format!("{turns} turns in {took_us} us, busy {busy_us} us, the longest {longest_us} us")
        }
        Recorded::LongTurn {
            took_us,
            with_tasks,
        } => {
            let tasks = if *with_tasks { ", with tasks" } else { "" };
            format!("LONG TURN of {took_us} us{tasks}")
        }
        Recorded::SlowHandler {
            took_us,
            mailbox,
            from,
            channel,
            messages,
        } => format!(
            "SLOW HANDLER of mailbox {}: {took_us} us for {messages} messages from {} on {}",
            Printable(mailbox),
            Printable(from),
            Printable(channel)
        ),
        Recorded::Behind {
            mailbox,
            from,
            channel,
            messages,
        } => format!(
            "  waited behind it: {messages} messages for mailbox {} from {} on {}",
            Printable(mailbox),
            Printable(from),
            Printable(channel)
        ),
        Recorded::UnsentBehind { channel, bytes } => format!(
            "  waited behind it to be sent: {bytes} bytes on {}",
            Printable(channel)
        ),
        Recorded::HandlerPanic { mailbox } => {
            format!("PANIC of the handler of mailbox {}", Printable(mailbox))
        }
        Recorded::TaskPanic {} => "PANIC of a task".to_owned(),
        Recorded::Event { event, said } => {
            format!("{} {}", Printable(event), Printable(said))
        }
        other => format!("{other:?}"),
    }
}
