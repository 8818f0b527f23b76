//! Group commit: queued writes to one frame, one sync, one publication.
//!
//! Owns: the checks of each write against the states, sequence numbers, times,
//! and the order of the steps. Must not know: who waits for the answers.
//! Promise: a write is answered after its frame is durable (or handed over, in
//! interval mode) and visible; nothing is visible before; a write that is refused
//! changes nothing.

mod give_up;
mod import;
mod once;
mod purge;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::bounded;
use crate::base::sync::atomic::Ordering;
use crate::base::sync::thread;
use crate::base::sync::time::Instant;
use crate::engine::core::Engine;
use crate::engine::state::calls::{Answer, Answers, Call, Queued};
use crate::engine::state::change::Change;
use crate::engine::state::committer::Committer;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::operation::{Action, Looked, Operation, Submission};
use crate::engine::state::run_cell::RunCell;
use crate::engine::state::unpacked::TailPlace;
use crate::engine::state::waiters::ANY;
use crate::index::rows::Finished;
use crate::index::sorted_runs::Pair;
use crate::log::clock_gaps::Gaps;
use crate::log::clock_mark::ClockMark;
use crate::log::event::{Event, Texts};
use crate::log::preallocation::Room;
use crate::log::writer::{AppendError, Appended};
use crate::model::error::{Error, Result};
use crate::model::id::JobId;
use crate::model::options::Durability;
use crate::model::outcome::{Outcome, OutcomeKind};
use crate::model::request::Request;
use crate::model::states::{State, States};

/// What one commit takes from the queue, about; a larger write is its own commit.
const GROUP_BYTES: u64 = 1 << 20;
/// How long a write that nobody waits for waits for room before its thread commits.
const DETACHED_WAIT: Duration = Duration::from_millis(5);
/// The frame's buffer is given back when one write made it larger than this.
const BUFFER_BYTES_MAX: usize = 4 << 20;
/// The indexer is called whenever so many changes wait for it.
const CHANGES_TO_INDEX: u64 = 32 << 10;

/// Stops all writes when it is dropped by a panic.
struct FailOnUnwind<'e>(&'e Engine);

impl Drop for FailOnUnwind<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail(&Error::CommitUnknown {
                ids: Arc::new([]),
                why: "a commit panicked".into(),
            });
        }
    }
}

/// What a round is going to do once its frame is durable.
#[derive(Default)]
struct Round {
    now_ms: u64,
    /// The clocks at this commit. Imports set `now_ms` to their own times.
    clock: ClockMark,
    /// What was confirmed before this commit.
    gaps: Gaps,
    answers: Vec<Result<Answer>>,
    /// Jobs that writes are about, with the place of the write, for when the commit
    /// fails.
    ids: Vec<(usize, JobId)>,
    changes: Vec<(Arc<GraphCore>, Change)>,
    created: Vec<Arc<GraphCore>>,
    dropped: Vec<Arc<GraphCore>>,
    /// Names of the graphs that are created in this round.
    created_names: HashSet<(String, String)>,
    /// Numbers of the graphs that are dropped in this round.
    dropped_numbers: HashSet<u32>,
    foreign: Vec<Pair>,
    /// Jobs added to each graph in this round.
    added: HashMap<u32, u64>,
    /// States that differ from the published ones.
    states: HashMap<(u32, u64), State>,
    /// Ids that engines brought in this round.
    brought: HashMap<(u32, JobId), Request>,
    /// Keys that were given away in this round.
    keyed: HashMap<(u32, String), (JobId, Request)>,
    cancelling: HashSet<(u32, u64)>,
    /// Jobs that became pending again in this round.
    requeued: BTreeSet<(u32, u64)>,
    /// Whether what the age clock did not count is confirmed.
    confirms_clock: bool,
    /// Jobs that are purged in this round.
    purged: HashSet<(u32, u64)>,
}

impl Round {
    /// The age clock at `now_ms`.
    fn age_ms(&self) -> i64 {
        self.clock.age_at(self.now_ms, &self.gaps)
    }

    /// The same as an event stores it.
    fn age_shift_ms(&self) -> i64 {
        self.clock.shift(self.now_ms, &self.gaps)
    }
}

