//! Two ends of a lane over a network that delays handshakes for as long as it likes, cuts connections at either end first,
//! and nodes that give up waiting, forget each other and start again: no statement that holds is refused, and no message is
//! processed twice.

use super::*;
use crate::delivery::schedules::seeds;

/// Where a handshake message comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Sender,
    Receiver,
}

/// A dial whose Hello is under way. It may arrive when its node has long given it up.
struct Dial {
    from: Side,
    number: u64,
    incarnation: u64,
    hello: Progress,
}

/// A connection that its acceptor believes in, and its dialer perhaps.
#[derive(Default)]
struct Connection {
    /// The Welcome, until it has come.
    welcome: Option<(Dial, Progress, u64)>,
    /// Sent on it and not processed, by their places in the log.
    under_way: Vec<usize>,
    /// Processed, and not said yet.
    unsaid: u64,
    /// Said, and not heard yet.
    unheard: u64,
    sent: u64,
    processed: u64,
}

/// One of the nodes.
struct End {
    resume: Resume,
    incarnation: u64,
    /// The connection that carries its lane.
    up: Option<usize>,
    /// Its dial that is not given up.
    dialing: Option<u64>,
    /// What it knows of the other.
    peer_incarnation: u64,
}

impl End {
    fn new(log: u64, incarnation: u64) -> Self {
        Self {
            resume: Resume::new(log),
            incarnation,
            up: None,
            dialing: None,
            peer_incarnation: 0,
        }
    }
}

struct Network {
    random: fastrand::Rng,
    sender: End,
    receiver: End,
    logs: u64,
    dials: Vec<Dial>,
    numbers: u64,
    connections: Vec<Connection>,
    /// The sender's first message that has not ended, and how many from there were sent on earlier connections.
    ended: usize,
    open: u64,
    /// How often each message was processed.
    processed: Vec<u32>,
}

