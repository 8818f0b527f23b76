//! The typical work of an engine with a store: requests, and the life cycles of their jobs.

use jobstore::{Body, Graph, Outcome, Request};

use super::requests::{self, Parts, Seeded};

pub const PROJECT: &str = "10001";

/// Returns the next request.
pub fn request(random: &mut Seeded) -> Request {
    made_of(&requests::next(random))
}

/// Returns a request as an engine builds it from a client's request.
pub fn made_of(parts: &Parts) -> Request {
    let body = Body::from_json(&parts.body).expect("JSON");
    Request::new(parts.command, parts.url, body).expect("a request")
}

/// Returns requests that are built in advance, so that building them is not measured.
pub fn requests(seed: u64, count: usize) -> Vec<Request> {
    let mut random = Seeded(seed);
    (0..count).map(|_| request(&mut random)).collect()
}

/// The operations of a caller for a request. Each one is durable before the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Submit,
    LifeCycle,
}

impl Work {
    pub fn carry_out(self, graph: &Graph, request: Request) {
        let id = graph.submit(request).expect("submit");
        if self == Work::LifeCycle {
            graph.start(&id).expect("start");
            graph.complete(&id, Outcome::succeeded()).expect("complete");
        }
    }

    pub async fn carry_out_queued(self, graph: &Graph, request: Request) {
        let id = graph.nonblocking().submit(request).await.expect("submit");
        if self == Work::LifeCycle {
            graph.nonblocking().start(&id).await.expect("start");
            let completed = graph.nonblocking().complete(&id, Outcome::succeeded());
            completed.await.expect("complete");
        }
    }
}

/// Returns the external id for an engine's `n`-th request.
pub fn foreign_id(n: u64) -> String {
    format!("request-{n:012}")
}
