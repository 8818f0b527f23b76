//! The pages of a history: read from the index, changed, and folded.
//!
//! Whichever order events are added in, the result is the same: an hour that is no longer kept per
//! minute has at least as many newer hours as are kept per minute, and more events can only add
//! newer ones. The same applies to days.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::codec::{VarReader, put_var};
use crate::engine::state::history::{PageRef, Pages, first_and_count, is_folded};
use crate::index::rows::{self, HISTORY_PART_BYTES};
use crate::index::{Fault, Index};
use crate::model::history::{Grain, PageNumber, Rows, Slot};
use crate::model::job_counts::JobCounts;

/// The counts of a page, by place and command.
type Page = BTreeMap<(u8, u8), JobCounts>;

/// Rows to write to the index. A row without a value is removed.
type IndexRows = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// The pages of a graph, being read or changed.
pub(crate) struct HistoryPages<'i> {
    index: &'i dyn Index,
    graph: u32,
    /// The pages in the index, before any change.
    stored: &'i Pages,
    /// The pages that exist now.
    numbers: BTreeMap<PageNumber, ()>,
    /// The pages that were read or added.
    loaded: BTreeMap<PageNumber, Page>,
    changed: BTreeSet<PageNumber>,
}

impl<'i> HistoryPages<'i> {
    pub(crate) fn new(index: &'i dyn Index, graph: u32, stored: &'i Pages) -> HistoryPages<'i> {
        HistoryPages {
            index,
            graph,
            stored,
            numbers: stored.keys().map(|&page| (page, ())).collect(),
            loaded: BTreeMap::new(),
            changed: BTreeSet::new(),
        }
    }

    /// Adds counts.
    pub(crate) fn add_all(&mut self, counts: &Rows) -> Result<(), Fault> {
        counts
            .iter()
            .try_for_each(|(&slot, counts)| self.add(slot, counts))
    }

    fn add(&mut self, mut slot: Slot, counts: &JobCounts) -> Result<(), Fault> {
        while is_folded(&self.numbers, slot) {
            match slot.folded() {
                Some(folded) => slot = folded,
                None => return Ok(()),
            }
        }
        let (page, place) = slot.page();
        let rows = self.load(page)?;
        rows.entry((place, slot.command)).or_default().add(counts);
        self.changed.insert(page);
        self.fold(slot.grain)
    }

    /// If there are too many pages of a grain, keeps the history of the oldest ones less finely.
    fn fold(&mut self, grain: Grain) -> Result<(), Fault> {
        while let (Some(first), count) = first_and_count(&self.numbers, grain) {
            if count <= grain.pages_max() {
                break;
            }
            self.load(first)?;
            let rows = self.loaded.remove(&first).unwrap_or_default();
            self.numbers.remove(&first);
            self.changed.insert(first);
            for ((place, command), counts) in rows {
                if let Some(folded) = first.slot(place, command).folded() {
                    self.add(folded, &counts)?;
                }
            }
        }
        Ok(())
    }

    /// Returns the counts of all pages that overlap this range of milliseconds.
    pub(crate) fn rows_in(mut self, (from_ms, to_ms): (u64, u64)) -> Result<Rows, Fault> {
        let numbers: Vec<PageNumber> = self.numbers.keys().copied().collect();
        let mut rows = Rows::new();
        for page in numbers {
            let (from, to) = page.range_ms();
            if from < to_ms && from_ms < to {
                let counts = std::mem::take(self.load(page)?).into_iter();
                rows.extend(
                    counts.map(|((place, command), counts)| (page.slot(place, command), counts)),
                );
            }
        }
        Ok(rows)
    }

    fn load(&mut self, page: PageNumber) -> Result<&mut Page, Fault> {
        self.numbers.insert(page, ());
        if !self.loaded.contains_key(&page) {
            let read = match self.stored.get(&page) {
                Some(stored) => read(self.index, (self.graph, page), *stored)?,
                None => Page::new(),
            };
            self.loaded.insert(page, read);
        }
        Ok(self.loaded.entry(page).or_default())
    }

    /// Returns the pages after the changes, and the rows to write.
    pub(crate) fn finish(self) -> (Pages, IndexRows) {
        let (mut pages, mut rows) = (self.stored.clone(), Vec::new());
        for page in self.changed {
            let parts_before = pages.remove(&page).map_or(0, |stored| stored.parts);
            let key = |part| rows::history_key(self.graph, page, part);
            let mut parts = 0;
            if let Some(content) = self.loaded.get(&page).map(encode) {
                for part in content.chunks(HISTORY_PART_BYTES) {
                    let value = rows::seal(&key(parts), part.to_vec());
                    rows.push((key(parts), Some(value)));
                    parts += 1;
                }
                let hash = hash(&content);
                pages.insert(page, PageRef { parts, hash });
            }
            rows.extend((parts..parts_before).map(|part| (key(part), None)));
        }
        (pages, rows)
    }
}

