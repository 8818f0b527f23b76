//! The sorted fingerprints of a pack's requests. They are used to find the jobs that have a given
//! request.
//!
//! A lookup finds every job whose request has the fingerprint. The checksum of a page is verified
//! before the page is used.
//!
//! A lookup reads only the pages that can contain the fingerprint, usually one. To find them, it
//! searches the first fingerprints of all pages, which are kept in memory and take 16 bytes per 512
//! jobs.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::codec::{VarReader, put_var};
use crate::log::block::{Scratch, Seed, open_piece, seal_piece};
use crate::log::disk::File as _;
use crate::log::fingerprint::Fingerprint;
use crate::log::pack::Part;
use crate::model::error::{Error, Result};

/// The fingerprint of a request, and the sequence number of its job.
pub(crate) type FingerprintEntry = (Fingerprint, u64);

/// The number of entries in a page. A lookup reads about 3 KiB.
pub(crate) const PAGE_ENTRIES: usize = 512;

/// The position of a page in its pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PagePlace {
    pub(crate) first: Fingerprint,
    pub(crate) offset: u64,
    pub(crate) len: u32,
}

/// Seals sorted entries as a page and appends it. The page is the `n`-th of a graph whose first job
/// in the pack is `first_sequence`.
pub(crate) fn seal_page(
    (graph, first_sequence, n): (u32, u64, usize),
    entries: &[FingerprintEntry],
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) {
    let mut raw = Vec::with_capacity(entries.len() * 8);
    let mut before = 0;
    for &(Fingerprint(fingerprint), sequence) in entries {
        put_var(fingerprint - before, &mut raw);
        put_var(sequence - first_sequence, &mut raw);
        before = fingerprint;
    }
    seal_piece(
        Seed::fingerprints(graph, first_sequence, n as u32),
        &raw,
        scratch,
        out,
    );
}

impl Part {
    /// Returns the entries of the `n`-th page, sorted.
    pub(crate) fn fingerprint_page(&self, n: usize) -> Result<Vec<FingerprintEntry>> {
        let place = &self.fingerprints[n];
        let mut piece = vec![0; place.len as usize];
        self.pack
            .file
            .read_exact_at(&mut piece, place.offset)
            .map_err(|e| Error::io("read", &self.pack.path, &e))?;
        self.decode_page(n, &piece)
            .ok_or_else(|| Error::damaged(&self.pack.path, place.offset, "invalid fingerprints"))
    }

    fn decode_page(&self, n: usize, piece: &[u8]) -> Option<Vec<FingerprintEntry>> {
        let seed = Seed::fingerprints(self.graph, self.first_sequence, n as u32);
        let mut raw = Vec::new();
        let (len, taken) = open_piece(seed, piece, &mut raw)?;
        let mut reader = VarReader(raw.get(..len)?);
        let (mut entries, mut fingerprint) = (Vec::with_capacity(PAGE_ENTRIES), 0u64);
        while !reader.0.is_empty() {
            fingerprint = fingerprint.checked_add(reader.next()?)?;
            let sequence = self.first_sequence.checked_add(reader.next()?)?;
            let entry = (Fingerprint(fingerprint), sequence);
            let is_possible = entry.0.is_possible() && sequence < self.end_sequence;
            if !is_possible || entries.last().is_some_and(|last| *last >= entry) {
                return None;
            }
            entries.push(entry);
        }
        let first = entries.first()?.0;
        (taken == piece.len() && first == self.fingerprints[n].first).then_some(entries)
    }

    /// Adds the jobs whose requests have this fingerprint, in ascending order.
    pub(crate) fn with_fingerprint(
        &self,
        fingerprint: Fingerprint,
        found: &mut Vec<u64>,
    ) -> Result<()> {
        // Equal fingerprints may begin on the page before the first page that starts with this one.
        let after = self.fingerprints.partition_point(|p| p.first < fingerprint);
        let pages = self.fingerprints.iter().enumerate();
        for (n, place) in pages.skip(after.saturating_sub(1)) {
            if place.first > fingerprint {
                break;
            }
            let page = self.fingerprint_page(n)?;
            let from = page.partition_point(|entry| entry.0 < fingerprint);
            let equal = page[from..].iter().take_while(|e| e.0 == fingerprint);
            found.extend(equal.map(|entry| entry.1));
        }
        Ok(())
    }
}

/// Merges the entries of several parts of a graph in order, with one page of each part in memory.
pub(crate) struct MergedFingerprints<'p> {
    sources: Vec<PartEntries<'p>>,
    /// The next entry of each source.
    heads: BinaryHeap<Reverse<(FingerprintEntry, usize)>>,
    /// The error if a page could not be read.
    failed: Option<Error>,
}

struct PartEntries<'p> {
    part: &'p Part,
    /// The next page to read.
    page: usize,
    entries: std::vec::IntoIter<FingerprintEntry>,
}

impl PartEntries<'_> {
    fn next(&mut self) -> Result<Option<FingerprintEntry>> {
        loop {
            if let Some(entry) = self.entries.next() {
                return Ok(Some(entry));
            }
            if self.page == self.part.fingerprints.len() {
                return Ok(None);
            }
            self.entries = self.part.fingerprint_page(self.page)?.into_iter();
            self.page += 1;
        }
    }
}

impl<'p> MergedFingerprints<'p> {
    pub(crate) fn new(parts: &'p [Arc<Part>]) -> MergedFingerprints<'p> {
        let sources = parts.iter().map(|part| PartEntries {
            part,
            page: 0,
            entries: Vec::new().into_iter(),
        });
        let mut merged = MergedFingerprints {
            sources: sources.collect(),
            heads: BinaryHeap::new(),
            failed: None,
        };
        (0..parts.len()).for_each(|n| merged.advance(n));
        merged
    }

    fn advance(&mut self, n: usize) {
        match self.sources[n].next() {
            Ok(Some(entry)) => self.heads.push(Reverse((entry, n))),
            Ok(None) => {}
            Err(error) => self.failed = Some(error),
        }
    }
}

impl Iterator for MergedFingerprints<'_> {
    type Item = Result<FingerprintEntry>;

    fn next(&mut self) -> Option<Result<FingerprintEntry>> {
        if let Some(error) = self.failed.take() {
            self.heads.clear();
            return Some(Err(error));
        }
        let Reverse((entry, n)) = self.heads.pop()?;
        self.advance(n);
        Some(Ok(entry))
    }
}
