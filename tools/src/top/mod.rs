//! `overlane top`: a node as it is, again and again.
//!
//! This file asks, reads keys and draws; what is on the screen is decided by `screen`, `rates` and `draw`, without I/O.

mod draw;
mod rates;
mod screen;
mod snapshot;
#[cfg(test)]
mod tests;

use std::io::IsTerminal;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use overlane::admin::{Client, EventReport};
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{self, Event as TerminalEvent, KeyEventKind};
use ratatui::{DefaultTerminal, Terminal};

use crate::admin::Target;
use crate::ending::{Ending, Failure, print, told};
use screen::{Screen, Wanted};
use snapshot::Snapshot;

/// Shows a node as it is: channels with rates and latencies, members, overlay, events.
///
/// Keys sort, filter and scroll; ? lists them. With --once it prints one frame, after an interval, for a pipe.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How often it is looked
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    interval_ms: u64,
    /// Print one frame and end
    #[arg(long)]
    once: bool,
    /// Columns of that frame
    #[arg(long, value_name = "COLUMNS", default_value_t = 100, requires = "once", value_parser = clap::value_parser!(u16).range(40..=500))]
    width: u16,
    /// Lines of that frame
    #[arg(long, value_name = "LINES", default_value_t = 30, requires = "once", value_parser = clap::value_parser!(u16).range(12..=500))]
    height: u16,
    #[command(flatten)]
    target: Target,
}

pub(crate) fn run(arguments: &Arguments) -> Ending {
    told("top", top(arguments))
}

fn top(arguments: &Arguments) -> Result<Ending, Failure> {
    let path = arguments.target.path()?;
    if arguments.target.json {
        let what = "it shows what a terminal can: `overlane status`, `metrics`, `members` and `events` print JSON";
        return Err(Failure::new(Ending::BadInput, what));
    }
    let interval = Duration::from_millis(arguments.interval_ms);
    if arguments.once {
        let text = once(&path, interval, arguments.width, arguments.height)?;
        print(&text)?;
        return Ok(Ending::Done);
    }
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        let what = "this is no terminal: --once prints one frame";
        return Err(Failure::new(Ending::BadInput, what));
    }
    let first = Snapshot::ask(&path)?;
    let events = follow(&path)?;
    let mut terminal = ratatui::try_init().map_err(broken)?;
    let ended = watch(&mut terminal, &path, interval, first, &events);
    ratatui::restore();
    ended.map(|()| Ending::Done)
}

/// One frame as lines of text.
fn once(path: &Path, interval: Duration, width: u16, height: u16) -> Result<String, Failure> {
    let mut screen = Screen::default();
    let before = Snapshot::ask(path)?;
    let events = follow(path)?;
    std::thread::sleep(interval);
    let now = Snapshot::ask(path)?;
    events.try_iter().for_each(|event| screen.note(event));
    Ok(frame(&before, &now, &screen, width, height))
}

/// A frame of that size, as lines of text without styles.
fn frame(before: &Snapshot, now: &Snapshot, screen: &Screen, width: u16, height: u16) -> String {
    let Ok(mut terminal) = Terminal::new(TestBackend::new(width, height));
    let rows = rates::channels(before, now);
    let Ok(_) = terminal.draw(|frame| draw::draw(frame, now, &rows, screen));
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for line in buffer.content().chunks(usize::from(width.max(1))) {
        let line: String = line.iter().map(|cell| cell.symbol()).collect();
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// What happens around the node, from now on.
fn follow(path: &Path) -> Result<Receiver<EventReport>, Failure> {
    let mut following = Client::connect(path)?.follow()?;
    let (to, events) = channel();
    std::thread::spawn(move || {
        // Until the node has stopped, or nobody looks any more.
        while let Ok(Some(event)) = following.next_event() {
            if to.send(event).is_err() {
                break;
            }
        }
    });
    Ok(events)
}

/// Until a key says so, or the node does not answer any more.
fn watch(
    terminal: &mut DefaultTerminal,
    path: &Path,
    interval: Duration,
    first: Snapshot,
    events: &Receiver<EventReport>,
) -> Result<(), Failure> {
    let mut screen = Screen::default();
    let (mut before, mut now) = (first.clone(), first);
    let mut next = Instant::now() + interval;
    loop {
        events.try_iter().for_each(|event| screen.note(event));
        let rows = rates::channels(&before, &now);
        let drawn = terminal.draw(|frame| draw::draw(frame, &now, &rows, &screen));
        drawn.map_err(broken)?;
        let left = next.saturating_duration_since(Instant::now());
        if event::poll(left).map_err(broken)? {
            if let TerminalEvent::Key(key) = event::read().map_err(broken)?
                && key.kind != KeyEventKind::Release
                && screen.key(key) == Wanted::End
            {
                return Ok(());
            }
        } else {
            next = Instant::now() + interval;
            if !screen.is_paused {
                before = std::mem::replace(&mut now, Snapshot::ask(path)?);
            }
        }
    }
}

fn broken(error: std::io::Error) -> Failure {
    let what = format!("the terminal does not work: {error}");
    Failure::new(Ending::NotWritten, what)
}