impl Committer {
    /// Commits what waits in the queue and can be dated, up to a group; `None` if there is
    /// nothing.
    pub(crate) fn round(&mut self, engine: &Engine) -> Option<Answers> {
        let (taken, bytes, now_ms) = engine.queue.take(GROUP_BYTES);
        if taken.is_empty() {
            return None;
        }
        self.now_ms = now_ms;
        let _span = tracing::trace_span!("commit", writes = taken.len()).entered();
        // Should anything below panic, nobody knows what the log holds.
        let unwinding = FailOnUnwind(engine);
        let answers = self.carry_out(engine, &taken);
        if engine.has_failed() {
            self.called.extend(engine.take_all_waiters());
        }
        self.frame.shrink(BUFFER_BYTES_MAX);
        engine.queue.done(taken.len());
        drop(unwinding);
        Some(Answers {
            taken,
            answers,
            waiting: bytes.release(),
            called: std::mem::take(&mut self.called),
        })
    }

    /// Commits all writes together. Where no segment can be had for them, those that
    /// end something go on by themselves: there is a reserve for them.
    fn carry_out(&mut self, engine: &Engine, taken: &[Queued]) -> Vec<Result<Answer>> {
        let all: Vec<&Action> = taken.iter().map(|q| &q.operation().action).collect();
        let room = room_for(&all);
        let refused = match self.commit(engine, &all, room) {
            Ok(answers) => return answers,
            Err(refused) => refused,
        };
        let mut answers: Vec<_> = taken.iter().map(|_| Err(refused.clone())).collect();
        for group in ending_groups(taken, engine.spare.reserve_bytes() / 2) {
            let actions: Vec<&Action> = group.iter().map(|&n| all[n]).collect();
            match self.commit(engine, &actions, room_for(&actions)) {
                Ok(given) => {
                    for (n, answer) in group.into_iter().zip(given) {
                        answers[n] = answer;
                    }
                }
                Err(refused) => {
                    for n in group {
                        // The last of the reserve is for these.
                        let alone = match all[n].is_freeing() && actions.len() > 1 {
                            true => self.commit(engine, &[all[n]], Room::Freeing),
                            false => Err(refused.clone()),
                        };
                        answers[n] = alone.and_then(|mut given| given.remove(0));
                    }
                }
            }
        }
        answers
    }

    /// Commits writes in one frame. An error says that nothing was written, and that
    /// nothing has changed.
    fn commit(
        &mut self,
        engine: &Engine,
        actions: &[&Action],
        room: Room,
    ) -> Result<Vec<Result<Answer>>> {
        // A closed store still carries out what was queued before; a failed one
        // writes nothing more, closed or not.
        if let Err(refused) = engine.check_sound() {
            return Ok(actions.iter().map(|_| Err(refused.clone())).collect());
        }
        let clock = engine.clock_mark_at(self.now_ms);
        let mut round = Round {
            now_ms: clock.wall_ms,
            clock,
            gaps: engine.gaps(),
            ..Round::default()
        };
        self.frame.clear();
        self.frame.clock = clock;
        for action in actions {
            let answer = self.stage(engine, &mut round, action);
            round.answers.push(answer);
        }
        if self.frame.is_unreadable() && actions.len() > 1 {
            // Each by itself, so that only what could not be read back is refused.
            let alone = |action: &&Action| self.commit(engine, &[*action], room)?.remove(0);
            return Ok(actions.iter().map(alone).collect());
        }
        if self.frame.count() > 0 {
            match self.write(engine, &round, room) {
                Ok(appended) => self.publish(engine, &mut round, &appended),
                // What was answered may rest on a change that is not made now.
                Err(AppendError::Refused(error)) => return Err(error),
                Err(AppendError::Unknown(error)) => {
                    let why = engine.fail(&error);
                    let mut ids = round.ids.drain(..).peekable();
                    for (n, answer) in round.answers.iter_mut().enumerate() {
                        let of_write = std::iter::from_fn(|| ids.next_if(|(of, _)| *of == n));
                        *answer = Err(Error::CommitUnknown {
                            ids: of_write.map(|(_, id)| id).collect(),
                            why: why.clone(),
                        });
                    }
                }
            }
        }
        Ok(round.answers)
    }

