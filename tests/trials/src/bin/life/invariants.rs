//! Invariants that apply at any point of a life: of copies, of repairs, and of sizes.

use std::collections::BTreeSet;

use jobstore::simulation::{self, Disk, Index, Step};
use jobstore::{Error, JobQuery};

use crate::life::{Finding, Life, Ran};
use crate::model::{Effect, GraphModel, Model};
use crate::observed::{Observed, name_of};
use crate::reads::FEED_MAX;
use crate::setup::CACHE_BYTES;

/// The maximum disk space of a store. With segments of 16 MiB, the documented bound is twice the
/// live bytes plus 40 MiB. Here it shrinks with the segment size: five files of two segments each,
/// and a fixed part for headers, directories of packs, and tables of identities.
fn disk_bytes_max(live_bytes: u64, segment_bytes: u64) -> u64 {
    2 * live_bytes + 10 * segment_bytes + (192 << 10)
}

/// The maximum memory of an idle store: the limit of its cache, a fixed part, and a little for each
/// open job, each job, and each graph.
fn memory_max(open: u64, jobs: u64, graphs: u64) -> u64 {
    CACHE_BYTES + (1 << 20) + 256 * open + 32 * jobs + (8 << 10) * graphs
}

pub const DESCRIPTORS_MAX: u64 = 64;

impl Life {
    /// Opens a copy and compares everything read from it. Repeats this after the background work of
    /// the copy, and with its index deleted.
    fn check_copy(&mut self, what: &str, disk: &Disk, index: &Index) -> Result<(), Finding> {
        self.check_sound(what, disk)?;
        let mut model = self.model.clone();
        let mut histories = None;
        for round in 0..2 {
            let options = self.setup.options(&self.clock).detach_replica(true);
            let segment_bytes = self.setup.segment_bytes;
            let store = simulation::open(options, disk, index, segment_bytes)
                .map_err(|e| format!("{what} cannot be opened ({round}): {e}"))?;
            model.apply(&Effect::Opened(self.setup.recovery, self.now()));
            // Nothing changes the histories after the first open has recovered jobs.
            let mut compare = |when: &str, seen: Result<Observed, String>, model: &Model| {
                let found = seen.and_then(|seen| seen.compare(model).map(|()| seen));
                let found = found.map_err(|e| format!("{what} differs ({when}, {round}): {e}"))?;
                match histories.get_or_insert_with(|| found.histories.clone()) {
                    histories if *histories == found.histories => Ok(()),
                    _ => Err(format!("the histories of {what} changed ({when}, {round})")),
                }
            };
            compare("opened", Observed::read_opened(&store), &model)?;
            self.check_details(what, &store)?;
            simulation::step(&store, Step::Index);
            simulation::step(&store, Step::Pack);
            compare("packed", Observed::read(&store), &model)?;
            store
                .close()
                .map_err(|e| format!("{what} cannot be closed ({round}): {e}"))?;
            drop(store);
            index.lose();
        }
        self.check_sound(what, disk)
    }

    /// Checks the ids and change feeds of a copy.
    fn check_details(&self, what: &str, store: &jobstore::JobStore) -> Result<(), Finding> {
        let graphs = store.graphs().map_err(|e| format!("{what}: {e}"))?;
        for graph in graphs {
            let Some(expected) = name_of(&graph).and_then(|n| self.model.graphs.get(&n)) else {
                continue;
            };
            for job in expected.jobs.values().step_by(1 + expected.jobs.len() / 20) {
                let Some(id) = &job.id else { continue };
                match graph.job(&**id) {
                    Ok(Some(_)) => {}
                    found => return Err(format!("{what}: job {id} by id is {found:?}")),
                }
                if let Some(key) = &job.key {
                    let again = graph.submit_once(&**key, job.content.request());
                    // If other keys have become secret since, this is a different request.
                    let is_same = job.masked() == job.content.text(self.setup.secrets.keys);
                    match again {
                        Err(Error::KeyTaken { .. }) if !is_same => {}
                        Ok(jobstore::Submitted::AlreadyExists(found))
                            if found.as_str() == &**id => {}
                        again => return Err(format!("{what}: key {key:?} gives {again:?}")),
                    }
                }
            }
            let gone = expected.gone.values();
            for gone in gone.step_by(1 + expected.gone.len() / 10) {
                if gone.id.is_empty() || expected.with_id(&gone.id).is_some() {
                    continue;
                }
                match graph.job(&*gone.id) {
                    Ok(None) => {}
                    found => return Err(format!("{what}: the purged {} is {found:?}", gone.id)),
                }
                match graph.tombstone(&*gone.id) {
                    Ok(Some(_)) if gone.forgotten => {
                        return Err(format!("{what}: the tombstone of {} reappeared", gone.id));
                    }
                    Ok(_) => {}
                    Err(error) => return Err(format!("{what}: tombstone: {error}")),
                }
            }
            let mut changes = 0;
            let feed = graph.changes(None).map_err(|e| format!("{what}: {e}"))?;
            for change in feed {
                change.map_err(|e| format!("{what}: changes: {e}"))?;
                changes += 1;
                if changes > FEED_MAX {
                    return Err(format!("{what}: the feed never ends"));
                }
            }
        }
        Ok(())
    }

