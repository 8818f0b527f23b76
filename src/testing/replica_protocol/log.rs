//! The log in a directory, as an open reads it.

use std::sync::Arc;

use crate::engine::open::read_log::ReadEnd;
use crate::engine::open::store_files::{gap, read_files};
use crate::log::disk::Disk;
use crate::log::event::Event;
use crate::log::identity;
use crate::log::pack::Pack;
use crate::log::segment::Segment;
use crate::model::error::{Error, Result};
use crate::model::store_id::StoreId;

pub(super) struct ReadLog {
    pub(super) packs: Vec<Arc<Pack>>,
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) facts: Vec<u64>,
    pub(super) next_lsn: u64,
    pub(super) end: ReadEnd,
    pub(super) next_epoch: u64,
}

/// The event that records a fact.
pub(super) fn event(fact: u64) -> Event<'static> {
    Event::GraphCreated {
        graph: 0,
        number: fact,
        key: [0; 2],
        time_ms: 1,
        project: "",
        name: "",
    }
}

fn fact(event: &Event<'_>) -> Option<u64> {
    match event {
        Event::GraphCreated { number, .. } => Some(*number),
        _ => None,
    }
}

/// Reads a log, makes all of it durable, and removes the files that are not needed.
pub(super) fn read(disk: &dyn Disk, store: StoreId) -> Result<ReadLog> {
    let files = read_files(disk, store)?;
    let closed = files.closed.as_ref().map(|closed| closed.end);
    let (mut facts, mut next_lsn) = (Vec::new(), 1);
    for pack in &files.packs {
        pack.events(1, |_, event| {
            facts.extend(fact(event));
            Ok::<(), Error>(())
        })?;
        next_lsn = pack.last_lsn + 1;
    }
    let mut end = ReadEnd {
        epoch: 0,
        at: 0,
        is_blank: false,
    };
    for (n, segment) in files.segments.iter().enumerate() {
        let header = segment.header;
        if header.first_lsn != next_lsn {
            return Err(gap(&segment.path, next_lsn, header.first_lsn));
        }
        let next = files.segments.get(n + 1).map(|next| next.header);
        let known_end = match next {
            Some(next) if next.previous_epoch == header.epoch => Some(next.previous_end),
            Some(_) => return Err(Error::damaged(&segment.path, 0, "the next one is missing")),
            None => closed.filter(|c| c.epoch == header.epoch).map(|c| c.offset),
        };
        let bytes = segment.read_all()?;
        if known_end.is_none() {
            segment.make_durable(disk, &bytes)?;
        }
        let scanned = segment.scan_events(&bytes, known_end, |_, event, _| {
            facts.extend(fact(&event));
            Ok::<(), Error>(())
        })?;
        if next.is_some() {
            segment.seal(scanned.end);
        }
        (end.epoch, end.at, next_lsn) = (header.epoch, scanned.end, scanned.next_lsn);
    }
    if closed.is_some_and(|closed| closed.lsn + 1 != next_lsn) {
        return Err(Error::damaged(disk.path(""), 0, "not what was closed"));
    }
    let failed = |e| Error::io("remove", disk.path(""), &e);
    disk.sync_names().map_err(failed)?;
    for name in &files.useless {
        disk.remove(name).map_err(failed)?;
    }
    identity::remove_closed(disk)?;
    Ok(ReadLog {
        packs: files.packs,
        segments: files.segments,
        facts,
        next_lsn,
        end,
        next_epoch: files.next_epoch,
    })
}