    fn write(
        &mut self,
        engine: &Engine,
        round: &Round,
        room: Room,
    ) -> Result<Appended, AppendError> {
        let appended = self.log.append(&mut self.frame, room)?;
        engine
            .recorded_age_ms
            .store(round.clock.age_ms, Ordering::Relaxed);
        engine.meters.frames.add(1);
        engine.meters.frame_bytes.add(self.frame.len() as u64);
        engine.meters.events.add(self.frame.count());
        match engine.options.durability {
            // Packing leaves the jobs of dropped graphs, and those that were purged,
            // out for good: so both are durable before they are seen, in either mode.
            Durability::Interval(_) if round.dropped.is_empty() && round.purged.is_empty() => {
                self.unsynced_since.get_or_insert_with(Instant::now);
            }
            Durability::Synced | Durability::Interval(_) => {
                self.sync_log(engine).map_err(AppendError::Unknown)?;
                self.unsynced_since = None;
            }
        }
        Ok(appended)
    }

    /// Makes everything durable that was written.
    pub(crate) fn sync(&mut self, engine: &Engine) -> Result<()> {
        self.unsynced_since = None;
        if engine.has_failed() {
            return Ok(());
        }
        self.sync_log(engine).inspect_err(|error| {
            engine.fail(error);
        })?;
        let durable_lsn = self.log.synced_lsn();
        engine.durable_lsn.store(durable_lsn, Ordering::Release);
        Ok(())
    }

    fn sync_log(&mut self, engine: &Engine) -> Result<()> {
        let (begun, durable) = (Instant::now(), self.log.synced_lsn());
        self.log.sync()?;
        if self.log.synced_lsn() > durable {
            let time = Instant::now().saturating_duration_since(begun);
            engine.meters.syncs.note(time);
        }
        Ok(())
    }

    /// When what is written has to be synced, in interval mode.
    fn sync_due(&self, engine: &Engine) -> Option<Instant> {
        match engine.options.durability {
            Durability::Interval(interval) => Some(self.unsynced_since? + bounded(interval)),
            Durability::Synced => None,
        }
    }

    fn publish(&mut self, engine: &Engine, round: &mut Round, appended: &Appended) {
        if appended.sealed.is_some() {
            let mut truth = engine.truth.write();
            Arc::make_mut(&mut truth)
                .segments
                .push(appended.segment.clone());
        }
        if !round.created.is_empty() || !round.dropped.is_empty() {
            let mut graphs = engine.graphs.write();
            for graph in &round.dropped {
                graphs.remove(graph.number);
                let mut state = graph.state.write();
                state.end_runs();
                self.called.extend(state.waiters.take_all());
                self.backlog.note_dropped(graph.number, state.status.len());
                drop(state);
                engine.note_changed(graph, true);
            }
            for graph in round.created.drain(..) {
                self.backlog.note(&graph, &mut graph.state.write());
                graphs.insert(graph);
            }
        }
        if round.confirms_clock {
            engine.clock.lock().confirmed(&round.clock);
        }
        for &(hash, owner) in &round.foreign {
            engine.ids.add(hash, owner);
        }
        // Before anything of it can be read.
        let visible_lsn = self.log.next_lsn() - 1;
        engine.visible_lsn.store(visible_lsn, Ordering::Release);
        let changes = round.changes.len() as u64;
        self.changes_since_index += changes;
        engine.index_lag.fetch_add(changes, Ordering::Relaxed);
        // Stable, so each graph's changes stay in their order; each graph is locked
        // once, so a page sees all of a commit or nothing.
        round.changes.sort_by_key(|(graph, _)| graph.number);
        for changes in round.changes.chunk_by_mut(|a, b| a.0.number == b.0.number) {
            let graph = changes[0].0.clone();
            let mut state = graph.state.write();
            self.backlog.note(&graph, &mut state);
            for (_, change) in changes {
                if let Change::Submitted { place, .. } = change {
                    place.shift(appended.at as u32);
                }
                state.apply(change, &appended.segment);
                state.take_waiters(change, &mut self.called);
            }
        }
        let durable_lsn = self.log.synced_lsn();
        engine.durable_lsn.store(durable_lsn, Ordering::Release);
        // Once they can read it.
        for changes in round.changes.chunk_by(|a, b| a.0.number == b.0.number) {
            let graph = &changes[0].0;
            let is_smaller = |(_, change): &(_, Change)| {
                matches!(change, Change::Purged { .. } | Change::Forgotten { .. })
            };
            engine.note_changed(graph, changes.iter().any(is_smaller));
            if graph.state.read().waiters.has(ANY) {
                graph.state.write().waiters.take(ANY, &mut self.called);
            }
        }
        if appended.sealed.is_some() {
            engine.wake_packer();
        }
        if self.changes_since_index >= CHANGES_TO_INDEX {
            self.changes_since_index = 0;
            engine.wake_indexer();
        }
    }

