//! Lists over all graphs, and their expected results.

use jobstore::StoreCursor;

use crate::life::{Life, Ran};
use crate::model::Name;
use crate::observed::{NAMES, PROJECTS, Seen};
use crate::operations::Look;
use crate::reads::{expected, list_of};

impl Life {
    /// Walks a list over all graphs by cursors to its end.
    pub fn walk_all(&mut self, look: &Look) -> Ran {
        let graphs = match self.store().graphs() {
            Ok(graphs) => graphs,
            Err(error) => return self.excuse("list the graphs", &error),
        };
        let names: Vec<Name> = graphs
            .iter()
            .filter_map(|graph| {
                let project = PROJECTS.iter().position(|p| *p == graph.project_id())?;
                let name = NAMES.iter().position(|n| *n == graph.name())?;
                Some((project, name))
            })
            .collect();
        let right = self.clock.right_ms();
        let limit = u64::from(look.limit).clamp(5, 1000);
        let query = list_of(look, false, right).limit(limit);
        let (mut seen, mut after) = (Vec::new(), None::<StoreCursor>);
        loop {
            let page = match self.store().list(&graphs, query.clone(), after.as_ref()) {
                Ok(page) => page,
                Err(error) => return self.excuse("list all graphs", &error),
            };
            for job in &page {
                match job {
                    Ok((graph, job)) => seen.push((graph.number(), Seen::of(&job))),
                    Err(error) => return self.excuse("read a page", &error),
                }
            }
            after = page.next();
            let is_full = page.len() as u64 == limit;
            match (&after, is_full) {
                (None, _) => break,
                (Some(_), true) => {}
                (Some(_), false) => return Err(format!("{look:?}: a short page has a next page")),
            }
        }
        // The keys of a graph are in the order of its list.
        let mut keys = Vec::new();
        for (n, name) in names.iter().enumerate() {
            let mut last_ms = None;
            for (sequence, job) in expected(&self.model.graphs[name], look, right) {
                let at = match last_ms {
                    None => job.submitted_ms,
                    Some(last_ms) if look.newest => job.submitted_ms.min(last_ms),
                    Some(last_ms) => job.submitted_ms.max(last_ms),
                };
                last_ms = Some(at);
                keys.push((at, n, sequence));
            }
        }
        keys.sort_unstable();
        if look.newest {
            keys.reverse();
        }
        if keys.len() != seen.len() {
            return Err(format!("{look:?}: {} jobs, not {}", seen.len(), keys.len()));
        }
        for ((_, n, sequence), (number, seen)) in keys.iter().zip(&seen) {
            let job = &self.model.graphs[&names[*n]].jobs[sequence];
            if graphs[*n].number() != *number {
                return Err(format!("{look:?}: {} is of another graph", seen.id));
            }
            if let Some(what) = seen.differs(*sequence, job) {
                return Err(format!("{look:?}: {what}"));
            }
        }
        Ok(true)
    }
}
