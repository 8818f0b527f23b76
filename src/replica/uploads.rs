//! Copies packs and segments to the replica, records them in a checkpoint, and removes what the
//! checkpoint replaces.
//!
//! Nothing is removed before a chunk has announced it. If another writer has claimed the log, the
//! announcement fails, so a deposed writer removes nothing.

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, Read};

use xxhash_rust::xxh3::Xxh3;

use crate::log::disk::File;
use crate::model::error::{Error, Result};
use crate::replica::appender::Appender;
use crate::replica::calls::Calls;
use crate::replica::checkpoint::{CHECKPOINTS, Checkpoint, PACKS, PARTS, PackBlob, PartBlob};
use crate::replica::chunk::Writer;
use crate::replica::claim::Contents;
use crate::replica::mirror::tail_of;

/// How many of the newest chunks, and how many bytes of them, are kept for followers after a
/// checkpoint has replaced them, so that followers that are a little behind need no restore.
const KEPT_CHUNKS: u64 = 20_000;
const KEPT_BYTES: u64 = 64 << 20;

/// A simulated store keeps none of them, so that a simulation detects if a removed chunk is still
/// needed.
fn kept_max() -> (u64, u64) {
    #[cfg(feature = "simulation")]
    if crate::base::simulated::is_simulated() {
        return (0, 0);
    }
    (KEPT_CHUNKS, KEPT_BYTES)
}

/// How many bytes of a file are read at once.
const STEP_BYTES: usize = 256 << 10;

/// A pack of the log.
pub(crate) struct PackFile<'f> {
    pub(crate) first_lsn: u64,
    pub(crate) last_lsn: u64,
    pub(crate) len: u64,
    pub(crate) file: &'f dyn File,
}

/// A segment of the log, up to the offset after its last frame.
pub(crate) struct SegmentPart<'f> {
    pub(crate) epoch: u64,
    pub(crate) end: u64,
    pub(crate) file: &'f dyn File,
}

/// The whole log at one instant.
pub(crate) struct Snapshot<'f> {
    /// The number of the chunk with the last event, or of a later one.
    pub(crate) through: u64,
    /// The LSN after the last event.
    pub(crate) end_lsn: u64,
    pub(crate) packs: Vec<PackFile<'f>>,
    pub(crate) segments: Vec<SegmentPart<'f>>,
    pub(crate) secret_keys: Option<String>,
    /// Whether the log before it is replaced by other contents.
    pub(crate) reseeds: bool,
}

/// What is in the replica besides chunks.
pub(crate) struct Uploads {
    writer: Writer,
    packs: Vec<PackBlob>,
    parts: Vec<PartBlob>,
    /// All claims so far.
    claims: Vec<u64>,
    /// The number up to which a checkpoint replaces chunks.
    pub(crate) through: u64,
    /// For each checkpoint whose chunks are kept, from the oldest on: the number of the last chunk
    /// that it replaces, and how many bytes had been appended by then.
    kept: VecDeque<(u64, u64)>,
    /// How many chunks, and how many bytes of chunks, are kept.
    pub(crate) kept_max: (u64, u64),
    /// The chunks up to this number were kept by earlier reigns. This reign's first checkpoint
    /// removes them, so that short reigns do not keep more and more.
    inherited: u64,
    /// How many checkpoints this writer has begun.
    serial: u64,
}

impl Uploads {
    /// What a claimed log contains.
    pub(crate) fn of(writer: Writer, contents: &Contents) -> Uploads {
        let (packs, parts) = match &contents.base {
            Some(base) => (base.packs.clone(), base.parts_with_frames().to_vec()),
            None => Default::default(),
        };
        let mut claims = contents.claims.clone();
        claims.push(writer.claim);
        Uploads {
            writer,
            packs,
            parts,
            claims,
            through: contents.base.as_ref().map_or(0, |base| base.through),
            kept: VecDeque::new(),
            kept_max: kept_max(),
            inherited: contents.base.as_ref().map_or(0, |base| base.through),
            serial: 0,
        }
    }

