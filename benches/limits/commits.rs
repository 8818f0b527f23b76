//! Commits, compared with writes and syncs of exactly the frames that the commits wrote.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use jobstore::{Graph, Request};

use crate::common::callers::Callers;
use crate::common::directory::Frames;
use crate::common::quiet::{self, Quiet};
use crate::common::settings::{is_test, sized};
use crate::common::table;
use crate::common::turns::{ratios, spread, timed, turned};
use crate::common::work::{Work, requests};

/// The maximum number of requests in a run. What a run writes must fit into half a segment.
const REQUESTS_MAX: u64 = 60_000;
/// The store creates its segments in steps of this size.
const ZERO_STEP_BYTES: u64 = 512 << 10;

pub fn measure(rounds: u64) {
    let quiet = Quiet::new();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let plain = Plain::new(&dir.path().join("plain"));
    let mut cases = cases(&quiet.graph);
    for round in 0..rounds {
        for n in turned(round, cases.len()) {
            cases[n].measure(&quiet, &plain);
        }
    }
    println!(
        "\nDurable writes, compared with their frames: rewritten by one thread at the same \
         offsets of a file of zeros, with an `fdatasync` after each. Nothing is packed meanwhile. \
         1.00 is the speed at which the disk accepts these frames.\n"
    );
    table::head(&[
        "writes",
        "requests per second",
        "requests per frame",
        "frames per second, plain file",
        "plain file's time / store's",
    ]);
    for case in cases {
        let requests = case.requests as f64;
        let rate = spread(case.store.iter().map(|time| requests / time));
        let group = spread(case.frames.iter().map(|frames| requests / frames));
        let syncs = case.frames.iter().zip(&case.plain);
        let syncs = spread(syncs.map(|(frames, time)| frames / time));
        table::row(&[
            case.name,
            format!("{rate:.0}"),
            format!("{group:.1}"),
            format!("{syncs:.0}"),
            ratios(&case.plain, &case.store).to_string(),
        ]);
    }
    quiet.store.close().expect("close");
}

/// A number of callers and their work, with the measurements by round.
struct Case {
    name: String,
    callers: Callers,
    calls_each: u64,
    /// The number of requests in one run.
    requests: u64,
    store: Vec<f64>,
    plain: Vec<f64>,
    frames: Vec<f64>,
}

fn cases(graph: &Graph) -> Vec<Case> {
    let bulk = requests(2, sized(100, 10_000));
    let single = |work: Work| {
        let (graph, requests) = (graph.clone(), bulk.clone());
        move |n: u64| {
            let request = &requests[n as usize % requests.len()];
            work.carry_out(&graph, request.clone());
        }
    };
    let mut cases: Vec<Case> = [1, 8, 64, 256]
        .map(|callers| {
            let name = format!("submit, callers: {callers}");
            Case::new(name, callers, 1, single(Work::Submit))
        })
        .into();
    let name = "submit, start, complete, callers: 64".to_owned();
    cases.push(Case::new(name, 64, 1, single(Work::LifeCycle)));
    let requests = bulk.len() as u64;
    let (pending, sent) = (graph.clone(), bulk.clone());
    let submit_pending = move |_| {
        let submit = |request: &Request| pending.nonblocking().submit(request.clone());
        let writes: Vec<_> = sent.iter().map(submit).collect();
        for write in writes {
            write.wait().expect("submit");
        }
    };
    let name = format!("submit by one caller, {requests} pending");
    cases.push(Case::new(name, 1, requests, submit_pending));
    let graph = graph.clone();
    let submit_all = move |_| {
        let submitted = graph.submit_all(bulk.iter().cloned());
        submitted.expect("submit_all");
    };
    let name = format!("submit_all of {requests}");
    cases.push(Case::new(name, 1, requests, submit_all));
    cases
}

impl Case {
    fn new(
        name: String,
        callers: u64,
        requests_a_call: u64,
        call: impl Fn(u64) + Send + Sync + 'static,
    ) -> Case {
        let threads = Callers::new(callers, call);
        let calls_each = match is_test() {
            true => 1,
            false => threads.calls_for(Duration::from_secs(1)),
        };
        let most = REQUESTS_MAX / (callers * requests_a_call);
        let calls_each = calls_each.min(most);
        Case {
            name,
            callers: threads,
            calls_each,
            requests: calls_each * callers * requests_a_call,
            store: Vec::new(),
            plain: Vec::new(),
            frames: Vec::new(),
        }
    }

    fn measure(&mut self, quiet: &Quiet, plain: &Plain) {
        quiet.make_room(quiet::segment_bytes() / 2);
        let mark = quiet.mark();
        let took = self.callers.run(self.calls_each);
        let frames = quiet.frames_since(&mark);
        self.store.push(took.as_secs_f64());
        self.plain.push(plain.write(&frames).as_secs_f64());
        self.frames.push(frames.lens.len() as f64);
    }
}

/// A file that was created in the same way as a segment.
struct Plain(File);

impl Plain {
    fn new(path: &Path) -> Plain {
        let file = File::create_new(path).expect("a file");
        let zeros = vec![0; ZERO_STEP_BYTES as usize];
        for at in (0..quiet::segment_bytes()).step_by(zeros.len()) {
            file.write_all_at(&zeros, at).expect("write");
            file.sync_data().expect("sync");
        }
        Plain(file)
    }

    /// Writes frames to their original offsets. Each frame is durable before the next is written.
    fn write(&self, frames: &Frames) -> Duration {
        timed(|| {
            let (mut at, mut rest) = (frames.at, &frames.bytes[..]);
            for &len in &frames.lens {
                let (frame, after) = rest.split_at(len);
                self.0.write_all_at(frame, at).expect("write");
                self.0.sync_data().expect("sync");
                (at, rest) = (at + len as u64, after);
            }
        })
    }
}