    fn check_sound(&self, what: &str, disk: &Disk) -> Result<(), Finding> {
        let report = simulation::verify(disk).map_err(|e| format!("verify of {what}: {e}"))?;
        match report.is_sound() {
            true => Ok(()),
            false => Err(format!("verification of {what}: {report}")),
        }
    }

    /// Returns the files of a new backup.
    fn backed_up(&mut self) -> Result<Option<Disk>, Finding> {
        let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
        let to = dir.path().join("backup");
        match self.store().backup(&to) {
            Ok(_) => {}
            Err(error) => return self.excuse("backup", &error).map(|_| None),
        }
        self.synced();
        Disk::load(&to).map(Some).map_err(|e| e.to_string())
    }

    pub fn backup(&mut self) -> Ran {
        match self.backed_up()? {
            Some(copy) => self
                .check_copy("a backup", &copy, &Index::new())
                .map(|()| true),
            None => Ok(true),
        }
    }

    /// Checks a copy of the current files, which are as after a kill.
    pub fn image(&mut self, with_index: bool) -> Ran {
        if self.failed || self.disk.is_dead() {
            return Ok(false);
        }
        let index = match with_index && !self.index_troubled {
            true => self.index.image(),
            false => Index::new(),
        };
        let what = match with_index {
            true => "an image of the store",
            false => "an image of the store without its index",
        };
        let disk = self.disk.image();
        match self.check_copy(what, &disk, &index) {
            Err(why)
                if with_index
                    && self.index_is_corrupt
                    && why.contains("the index is unavailable") =>
            {
                // The damage is detected when the row is read. A rebuilt index must be correct.
                self.check_copy(what, &self.disk.image(), &Index::new())?;
            }
            checked => checked?,
        }
        Ok(true)
    }

    pub fn repair_unchanged(&mut self) -> Ran {
        if self.failed || self.disk.is_dead() {
            return Ok(false);
        }
        let copy = self.disk.image();
        simulation::detach_replica(&copy).map_err(|e| e.to_string())?;
        let before: Vec<_> = copy.names();
        self.check_sound("an image", &copy)?;
        let repaired = simulation::repair(&copy, &self.index.image())
            .map_err(|e| format!("repair of an intact image: {e}"))?;
        if repaired.changed() || copy.names() != before {
            return Err(format!("repair changed an intact image: {repaired}"));
        }
        for (name, _) in before {
            if copy.read(&name) != self.disk.read(&name) && name != "STORE" {
                return Err(format!("repair changed {name} of an intact image"));
            }
        }
        Ok(true)
    }

    /// Replaces the store by a backup, and continues with it.
    pub fn restore(&mut self) -> Ran {
        let Some(copy) = self.backed_up()? else {
            return Ok(true);
        };
        self.close()?;
        self.disk = copy;
        // The backup has no replica, and may be older than the replica.
        self.reseeds = self.replica.is_some();
        self.limited = false;
        self.index.lose();
        self.epoch += 1;
        Ok(true)
    }

    /// Changes a byte in a copy. Every read is correct or an error, and after a repair, the rest is
    /// correct.
    pub fn corrupt_image(&mut self, seed: u32) -> Ran {
        if self.failed || self.disk.is_dead() {
            return Ok(false);
        }
        let copy = self.disk.image();
        simulation::detach_replica(&copy).map_err(|e| e.to_string())?;
        let names = copy.names();
        let mut random = jobstore_trials::random::Random(u64::from(seed));
        let Some((name, len)) = random.pick(&names).cloned() else {
            return Ok(false);
        };
        if len == 0 {
            return Ok(false);
        }
        let offset = random.below(len);
        copy.corrupt(&name, offset, 1 << random.below(8));
        let what = format!("an image with byte {offset} of {name} changed");
        let report = match simulation::verify(&copy) {
            Ok(report) => Some(report),
            Err(Error::Damaged { .. } | Error::NewerFormat { .. } | Error::OlderFormat { .. }) => {
                None
            }
            Err(Error::UnknownFeatures { .. }) => None,
            Err(error) => return Err(format!("verify of {what}: {error}")),
        };
        let index = Index::new();
        if report.is_some_and(|report| !report.is_sound()) {
            match simulation::repair(&copy, &index) {
                Ok(_) => {}
                Err(Error::Damaged { .. }) => return Ok(true),
                Err(error) => return Err(format!("repair of {what}: {error}")),
            }
            self.check_sound(&format!("{what}, repaired"), &copy)?;
        }
        let options = self.setup.options(&self.clock).detach_replica(true);
        let opened = simulation::open(options, &copy, &index, self.setup.segment_bytes);
        let store = match opened {
            Ok(store) => store,
            Err(
                Error::Damaged { .. }
                | Error::NewerFormat { .. }
                | Error::OlderFormat { .. }
                | Error::UnknownFeatures { .. },
            ) => return Ok(true),
            Err(error) => return Err(format!("{what} cannot be opened: {error}")),
        };
        for graph in store.graphs().map_err(|e| e.to_string())? {
            let Some(expected) = name_of(&graph).and_then(|n| self.model.graphs.get(&n)) else {
                continue;
            };
            let page = graph
                .list(JobQuery::new())
                .map_err(|e| format!("{what}: {e}"))?;
            for job in page.jobs() {
                let job = match job {
                    Ok(job) => job,
                    Err(Error::Damaged { .. }) => break,
                    Err(error) => return Err(format!("{what}: {error}")),
                };
                let known = expected.jobs.get(&job.sequence());
                let same = known.is_some_and(|known| {
                    known.masked() == job.masked_request().as_json()
                        && known.id.as_deref().is_none_or(|id| id == job.id().as_str())
                });
                // The event that purged the job may have been lost.
                let was_purged = expected.gone.contains_key(&job.sequence());
                if !same && !was_purged {
                    return Err(format!("{what}: job {} differs", job.sequence()));
                }
            }
        }
        Ok(true)
    }

