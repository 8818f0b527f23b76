// The identity of a store.

/// The id of a store: 128 random bits that are in each of its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoreId(pub(crate) u128);