    /// Checks a write against the states as they will be after the writes before
    /// it, and adds its events to the frame.
    fn stage(&mut self, engine: &Engine, round: &mut Round, action: &Action) -> Result<Answer> {
        match action {
            Action::CreateGraph {
                project,
                name,
                id_number,
                key,
            } => self.create_graph(engine, round, (project, name), (*id_number, *key)),
            Action::DropGraph { graph } => {
                round.check_graph(graph)?;
                self.frame.push(&Event::GraphDropped {
                    graph: graph.number,
                    time_ms: round.now_ms,
                });
                round.dropped_numbers.insert(graph.number);
                round.dropped.push(graph.clone());
                Ok(Answer::Done)
            }
            Action::Submit { graph, submission } => {
                round.check_graph(graph)?;
                let id = self.submit(engine, round, graph, submission);
                Ok(Answer::Created(id))
            }
            Action::SubmitAll { graph, submissions } => {
                round.check_graph(graph)?;
                let submitted = submissions
                    .iter()
                    .map(|s| self.submit(engine, round, graph, s));
                Ok(Answer::CreatedAll(submitted.collect()))
            }
            Action::SubmitAs {
                graph,
                id,
                submission,
                looked,
            } => {
                round.check_graph(graph)?;
                self.submit_as(engine, round, graph, (id, submission, looked))
            }
            Action::SubmitOnce {
                graph,
                key,
                submission,
                looked,
            } => {
                round.check_graph(graph)?;
                self.submit_once(engine, round, graph, (key, submission, looked))
            }
            Action::Start {
                graph,
                sequence,
                id,
            } => {
                round.check_graph(graph)?;
                match round.state(graph, *sequence)? {
                    State::Pending => self.start(round, graph, *sequence),
                    from => return Err(illegal(id, from, State::Running)),
                }
                round.note_id(id);
                Ok(Answer::Done)
            }
            Action::Complete {
                graph,
                sequence,
                id,
                outcome,
                run,
            } => {
                round.check_graph(graph)?;
                match round.state(graph, *sequence)? {
                    State::Complete => return Ok(Answer::AlreadyComplete),
                    _ if !run
                        .as_ref()
                        .is_none_or(|run| round.holds(graph, *sequence, run)) =>
                    {
                        return Err(no_longer_held());
                    }
                    State::Pending if outcome.kind() != OutcomeKind::Cancelled => {
                        return Err(illegal(id, State::Pending, State::Complete));
                    }
                    _ => self.complete(round, graph, *sequence, outcome),
                }
                round.note_id(id);
                Ok(Answer::Done)
            }
            Action::Cancel {
                graph,
                sequence,
                id,
            } => {
                round.check_graph(graph)?;
                self.cancel(round, graph, *sequence, id)
            }
            Action::GiveUp {
                graph,
                sequence,
                id,
                run,
                requeue,
            } => {
                round.check_graph(graph)?;
                self.give_up(engine, round, graph, (*sequence, id, run), *requeue)
            }
            Action::Abandon { graph, sequence } => {
                round.check_graph(graph)?;
                if round.state(graph, *sequence)? == State::Running {
                    self.complete(round, graph, *sequence, &Outcome::interrupted());
                }
                Ok(Answer::Done)
            }
            Action::Claim { graph } => {
                round.check_graph(graph)?;
                let claimed = round.oldest_pending(graph);
                if let Some(sequence) = claimed {
                    self.start(round, graph, sequence);
                }
                Ok(Answer::Claimed(claimed))
            }
            Action::Import { graph, jobs, stops } => {
                round.check_graph(graph)?;
                self.import(engine, round, graph, (jobs, *stops))
            }
            Action::Purge { graph, jobs, why } => {
                round.check_graph(graph)?;
                self.purge(round, graph, jobs, *why)
            }
            Action::Forget {
                graph,
                through_lsn,
                sequences,
            } => {
                round.check_graph(graph)?;
                Ok(self.forget(round, graph, *through_lsn, sequences))
            }
            Action::Clock => {
                self.frame.push(&Event::Clock);
                Ok(Answer::Done)
            }
            Action::ConfirmClock => {
                // Another confirmation in this frame finds nothing left.
                let gap = self.frame.clock.unconfirmed();
                self.frame.clock = self.frame.clock.confirmed();
                self.frame.push(&gap.map_or(Event::Clock, Event::Confirmed));
                round.confirms_clock = true;
                Ok(Answer::Done)
            }
        }
    }

