//! The ledger alone, then two ledgers joined by a pipe against simple counts: whatever the order
//! of batches, acknowledgements and the end, the accounting identity is exact.
use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::delivery::{AckPolicy, Incoming};

fn ack(processed: u32, refused: u32) -> Ack {
    Ack {
        processed,
        refused,
        late: 0,
    }
}

fn acknowledge(outgoing: &mut Outgoing, ack: Ack) -> Result<Acknowledged, AckError> {
    outgoing.acknowledge(ack, Instant::now(), |_, _| {})
}

#[test]
fn fragments_are_acknowledged_as_far_as_they_were_handed_over() {
    let mut outgoing = reliable(1, 0);
    outgoing.fragments_handed_over(100);
    assert_eq!(outgoing.unacknowledged_bytes(), 100);
    assert_eq!(outgoing.acknowledge_fragments(60), Ok(60));
    assert_eq!(outgoing.unacknowledged_bytes(), 40);
    assert_eq!(outgoing.acknowledge_fragments(60), Ok(0), "no news");
    for bytes in [101, 59] {
        let under_way = 40;
        let forged = AckError::FragmentsOutOfRange { bytes, under_way };
        assert_eq!(outgoing.acknowledge_fragments(bytes), Err(forged));
    }
    assert_eq!(outgoing.acknowledge_fragments(100), Ok(40));
    // The next connection counts from nothing.
    outgoing.end();
    outgoing.start_link();
    outgoing.fragments_handed_over(30);
    assert_eq!(outgoing.acknowledge_fragments(30), Ok(30));
    let mut none = Outgoing::new(Reliability::BestEffort);
    none.fragments_handed_over(100);
    assert!(none.acknowledge_fragments(1).is_err(), "nothing is");
}

/// A reliable ledger with so many messages accepted and handed over.
fn reliable(accepted: u64, handed_over: u64) -> Outgoing {
    let mut outgoing = Outgoing::new(Reliability::Reliable);
    outgoing.accept(accepted);
    outgoing.handed_over(handed_over, 0, Instant::now());
    outgoing
}

#[test]
fn what_a_lane_leaves_behind_is_undelivered_or_unknown() {
    let mut outgoing = reliable(10, 7);
    let acknowledged = acknowledge(&mut outgoing, ack(4, 1));
    assert_eq!(
        acknowledged,
        Ok(Acknowledged {
            messages: 4,
            refused: 1,
            late: 0
        })
    );
    assert!(!outgoing.is_drained() && !outgoing.identity_holds());
    assert_eq!(
        outgoing.end(),
        Report {
            undelivered: 3,
            unknown: 3
        }
    );
    assert_eq!((outgoing.acknowledged(), outgoing.reported()), (3, 7));
    assert!(outgoing.is_drained() && outgoing.identity_holds());
    assert_eq!(outgoing.end(), Report::default(), "it ends once");
}

#[test]
fn best_effort_messages_are_sent_or_dropped() {
    let mut outgoing = Outgoing::new(Reliability::BestEffort);
    outgoing.accept(10);
    outgoing.drop_queued(2);
    outgoing.handed_over(5, 0, Instant::now());
    assert_eq!(
        acknowledge(&mut outgoing, ack(1, 0)),
        Err(AckError::NotExpected)
    );
    assert_eq!(
        outgoing.end(),
        Report {
            undelivered: 3,
            unknown: 0
        }
    );
    assert_eq!(
        (outgoing.sent(), outgoing.dropped(), outgoing.reported()),
        (5, 5, 0)
    );
    assert!(outgoing.identity_holds());
}

#[test]
fn messages_dropped_from_a_reliable_queue_are_reported() {
    let mut outgoing = reliable(4, 0);
    outgoing.drop_queued(3);
    assert_eq!(
        (outgoing.queued(), outgoing.reported(), outgoing.dropped()),
        (1, 3, 0)
    );
    assert_eq!(
        outgoing.end(),
        Report {
            undelivered: 1,
            unknown: 0
        }
    );
    assert!(outgoing.identity_holds());
}

#[test]
fn a_ledger_is_drained_once_nothing_is_queued_and_nothing_under_way() {
    assert!(Outgoing::new(Reliability::Reliable).is_drained());
    assert!(!reliable(1, 0).is_drained(), "one is queued");
    assert!(!reliable(1, 1).is_drained(), "one is under way");
}

