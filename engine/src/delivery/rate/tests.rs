//! Against the sums themselves: what went in every stretch of time between two sends.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn amount(bytes: u64, messages: u64) -> Amount {
    Amount { bytes, messages }
}

#[test]
fn nothing_is_no_messages() {
    assert!(Amount::default().is_empty());
    assert!(!amount(0, 1).is_empty(), "a message may have no bytes");
}

/// What went, in order of time.
type Sent = Vec<(Duration, Amount)>;

/// In no stretch of time more than the rate gives, and a burst, or the largest of what went at once. The times are rounded to
/// nanoseconds, which is what may be missing.
fn keeps_within(sent: &Sent, per_second: u64, of: fn(&Amount) -> u64) -> Result<(), String> {
    let largest = sent.iter().map(|(_, amount)| of(amount)).max().unwrap_or(0);
    let at_once = (per_second / 10).max(1).max(largest);
    for (first, (from, _)) in sent.iter().enumerate() {
        let mut sum = 0;
        for (to, amount) in &sent[first..] {
            sum += of(amount);
            let stretch = to.saturating_sub(*from) + Duration::from_nanos(2);
            let gives = u128::from(per_second) * stretch.as_nanos();
            let given = gives.div_ceil(SECOND.as_nanos()) + u128::from(at_once);
            if u128::from(sum) > given {
                return Err(format!(
                    "{sum} from {from:?} to {to:?}, where {given} are allowed"
                ));
            }
        }
    }
    Ok(())
}

/// One who always has something to send, in messages of a size of his own.
#[derive(Clone, Debug)]
struct Sender {
    message_bytes: u64,
    /// Of what he reserves he sends this part, in percent.
    sends_percent: u64,
}

impl Sender {
    /// What he would send next, by the rule of lanes: a piece at most, or a single message.
    fn next(&self, piece: Amount) -> Amount {
        let messages = (piece.bytes / self.message_bytes).clamp(1, 1000);
        let messages = messages.min(piece.messages).max(1);
        amount(messages * self.message_bytes, messages)
    }

    fn sends(&self, granted: Amount) -> Amount {
        let messages = (granted.messages * self.sends_percent / 100).max(1);
        amount(messages * self.message_bytes, messages)
    }
}

/// Lets them send for so long. Each reserves when his last has gone, and sends when he may.
fn run(meter: &mut Meter, began: Instant, senders: &[Sender], time: Duration) -> Sent {
    let piece = meter.piece();
    let reserve = |meter: &mut Meter, sender: &Sender, now| meter.reserve(sender.next(piece), now);
    let mut grants: Vec<_> = senders
        .iter()
        .map(|sender| reserve(meter, sender, began))
        .collect();
    let mut sent = Sent::new();
    loop {
        let next = (0..grants.len()).min_by_key(|index| grants[*index].at);
        let index = next.expect("there are senders");
        let (grant, sender) = (grants[index], &senders[index]);
        if grant.at > began + time || sent.len() > 3000 {
            return sent;
        }
        let goes = sender.sends(grant.amount);
        meter.settle(&grant, goes);
        sent.push((grant.at - began, goes));
        grants[index] = reserve(meter, sender, grant.at);
    }
}

fn senders() -> impl Strategy<Value = Vec<Sender>> {
    let sender = (1..200_000_u64, prop::sample::select(vec![30, 100]));
    let sender = sender.prop_map(|(message_bytes, sends_percent)| Sender {
        message_bytes,
        sends_percent,
    });
    prop::collection::vec(sender, 1..5)
}

fn rate(most: u64) -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 1..most]
}

