//! The rule for simultaneous dials, tried in every order in which two nodes can dial, messages can
//! arrive, connections can break, dials can time out and nodes can restart, within a budget.
//!
//! Two nodes run `lane_choice::keep` against each other. A search visits every reachable state
//! once; in each state where nothing more can happen, both nodes must have the same single
//! connection, or none if no dial was left that could have come up.
use std::collections::{HashSet, VecDeque};

use overlane::wire::lane_choice::{Choice, RemoteNode, SlotState, keep};

const NAMES: [&str; 2] = ["node-a", "node-b"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Message {
    Hello { incarnation: u64 },
    Welcome { incarnation: u64 },
    Refuse,
    Close,
}

/// One node's end of a connection, and what is on the way to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct End {
    node: usize,
    open: bool,
    arriving: VecDeque<Message>,
}

/// A connection: the dialer's end, then the acceptor's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Connection {
    ends: [End; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Slot {
    Idle,
    Dialing {
        connection: usize,
    },
    Up {
        connection: usize,
        dialed_by_us: bool,
        incarnation: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Node {
    slot: Slot,
    incarnation: u64,
    dials_left: u8,
}

/// How much may go wrong before a run has to settle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Mishaps {
    breaks: u8,
    dial_timeouts: u8,
    restarts: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    nodes: [Node; 2],
    connections: Vec<Connection>,
    mishaps: Mishaps,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Dial {
        node: usize,
    },
    Arrive {
        connection: usize,
        end: usize,
    },
    /// The network drops the connection and all but the first messages on the way to each end.
    Break {
        connection: usize,
        kept: [usize; 2],
    },
    DialTimeout {
        node: usize,
    },
    /// The peer's end is gone without a word, and the idle timeout notices.
    IdleTimeout {
        node: usize,
    },
    /// The process dies, with or without its kernel telling the peer.
    Restart {
        node: usize,
        silent: bool,
    },
}

impl World {
    fn new(dials: [u8; 2], mishaps: Mishaps) -> Self {
        let node = |dials_left| Node {
            slot: Slot::Idle,
            incarnation: 1,
            dials_left,
        };
        Self {
            nodes: dials.map(node),
            connections: Vec::new(),
            mishaps,
        }
    }

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            if node.slot == Slot::Idle && node.dials_left > 0 {
                steps.push(Step::Dial { node: index });
            }
            if matches!(node.slot, Slot::Dialing { .. }) && self.mishaps.dial_timeouts > 0 {
                steps.push(Step::DialTimeout { node: index });
            }
            if self.peer_is_silently_gone(index) {
                steps.push(Step::IdleTimeout { node: index });
            }
            if self.mishaps.restarts > 0 {
                steps.push(Step::Restart {
                    node: index,
                    silent: false,
                });
                steps.push(Step::Restart {
                    node: index,
                    silent: true,
                });
            }
        }
        for (connection, Connection { ends }) in self.connections.iter().enumerate() {
            for (end, End { arriving, .. }) in ends.iter().enumerate() {
                if !arriving.is_empty() {
                    steps.push(Step::Arrive { connection, end });
                }
            }
            if self.mishaps.breaks > 0 {
                for first in 0..=ends[0].arriving.len() {
                    for second in 0..=ends[1].arriving.len() {
                        steps.push(Step::Break {
                            connection,
                            kept: [first, second],
                        });
                    }
                }
            }
        }
        steps
    }

    fn peer_is_silently_gone(&self, node: usize) -> bool {
        let (Slot::Dialing { connection } | Slot::Up { connection, .. }) = self.nodes[node].slot
        else {
            return false;
        };
        let ends = &self.connections[connection].ends;
        let own = usize::from(ends[1].node == node);
        ends[own].arriving.is_empty() && !ends[1 - own].open
    }

    fn after(&self, step: Step) -> Self {
        let mut world = self.clone();
        match step {
            Step::Dial { node } => world.dial(node),
            Step::Arrive { connection, end } => world.arrive(connection, end),
            Step::Break { connection, kept } => {
                world.mishaps.breaks -= 1;
                for (end, kept) in world.connections[connection].ends.iter_mut().zip(kept) {
                    end.arriving.truncate(kept);
                    end.arriving.push_back(Message::Close);
                }
            }
            Step::DialTimeout { node } => {
                world.mishaps.dial_timeouts -= 1;
                world.give_up(node);
            }
            Step::IdleTimeout { node } => world.give_up(node),
            Step::Restart { node, silent } => world.restart(node, silent),
        }
        world.forget_finished_connections();
        world
    }

    fn dial(&mut self, node: usize) {
        let incarnation = self.nodes[node].incarnation;
        let end = |node, arriving| End {
            node,
            open: true,
            arriving,
        };
        let hello = VecDeque::from([Message::Hello { incarnation }]);
        let ends = [end(node, VecDeque::new()), end(1 - node, hello)];
        self.nodes[node].dials_left -= 1;
        self.nodes[node].slot = Slot::Dialing {
            connection: self.connections.len(),
        };
        self.connections.push(Connection { ends });
    }

    fn arrive(&mut self, connection: usize, end: usize) {
        let arrived = &mut self.connections[connection].ends[end];
        let node = arrived.node;
        let message = arrived
            .arriving
            .pop_front()
            .expect("the step said that one is there");
        if !arrived.open {
            return;
        }
        match message {
            Message::Hello { incarnation } => self.hello(node, connection, incarnation),
            Message::Welcome { incarnation } => {
                assert_eq!(self.nodes[node].slot, Slot::Dialing { connection });
                self.nodes[node].slot = Slot::Up {
                    connection,
                    dialed_by_us: true,
                    incarnation,
                };
            }
            Message::Refuse | Message::Close => {
                arrived.open = false;
                self.lose(node, connection);
            }
        }
    }

    fn hello(&mut self, node: usize, connection: usize, incarnation: u64) {
        let live_incarnation = match self.nodes[node].slot {
            Slot::Up { incarnation, .. } => Some(incarnation),
            Slot::Idle | Slot::Dialing { .. } => None,
        };
        let remote = RemoteNode {
            name: NAMES[1 - node],
            incarnation,
            live_incarnation,
        };
        let slot = match self.nodes[node].slot {
            Slot::Idle => SlotState::Idle,
            Slot::Dialing { .. } => SlotState::Dialing,
            Slot::Up {
                dialed_by_us: true,
                incarnation,
                ..
            } => SlotState::UpDialedByUs { incarnation },
            Slot::Up { incarnation, .. } => SlotState::UpDialedByPeer { incarnation },
        };
        match keep(NAMES[node], remote, slot) {
            Choice::Refuse(_) => {
                self.send(node, connection, Message::Refuse);
                self.close(node, connection);
                return;
            }
            Choice::Accept => assert_eq!(self.nodes[node].slot, Slot::Idle),
            Choice::AcceptInsteadOfDial(_) | Choice::Replace(_) => self.give_up(node),
        }
        self.nodes[node].slot = Slot::Up {
            connection,
            dialed_by_us: false,
            incarnation,
        };
        let own = self.nodes[node].incarnation;
        self.send(node, connection, Message::Welcome { incarnation: own });
    }

    fn send(&mut self, from: usize, connection: usize, message: Message) {
        let to = &mut self.connections[connection].ends;
        let to = if to[0].node == from {
            &mut to[1]
        } else {
            &mut to[0]
        };
        to.arriving.push_back(message);
    }

    fn close(&mut self, node: usize, connection: usize) {
        self.send(node, connection, Message::Close);
        for end in &mut self.connections[connection].ends {
            end.open &= end.node != node;
        }
    }

    fn give_up(&mut self, node: usize) {
        if let Slot::Dialing { connection } | Slot::Up { connection, .. } = self.nodes[node].slot {
            self.close(node, connection);
        }
        self.nodes[node].slot = Slot::Idle;
    }

    fn lose(&mut self, node: usize, lost: usize) {
        if let Slot::Dialing { connection } | Slot::Up { connection, .. } = self.nodes[node].slot
            && connection == lost
        {
            self.nodes[node].slot = Slot::Idle;
        }
    }

    fn restart(&mut self, node: usize, silent: bool) {
        self.mishaps.restarts -= 1;
        for connection in 0..self.connections.len() {
            if silent {
                for end in &mut self.connections[connection].ends {
                    end.open &= end.node != node;
                }
            } else {
                self.close(node, connection);
            }
        }
        let restarted = &mut self.nodes[node];
        restarted.slot = Slot::Idle;
        restarted.incarnation += 1;
    }

    /// Keeps the number of states small: what is closed at both ends can have no more effect.
    fn forget_finished_connections(&mut self) {
        for end in self
            .connections
            .iter_mut()
            .flat_map(|connection| &mut connection.ends)
        {
            if !end.open {
                end.arriving.clear();
            }
        }
        let mut index = 0;
        while index < self.connections.len() {
            if self.connections[index].ends.iter().any(|end| end.open) {
                index += 1;
                continue;
            }
            self.connections.remove(index);
            for node in &mut self.nodes {
                if let Slot::Dialing { connection } | Slot::Up { connection, .. } = &mut node.slot {
                    *connection -= usize::from(*connection > index);
                }
            }
        }
    }

    /// The same single connection at both nodes, each knowing the other's present incarnation.
    fn is_up_at_both(&self) -> bool {
        let [
            Slot::Up {
                connection: first,
                dialed_by_us: first_dialed,
                incarnation: of_second,
            },
            Slot::Up {
                connection: second,
                dialed_by_us: second_dialed,
                incarnation: of_first,
            },
        ] = [self.nodes[0].slot, self.nodes[1].slot]
        else {
            return false;
        };
        first == second
            && first_dialed != second_dialed
            && of_first == self.nodes[0].incarnation
            && of_second == self.nodes[1].incarnation
            && self.connections.len() == 1
            && self.connections[0].ends.iter().all(|end| end.open)
    }

    fn is_idle_at_both(&self) -> bool {
        self.nodes.iter().all(|node| node.slot == Slot::Idle) && self.connections.is_empty()
    }
}

