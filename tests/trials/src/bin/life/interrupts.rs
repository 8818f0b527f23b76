//! Callers in the middle of a background step.
//!
//! Contains the operation of such a caller, and its expected result. It can occur anywhere in a
//! step where no lock is held that the caller needs.

use std::cell::RefCell;
use std::rc::Rc;

use jobstore::simulation::{self, Step};
use jobstore::{Cancellation, Error, Graph, JobQuery, OutcomeKind, State};
use jobstore_trials::random::Random;

use crate::life::{Finding, Life, Ran, Refusal, rc};
use crate::model::{Effect, Job, Name};
use crate::observed::{Seen, read_graph};
use crate::operations::Pick;
use crate::policies::Due;
use crate::reads::document;
use crate::requests::{Content, OutcomeFact};

/// The operation of a caller during a step.
#[derive(Clone, Debug)]
pub enum Call {
    Submit(Content),
    Start,
    Cancel,
    List,
    JobById,
}

impl Call {
    pub fn draw(random: &mut Random) -> Call {
        match random.below(6) {
            0..=1 => Call::Submit(Content::draw(random)),
            2 => Call::Start,
            3 => Call::Cancel,
            4 => Call::List,
            _ => Call::JobById,
        }
    }
}

/// The result of the call.
enum Found {
    Submitted(String),
    Done,
    Listed(Vec<Seen>, Vec<u8>),
    Job(Option<Box<Seen>>),
    Refused(Refusal),
}

/// A caller that will run during a step.
pub struct Intruder {
    name: Name,
    call: Call,
    target: Option<(u64, Job)>,
    found: Rc<RefCell<Option<Found>>>,
}

/// Performs the caller's operation.
fn carry_out(graph: &Graph, call: &Call, id: Option<&str>) -> jobstore::Result<Found> {
    let id = id.unwrap_or_default();
    Ok(match call {
        Call::Submit(content) => Found::Submitted(graph.submit(content.request())?.to_string()),
        Call::Start => {
            graph.start(id)?;
            Found::Done
        }
        Call::Cancel => match graph.cancel(id)? {
            Cancellation::CancelledBeforeStart => Found::Done,
            other => {
                return Ok(Found::Refused(Refusal {
                    name: "Answer".to_owned(),
                    text: format!("{other:?} of a pending job"),
                }));
            }
        },
        Call::List => {
            let seen = read_graph(graph)?;
            Found::Listed(seen, graph.list(JobQuery::new())?.to_json()?)
        }
        Call::JobById => Found::Job(graph.job(id)?.map(|job| Box::new(Seen::of(&job)))),
    })
}

impl Life {
    /// Executes a step during which a caller runs.
    pub fn interrupted(&mut self, kind: u8, after: u16, pick: Pick, call: &Call) -> Ran {
        let picked = match call {
            Call::Submit(_) | Call::List => self.pick_graph(pick).map(|(n, g)| (n, g, None)),
            Call::Start | Call::Cancel | Call::JobById => self
                .pick_job(pick, State::Pending)
                .filter(|(_, _, _, job)| job.state == State::Pending && job.id.is_some())
                .map(|(name, graph, sequence, job)| (name, graph, Some((sequence, job)))),
        };
        let Some((name, graph, target)) = picked else {
            return Ok(false);
        };
        let found = Rc::new(RefCell::new(None));
        let (done, does) = (found.clone(), call.clone());
        let id = target.as_ref().and_then(|(_, job)| job.id.clone());
        simulation::interrupt(u64::from(after), move || {
            let found = carry_out(&graph, &does, id.as_deref());
            let found = found.unwrap_or_else(|e: Error| Found::Refused((&e).into()));
            done.replace(Some(found));
        });
        self.intruder = Some(Intruder {
            name,
            call: call.clone(),
            target,
            found: found.clone(),
        });
        match kind % 8 {
            0 => self.background(Step::Index),
            1 => self.background(Step::Expire),
            2..=3 => self.archive(),
            _ => self.pack(),
        }?;
        let has_come = found.borrow().is_some();
        Ok(has_come)
    }

