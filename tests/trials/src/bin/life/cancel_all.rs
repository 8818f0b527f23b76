//! Cancellations of all jobs that match, and their expected results.

use jobstore::{JobQuery, OutcomeKind, State};

use crate::http::{filter_query, of_graph};
use crate::life::{Life, Ran, Refusal};
use crate::model::{Effect, Name};
use crate::observed::read_graph;
use crate::operations::{Look, Pick};
use crate::reads::{expected, list_of};
use crate::requests::OutcomeFact;
use crate::web::Ask;

/// How many jobs are canceled, and how many are asked to stop.
type Counts = (u64, u64);

impl Life {
    /// Counts the jobs that match, cancels them, and compares both with the model.
    pub fn cancel_all(&mut self, pick: Pick, look: &Look, by_http: bool) -> Ran {
        let Some((name, graph)) = self.pick_graph(pick) else {
            return Ok(false);
        };
        let right = self.clock.right_ms();
        // The effects are in the order of the commits.
        let look = Look {
            newest: false,
            ..look.clone()
        };
        let (mut effects, mut due) = (Vec::new(), (0, 0));
        for (sequence, job) in expected(&self.model.graphs[&name], &look, right) {
            match job.state {
                State::Pending => {
                    let cancelled = OutcomeFact::plain(OutcomeKind::Cancelled, None);
                    effects.push(Effect::Complete(name, sequence, cancelled, self.now()));
                    due.0 += 1;
                }
                State::Running if !job.cancelling => {
                    effects.push(Effect::CancelRequested(name, sequence));
                    due.1 += 1;
                }
                _ => {}
            }
        }
        let list = list_of(&look, false, right);
        match graph.cancel_all_dry_run(list.clone()) {
            Ok(would) if (would.cancelled, would.requested) == due => {}
            Ok(would) => return Err(format!("{would:?} would be canceled, not {due:?}")),
            Err(error) => return self.excuse("dry run of cancel_all", &error),
        }
        let done = match by_http {
            true => self.cancel_all_by_http(name, &look)?,
            false => self.cancel_all_by_call(name, list),
        };
        match done {
            Ok(done) if done == due => {
                effects
                    .into_iter()
                    .for_each(|effect| self.acknowledge(effect));
                Ok(true)
            }
            Ok(done) => Err(format!("{done:?} were canceled, not {due:?}")),
            Err(refusal) => self.cancelled_in_part(name, &refusal, effects),
        }
    }

    fn cancel_all_by_call(&self, name: Name, list: JobQuery) -> Result<Counts, Refusal> {
        let Some(graph) = self.handle(name) else {
            return Ok((0, 0));
        };
        let done = graph.cancel_all(list).map_err(|e| Refusal::from(&e))?;
        assert_eq!(done.jobs(), done.cancelled + done.requested);
        Ok((done.cancelled, done.requested))
    }

    fn cancel_all_by_http(
        &mut self,
        name: Name,
        look: &Look,
    ) -> Result<Result<Counts, Refusal>, String> {
        let query = filter_query(look, self.clock.right_ms());
        let ask = Ask {
            method: "POST",
            path: format!("{}/cancel?{query}", of_graph("/control", name)),
            ..Ask::default()
        };
        let text = match self.written(&ask)? {
            Ok(text) => text,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let number = |key: &str| -> Option<u64> {
            let (_, rest) = text.split_once(&format!("\"{key}\":"))?;
            let end = rest.find(|c: char| !c.is_ascii_digit())?;
            rest[..end].parse().ok()
        };
        match (
            number("cancelled"),
            number("requested"),
            number("alreadyComplete"),
        ) {
            (Some(cancelled), Some(requested), Some(0)) => Ok(Ok((cancelled, requested))),
            _ => Err(format!("POST {}: {text}", ask.path)),
        }
    }

    /// Some of the cancellations may have succeeded. What can be seen is durable; the others are in
    /// doubt if the outcome of a commit is unknown.
    fn cancelled_in_part(&mut self, name: Name, refusal: &Refusal, effects: Vec<Effect>) -> Ran {
        if self.disk.is_dead() {
            effects.into_iter().for_each(|effect| self.in_doubt(effect));
            return Ok(true);
        }
        match refusal.name.as_str() {
            "CommitUnknown" if self.is_excused() => self.failed = true,
            "ReadOnly" if self.failed => {}
            _ => drop(self.excuse_as("cancel_all", refusal)?),
        }
        let Some(graph) = self.handle(name) else {
            return Ok(true);
        };
        let seen = match read_graph(&graph) {
            Ok(seen) => seen,
            Err(error) => {
                self.excuse("list", &error)?;
                effects.into_iter().for_each(|effect| self.in_doubt(effect));
                self.is_unreadable = true;
                return Ok(true);
            }
        };
        for effect in effects {
            let is_there = seen.iter().any(|seen| match &effect {
                Effect::Complete(_, sequence, ..) => {
                    seen.sequence == *sequence && seen.state == State::Complete
                }
                Effect::CancelRequested(_, sequence) => {
                    seen.sequence == *sequence && seen.cancelling
                }
                _ => false,
            });
            match (is_there, self.failed) {
                (true, _) => self.acknowledge(effect),
                (false, true) => self.in_doubt(effect),
                (false, false) => {}
            }
        }
        Ok(true)
    }
}
