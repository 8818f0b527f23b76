//! A run: sorted pairs in pages, and the data about the pages that is kept in memory.

use std::sync::Arc;

use super::filter::BloomFilter;
use super::page::{Owner, Pair, read_page};
use crate::index::{Fault, Index};

pub(super) struct SortedRun {
    pub(super) number: u64,
    pub(super) count: u64,
    /// The first hash of each page.
    pub(super) fences: Vec<u64>,
    pub(super) filter: BloomFilter,
}

impl SortedRun {
    pub(super) fn add_page(&mut self, pairs: &[Pair]) {
        if let Some(&(first, _)) = pairs.first() {
            self.fences.push(first);
        }
        self.count += pairs.len() as u64;
        for &(hash, _) in pairs {
            self.filter.insert(hash);
        }
    }
}

/// Returns the number of the next run. Overflow is an error, because a row with a valid checksum
/// may contain the largest possible number.
pub(super) fn after(number: u64) -> Result<u64, Fault> {
    number
        .checked_add(1)
        .ok_or_else(|| Fault("run numbers are exhausted".to_owned()))
}

pub(super) fn lookup_in(
    index: &dyn Index,
    runs: &[Arc<SortedRun>],
    hash: u64,
) -> Result<Vec<Owner>, Fault> {
    let mut found = Vec::new();
    for run in runs.iter().filter(|run| run.filter.may_contain(hash)) {
        // Equal hashes may begin on the page before the first page that starts with the hash.
        let mut page = run
            .fences
            .partition_point(|&first| first < hash)
            .saturating_sub(1);
        while run.fences.get(page).is_some_and(|&first| first <= hash) {
            let pairs = read_page(index, run.number, page as u32)?;
            found.extend(pairs.iter().filter(|p| p.0 == hash).map(|p| p.1));
            page += 1;
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Iterates over the pairs of a run in order, with one page in memory at a time.
pub(super) struct RunPairs<'a> {
    index: &'a dyn Index,
    run: &'a SortedRun,
    page: usize,
    pairs: std::vec::IntoIter<Pair>,
}

impl<'a> RunPairs<'a> {
    pub(super) fn new(
        index: &'a dyn Index,
        run: &'a SortedRun,
    ) -> std::iter::Peekable<RunPairs<'a>> {
        RunPairs {
            index,
            run,
            page: 0,
            pairs: Vec::new().into_iter(),
        }
        .peekable()
    }
}

impl Iterator for RunPairs<'_> {
    type Item = Result<Pair, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(pair) = self.pairs.next() {
                return Some(Ok(pair));
            }
            if self.page == self.run.fences.len() {
                return None;
            }
            match read_page(self.index, self.run.number, self.page as u32) {
                Ok(pairs) => self.pairs = pairs.into_iter(),
                Err(fault) => return Some(Err(fault)),
            }
            self.page += 1;
        }
    }
}
