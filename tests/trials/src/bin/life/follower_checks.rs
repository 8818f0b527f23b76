//! What a follower must show: a moment of the store's history, and once it is current, exactly what
//! the store shows.

use std::collections::BTreeMap;

use jobstore::replica::Replica;
use jobstore::simulation::{self, Disk, Index, Step};
use jobstore::{
    Durability, Error, Graph, JobQuery, JobStore, OnBadLine, Outcome, Result as Called, Retention,
};

use crate::life::{FeedReader, Finding, KeptPage, Life, Ran};
use crate::model::{Model, Name};
use crate::operations::{Look, Pick};
use crate::requests::Content;

/// The fields of a life that differ between the store and its follower.
struct View {
    store: Option<JobStore>,
    disk: Disk,
    index: Index,
    index_is_corrupt: bool,
    index_troubled: bool,
    limited: bool,
    failed: bool,
    replica_is_down: bool,
    faults_before: u64,
    epoch: u64,
    durability: Durability,
    pages: Vec<KeptPage>,
    feed_readers: Vec<FeedReader>,
    old: Vec<Graph>,
    model: Model,
}

impl View {
    fn swap(&mut self, life: &mut Life) {
        std::mem::swap(&mut self.store, &mut life.store);
        std::mem::swap(&mut self.disk, &mut life.disk);
        std::mem::swap(&mut self.index, &mut life.index);
        std::mem::swap(&mut self.index_is_corrupt, &mut life.index_is_corrupt);
        std::mem::swap(&mut self.index_troubled, &mut life.index_troubled);
        std::mem::swap(&mut self.limited, &mut life.limited);
        std::mem::swap(&mut self.failed, &mut life.failed);
        std::mem::swap(&mut self.replica_is_down, &mut life.replica_is_down);
        std::mem::swap(&mut self.faults_before, &mut life.faults_before);
        std::mem::swap(&mut self.epoch, &mut life.epoch);
        std::mem::swap(&mut self.durability, &mut life.setup.durability);
        std::mem::swap(&mut self.pages, &mut life.pages);
        std::mem::swap(&mut self.feed_readers, &mut life.feed_readers);
        std::mem::swap(&mut self.old, &mut life.old);
        std::mem::swap(&mut self.model, &mut life.model);
    }
}

impl Life {
    /// Makes calls to the follower instead of the store, and expects a model's content.
    fn as_follower(&mut self, model: Model, act: impl FnOnce(&mut Life) -> Ran) -> Ran {
        let Some(mut follower) = self.follower.take() else {
            return Ok(false);
        };
        let Some(running) = &follower.running else {
            self.follower = Some(follower);
            return Ok(false);
        };
        let mut view = View {
            store: Some(running.store().clone()),
            disk: follower.directory.disk.clone(),
            index: follower.directory.index.clone(),
            index_is_corrupt: follower.directory.index_is_corrupt,
            index_troubled: follower.index_troubled,
            limited: follower.limited,
            failed: false,
            replica_is_down: false,
            faults_before: follower.faults_before,
            epoch: follower.epoch,
            // What a follower shows is durable in the replica.
            durability: Durability::Synced,
            pages: std::mem::take(&mut follower.pages),
            feed_readers: std::mem::take(&mut follower.feed_readers),
            old: Vec::new(),
            model,
        };
        view.swap(self);
        let ran = act(self).map_err(|what| format!("a follower: {what}"));
        view.swap(self);
        (follower.pages, follower.feed_readers) = (view.pages, view.feed_readers);
        self.follower = Some(follower);
        ran
    }

    /// Returns the LSN of the last event that the follower shows, and the number of the last chunk
    /// that it has applied.
    fn follower_position(&self) -> Option<(u64, u64)> {
        let running = self.follower.as_ref()?.running.as_ref()?;
        let stats = running.stats()?;
        Some((stats.as_of_lsn, stats.last_chunk))
    }

    /// Returns the number of the last chunk of the replica, and the number of chunks.
    fn replica_end(&self) -> (u64, u64) {
        // Calls of a copy do not fail.
        let chunks = self
            .replica
            .as_ref()
            .map(|replica| replica.copy().numbers(1));
        let chunks = chunks.and_then(Result::ok).unwrap_or_default();
        (chunks.last().copied().unwrap_or(0), chunks.len() as u64)
    }

    /// Returns whether the model is what the follower must show.
    fn is_follower_current(&self) -> bool {
        let Some((lsn, last_chunk)) = self.follower_position() else {
            return false;
        };
        let is_known = !self.failed && !self.disk.is_dead() && !self.is_in_doubt();
        is_known
            && last_chunk >= self.replica_end().0
            && lsn == simulation::visible_lsn(self.store())
    }

