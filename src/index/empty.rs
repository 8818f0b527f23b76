//! An index that keeps nothing, for looking at a log without one.
//!
//! Owns: nothing. Must not know: anything.
//! Promise: it never grows; what is asked of it is not there.

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
