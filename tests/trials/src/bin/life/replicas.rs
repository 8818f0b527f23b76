//! A replica of the store: its faults, machines that are lost, and stores that are deposed.

use std::time::Duration;

use jobstore::replica::{Faults, Replica, ReplicaError};
use jobstore::simulation::{self, Disk, Index, Step};
use jobstore::{Error, Options};

use crate::life::{Directory, Life, Ran};
use crate::model::Effect;
use crate::observed::Observed;
use crate::requests::Content;

impl Life {
    /// The options with which the store is opened.
    pub fn options(&self) -> Options {
        let options = self.setup.options(&self.clock);
        match &self.replica {
            Some(replica) => options
                .replica(std::sync::Arc::new(replica.clone()))
                .reseed(self.reseeds),
            None => options,
        }
    }

    /// Whether the end of a process loses what was not synced: it is not in the replica.
    pub fn may_lose_unsynced(&self) -> bool {
        self.replica.is_some() && self.setup.is_interval()
    }

    pub fn heal_replica(&mut self) {
        if let Some(replica) = &self.replica {
            replica.set_faults(Faults::default());
            replica.set_failure(None);
        }
        self.replica_is_down = false;
    }

    pub fn upload(&mut self) -> Ran {
        self.step(Step::Upload);
        Ok(self.replica.is_some())
    }

    /// From now on, requests and responses are lost, late, or repeated.
    pub fn fail_replica(&mut self, kind: u8, seed: u32) -> Ran {
        let Some(replica) = &self.replica else {
            return Ok(false);
        };
        let mut faults = Faults::default();
        faults.seed = u64::from(seed);
        let often = 0.05 + f64::from(seed % 5) / 20.0;
        match kind % 6 {
            0 => faults.lost_request = often,
            1 => faults.lost_response = often,
            2 => faults.late_request = often,
            3 => faults.repeated_request = often,
            4 => {
                faults.lost_response = often / 2.0;
                faults.late_request = often / 2.0;
            }
            _ => {}
        }
        replica.set_faults(faults);
        Ok(true)
    }

    /// From now on, the replica's engine does not respond.
    pub fn stop_replica(&mut self) -> Ran {
        let Some(replica) = &self.replica else {
            return Ok(false);
        };
        let what = "the engine is stopped".to_owned();
        replica.set_failure(Some(ReplicaError::Unknown { what }));
        self.replica_is_down = true;
        Ok(true)
    }

    /// Ends the process, and deletes its directory.
    pub fn lose_machine(&mut self, closes: bool) -> Ran {
        // A backup that is about to replace the replica's contents is the only copy.
        if self.replica.is_none() || self.reseeds {
            return Ok(false);
        }
        match closes {
            true => self.close()?,
            false => self.crash(true)?,
        }
        self.use_directory(Directory::default());
        Ok(true)
    }

    /// Opens the store elsewhere while it is open here: in an empty directory, or in that of a
    /// store that was deposed before.
    pub fn take_over_elsewhere(&mut self, again: bool) -> Ran {
        if self.replica.is_none() || self.replica_is_down || self.failed || self.disk.is_dead() {
            return Ok(false);
        }
        let elsewhere = match again {
            true => self.deposed.take().unwrap_or_default(),
            false => Directory::default(),
        };
        self.take_over_in(elsewhere)
    }

    /// Opens the store in another directory while it is open here.
    pub fn take_over_in(&mut self, elsewhere: Directory) -> Ran {
        self.disk.heal();
        let graph = self.pick_graph(0);
        let Some(old) = self.store.take() else {
            return Ok(false);
        };
        let deposed = self.use_directory(elsewhere);
        self.open()?;
        if let Some((_, graph)) = graph {
            let request = Content::draw(&mut self.random).request();
            match graph.submit(request) {
                Err(Error::Deposed { .. }) => {}
                // In interval mode, writes are acknowledged before they are durable.
                Ok(_) if self.setup.is_interval() => simulation::step(&old, Step::Sync),
                other => return Err(format!("a deposed store answered a submit: {other:?}")),
            }
            match old.create_graph("deposed", graph.name()) {
                Err(Error::Deposed { .. }) => {}
                other => return Err(format!("a deposed store answered again: {other:?}")),
            }
        }
        self.forget_handles();
        old.close().ok();
        drop(old);
        deposed.disk.kill();
        // Calls that were to fail later do not fail in another process.
        deposed.index.fail_after(None);
        self.deposed = Some(deposed);
        Ok(true)
    }

    /// Opens a copy of the replica in an empty directory, and in that of a deposed store. Both must
    /// contain what the model contains.
    pub fn restore_elsewhere(&mut self) -> Ran {
        let Some(replica) = self.replica.clone() else {
            return Ok(false);
        };
        if self.failed || self.disk.is_dead() || self.replica_is_down || self.is_in_doubt() {
            return Ok(false);
        }
        self.step(Step::Sync);
        if self.is_excused() {
            return Ok(true);
        }
        self.synced();
        let copy = replica.copy();
        let mut elsewhere = vec![(Disk::new(), Index::new())];
        elsewhere.extend(
            self.deposed
                .as_ref()
                .map(|deposed| (deposed.disk.image(), Index::new())),
        );
        let mut model = self.model.clone();
        for (disk, index) in &elsewhere {
            let options = self.setup.options(&self.clock);
            let options = options.replica(std::sync::Arc::new(copy.clone()));
            let store = simulation::open(options, disk, index, self.setup.segment_bytes)
                .map_err(|e| format!("a copy of the replica cannot be opened: {e}"))?;
            model.apply(&Effect::Opened(self.setup.recovery, self.now()));
            Observed::read_opened(&store)
                .and_then(|seen| seen.compare(&model))
                .map_err(|e| format!("a store restored from the replica differs: {e}"))?;
            simulation::step(&store, Step::Pack);
            simulation::step(&store, Step::Upload);
            store
                .close()
                .map_err(|e| format!("a restored store: {e}"))?;
            drop(store);
            let report = simulation::verify(disk).map_err(|e| e.to_string())?;
            if !report.is_sound() {
                return Err(format!("verification of a restored store: {report}"));
            }
        }
        Ok(true)
    }

    /// Checks the size of the replica once everything was uploaded.
    pub fn replica_bounds(&mut self, live: u64) -> Result<(), String> {
        let Some(replica) = self.replica.clone() else {
            return Ok(());
        };
        self.heal_replica();
        replica.deliver_late();
        for _ in 0..2 {
            self.step(Step::Upload);
        }
        let failed = |e: ReplicaError| e.to_string();
        let chunks = replica.numbers(1).map_err(failed)?;
        let mut claims = 0;
        for &number in &chunks {
            let chunk = replica.read(number, Duration::ZERO).map_err(failed)?;
            // The kind of a chunk is at byte 16; 2 is a claim.
            claims += usize::from(chunk.is_some_and(|chunk| chunk[16] == 2));
        }
        if chunks.len() > claims + 4 && self.checks("replica") {
            return Err(format!(
                "the replica has {} chunks, of which {claims} are claims",
                chunks.len()
            ));
        }
        let blobs = replica.names("").map_err(failed)?;
        let bytes: u64 = blobs.iter().map(|(_, len)| len).sum();
        let max = 2 * live + 12 * self.setup.segment_bytes + (256 << 10) + 16 * claims as u64;
        if bytes > max && self.checks("replica") {
            return Err(format!(
                "the replica has {bytes} bytes in {} blobs for {live} live ones, over {max}: \
                 {blobs:?}",
                blobs.len()
            ));
        }
        Ok(())
    }
}
