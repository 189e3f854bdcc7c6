//! Compression on a shard: batches on their way out, and compressed frames on their way in.
//!
//! Holds the memory that the codecs work in, one for each channel that compresses and one for all lanes that
//! receive. Called by `lane` with each batch of such a channel, and by `receive` with each compressed frame.
//! It knows neither sockets nor ledgers.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::outbox::Batch;
use crate::channel_plan::ChannelPlan;
use crate::delivery::Payoff;
use crate::ring::PayloadPool;
use crate::wire::codec::Codec;
use crate::wire::compression::{Compressor, Decompressor};
use crate::wire::{ChannelTerms, CloseReason, FrameKind, HEADER_BYTES, put_header};

/// Batches below this are sent as they are: a message or two, in which nothing comes again.
const BATCH_BYTES_MIN: usize = 256;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Packing {
    /// By channel, once it has sent something.
    compressors: BTreeMap<usize, Compressor>,
    decompressor: Decompressor,
    /// A batch in one piece.
    batch: Vec<u8>,
    /// The frame that it becomes.
    frame: Vec<u8>,
}

impl Packing {
    /// The channel compresses otherwise from now on, or is gone.
    pub(super) fn forget_channel(&mut self, channel: usize) {
        self.compressors.remove(&channel);
    }

    /// Compresses what a batch holds of messages, if that pays. Returns what it took before and takes now, if
    /// it was compressed.
    pub(super) fn pack(
        &mut self,
        plan: &ChannelPlan,
        terms: &ChannelTerms,
        payoff: &mut Payoff,
        batch: &mut Batch,
    ) -> Option<(usize, usize)> {
        let codec = plan.codec?;
        let bytes = batch.message_bytes();
        if bytes < BATCH_BYTES_MIN || !payoff.tries() {
            return None;
        }
        let compressor = match self.compressors.entry(plan.index) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let level = plan.config.compression_level.into();
                match Compressor::new(codec, level) {
                    Ok(compressor) => entry.insert(compressor),
                    Err(error) => {
                        tracing::warn!(%error, channel = %plan.name, "a batch is not compressed");
                        return None;
                    }
                }
            }
        };
        self.batch.clear();
        batch.gather(&mut self.batch);
        self.frame.clear();
        self.frame.resize(HEADER_BYTES, 0);
        let body_bytes_max = terms.body_bytes_max;
        let fits = compressor.compress(&self.batch, body_bytes_max, &mut self.frame);
        let packed = fits.then_some(self.frame.len());
        if !payoff.judge(bytes, packed) {
            return None;
        }
        let header = self.frame.first_chunk_mut()?;
        let body_bytes = u32::try_from(packed? - HEADER_BYTES).ok()?;
        let batch_bytes = u32::try_from(bytes).ok()?;
        put_header(header, FrameKind::Compressed, body_bytes, batch_bytes);
        batch.replace(&self.frame);
        Some((bytes, packed?))
    }

    /// The frames that a compressed one stands for. Its bounds were checked when it was decoded.
    pub(super) fn unpack(
        &mut self,
        pool: &Arc<PayloadPool>,
        codec: Option<Codec>,
        batch_bytes: u32,
        body: &[u8],
    ) -> Result<Bytes, CloseReason> {
        let codec = codec.ok_or(CloseReason::BadCompression)?;
        let batch_bytes = usize::try_from(batch_bytes).map_err(|_| CloseReason::BadCompression)?;
        let mut block = pool.block(batch_bytes);
        self.decompressor
            .decompress(codec, body, block.as_mut())
            .map_err(|_| CloseReason::BadCompression)?;
        Ok(block.into_payload())
    }
}
