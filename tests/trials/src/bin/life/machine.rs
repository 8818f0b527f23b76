//! Events of the process, its disk, and its clock, and the background steps.

use jobstore::simulation::{self, Step};
use jobstore::{Error, OutcomeKind, Recovery, State};

use crate::life::{DAY_MS, Finding, Life, Ran};
use crate::model::{Effect, Job};
use crate::observed::Observed;
use crate::operations::{Op, Pick};
use crate::requests::Content;

/// The maximum number of files that opens may leave behind, however many opens there are.
const FILES_PER_OPENS: u64 = 8;

impl Life {
    pub fn carry_out(&mut self, op: &Op) -> Ran {
        match op {
            Op::Create(g) => self.create(*g),
            Op::Drop(g) => self.drop_graph(*g),
            Op::Submit(g, c) => self.submit(*g, *c, false),
            Op::TrySubmit(g, c) => self.submit(*g, *c, true),
            Op::SubmitAll(g, c) => self.submit_all(*g, c),
            Op::SubmitMany(g, n, c) => {
                let numbered = |n: u16| Content {
                    number: n % 40,
                    ..*c
                };
                let contents: Vec<Content> = (0..*n).map(numbered).collect();
                self.submit_all(*g, &contents)
            }
            Op::SubmitAs(g, id, c) => self.submit_as(*g, *id, *c),
            Op::SubmitOnce(g, key, c) => self.submit_once(*g, *key, *c),
            Op::QueueBurst(g, c, drops) => self.queue_burst(*g, c, *drops),
            Op::Start(j) => self.start(*j),
            Op::Complete(j, end) => self.complete(*j, *end),
            Op::CompleteMany(g, n, end) => self.complete_many(*g, *n, *end),
            Op::Cancel(j) => self.cancel(*j),
            Op::CancelMany(g, n) => self.cancel_many(*g, *n),
            Op::CancelAll(g, look, by_http) => self.cancel_all(*g, look, *by_http),
            Op::RunNext(g, after) => self.claim_next(*g, after),
            Op::ClaimTimeout(g, after) => self.claim_next_timeout(*g, after),
            Op::ClaimAsync(g, polls, c, after) => self.claim_next_async(*g, *polls, *c, after),
            Op::Cancelled(n, cancels) => self.cancelled(*n, *cancels),
            Op::Run(j, after) => self.run(*j, after),
            Op::Attach(j, after) => self.attach(*j, after),
            Op::Kept(n, after) => self.kept_run(*n, after),
            Op::Progress(n) => self.progress(*n),
            Op::SetPolicy(g, policy) => self.set_policy(*g, policy.as_ref()),
            Op::Purge(g, look) => self.purge(*g, look, false),
            Op::HttpPurge(g, look) => self.purge(*g, look, true),
            Op::HttpCancel(j) => self.http_cancel(*j),
            Op::HttpComplete(j, end) => self.http_complete(*j, *end),
            Op::HttpList(look) => self.http_list(look),
            Op::HttpWalk(look) => self.http_walk(look),
            Op::HttpJob(j) => self.http_jobs(*j),
            Op::HttpExport(look) => self.http_export(look),
            Op::HttpFind(g, c) => self.http_find(*g, *c),
            Op::HttpStore => self.http_store(),
            Op::HttpRefusals(g) => self.http_refusals(*g),
            Op::Import(g, lines) => self.import(*g, lines),
            Op::ExportImport(a, b) => self.export_import(*a, *b),
            Op::ConfirmClock => self.confirm_clock(),
            Op::List(look) => self.list(look),
            Op::Walk(look) => self.walk(look),
            Op::WalkAll(look) => self.walk_all(look),
            Op::JobById(j) => self.job_by_id(*j),
            Op::Find(g, c) => self.find(*g, *c),
            Op::Counts(g) => self.counts(*g),
            Op::Tombstone(g) => self.tombstone(*g),
            Op::Changes(g) => self.changes(*g),
            Op::JobChanges(j) => self.job_changes(*j),
            Op::Wait(j) => self.wait(*j),
            Op::Stats => self.stats(),
            Op::Scrub => self.scrub(),
            Op::DryRun(g, look) => self.dry_run(*g, look),
            Op::OldHandles => self.old_handles(),
            Op::CheckAll => self.check_all(),
            Op::Pack => self.pack(),
            Op::Archive => self.archive(),
            Op::CheckArchive => self.check_archive(),
            Op::HarmArchive(kind, after) => self.harm_archive(*kind, *after),
            Op::Index => {
                self.step(Step::Index);
                Ok(true)
            }
            Op::Sync => {
                self.step(Step::Sync);
                if !self.is_excused() {
                    self.synced();
                }
                Ok(true)
            }
            Op::Expire => {
                self.step(Step::Expire);
                Ok(true)
            }
            Op::Interrupt(kind, after, pick, call) => self.interrupted(*kind, *after, *pick, call),
            Op::Settle => self.settle().map(|()| true),
            Op::Reopen(how) => self.reopen(*how),
            Op::OpenMany(n) => self.open_many(*n),
            Op::DieAtOpen(n) => self.die_at_open(*n),
            Op::ReadOnlyOpen => self.read_only_open(),
            Op::ChangeSecrets(secrets) => {
                self.close()?;
                self.setup.secrets = *secrets;
                self.setup.names_secrets = true;
                Ok(true)
            }
            Op::Kill => self.crash(false).map(|()| true),
            Op::PowerCut => self.crash(true).map(|()| true),
            Op::DieAfter(calls) => {
                self.disk.die_after(u64::from(*calls));
                Ok(true)
            }
            Op::FailCall(kind, after, lasting) => {
                self.fail_call(*kind, *after, *lasting);
                Ok(true)
            }
            Op::FailIndex(after) => {
                self.index.fail_after(Some(u64::from(*after)));
                self.index_troubled = true;
                Ok(true)
            }
            Op::DiskLimit(n) => {
                let room = u64::from(*n) * self.setup.segment_bytes;
                self.disk.limit_bytes(Some(self.disk.used_bytes() + room));
                self.limited = true;
                Ok(true)
            }
            Op::FileLimit(n) => {
                self.disk
                    .limit_files(Some(self.disk.files() + u64::from(*n)));
                self.limited = true;
                Ok(true)
            }
            Op::DescriptorLimit(n) => {
                // The limit is high enough for every store, so nothing may fail.
                if self.checks("descriptors") {
                    let max = crate::invariants::DESCRIPTORS_MAX + u64::from(*n);
                    self.disk.limit_descriptors(Some(max));
                }
                Ok(true)
            }
            Op::FillAndFree(g, room) => self.fill_and_free(*g, *room),
            Op::Heal => {
                self.disk.heal();
                self.heal_replica();
                self.heal_archive();
                self.lift_limits();
                self.index.fail_after(None);
                Ok(true)
            }
            Op::LoseIndex => {
                // The directory is deleted while no process has the store open.
                self.close()?;
                self.index.lose();
                self.index_is_corrupt = false;
                Ok(true)
            }
            Op::CorruptIndex => {
                self.close()?;
                let seed = self.random.any();
                let is_corrupt = self.index.corrupt(seed);
                // Earlier corruption may still exist.
                self.index_is_corrupt |= is_corrupt;
                Ok(is_corrupt)
            }
            Op::Upload => self.upload(),
            Op::FailReplica(kind, seed) => self.fail_replica(*kind, *seed),
            Op::StopReplica => self.stop_replica(),
            Op::LoseMachine(power) => self.lose_machine(*power),
            Op::TakeOver(again) => self.take_over_elsewhere(*again),
            Op::RestoreElsewhere => self.restore_elsewhere(),
            Op::Follow(deposed) => self.follow(*deposed),
            Op::FollowerSteps(n) => self.follower_steps(*n),
            Op::FollowerWork(kind) => self.follower_work(*kind),
            Op::FollowerReads(look) => self.follower_reads(look),
            Op::CatchUp(look, c) => self.catch_up(look, *c),
            Op::FollowerBounds => self.follower_bounds(),
            Op::FailFollower(kind, after) => self.fail_follower(*kind, *after),
            Op::EndFollower(how, lost) => self.end_follower(*how, *lost),
            Op::Promote(how, lost, alone) => self.promote(*how, *lost, *alone),
            Op::Advance(ms) => {
                self.clock.advance(*ms);
                Ok(true)
            }
            Op::WallJump(ms) => {
                self.clock.jump(*ms);
                self.clock_was_wrong = true;
                Ok(true)
            }
            Op::WallTo(which) => {
                // The clock is set to 1970, to 2100, to the year 9999, or to the right time.
                let right = self.clock.right_ms();
                let to = [1_000, 4_102_444_800_000, 253_402_300_000_000, right];
                self.clock.set(to[usize::from(which % 4)]);
                self.clock_was_wrong |= which % 4 != 3;
                Ok(true)
            }
            Op::Backup => self.backup(),
            Op::Image => self.image(false),
            Op::ImageKept => self.image(true),
            Op::Restore => self.restore(),
            Op::RepairUnchanged => self.repair_unchanged(),
            Op::CorruptImage(seed) => self.corrupt_image(*seed),
            Op::Bounds => self.bounds(),
        }
    }