fn hash(content: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(content)
}

/// Encodes a page. For each slot: its place and its command (a byte each), then the counts.
fn encode(page: &Page) -> Vec<u8> {
    let mut out = Vec::new();
    for (&(place, command), counts) in page {
        out.extend([place, command]);
        counts.encode_into(&mut out);
    }
    out
}

fn decode(content: &[u8]) -> Option<Page> {
    let (mut page, mut reader) = (Page::new(), VarReader(content));
    while !reader.0.is_empty() {
        let slot = (reader.byte()?, reader.byte()?);
        page.insert(slot, JobCounts::decode(&mut reader)?);
    }
    Some(page)
}

/// Reads a page; returns an error if it is not the one with this hash.
fn read(
    index: &dyn Index,
    (graph, page): (u32, PageNumber),
    stored: PageRef,
) -> Result<Page, Fault> {
    let mut content = Vec::new();
    for part in 0..stored.parts {
        let key = rows::history_key(graph, page, part);
        if let Some(value) = index.get(&key)? {
            content.extend_from_slice(rows::open(&key, &value).unwrap_or_default());
        }
    }
    let is_current = hash(&content) == stored.hash;
    let page = is_current.then(|| decode(&content)).flatten();
    page.ok_or_else(|| {
        Fault(format!(
            "a page of the history of graph {graph} is missing or stale"
        ))
    })
}

/// Encodes the list of a graph's pages: the LSN up to which they contain all events, then, for each
/// page: grain and number (as the distance from the number of the previous page of the same grain,
/// or the number itself), the number of parts, and the hash (8 bytes).
pub(crate) fn encode_list(pages: &Pages, through_lsn: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_var(through_lsn, &mut out);
    let mut before = PageNumber {
        grain: Grain::Minute,
        number: 0,
    };
    for (page, stored) in pages {
        let from = if page.grain == before.grain {
            before.number
        } else {
            0
        };
        out.push(page.grain.to_stored());
        put_var(u64::from(page.number - from), &mut out);
        out.push(stored.parts);
        out.extend_from_slice(&stored.hash.to_le_bytes());
        before = *page;
    }
    out
}