    /// Checks sizes after some idle time. They must not depend on what the store contained before.
    pub fn bounds(&mut self) -> Ran {
        if self.limited || self.failed || self.index_troubled {
            return Ok(false);
        }
        // A handle or page of a dropped graph keeps the outcomes of its jobs.
        self.old.clear();
        let graphs: BTreeSet<u64> = self.model.graphs.values().map(|g| g.serial).collect();
        self.runs.retain(|run| graphs.contains(&run.serial));
        self.pages.clear();
        self.disk.heal();
        self.clock.advance(700_000);
        self.settle()?;
        if self.is_excused() {
            return Ok(true);
        }
        self.check_sizes()?;
        self.check_archive()?;
        let live = self.live_bytes();
        self.replica_bounds(live)?;
        self.open_cost(live)?;
        Ok(true)
    }

    fn live_bytes(&self) -> u64 {
        self.model.graphs.values().map(|g| g.live_bytes()).sum()
    }

    /// Checks the sizes of files and of the index, and the number of descriptors.
    pub fn check_sizes(&self) -> Result<(), Finding> {
        let live = self.live_bytes();
        let used = self.disk.used_bytes();
        let max = disk_bytes_max(live, self.setup.segment_bytes);
        if used > max && self.checks("disk") {
            let names: Vec<String> = self
                .disk
                .names()
                .into_iter()
                .map(|(name, len)| format!("{name} {len}"))
                .collect();
            return Err(format!(
                "after some idle time, {used} bytes are in use for {live} live ones ({} jobs, {} \
                 graphs), over the bound of {max}: {}",
                self.model.jobs(),
                self.model.graphs.len(),
                names.join(", ")
            ));
        }
        let files = self.disk.files();
        let files_max = 24 + used / self.setup.segment_bytes.max(64 << 10);
        if files > files_max && self.checks("files") {
            return Err(format!("{files} files for {used} bytes, over {files_max}"));
        }
        let open = self.disk.descriptors();
        if open > DESCRIPTORS_MAX && self.checks("descriptors") {
            return Err(format!(
                "{open} descriptors are open, over {DESCRIPTORS_MAX}"
            ));
        }
        if self.checks("index-size") {
            let jobs = self.model.jobs() as u64;
            let gone: u64 = self
                .model
                .graphs
                .values()
                .map(|g| g.gone.len() as u64)
                .sum();
            let graphs = self.model.graphs.len() as u64;
            let max = 160 * jobs + 160 * gone + 4096 * graphs + (64 << 10);
            let bytes = self.index.bytes();
            if bytes > max {
                return Err(format!(
                    "the index has {bytes} bytes in {} rows for {jobs} jobs, {gone} tombstones and \
                     {graphs} graphs, over {max}",
                    self.index.rows()
                ));
            }
        }
        Ok(())
    }

    /// Checks the memory that an idle store held.
    pub fn check_memory(&self, what: &str, held_bytes: i64) -> Result<(), Finding> {
        let open: u64 = self.model.graphs.values().map(GraphModel::open).sum();
        let max = memory_max(
            open,
            self.model.jobs() as u64,
            self.model.graphs.len() as u64,
        );
        match held_bytes > max as i64 && self.checks("memory") {
            true => Err(format!(
                "{what} held {held_bytes} bytes of memory for {open} open jobs of {} in {} \
                 graphs, over {max}",
                self.model.jobs(),
                self.model.graphs.len()
            )),
            false => Ok(()),
        }
    }

    /// Checks how much an open reads after a clean close.
    fn open_cost(&mut self, live: u64) -> Result<(), Finding> {
        self.close()?;
        self.check_memory("an idle store", self.held_bytes)?;
        let before = self.disk.counters().bytes_read;
        self.open()?;
        let read = self.disk.counters().bytes_read - before;
        let max = 2 * live + 6 * self.setup.segment_bytes + (128 << 10);
        if read > max && self.checks("open-cost") {
            return Err(format!(
                "an open after a clean close reads {read} bytes for {live} live ones, over {max}"
            ));
        }
        Ok(())
    }
}
