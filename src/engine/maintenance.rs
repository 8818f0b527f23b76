//! Verification and repair of a store.

pub(crate) mod check;
pub(crate) mod repair;