    fn create_graph(
        &mut self,
        engine: &Engine,
        round: &mut Round,
        (project, name): (&str, &str),
        (id_number, key): (u64, [u64; 2]),
    ) -> Result<Answer> {
        let names = (project.to_owned(), name.to_owned());
        let graphs = engine.graphs.read();
        let there = graphs.named(project, name);
        let dropped = there.is_some_and(|there| round.is_dropped(there));
        if (there.is_some() && !dropped) || round.created_names.contains(&names) {
            return Err(Error::GraphExists {
                project: project.to_owned(),
                graph: name.to_owned(),
            });
        }
        let number = graphs.created + round.created.len() as u32;
        let shared = (graphs.project(project), name);
        let graph = GraphCore::new(number, shared, (id_number, key), round.now_ms);
        self.frame.push(&Event::GraphCreated {
            graph: number,
            number: id_number,
            key,
            time_ms: round.now_ms,
            project,
            name,
        });
        let graph = Arc::new(graph);
        round.created_names.insert(names);
        round.created.push(graph.clone());
        Ok(Answer::Graph(graph))
    }

    fn submit(
        &mut self,
        engine: &Engine,
        round: &mut Round,
        graph: &Arc<GraphCore>,
        submission: &Submission,
    ) -> JobId {
        let sequence = round.next_sequence(graph);
        let mut id = graph.ids.make(sequence, round.now_ms);
        // An engine may have brought this very id before; the time in it is free.
        for later_ms in 1.. {
            let taken = engine.ids.may_contain(graph.id_hash(id.as_str()))
                || (!round.brought.is_empty()
                    && round.brought.contains_key(&(graph.number, id.clone())));
            if !taken {
                break;
            }
            id = graph.ids.make(sequence, round.now_ms + later_ms);
        }
        self.record(round, graph, sequence, &id, submission);
        round.note_id(&id);
        id
    }

    fn submit_as(
        &mut self,
        engine: &Engine,
        round: &mut Round,
        graph: &Arc<GraphCore>,
        (id, submission, looked): (&JobId, &Submission, &Looked),
    ) -> Result<Answer> {
        let key = (graph.number, id.clone());
        let existing = match (round.brought.get(&key), &looked.found) {
            (Some(existing), _) | (None, Some(existing)) => Some(existing.clone()),
            // The caller asked the index; only what came since can be new, and that
            // is in memory, unless it has moved on to the index meanwhile: asked
            // after the look, because it may move between the two.
            (None, None) => match engine.recent_request_of(graph, id.as_str())? {
                None if engine.ids.generation() != looked.generation => {
                    engine.request_of(graph, id.as_str())?
                }
                recent => recent,
            },
        };
        if let Some(existing) = existing {
            return if existing == submission.kept.request {
                Ok(Answer::Exists)
            } else {
                Err(Error::JobIdTaken { id: id.clone() })
            };
        }
        // One that came and went since the caller looked.
        if !engine.ids.recent(graph.id_hash(id.as_str())).is_empty() {
            engine.check_not_purged(graph, id)?;
        }
        let sequence = round.next_sequence(graph);
        self.record(round, graph, sequence, id, submission);
        round
            .foreign
            .push((graph.id_hash(id.as_str()), graph.owner(sequence)));
        round.brought.insert(key, submission.kept.request.clone());
        round.note_id(id);
        Ok(Answer::Created(id.clone()))
    }

    fn record(
        &mut self,
        round: &mut Round,
        graph: &Arc<GraphCore>,
        sequence: u64,
        id: &JobId,
        submission: &Submission,
    ) {
        let texts = Texts {
            id: id.as_str(),
            request: submission.kept.request.as_json(),
            secrets: &submission.kept.secrets,
        };
        let fingerprint = submission.fingerprint;
        let end = self.frame.push(&Event::Submitted {
            graph: graph.number,
            sequence,
            time_ms: round.now_ms,
            fingerprint,
            texts,
        });
        let place = TailPlace::new(end as u64, &texts, round.now_ms);
        *round.added.entry(graph.number).or_default() += 1;
        let submitted = Change::Submitted {
            sequence,
            place,
            fingerprint,
        };
        round.change(graph, submitted);
    }

