//! Background work: packing, merging, compaction, retention, archiving, and indexing.

#[cfg(feature = "archive")]
pub(crate) mod archiver;
#[cfg(feature = "archive")]
pub(crate) mod archiving;
pub(crate) mod compaction;
pub(crate) mod compaction_filter;
pub(crate) mod following;
pub(crate) mod garbage;
pub(crate) mod index_rewrite;
pub(crate) mod indexing;
pub(crate) mod pack_files;
pub(crate) mod packed_events;
pub(crate) mod packing;
pub(crate) mod retention;
pub(crate) mod uploading;