    /// Whether a snapshot's packs are all in the replica, and no others.
    pub(crate) fn has_packs(&self, packs: &[PackFile<'_>]) -> bool {
        let same = |(blob, pack): (&PackBlob, &PackFile<'_>)| {
            let ours = (pack.first_lsn, pack.last_lsn, pack.len);
            ours == (blob.first_lsn, blob.last_lsn, blob.len)
        };
        self.packs.len() == packs.len() && self.packs.iter().zip(packs).all(same)
    }

    /// Stores a checkpoint that contains all of a snapshot, and returns its name. Nothing is removed
    /// yet.
    pub(crate) fn store(&mut self, calls: &Calls<'_>, snapshot: &Snapshot<'_>) -> Result<String> {
        self.serial += 1;
        let mut packs = Vec::new();
        for pack in &snapshot.packs {
            packs.push(self.pack(calls, pack)?);
        }
        let mut parts = Vec::new();
        for segment in &snapshot.segments {
            self.segment(calls, segment, &mut parts)?;
        }
        let claims = self.claims.iter().copied();
        let checkpoint = Checkpoint {
            store: self.writer.store,
            reign: self.writer.reign,
            through: snapshot.through,
            serial: self.serial,
            end_lsn: snapshot.end_lsn,
            packs,
            parts,
            claims: claims.filter(|&claim| claim <= snapshot.through).collect(),
            secret_keys: snapshot.secret_keys.clone(),
            reseeds: snapshot.reseeds,
        };
        let text = checkpoint.text();
        let name = checkpoint.name().name();
        calls.repeat(|replica| replica.put(&name, text.len() as u64, &mut text.as_bytes()))?;
        self.packs = checkpoint.packs;
        self.parts = checkpoint.parts;
        Ok(name)
    }

    /// Stores a checkpoint, and removes what it replaces.
    pub(crate) fn checkpoint(
        &mut self,
        appender: &Appender,
        snapshot: &Snapshot<'_>,
    ) -> Result<()> {
        let calls = &appender.calls();
        let newest = self.store(calls, snapshot)?;
        // Another writer stores blobs only after its claim. If it has already claimed the log, the
        // announcement below fails. So if the announcement succeeds, every listed blob is from this
        // writer or an earlier one.
        let obsolete = self.obsolete(calls, &newest)?;
        appender.announce_trim(snapshot.through)?;
        let keep = self.claims.iter().copied();
        let keep: Vec<u64> = keep.filter(|&claim| claim <= snapshot.through).collect();
        if let Some(through) = self.removable(snapshot.through, appender.status().bytes) {
            calls.repeat(|replica| replica.trim(through + 1, &keep))?;
        }
        calls.repeat(|replica| replica.remove(&obsolete))?;
        self.through = snapshot.through;
        Ok(())
    }

    /// The number of the last chunk that can be removed, if one can, now that there is a checkpoint
    /// up to `through`.
    fn removable(&mut self, through: u64, bytes: u64) -> Option<u64> {
        self.kept.push_back((through, bytes));
        let (chunks_max, bytes_max) = self.kept_max;
        let is_old =
            |&&(last, at): &&(u64, u64)| last + chunks_max <= through || at + bytes_max <= bytes;
        let old = self.kept.iter().take_while(is_old).count();
        let old = self.kept.drain(..old).next_back().map(|(last, _)| last);
        let inherited = std::mem::take(&mut self.inherited);
        old.max((inherited > 0).then_some(inherited))
    }

    /// The names of all blobs that the newest checkpoint does not need.
    fn obsolete(&self, calls: &Calls<'_>, newest: &str) -> Result<Vec<String>> {
        let packs = self.packs.iter().map(|pack| pack.name.as_str());
        let parts = self.parts.iter().map(|part| part.name.as_str());
        let needed: BTreeSet<&str> = packs.chain(parts).chain([newest]).collect();
        let mut obsolete = Vec::new();
        for prefix in [CHECKPOINTS, PACKS, PARTS] {
            let names = calls.repeat(|replica| replica.names(prefix))?;
            let names = names.into_iter().map(|(name, _)| name);
            obsolete.extend(names.filter(|name| !needed.contains(name.as_str())));
        }
        Ok(obsolete)
    }

    /// A name that is never used again, not even for other contents of the same part of the log.
    fn new_name(&self, prefix: &str, what: &str) -> String {
        format!("{prefix}{:032x}-{}-{what}", self.writer.reign, self.serial)
    }

    /// The copy of a pack, which is stored unless it exists.
    fn pack(&self, calls: &Calls<'_>, pack: &PackFile<'_>) -> Result<PackBlob> {
        let tail = tail_of(pack.file).map_err(unreadable)?;
        let known = self.packs.iter().find(|blob| {
            let ours = (pack.first_lsn, pack.last_lsn, pack.len, tail);
            ours == (blob.first_lsn, blob.last_lsn, blob.len, blob.tail)
        });
        if let Some(known) = known {
            return Ok(known.clone());
        }
        let (first_lsn, last_lsn, len) = (pack.first_lsn, pack.last_lsn, pack.len);
        let name = self.new_name(PACKS, &format!("{first_lsn}-{last_lsn}"));
        let hash = upload(calls, &name, pack.file, (0, len))?;
        Ok(PackBlob {
            first_lsn,
            last_lsn,
            len,
            tail,
            hash,
            name,
        })
    }

    /// Adds the copies of a segment's parts. The part that is not stored yet is stored.
    fn segment(
        &self,
        calls: &Calls<'_>,
        segment: &SegmentPart<'_>,
        parts: &mut Vec<PartBlob>,
    ) -> Result<()> {
        let (epoch, end) = (segment.epoch, segment.end);
        let known = self.parts.iter().filter(|part| part.epoch == epoch);
        let mut from = 0;
        for part in known.filter(|part| part.to <= end) {
            from = part.to;
            parts.push(part.clone());
        }
        if from < end {
            let name = self.new_name(PARTS, &format!("{epoch}-{from}-{end}"));
            let hash = upload(calls, &name, segment.file, (from, end))?;
            parts.push(PartBlob {
                epoch,
                from,
                to: end,
                hash,
                name,
            });
        }
        Ok(())
    }
}

/// Stores bytes of a file as a blob, and returns their hash.
fn upload(calls: &Calls<'_>, name: &str, file: &dyn File, (from, to): (u64, u64)) -> Result<u128> {
    let mut problem = None;
    let hash = calls.repeat(|replica| {
        let mut reader = Bytes {
            file,
            at: from,
            end: to,
            buffer: Vec::new(),
            read: 0,
            hasher: Xxh3::new(),
            error: None,
        };
        let stored = replica.put(name, to - from, &mut reader);
        problem = reader.error.take();
        // A file that cannot be read is not a problem of the replica.
        match problem {
            Some(_) => Ok(0),
            None => stored.map(|()| reader.hasher.digest128()),
        }
    })?;
    match problem {
        Some(problem) => Err(unreadable(problem)),
        None => Ok(hash),
    }
}

fn unreadable(error: io::Error) -> Error {
    Error::io("upload", "the log", &error)
}

/// Reads bytes of a file in steps, and computes their hash.
struct Bytes<'f> {
    file: &'f dyn File,
    at: u64,
    end: u64,
    buffer: Vec<u8>,
    /// How many bytes of the buffer were returned.
    read: usize,
    hasher: Xxh3,
    error: Option<io::Error>,
}

impl Read for Bytes<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.read == self.buffer.len() && self.at < self.end {
            let step = (self.end - self.at).min(STEP_BYTES as u64) as usize;
            self.buffer.resize(step, 0);
            if let Err(error) = self.file.read_exact_at(&mut self.buffer, self.at) {
                let kind = error.kind();
                self.error = Some(error);
                return Err(kind.into());
            }
            self.hasher.update(&self.buffer);
            (self.at, self.read) = (self.at + step as u64, 0);
        }
        let rest = &self.buffer[self.read..];
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        self.read += count;
        Ok(count)
    }
}