impl Network {
    fn new(seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            sender: End::new(1, 1),
            receiver: End::new(2, 1),
            logs: 2,
            dials: Vec::new(),
            numbers: 0,
            connections: Vec::new(),
            ended: 0,
            open: 0,
            processed: Vec::new(),
        }
    }

    fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Sender => &mut self.sender,
            Side::Receiver => &mut self.receiver,
        }
    }

    fn log(&mut self) -> u64 {
        self.logs += 1;
        self.logs
    }

    fn dial(&mut self, from: Side) {
        self.numbers += 1;
        let number = self.numbers;
        let end = self.end(from);
        if end.up.is_some() || end.dialing.is_some() {
            return;
        }
        end.dialing = Some(number);
        let dial = Dial {
            from,
            number,
            incarnation: end.incarnation,
            hello: end.resume.progress(None),
        };
        self.dials.push(dial);
    }

    fn give_up_dial(&mut self, from: Side) {
        self.end(from).dialing = None;
    }

    /// One end hears what the other states. False if it refuses it.
    fn meet(&mut self, side: Side, theirs: Progress, incarnation: u64, dialed: bool) -> bool {
        let log = self.log();
        let open = match side {
            Side::Sender => self.open,
            Side::Receiver => 0,
        };
        let end = self.end(side);
        end.peer_incarnation = incarnation;
        let met = end.resume.meet(theirs, incarnation, open, dialed, log);
        let Ok(met) = met else { return false };
        if side == Side::Receiver {
            return true;
        }
        let (messages, are_known) = match met {
            Met::Known(runs) => (runs.iter().map(|run| run.messages).sum(), true),
            Met::Fresh => (0, false),
            Met::Lost => (self.open, false),
        };
        let ended = self.ended + usize::try_from(messages).expect("few");
        if are_known {
            let known = &self.processed[self.ended..ended];
            assert!(known.iter().all(|times| *times == 1), "they were processed");
        }
        self.ended = ended;
        self.open -= messages;
        true
    }

    /// Any Hello arrives, new or old.
    fn arrive(&mut self) {
        if self.dials.is_empty() {
            return;
        }
        let dial = self
            .dials
            .swap_remove(self.random.usize(..self.dials.len()));
        let to = match dial.from {
            Side::Sender => Side::Receiver,
            Side::Receiver => Side::Sender,
        };
        let end = self.end(to);
        if end.up.is_some() || dial.incarnation < end.peer_incarnation {
            return;
        }
        let incarnation = end.incarnation;
        let mut welcome = end.resume.progress(Some(dial.incarnation));
        if !self.meet(to, dial.hello.clone(), dial.incarnation, false) {
            let is_overtaken = dial.hello != self.end(dial.from).resume.progress(None);
            assert!(
                is_overtaken,
                "{:?} said what holds: {:?}",
                dial.from, dial.hello
            );
            return;
        }
        let number = self.connections.len();
        let end = self.end(to);
        welcome.log = end.resume.log();
        end.up = Some(number);
        end.dialing = None;
        self.connections.push(Connection {
            welcome: Some((dial, welcome, incarnation)),
            ..Connection::default()
        });
    }

    fn welcome(&mut self) {
        let waiting: Vec<_> = (0..self.connections.len())
            .filter(|at| self.connections[*at].welcome.is_some())
            .collect();
        let Some(at) = self.random.choice(waiting) else {
            return;
        };
        let welcome = self.connections[at].welcome.take();
        let (dial, welcome, incarnation) = welcome.expect("it waits");
        let end = self.end(dial.from);
        if end.up.is_some()
            || end.dialing != Some(dial.number)
            || incarnation < end.peer_incarnation
        {
            return;
        }
        end.dialing = None;
        end.up = Some(at);
        assert!(
            self.meet(dial.from, welcome, incarnation, true),
            "an answer holds"
        );
    }

    fn send(&mut self) {
        let Some(at) = self.sender.up else { return };
        let connection = &mut self.connections[at];
        let next = self.ended + usize::try_from(connection.sent).expect("few");
        connection.sent += 1;
        connection.under_way.push(next);
        if next == self.processed.len() {
            self.processed.push(0);
        }
    }

    fn process(&mut self) {
        let Some(at) = self.receiver.up else { return };
        let connection = &mut self.connections[at];
        if connection.under_way.is_empty() {
            return;
        }
        let message = connection.under_way.remove(0);
        self.processed[message] += 1;
        assert_eq!(
            self.processed[message], 1,
            "message {message} was processed twice"
        );
        connection.processed += 1;
        connection.unsaid += 1;
    }

    fn acknowledge(&mut self) {
        if let Some(at) = self.receiver.up {
            let connection = &mut self.connections[at];
            connection.unheard += std::mem::take(&mut connection.unsaid);
        }
    }

    fn hear(&mut self) {
        let Some(at) = self.sender.up else { return };
        let connection = &mut self.connections[at];
        let heard = std::mem::take(&mut connection.unheard);
        if heard == 0 {
            return;
        }
        connection.sent -= heard;
        self.sender.resume.acknowledged(heard, 0);
        self.ended += usize::try_from(heard).expect("few");
        self.open = self.open.saturating_sub(heard);
    }

    fn end_of_connection(&mut self, side: Side) {
        let Some(at) = self.end(side).up.take() else {
            return;
        };
        let connection = &self.connections[at];
        match side {
            Side::Sender => self.open = self.open.max(connection.sent),
            Side::Receiver => {
                let processed = connection.processed;
                self.receiver
                    .resume
                    .processed(processed, 0, &Refusals::default());
            }
        }
    }

    fn give_up_waiting(&mut self) {
        if self.sender.up.is_some() {
            return;
        }
        let open = std::mem::take(&mut self.open);
        self.sender.resume.give_up(open);
        self.ended += usize::try_from(open).expect("few");
    }

    fn restart(&mut self, side: Side) {
        let log = self.log();
        let end = self.end(side);
        *end = End::new(log, end.incarnation + 1);
        if side == Side::Sender {
            // What it had is gone with it.
            self.ended = self.processed.len();
            self.open = 0;
        }
    }

    /// It has given the other up, and what it knew of it: it has waited for as long as a sender waits, and for longer than a
    /// Hello is waited for.
    fn forget(&mut self, side: Side) {
        let log = self.log();
        let waits = self.sender.up.is_some() || self.open > 0;
        let end = self.end(side);
        if end.up.is_some() || (side == Side::Receiver && waits) {
            return;
        }
        end.resume = Resume::new(log);
        end.dialing = None;
        self.dials.clear();
        if side == Side::Sender {
            self.ended = self.processed.len();
            self.open = 0;
        }
    }

    fn step(&mut self) {
        let side = match self.random.bool() {
            true => Side::Sender,
            false => Side::Receiver,
        };
        match self.random.u8(..100) {
            0..15 => self.dial(side),
            15..18 => self.give_up_dial(side),
            18..28 => self.arrive(),
            28..45 => self.welcome(),
            45..60 => self.send(),
            60..75 => self.process(),
            75..83 => self.acknowledge(),
            83..90 => self.hear(),
            90..97 => self.end_of_connection(side),
            97..99 => self.give_up_waiting(),
            _ => match self.random.u8(..9) {
                0..3 => self.restart(side),
                3 => self.forget(side),
                _ => {}
            },
        }
    }
}

#[test]
fn late_handshakes_confuse_no_count() {
    for seed in seeds(0, 20_000) {
        println!("seed {seed}");
        let mut network = Network::new(seed);
        for _ in 0..300 {
            network.step();
        }
    }
}
