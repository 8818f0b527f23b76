//! The history of a graph: what the index contains, and what it lacks.
//!
//! The index contains pages, which this module finds by their numbers and hashes. Events that the
//! index lacks are counted in memory. A reader takes a [`HistorySnapshot`], in which the two belong
//! together.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::history::{Grain, PageNumber, Rows, Slot, minute_of};
use crate::model::job_counts::{Happened, JobCounts};

/// A page in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageRef {
    /// The number of rows that the page is divided into.
    pub(crate) parts: u8,
    /// The hash of the page's contents.
    pub(crate) hash: u64,
}

/// The pages of a graph.
pub(crate) type Pages = BTreeMap<PageNumber, PageRef>;

/// The history of a graph.
pub(crate) struct GraphHistory {
    /// The pages in the index, if there are any.
    pages: Option<Arc<Pages>>,
    /// The pages contain all events up to this LSN.
    pub(crate) through_lsn: u64,
    /// What was counted since the indexer last took the counts.
    changed: Rows,
    /// What is being written to the index.
    flushing: Option<Arc<Rows>>,
    /// The pages after that, while they are being written, and after their write has failed. The
    /// index then contains either these or the earlier ones.
    writing: Option<Arc<Pages>>,
}

/// The pages in the index, and the counts that they lack.
pub(crate) struct HistorySnapshot {
    /// The pages that the index contains, or may contain: each with the counts that they lack.
    pub(crate) views: Vec<(Arc<Pages>, Vec<Arc<Rows>>)>,
    /// Whether the pages are being written.
    pub(crate) is_writing: bool,
}

impl GraphHistory {
    pub(crate) const fn new() -> GraphHistory {
        GraphHistory {
            pages: None,
            through_lsn: 0,
            changed: Rows::new(),
            flushing: None,
            writing: None,
        }
    }

    /// The pages in the index.
    pub(crate) fn pages(&self) -> Arc<Pages> {
        self.pages.clone().unwrap_or_default()
    }

    /// Counts what happened at this time to a job with this command.
    pub(crate) fn count(&mut self, (at_ms, command, happened): (u64, u8, Happened)) {
        let slot = Slot::of_minute(minute_of(at_ms), command);
        self.changed.entry(slot).or_default().count(happened);
    }

    pub(crate) fn add(&mut self, slot: Slot, counts: &JobCounts) {
        self.changed.entry(slot).or_default().add(counts);
    }

    pub(crate) fn add_submitted(&mut self, slot: Slot, jobs: u64) {
        self.changed.entry(slot).or_default().count_submitted(jobs);
    }

    /// About how many counts wait in memory.
    pub(crate) fn len(&self) -> usize {
        self.changed.len()
    }

    /// Discards the counts that are not in the index.
    pub(crate) fn clear(&mut self) {
        self.changed.clear();
    }

    /// Takes the counts that a round writes to the index.
    pub(crate) fn take(&mut self) -> Option<Arc<Rows>> {
        self.flushing = match self.changed.is_empty() {
            true => None,
            false => Some(Arc::new(std::mem::take(&mut self.changed))),
        };
        self.flushing.clone()
    }

    /// Records that the counts that were taken are in these pages.
    pub(crate) fn written(&mut self, pages: Arc<Pages>, through_lsn: u64) {
        self.pages = Some(pages);
        self.through_lsn = through_lsn;
        self.flushing = None;
        self.writing = None;
    }

    /// Records that these pages are about to be written.
    pub(crate) fn begin_write(&mut self, pages: Arc<Pages>) {
        self.writing = Some(pages);
    }

    /// Replaces everything with what a rebuilt index contains.
    pub(crate) fn replace(&mut self, rebuilt: GraphHistory) {
        *self = rebuilt;
    }

    pub(crate) fn snapshot(&self) -> HistorySnapshot {
        let changed = Arc::new(self.changed.clone());
        let flushing = self.flushing.iter().chain([&changed]).cloned();
        let mut views = vec![(self.pages(), flushing.collect())];
        views.extend(self.writing.clone().map(|pages| (pages, vec![changed])));
        HistorySnapshot {
            views,
            is_writing: self.writing.is_some(),
        }
    }

    /// The slot in which the index counts these events, as far as it is certain: history that is
    /// kept less finely is never kept more finely again.
    pub(crate) fn folded(&self, mut slot: Slot) -> Slot {
        let Some(pages) = &self.pages else {
            return slot;
        };
        while is_folded(pages, slot) {
            let Some(folded) = slot.folded() else {
                break;
            };
            slot = folded;
        }
        slot
    }
}

/// The first and the number of the pages of a grain.
pub(crate) fn first_and_count<P>(
    pages: &BTreeMap<PageNumber, P>,
    grain: Grain,
) -> (Option<PageNumber>, usize) {
    let page = |number| PageNumber { grain, number };
    let mut of_grain = pages.range(page(0)..=page(u32::MAX)).map(|(page, _)| *page);
    (of_grain.clone().next(), of_grain.by_ref().count())
}

/// Whether events of this slot are kept less finely, because enough newer pages exist.
pub(crate) fn is_folded<P>(pages: &BTreeMap<PageNumber, P>, slot: Slot) -> bool {
    let (first, count) = first_and_count(pages, slot.grain);
    let page = slot.page().0;
    count >= slot.grain.pages_max() && first.is_some_and(|first| page < first)
}