#[test]
fn each_connection_counts_from_its_own_beginning() {
    let mut outgoing = reliable(10, 7);
    assert!(acknowledge(&mut outgoing, ack(4, 1)).is_ok());
    outgoing.end();
    outgoing.start_link();
    outgoing.accept(2);
    outgoing.handed_over(2, 20, Instant::now());
    let Err(error) = acknowledge(&mut outgoing, ack(6, 0)) else {
        panic!("the peer goes on counting where the last connection was");
    };
    assert_eq!(error.close_reason(), CloseReason::BadAck);
    assert!(acknowledge(&mut outgoing, ack(2, 0)).is_ok());
    assert_eq!((outgoing.acknowledged(), outgoing.reported()), (5, 7));
    assert!(outgoing.is_drained() && outgoing.identity_holds());
}

#[test]
fn bytes_count_as_under_way_until_they_are_acknowledged() {
    let now = Instant::now();
    let mut outgoing = reliable(6, 0);
    outgoing.handed_over(2, 200, now);
    outgoing.handed_over(2, 50, now + Duration::from_millis(1));
    assert_eq!(outgoing.unacknowledged_bytes(), 250);
    assert!(acknowledge(&mut outgoing, ack(3, 0)).is_ok());
    assert_eq!(outgoing.unacknowledged_bytes(), 25);
    outgoing.end();
    assert_eq!(outgoing.unacknowledged_bytes(), 0);

    let mut best_effort = Outgoing::new(Reliability::BestEffort);
    best_effort.accept(1);
    best_effort.handed_over(1, 100, now);
    assert_eq!(best_effort.unacknowledged_bytes(), 0);
}

#[test]
fn only_messages_under_way_have_an_age() {
    let mut outgoing = reliable(2, 0);
    assert_eq!(outgoing.oldest_in_flight(Instant::now()), None);
    outgoing.handed_over(2, 0, Instant::now());
    assert!(outgoing.oldest_in_flight(Instant::now()).is_some());
    outgoing.end();
    assert_eq!(outgoing.oldest_in_flight(Instant::now()), None);

    let mut best_effort = Outgoing::new(Reliability::BestEffort);
    best_effort.accept(1);
    best_effort.handed_over(1, 0, Instant::now());
    assert_eq!(
        best_effort.oldest_in_flight(Instant::now()),
        None,
        "nobody acknowledges it"
    );
}

#[test]
fn impossible_acknowledgements_are_errors_and_change_nothing() {
    let mut outgoing = reliable(10, 7);
    assert!(acknowledge(&mut outgoing, ack(5, 0)).is_ok());
    for bad in [
        ack(8, 0),
        ack(4, 0),
        ack(0, 0),
        ack(u32::MAX, 0),
        ack(6, 2),
        ack(5, 1),
    ] {
        let error = acknowledge(&mut outgoing, bad).expect_err("impossible");
        assert_eq!(error.close_reason(), CloseReason::BadAck);
        assert_eq!((outgoing.acknowledged(), outgoing.in_flight()), (5, 2));
    }
    assert!(
        acknowledge(&mut outgoing, ack(5, 0)).is_ok(),
        "nothing new is no error"
    );
    assert!(acknowledge(&mut outgoing, ack(7, 0)).is_ok());
    outgoing.end();
    assert!(
        acknowledge(&mut outgoing, ack(8, 0)).is_err(),
        "after the end nothing is open"
    );
}

#[test]
fn acknowledgements_go_on_where_32_bits_wrap() {
    let near_wrap = u64::from(u32::MAX) - 1;
    let mut outgoing = reliable(near_wrap + 10, near_wrap);
    assert!(acknowledge(&mut outgoing, ack(u32::MAX - 1, 0)).is_ok());
    outgoing.handed_over(10, 0, Instant::now());
    let acknowledged = acknowledge(&mut outgoing, ack(3, 0));
    assert_eq!(
        acknowledged,
        Ok(Acknowledged {
            messages: 5,
            refused: 0,
            late: 0
        })
    );
    assert!(
        acknowledge(&mut outgoing, ack(u32::MAX, 0)).is_err(),
        "backwards over the wrap"
    );
    assert_eq!(outgoing.in_flight(), 5);
}

/// One thing that happens to a lane.
#[derive(Clone, Debug)]
enum Step {
    Accept(u64),
    HandOver(u64),
    Drop(u64),
    /// The receiver processes some of what has arrived, refusing those of a share.
    Process {
        messages: u64,
        refused: u64,
    },
    SendAck,
    ReceiveAck,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let count = 0..50_u64;
    prop_oneof![
        3 => count.clone().prop_map(Step::Accept),
        3 => count.clone().prop_map(Step::HandOver),
        1 => (0..3_u64).prop_map(Step::Drop),
        3 => (count, 0..3_u64).prop_map(|(messages, refused)| Step::Process { messages, refused }),
        2 => Just(Step::SendAck),
        2 => Just(Step::ReceiveAck),
        1 => (0..2000_u64).prop_map(Step::Wait),
    ]
}

