//! Messages that begin once more: a node that was behind with the overlay began them where nobody was any more.
//!
//! A node that joins begins with the overlay of its configuration, and hears a moment later which one is in force. Until
//! then it may broadcast, over links that the others have closed. So does one that was cut off while the overlay was
//! switched. Once it is told, what it had begun begins anew over the overlay in force, under another number of another
//! broadcast; a mark in front says under which it was begun first, so that it comes once to those that had it already.
//!
//! Called by the broadcasts of a node, for what goes down and what comes up.
//! What it must never do: remember more than [`TOLD_MAX`] of them.

use crate::payload::{HEAD_BYTES_MAX, Payload};
use crate::store::MessageId;

/// First byte of a payload that begins once more. Layers above number their marks from zero.
const KIND_AGAIN: u8 = 0xff;

/// Bytes of the mark: its kind, and the two numbers of the message.
const MARK_BYTES: usize = 1 + 8 + 8;

/// Most messages remembered that came begun once more. 4,096: a guess, more than nodes that have only just joined send.
pub(super) const TOLD_MAX: usize = 4_096;

/// The payload as it begins once more; none if its marks leave no room for that.
pub(super) fn mark(first: MessageId, payload: &Payload) -> Option<Payload> {
    if read(payload).is_some() {
        return Some(payload.clone());
    }
    let has_room = payload.words().len() + MARK_BYTES <= HEAD_BYTES_MAX;
    let numbers = [first.sender.to_le_bytes(), first.number.to_le_bytes()];
    has_room.then(|| payload.clone().marked_with(KIND_AGAIN, &numbers.concat()))
}

/// Under which number a payload was begun first, and the payload without its mark; none if it has not begun again.
pub(super) fn read(payload: &Payload) -> Option<(MessageId, Payload)> {
    let (kind, numbers) = payload.words().split_first_chunk::<1>()?;
    let (sender, rest) = numbers.split_first_chunk()?;
    let number = rest.first_chunk()?;
    let first = MessageId {
        sender: u64::from_le_bytes(*sender),
        number: u64::from_le_bytes(*number),
    };
    (*kind == [KIND_AGAIN]).then(|| (first, payload.clone().without_words(MARK_BYTES)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn id(number: u64) -> MessageId {
        MessageId { sender: 9, number }
    }

    #[test]
    fn a_payload_says_under_which_number_it_was_begun_first_however_often_it_begins() {
        let payload = Payload::from(vec![7]).marked(1);
        assert_eq!(read(&payload), None);
        let again = mark(id(3), &payload).unwrap();
        assert_eq!(read(&again), Some((id(3), payload.clone())));
        assert_eq!(mark(id(8), &again), Some(again));
        for length in 0..MARK_BYTES - 1 {
            let cut = Payload::from(vec![7]).marked_with(KIND_AGAIN, &vec![0; length]);
            assert_eq!(read(&cut).is_some(), length + 1 >= MARK_BYTES);
        }
        let full = payload.marked_with(2, &[0; HEAD_BYTES_MAX - 2]);
        assert_eq!(mark(id(3), &full), None, "it would be refused");
    }
}
