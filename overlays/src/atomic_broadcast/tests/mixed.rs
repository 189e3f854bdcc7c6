//! Any mixture of loss, delay, second copies, crashes, restarts and wrong news of deaths, at random, with
//! several senders at once.

use proptest::prelude::*;
use rand::RngExt;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Broadcast(u32),
    Crash(u32),
    Restart(u32),
    /// A node is told that another is down, which may be untrue.
    News(u32, u32),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let node = || 0_u32..5;
    prop_oneof![
        4 => node().prop_map(Step::Broadcast),
        1 => node().prop_map(Step::Crash),
        1 => node().prop_map(Step::Restart),
        1 => (node(), node()).prop_map(|(node, of)| Step::News(node, of)),
        4 => (1_u64..2_000_000).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn all_or_none_of_those_who_live_deliver(
        seed in any::<u64>(),
        count in 2_u32..=5,
        loss in prop_oneof![Just(0.0), 0.0..0.4],
        copies in 0.0..0.3,
        late in 0.0..0.3,
        steps in prop::collection::vec(step(), 1..25),
    ) {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut mischief: Mischief<'_> = Box::new(move |_, _, _| {
            let by = random.random_range(0..8_000_000);
            if random.random_bool(loss) {
                Fate::IsLost
            } else if random.random_bool(copies) {
                Fate::ArrivesTwice(by)
            } else if random.random_bool(late) {
                Fate::IsLate(by)
            } else {
                Fate::IsLate(by / 400)
            }
        });
        let mut net = Net::new(count);
        for step in steps {
            match step {
                Step::Broadcast(node) => {
                    net.broadcast(node % count, &mut mischief);
                }
                Step::Crash(node) => net.crash(node % count),
                Step::Restart(node) if !net.nodes.contains_key(&(node % count)) => net.start(node % count),
                Step::Restart(_) => {}
                Step::News(node, of) if node % count != of % count => {
                    let state = net.nodes.get_mut(&(node % count));
                    let mut out = Vec::new();
                    let now = Time::from_micros(net.now);
                    if let Some(state) = state {
                        let event = Event::MemberDown(of % count);
                        state.handle(now, Input::Below(event), &mut SmallRng::seed_from_u64(1), &mut out);
                    }
                    // What it sends for it is lost: a loss like others. Its events and timers are not.
                    for output in out {
                        match output {
                            Output::Event(event @ Event::Atomic { .. }) => net.tell(node % count, event),
                            Output::SetTimer { after, .. } => {
                                let life = net.lives[&(node % count)];
                                let after = u64::try_from(after.as_micros()).unwrap();
                                net.schedule(after, node % count, What::Timer(life));
                            }
                            _ => {}
                        }
                    }
                }
                Step::News(..) => {}
                Step::Wait(micros) => net.run_for(Duration::from_micros(micros), &mut mischief),
            }
        }
        // In the end all run again, in some life, and can be reached.
        for node in 0..count {
            if !net.nodes.contains_key(&node) {
                net.start(node);
            }
        }
        net.run_for(LONG, &mut nothing());
        let living: BTreeSet<Life> = net.living().collect();
        let proven = net.check_agreement(&living).and_then(|()| net.check_ended(&living));
        prop_assert_eq!(proven, Ok(()));
    }
}
