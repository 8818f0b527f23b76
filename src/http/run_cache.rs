//! Encoded runs of complete jobs, kept in memory for further responses.
//!
//! Contains [`RunCache`]. Its size is bounded; the least recently used runs are evicted. The lock is
//! held only to look up, add, and evict runs.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::api::page_parts::RunKey;
use crate::http::encoder::EncodedText;
use crate::http::encoding::Encoding;

/// What a run takes in addition to its bytes: the entries of both maps, and the text's own fields.
const OVERHEAD_BYTES: u64 = 256;

pub(crate) type CacheKey = (Encoding, RunKey);

/// The encoded runs that were used last.
pub(crate) struct RunCache {
    max_bytes: u64,
    runs: Mutex<Runs>,
}

#[derive(Default)]
struct Runs {
    /// Each run, with the number of its last use.
    by_key: HashMap<CacheKey, (u64, Arc<EncodedText>)>,
    by_use: BTreeMap<u64, CacheKey>,
    uses: u64,
    bytes: u64,
}

impl RunCache {
    pub(crate) fn new(max_bytes: u64) -> RunCache {
        RunCache {
            max_bytes,
            runs: Mutex::default(),
        }
    }

    pub(crate) fn is_off(&self) -> bool {
        self.max_bytes == 0
    }

    pub(crate) fn get(&self, key: &CacheKey) -> Option<Arc<EncodedText>> {
        self.runs.lock().get(key)
    }

    /// Adds a run, unless it alone is larger than the cache.
    pub(crate) fn insert(&self, key: CacheKey, run: Arc<EncodedText>) {
        if size(&run) > self.max_bytes {
            return;
        }
        let mut evicted = Vec::new();
        let mut runs = self.runs.lock();
        evicted.extend(runs.remove(&key));
        while runs.bytes + size(&run) > self.max_bytes {
            let Some((_, &oldest)) = runs.by_use.first_key_value() else {
                break;
            };
            evicted.extend(runs.remove(&oldest));
        }
        runs.insert(key, run);
        drop(runs);
        // Their memory is released without the lock.
        drop(evicted);
    }
}

impl Runs {
    fn get(&mut self, key: &CacheKey) -> Option<Arc<EncodedText>> {
        let (last_use, run) = self.by_key.get_mut(key)?;
        self.by_use.remove(last_use);
        *last_use = self.uses;
        self.by_use.insert(self.uses, *key);
        self.uses += 1;
        Some(run.clone())
    }

    fn insert(&mut self, key: CacheKey, run: Arc<EncodedText>) {
        self.bytes += size(&run);
        self.by_use.insert(self.uses, key);
        self.by_key.insert(key, (self.uses, run));
        self.uses += 1;
    }

    fn remove(&mut self, key: &CacheKey) -> Option<Arc<EncodedText>> {
        let (last_use, run) = self.by_key.remove(key)?;
        self.by_use.remove(&last_use);
        self.bytes -= size(&run);
        Some(run)
    }
}

fn size(run: &EncodedText) -> u64 {
    run.bytes.len() as u64 + OVERHEAD_BYTES
}

impl fmt::Debug for RunCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunCache")
            .field("max_bytes", &self.max_bytes)
            .field("bytes", &self.runs.lock().bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u64) -> CacheKey {
        (Encoding::Gzip, RunKey::of_test(n))
    }

    /// A text that takes exactly 1000 bytes of the cache.
    fn text() -> Arc<EncodedText> {
        let text = vec![b'x'; 1000 - OVERHEAD_BYTES as usize];
        Arc::new(EncodedText::new(Encoding::Plain, &text).unwrap())
    }

    fn kept(cache: &RunCache) -> Vec<u64> {
        let runs = cache.runs.lock();
        assert_eq!(runs.by_key.len(), runs.by_use.len());
        assert_eq!(runs.bytes, 1000 * runs.by_key.len() as u64);
        assert!(runs.bytes <= cache.max_bytes);
        (0..10)
            .filter(|&n| runs.by_key.contains_key(&key(n)))
            .collect()
    }

    #[test]
    fn the_least_recently_used_run_is_evicted() {
        let cache = RunCache::new(3999);
        for n in 0..3 {
            cache.insert(key(n), text());
        }
        assert_eq!(kept(&cache), [0, 1, 2]);
        assert!(cache.get(&key(0)).is_some());
        cache.insert(key(3), text());
        assert_eq!(kept(&cache), [0, 2, 3]);
        // Two responses encoded the same run.
        cache.insert(key(2), text());
        cache.insert(key(4), text());
        assert_eq!(kept(&cache), [2, 3, 4]);
        assert!(cache.get(&key(0)).is_none());
    }

    #[test]
    fn a_run_larger_than_the_cache_evicts_nothing() {
        let cache = RunCache::new(1500);
        cache.insert(key(0), text());
        let large = EncodedText::new(Encoding::Plain, &[0; 1500]).unwrap();
        cache.insert(key(1), Arc::new(large));
        assert_eq!(kept(&cache), [0]);
        let small = RunCache::new(999);
        small.insert(key(0), text());
        assert_eq!(kept(&small), [0; 0]);
    }
}