    /// Compares the follower with the moment of the history that it shows.
    pub fn check_follower(&mut self) -> Ran {
        let Some((lsn, last_chunk)) = self.follower_position() else {
            return Ok(true);
        };
        let end = self.replica_end().0;
        let Some(follower) = &mut self.follower else {
            return Ok(true);
        };
        follower.is_replaced &= last_chunk < end;
        if lsn < follower.shown_lsn && !follower.is_replaced {
            return Err(format!(
                "a follower shows the store as of LSN {lsn}, and has shown it as of {}",
                follower.shown_lsn
            ));
        }
        follower.shown_lsn = lsn;
        if follower.is_replaced {
            return Ok(true);
        }
        self.history.forget_before(lsn);
        if self.is_follower_current() {
            self.tally.current += 1;
            return self.as_follower(self.model.clone(), Life::check_all);
        }
        if let Some(model) = self.history.at(lsn).cloned() {
            self.tally.behind += 1;
            return self.as_follower(model, Life::check_all);
        }
        Ok(true)
    }

    /// Reads from a follower that may be behind.
    pub fn follower_reads(&mut self, look: &Look) -> Ran {
        self.start_following(look.states % 2 == 0)?;
        let Some((lsn, _)) = self.follower_position() else {
            return Ok(false);
        };
        let is_replaced = self.follower.as_ref().is_some_and(|f| f.is_replaced);
        let model = match self.is_follower_current() {
            true => Some(self.model.clone()),
            false => self.history.at(lsn).cloned(),
        };
        let Some(model) = model.filter(|_| !is_replaced) else {
            return Ok(true);
        };
        self.as_follower(model, |life| {
            life.list(look)?;
            life.walk(look)?;
            life.counts(look.graph)?;
            life.changes(look.offset)?;
            life.stats()?;
            life.old_handles()
        })
    }

    /// Lets the follower read the replica to its end. Returns whether it shows everything that the
    /// model contains.
    fn reach_end(&mut self) -> Result<bool, Finding> {
        if !self.is_followed() {
            return Ok(false);
        }
        self.step(Step::Sync);
        let is_excused = self.is_excused();
        if !is_excused {
            self.synced();
        }
        let (end, chunks) = self.replica_end();
        for _ in 0..(12 + 4 * chunks) {
            let Some((_, before)) = self.follower_position() else {
                return Ok(false);
            };
            if before >= end {
                break;
            }
            self.follower_step()?;
            if self
                .follower_position()
                .is_some_and(|(_, after)| after == before)
            {
                // Only after some time, it looks for chunks that were removed.
                self.clock.advance(6_000);
                self.follower_work(1)?;
            }
        }
        self.check_follower()?;
        let (Some((lsn, last_chunk)), Some(follower)) = (self.follower_position(), &self.follower)
        else {
            return Ok(false);
        };
        let health = follower.running.as_ref().map(|r| r.store().health());
        if last_chunk < end {
            let excused = self.replica_is_down
                || follower.line.is_failing()
                || follower.has_fault()
                || follower.index_troubled;
            return match excused {
                true => Ok(false),
                false => Err(format!(
                    "a follower has read chunk {last_chunk}, and not those up to {end}: {health:?}"
                )),
            };
        }
        if is_excused || self.is_in_doubt() {
            return Ok(false);
        }
        let written = simulation::visible_lsn(self.store());
        match lsn == written {
            true => Ok(true),
            false => Err(format!(
                "a follower that has read every chunk shows the store as of LSN {lsn}, not \
                 {written}: {health:?}"
            )),
        }
    }

    /// Lets the follower become current, and compares all of its answers.
    pub fn catch_up(&mut self, look: &Look, content: Content) -> Ran {
        if !self.start_following(look.states % 2 == 0)? {
            return Ok(false);
        }
        if !self.reach_end()? {
            return Ok(true);
        }
        let by_http = look.number % 2 == 0;
        let mut exported = None;
        self.as_follower(self.model.clone(), |life| {
            life.list(look)?;
            life.walk(look)?;
            life.changes(look.offset)?;
            for n in 0..4 {
                let pick = look.offset.wrapping_add(n * 7_919);
                life.job_by_id(pick)?;
                life.tombstone(pick)?;
                life.job_changes(pick)?;
                life.wait(pick)?;
            }
            life.find(look.graph, content)?;
            life.counts(look.graph)?;
            life.stats()?;
            life.scrub()?;
            life.old_handles()?;
            if by_http {
                life.http_list(look)?;
                life.http_walk(look)?;
                life.http_jobs(look.offset)?;
                life.http_export(look)?;
                life.http_find(look.graph, content)?;
                life.http_store()?;
            }
            exported = life.exports()?;
            life.refuses_writes(look.graph, content)
        })?;
        self.tally.compared += 1;
        match (exported, self.exports()?) {
            (Some(follower), Some(store)) if follower != store => {
                let name = store
                    .iter()
                    .find(|(name, lines)| follower.get(name) != Some(lines));
                Err(format!(
                    "a follower exports other lines of {:?}",
                    name.map(|(name, _)| name)
                ))
            }
            _ => Ok(true),
        }
    }

