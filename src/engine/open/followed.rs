//! Opens a store as a follower of its replica: makes the directory a mirror of the replica, without
//! claiming its log.

use std::sync::Arc;

use super::index_location::IndexLocation;
use super::read_log::ReadLog;
use super::replicated::Keep;
use super::{StoreAtRest, backlog, read_store, replicated};
use crate::base::sync::time::Instant;
use crate::engine::core::{Engine, EngineParts};
use crate::engine::read::opens;
use crate::engine::state::committer::Committer;
use crate::engine::state::follower::FollowerState;
use crate::engine::state::retention::ages::AgeClock;
use crate::engine::state::store_lock::StoreLock;
use crate::log::disk::Disk;
use crate::log::identity;
use crate::log::pack::Pack;
use crate::log::writer::LogWriter;
use crate::model::error::{Error, Result};
use crate::model::options::{Options, Recovery};
use crate::model::token::OpenEvent;
use crate::replica::calls::Calls;

/// Reads a store that follows its replica and builds an engine from it, without threads.
pub(super) fn assemble(
    mut options: Options,
    disk: Arc<dyn Disk>,
    lock: Option<StoreLock>,
    location: IndexLocation<'_>,
) -> Result<Arc<Engine>> {
    // Only the store that writes recovers jobs.
    options.recovery = Recovery::Leave;
    let Some(replica) = options.replica.clone() else {
        return Err(Error::InvalidUse {
            what: "a store can be followed only with its replica; set the option `replica`",
        });
    };
    let calls = Calls {
        replica: &*replica,
        timeout: options.replica_timeout,
        stop: None,
    };
    let (store, next) = replicated::mirror(&options, &*disk, calls, Keep::Log)?;
    let StoreAtRest {
        secret_keys,
        preallocation,
        read,
        index_in_memory,
        ..
    } = read_store(&options, &*disk, store, &location, None)?;
    let ReadLog {
        replay,
        log_files,
        end,
        ..
    } = read;
    identity::remove_closed(&*disk)?;
    let last = log_files.segments.last().map(|last| (last.clone(), end.at));
    let log = LogWriter::copying(
        disk.clone(),
        store,
        preallocation.clone(),
        last,
        replay.next_lsn,
    )?;
    let open_event = open_event(replay.open_event, &log_files.packs, replay.open_number)?;
    let now_ms = crate::base::clock::to_ms(options.clock.now());
    let as_of_ms = replay.clock.map(|clock| clock.wall_ms);
    let clock = AgeClock::begin(
        (replay.clock, replay.gaps.clone()),
        Instant::now(),
        as_of_ms.unwrap_or(now_ms),
    );
    let follower = FollowerState::new(replica, options.replica_timeout, next, as_of_ms);
    let engine = Arc::new(Engine::new(EngineParts {
        options,
        read_only: false,
        store,
        open_event,
        secret_keys,
        clock,
        recovered: Vec::new(),
        committer: Committer::new(log, backlog(&replay)),
        graphs: replay.graphs,
        log_files,
        ids: replay.ids,
        indexer: replay.indexer,
        index: replay.index,
        index_directory: location.into_directory(),
        index_in_memory,
        preallocation,
        replica: None,
        follower: Some(follower),
        lock,
        disk,
    }));
    engine.note_fixed_files();
    Ok(engine)
}

/// The last open for writing. If the index is complete, no event is replayed, so the replay does
/// not show it.
pub(super) fn open_event(
    replayed: Option<OpenEvent>,
    packs: &[Arc<Pack>],
    open_number: u64,
) -> Result<OpenEvent> {
    let known = match replayed {
        None => opens::last_open_event(packs)?,
        known => known,
    };
    Ok(known.unwrap_or(OpenEvent {
        lsn: 0,
        open_number,
        time_ms: 0,
    }))
}