/// Two ledgers and the pipe between them, with plain counts beside.
struct Lane {
    now: Instant,
    outgoing: Outgoing,
    incoming: Incoming,
    arrived: u64,
    acks: VecDeque<Ack>,
    sampled: u64,
}

impl Lane {
    fn new(reliability: Reliability) -> Self {
        let policy = AckPolicy {
            bytes: 2000,
            messages: 64,
            delay: Duration::from_micros(500),
        };
        Self {
            now: Instant::now(),
            outgoing: Outgoing::new(reliability),
            incoming: Incoming::new(reliability, policy),
            arrived: 0,
            acks: VecDeque::new(),
            sampled: 0,
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Accept(messages) => self.outgoing.accept(messages),
            Step::HandOver(messages) => {
                let messages = messages.min(self.outgoing.queued());
                self.outgoing.handed_over(messages, 10 * messages, self.now);
                self.arrived += messages;
            }
            Step::Drop(messages) => {
                self.outgoing
                    .drop_queued(messages.min(self.outgoing.queued()));
            }
            Step::Process { messages, refused } => {
                let messages = messages.min(self.arrived);
                let refused = refused.min(messages);
                self.arrived -= messages;
                self.incoming
                    .delivered(messages - refused, 64 * (messages - refused), self.now);
                self.incoming.refused(refused, 64 * refused, self.now);
                if self.incoming.ack_is_due(self.now) {
                    self.send_acks();
                }
            }
            Step::SendAck => self.send_acks(),
            Step::ReceiveAck => self.receive_ack(),
            Step::Wait(microseconds) => self.now += Duration::from_micros(microseconds),
        }
    }

    fn send_acks(&mut self) {
        let incoming = &mut self.incoming;
        self.acks.extend(std::iter::from_fn(|| incoming.take_ack()));
    }

    fn receive_ack(&mut self) {
        let Some(ack) = self.acks.pop_front() else {
            return;
        };
        let sampled = &mut self.sampled;
        self.outgoing
            .acknowledge(ack, self.now, |_, messages| *sampled += messages)
            .expect("an honest receiver's acknowledgement is good");
    }

    /// Receives, acknowledges and takes in all that is on the way.
    fn drain(&mut self) {
        self.take(&Step::HandOver(u64::MAX));
        self.take(&Step::Process {
            messages: u64::MAX,
            refused: 0,
        });
        self.take(&Step::SendAck);
        while !self.acks.is_empty() {
            self.receive_ack();
        }
    }
}

proptest! {
    #[test]
    fn the_identity_is_exact_wherever_a_lane_ends(
        steps in prop::collection::vec(step(), 0..200),
        arrives_after_the_end in any::<bool>(),
    ) {
        let mut lane = Lane::new(Reliability::Reliable);
        for step in &steps {
            lane.take(step);
            let open = lane.outgoing.queued() + lane.outgoing.in_flight();
            let settled = lane.outgoing.acknowledged() + lane.outgoing.reported();
            prop_assert_eq!(lane.outgoing.accepted(), settled + open);
            prop_assert_eq!(
                lane.sampled,
                lane.outgoing.acknowledged() + lane.outgoing.refused(),
                "one latency for each message that the peer processed"
            );
        }
        let report = lane.outgoing.end();
        if arrives_after_the_end {
            // Bytes that were in the kernel when the sender gave the lane up.
            lane.take(&Step::Process { messages: u64::MAX, refused: 0 });
        }
        prop_assert!(lane.outgoing.identity_holds());
        prop_assert!(lane.outgoing.is_drained());
        let (delivered, acknowledged) =
            (lane.incoming.delivered_total(), lane.outgoing.acknowledged());
        prop_assert!(acknowledged <= delivered);
        prop_assert!(delivered <= acknowledged + report.unknown, "only unknown ones may be both");
        prop_assert!(delivered <= acknowledged + lane.outgoing.reported());
    }

    #[test]
    fn a_drained_lane_has_nothing_to_report_but_refusals_and_drops(
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let mut lane = Lane::new(Reliability::Reliable);
        for step in &steps {
            lane.take(step);
        }
        lane.drain();
        prop_assert!(lane.outgoing.is_drained());
        prop_assert!(lane.outgoing.identity_holds());
        prop_assert_eq!(lane.outgoing.acknowledged(), lane.incoming.delivered_total());
        prop_assert_eq!(lane.outgoing.refused(), lane.incoming.refused_total());
        prop_assert_eq!(lane.outgoing.end(), Report::default());
    }

    #[test]
    fn best_effort_is_honest_too(steps in prop::collection::vec(step(), 0..200)) {
        let mut lane = Lane::new(Reliability::BestEffort);
        for step in &steps {
            lane.take(step);
            prop_assert!(lane.acks.is_empty());
        }
        lane.outgoing.end();
        let outgoing = &lane.outgoing;
        prop_assert!(outgoing.identity_holds());
        prop_assert_eq!(outgoing.accepted(), outgoing.sent() + outgoing.dropped());
        prop_assert_eq!(outgoing.reported(), 0);
    }
}

