//! A writer: the log of a store whose replica was claimed, without the engine above it.

use std::sync::Arc;
use std::time::Duration;

use super::log::{self, ReadLog};
use super::world::{Acknowledged, Found, World};
use super::{NEVER, SEGMENT_BYTES};
use crate::engine::open::replicated::{Attached, attach};
use crate::engine::open::{Remote, begin_log};
use crate::engine::state::log_files::LogFiles;
use crate::log::clock_mark::ClockMark;
use crate::log::disk::Disk;
use crate::log::disk::memory::MemoryDisk;
use crate::log::event::Event;
use crate::log::frame::Builder;
use crate::log::identity::{self, Closed, LogEnd};
use crate::log::pack::Pack;
use crate::log::pack_writer::PackWriter;
use crate::log::preallocation::{Preallocation, Room};
use crate::log::segment::{SEGMENT_HEADER_BYTES, Segment};
use crate::log::writer::{AppendError, LogWriter};
use crate::model::error::{Error, Result};
use crate::model::options::Options;
use crate::model::replica::Replica;
use crate::replica::appender::Appender;
use crate::replica::chunk::Writer as Reign;
use crate::replica::uploads::{PackFile, SegmentPart, Snapshot, Uploads};

pub(super) struct Writer<'w> {
    world: &'w World,
    disk: Arc<MemoryDisk>,
    reign: Reign,
    appender: Arc<Appender>,
    uploads: &'w mut Uploads,
    log: LogWriter,
    packs: Vec<Arc<Pack>>,
    segments: Vec<Arc<Segment>>,
    /// Facts that are not acknowledged yet, and their LSNs.
    pending: Vec<(u64, u64)>,
    frame: Builder,
}

/// Opens a directory with a replica, up to the point where the engine reads the log.
pub(super) fn claim(
    disk: &MemoryDisk,
    replica: Arc<dyn Replica>,
) -> Result<(Reign, Attached, ReadLog)> {
    let options = Options::default().replica(replica).replica_timeout(NEVER);
    let attached = attach(&options, disk)?.expect("a replica is set");
    let reign = attached.replica.appender.writer();
    let log = log::read(disk, reign.store)?;
    attached.check_end(log.next_lsn)?;
    Ok((reign, attached, log))
}

/// Claims the replica, and writes until something fails or the script ends.
pub(super) fn run(world: &World, disk: &Arc<MemoryDisk>, replica: Arc<dyn Replica>) -> Result<()> {
    let acknowledged_before = world.record.lock().acknowledged.len();
    let (reign, attached, read) = claim(disk, replica.clone())?;
    world.record.lock().found.push(Found {
        facts: read.facts.clone(),
        claim: Some(reign.claim),
        acknowledged_before,
    });
    // Some writers give up an append at the first lost response.
    let timeout = match world.draw(3) {
        0 => Duration::ZERO,
        _ => NEVER,
    };
    let appender = Arc::new(Appender::new(replica, reign, timeout));
    let mut read = read;
    if read.end.epoch == 0 {
        (read.end.epoch, read.end.at) = attached.last;
    }
    let epoch = attached.last.0;
    let mut uploads = attached.replica.uploads.lock();
    // Some writers keep no chunks that a checkpoint replaces.
    if world.draw(4) > 0 {
        uploads.kept_max = (0, 0);
    }
    let mut writer = Writer::begin(
        world,
        disk,
        (reign, appender, epoch, attached.continues),
        read,
        &mut uploads,
    )?;
    // What an open records.
    let opened = Event::StoreOpened {
        open_number: 1,
        time_ms: reign.claim,
    };
    writer.append(&[opened])?;
    for _ in 0..2 + world.draw(12) {
        writer.act()?;
    }
    writer.sync()?;
    match world.draw(2) {
        0 => writer.close(),
        _ => Ok(()),
    }
}

