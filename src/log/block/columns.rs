//! The columns of a block: the lengths, ids, and times of its jobs.

use super::row::Row;
use crate::base::codec::{VarReader, put_var};
use crate::model::job_json::AFTER_REQUEST;

/// The maximum number of jobs in a block.
pub(crate) const BLOCK_JOBS_MAX: usize = 64;

/// Appends the number of jobs. Then, for each job, appends the length of its text; one number for
/// the length of its id and whether it has an unlisted part; the length of that part, if any;
/// and the difference between its time and that of the previous job (zigzag).
pub(super) fn put_columns(rows: &[Row], out: &mut Vec<u8>) {
    put_var(rows.len() as u64, out);
    let (mut time, mut unlisted_at) = (0i64, 0);
    for row in rows {
        put_var(u64::from(row.end - row.start), out);
        let unlisted = row.unlisted_end - unlisted_at;
        put_var(u64::from(row.id_len) << 1 | u64::from(unlisted > 0), out);
        if unlisted > 0 {
            put_var(u64::from(unlisted), out);
            unlisted_at = row.unlisted_end;
        }
        let distance = row.submitted_ms as i64 - time;
        put_var(((distance << 1) ^ (distance >> 63)) as u64, out);
        time = row.submitted_ms as i64;
    }
}

pub(super) fn read_columns(reader: &mut VarReader<'_>, rows: &mut Vec<Row>) -> Option<()> {
    rows.clear();
    let count = usize::try_from(reader.next()?).ok()?;
    if !(1..=BLOCK_JOBS_MAX).contains(&count) {
        return None;
    }
    let (mut start, mut time, mut unlisted_end) = (0u32, 0i64, 0u32);
    for _ in 0..count {
        let len = u32::try_from(reader.next()?).ok()?;
        let id_len = reader.next()?;
        if id_len & 1 == 1 {
            let unlisted = u32::try_from(reader.next()?).ok()?;
            unlisted_end = unlisted_end.checked_add(unlisted)?;
        }
        let id_len = u8::try_from(id_len >> 1).ok()?;
        let zigzag = reader.next()?;
        time = time.checked_add((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))?;
        let row = Row {
            start,
            end: start.checked_add(len)?,
            unlisted_end,
            id_len,
            submitted_ms: u64::try_from(time).ok()?,
        };
        // The text must be long enough for everything that the row's accessors slice from it.
        if row.request_at() + AFTER_REQUEST.len() > row.end as usize {
            return None;
        }
        rows.push(row);
        start = row.end.checked_add(1)?;
    }
    Some(())
}
