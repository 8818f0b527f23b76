//! Reads all of a pack, and determines which of its chunks and blocks are intact.
//!
//! Every byte that matters is read. A byte that cannot be read is considered damaged.

use std::collections::BTreeSet;

use super::OnRead;
use super::tally::Tally;
use crate::engine::read::large::Large;
use crate::log::block::Block;
use crate::log::fingerprint::Fingerprint;
use crate::log::fingerprints::FingerprintEntry;
use crate::log::pack::{Pack, Part};
use crate::model::error::{Error, Result};
use crate::model::id;

/// What is damaged in a pack, and what its intact events record.
pub(crate) struct PackSurvey {
    pub(crate) bad_chunks: BTreeSet<usize>,
    pub(crate) bad_blocks: BTreeSet<(u32, usize)>,
    /// The graphs whose fingerprints are damaged.
    pub(crate) bad_fingerprints: BTreeSet<u32>,
    pub(crate) tally: Tally,
}

impl PackSurvey {
    pub(super) fn is_sound(&self) -> bool {
        self.bad_chunks.is_empty() && self.bad_blocks.is_empty() && self.bad_fingerprints.is_empty()
    }

    pub(crate) fn into_damage(self) -> Vec<(Error, u64, u64)> {
        self.tally.damage
    }
}

/// Reads all of a pack.
pub(crate) fn check_pack(pack: &Pack, on_read: OnRead<'_>) -> Result<PackSurvey> {
    let mut checked = PackSurvey {
        bad_chunks: BTreeSet::new(),
        bad_blocks: BTreeSet::new(),
        bad_fingerprints: BTreeSet::new(),
        tally: Tally::default(),
    };
    let mut buffer = Vec::new();
    for (n, (place, first_lsn, last_lsn)) in pack.chunks().enumerate() {
        let mut events = Tally::default();
        let read = pack.chunk_events::<Error>(n, &mut buffer, |_, event| {
            events.event(event);
            Ok(())
        });
        match read.map_err(|error| unreadable(error, place.offset)) {
            Ok(()) => {
                checked.tally.created.append(&mut events.created);
                checked.tally.dropped.append(&mut events.dropped);
                for (graph, end) in events.mentioned {
                    checked.tally.note_jobs_up_to(graph, end);
                }
                for (graph, end) in events.submitted {
                    checked.tally.submit(graph, end);
                }
            }
            Err(error @ Error::Damaged { .. }) => {
                let events = last_lsn - first_lsn + 1;
                checked.tally.damage.push((error, 0, events));
                checked.bad_chunks.insert(n);
            }
            Err(error) => return Err(error),
        }
        on_read(u64::from(place.len))?;
    }
    let (mut block, mut piece) = (Block::default(), Vec::new());
    for part in &pack.parts {
        let mut requests = Some(0);
        for (n, place) in part.blocks.iter().enumerate() {
            let mut sum = 0u64;
            let read = each_request(part, n, (&mut block, &mut piece), |sequence, request| {
                sum = sum.wrapping_add(entry_hash((
                    Fingerprint::of_json(pack.store, request),
                    sequence,
                )));
            });
            match read.map_err(|error| unreadable(error, place.offset)) {
                Ok(()) => requests = requests.map(|requests: u64| requests.wrapping_add(sum)),
                Err(error @ Error::Damaged { .. }) => {
                    let jobs = u64::from(place.jobs);
                    checked.tally.damage.push((error, jobs, 0));
                    checked.bad_blocks.insert((part.graph, n));
                    requests = None;
                }
                Err(error) => return Err(error),
            }
            on_read(u64::from(place.len))?;
        }
        match check_fingerprints(part, requests, on_read) {
            Ok(()) => {}
            Err(error @ Error::Damaged { .. }) => {
                checked.tally.damage.push((error, 0, 0));
                checked.bad_fingerprints.insert(part.graph);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(checked)
}

/// Reads all of a part's fingerprints. If all requests in the part's blocks could be read,
/// `requests` is the sum of [`entry_hash`] over their fingerprints, and the two are compared.
fn check_fingerprints(part: &Part, requests: Option<u64>, on_read: OnRead<'_>) -> Result<()> {
    let mut sum = 0u64;
    for (n, place) in part.fingerprints.iter().enumerate() {
        let page = part.fingerprint_page(n);
        for entry in page.map_err(|error| unreadable(error, place.offset))? {
            sum = sum.wrapping_add(entry_hash(entry));
        }
        on_read(u64::from(place.len))?;
    }
    if requests.is_some_and(|requests| requests != sum) {
        let at = part.fingerprints.first().map_or(0, |place| place.offset);
        let what = "the fingerprints do not match the requests";
        return Err(Error::damaged(&part.pack.path, at, what));
    }
    Ok(())
}

fn entry_hash((Fingerprint(fingerprint), sequence): FingerprintEntry) -> u64 {
    id::mix(id::mix(fingerprint) ^ sequence)
}

/// Whatever the system cannot read, such as a bad sector, is considered damaged.
pub(super) fn unreadable(error: Error, offset: u64) -> Error {
    match error {
        Error::Io { path, message, .. } => {
            Error::damaged(path, offset, format!("cannot read the file: {message}"))
        }
        other => other,
    }
}

/// Reads all of a part's `n`th block and calls `each` with the sequence number and the text of
/// each of its requests.
pub(crate) fn each_request(
    part: &Part,
    n: usize,
    (block, piece): (&mut Block, &mut Vec<u8>),
    mut each: impl FnMut(u64, &str),
) -> Result<()> {
    let place = &part.blocks[n];
    let damaged = || part.not_valid(place);
    if place.is_empty() {
        return Ok(());
    }
    if place.large {
        let large = Large::in_pack(part, *place)?;
        let row = large.row;
        let (text, _) = large.whole()?;
        let request = text.get(row.request_range()).ok_or_else(damaged)?;
        let request = std::str::from_utf8(request).map_err(|_| damaged())?;
        each(place.first_sequence, request);
        return Ok(());
    }
    part.read_block(place, (&mut *block, piece))?;
    std::str::from_utf8(block.text()).map_err(|_| damaged())?;
    for (sequence, row) in (place.first_sequence..).zip(&block.rows) {
        let request = std::str::from_utf8(block.request(row)).map_err(|_| damaged())?;
        each(sequence, request);
    }
    Ok(())
}