/// The inverse of [`encode_list`].
pub(crate) fn decode_list(bytes: &[u8]) -> Option<(Pages, u64)> {
    let (mut pages, mut reader) = (Pages::new(), VarReader(bytes));
    let through_lsn = reader.next()?;
    let mut before = PageNumber {
        grain: Grain::Minute,
        number: 0,
    };
    while !reader.0.is_empty() {
        let grain = Grain::from_stored(u64::from(reader.byte()?))?;
        let from = if grain == before.grain {
            before.number
        } else {
            0
        };
        let number = u32::try_from(reader.next()?).ok()?.checked_add(from)?;
        before = PageNumber { grain, number };
        let parts = reader.byte()?;
        let hash = reader.eight()?;
        pages.insert(before, PageRef { parts, hash });
    }
    Some((pages, through_lsn))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Batch;
    use crate::index::memory::MemoryIndex;
    use crate::model::job_counts::Happened;
    use proptest::prelude::*;

    /// Adds events, a few at a time, and returns the pages.
    fn written(index: &MemoryIndex, events: &[(Slot, u64)], at_a_time: usize) -> Pages {
        let mut pages = Pages::new();
        for events in events.chunks(at_a_time) {
            let mut rows = Rows::new();
            for &(slot, jobs) in events {
                rows.entry(slot).or_default().count_submitted(jobs);
            }
            let mut changed = HistoryPages::new(index, 3, &pages);
            changed.add_all(&rows).unwrap();
            let (changed, rows) = changed.finish();
            let mut batch = Batch::default();
            for (key, value) in rows {
                match value {
                    Some(value) => batch.put(key, value),
                    None => batch.remove(key),
                }
            }
            index.write(&batch).unwrap();
            let list = encode_list(&changed, 7);
            assert_eq!(decode_list(&list), Some((changed.clone(), 7)));
            assert!(list.len() + 4 <= crate::index::VALUE_BYTES_MAX);
            pages = changed;
        }
        pages
    }

    fn all(index: &MemoryIndex, pages: &Pages) -> Rows {
        let pages = HistoryPages::new(index, 3, pages);
        pages.rows_in((0, u64::MAX)).unwrap()
    }

    fn any_event() -> impl Strategy<Value = (Slot, u64)> {
        // Most hours differ, so that there are more than are kept.
        let minute = prop_oneof![0u32..20_000, 0u32..2_000_000, 4_000_000_000u32..u32::MAX];
        (minute, 0u8..3, 1u64..5)
            .prop_map(|(minute, command, jobs)| (Slot::of_minute(minute, command), jobs))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn the_order_of_events_and_of_writes_makes_no_difference(
            events in proptest::collection::vec(any_event(), 1..600),
            at_a_time in 1usize..100,
            seed: u64,
        ) {
            let (one, other) = (MemoryIndex::default(), MemoryIndex::default());
            let mut shuffled = events.clone();
            shuffled.sort_by_key(|(slot, jobs)| {
                let text = format!("{slot:?} {jobs}");
                xxhash_rust::xxh3::xxh3_64_with_seed(text.as_bytes(), seed)
            });
            let a = all(&one, &written(&one, &events, at_a_time));
            let b = all(&other, &written(&other, &shuffled, events.len()));
            prop_assert_eq!(a, b);
        }
    }

    #[test]
    fn old_history_is_kept_less_finely_and_nothing_is_lost() {
        let index = MemoryIndex::default();
        let minutes = (0..200 * 60 * 24).step_by(30);
        let events: Vec<_> = minutes.map(|m| (Slot::of_minute(m, 1), 1)).collect();
        let pages = written(&index, &events, 10_000);
        let rows = all(&index, &pages);
        let jobs = |grain| -> u64 {
            let of_grain = rows.iter().filter(|(slot, _)| slot.grain == grain);
            of_grain.map(|(_, counts)| counts.submitted()).sum()
        };
        let (minute, hour, day) = (jobs(Grain::Minute), jobs(Grain::Hour), jobs(Grain::Day));
        assert_eq!(minute, 7 * 48);
        assert_eq!(hour, 90 * 48);
        assert_eq!(minute + hour + day, 200 * 48);
    }

    #[test]
    fn a_page_of_many_commands_is_divided_and_a_stale_part_is_noticed() {
        let index = MemoryIndex::default();
        let slots = (0..60).flat_map(|m| (0..=64).map(move |c| Slot::of_minute(m, c)));
        let events: Vec<_> = slots.map(|slot| (slot, 300)).collect();
        let pages = written(&index, &events, 100);
        let (&number, stored) = pages.first_key_value().unwrap();
        assert!(stored.parts > 3);
        assert_eq!(all(&index, &pages).len(), events.len());
        let mut batch = Batch::default();
        batch.remove(rows::history_key(3, number, 1));
        index.write(&batch).unwrap();
        assert!(
            HistoryPages::new(&index, 3, &pages)
                .rows_in((0, 1))
                .is_err()
        );
    }

    #[test]
    fn durations_come_back() {
        let mut page = Page::new();
        let wait_ms = Some(u64::from(u32::MAX));
        page.entry((59, 64))
            .or_default()
            .count(Happened::Started { wait_ms });
        assert_eq!(decode(&encode(&page)), Some(page));
    }
}
