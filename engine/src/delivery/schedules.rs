//! How many random schedules a model test tries: as many as it says itself, or as `OVERLANE_SCHEDULES` does.

use std::ops::Range;

/// The seeds to try, from `first` on. `OVERLANE_SCHEDULES` is how many, or the first and the one after the last, as in `20000..1000000`.
pub(crate) fn seeds(first: u64, by_default: u64) -> Range<u64> {
    let seeds = std::env::var("OVERLANE_SCHEDULES").map_or_else(
        |_| first..first.saturating_add(by_default),
        |wanted| {
            let read = match wanted.split_once("..") {
                Some((first, end)) => first.parse().ok().zip(end.parse().ok()),
                None => wanted
                    .parse()
                    .ok()
                    .map(|count: u64| (first, first.saturating_add(count))),
            };
            let (first, end) =
                read.expect("OVERLANE_SCHEDULES is a number, or two with .. between");
            first..end
        },
    );
    println!("seeds {} to {}", seeds.start, seeds.end);
    seeds
}