proptest! {
    #[test]
    fn no_stretch_of_time_has_more_than_the_rate_and_a_burst(
        bytes in rate(50_000_000),
        messages in rate(20_000),
        senders in senders(),
    ) {
        let began = Instant::now();
        let mut meter = Meter::new(amount(bytes, messages), began);
        let sent = run(&mut meter, began, &senders, SECOND);
        if bytes > 0 {
            keeps_within(&sent, bytes, |amount| amount.bytes).map_err(TestCaseError::fail)?;
        }
        if messages > 0 {
            keeps_within(&sent, messages, |amount| amount.messages).map_err(TestCaseError::fail)?;
        }
    }

    /// Of what has gone by the time of the last, all but what each may be waiting for.
    #[test]
    fn what_waits_gets_the_rate(bytes in 1000..50_000_000_u64, senders in senders()) {
        let began = Instant::now();
        let mut meter = Meter::new(amount(bytes, 0), began);
        let sent = run(&mut meter, began, &senders, SECOND);
        let (last, _) = sent.last().copied().unwrap_or_default();
        let all: u64 = sent.iter().map(|(_, amount)| amount.bytes).sum();
        let gives = u64::try_from(u128::from(bytes) * last.as_nanos() / SECOND.as_nanos());
        // What is given back when it has gone was not there for those who had reserved behind it.
        let piece = meter.piece();
        let waiting: u64 = senders.iter().map(|sender| sender.next(piece).bytes).sum();
        prop_assert!(
            all + 2 * waiting >= gives.expect("small"),
            "{all} of {gives:?} by {last:?}, while {waiting} wait"
        );
    }

    /// Each gets his turn: between two of one, every other has one at least.
    #[test]
    fn nobody_is_overtaken_twice(bytes in 1000..1_000_000_u64, senders in senders()) {
        let began = Instant::now();
        let mut meter = Meter::new(amount(bytes, 0), began);
        let piece = meter.piece();
        let mut grants: Vec<_> = senders
            .iter()
            .map(|sender| meter.reserve(sender.next(piece), began))
            .collect();
        for _ in 0..100 {
            let at: Vec<_> = grants.iter().map(|grant| grant.at).collect();
            let next = (0..at.len()).min_by_key(|index| at[*index]).expect("senders");
            let again = meter.reserve(senders[next].next(piece), at[next]);
            let latest = at.iter().max().copied().expect("senders");
            prop_assert!(again.at >= latest, "{next} goes at {:?} before {latest:?}", again.at);
            grants[next] = again;
        }
    }
}

#[test]
fn a_burst_goes_at_once_and_then_the_rate() {
    let now = Instant::now();
    let mut meter = Meter::new(amount(1000, 0), now);
    let mut at = |bytes, now| meter.reserve(amount(bytes, 1), now).at - now;
    assert_eq!(at(60, now), Duration::ZERO);
    assert_eq!(at(40, now), Duration::ZERO);
    assert_eq!(at(1, now), Duration::from_millis(1));
    // A pause fills it to a burst, however long it is.
    let later = now + SECOND * 3600;
    assert_eq!(at(100, later), Duration::ZERO);
    assert_eq!(at(10, later), Duration::from_millis(10));
}

#[test]
fn what_is_larger_than_a_burst_goes_when_the_bucket_is_full_and_is_paid_for_after() {
    let now = Instant::now();
    let mut meter = Meter::new(amount(1000, 0), now);
    let at = |meter: &mut Meter, bytes| meter.reserve(amount(bytes, 1), now).at - now;
    assert_eq!(at(&mut meter, 1), Duration::ZERO);
    assert_eq!(at(&mut meter, 5000), Duration::from_millis(1));
    assert_eq!(at(&mut meter, 100), Duration::from_millis(5001));
}

#[test]
fn of_two_caps_the_one_that_is_reached_first_counts() {
    let now = Instant::now();
    let mut meter = Meter::new(amount(10_000, 10), now);
    let at = |meter: &mut Meter, bytes| meter.reserve(amount(bytes, 1), now).at - now;
    assert_eq!(at(&mut meter, 10), Duration::ZERO);
    assert_eq!(at(&mut meter, 10), Duration::from_millis(100));
    assert_eq!(at(&mut meter, 10_000), Duration::from_millis(200));
    // The bytes that were reserved until 0.2 s take a second to come back.
    assert_eq!(at(&mut meter, 1000), Duration::from_millis(1200));
}

#[test]
fn changed_caps_begin_empty_and_void_what_was_reserved() {
    let now = Instant::now();
    let mut meter = Meter::new(amount(10, 0), now);
    let old = meter.reserve(amount(50, 1), now);
    meter.retune(amount(1000, 0), now);
    meter.settle(&old, Amount::default());
    meter.postpone(&old, now + SECOND);
    let at = |meter: &mut Meter, bytes| meter.reserve(amount(bytes, 1), now).at - now;
    assert_eq!(at(&mut meter, 50), Duration::from_millis(50));
    meter.retune(Amount::default(), now);
    assert_eq!(at(&mut meter, u64::MAX >> 1), Duration::ZERO, "no cap");
}

#[test]
fn what_is_reserved_at_once_is_a_quarter_of_a_burst() {
    let now = Instant::now();
    let meter = Meter::new(amount(10_000, 0), now);
    assert_eq!(meter.piece(), amount(250, u64::MAX));
    let meter = Meter::new(amount(1, 400), now);
    assert_eq!(meter.piece(), amount(1, 10));
}

#[test]
fn what_went_later_than_it_could_is_not_there_twice() {
    let now = Instant::now();
    let mut meter = Meter::new(amount(1000, 0), now);
    let late = meter.reserve(amount(100, 1), now);
    let gone_at = now + SECOND;
    meter.postpone(&late, gone_at);
    let next = meter.reserve(amount(100, 1), gone_at);
    assert_eq!(next.at - gone_at, Duration::from_millis(100));
}