    fn progress(&mut self, pick: Pick) -> Ran {
        let Some(n) = usize::from(pick).checked_rem(self.runs.len()) else {
            return Ok(false);
        };
        let kept = &self.runs[n];
        kept.run.progress(70, "further");
        let graph = self.model.graphs.get(&kept.name);
        let graph = graph.filter(|graph| graph.serial == kept.serial);
        let job = graph.and_then(|graph| graph.jobs.get(&kept.sequence));
        if let Some(job) = job.filter(|job| job.state == State::Running) {
            if kept.run.cancel_requested() != job.cancelling {
                return Err(format!("a run says cancel {}", kept.run.cancel_requested()));
            }
        }
        Ok(true)
    }

    fn confirm_clock(&mut self) -> Ran {
        self.clock.set(self.clock.right_ms());
        match self.store().confirm_clock() {
            Ok(()) => {
                self.gaps.confirmed();
                if !self.setup.is_interval() {
                    self.gaps.synced();
                }
                Ok(true)
            }
            Err(error) => self.excuse("confirm_clock", &error),
        }
    }

    /// Lets the background work finish, as it does in a minute of idle time.
    pub fn settle(&mut self) -> Result<(), Finding> {
        let mut before = (0, 0);
        for _ in 0..12 {
            self.step(Step::Index);
            self.archive()?;
            self.pack()?;
            self.step(Step::Expire);
            if self.disk.is_dead() {
                return Ok(());
            }
            let now = (self.disk.used_bytes(), self.disk.files());
            if now == before {
                break;
            }
            before = now;
            self.clock.advance(5_000);
        }
        if !self.is_excused() {
            self.step(Step::Sync);
            if !self.is_excused() {
                self.synced();
            }
        }
        Ok(())
    }

