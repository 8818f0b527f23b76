//! The blob that records to which store the blobs of a replica belong.
//!
//! The log and the blobs of a replica may be in different places, which a URL combines. Without this
//! blob, a URL could combine the log of one store with the blobs of another, and both would be
//! damaged. The blob is stored after the first claim and before any other chunk, and is never
//! removed.

use crate::model::error::{Error, Result};
use crate::model::store_id::StoreId;
use crate::replica::calls::Calls;

/// Where the blob is. Its name also contains the id of the store.
const OWNER: &str = "owner/";

fn name(store: StoreId) -> String {
    format!("{OWNER}{:032x}", store.0)
}

/// Returns the store that the blobs belong to; `None` if there is no record.
pub(crate) fn read(calls: &Calls<'_>) -> Result<Option<StoreId>> {
    Ok(stores(calls)?.first().copied())
}

fn stores(calls: &Calls<'_>) -> Result<Vec<StoreId>> {
    let names = calls.repeat(|replica| replica.names(OWNER))?;
    let ids = names.iter().filter_map(|(name, _)| {
        let id = u128::from_str_radix(name.strip_prefix(OWNER)?, 16);
        id.ok().map(StoreId)
    });
    Ok(ids.collect())
}

/// Checks that the blobs belong to the store of the log. They need no record of this yet if the log
/// is unused.
pub(crate) fn check(calls: &Calls<'_>, store: StoreId, is_unused: bool) -> Result<()> {
    let stores = stores(calls)?;
    check_other(calls, store, &stores)?;
    match stores.is_empty() && !is_unused {
        false => Ok(()),
        true => {
            let id = store.0;
            let what = format!("its log is that of store {id:032x}, but its blobs are not");
            Err(calls.damaged(&what))
        }
    }
}

fn check_other(calls: &Calls<'_>, store: StoreId, stores: &[StoreId]) -> Result<()> {
    match stores.iter().find(|&&found| found != store) {
        None => Ok(()),
        Some(found) => Err(Error::ReplicaOfOtherStore {
            place: calls.replica.place(),
            found: found.0,
            expected: store.0,
        }),
    }
}

/// Records that the blobs belong to this store. If another store does the same at this moment, at
/// least one of them fails.
pub(crate) fn record(calls: &Calls<'_>, store: StoreId) -> Result<()> {
    let known = stores(calls)?;
    check_other(calls, store, &known)?;
    if !known.is_empty() {
        return Ok(());
    }
    let (own, text) = (name(store), calls.replica.place());
    calls.repeat(|replica| replica.put(&own, text.len() as u64, &mut text.as_bytes()))?;
    let recorded = check_other(calls, store, &stores(calls)?);
    if recorded.is_err() {
        calls.repeat(|replica| replica.remove(std::slice::from_ref(&own)))?;
    }
    recorded
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::replica::MemoryReplica;

    #[test]
    fn blobs_belong_to_the_store_that_was_recorded_first() {
        let replica = MemoryReplica::default();
        let calls = Calls {
            replica: &replica,
            timeout: Duration::ZERO,
            stop: None,
        };
        let (first, second) = (StoreId(1), StoreId(2));
        assert_eq!(read(&calls).unwrap(), None);
        check(&calls, first, true).unwrap();
        let unrecorded = check(&calls, first, false);
        assert!(matches!(unrecorded, Err(Error::ReplicaDamaged { .. })));
        record(&calls, first).unwrap();
        record(&calls, first).unwrap();
        assert_eq!(read(&calls).unwrap(), Some(first));
        check(&calls, first, false).unwrap();
        let others = [record(&calls, second), check(&calls, second, true)];
        for other in others {
            assert!(matches!(other, Err(Error::ReplicaOfOtherStore { .. })));
        }
        assert_eq!(read(&calls).unwrap(), Some(first));
    }
}
