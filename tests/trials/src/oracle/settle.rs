//! Makes certain what was read from a store.

use std::collections::HashMap;

use jobstore::{Outcome, State};

use super::{End, Graph, Job, Oracle, Seen, SeenGraph};

impl Oracle {
    /// Applies what was read from the store. What is present is now certain, and what is absent is
    /// permanently lost.
    pub fn settle(&mut self, seen: &Seen) {
        self.boot = seen.boot;
        self.told.insert(seen.boot);
        self.calls.clear();
        let there: HashMap<&str, &SeenGraph> = seen
            .graphs
            .iter()
            .map(|graph| (graph.name.as_str(), graph))
            .collect();
        self.graphs
            .retain(|name, _| there.contains_key(name.as_str()));
        for (name, graph) in &mut self.graphs {
            let found = there[name.as_str()];
            graph.settle(found);
        }
    }
}

impl Graph {
    fn settle(&mut self, found: &SeenGraph) {
        (self.claims, self.old_claims) = (0, 0);
        (self.created, self.drop_tried) = (true, false);
        self.number = Some(found.number);
        let mut jobs = HashMap::new();
        self.acknowledged.clear();
        for seen in &found.jobs {
            // The job was compared before, so it is known.
            let Some(job) = self.jobs.remove(&seen.key) else {
                continue;
            };
            self.acknowledged.push(seen.key.clone());
            let settled = Job {
                digest: job.digest,
                id: Some(seen.id.clone()),
                place: job.place,
                batch: job.batch,
                boot: job.boot,
                there: true,
                sequence: Some(seen.sequence),
                started: seen.state == State::Running,
                taken: seen.state == State::Running,
                cancel_tried: seen.cancel_requested,
                cancel_requested: seen.cancel_requested,
                complete: seen.state == State::Complete,
                end: seen.outcome.clone().map(End::Is),
                reported: seen.outcome.as_ref().and_then(Outcome::recovered_at_open),
                ..Job::default()
            };
            jobs.insert(seen.key.clone(), settled);
        }
        self.jobs = jobs;
    }
}