    // The process.

    fn reopen(&mut self, how: u8) -> Ran {
        if how & 1 != 0 {
            // As when a host gets SIGTERM, its workers stop before the store closes.
            for kept in std::mem::take(&mut self.runs) {
                self.end_run(kept, None)?;
                if self.disk.is_dead() {
                    return Ok(true);
                }
            }
        }
        self.close()?;
        if how & 2 != 0 {
            let days = self.random.below(40);
            self.clock
                .advance(days * DAY_MS / (1 + self.random.below(30)));
        }
        if how & 4 != 0 {
            self.setup.recovery = match self.setup.recovery {
                Recovery::Interrupt => Recovery::Requeue,
                Recovery::Requeue => Recovery::Leave,
                _ => Recovery::Interrupt,
            };
            self.verify_at_rest()?;
        }
        Ok(true)
    }

    fn verify_at_rest(&mut self) -> Result<(), Finding> {
        let report = match simulation::verify(&self.disk) {
            Ok(report) => report,
            Err(error) => return self.excuse("verify", &error).map(|_| ()),
        };
        match report.is_sound() {
            true => Ok(()),
            false => Err(format!("verification of a closed store: {report}")),
        }
    }

    fn open_many(&mut self, count: u16) -> Ran {
        self.opened_often(count, |life| life.close())
    }

