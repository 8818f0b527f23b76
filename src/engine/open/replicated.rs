//! The first steps of an open with a replica: claim its log, and make the directory its mirror; or,
//! if the replica is empty, copy the directory to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::base::clock;
use crate::engine::open::store_files::read_files;
use crate::engine::state::replica::ReplicaState;
use crate::log::disk::Disk;
use crate::log::identity::{self, Identity};
use crate::log::random::random;
use crate::log::{reign, secret_keys};
use crate::model::error::{Error, Result};
use crate::model::options::Options;
use crate::model::replica::Replica;
use crate::model::secrets::SecretKeys;
use crate::model::store_id::StoreId;
use crate::replica;
use crate::replica::appender::Appender;
use crate::replica::calls::{Calls, sleep};
use crate::replica::chunk::{Content, Writer};
use crate::replica::claim::{self, Claimant, Claimed, Contents};
use crate::replica::following;
use crate::replica::holder::Holder;
use crate::replica::local::Local;
use crate::replica::mirror::{Mirror, Plan};
use crate::replica::uploads::{PackFile, SegmentPart, Snapshot, Uploads};

/// How many times a log is read again because it changed meanwhile.
const TRIES: usize = 8;
/// How long to wait before each attempt.
const TRY_PAUSE: Duration = Duration::from_millis(100);

/// What part of the directory may be kept when it becomes a mirror.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// The log, up to where it first differs from the replica's.
    Log,
    /// Only packs that are the same.
    Packs,
}

/// A store whose replica this open has claimed.
pub(crate) struct Attached {
    pub(crate) replica: ReplicaState,
    /// The epoch of the last segment in the replica, and where it ends. It may be packed here.
    pub(crate) last: (u64, u64),
    /// Whether the last segment may be continued.
    pub(crate) continues: bool,
    /// The LSN after the last event in the replica.
    end_lsn: u64,
}

impl Attached {
    /// Checks that the log in the directory, as it was read, ends where the replica's does.
    pub(crate) fn check_end(&self, next_lsn: u64) -> Result<()> {
        let what = "the restored log does not end at the last event in the replica";
        let calls = self.replica.appender.calls();
        match next_lsn == self.end_lsn {
            true => Ok(()),
            false => Err(calls.damaged(what)),
        }
    }
}

/// Attaches the replica, if one is set. Otherwise, checks that the store needs none.
pub(crate) fn attach(options: &Options, disk: &dyn Disk) -> Result<Option<Attached>> {
    let Some(replica) = &options.replica else {
        let identity = identity::read_any(disk)?;
        let is_mirroring = identity::is_mirroring(disk)?;
        let needs_one = identity.is_some_and(|identity| identity.has_replica);
        return match identity {
            _ if is_mirroring => Err(needed(disk)),
            Some(identity) if needs_one && options.detach_replica => {
                following::end(disk, identity.store)?;
                identity::set_replica(disk, identity.store, false).map(|()| None)
            }
            _ if needs_one => Err(needed(disk)),
            _ => Ok(None),
        };
    };
    let calls = Calls {
        replica: &**replica,
        timeout: options.replica_timeout,
        stop: None,
    };
    let opening = Opening::new(options, disk, &calls, Keep::Log)?;
    opening.check_before_claim()?;
    opening.attach(replica).map(Some)
}

/// Makes the directory a mirror of a replica, without claiming its log. Returns the store, and the
/// number of the first chunk that the directory lacks.
pub(super) fn mirror(
    options: &Options,
    disk: &dyn Disk,
    calls: Calls<'_>,
    keep: Keep,
) -> Result<(StoreId, u64)> {
    let mut tried = 1;
    loop {
        let opening = Opening::new(options, disk, &calls, keep)?;
        match opening.mirror_unclaimed() {
            Ok(Some(mirrored)) => return Ok(mirrored),
            // The store that writes has removed something that was about to be read.
            Ok(None) | Err(Error::ReplicaDamaged { .. }) if tried < TRIES => {
                sleep(TRY_PAUSE);
                tried += 1;
            }
            Ok(None) => {
                let what = "its chunks are removed faster than they are read; retry";
                return Err(calls.unavailable(what));
            }
            Err(error) => return Err(error),
        }
    }
}

/// Records in the replica which keys are secret from now on, as the first chunk after the claim.
pub(super) fn record_secret_keys(
    replica: &ReplicaState,
    store: StoreId,
    keys: &SecretKeys,
) -> Result<()> {
    let contents = secret_keys::contents(store, keys);
    let appender = &replica.appender;
    appender.append_small(Content::SecretKeys, contents.as_bytes())
}

