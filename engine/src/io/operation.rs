//! What one operation of a backend is about, packed into the 64 bits that io_uring hands back, and what it
//! does.
//!
//! Written when an operation is queued, read when its completion is reaped. The generation tells a
//! completion of a connection that is gone from one of the connection that took its place.

/// The kinds of operation a data shard has under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum OperationKind {
    /// Multishot accept on the shard's listening socket.
    Accept = 1,
    /// Connecting to a peer.
    Connect = 2,
    /// One receive into a connection's own handshake buffer.
    ReceiveHandshake = 3,
    /// Multishot receive into the provided buffers.
    Receive = 4,
    /// Sending a lane's batch.
    Send = 5,
    /// Cancelling another operation; its own result is of no interest.
    Cancel = 6,
    /// The next deadline of the shard's timers.
    Timeout = 7,
    /// Somebody rings the shard's doorbell.
    Doorbell = 8,
    /// One receive into the memory of a large payload, and what follows it.
    Land = 9,
}

/// An operation: its kind, and the connection (index and generation) it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) kind: OperationKind,
    /// Only the low 24 bits travel.
    pub(crate) generation: u32,
    pub(crate) index: u32,
}

const GENERATION_MASK: u32 = 0x00FF_FFFF;

impl Operation {
    pub(crate) fn new(kind: OperationKind, index: u32, generation: u32) -> Self {
        Self {
            kind,
            generation: generation & GENERATION_MASK,
            index,
        }
    }

    pub(crate) fn to_user_data(self) -> u64 {
        u64::from(self.kind as u8) << 56 | u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// `None` for a number this module never wrote.
    pub(crate) fn from_user_data(user_data: u64) -> Option<Self> {
        let [a, b, c, d, e, f, g, kind] = user_data.to_le_bytes();
        let kind = match kind {
            1 => OperationKind::Accept,
            2 => OperationKind::Connect,
            3 => OperationKind::ReceiveHandshake,
            4 => OperationKind::Receive,
            5 => OperationKind::Send,
            6 => OperationKind::Cancel,
            7 => OperationKind::Timeout,
            8 => OperationKind::Doorbell,
            9 => OperationKind::Land,
            _ => return None,
        };
        let index = u32::from_le_bytes([a, b, c, d]);
        Some(Self {
            kind,
            generation: u32::from_le_bytes([e, f, g, 0]),
            index,
        })
    }
}

/// What an operation does on its socket. Whatever it names belongs to the operation: it stays at its place,
/// unchanged, until the operation's last completion has been reaped.
#[derive(Debug)]
pub(crate) enum SocketCall<'a> {
    Connect {
        address: &'a socket2::SockAddr,
    },
    /// Receives what there is, at most all of `buffer`, once.
    ReceiveOnce {
        buffer: &'a mut [u8],
    },
    /// Receives into the provided buffers of `group` until the end of the stream, an error, or ENOBUFS:
    /// there was no buffer left.
    Receive {
        group: u16,
    },
    /// Receives into one provided buffer of `group`, at most `bytes_max`, once: a connection that shares its
    /// buffers with others takes one in a turn.
    ReceiveSome {
        group: u16,
        bytes_max: usize,
    },
    /// Receives into the pieces that `header` names, once.
    Land {
        header: &'a mut libc::msghdr,
    },
    /// Sends one contiguous batch; it may complete with fewer bytes.
    Send {
        bytes: &'a [u8],
    },
    /// Sends a batch of several pieces; it may complete with fewer bytes.
    SendVectored {
        header: &'a libc::msghdr,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_survives_the_round_trip_through_the_kernel() {
        for kind in [
            OperationKind::Accept,
            OperationKind::Send,
            OperationKind::Timeout,
        ] {
            for (index, generation) in [(0, 0), (7, 3), (u32::MAX, GENERATION_MASK)] {
                let operation = Operation::new(kind, index, generation);
                assert_eq!(
                    Operation::from_user_data(operation.to_user_data()),
                    Some(operation)
                );
            }
        }
    }

    #[test]
    fn a_number_never_written_is_refused() {
        assert_eq!(Operation::from_user_data(0), None);
        assert_eq!(Operation::from_user_data(u64::MAX), None);
    }
}