    fn start(&mut self, round: &mut Round, graph: &Arc<GraphCore>, sequence: u64) {
        self.frame.push(&Event::Started {
            graph: graph.number,
            sequence,
            time_ms: round.now_ms,
        });
        round
            .states
            .insert((graph.number, sequence), State::Running);
        let at_ms = round.now_ms;
        round.change(graph, Change::Started { sequence, at_ms });
    }

    fn complete(
        &mut self,
        round: &mut Round,
        graph: &Arc<GraphCore>,
        sequence: u64,
        outcome: &Outcome,
    ) {
        let lsn = self.log.next_lsn() + self.frame.count();
        let kind = outcome.kind().to_stored();
        self.frame.push(&Event::Completed {
            graph: graph.number,
            sequence,
            time_ms: round.now_ms,
            age_shift_ms: round.age_shift_ms(),
            kind,
            extra: outcome.extra.clone(),
        });
        let finished = Finished {
            at_ms: round.now_ms,
            age_ms: round.age_ms(),
            kind,
            boot: 0,
            extra_lsn: if outcome.extra.is_some() { lsn } else { 0 },
        };
        round
            .states
            .insert((graph.number, sequence), State::Complete);
        round.change(graph, Change::Completed { sequence, finished });
    }

    fn cancel(
        &mut self,
        round: &mut Round,
        graph: &Arc<GraphCore>,
        sequence: u64,
        id: &JobId,
    ) -> Result<Answer> {
        match round.state(graph, sequence)? {
            State::Complete => Ok(Answer::AlreadyComplete),
            State::Pending => {
                self.complete(round, graph, sequence, &Outcome::cancelled());
                round.note_id(id);
                Ok(Answer::CancelledBeforeStart)
            }
            State::Running => {
                let known = graph.state.read().cancelling.contains(&sequence);
                if !known && round.cancelling.insert((graph.number, sequence)) {
                    self.frame.push(&Event::CancelRequested {
                        graph: graph.number,
                        sequence,
                        time_ms: round.now_ms,
                    });
                    round.change(graph, Change::CancelRequested { sequence });
                }
                round.note_id(id);
                Ok(Answer::CancelRequested)
            }
        }
    }
}

/// Where writes that share a frame may go.
fn room_for(actions: &[&Action]) -> Room {
    if actions.iter().all(|action| action.is_freeing()) {
        Room::Freeing
    } else if actions.iter().all(|action| action.is_ending()) {
        Room::Reserve
    } else {
        Room::Ordinary
    }
}

/// The places of the writes that end something, in their order, in groups whose
/// frames have about so many bytes at most.
fn ending_groups(taken: &[Queued], bytes_max: u64) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut room = 0;
    for (n, queued) in taken.iter().enumerate() {
        let Operation { action, bytes } = queued.operation();
        if !action.is_ending() {
            continue;
        }
        match groups.last_mut().filter(|_| *bytes <= room) {
            Some(group) => {
                group.push(n);
                room -= bytes;
            }
            None => {
                groups.push(vec![n]);
                room = bytes_max.saturating_sub(*bytes);
            }
        }
    }
    groups
}

fn no_longer_held() -> Error {
    Error::InvalidUse {
        what: "the job of this run was requeued; claim a job again",
    }
}

fn illegal(id: &JobId, from: State, to: State) -> Error {
    Error::IllegalTransition {
        id: id.clone(),
        from,
        to,
    }
}

impl Round {
    fn change(&mut self, graph: &Arc<GraphCore>, change: Change) {
        self.changes.push((graph.clone(), change));
    }

    fn is_dropped(&self, graph: &GraphCore) -> bool {
        self.dropped_numbers.contains(&graph.number)
    }

    fn check_graph(&self, graph: &GraphCore) -> Result<()> {
        if graph.is_dropped() || self.is_dropped(graph) {
            return Err(Error::GraphDropped {
                graph: graph.name.to_string(),
            });
        }
        Ok(())
    }

    /// Notes that the write being staged is about this job.
    fn note_id(&mut self, id: &JobId) {
        self.ids.push((self.answers.len(), id.clone()));
    }

    fn next_sequence(&self, graph: &GraphCore) -> u64 {
        let added = self.added.get(&graph.number).copied().unwrap_or(0);
        graph.state.read().status.len() + added
    }

