//! Rewrites the index's files when most of them are garbage.
//!
//! Commits and reads do not wait for a rewrite, and a close waits only for the batch that is being
//! written. At every moment, the index's name refers to a complete index.

use std::sync::Arc;
use std::time::Duration;

use crate::base::sync::atomic::Ordering;
use crate::base::sync::time::Instant;
use crate::engine::core::Engine;
use crate::engine::state::rewrites::{Rewrites, Size};
use crate::index::directory::{IndexDirectory, ROOM_BYTES};
use crate::index::{Fault, Index, all_rows};
use crate::model::error::{Error, Result};

/// A rewrite is abandoned once this many events are waiting in memory to be written to the index.
const LAG_MAX: u64 = 256 << 10;
/// After a check or a rewrite, the time until the next check is this many times as long as the
/// check or rewrite took.
const WAIT_FACTOR: u32 = 200;
/// The bounds of that time. They are short enough that garbage is removed within a minute after the
/// last write.
const WAIT_MIN: Duration = Duration::from_secs(5);
const WAIT_MAX: Duration = Duration::from_secs(30);

impl Engine {
    /// Rewrites the index's files if they are mostly garbage. The index engine frees garbage only
    /// while it writes. Without a rewrite, an idle store would keep its garbage.
    pub(crate) fn rewrite_index_if_due(&self) {
        let mut indexer = self.indexer.lock();
        let applied_lsn = indexer.applied_lsn;
        let rewrites = &mut indexer.rewrites;
        let begun = Instant::now();
        let may_inspect = self.release_replaced(rewrites)
            && rewrites.looked_lsn != applied_lsn
            && rewrites.not_before.is_none_or(|then| then <= begun)
            && self.index_lag.load(Ordering::Relaxed) == 0;
        if !may_inspect {
            return;
        }
        let Some((directory, index)) = self.rewritable_index(rewrites) else {
            return;
        };
        let looked = self.due_for_rewrite(rewrites, directory, &*index);
        let rewritten = looked.and_then(|inspected| match inspected {
            Inspection::NotDue => Ok(true),
            Inspection::GaveUp => Ok(false),
            Inspection::Due(size) => {
                let done = self.rewrite_index(rewrites, directory, index)?;
                if done {
                    let after = directory.bytes().unwrap_or(size.file_bytes);
                    tracing::info!(before = size.file_bytes, after, "index rewritten");
                    rewrites.rewritten = Some(Size {
                        file_bytes: after,
                        ..size
                    });
                }
                Ok(done)
            }
        });
        match rewritten {
            Ok(true) => rewrites.looked_lsn = applied_lsn,
            // The rewrite is retried, even if nothing more is written to the index.
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "cannot rewrite the index"),
        }
        let now = Instant::now();
        let took = now.saturating_duration_since(begun);
        let wait = took.saturating_mul(WAIT_FACTOR).clamp(WAIT_MIN, WAIT_MAX);
        rewrites.not_before = Some(now + wait);
    }

    /// Checks whether the index should be rewritten, and whether there is space for that.
    fn due_for_rewrite(
        &self,
        rewrites: &Rewrites,
        directory: &IndexDirectory,
        index: &dyn Index,
    ) -> Result<Inspection> {
        let file_bytes = directory
            .bytes()
            .map_err(|e| Error::io("read", directory.path(), &e))?;
        let size = |row_bytes| Size {
            file_bytes,
            row_bytes,
        };
        if !size(0).is_mostly_garbage() {
            return Ok(Inspection::NotDue);
        }
        let is_wanted = |so_far| size(so_far).is_mostly_garbage() && self.wants_rewrite(directory);
        let measured = self
            .index_watchdog
            .during("scan", || all_rows::size_while(index, &is_wanted));
        let Some(row_bytes) = measured.map_err(Fault::into_error)? else {
            return Ok(match self.wants_rewrite(directory) {
                true => Inspection::NotDue,
                false => Inspection::GaveUp,
            });
        };
        let size = size(row_bytes);
        let is_worse = rewrites
            .rewritten
            .is_none_or(|rewritten| size.is_worse_than(rewritten));
        Ok(if !size.is_mostly_garbage() || !is_worse {
            Inspection::NotDue
        } else if directory.has_room_for(4 * (ROOM_BYTES + row_bytes)) {
            Inspection::Due(size)
        } else {
            Inspection::GaveUp
        })
    }

    /// Rewrites the index's files, even if they contain little garbage. Returns whether it did.
    #[cfg(feature = "simulation")]
    pub(crate) fn rewrite_index_now(&self) -> bool {
        let mut indexer = self.indexer.lock();
        let rewrites = &mut indexer.rewrites;
        let is_released = self.release_replaced(rewrites);
        let found = self.rewritable_index(rewrites).filter(|_| is_released);
        found.is_some_and(|(directory, index)| {
            let rewritten = self.rewrite_index(rewrites, directory, index);
            rewritten.unwrap_or(false)
        })
    }

    /// The index, if it is on disk and can be rewritten.
    fn rewritable_index(&self, rewrites: &Rewrites) -> Option<(&IndexDirectory, Arc<dyn Index>)> {
        let directory = self.index_directory.as_ref()?;
        let in_memory = self.index_in_memory.lock().is_some();
        let can_be = !in_memory
            && !rewrites.is_impossible
            && directory.can_be_renamed()
            && self.index_is_sound()
            && self.may_change_files();
        can_be.then_some((directory, self.index().ok()?))
    }

    /// Whether a rewrite should continue. Each call also records that the rewrite is making
    /// progress.
    fn wants_rewrite(&self, directory: &IndexDirectory) -> bool {
        self.index_watchdog.note_progress();
        let lag = self.index_lag.load(Ordering::Relaxed);
        lag < LAG_MAX && self.may_change_files() && directory.has_room()
    }

    /// Copies all rows to new files, which then replace the index. Returns `false` if it gave up.
    /// Must be called with the indexer locked, so that no other thread writes rows, and after the
    /// index that the previous rewrite replaced has been released.
    fn rewrite_index(
        &self,
        rewrites: &mut Rewrites,
        directory: &IndexDirectory,
        index: Arc<dyn Index>,
    ) -> Result<bool> {
        let failed = |e| Error::io("rewrite", directory.path(), &e);
        let watchdog = &self.index_watchdog;
        let fresh = watchdog.during("open", || directory.begin_rewrite());
        let fresh = fresh.map_err(failed)?;
        let copied = watchdog.during("copy", || {
            let is_wanted = || self.wants_rewrite(directory);
            let copied = all_rows::copy_while(&*index, &*fresh, &is_wanted)?;
            if copied {
                fresh.flush()?;
            }
            Ok::<_, Fault>(copied)
        });
        let replaced = match copied {
            Ok(true) => {
                let exchanged = directory.exchange_rewrite();
                // On a file system that cannot exchange names, no rewrite can succeed.
                rewrites.is_impossible = exchanged.is_err();
                exchanged.map(|()| true).map_err(failed)
            }
            Ok(false) => Ok(false),
            Err(fault) => Err(fault.into_error()),
        };
        // Remove the directory that is no longer the index.
        let gone = match &replaced {
            Ok(true) => {
                drop(index);
                self.index.write().replace(fresh)
            }
            _ => Some(fresh),
        };
        rewrites.replaced = gone;
        self.release_replaced(rewrites);
        replaced
    }

    /// Once a replaced index has no readers, releases it and removes its files. Returns whether no
    /// replaced index remains.
    pub(crate) fn release_replaced(&self, rewrites: &mut Rewrites) -> bool {
        let Some(replaced) = rewrites.replaced.take() else {
            return true;
        };
        if Arc::strong_count(&replaced) > 1 {
            rewrites.replaced = Some(replaced);
            return false;
        }
        self.index_watchdog.during("release", || drop(replaced));
        if let Some(directory) = &self.index_directory {
            if let Err(error) = self
                .index_watchdog
                .during("remove", || directory.remove_rewrite())
            {
                tracing::warn!(%error, "cannot remove a replaced index");
            }
        }
        true
    }
}