    fn die_at_open(&mut self, count: u16) -> Ran {
        self.opened_often(count, |life| life.crash(false))
    }

    /// Opens and ends the store many times. The files that this leaves behind must not become more.
    fn opened_often(&mut self, count: u16, end: impl Fn(&mut Life) -> Result<(), Finding>) -> Ran {
        end(self)?;
        self.open()?;
        let before = (self.disk.files(), self.disk.used_bytes());
        for _ in 0..count {
            end(self)?;
            self.open()?;
        }
        let after = (self.disk.files(), self.disk.used_bytes());
        let bytes_max = before.1 + 8 * self.setup.segment_bytes + u64::from(count) * 256;
        let grew = after.0 > before.0 + FILES_PER_OPENS || after.1 > bytes_max;
        if grew && !self.limited && self.checks("open-growth") {
            return Err(format!(
                "{count} opens of an unchanged store turned {} files of {} bytes into {} of {}",
                before.0, before.1, after.0, after.1
            ));
        }
        Ok(true)
    }

    /// Lets a process read the closed store. It writes nothing and matches the model, and an engine
    /// can open the store at the same time.
    fn read_only_open(&mut self) -> Ran {
        let was_troubled = self.is_excused() || self.index_troubled;
        self.close()?;
        let before = (self.disk.names(), self.disk.counters().bytes_written);
        let options = self.setup.options(&self.clock);
        let reader = simulation::open_read_only(options, &self.disk);
        let reader = reader.map_err(|e| format!("a read-only open: {e}"))?;
        // If a close failed, it is not known before the next open what the store contains.
        if !was_troubled && !self.is_in_doubt() {
            Observed::read(&reader)
                .and_then(|seen| seen.compare(&self.model))
                .map_err(|e| format!("a read-only store differs: {e}"))?;
        }
        for graph in reader.graphs().map_err(|e| e.to_string())? {
            match graph.submit(Content::draw(&mut self.random).request()) {
                Err(Error::OpenedReadOnly) => {}
                other => return Err(format!("a submit to a read-only store returned {other:?}")),
            }
        }
        if before != (self.disk.names(), self.disk.counters().bytes_written) {
            return Err("a read-only open changed the directory".to_owned());
        }
        self.open()?;
        drop(reader);
        Ok(true)
    }