fn needed(disk: &dyn Disk) -> Error {
    Error::ReplicaNeeded {
        path: disk.path(""),
    }
}

struct Opening<'o> {
    options: &'o Options,
    disk: &'o dyn Disk,
    calls: &'o Calls<'o>,
    /// The contents of `STORE`, if there is a store.
    identity: Option<Identity>,
    /// The log in the directory, if it can be used.
    local: Option<Local>,
}

impl<'o> Opening<'o> {
    fn new(
        options: &'o Options,
        disk: &'o dyn Disk,
        calls: &'o Calls<'o>,
        keep: Keep,
    ) -> Result<Opening<'o>> {
        let identity = identity::read_any(disk)?;
        let keeps_log = keep == Keep::Log && !identity::is_mirroring(disk)?;
        let local = match identity.filter(|_| keeps_log) {
            Some(identity) => Some(Local::read(disk, identity.store)?),
            None => None,
        };
        Ok(Opening {
            options,
            disk,
            calls,
            identity,
            local,
        })
    }

    fn local(&self) -> Option<&Local> {
        self.local.as_ref()
    }

    fn is_first(&self) -> bool {
        !self.identity.is_some_and(|identity| identity.has_replica)
    }

    /// Returns an error if this open cannot succeed, before it deposes the store that uses the
    /// replica. Nothing is changed.
    fn check_before_claim(&self) -> Result<()> {
        if let Some(identity) = self.identity.filter(|_| self.is_first()) {
            // The secret keys are copied to the replica.
            secret_keys::read(self.disk, identity.store)?;
        }
        let Some(found) = claim::store_of(self.calls, self.options.reseed)? else {
            return self.check_empty();
        };
        if self.options.reseed {
            return Ok(());
        }
        self.check_store(found)?;
        let mut tried = 1;
        loop {
            let end = claim::end(self.calls)?;
            match claim::contents(self.calls, found, end) {
                Ok(Some(contents)) => return self.check_contents(found, &contents),
                // Another writer may be trimming the log.
                Ok(None) | Err(Error::ReplicaDamaged { .. }) if tried < TRIES => {
                    sleep(TRY_PAUSE);
                    tried += 1;
                }
                // It is read again once it is claimed, so that nobody trims it.
                Ok(None) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes the directory a mirror of the log as it is now. Returns `None` if the log was trimmed
    /// meanwhile.
    fn mirror_unclaimed(&self) -> Result<Option<(StoreId, u64)>> {
        let missing = || Error::StoreMissing {
            path: self.calls.replica.place().into(),
        };
        let store = claim::store_of(self.calls, false)?.ok_or_else(missing)?;
        self.check_store(store)?;
        let end = claim::end(self.calls)?;
        let Some(contents) = claim::contents(self.calls, store, end)? else {
            return Ok(None);
        };
        if contents.is_unused() {
            return Err(missing());
        }
        self.check_contents(store, &contents)?;
        let mirror = self.mirror(store, &contents);
        let plan = mirror.plan(self.local())?;
        tracing::debug!(?plan, "making the directory a mirror of the replica");
        mirror.make(plan, self.local())?;
        identity::set_replica(self.disk, store, true)?;
        following::begin(self.disk)?;
        Ok(Some((store, end)))
    }

    /// Checks that the log belongs to the store in the directory, if there is one.
    fn check_store(&self, found: StoreId) -> Result<()> {
        match self.identity.filter(|identity| identity.store != found) {
            None => Ok(()),
            Some(identity) => Err(Error::ReplicaOfOtherStore {
                place: self.calls.replica.place(),
                found: found.0,
                expected: identity.store.0,
            }),
        }
    }

    /// Checks that an empty log may be used, and that its backend meets the requirements. The
    /// backend of any other log was checked when its first chunk was written.
    fn check_empty(&self) -> Result<()> {
        if self.identity.is_none() && !self.options.create {
            return Err(Error::StoreMissing {
                path: self.disk.path(""),
            });
        }
        let lost = self
            .local()
            .filter(|local| !self.is_first() && !local.is_empty());
        if let Some(local) = lost.filter(|_| !self.options.reseed) {
            return Err(Error::ReplicaBehind {
                place: self.calls.replica.place(),
                replica_lsn: 0,
                local_lsn: local.acknowledged_lsn - 1,
            });
        }
        replica::prove(self.calls.replica).map_err(|error| self.calls.unproven(error))
    }

    /// Checks that the directory can become the mirror of these contents.
    fn check_contents(&self, store: StoreId, contents: &Contents) -> Result<()> {
        if contents.is_unused() {
            return Ok(());
        }
        if self.identity.is_some() && self.is_first() {
            return Err(Error::ReplicaDiverged {
                place: self.calls.replica.place(),
                what: "the store in the directory was last used without a replica".into(),
            });
        }
        self.mirror(store, contents).plan(self.local()).map(drop)
    }

    fn mirror<'m>(&'m self, store: StoreId, contents: &'m Contents) -> Mirror<'m> {
        Mirror {
            disk: self.disk,
            calls: self.calls,
            store,
            contents,
        }
    }

    fn attach(&self, replica: &Arc<dyn Replica>) -> Result<Attached> {
        let claimant = Claimant {
            store: self.identity.map(|identity| identity.store),
            new_store: StoreId(u128::from_le_bytes(random(self.disk)?)),
            reign: u128::from_le_bytes(random(self.disk)?),
            holder: Holder {
                reseeds: self.options.reseed,
                ..Holder::here(clock::to_ms(self.options.clock.now()))
            },
            take_over: self.options.take_over,
        };
        let claimed = claim::claim(self.calls, &claimant, self.options.reseed)?;
        let Claimed { writer, contents } = &claimed;
        tracing::info!(claim = writer.claim, "claimed the replica");
        let seeds = self.options.reseed || contents.is_unused();
        if seeds && self.local.is_none() && self.identity.is_some() {
            let what = "it is empty, but the directory was only partly restored from it";
            return Err(self.calls.damaged(what));
        }
        if !seeds {
            self.check_contents(writer.store, contents)?;
        }
        let mut uploads = Uploads::of(*writer, contents);
        let mut continues = false;
        match seeds {
            true => self.seed(*writer, &mut uploads)?,
            false => {
                let mirror = self.mirror(writer.store, contents);
                let plan = mirror.plan(self.local())?;
                tracing::debug!(?plan, "making the directory a mirror of the replica");
                let is_own = |last| reign::is_recorded(self.disk, last);
                continues = plan == Plan::Keep && contents.last_reign.is_some_and(is_own);
                mirror
                    .make(plan, self.local())
                    .map_err(|error| match error {
                        // What is missing may have been removed by a store that took over since.
                        Error::ReplicaDamaged { .. } => {
                            let deposed = claim::check_deposed(self.calls, writer);
                            deposed.err().unwrap_or(error)
                        }
                        error => error,
                    })?;
            }
        }
        identity::set_replica(self.disk, writer.store, true)?;
        reign::write(self.disk, writer.reign)?;
        let appender = Appender::new(replica.clone(), *writer, self.options.replica_timeout);
        Ok(Attached {
            replica: ReplicaState::new(Arc::new(appender), uploads),
            last: contents.last,
            continues,
            end_lsn: match self.local().filter(|_| seeds) {
                Some(local) => local.end_lsn,
                None => contents.end_lsn,
            },
        })
    }

    /// Copies the directory to the replica.
    fn seed(&self, writer: Writer, uploads: &mut Uploads) -> Result<()> {
        following::end(self.disk, writer.store)?;
        // From here on, nothing may be written to the directory alone.
        identity::set_replica(self.disk, writer.store, true)?;
        let files = read_files(self.disk, writer.store)?;
        let ends: BTreeMap<u64, u64> = self.local().map_or_else(BTreeMap::new, |local| {
            local.segments.iter().map(|s| (s.epoch, s.end)).collect()
        });
        let packs = files.packs.iter().map(|pack| PackFile {
            first_lsn: pack.first_lsn,
            last_lsn: pack.last_lsn,
            len: pack.bytes,
            file: &*pack.file,
        });
        let segments = files.segments.iter().filter_map(|segment| {
            let epoch = segment.header.epoch;
            Some(SegmentPart {
                epoch,
                end: *ends.get(&epoch)?,
                file: &*segment.file,
            })
        });
        let snapshot = Snapshot {
            through: writer.claim,
            end_lsn: self.local().map_or(1, |local| local.end_lsn),
            packs: packs.collect(),
            segments: segments.collect(),
            secret_keys: secret_keys::read_contents(self.disk, writer.store)?,
            reseeds: self.options.reseed,
        };
        uploads.store(self.calls, &snapshot).map(drop)
    }
}