#[test]
fn nothing_is_under_way_once_the_connection_has_ended() {
    let mut outgoing = reliable(10, 9);
    acknowledge(&mut outgoing, ack(6, 0)).expect("an honest peer");
    assert_eq!(outgoing.in_flight(), 3);
    let report = Report {
        undelivered: 1,
        unknown: 3,
    };
    assert_eq!(outgoing.end(), report);
    assert_eq!(outgoing.in_flight(), 0);
    assert!(outgoing.is_drained() && outgoing.identity_holds());
    assert_eq!(outgoing.end(), Report::default(), "once");
}

#[test]
fn what_a_newer_message_replaced_waits_no_longer_and_is_reported_to_nobody() {
    let mut outgoing = reliable(5, 2);
    outgoing.replace_queued();
    outgoing.replace_queued();
    assert_eq!((outgoing.queued(), outgoing.replaced()), (1, 2));
    outgoing.expire(1, 0);
    acknowledge(&mut outgoing, ack(2, 0)).expect("an honest peer");
    assert_eq!((outgoing.acknowledged(), outgoing.reported()), (2, 1));
    assert!(outgoing.is_drained() && outgoing.identity_holds());
}

#[test]
fn what_ends_by_its_deadline_is_reported_or_dropped() {
    let mut outgoing = reliable(10, 7);
    outgoing.expire(2, 0);
    assert_eq!((outgoing.queued(), outgoing.reported()), (1, 2));
    acknowledge(&mut outgoing, ack(4, 0)).expect("an honest peer");
    assert_eq!(outgoing.take_back(), 3);
    outgoing.expire(1, 2);
    assert_eq!((outgoing.expired(), outgoing.reported()), (5, 5));
    outgoing.cover(Acknowledged {
        messages: 1,
        refused: 0,
        late: 0,
    });
    assert!(outgoing.is_drained() && outgoing.identity_holds());

    let mut gossip = Outgoing::new(Reliability::BestEffort);
    gossip.accept(3);
    gossip.handed_over(1, 10, Instant::now());
    gossip.expire(2, 0);
    assert_eq!(
        (gossip.sent(), gossip.dropped(), gossip.reported()),
        (1, 2, 0)
    );
    assert!(gossip.is_drained() && gossip.identity_holds());
}

#[test]
fn more_late_messages_than_refused_ones_are_refused() {
    let mut outgoing = reliable(10, 7);
    let forged = Ack {
        late: 2,
        ..ack(4, 1)
    };
    let refused = acknowledge(&mut outgoing, forged);
    assert!(
        matches!(refused, Err(AckError::RefusedTooMany { late: 2, .. })),
        "{refused:?}"
    );
    let honest = Ack {
        late: 1,
        ..ack(4, 1)
    };
    acknowledge(&mut outgoing, honest).expect("an honest peer");
    assert_eq!((outgoing.refused(), outgoing.refused_late()), (1, 1));
}

#[test]
fn what_was_taken_back_is_covered_given_up_or_handed_over_again() {
    let mut outgoing = reliable(10, 7);
    assert_eq!(outgoing.refused_late(), 0);
    assert_eq!(outgoing.take_back(), 7);
    assert_eq!((outgoing.in_flight(), outgoing.queued()), (0, 10));
    outgoing.cover(Acknowledged {
        messages: 3,
        refused: 2,
        late: 1,
    });
    assert_eq!((outgoing.refused(), outgoing.refused_late()), (2, 1));
    outgoing.give_up(1);
    assert_eq!(
        outgoing.queued(),
        6,
        "three taken back and three never sent"
    );
    outgoing.handed_over(5, 0, Instant::now());
    assert_eq!((outgoing.in_flight(), outgoing.queued()), (5, 1));
    outgoing.end();
    assert_eq!((outgoing.acknowledged(), outgoing.reported()), (1, 9));
    assert!(outgoing.identity_holds());
}
