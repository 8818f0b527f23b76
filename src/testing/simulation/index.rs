//! An index in memory that outlives the process that writes it.
//!
//! Contains the rows, and the last batches, which a crash may still lose. A crash leaves a prefix
//! of the batches, as with an unsynced index.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::random;
use crate::index::{Batch, EachRow, Fault, Index as Seam};

/// The number of batches that a crash may lose.
const LOOSE_BATCHES: usize = 64;

/// Keys of rows and the previous values of these rows, if any.
type Replaced = Vec<(Vec<u8>, Option<Vec<u8>>)>;

#[derive(Default)]
struct Rows {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The rows that the last batches have replaced. The latest comes last.
    undo: VecDeque<Replaced>,
    fail_after: Option<u64>,
}

/// The storage of an index.
#[derive(Clone, Default)]
pub struct Index {
    rows: Arc<Mutex<Rows>>,
    mounted: Arc<Mutex<Option<Arc<AtomicBool>>>>,
}

impl Index {
    #[must_use]
    pub fn new() -> Index {
        Index::default()
    }

    /// Deletes all rows.
    pub fn lose(&self) {
        *self.rows.lock() = Rows::default();
    }

    /// Ends the process that uses the index. Some of the last batches are lost; the seed determines
    /// how many.
    pub fn crash(&self, seed: u64) {
        if let Some(alive) = self.mounted.lock().take() {
            alive.store(false, Ordering::SeqCst);
        }
        let mut rows = self.rows.lock();
        rows.fail_after = None;
        let mut state = seed;
        let lost = random::next(&mut state) % (rows.undo.len() as u64 + 1);
        for _ in 0..lost {
            for (key, value) in rows.undo.pop_back().into_iter().flatten().rev() {
                match value {
                    Some(value) => rows.rows.insert(key, value),
                    None => rows.rows.remove(&key),
                };
            }
        }
        rows.undo.clear();
    }

    /// Makes every call fail after this many more calls have succeeded.
    pub fn fail_after(&self, calls: Option<u64>) {
        self.rows.lock().fail_after = calls;
    }

    /// Changes a byte of a row's value. Returns whether there was a row.
    pub fn corrupt(&self, seed: u64) -> bool {
        let mut rows = self.rows.lock();
        let mut state = seed;
        let count = rows.rows.len() as u64;
        if count == 0 {
            return false;
        }
        let nth = random::next(&mut state) % count;
        let Some((_, value)) = rows.rows.iter_mut().nth(nth as usize) else {
            return false;
        };
        let len = value.len() as u64;
        match value.get_mut((random::next(&mut state) % len.max(1)) as usize) {
            Some(byte) => *byte ^= 1 << (state % 8),
            None => value.push(1),
        }
        true
    }

    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows.lock().rows.len() as u64
    }

    #[must_use]
    pub fn bytes(&self) -> u64 {
        let rows = self.rows.lock();
        let bytes = rows.rows.iter().map(|(key, value)| key.len() + value.len());
        bytes.sum::<usize>() as u64
    }

    /// Returns an independent copy.
    #[must_use]
    pub fn image(&self) -> Index {
        let rows = Rows {
            rows: self.rows.lock().rows.clone(),
            ..Rows::default()
        };
        Index {
            rows: Arc::new(Mutex::new(rows)),
            mounted: Arc::default(),
        }
    }

    pub(super) fn mount(&self) -> Arc<dyn Seam> {
        let alive = Arc::new(AtomicBool::new(true));
        if let Some(before) = self.mounted.lock().replace(alive.clone()) {
            before.store(false, Ordering::SeqCst);
        }
        Arc::new(Mounted {
            rows: self.rows.clone(),
            alive,
        })
    }
}

/// The index as seen by one process.
struct Mounted {
    rows: Arc<Mutex<Rows>>,
    alive: Arc<AtomicBool>,
}

impl Mounted {
    fn with<T>(&self, call: impl FnOnce(&mut Rows) -> Result<T, Fault>) -> Result<T, Fault> {
        if !self.alive.load(Ordering::SeqCst) {
            return Err(Fault("its process has ended".to_owned()));
        }
        let mut rows = self.rows.lock();
        match &mut rows.fail_after {
            Some(0) => return Err(Fault("a call was made to fail".to_owned())),
            Some(left) => *left -= 1,
            None => {}
        }
        call(&mut rows)
    }
}

impl Seam for Mounted {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.with(|rows| Ok(rows.rows.get(key).cloned()))
    }

    fn scan(&self, prefix: &[u8], each: EachRow<'_>) -> Result<(), Fault> {
        let found: Vec<(Vec<u8>, Vec<u8>)> = self.with(|rows| {
            let found = rows.rows.range(prefix.to_vec()..);
            let found = found.take_while(|(key, _)| key.starts_with(prefix));
            Ok(found.map(|(k, v)| (k.clone(), v.clone())).collect())
        })?;
        found.iter().try_for_each(|(key, value)| each(key, value))
    }

    fn write(&self, batch: &Batch) -> Result<(), Fault> {
        self.with(|rows| {
            let mut undo = Vec::with_capacity(batch.rows.len());
            for (key, value) in &batch.rows {
                let before = match value {
                    Some(value) => rows.rows.insert(key.clone(), value.clone()),
                    None => rows.rows.remove(key),
                };
                undo.push((key.clone(), before));
            }
            rows.undo.push_back(undo);
            if rows.undo.len() > LOOSE_BATCHES {
                rows.undo.pop_front();
            }
            Ok(())
        })
    }

    fn flush(&self) -> Result<(), Fault> {
        self.with(|_| Ok(()))
    }
}
