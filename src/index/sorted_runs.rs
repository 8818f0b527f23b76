//! Lookups by hash: sorted runs of pairs (hash, owner), merged geometrically, with a filter for
//! each run in memory.
//!
//! Every pair that was added is found. A hash that was not added is nearly always rejected without
//! reading the index. Callers must compare the owners that a lookup returns, because hashes may
//! collide.

mod filter;
mod merge;
mod page;
mod run;

use std::sync::Arc;

use self::filter::BloomFilter;
use self::merge::{All, MergedRuns};
pub(crate) use self::page::{Owner, Pair};
use self::page::{PAGE_BYTES, decode_page};
use self::run::{RunPairs, SortedRun, after, lookup_in};
use crate::base::sync::{Mutex, RwLock};

use crate::base::codec::put_var;
use crate::index::rows::{self, open, parse_run, run_key, run_page_key, seal, seal_value};
use crate::index::{Batch, Fault, Index};

/// Called for each run row that is put, with its key and value, and for each run row that is
/// removed, with its key only.
type Named<'a> = &'a mut dyn FnMut(&[u8], Option<&[u8]>);

/// A run is merged with its predecessor if the predecessor has fewer than this many times as many
/// pairs.
const GROWTH: u64 = 4;

#[derive(Default)]
pub(crate) struct Runs {
    runs: RwLock<Vec<Arc<SortedRun>>>,
    next: Mutex<u64>,
}

impl Runs {
    /// Reads all runs of an index. Removes the pages of runs that were never completed or have been
    /// merged into others.
    pub(crate) fn open(index: &dyn Index) -> Result<Runs, Fault> {
        let mut counts = Vec::new();
        index.scan(rows::RUNS, &mut |key, value| {
            let count: Option<u64> = rows::open_value(key, value);
            match (parse_run(key), count) {
                (Some(run), Some(count)) => counts.push((run, count)),
                _ => return Err(Fault("invalid row of a run".to_owned())),
            }
            Ok(())
        })?;
        let mut loaded: Vec<SortedRun> = counts
            .iter()
            .map(|&(number, count)| SortedRun {
                number,
                count: 0,
                fences: Vec::new(),
                filter: BloomFilter::for_keys(count),
            })
            .collect();
        let mut orphans = Vec::new();
        index.scan(rows::RUN_PAGES, &mut |key, value| {
            let damaged = || Fault("invalid page of lookups".to_owned());
            let number = parse_run(key).ok_or_else(damaged)?;
            let Ok(n) = loaded.binary_search_by_key(&number, |run| run.number) else {
                orphans.push(key.to_vec());
                return Ok(());
            };
            let pairs = decode_page(open(key, value).ok_or_else(damaged)?).ok_or_else(damaged)?;
            loaded[n].add_page(&pairs);
            Ok(())
        })?;
        if loaded
            .iter()
            .zip(&counts)
            .any(|(run, &(_, count))| run.count != count)
        {
            return Err(Fault("incomplete run of lookups".to_owned()));
        }
        let mut batch = Batch::default();
        for key in orphans {
            batch.remove(key);
            if batch.is_full() {
                index.write(&batch)?;
                batch.clear();
            }
        }
        index.write(&batch)?;
        let next = match counts.last() {
            Some(&(number, _)) => after(number)?,
            None => 0,
        };
        Ok(Runs {
            runs: RwLock::new(loaded.into_iter().map(Arc::new).collect()),
            next: Mutex::new(next),
        })
    }

    /// Replaces these runs with those of another index.
    pub(crate) fn replace(&self, other: Runs) {
        *self.next.lock() = *other.next.lock();
        *self.runs.write() = std::mem::take(&mut *other.runs.write());
    }