    /// Returns the operation of the caller if it ran during this step: its effect, and the reason
    /// if it failed.
    pub fn intruded(&mut self, due: &[(Name, Due)]) -> Result<Option<Intruded>, Finding> {
        let Some(intruder) = self.intruder.take() else {
            return Ok(None);
        };
        // The interrupt is still pending if there was no file operation at which the caller would
        // not have blocked.
        let _has_not_come = simulation::end_interrupt();
        let Some(found) = intruder.found.replace(None) else {
            return Ok(None);
        };
        let (name, now) = (intruder.name, self.now());
        let what = format!("{:?} within a step", intruder.call);
        let may = due.iter().find(|(of, _)| *of == name);
        let may = may.map_or(&[][..], |(_, due)| &due.may);
        let is_read = matches!(intruder.call, Call::List | Call::JobById);
        let effect = match (&intruder.call, intruder.target, &found) {
            (Call::Submit(content), _, found) => {
                let id = match found {
                    Found::Submitted(id) => Some(rc(id)),
                    _ => None,
                };
                let job = Job::new(id, *content, now, self.setup.secrets);
                Some(Effect::Submit(name, vec![job]))
            }
            (Call::Start, Some((sequence, _)), _) => Some(Effect::Start(name, sequence)),
            (Call::Cancel, Some((sequence, _)), _) => {
                let outcome = OutcomeFact::plain(OutcomeKind::Cancelled, None);
                Some(Effect::Complete(name, sequence, outcome, now))
            }
            (_, Some((sequence, job)), Found::Job(seen)) => {
                let differs = seen.as_ref().map(|seen| seen.differs(sequence, &job));
                match differs {
                    Some(None) => None,
                    differs => return Err(format!("{what}: {differs:?}")),
                }
            }
            (_, _, Found::Listed(seen, json)) => {
                self.check_listed(name, seen, json, may)
                    .map_err(|e| format!("{what}: {e}"))?;
                None
            }
            _ => None,
        };
        // The result has been checked, or is an effect.
        intruder.found.replace(Some(Found::Done));
        match (found, effect) {
            (Found::Refused(refusal), None) if is_read => {
                if !self.has_index_fault() {
                    self.excuse_as(&what, &refusal)?;
                }
                Ok(None)
            }
            (Found::Refused(refusal), Some(effect)) => Ok(Some(Intruded {
                what,
                effect,
                refusal: Some(refusal),
            })),
            (_, Some(effect)) => Ok(Some(Intruded {
                what,
                effect,
                refusal: None,
            })),
            (_, None) => Ok(None),
        }
    }

    /// Checks that all jobs are listed, except for some that the step may purge.
    fn check_listed(
        &self,
        name: Name,
        seen: &[Seen],
        json: &[u8],
        may: &[u64],
    ) -> Result<(), Finding> {
        let jobs = &self.model.graphs[&name].jobs;
        let mut shown = Vec::new();
        for seen in seen {
            match jobs.get(&seen.sequence) {
                None => return Err(format!("job {} is listed", seen.sequence)),
                Some(job) => match seen.differs(seen.sequence, job) {
                    Some(what) => return Err(what),
                    None => shown.push((seen.sequence, job)),
                },
            }
        }
        let is_shown = |s: &u64| shown.binary_search_by_key(s, |(s, _)| *s).is_ok();
        if let Some(lost) = jobs.keys().find(|s| !is_shown(s) && !may.contains(s)) {
            return Err(format!("job {lost} is not listed, although it is not due"));
        }
        match json == document(&shown).as_bytes() {
            true => Ok(()),
            false => Err("the JSON is another".to_owned()),
        }
    }
}

/// The operation of a caller during a step.
pub struct Intruded {
    pub what: String,
    pub effect: Effect,
    /// The reason why the operation failed, if it did.
    pub refusal: Option<Refusal>,
}
