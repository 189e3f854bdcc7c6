//! A window before a link that is simulated: so many bytes in a second, a round trip, acknowledgements that are
//! put off, and a sender that has more to send or less.

use std::collections::VecDeque;

use super::*;

const BUDGET: Duration = Duration::from_millis(2);

fn window() -> Window {
    Window::new(WindowLimits {
        bytes_max: 4 << 20,
        budget: BUDGET,
    })
}

/// A link, and a receiver that acknowledges after a while.
struct Link {
    bytes_per_s: u64,
    round_trip: Duration,
    ack_delay: Duration,
    now: Instant,
    /// When it has carried all that was given to it.
    free_at: Instant,
    /// What is under way: until when, and its bytes.
    under_way: VecDeque<(Instant, u64)>,
    window: Window,
    carried: u64,
    /// The longest that anything has waited for the link since this was taken last.
    waited: Duration,
}

impl Link {
    fn new(bytes_per_s: u64, round_trip: Duration) -> Self {
        let now = Instant::now();
        Self {
            bytes_per_s,
            round_trip,
            ack_delay: Duration::from_millis(1),
            now,
            free_at: now,
            under_way: VecDeque::new(),
            window: window(),
            carried: 0,
            waited: Duration::ZERO,
        }
    }

    fn open_bytes(&self) -> u64 {
        self.under_way.iter().map(|(_, bytes)| bytes).sum()
    }

    fn send(&mut self, bytes: u64) {
        let starts_at = self.free_at.max(self.now);
        self.waited = self.waited.max(starts_at - self.now);
        let takes = Duration::from_nanos(bytes * 1_000_000_000 / self.bytes_per_s);
        self.free_at = starts_at + takes;
        let acknowledged_at = self.free_at + self.round_trip;
        self.under_way.push_back((acknowledged_at, bytes));
        self.window.handed_over(bytes, self.now);
    }

    /// A sender that always has more, for so long.
    fn flood(&mut self, time: Duration) {
        let until = self.now + time;
        let (mut due, carried) = (None, self.carried);
        while self.now < until {
            while self.window.bytes() > self.open_bytes() {
                let room = self.window.bytes() - self.open_bytes();
                // What goes out at a time is a part of the window, and a whole message.
                let part = (self.window.bytes() / 4).clamp(4096, 64 << 10);
                self.send(room.min(part).max(4096));
            }
            self.window.holds_back();
            // Time goes on until something comes, and its acknowledgement.
            let (at, _) = self.under_way[0];
            self.now = self.now.max(at);
            let due = due.get_or_insert(self.now + self.ack_delay);
            self.now = self.now.max(*due);
            let mut came = 0;
            while let Some((_, bytes)) = self.under_way.pop_front_if(|(at, _)| *at <= self.now) {
                came += bytes;
            }
            self.carried += came;
            // One of fragments, then one of messages.
            self.window
                .acknowledged(self.open_bytes() + came / 2, self.now);
            self.window.acknowledged(self.open_bytes(), self.now);
            *due = self.now + self.ack_delay;
        }
        assert!(self.carried > carried);
    }

    /// Lets it settle, then floods it for a second: the share of the link that is used, and how long the longest
    /// wait for it was.
    fn measure(&mut self) -> (f64, Duration) {
        self.flood(Duration::from_secs(2));
        let (carried, from) = (self.carried, self.now);
        self.waited = Duration::ZERO;
        self.flood(Duration::from_secs(1));
        #[expect(clippy::cast_precision_loss, reason = "some hundred megabytes")]
        let [carried, could] = [self.carried - carried, self.bytes_per_s].map(|bytes| bytes as f64);
        let share = carried / could / (self.now - from).as_secs_f64();
        (share, self.waited)
    }
}

