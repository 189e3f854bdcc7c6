//! The same simulation on many seeds, on all processors.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

use super::output::Bar;

/// Does something with each of `seeds` seeds from `first` on; each is a world of its own. Results come in
/// any order.
pub(super) fn on_seeds<T: Send>(
    stage: &'static str,
    first: u64,
    seeds: u64,
    work: impl Fn(u64) -> T + Sync,
) -> Vec<T> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicU64::new(0);
    let (sender, results) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, next, work) = (sender.clone(), &next, &work);
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= seeds {
                        break;
                    }
                    // The receiver outlives the scope.
                    let _ = sender.send(work(first.wrapping_add(number)));
                }
            });
        }
        drop(sender);
        let all = usize::try_from(seeds).unwrap_or(usize::MAX);
        let mut bar = Bar::new();
        let collected = results.iter().enumerate().map(|(done, result)| {
            bar.show(stage, done + 1, all);
            result
        });
        let collected = collected.collect();
        bar.finish();
        collected
    })
}
