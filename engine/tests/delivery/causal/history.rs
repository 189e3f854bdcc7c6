//! Happened-before, as the nodes of a test live it: each message says how many messages of each life to each node are in its
//! past, and a receiver holds that against what it has been given.

use std::collections::BTreeMap;

/// One life of a node, by its place in the test and its incarnation.
pub(crate) type Life = (usize, u64);

/// How many messages of a life to a node.
type Counts = BTreeMap<(Life, usize), u64>;

/// What one life of a node has sent and received.
pub(crate) struct History {
    me: Life,
    /// What is in the past of whatever it does next.
    past: Counts,
    /// Of each life, up to which of its messages to this node were delivered, or are in the past of one that was.
    closed: BTreeMap<Life, u64>,
    pub(crate) sent: u64,
    pub(crate) delivered: u64,
}

impl History {
    pub(crate) fn new(me: Life) -> Self {
        Self {
            me,
            past: Counts::new(),
            closed: BTreeMap::new(),
            sent: 0,
            delivered: 0,
        }
    }

    /// The next message to a node, as it goes out.
    pub(crate) fn message(&self, to: usize) -> Vec<u8> {
        let number = self.past.get(&(self.me, to)).map_or(0, |count| *count) + 1;
        let words = [self.me.0 as u64, self.me.1, number].into_iter();
        let past = self
            .past
            .iter()
            .flat_map(|(((node, incarnation), to), count)| {
                [*node as u64, *incarnation, *to as u64, *count]
            });
        words.chain(past).flat_map(u64::to_le_bytes).collect()
    }

    /// It was accepted.
    pub(crate) fn sent_to(&mut self, to: usize) {
        self.sent += 1;
        *self.past.entry((self.me, to)).or_default() += 1;
    }

    /// A message was delivered: says which of its past comes too late, if any of it could still come.
    pub(crate) fn deliver(&mut self, message: &[u8]) {
        let words = message.chunks_exact(8);
        let words: Vec<u64> = words
            .map(|word| u64::from_le_bytes(word.try_into().expect("8 bytes")))
            .collect();
        let node = |word: u64| usize::try_from(word).expect("small");
        let (from, number) = ((node(words[0]), words[1]), words[2]);
        let closed = self.closed.entry(from).or_default();
        assert!(
            number > *closed,
            "{:?} is delivered number {number} of {from:?} after what followed number {closed}",
            self.me
        );
        *closed = number;
        for past in words[3..].chunks_exact(4) {
            let (life, to, count) = ((node(past[0]), past[1]), node(past[2]), past[3]);
            self.note(life, to, count);
        }
        self.note(from, self.me.0, number);
        self.delivered += 1;
    }

    fn note(&mut self, life: Life, to: usize, count: u64) {
        let known = self.past.entry((life, to)).or_default();
        *known = count.max(*known);
        if to == self.me.0 && life != self.me {
            let closed = self.closed.entry(life).or_default();
            *closed = count.max(*closed);
        }
    }
}