    /// Returns whether this hash may have been added. If `false`, it certainly has not.
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        self.runs
            .read()
            .iter()
            .any(|run| run.filter.may_contain(hash))
    }

    /// Returns the owners that were added with this hash.
    pub(crate) fn lookup(&self, index: &dyn Index, hash: u64) -> Result<Vec<Owner>, Fault> {
        loop {
            let runs = self.runs.read().clone();
            match lookup_in(index, &runs, hash) {
                // A concurrent merge removed the pages, so the lookup continues in the merged run.
                Err(_) if !self.same_runs(&runs) => {}
                found => return found,
            }
        }
    }

    fn same_runs(&self, then: &[Arc<SortedRun>]) -> bool {
        let now = self.runs.read();
        now.len() == then.len() && now.iter().zip(then).all(|(a, b)| Arc::ptr_eq(a, b))
    }

    /// Adds pairs, sorted by hash, as a new run, and merges runs that have become similar in size.
    /// Calls `named` with the run rows that change.
    pub(crate) fn add(
        &self,
        index: &dyn Index,
        pairs: impl Iterator<Item = Pair>,
        count: u64,
        named: Named<'_>,
    ) -> Result<(), Fault> {
        if count == 0 {
            return Ok(());
        }
        let run = self.write_run(index, pairs.map(Ok), count, &[], named)?;
        self.runs.write().push(Arc::new(run));
        loop {
            let (elder, younger) = {
                let runs = self.runs.read();
                match &runs[..] {
                    [.., elder, younger] if elder.count < GROWTH * younger.count => {
                        (elder.clone(), younger.clone())
                    }
                    _ => return Ok(()),
                }
            };
            let merged = MergedRuns {
                left: RunPairs::new(index, &elder),
                right: RunPairs::new(index, &younger),
            };
            let count = elder.count + younger.count;
            let run = self.write_run(index, merged, count, &[&elder, &younger], named)?;
            let mut runs = self.runs.write();
            let kept = runs.len() - 2;
            runs.truncate(kept);
            runs.push(Arc::new(run));
            drop(runs);
            Runs::remove_pages(index, &[&elder, &younger])?;
        }
    }

    /// Returns the number of pairs.
    pub(crate) fn count(&self) -> u64 {
        self.runs.read().iter().map(|run| run.count).sum()
    }

    /// Merges all runs into one, and drops the pairs whose owners are dead.
    pub(crate) fn retain(
        &self,
        index: &dyn Index,
        is_live: &mut dyn FnMut(&Owner) -> Result<bool, Fault>,
        named: Named<'_>,
    ) -> Result<(), Fault> {
        let runs = self.runs.read().clone();
        let all = || All(runs.iter().map(|run| RunPairs::new(index, run)).collect());
        // One bit per pair. `is_live` is called exactly once for each pair, so that the count
        // matches the pairs that are kept.
        let (mut live, mut count, mut n) = (Vec::new(), 0, 0usize);
        for pair in all() {
            if n % 64 == 0 {
                live.push(0u64);
            }
            if is_live(&pair?.1)? {
                live[n / 64] |= 1 << (n % 64);
                count += 1;
            }
            n += 1;
        }
        if count == n as u64 {
            return Ok(());
        }
        let mut at = 0;
        let kept = all().filter(|_| {
            let is_kept = live
                .get(at / 64)
                .is_some_and(|bits| bits >> (at % 64) & 1 == 1);
            at += 1;
            is_kept
        });
        let replaced: Vec<&SortedRun> = runs.iter().map(|run| &**run).collect();
        let run = self.write_run(index, kept, count, &replaced, named)?;
        *self.runs.write() = Some(run)
            .filter(|run| run.count > 0)
            .map(Arc::new)
            .into_iter()
            .collect();
        Runs::remove_pages(index, &replaced)
    }

    /// Writes the pages of a run. Then, in one batch, writes the row that makes them a run, and
    /// removes the rows of the runs that it replaces.
    fn write_run(
        &self,
        index: &dyn Index,
        pairs: impl Iterator<Item = Result<Pair, Fault>>,
        count: u64,
        replaced: &[&SortedRun],
        named: Named<'_>,
    ) -> Result<SortedRun, Fault> {
        let number = {
            let mut next = self.next.lock();
            let number = *next;
            *next = after(number)?;
            number
        };
        let mut run = SortedRun {
            number,
            count: 0,
            fences: Vec::new(),
            filter: BloomFilter::for_keys(count),
        };
        let mut batch = Batch::default();
        let mut page: Vec<Pair> = Vec::new();
        let mut bytes = Vec::new();
        let mut last_hash = 0;
        let mut end_page = |page: &mut Vec<Pair>, bytes: &mut Vec<u8>| {
            let key = run_page_key(number, run.fences.len() as u32);
            let value = seal(&key, std::mem::take(bytes));
            batch.put(key, value);
            run.add_page(page);
            page.clear();
            if batch.is_full() {
                index.write(&batch)?;
                batch.clear();
            }
            Ok::<(), Fault>(())
        };
        for pair in pairs {
            let (hash, owner) = pair?;
            put_var(
                if page.is_empty() {
                    hash
                } else {
                    hash - last_hash
                },
                &mut bytes,
            );
            put_var(u64::from(owner.graph), &mut bytes);
            put_var(owner.sequence, &mut bytes);
            put_var(owner.lsn, &mut bytes);
            page.push((hash, owner));
            last_hash = hash;
            if bytes.len() >= PAGE_BYTES {
                end_page(&mut page, &mut bytes)?;
            }
        }
        if !page.is_empty() {
            end_page(&mut page, &mut bytes)?;
        }
        if run.count > 0 {
            let key = run_key(number);
            let value = seal_value(&key, &run.count);
            named(&key, Some(&value));
            batch.put(key, value);
        }
        for old in replaced {
            let key = run_key(old.number);
            named(&key, None);
            batch.remove(key);
        }
        index.write(&batch)?;
        Ok(run)
    }

    fn remove_pages(index: &dyn Index, runs: &[&SortedRun]) -> Result<(), Fault> {
        let mut batch = Batch::default();
        for run in runs {
            for page in 0..run.fences.len() {
                batch.remove(run_page_key(run.number, page as u32));
                if batch.is_full() {
                    index.write(&batch)?;
                    batch.clear();
                }
            }
        }
        index.write(&batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::memory::MemoryIndex;

    fn hash(n: u64) -> u64 {
        xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes())
    }

    fn owner(n: u64) -> Owner {
        Owner {
            graph: (n % 7) as u32,
            sequence: n,
            lsn: 0,
        }
    }

    fn add(index: &dyn Index, runs: &Runs, numbers: std::ops::Range<u64>) {
        let mut pairs: Vec<_> = numbers.map(|n| (hash(n), owner(n))).collect();
        pairs.sort_unstable();
        let count = pairs.len() as u64;
        runs.add(index, pairs.into_iter(), count, &mut |_, _| {})
            .unwrap();
    }

    #[test]
    fn every_pair_is_found_also_after_merges_and_reopening() {
        let index = MemoryIndex::default();
        let runs = Runs::default();
        for start in (0..20_000).step_by(500) {
            add(&index, &runs, start..start + 500);
        }
        assert!(
            runs.runs.read().len() <= 8,
            "{} runs",
            runs.runs.read().len()
        );
        for runs in [&runs, &Runs::open(&index).unwrap()] {
            for n in 0..20_000 {
                assert_eq!(runs.lookup(&index, hash(n)).unwrap(), [owner(n)]);
            }
            let wrong = (20_000..40_000)
                .filter(|&n| runs.may_contain(hash(n)))
                .count();
            assert!(wrong < 20_000 / 10, "{wrong} let through");
        }
    }

    #[test]
    fn equal_hashes_are_all_found_across_pages() {
        let (index, runs) = (MemoryIndex::default(), Runs::default());
        let pairs = (0..5000).map(|n| {
            (
                if n < 100 {
                    1
                } else if n < 4000 {
                    7
                } else {
                    9
                },
                owner(n),
            )
        });
        runs.add(&index, pairs, 5000, &mut |_, _| {}).unwrap();
        assert_eq!(runs.lookup(&index, 7).unwrap().len(), 3900);
        assert_eq!(runs.lookup(&index, 1).unwrap().len(), 100);
        assert_eq!(runs.lookup(&index, 8).unwrap().len(), 0);
    }

    #[test]
    fn dead_pairs_leave_the_index_and_memory() {
        let (index, runs) = (MemoryIndex::default(), Runs::default());
        for start in (0..20_000).step_by(500) {
            add(&index, &runs, start..start + 500);
        }
        let rows = || {
            let mut rows = 0;
            let scanned = index.scan(&[], &mut |_, _| {
                rows += 1;
                Ok(())
            });
            scanned.unwrap();
            rows
        };
        let before = rows();
        let retained = runs.retain(&index, &mut |o| Ok(o.sequence % 50 == 0), &mut |_, _| {});
        retained.unwrap();
        for runs in [&runs, &Runs::open(&index).unwrap()] {
            assert_eq!(runs.count(), 400);
            for n in 0..20_000 {
                let found = runs.lookup(&index, hash(n)).unwrap();
                assert_eq!(found, if n % 50 == 0 { vec![owner(n)] } else { vec![] });
            }
            let filter: usize = runs.runs.read().iter().map(|r| r.filter.blocks.len()).sum();
            assert!(filter < 10, "{filter}");
        }
        assert!(10 * rows() < before, "{} of {before} rows", rows());
        runs.retain(&index, &mut |_| Ok(false), &mut |_, _| {})
            .unwrap();
        assert_eq!((runs.count(), rows()), (0, 0));
    }

    #[test]
    fn the_last_number_of_a_run_is_refused_not_counted_on() {
        let index = MemoryIndex::default();
        let mut batch = Batch::default();
        let key = run_key(u64::MAX);
        let value = seal_value(&key, &0_u64);
        batch.put(key, value);
        index.write(&batch).unwrap();
        assert!(Runs::open(&index).is_err());

        let index = MemoryIndex::default();
        let runs = Runs {
            next: Mutex::new(u64::MAX),
            ..Runs::default()
        };
        let add = || runs.add(&index, [(1, owner(1))].into_iter(), 1, &mut |_, _| {});
        assert!(add().is_err());
        assert!(add().is_err());
    }

    #[test]
    fn a_missing_page_is_noticed_at_open() {
        let index = MemoryIndex::default();
        add(&index, &Runs::default(), 0..2000);
        let mut batch = Batch::default();
        batch.remove(run_page_key(0, 1));
        index.write(&batch).unwrap();
        assert!(Runs::open(&index).is_err());
    }
}
