//! The receipts of a lane's messages that are under way: which of them an acknowledgement covers.
//!
//! Owned by the log of a lane. Acknowledgements are counts, so each receipt is noted with its message's place
//! among those handed over on the connection. It knows numbers only, neither messages nor who waits.

use std::collections::VecDeque;

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    /// Messages handed over on this connection.
    handed_over: u64,
    /// Messages of those that are acknowledged.
    covered: u64,
    /// The place of a message, and its receipt; places ascend.
    open: VecDeque<(u64, u64)>,
}

impl Receipts {
    /// A batch of `messages` is handed over; `receipts` are the places in it and the numbers of those that
    /// have one, in order.
    pub(crate) fn handed_over(
        &mut self,
        messages: u64,
        receipts: impl IntoIterator<Item = (u64, u64)>,
    ) {
        let before = self.handed_over;
        let places = receipts.into_iter();
        self.open
            .extend(places.map(|(place, number)| (before + place, number)));
        self.handed_over += messages;
    }

    /// `messages` more are acknowledged: returns the receipts among them.
    pub(crate) fn acknowledge(&mut self, messages: u64) -> impl Iterator<Item = u64> + '_ {
        self.covered += messages;
        let covered = self.covered;
        std::iter::from_fn(move || {
            let (_, number) = self.open.pop_front_if(|(place, _)| *place < covered)?;
            Some(number)
        })
    }

    /// The connection has ended: returns the receipts that are still open, and counts from 0 again.
    pub(crate) fn end(&mut self) -> impl Iterator<Item = u64> + use<> {
        let Self { open, .. } = std::mem::take(self);
        open.into_iter().map(|(_, number)| number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_covers_the_receipts_of_its_messages_and_no_others() {
        let mut receipts = Receipts::default();
        receipts.handed_over(3, [(0, 10), (2, 12)]);
        receipts.handed_over(2, []);
        receipts.handed_over(2, [(1, 16)]);
        assert_eq!(receipts.acknowledge(0).count(), 0);
        assert_eq!(receipts.acknowledge(2).collect::<Vec<_>>(), [10]);
        assert_eq!(receipts.acknowledge(4).collect::<Vec<_>>(), [12]);
        assert_eq!(receipts.acknowledge(1).collect::<Vec<_>>(), [16]);
    }

    #[test]
    fn a_new_connection_counts_from_nothing() {
        let mut receipts = Receipts::default();
        receipts.handed_over(3, [(1, 7), (2, 8)]);
        assert_eq!(receipts.acknowledge(2).collect::<Vec<_>>(), [7]);
        assert_eq!(receipts.end().collect::<Vec<_>>(), [8]);
        receipts.handed_over(1, [(0, 9)]);
        assert_eq!(receipts.acknowledge(1).collect::<Vec<_>>(), [9]);
    }
}
