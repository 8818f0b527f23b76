//! What tells stores apart.

/// A store's identity: 128 random bits that stand in every file of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoreId(pub(crate) u128);
