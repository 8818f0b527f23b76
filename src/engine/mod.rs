//! An open store: states in memory, commits, pages, background work.
//!
//! A write is durable before it is acknowledged, and visible only once it is durable. All writes
//! are in one total order, and a page is a snapshot of one instant. After a failed write, nothing
//! more is written until the store is reopened; reads continue.
//!
//! Each module may use those before it: [`state`] is the data of a store, and [`core`] combines
//! these data into an open store; [`read`] selects and reads jobs; [`replay`] reads a whole log
//! that is intact, and [`survey`] reads a log that may be damaged; [`commit`] writes changes to the
//! log and publishes them; [`background`] packs, merges, purges, archives, and indexes; [`open`]
//! builds a store from its files and closes it; [`maintenance`] verifies and repairs a store.

pub(crate) mod age_clock;
pub(crate) mod background;
pub(crate) mod commit;
pub(crate) mod core;
pub(crate) mod health;
pub(crate) mod maintenance;
pub(crate) mod open;
pub(crate) mod read;
pub(crate) mod relocation;
pub(crate) mod replay;
pub(crate) mod state;
pub(crate) mod store_handle;
pub(crate) mod survey;