/// The result of checking an index's files and rows.
enum Inspection {
    NotDue,
    Due(Size),
    /// Something else is more urgent, or there is no space.
    GaveUp,
}

#[cfg(all(test, not(jobstore_shuttle)))]
mod tests {
    use super::*;
    use crate::engine::state::rewrites::GARBAGE_FREE;
    use crate::index::Batch;
    use crate::log::file_names;
    use crate::{Body, JobQuery, JobStore, Outcome, Request};

    /// Writes rows until the files are larger than `bytes` bytes, and then removes the rows.
    /// (Overwriting the same rows would not work: the engine would truncate its file repeatedly,
    /// and this loop might never end.)
    fn leave_garbage(index: &dyn Index, directory: &IndexDirectory, bytes: u64) {
        let key = |n: u64| format!("zz-{n}").into_bytes();
        let mut rows = 0;
        while rows % 64 != 0 || directory.bytes().unwrap() <= bytes {
            let mut batch = Batch::default();
            batch.put(key(rows), rows.to_le_bytes().repeat(500));
            index.write(&batch).unwrap();
            rows += 1;
        }
        for first in (0..rows).step_by(64) {
            let mut batch = Batch::default();
            (first..first + 64).for_each(|n| batch.remove(key(n)));
            index.write(&batch).unwrap();
        }
    }