    fn state(&self, graph: &GraphCore, sequence: u64) -> Result<State> {
        match self.states.get(&(graph.number, sequence)) {
            Some(&state) => Ok(state),
            None => graph
                .state
                .read()
                .status
                .get(sequence)
                .ok_or_else(|| Error::UnknownJob {
                    id: format!("number {sequence}"),
                }),
        }
    }

    /// Whether a run still holds its job, as it will be after the writes before this one.
    fn holds(&self, graph: &GraphCore, sequence: u64, run: &RunCell) -> bool {
        !run.is_over() && !self.requeued.contains(&(graph.number, sequence))
    }

    fn oldest_pending(&self, graph: &GraphCore) -> Option<u64> {
        let number = graph.number;
        let is_pending = |sequence: u64| match self.states.get(&(number, sequence)) {
            Some(&state) => state == State::Pending,
            None => true,
        };
        let published = {
            let state = graph.state.read();
            let pending = States::NONE.with(State::Pending);
            // Those that this round has taken already are still pending there.
            let taken = self.states.len() as u64 + 1;
            let selection = state.status.select(pending, 0, 0, taken);
            let (mut at, mut from, mut found) = (0, 0, None);
            while let Some((sequence, _)) = selection.next(from, &mut at) {
                if is_pending(sequence) {
                    found = Some(sequence);
                    break;
                }
                from = sequence + 1;
            }
            found
        };
        let mut requeued = self.requeued.range((number, 0)..=(number, u64::MAX));
        let requeued = requeued.find(|&&(_, sequence)| is_pending(sequence));
        let next = self.next_sequence(graph);
        let added = self.added.get(&number).copied().unwrap_or(0);
        let submitted = || (next - added..next).find(|&sequence| is_pending(sequence));
        let requeued = requeued.map(|&(_, sequence)| sequence);
        published
            .into_iter()
            .chain(requeued)
            .min()
            .or_else(submitted)
    }
}

impl Engine {
    /// Carries out a write and waits for its answer.
    pub(crate) fn commit(&self, operation: Operation) -> Result<Answer> {
        let (call, queued) = Call::new(operation);
        self.queue.push(queued);
        // Nobody commits: do it here and save two changes of thread.
        while !call.is_answered() {
            self.date_queued();
            let Some(mut committer) = self.try_hold_committer() else {
                break;
            };
            let answers = committer.round(self);
            drop(committer);
            match answers {
                Some(answers) => answers.give(&self.meters),
                None => break,
            }
        }
        call.wait()
    }

    /// Queues a write that nobody waits for, once there is room. This may be the
    /// committer's own thread, in a waker, so it commits if nobody else does.
    pub(crate) fn queue_detached(&self, queued: Queued) {
        let mut outside = Some(queued);
        while let Some(queued) = outside.take() {
            let deadline = Instant::now() + DETACHED_WAIT;
            outside = self.queue.push_until(queued, Some(deadline));
            if outside.is_none() {
                break;
            }
            self.date_queued();
            if let Some(mut committer) = self.try_hold_committer() {
                let answers = committer.round(self);
                drop(committer);
                if let Some(answers) = answers {
                    answers.give(&self.meters);
                }
            }
        }
        self.queue.wake_committer();
    }
}

/// The committer's thread: commits for those that do not wait in a call of their
/// own, and syncs in interval mode.
pub(crate) fn run(engine: &Engine) {
    // A panic is noted in the store's health; what is queued is still answered.
    while catch_unwind(AssertUnwindSafe(|| serve(engine))).is_err() {}
    engine.end_log();
}

fn serve(engine: &Engine) {
    loop {
        engine.date_queued();
        let mut committer = engine.hold_committer();
        if let Some(answers) = committer.round(engine) {
            drop(committer);
            answers.give(&engine.meters);
            continue;
        }
        let mut due = committer.sync_due(engine);
        if due.is_some_and(|due| due <= Instant::now()) {
            // A failure is noted in the store's health.
            committer.sync(engine).ok();
            due = None;
        }
        drop(committer);
        if engine.has_failed() {
            engine.call_all_waiters();
        }
        // In interval mode a commit made by a caller sets a new time to sync, so
        // this thread looks at least that often.
        let deadline = match engine.options.durability {
            Durability::Interval(interval) => Some(due.unwrap_or_else(|| {
                Instant::now() + bounded(interval).max(Duration::from_millis(1))
            })),
            Durability::Synced => None,
        };
        if !engine.queue.wait_filled(deadline) {
            return;
        }
    }
}