/// Visits every reachable state and gives each settled one to `check`. Returns how many states
/// there were, and how many settled ones.
fn explore(start: World, check: impl Fn(&World)) -> (usize, usize) {
    let mut seen = HashSet::from([start.clone()]);
    let mut open = vec![start];
    let mut settled = 0;
    while let Some(world) = open.pop() {
        let mut can_settle = true;
        for step in world.steps() {
            // A mishap may happen but need not: a state where only mishaps are left is settled.
            can_settle &= matches!(
                step,
                Step::Break { .. } | Step::DialTimeout { .. } | Step::Restart { .. }
            );
            let next = world.after(step);
            if seen.insert(next.clone()) {
                open.push(next);
            }
        }
        if can_settle {
            settled += 1;
            check(&world);
        }
    }
    (seen.len(), settled)
}

#[test]
fn without_mishaps_any_mix_of_dials_ends_with_one_connection() {
    let calm = Mishaps {
        breaks: 0,
        dial_timeouts: 0,
        restarts: 0,
    };
    for dials in [[1, 0], [0, 1], [1, 1], [2, 1], [1, 2], [3, 3]] {
        let (states, settled) = explore(World::new(dials, calm), |world| {
            assert!(world.is_up_at_both(), "with dials {dials:?}: {world:#?}");
        });
        println!("dials {dials:?}: {states} states, {settled} settled");
        assert!(settled > 0);
    }
}

#[test]
fn after_breaks_and_timeouts_and_restarts_both_nodes_agree() {
    for (dials, breaks, dial_timeouts, restarts) in [
        ([3, 3], 2, 0, 0),
        ([3, 3], 0, 2, 0),
        ([3, 3], 0, 0, 2),
        ([3, 3], 1, 1, 1),
    ] {
        let mishaps = Mishaps {
            breaks,
            dial_timeouts,
            restarts,
        };
        let (states, settled) = explore(World::new(dials, mishaps), |world| {
            let out_of_dials = world.nodes.iter().all(|node| node.dials_left == 0);
            assert!(
                world.is_up_at_both() || (world.is_idle_at_both() && out_of_dials),
                "with dials {dials:?} and {mishaps:?}: {world:#?}"
            );
        });
        println!("dials {dials:?}, {mishaps:?}: {states} states, {settled} settled");
        assert!(settled > 0);
    }
}
