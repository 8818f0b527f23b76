//! What a scan has to find, and what it has found.

use crate::engine::read::reader::Snapshot;

/// What a scan has to find, and what it has found.
#[derive(Default)]
pub(crate) struct ScanMatches {
    /// How many more matches to skip.
    pub(crate) skip: u64,
    /// The maximum number of further matches to show.
    pub(crate) show: u64,
    /// Whether to continue to the end, so that all matches are counted.
    pub(crate) count_all: bool,
    pub(crate) shown: ShownJobs,
    /// The next match after those shown, if one was found.
    pub(crate) next: Option<u64>,
    /// All matches found.
    pub(crate) matched: u64,
}

/// Some jobs, stored as bit sets, so that any number of them takes at most half a byte for each
/// job of the graph.
#[derive(Default)]
pub(crate) struct ShownJobs {
    /// Groups of 32 neighbors, in the order of the list, with a bit for each job that is shown.
    words: Vec<(u64, u32)>,
    pub(crate) len: u64,
}

impl ShownJobs {
    fn push(&mut self, sequence: u64) {
        let (place, bit) = (sequence / 32, 1 << (sequence % 32));
        self.len += 1;
        match self.words.last_mut() {
            Some((last, bits)) if *last == place => *bits |= bit,
            _ => self.words.push((place, bit)),
        }
    }

    /// The part of a snapshot that contains these jobs.
    pub(crate) fn of(mut self, all: Snapshot) -> Snapshot {
        self.words.sort_unstable();
        all.only(|sequence| {
            let found = self.words.binary_search_by_key(&(sequence / 32), |w| w.0);
            found.is_ok_and(|n| self.words[n].1 >> (sequence % 32) & 1 == 1)
        })
    }
}

impl ScanMatches {
    pub(super) fn take(&mut self, sequence: u64) {
        self.matched += 1;
        if self.skip > 0 {
            self.skip -= 1;
        } else if self.shown.len < self.show {
            self.shown.push(sequence);
        } else {
            self.next.get_or_insert(sequence);
        }
    }

    pub(super) fn are_enough(&self) -> bool {
        !self.count_all && self.shown.len >= self.show
    }
}
