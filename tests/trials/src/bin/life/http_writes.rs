//! HTTP writes in a life, and their expected results.

use jobstore::{Health, JobQuery, OutcomeKind, State};

use crate::http::{API, filter_query, of_graph};
use crate::life::{Life, Ran, Refusal};
use crate::model::{Effect, Name};
use crate::operations::{Look, Pick};
use crate::requests::{End, OutcomeFact};
use crate::texts::word;
use crate::web::{Answer, Ask};

impl Life {
    /// Returns the text of a successful write, or the reason why it failed.
    pub fn written(&mut self, ask: &Ask) -> Result<Result<String, Refusal>, String> {
        let answer: Answer = self.ask(ask)?;
        if answer.status == 200 {
            return Ok(Ok(answer.text()));
        }
        let mut refusal = answer.refusal();
        if refusal.name == "Unavailable" {
            // The API does not report the exact error, but the store's health shows it.
            let is_read_only = matches!(self.store().health(), Health::ReadOnly { .. });
            refusal.name = match (is_read_only, self.failed) {
                (true, false) => "CommitUnknown",
                (true, true) => "ReadOnly",
                (false, _) => "Io",
            }
            .to_owned();
        }
        Ok(Err(refusal))
    }

    pub fn http_cancel(&mut self, pick: Pick) -> Ran {
        let wanted = [State::Pending, State::Running][usize::from(pick) % 2];
        let Some((name, _, sequence, job)) = self.pick_job(pick, wanted) else {
            return Ok(false);
        };
        let Some(id) = job.id.clone() else {
            return Ok(false);
        };
        let (word, effect) = match job.state {
            State::Pending => {
                let cancelled = OutcomeFact::plain(OutcomeKind::Cancelled, None);
                let effect = Effect::Complete(name, sequence, cancelled, self.now());
                ("beforeStart", Some(effect))
            }
            State::Running if job.cancelling => ("requested", None),
            State::Running => ("requested", Some(Effect::CancelRequested(name, sequence))),
            State::Complete => ("alreadyComplete", None),
        };
        let is_api = pick % 3 == 0;
        let (method, path, text) = match is_api {
            true => {
                let path = format!("{}/jobs/{id}", of_graph(API, name));
                ("DELETE", path, "{}".to_owned())
            }
            false => {
                let path = format!("{}/jobs/{id}/cancel", of_graph("/control", name));
                ("POST", path, format!(r#"{{"cancelled":"{word}"}}"#))
            }
        };
        let ask = Ask {
            method,
            path,
            ..Ask::default()
        };
        match (self.written(&ask)?, effect) {
            (Ok(found), effect) if found == text => {
                if let Some(effect) = effect {
                    self.acknowledge(effect);
                }
                Ok(true)
            }
            (Ok(found), _) => Err(format!("{method} {}: {found}, not {text}", ask.path)),
            (Err(refusal), Some(effect)) => self.refused_as("cancel by HTTP", &refusal, effect),
            (Err(refusal), None) => self.excuse_as("cancel by HTTP", &refusal),
        }
    }

    pub fn http_complete(&mut self, pick: Pick, end: End) -> Ran {
        let Some((name, _, sequence, job)) = self.pick_job(pick, State::Running) else {
            return Ok(false);
        };
        let Some(id) = job.id.clone() else {
            return Ok(false);
        };
        // The route accepts neither a detail nor a reference.
        let end = End {
            detail: 0,
            result_ref: false,
            message: end.message % 60,
            ..end
        };
        let outcome = OutcomeFact::of(&end.outcome());
        let mut body = format!(r#"{{"outcome":"{}""#, word(outcome.kind));
        for (key, text) in [("message", &outcome.message), ("code", &outcome.code)] {
            if let Some(text) = text {
                body.push_str(&format!(r#","{key}":"{text}""#));
            }
        }
        body.push('}');
        let may = job.state == State::Running
            || (job.state == State::Pending && outcome.kind == OutcomeKind::Cancelled);
        let text = match &job.outcome {
            Some(known) => format!(r#"{{"completed":false,"outcome":"{}"}}"#, word(known.kind)),
            None => r#"{"completed":true}"#.to_owned(),
        };
        let effect = Effect::Complete(name, sequence, outcome, self.now());
        let ask = Ask {
            method: "POST",
            path: format!("{}/jobs/{id}/complete", of_graph("/control", name)),
            body,
            ..Ask::default()
        };
        match self.written(&ask)? {
            Ok(found) if found == text && (may || job.state == State::Complete) => {
                if may {
                    self.acknowledge(effect);
                }
                Ok(true)
            }
            Ok(found) => Err(format!(
                "POST {}: {found} of a job that is {}",
                ask.path, job.state
            )),
            Err(refusal) if refusal.name == "IllegalTransition" && !may => Ok(true),
            Err(refusal) => self.refused_as("complete by HTTP", &refusal, effect),
        }
    }

    /// Purges through the route of the control socket, or counts the jobs that would be purged.
    pub fn purge_by_http(
        &mut self,
        name: Name,
        look: &Look,
        dry_run: bool,
    ) -> Result<Result<u64, Refusal>, String> {
        let query = filter_query(look, self.clock.right_ms());
        let dry_run = if dry_run { "&dry_run=true" } else { "" };
        let ask = Ask {
            method: "POST",
            path: format!("{}/purge?{query}{dry_run}", of_graph("/control", name)),
            ..Ask::default()
        };
        let jobs = |text: String| {
            let jobs = text.strip_prefix(r#"{"jobs":"#)?.strip_suffix('}')?;
            jobs.parse().ok()
        };
        match self.written(&ask)? {
            Ok(text) => match jobs(text.clone()) {
                Some(jobs) => Ok(Ok(jobs)),
                None => Err(format!("POST {}: {text}", ask.path)),
            },
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// Purges through the library's call.
    pub fn purge_by_call(&self, name: Name, list: JobQuery) -> Result<u64, Refusal> {
        let Some(graph) = self.handle(name) else {
            return Ok(0);
        };
        graph
            .purge(list)
            .map(|done| done.jobs)
            .map_err(|e| (&e).into())
    }
}