    /// Fills the disk, purges all jobs, and expects free space again.
    fn fill_and_free(&mut self, pick: Pick, room: u8) -> Ran {
        let Some((name, graph)) = self.pick_graph(pick) else {
            return Ok(false);
        };
        if self.failed || self.index_troubled {
            return Ok(false);
        }
        self.disk.heal();
        self.heal_replica();
        self.lift_limits();
        self.settle()?;
        if self.is_excused() {
            return Ok(true);
        }
        // This includes the space that is needed to pack the segment in use. If other programs have
        // taken that space, only they can free it.
        let segments = self.disk.names().into_iter();
        let segments = segments.filter(|(name, _)| name.ends_with(".segment"));
        let to_pack = segments.map(|(_, bytes)| bytes).max().unwrap_or(0);
        let further = u64::from(room) * self.setup.segment_bytes;
        let room = 4 * self.setup.segment_bytes + further + to_pack;
        let limit = self.disk.used_bytes() + room;
        self.disk.limit_bytes(Some(limit));
        self.limited = true;
        let full = Content {
            kind: 0,
            number: 1,
            filler: (self.setup.segment_bytes / 16).min(4_000) as u32,
        };
        let is_full = |life: &Life| {
            let probe = graph.submit(full.request());
            (
                matches!(probe, Err(Error::DiskFull { .. })),
                probe,
                life.now(),
            )
        };
        let mut count = 0;
        loop {
            let (full_now, probe, now) = is_full(self);
            match probe {
                Ok(id) => {
                    let job = Job::new(Some(id.as_str().into()), full, now, self.setup.secrets);
                    self.acknowledge(Effect::Submit(name, vec![job]));
                }
                Err(_) if full_now => break,
                Err(error) => return self.excuse("submit on a full disk", &error),
            }
            count += 1;
            if count > 3_000 {
                return Ok(false);
            }
            if count % 20 == 0 {
                self.pack()?;
            }
        }
        self.settle()?;
        // Root may have used the blocks that are reserved for root, and get them back first.
        let taken = if pick % 2 == 1 { further } else { 0 };
        if taken > 0 {
            self.disk.fill_as_root(taken);
        }
        let filled = self.disk.used_bytes();
        let look = crate::operations::Look {
            graph: pick,
            offset: 0,
            limit: 1_000,
            states: 0,
            newest: false,
            filter: 11,
            number: 1,
        };
        // This keeps a page. The page keeps the files that it needs.
        self.list(&look)?;
        // All jobs are completed and purged.
        let open: Vec<(u64, Job)> = self.model.graphs[&name]
            .jobs
            .iter()
            .filter(|(_, job)| job.state == State::Pending)
            .map(|(&s, job)| (s, job.clone()))
            .collect();
        let mut cancelled = 0;
        for (sequence, job) in open {
            let Some(id) = job.id else { continue };
            match graph.cancel(&*id) {
                Ok(_) => {
                    cancelled += 1;
                    let outcome = crate::requests::OutcomeFact::plain(OutcomeKind::Cancelled, None);
                    let effect = Effect::Complete(name, sequence, outcome, self.now());
                    self.acknowledge(effect);
                }
                Err(Error::DiskFull { .. }) => break,
                Err(error) => return self.excuse("cancel on a full disk", &error),
            }
            if cancelled % 200 == 0 {
                self.settle()?;
            }
        }
        for _ in 0..3 {
            self.purge(pick, &look, false)?;
            self.settle()?;
            if self.disk.is_dead() || self.failed {
                return Ok(true);
            }
        }
        if !self.checks("full-disk") {
            return Ok(true);
        }
        let live: u64 = self.model.graphs.values().map(|g| g.live_bytes()).sum();
        let used = self.disk.used_bytes();
        let files = self.disk.names();
        let left = self.model.graphs[&name].jobs.len();
        match graph.submit(full.request()) {
            Ok(id) => {
                let job = Job::new(
                    Some(id.as_str().into()),
                    full,
                    self.now(),
                    self.setup.secrets,
                );
                self.acknowledge(Effect::Submit(name, vec![job]));
            }
            Err(error) if left == 0 => {
                return Err(format!(
                    "a disk of {limit} bytes was filled by {count} jobs; all were purged and the \
                     background is idle, {used} bytes are in use for {live} live ones, and a \
                     submit is refused: {error}; {filled} bytes were in use when it was full, and \
                     root has taken {taken}; files: {files:?}"
                ));
            }
            Err(_) => {}
        }
        // The store can also be opened with the remaining space.
        drop(graph);
        self.close()?;
        self.open()?;
        self.lift_limits();
        Ok(true)
    }
}
