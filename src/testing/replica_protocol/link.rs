//! An actor's connection to the replica, which other actors use between any two requests, and
//! which can break a rule of the protocol.

use std::io::{Read, Write};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::world::World;
use crate::base::sync::Mutex;
use crate::model::replica::{Created, Replica, ReplicaError};
use crate::replica::MemoryReplica;
use crate::replica::calls::payload;
use crate::replica::checkpoint::{CHECKPOINTS, CheckpointName, PACKS, PARTS};
use crate::replica::chunk::{ChunkHeader, Content, Writer};

/// A rule of the protocol that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutant {
    /// Claims are trimmed along with other chunks.
    ClaimsTrimmed,
    /// A claimant does not see checkpoints beyond its claim.
    NoCheckAfterClaim,
    /// What was written after the end of the log was read, but before the claim, is ignored.
    ReadBeforeClaim,
    /// An append whose response was lost counts as acknowledged.
    UnknownAcknowledged,
    /// If a chunk's number is taken, the writer tries the next one.
    SecondChunk,
    /// Blobs are removed before the announcement.
    RemovedBeforeAnnounced,
    /// Which blobs are obsolete is determined after the announcement.
    ListedAfterAnnounced,
    /// The trim is announced before the checkpoint is stored.
    AnnouncedBeforeStored,
}

/// What this connection has seen, for mutants.
#[derive(Default)]
struct Seen {
    /// The last number in the last list of chunks before the claim.
    last: u64,
    writer: Option<Writer>,
    /// A checkpoint that is not stored yet.
    delayed: Option<(String, Vec<u8>)>,
}

pub(super) struct Link {
    world: Arc<World>,
    actor: usize,
    seen: Mutex<Seen>,
}

impl Link {
    pub(super) fn new(world: Arc<World>, actor: usize) -> Link {
        Link {
            world,
            actor,
            seen: Mutex::default(),
        }
    }

    fn is(&self, mutant: Mutant) -> bool {
        self.world.mutant == Some(mutant)
    }

    /// A request is sent some time before it takes effect, and its response arrives some time
    /// after.
    fn call<T>(&self, call: impl FnOnce(&MemoryReplica) -> T) -> T {
        self.world.step(self.actor);
        let result = call(&self.world.replica);
        self.world.step(self.actor);
        result
    }

    /// The names of all blobs that the newest checkpoint of this connection does not need.
    fn unneeded(&self, replica: &MemoryReplica) -> Vec<String> {
        let replica = replica.copy();
        let names = |prefix| replica.names(prefix).unwrap_or_default();
        let reign = self.seen.lock().writer.map_or(0, |writer| writer.reign);
        let own = format!(".{reign:032x}");
        let mut newest = names(CHECKPOINTS).into_iter().rev();
        let Some((newest, len)) = newest.find(|(name, _)| name.ends_with(&own)) else {
            return Vec::new();
        };
        let mut text = Vec::new();
        replica.get(&newest, 0..len, &mut text).ok();
        let text = String::from_utf8_lossy(&text).into_owned();
        let all = [CHECKPOINTS, PACKS, PARTS].into_iter().flat_map(names);
        let all = all.map(|(name, _)| name);
        all.filter(|name| *name != newest && !text.contains(name.as_str()))
            .collect()
    }

    fn store_delayed(&self) -> Result<(), ReplicaError> {
        let delayed = self.seen.lock().delayed.take();
        match delayed {
            Some((name, blob)) => {
                self.call(|r| r.put(&name, blob.len() as u64, &mut blob.as_slice()))
            }
            None => Ok(()),
        }
    }
}

impl Replica for Link {
    fn create(&self, number: u64, chunk: &[u8]) -> Result<Created, ReplicaError> {
        let header = ChunkHeader::parse(number, chunk).expect("a valid chunk");
        if let (true, Content::Trim { .. }) =
            (self.is(Mutant::RemovedBeforeAnnounced), header.content)
        {
            self.call(|r| r.remove(&self.unneeded(r))).ok();
        }
        let created = self.call(|r| r.create(number, chunk));
        let is_ours = match &created {
            Ok(Created::Done) => true,
            Ok(Created::Taken(there)) => there == chunk,
            Err(_) => {
                return match (self.is(Mutant::UnknownAcknowledged), header.content) {
                    (true, Content::Frames { .. }) => Ok(Created::Done),
                    _ => created,
                };
            }
        };
        if is_ours && header.content == Content::Claim {
            self.seen.lock().writer = Some(header.writer);
        }
        match header.content {
            Content::Frames { .. } if !is_ours && self.is(Mutant::SecondChunk) => {
                let number = number + 1;
                let next = ChunkHeader { number, ..header }.chunk(payload(chunk));
                match self.call(|r| r.create(number, &next)) {
                    Ok(Created::Done) => Ok(Created::Done),
                    _ => created,
                }
            }
            _ => created,
        }
    }

