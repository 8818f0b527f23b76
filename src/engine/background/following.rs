//! Follows a replica: reads one chunk after the other, and applies it.
//!
//! The next chunk is requested by its number, which costs less than listing the chunks. A chunk that
//! was removed looks like one that does not exist yet. Therefore, if no chunk is found, the chunks are
//! listed: after a claim, after a pause of more than 5 s, at most once per second while the log grows,
//! and otherwise every 30 s. If the next chunk has been removed, the store is restored from the newest
//! checkpoint.

use std::time::Duration;

use crate::base::sync::channel::{Receiver, RecvTimeoutError};
use crate::base::sync::time::Instant;
use crate::engine::commit::following::Followed;
use crate::engine::core::Engine;
use crate::engine::state::follower::FollowerState;
use crate::log::secret_keys;
use crate::log::writer::copying::Piece;
use crate::model::error::Result;
use crate::replica::calls::payload;
use crate::replica::chunk::Content;
use crate::replica::holder::Holder;
use crate::replica::read_ahead::ReadAhead;

/// How long the replica may wait for the next chunk before it responds.
const POLL_WAIT: Duration = Duration::from_millis(500);
/// How long to wait before a failed call is repeated.
const RETRY: Duration = Duration::from_millis(200);
/// If the replica was not read for this long, chunks may have been removed.
const UNREAD_MAX: Duration = Duration::from_secs(5);
/// How often it is checked whether chunks have been removed, if none was found meanwhile.
const CHECK: Duration = Duration::from_secs(30);
/// How often this is checked otherwise: a follower that is too slow finds no further chunk, either.
const CHECK_GROWING: Duration = Duration::from_secs(1);

/// What the thread remembers from one chunk to the next.
#[derive(Default)]
pub(crate) struct Reading {
    /// When it was last checked whether chunks have been removed; `None` if the next poll that
    /// finds no chunk must check this.
    checked: Option<Instant>,
    /// Whether a chunk was found since then.
    has_found: bool,
    /// Whether the log before the next chunk has been replaced.
    is_replaced: bool,
    ahead: ReadAhead,
}

/// Runs the follower's thread, until the store closes or fails.
pub(crate) fn run(engine: &Engine, calls: &Receiver<()>) {
    let Some(follower) = &engine.follower else {
        return;
    };
    let mut reading = Reading::default();
    let mut wait = Duration::ZERO;
    while is_running(engine) {
        match calls.recv_timeout(wait) {
            Err(RecvTimeoutError::Disconnected) => return,
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
        }
        wait = advance(engine, follower, &mut reading);
    }
    engine.wake_all_waiters();
}

/// Returns whether the thread has further steps to take.
pub(crate) fn is_running(engine: &Engine) -> bool {
    engine.check_open().is_ok() && engine.check_sound().is_ok()
}

/// Takes a step, and records its failure. Returns how long to wait before the next step.
pub(crate) fn advance(
    engine: &Engine,
    follower: &FollowerState,
    reading: &mut Reading,
) -> Duration {
    match step(engine, follower, reading) {
        Ok(()) => Duration::ZERO,
        Err(error) => {
            tracing::debug!(%error, "cannot follow the replica; retrying");
            follower.set_problem(Some(error.to_string().into()));
            RETRY
        }
    }
}

/// Reads the next chunk, and applies it.
fn step(engine: &Engine, follower: &FollowerState, reading: &mut Reading) -> Result<()> {
    if engine.is_restoring() {
        // The last attempt failed.
        return engine.restore_follower();
    }
    let calls = follower.calls();
    let number = follower.next();
    let (unread, _) = follower.status(Instant::now());
    if unread >= UNREAD_MAX {
        reading.checked = None;
    }
    let read_one = || calls.read_once(number, POLL_WAIT);
    let chunk = reading.ahead.read(&calls, number, read_one)?;
    let Some(chunk) = chunk else {
        return check_removed(engine, follower, reading);
    };
    follower.responded(false);
    reading.has_found = true;
    engine.check_open()?;
    let header = calls.parse(number, &chunk)?;
    if header.writer.store != engine.store {
        return Err(calls.damaged(&format!("chunk {number} belongs to another store")));
    }
    // The store that replaces the log stores a checkpoint before any other chunk.
    if std::mem::take(&mut reading.is_replaced) {
        return engine.restore_follower();
    }
    let mut as_of_ms = None;
    match header.content {
        Content::Frames {
            epoch,
            offset,
            first_lsn,
            ..
        } => {
            // What waits for the index is in memory.
            engine.check_index_lag()?;
            let bytes = payload(&chunk);
            let piece = Piece {
                epoch,
                offset,
                bytes,
            };
            let followed = engine.lock_committer().follow(engine, &piece, first_lsn)?;
            match followed {
                Followed::Applied(last_ms, waiters) => {
                    waiters.iter().for_each(|waiter| waiter.wake());
                    as_of_ms = last_ms;
                }
                Followed::OutOfPlace => return engine.restore_follower(),
            }
        }
        Content::SecretKeys => set_secret_keys(engine, payload(&chunk))?,
        Content::Claim => {
            reading.is_replaced = Holder::parse(payload(&chunk)).reseeds;
            // A delayed claim request may have created a chunk under the number of a removed one.
            reading.checked = None;
        }
        Content::Trim { .. } => {}
    }
    follower.applied(chunk.len(), as_of_ms);
    Ok(())
}

/// Checks whether the next chunk has been removed, unless this was checked recently.
fn check_removed(engine: &Engine, follower: &FollowerState, reading: &mut Reading) -> Result<()> {
    let now = Instant::now();
    let interval = if reading.has_found {
        CHECK_GROWING
    } else {
        CHECK
    };
    let is_recent = |at| now.saturating_duration_since(at) < interval;
    if reading.checked.is_some_and(is_recent) {
        // Until the check, the follower may be too slow.
        follower.responded(!reading.has_found);
        follower.set_problem(None);
        return Ok(());
    }
    let (calls, next) = (follower.calls(), follower.next());
    let later = calls.repeat(|replica| replica.numbers(next))?;
    (reading.checked, reading.has_found) = (Some(now), false);
    follower.set_problem(None);
    let removed = later.first().filter(|&&first| first > next);
    follower.responded(removed.is_none());
    match removed {
        Some(first) => {
            tracing::warn!(next, first, "chunks were removed before they were read");
            engine.restore_follower()
        }
        None => Ok(()),
    }
}

/// Applies a change of the secret keys, given the new text of `SECRET-KEYS`.
fn set_secret_keys(engine: &Engine, text: &[u8]) -> Result<()> {
    // A close ends the log while the committer is locked.
    let _committer = engine.lock_committer();
    engine.check_open()?;
    let disk = &*engine.disk;
    secret_keys::write_contents(disk, &String::from_utf8_lossy(text))?;
    let recorded = secret_keys::read(disk, engine.store)?.unwrap_or_default();
    engine.set_secret_keys(engine.options.named_secrets.over(&recorded));
    Ok(())
}