#[test]
fn it_fills_links_of_all_kinds_and_keeps_their_queues_short() {
    for mbit in [10, 100, 1000, 10_000] {
        for round_trip_us in [20, 200, 2000] {
            let mut link = Link::new(mbit * 125_000, Duration::from_micros(round_trip_us));
            let (share, waited) = link.measure();
            println!(
                "{mbit} Mbit/s, {round_trip_us} us: {share:.3}, {waited:?}, {}",
                link.window.bytes()
            );
            let most = link.window.limits.bytes_max;
            if link.window.bytes() < most * 9 / 10 {
                assert!(share > 0.9, "{mbit} Mbit/s, {round_trip_us} us: {share}");
            }
            // A few packets take longer than the budget on a slow one.
            let least =
                Duration::from_nanos(4 * WINDOW_BYTES_MIN * 1_000_000_000 / link.bytes_per_s);
            let bound = BUDGET * 5 / 2 + link.ack_delay + least;
            assert!(
                waited < bound,
                "{mbit} Mbit/s, {round_trip_us} us: {waited:?}"
            );
        }
    }
}

#[test]
fn it_follows_a_link_that_changes() {
    let mut link = Link::new(125_000_000, Duration::from_micros(200));
    let (share, _) = link.measure();
    assert!(share > 0.9, "{share}");
    let wide = link.window.bytes();
    link.bytes_per_s = 12_500_000;
    // The rate of before is forgotten bit by bit.
    link.flood(Duration::from_secs(15));
    let (share, waited) = link.measure();
    assert!(share > 0.9 && waited < BUDGET * 3, "{share}, {waited:?}");
    assert!(
        link.window.bytes() < wide / 3,
        "{} of {wide}",
        link.window.bytes()
    );
    link.bytes_per_s = 125_000_000;
    let (share, _) = link.measure();
    assert!(share > 0.9, "{share}");
}

/// Now and then it is made small, to see how long the link takes with nothing in it.
#[test]
fn after_a_look_at_the_empty_link_it_is_as_wide_as_before() {
    let mut link = Link::new(125_000_000, Duration::from_micros(200));
    link.flood(Duration::from_secs(2));
    let mut looks = 0;
    let mut before = None;
    while looks < 2 {
        link.flood(Duration::from_micros(100));
        match (link.window.phase, before) {
            (Phase::Looking { bytes, .. }, _) => before = Some(bytes),
            (_, Some(bytes)) => {
                let now = link.window.bytes();
                assert!(now >= bytes / 2, "{now} after it was {bytes}");
                let empty = link.window.unloaded.expect("it has just been timed");
                let takes = link.round_trip..link.round_trip + 2 * link.ack_delay;
                assert!(takes.contains(&empty), "{empty:?}");
                (looks, before) = (looks + 1, None);
            }
            (_, None) => {}
        }
    }
}

/// Two machines that are busy otherwise: what is under way is looked at each few milliseconds, however little it is.
#[test]
fn what_is_slow_for_another_reason_does_not_shrink_it() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut window = window();
    let (mut now, mut under_way, mut carried) = (Instant::now(), 0, 0);
    // The first ones find both sides at work.
    for slice in 0..2000 {
        let slow = slice > 20;
        let more = window.bytes() - under_way.min(window.bytes());
        window.handed_over(more, now);
        window.holds_back();
        under_way += more;
        // With little under way both sleep between, and are woken at once; with much they are in each other's way.
        let is_little = under_way < 16 << 10;
        now += Duration::from_micros(match (slow, is_little) {
            (false, _) => 50,
            (true, true) => 1000,
            (true, false) => random.u64(2000..6000),
        });
        // What a slice of time is enough for.
        let done = under_way.min(8 << 20);
        carried += done;
        under_way -= done;
        window.acknowledged(under_way, now);
    }
    assert!(window.bytes() > 1 << 20, "{}", window.bytes());
    // Of what could have been carried with the largest window.
    assert!(carried > 2000 * (4 << 20) * 8 / 10, "{carried}");
}

