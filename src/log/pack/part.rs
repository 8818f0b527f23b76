//! The jobs of one graph in a pack: the places of their blocks, and reading them.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::sync::atomic::AtomicU64;
use crate::log::block::Block;
use crate::log::disk::File as _;
use crate::log::fingerprints::PagePlace;
use crate::log::revocable::Revocable;
use crate::model::error::{Error, Result};

/// A block's place in its pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BlockPlace {
    pub(crate) first_sequence: u64,
    pub(crate) offset: u64,
    /// Bytes in the file, all pieces together; 0 for jobs that are there no more.
    pub(crate) len: u32,
    pub(crate) jobs: u32,
    /// One job in pieces.
    pub(crate) large: bool,
    /// Whether any of its ids was not made by the graph.
    pub(crate) external_ids: bool,
    /// Whether its jobs were purged.
    pub(crate) purged: bool,
    /// When the first of its jobs was submitted, by the clock, in ms.
    pub(crate) first_ms: u64,
    /// How much later the last was.
    pub(crate) span_ms: u64,
}

impl BlockPlace {
    /// Whether a repair found the block damaged: its jobs are listed no more.
    pub(crate) fn is_quarantined(&self) -> bool {
        self.len == 0 && !self.purged
    }

    /// Whether it says of its jobs only that they are there no more.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// One past its last job.
    pub(crate) fn end_sequence(&self) -> u64 {
        self.first_sequence + u64::from(self.jobs)
    }
}

/// A pack's file, as all of its parts share it.
pub(crate) struct PackFile {
    pub(crate) file: Arc<Revocable>,
    /// For messages.
    pub(crate) path: PathBuf,
}

/// The blocks of one graph in one pack; their sequence numbers join without gap.
pub(crate) struct Part {
    pub(crate) graph: u32,
    pub(crate) first_sequence: u64,
    /// One past the last.
    pub(crate) end_sequence: u64,
    /// How many of its jobs a repair quarantined.
    pub(crate) quarantined: u64,
    /// How many of its jobs were purged and take no room any more.
    pub(crate) purged: u64,
    pub(crate) blocks: Box<[BlockPlace]>,
    /// The pages of its requests' fingerprints, in order.
    pub(crate) fingerprints: Box<[PagePlace]>,
    pub(crate) pack: Arc<PackFile>,
    /// Its share in [`Garbage::blocks`](super::Garbage::blocks).
    pub(crate) garbage: AtomicU64,
}

impl Part {
    pub(crate) fn block_bytes(&self) -> u64 {
        self.blocks.iter().map(|place| u64::from(place.len)).sum()
    }

    /// The block that holds this job.
    pub(crate) fn block_of(&self, sequence: u64) -> Option<usize> {
        if !(self.first_sequence..self.end_sequence).contains(&sequence) {
            return None;
        }
        self.blocks
            .partition_point(|b| b.first_sequence <= sequence)
            .checked_sub(1)
    }

    /// Reads a block of small jobs; `piece` is room for its bytes.
    pub(crate) fn read_block(
        &self,
        place: &BlockPlace,
        (block, piece): (&mut Block, &mut Vec<u8>),
    ) -> Result<()> {
        piece.resize(place.len as usize, 0);
        self.pack
            .file
            .read_exact_at(piece, place.offset)
            .map_err(|e| Error::io("read", &self.pack.path, &e))?;
        let opened = block.open(self.graph, place.first_sequence, piece);
        let whole = opened.filter(|()| block.rows.len() as u64 == u64::from(place.jobs));
        whole.ok_or_else(|| self.not_valid(place))
    }

    pub(crate) fn not_valid(&self, place: &BlockPlace) -> Error {
        Error::damaged(&self.pack.path, place.offset, "invalid block of jobs")
    }
}