    fn read(&self, number: u64, wait: Duration) -> Result<Option<Vec<u8>>, ReplicaError> {
        let chunk = self.call(|r| r.read(number, wait))?;
        let seen = self.seen.lock();
        let Some(writer) = seen.writer.filter(|_| self.is(Mutant::ReadBeforeClaim)) else {
            return Ok(chunk);
        };
        // An empty reign stands for a chunk that is ignored.
        let is_ignored = seen.last < number && number < writer.claim;
        Ok(chunk.map(|chunk| match is_ignored {
            true => {
                let writer = Writer {
                    claim: number,
                    ..writer
                };
                let content = Content::Claim;
                ChunkHeader {
                    number,
                    writer,
                    content,
                }
                .chunk(b"")
            }
            false => chunk,
        }))
    }

    /// A long list consists of several pages.
    fn numbers(&self, from: u64) -> Result<Vec<u64>, ReplicaError> {
        let mut first = self.call(|r| r.numbers(from))?;
        first.truncate(self.world.draw(1 + first.len() as u64) as usize);
        let next = first.last().map_or(from, |last| last + 1);
        first.extend(self.call(|r| r.numbers(next))?);
        let mut seen = self.seen.lock();
        if seen.writer.is_none() {
            seen.last = first.last().copied().unwrap_or(0);
        }
        Ok(first)
    }

    /// Each chunk is removed by a request of its own.
    fn trim(&self, below: u64, keep: &[u64]) -> Result<(), ReplicaError> {
        self.store_delayed()?;
        let keep = match self.is(Mutant::ClaimsTrimmed) {
            true => &[],
            false => keep,
        };
        for below in [1 + self.world.draw(below), below] {
            let trimmed = self.call(|r| r.trim(below, keep));
            self.world.audit();
            trimmed?;
        }
        Ok(())
    }

    fn put(&self, name: &str, len: u64, from: &mut dyn Read) -> Result<(), ReplicaError> {
        if name.starts_with(CHECKPOINTS) && self.is(Mutant::AnnouncedBeforeStored) {
            let mut blob = Vec::new();
            from.read_to_end(&mut blob).expect("bytes in memory");
            self.seen.lock().delayed = Some((name.to_owned(), blob));
            return Ok(());
        }
        self.call(|r| r.put(name, len, from))
    }

    fn get(&self, name: &str, range: Range<u64>, to: &mut dyn Write) -> Result<(), ReplicaError> {
        self.call(|r| r.get(name, range, to))
    }

    fn names(&self, prefix: &str) -> Result<Vec<(String, u64)>, ReplicaError> {
        let mut names = self.call(|r| r.names(prefix))?;
        let claim = self.seen.lock().writer.map(|writer| writer.claim);
        if let Some(claim) = claim.filter(|_| self.is(Mutant::NoCheckAfterClaim)) {
            let is_seen = |name: &str| {
                let name = CheckpointName::parse(name);
                name.is_none_or(|name| name.through < claim)
            };
            names.retain(|(name, _)| is_seen(name));
        }
        Ok(names)
    }

    /// Each blob is removed by a request of its own.
    fn remove(&self, names: &[String]) -> Result<(), ReplicaError> {
        let listed = match self.is(Mutant::ListedAfterAnnounced) {
            true => self.call(|r| self.unneeded(r)),
            false => names.to_vec(),
        };
        let (first, second) = listed.split_at(self.world.draw(1 + listed.len() as u64) as usize);
        for names in [second, first] {
            let removed = self.call(|r| r.remove(names));
            self.world.audit();
            removed?;
        }
        Ok(())
    }

    /// No fault of the connection affects the test of the backend.
    fn scratch(&self) -> Result<Box<dyn Replica>, ReplicaError> {
        Ok(Box::new(MemoryReplica::default()))
    }

    fn place(&self) -> String {
        "memory".to_owned()
    }
}