#[test]
fn it_grows_with_what_is_sent_alone() {
    let mut link = Link::new(1_250_000_000, Duration::from_micros(100));
    let start = link.window.bytes();
    for _ in 0..1000 {
        link.send(1000);
        link.now += Duration::from_millis(5);
        link.under_way.clear();
        link.window.acknowledged(0, link.now);
    }
    assert_eq!(link.window.bytes(), start, "nothing waited for it");
    link.flood(Duration::from_millis(100));
    assert!(link.window.bytes() > 4 * start, "{}", link.window.bytes());
}

#[test]
fn a_receiver_that_pauses_costs_no_more_than_a_while() {
    let mut link = Link::new(125_000_000, Duration::from_micros(200));
    let (_, _) = link.measure();
    // It is away for five seconds, with a window under way.
    for (at, _) in &mut link.under_way {
        *at += Duration::from_secs(5);
    }
    link.free_at += Duration::from_secs(5);
    link.now += Duration::from_secs(5);
    let (share, _) = link.measure();
    assert!(share > 0.9, "{share}");
}

#[test]
fn without_a_budget_it_is_fixed() {
    let mut window = Window::new(WindowLimits {
        bytes_max: 1 << 20,
        budget: Duration::ZERO,
    });
    let now = Instant::now();
    for second in 1..100 {
        window.holds_back();
        window.handed_over(1 << 20, now + Duration::from_secs(second));
        window.acknowledged(0, now + Duration::from_secs(2 * second));
        assert_eq!(window.bytes(), 1 << 20);
    }
}

#[test]
fn other_bounds_hold_at_once() {
    let mut link = Link::new(1 << 30, Duration::from_millis(10));
    link.flood(Duration::from_secs(1));
    let window = &mut link.window;
    assert!(window.bytes() > 128 << 10, "{}", window.bytes());
    let bytes_max = 128 << 10;
    let budget = BUDGET;
    window.retune(WindowLimits { bytes_max, budget });
    assert_eq!(window.bytes(), bytes_max);
    let (bytes_max, budget) = (1 << 20, Duration::ZERO);
    window.retune(WindowLimits { bytes_max, budget });
    assert_eq!(window.bytes(), bytes_max, "it is fixed");
}

#[test]
fn what_is_handed_over_at_one_moment_is_timed_from_that_moment() {
    let mut window = window();
    let now = Instant::now();
    let later = now + Duration::from_millis(1);
    window.handed_over(1000, now);
    window.handed_over(1000, later);
    window.holds_back();
    // The first is timed alone: from when it went, not from when the second did.
    window.acknowledged(1000, later + Duration::from_millis(1));
    assert_eq!(window.unloaded, Some(Duration::from_millis(2)));
}

#[test]
fn what_it_remembers_is_bounded_while_nothing_is_acknowledged() {
    let mut window = window();
    let start = Instant::now();
    for count in 0..2 * MARKS_MAX as u64 {
        window.handed_over(1, start + Duration::from_nanos(count));
    }
    assert_eq!(window.marks.len(), MARKS_MAX);
}

#[test]
fn it_stays_within_its_bounds_whatever_comes() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..1000 {
        let bytes_max = random.u64(WINDOW_BYTES_MIN..1 << 24);
        let mut window = Window::new(WindowLimits {
            bytes_max,
            budget: Duration::from_micros(random.u64(1..10_000)),
        });
        let (mut now, mut under_way) = (Instant::now(), 0);
        for _ in 0..200 {
            let most = 1 << random.u32(1..33);
            now += Duration::from_nanos(random.u64(0..most));
            match random.u8(0..4) {
                0 => window.holds_back(),
                1 | 2 => {
                    let most = 1 << random.u32(1..24);
                    let bytes = random.u64(0..most);
                    under_way += bytes;
                    window.handed_over(bytes, now);
                }
                _ => {
                    under_way = random.u64(0..=under_way);
                    window.acknowledged(under_way, now);
                }
            }
            assert!((WINDOW_BYTES_MIN..=bytes_max).contains(&window.bytes()));
            assert!(window.marks.len() <= MARKS_MAX);
        }
        window.start_link();
        assert_eq!(window.bytes(), WINDOW_BYTES_START.min(bytes_max));
    }
}