impl<'w> Writer<'w> {
    fn begin(
        world: &'w World,
        disk: &Arc<MemoryDisk>,
        (reign, appender, epoch, continues): (Reign, Arc<Appender>, u64, bool),
        read: ReadLog,
        uploads: &'w mut Uploads,
    ) -> Result<Writer<'w>> {
        let next_epoch = read.next_epoch.max(epoch + 1);
        let preallocation = Arc::new(Preallocation::new(next_epoch, SEGMENT_BYTES));
        let shared: Arc<dyn Disk> = disk.clone();
        let files = LogFiles {
            packs: read.packs,
            segments: read.segments,
        };
        let remote = Some(Remote {
            log: appender.clone(),
            continues,
        });
        let place = (&files, &read.end);
        let log = begin_log(
            &shared,
            reign.store,
            &preallocation,
            read.next_lsn,
            place,
            remote,
        )?;
        let LogFiles {
            packs,
            mut segments,
        } = files;
        // The log may be continued in the last segment.
        if !segments
            .iter()
            .any(|there| Arc::ptr_eq(there, log.active()))
        {
            segments.push(log.active().clone());
        }
        Ok(Writer {
            world,
            disk: disk.clone(),
            reign,
            appender,
            uploads,
            log,
            packs,
            segments,
            pending: Vec::new(),
            frame: Builder::default(),
        })
    }

    fn act(&mut self) -> Result<()> {
        match self.world.draw(16) {
            0..9 => self.append_facts(),
            9..12 => self.checkpoint(),
            12..14 => self.pack(),
            14 => self.merge(),
            _ => self.leave_segment(),
        }
    }

    fn append_facts(&mut self) -> Result<()> {
        for _ in 0..1 + self.world.draw(2) {
            let (mut events, mut lsn) = (Vec::new(), self.log.next_lsn());
            for _ in 0..1 + self.world.draw(2) {
                let fact = {
                    let mut record = self.world.record.lock();
                    record.facts += 1;
                    record.facts
                };
                self.pending.push((fact, lsn));
                events.push(log::event(fact));
                lsn += 1;
            }
            self.append(&events)?;
        }
        self.sync()
    }

    fn append(&mut self, events: &[Event<'_>]) -> Result<()> {
        self.frame.clear();
        for event in events {
            self.frame.push(event);
        }
        let appended = self.log.append(&mut self.frame, Room::Ordinary);
        let appended = appended.map_err(cause)?;
        if appended.sealed.is_some() {
            self.segments.push(appended.segment);
        }
        Ok(())
    }

    /// Acknowledges what is durable here and in the replica.
    fn sync(&mut self) -> Result<()> {
        self.log.sync()?;
        let chunk = self.appender.status().last;
        let mut record = self.world.record.lock();
        for (fact, _) in self.pending.drain(..) {
            record.acknowledged.push(Acknowledged {
                fact,
                claim: self.reign.claim,
                chunk,
            });
        }
        Ok(())
    }

    /// As the uploader does; meanwhile, the log may grow.
    fn checkpoint(&mut self) -> Result<()> {
        self.sync()?;
        let (packs, segments) = (self.packs.clone(), self.segments.clone());
        let (active, end) = (self.log.active().header.epoch, self.log.end());
        let (through, end_lsn) = (self.appender.status().last, self.log.next_lsn());
        for _ in 0..self.world.draw(3) {
            self.append_facts()?;
        }
        let parts = segments.iter().map(|segment| {
            let epoch = segment.header.epoch;
            let end = match epoch == active {
                true => end,
                false => segment.end().unwrap_or(0),
            };
            SegmentPart {
                epoch,
                end,
                file: &*segment.file,
            }
        });
        let packs = packs.iter().map(|pack| PackFile {
            first_lsn: pack.first_lsn,
            last_lsn: pack.last_lsn,
            len: pack.bytes,
            file: &*pack.file,
        });
        let snapshot = Snapshot {
            through,
            end_lsn,
            packs: packs.collect(),
            segments: parts.collect(),
            secret_keys: None,
            reseeds: false,
        };
        self.uploads.checkpoint(&self.appender, &snapshot)?;
        self.world.record.lock().checkpoints += 1;
        Ok(())
    }

    /// Packs the oldest segment, if it is sealed.
    fn pack(&mut self) -> Result<()> {
        // The header of a segment without frames is sent together with the next frame.
        let has_frames = self.segments[0].end() > Some(SEGMENT_HEADER_BYTES as u64);
        let is_sent = has_frames || self.log.synced_lsn() >= self.segments[0].header.first_lsn;
        if self.segments.len() < 2 || !is_sent {
            return Ok(());
        }
        let segment = self.segments.remove(0);
        let (bytes, mut events) = (segment.read_all()?, Vec::new());
        segment.scan_events(&bytes, segment.end(), |_, event, _| {
            events.push(event);
            Ok::<(), Error>(())
        })?;
        let first = segment.header.first_lsn;
        if !events.is_empty() {
            let pack = self.write_pack(first, &events, None)?;
            self.packs.push(pack);
        }
        self.remove(&segment.name)
    }

    /// Rewrites the last packs as one.
    fn merge(&mut self) -> Result<()> {
        let count = 1 + self.world.draw(2) as usize;
        if self.packs.len() < count {
            return Ok(());
        }
        let merged = self.packs.split_off(self.packs.len() - count);
        let mut facts = Vec::new();
        for pack in &merged {
            pack.events(1, |_, event| {
                facts.push(match event {
                    Event::GraphCreated { number, .. } => log::event(*number),
                    Event::StoreOpened { time_ms, .. } => Event::StoreOpened {
                        open_number: 1,
                        time_ms: *time_ms,
                    },
                    other => unreachable!("{other:?}"),
                });
                Ok::<(), Error>(())
            })?;
        }
        let pack = self.write_pack(
            merged[0].first_lsn,
            &facts,
            merged.first().filter(|_| count == 1),
        )?;
        self.packs.push(pack);
        for replaced in merged.iter().filter(|_| count > 1) {
            self.remove(&replaced.name)?;
        }
        Ok(())
    }

    fn write_pack(
        &self,
        first_lsn: u64,
        events: &[Event<'_>],
        replaced: Option<&Arc<Pack>>,
    ) -> Result<Arc<Pack>> {
        let last_lsn = first_lsn + events.len() as u64 - 1;
        let clock = ClockMark {
            wall_ms: self.world.draw(1 << 30),
            ..ClockMark::default()
        };
        let writer = PackWriter::begin(&*self.disk, self.reign.store, first_lsn, last_lsn)?;
        let mut writer = writer.at_clock(Some(clock));
        if let Some(replaced) = replaced {
            writer = writer.replacing(&replaced.file);
        }
        events.iter().try_for_each(|event| writer.event(event))?;
        writer.finish().map(Arc::new)
    }

    fn remove(&self, name: &str) -> Result<()> {
        let removed = self.disk.remove(name).and_then(|()| self.disk.sync_names());
        removed.map_err(|e| Error::io("remove", self.disk.path(name), &e))
    }

    /// Continues in a new segment, which has no frame yet.
    fn leave_segment(&mut self) -> Result<()> {
        self.log.leave_segment().map_err(cause)?;
        self.segments.push(self.log.active().clone());
        Ok(())
    }

    fn close(self) -> Result<()> {
        let end = LogEnd {
            epoch: self.log.active().header.epoch,
            offset: self.log.end(),
            lsn: self.log.next_lsn() - 1,
        };
        let closed = Closed {
            end,
            clock: ClockMark::default(),
            index: None,
        };
        identity::write_closed(&*self.disk, self.reign.store, &closed)
    }
}

fn cause(error: AppendError) -> Error {
    match error {
        AppendError::Refused(error) | AppendError::Unknown(error) => error,
    }
}
