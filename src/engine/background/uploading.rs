//! Copies the log's files to the replica, so that a restore reads few chunks, and chunks and
//! replaced packs can be removed there.

use std::sync::Arc;
use std::time::Duration;

use crate::base::sync::channel::{Receiver, RecvTimeoutError};
use crate::engine::core::Engine;
use crate::engine::state::replica::ReplicaState;
use crate::log::pack::Pack;
use crate::log::secret_keys;
use crate::log::segment::Segment;
use crate::model::error::Result;
use crate::replica::uploads::{PackFile, SegmentPart, Snapshot};

/// How often it is checked whether a checkpoint is due.
const CHECK: Duration = Duration::from_secs(1);
/// How long to wait before a failed attempt is repeated.
const RETRY: Duration = Duration::from_secs(5);
/// A checkpoint is due after this many chunks, or this many bytes.
const CHUNKS_MAX: u64 = 1000;
const BYTES_MAX: u64 = 16 << 20;

/// Runs the uploader thread: makes a checkpoint whenever one is due, until the store closes.
pub(crate) fn run(engine: &Engine, calls: &Receiver<()>) {
    let mut wait = CHECK;
    loop {
        match calls.recv_timeout(wait) {
            Err(RecvTimeoutError::Disconnected) => return,
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
        }
        wait = match checkpoint_if_due(engine) {
            Ok(_) => CHECK,
            Err(_) => RETRY,
        };
    }
}

/// The files of the log.
struct Files {
    through: u64,
    end_lsn: u64,
    /// The epoch of the last segment, and where it ends.
    end: (u64, u64),
    packs: Vec<Arc<Pack>>,
    segments: Vec<Arc<Segment>>,
}

/// Makes a checkpoint if one is due; returns whether it did. Records any problem.
pub(crate) fn checkpoint_if_due(engine: &Engine) -> Result<bool> {
    let Some(replica) = &engine.replica else {
        return Ok(false);
    };
    if engine.check_writable().is_err() || !is_due(engine, replica) {
        return Ok(false);
    }
    checkpoint_noted(engine, replica).map(|()| true)
}

/// Makes a checkpoint, if the store has a replica and can be written to.
#[cfg(any(all(test, not(jobstore_shuttle)), feature = "simulation"))]
pub(crate) fn checkpoint_now(engine: &Engine) -> Result<()> {
    match &engine.replica {
        Some(replica) if engine.check_writable().is_ok() => checkpoint_noted(engine, replica),
        _ => Ok(()),
    }
}

fn checkpoint_noted(engine: &Engine, replica: &ReplicaState) -> Result<()> {
    let made = checkpoint(engine, replica);
    if let Err(error) = &made {
        tracing::warn!(%error, "cannot make a checkpoint in the replica; retrying later");
    }
    let mut progress = replica.progress.lock();
    progress.problem = made.as_ref().err().map(|error| error.to_string().into());
    made
}

fn is_due(engine: &Engine, replica: &ReplicaState) -> bool {
    let status = replica.appender.status();
    let grown = {
        let progress = replica.progress.lock();
        status.last - progress.chunks >= CHUNKS_MAX || status.bytes - progress.bytes >= BYTES_MAX
    };
    let packs = engine.log_files.read().packs.clone();
    grown || !replica.uploads.lock().has_packs(&pack_files(&packs))
}

fn checkpoint(engine: &Engine, replica: &ReplicaState) -> Result<()> {
    let _span = tracing::debug_span!("checkpoint").entered();
    // The files are read to the end, however long that takes.
    let _to_the_end = engine.keep_retired();
    let status = replica.appender.status();
    let files = files(engine, replica)?;
    let segments = files.segments.iter().map(|segment| {
        let (epoch, end) = files.end;
        let is_last = segment.header.epoch == epoch;
        SegmentPart {
            epoch: segment.header.epoch,
            end: if is_last {
                end
            } else {
                segment.end().unwrap_or(0)
            },
            file: &*segment.file,
        }
    });
    let snapshot = Snapshot {
        through: files.through,
        end_lsn: files.end_lsn,
        packs: pack_files(&files.packs),
        segments: segments.collect(),
        secret_keys: secret_keys::read_contents(&*engine.disk, engine.store)?,
        reseeds: false,
    };
    let mut uploads = replica.uploads.lock();
    uploads.checkpoint(&replica.appender, &snapshot)?;
    drop(uploads);
    let mut progress = replica.progress.lock();
    progress.checkpoint = Some(engine.options.clock.estimate());
    (progress.chunks, progress.bytes) = (status.last, status.bytes);
    Ok(())
}

/// The files of the log, and the last chunk, at one instant.
fn files(engine: &Engine, replica: &ReplicaState) -> Result<Files> {
    let mut committer = engine.lock_committer();
    committer.sync(engine)?;
    engine.check_sound()?;
    let log_files = engine.log_files.read();
    let end = committer.log_end();
    Ok(Files {
        through: replica.appender.status().last,
        end_lsn: end.lsn + 1,
        end: (end.epoch, end.offset),
        packs: log_files.packs.clone(),
        segments: log_files.segments.clone(),
    })
}

fn pack_files(packs: &[Arc<Pack>]) -> Vec<PackFile<'_>> {
    let files = packs.iter().map(|pack| PackFile {
        first_lsn: pack.first_lsn,
        last_lsn: pack.last_lsn,
        len: pack.bytes,
        file: &*pack.file,
    });
    files.collect()
}
