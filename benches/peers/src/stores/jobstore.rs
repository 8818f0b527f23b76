//! jobstore itself: a write is one call, and a commit is one `fdatasync` of its log for all
//! concurrent callers, which the store batches by itself.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use jobstore::{Body, Graph, JobStore, Outcome, Request, State};

use crate::requests::Parts;
use crate::row;
use crate::store::{Job, List, Store};

struct Jobstore {
    dir: PathBuf,
    store: JobStore,
    graph: Graph,
}

pub fn open(dir: &Path) -> Result<Box<dyn Store>> {
    let store = JobStore::open(dir)?;
    Ok(Box::new(Jobstore {
        dir: dir.to_owned(),
        graph: store.get_or_create_graph("10001", "movie")?,
        store,
    }))
}

fn request(parts: &Parts) -> Result<Request> {
    let body = Body::from_json(&parts.body)?;
    Ok(Request::new(parts.command, parts.url, body)?)
}

impl Store for Jobstore {
    fn fill(&self, jobs: &mut [Job]) -> Result<()> {
        let requests = jobs.iter().map(|job| request(&job.request));
        let ids = self
            .graph
            .submit_all(requests.collect::<Result<Vec<_>>>()?)?;
        let mut last = None;
        for (job, id) in jobs.iter_mut().zip(ids) {
            job.id = id.to_string();
            match job.state {
                State::Pending => {}
                State::Running => drop(self.graph.nonblocking().start(&id)),
                State::Complete => {
                    // The writes are queued without waiting. Their order is preserved.
                    drop(self.graph.nonblocking().start(&id));
                    last = Some(self.graph.nonblocking().complete(&id, Outcome::succeeded()));
                }
            }
        }
        if let Some(last) = last {
            last.wait()?;
        }
        Ok(())
    }

    /// An idle store has at most the segment being written and a preallocated one, because all
    /// others have been packed.
    fn rest(&self) -> Result<()> {
        for _ in 0..12_000 {
            let mut segments = 0;
            for entry in std::fs::read_dir(&self.dir)? {
                let name = entry?.file_name();
                segments += usize::from(name.to_string_lossy().ends_with(".segment"));
            }
            if segments <= 2 {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("jobstore did not come to rest within ten minutes")
    }

    fn page(&self, list: &List, out: &mut Vec<u8>) -> Result<()> {
        out.clear();
        let mut asked = jobstore::JobQuery::new()
            .offset(list.offset)
            .limit(list.limit);
        if let Some(state) = list.state {
            asked = asked.state(state);
        }
        Ok(self.graph.list(asked)?.write_json(out)?)
    }

    fn count(&self, state: State) -> Result<u64> {
        Ok(self.graph.count(state)?)
    }

    fn job(&self, id: &str, out: &mut Vec<u8>) -> Result<()> {
        out.clear();
        let job = self.graph.job(id)?.context("no job of that id")?;
        let (id, request) = (job.id().as_str(), job.request().as_json());
        row::push(id.as_bytes(), job.state(), request.as_bytes(), out);
        Ok(())
    }

    fn submit(&self, parts: &Parts) -> Result<String> {
        Ok(self.graph.submit(request(parts)?)?.to_string())
    }

    fn submit_all(&self, requests: &[Parts]) -> Result<()> {
        let requests = requests.iter().map(request).collect::<Result<Vec<_>>>()?;
        self.graph.submit_all(requests)?;
        Ok(())
    }

    fn start(&self, id: &str) -> Result<()> {
        Ok(self.graph.start(id)?)
    }

    fn complete(&self, id: &str) -> Result<()> {
        self.graph.complete(id, Outcome::succeeded())?;
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.store.close()?)
    }
}