    /// Exports all graphs. `None` if a fault explains that this fails.
    fn exports(&self) -> Result<Option<BTreeMap<Name, Vec<u8>>>, Finding> {
        let mut all = BTreeMap::new();
        for &name in self.model.graphs.keys() {
            let Some(graph) = self.handle(name) else {
                return Err(format!("graph {name:?} is missing"));
            };
            let mut lines = Vec::new();
            let export = graph.export(JobQuery::new());
            if let Err(error) = export.and_then(|mut export| export.write_all(&mut lines)) {
                self.excuse("export", &error)?;
                return Ok(None);
            }
            all.insert(name, lines);
        }
        Ok(Some(all))
    }

    /// Expects that a follower refuses every write.
    fn refuses_writes(&mut self, pick: Pick, content: Content) -> Ran {
        let store = self.store();
        let mut calls = vec![
            ("create_graph", store.create_graph("10003", "new").map(drop)),
            ("confirm_clock", store.confirm_clock()),
        ];
        if let Some((name, graph)) = self.pick_graph(pick) {
            let jobs = self.model.graphs[&name].jobs.values();
            let id = jobs.filter_map(|job| job.id.clone()).next();
            let id = id.as_deref().unwrap_or("nobody");
            let policy = Some(Retention::new().max_jobs(1));
            let line: &[u8] = b"{}\n";
            let outcome = Outcome::succeeded();
            let on_bad_line = OnBadLine::Stop;
            let more: [(&str, Called<()>); 9] = [
                ("submit", graph.submit(content.request()).map(drop)),
                (
                    "submit_once",
                    graph.submit_once("key", content.request()).map(drop),
                ),
                ("start", graph.start(id).map(drop)),
                ("complete", graph.complete(id, outcome).map(drop)),
                ("cancel", graph.cancel(id).map(drop)),
                ("claim_next", graph.claim_next().map(drop)),
                ("set_retention", graph.set_retention(policy)),
                ("purge", graph.purge(JobQuery::new()).map(drop)),
                ("import", graph.import(line, on_bad_line).map(drop)),
            ];
            calls.extend(more);
            calls.push((
                "drop_graph",
                store.drop_graph(graph.project_id(), graph.name()),
            ));
        }
        for (what, result) in calls {
            match result {
                Err(Error::Follower) => {}
                other => return Err(format!("{what} returns {other:?}")),
            }
        }
        Ok(true)
    }

    /// Checks the sizes of a follower after some idle time.
    pub fn follower_bounds(&mut self) -> Ran {
        if !self.is_followed() {
            return Ok(false);
        }
        let Some(follower) = &mut self.follower else {
            return Ok(false);
        };
        follower.pages.clear();
        follower.directory.disk.heal();
        if follower.limited || follower.index_troubled || !self.reach_end()? {
            return Ok(true);
        }
        self.clock.advance(700_000);
        let sized = self.as_follower(self.model.clone(), |life| {
            life.idle();
            if life.is_excused() {
                return Ok(false);
            }
            life.check_sizes().map(|()| true)
        })?;
        self.close_follower()?;
        let held_bytes = self
            .follower
            .as_ref()
            .map_or(0, |follower| follower.held_bytes);
        if sized {
            self.check_memory("an idle follower", held_bytes)?;
        }
        self.open_follower()?;
        self.check_follower()
    }

    /// Lets the background of a store that purges nothing finish.
    fn idle(&mut self) {
        let mut before = (0, 0);
        for _ in 0..12 {
            for step in [Step::Index, Step::Pack, Step::Expire] {
                self.step(step);
            }
            let now = (self.disk.used_bytes(), self.disk.files());
            if now == before {
                break;
            }
            before = now;
            self.clock.advance(5_000);
        }
    }
}
