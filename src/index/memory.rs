//! The index in memory, for stores without a disk. Batches are atomic.

use std::collections::BTreeMap;

use crate::base::sync::RwLock;

use super::{Batch, EachRow, Fault, Index};

#[derive(Default)]
pub(crate) struct MemoryIndex {
    rows: RwLock<BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl Index for MemoryIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.rows.read().get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], each: EachRow<'_>) -> Result<(), Fault> {
        let rows = self.rows.read();
        rows.range(prefix.to_vec()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .try_for_each(|(key, value)| each(key, value))
    }

    fn write(&self, batch: &Batch) -> Result<(), Fault> {
        let mut rows = self.rows.write();
        for (key, value) in &batch.rows {
            match value {
                Some(value) => rows.insert(key.clone(), value.clone()),
                None => rows.remove(key),
            };
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), Fault> {
        Ok(())
    }
}
