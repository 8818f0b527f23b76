//! An index that stays empty, used to read a log without an index.

use super::{Batch, EachRow, Fault, Index};

pub(crate) struct NoIndex;

impl Index for NoIndex {
    fn get(&self, _key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        Ok(None)
    }

    fn scan(&self, _prefix: &[u8], _each: EachRow<'_>) -> Result<(), Fault> {
        Ok(())
    }

    fn write(&self, _batch: &Batch) -> Result<(), Fault> {
        Ok(())
    }

    fn keeps_rows(&self) -> bool {
        false
    }

    fn flush(&self) -> Result<(), Fault> {
        Ok(())
    }
}
