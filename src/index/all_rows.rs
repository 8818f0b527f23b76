//! Operations on all rows of an index: their total size, and copying them.

use super::{BATCH_BYTES_MAX, Batch, Fault, Index};

/// Calls `each` with every row until it returns `false`. Returns whether all rows were scanned.
fn scan_while(
    index: &dyn Index,
    mut each: impl FnMut(&[u8], &[u8]) -> Result<bool, Fault>,
) -> Result<bool, Fault> {
    let mut is_stopped = false;
    let scanned = index.scan(&[], &mut |key, value| {
        is_stopped = !each(key, value)?;
        match is_stopped {
            true => Err(Fault("the scan was stopped".to_owned())),
            false => Ok(()),
        }
    });
    match is_stopped {
        true => Ok(false),
        false => scanned.map(|()| true),
    }
}

/// Returns the total size of all rows, or `None` if `is_wanted` returns `false`. `is_wanted` is
/// called with the size so far, about once per full batch.
pub(crate) fn size_while(
    index: &dyn Index,
    is_wanted: &dyn Fn(u64) -> bool,
) -> Result<Option<u64>, Fault> {
    let (mut bytes, mut asked) = (0, 0);
    let is_whole = scan_while(index, |key, value| {
        bytes += (key.len() + value.len()) as u64;
        if bytes - asked < BATCH_BYTES_MAX as u64 {
            return Ok(true);
        }
        asked = bytes;
        Ok(is_wanted(bytes))
    })?;
    Ok(is_whole.then_some(bytes))
}

/// Copies all rows, including the row with the digest of the others.
pub(crate) fn copy(from: &dyn Index, to: &dyn Index) -> Result<(), Fault> {
    copy_while(from, to, &|| true).map(|_| ())
}

/// Copies all rows until `is_wanted`, which is called before each batch, returns `false`. Returns
/// whether all rows were copied.
pub(crate) fn copy_while(
    from: &dyn Index,
    to: &dyn Index,
    is_wanted: &dyn Fn() -> bool,
) -> Result<bool, Fault> {
    let mut batch = Batch::default();
    let is_whole = scan_while(from, |key, value| {
        batch.put(key.to_vec(), value.to_vec());
        if !batch.is_full() {
            return Ok(true);
        }
        if !is_wanted() {
            return Ok(false);
        }
        to.write(&batch)?;
        batch.clear();
        Ok(true)
    })?;
    if is_whole {
        to.write(&batch)?;
    }
    Ok(is_whole)
}