    /// Writes more rows than fit into one batch.
    fn leave_rows(index: &dyn Index) {
        for first in [0, 64] {
            let mut batch = Batch::default();
            for n in first..first + 64_u64 {
                batch.put(format!("zz-{n}").into_bytes(), n.to_le_bytes().repeat(500));
            }
            index.write(&batch).unwrap();
        }
    }

    #[test]
    fn an_index_of_mostly_garbage_is_rewritten_and_holds_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("store");
        let store = JobStore::open(&dir).unwrap();
        let movie = store.create_graph("1", "movie").unwrap();
        let request = || Request::new("c", "/g", Body::empty()).unwrap();
        let ids = movie.submit_all((0..1000).map(|_| request())).unwrap();
        for id in &ids[..500] {
            drop(movie.nonblocking().start(id));
        }
        let failed = || Outcome::failed("code", "why");
        movie.start(&ids[500]).unwrap();
        movie.complete(&ids[7], failed()).unwrap();
        let seen = |movie: &crate::Graph| {
            let list = movie.list(JobQuery::new()).unwrap().to_json().unwrap();
            let job = movie.job(&ids[7]).unwrap().unwrap();
            (list, job.started_at(), job.completed_at())
        };
        let engine = store.engine();
        let directory = engine.index_directory.as_ref().unwrap();
        engine.apply_to_index();
        {
            // Otherwise, the store's own thread might rewrite the index first.
            let _indexer = engine.indexer.lock();
            leave_garbage(&*engine.index().unwrap(), directory, 2 * GARBAGE_FREE);
        }
        // An index that has not changed is not checked again.
        movie.cancel(&ids[8]).unwrap();
        let before = seen(&movie);
        engine.apply_to_index();
        // When the store is idle, the store's own thread also rewrites the index.
        let is_rewritten = (0..600).any(|_| {
            engine.rewrite_index_if_due();
            std::thread::sleep(Duration::from_millis(50));
            directory.bytes().unwrap() < GARBAGE_FREE
        });
        assert!(is_rewritten, "{} bytes", directory.bytes().unwrap());
        assert_eq!(seen(&movie), before);
        for id in &ids[..500] {
            drop(movie.nonblocking().complete(id, failed()));
        }
        movie.complete(&ids[500], failed()).unwrap();
        let before = seen(&movie);
        store.close().unwrap();
        let options = JobStore::options().on_replay(|so_far| assert!(!so_far.rebuilding));
        let store = options.open(&dir).unwrap();
        assert_eq!(seen(&store.graph("1", "movie").unwrap()), before);
        store.close().unwrap();
    }

    #[test]
    fn what_a_rewrite_leaves_is_not_rewritten_until_there_is_much_more_garbage() {
        let size = |file_bytes, row_bytes| Size {
            file_bytes,
            row_bytes,
        };
        let rewritten = size(30 << 20, 10 << 20);
        assert!(rewritten.is_mostly_garbage());
        assert!(!rewritten.is_worse_than(rewritten));
        assert!(!size(45 << 20, 8 << 20).is_worse_than(rewritten));
        assert!(size(46 << 20, 10 << 20).is_worse_than(rewritten));
        assert!(size(30 << 20, 7 << 20).is_worse_than(rewritten));
    }

    /// An index whose rows cannot be read.
    struct Unreadable;

    impl Index for Unreadable {
        fn get(&self, _key: &[u8]) -> std::result::Result<Option<Vec<u8>>, Fault> {
            Err(Fault("a bad sector".to_owned()))
        }

        fn scan(
            &self,
            _prefix: &[u8],
            _each: crate::index::EachRow<'_>,
        ) -> std::result::Result<(), Fault> {
            Err(Fault("a bad sector".to_owned()))
        }

        fn write(&self, _batch: &Batch) -> std::result::Result<(), Fault> {
            Ok(())
        }

        fn flush(&self) -> std::result::Result<(), Fault> {
            Ok(())
        }
    }

    fn has_leftovers(path: &std::path::Path) -> bool {
        path.join(file_names::INDEX_REWRITE).exists()
    }

    #[test]
    fn an_index_that_cannot_be_read_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let store = JobStore::open(&path).unwrap();
        let engine = store.engine();
        let directory = engine.index_directory.as_ref().unwrap();
        let before = engine.index().unwrap();
        let mut indexer = engine.indexer.lock();
        let rewrites = &mut indexer.rewrites;
        let rewritten = engine.rewrite_index(rewrites, directory, Arc::new(Unreadable));
        assert!(matches!(rewritten, Err(Error::IndexUnavailable { .. })));
        assert!(Arc::ptr_eq(&before, &engine.index().unwrap()));
        assert!(!has_leftovers(&path));
        drop((indexer, before));
        store.close().unwrap();
    }

    #[test]
    fn an_index_that_was_replaced_is_let_go_of_once_nobody_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let store = JobStore::open(&path).unwrap();
        let engine = store.engine();
        let reader = engine.index().unwrap();
        leave_rows(&*reader);
        let mut indexer = engine.indexer.lock();
        let rewrites = &mut indexer.rewrites;
        let (directory, index) = engine.rewritable_index(rewrites).unwrap();
        assert!(engine.rewrite_index(rewrites, directory, index).unwrap());
        assert!(!Arc::ptr_eq(&reader, &engine.index().unwrap()));
        for index in [&reader, &engine.index().unwrap()] {
            assert!(index.get(b"zz-100").unwrap().is_some());
        }
        // A second replaced index would need the same directory.
        assert!(!engine.release_replaced(rewrites));
        assert!(has_leftovers(&path));
        drop(reader);
        assert!(engine.release_replaced(rewrites));
        assert!(!has_leftovers(&path));
        drop(indexer);
        store.close().unwrap();
    }

    #[test]
    fn a_rewrite_gives_way_to_what_waits_for_the_index() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let store = JobStore::open(&path).unwrap();
        let engine = store.engine();
        let directory = engine.index_directory.as_ref().unwrap();
        leave_rows(&*engine.index().unwrap());
        let before = engine.index().unwrap();
        let mut indexer = engine.indexer.lock();
        engine.index_lag.fetch_add(LAG_MAX, Ordering::Relaxed);
        let rewrites = &mut indexer.rewrites;
        let rewritten = engine.rewrite_index(rewrites, directory, before.clone());
        assert!(!rewritten.unwrap());
        assert!(Arc::ptr_eq(&before, &engine.index().unwrap()));
        assert!(!has_leftovers(&path));
        engine.index_lag.fetch_sub(LAG_MAX, Ordering::Relaxed);
        drop((indexer, before));
        store.close().unwrap();
    }

    #[test]
    fn what_a_crash_leaves_of_a_rewrite_goes_at_the_next_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        JobStore::open(&path).unwrap().close().unwrap();
        let left = path.join(file_names::INDEX_REWRITE);
        std::fs::create_dir(&left).unwrap();
        std::fs::write(left.join("db"), b"half").unwrap();
        let store = JobStore::open(&path).unwrap();
        assert!(!left.exists());
        store.close().unwrap();
    }
}
