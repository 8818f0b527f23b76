//! What `benches/run` compares the other languages with.
//!
//! `bench prepare DIR` records 100,000 jobs, `bench page DIR` reads them as one page, and
//! `bench submit DIR` submits requests from 64 threads that do not wait for each one.

use std::hint::black_box;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use jobstore::{Body, Graph, JobQuery, JobStore, Request};

const JOBS: usize = 100_000;
const ROUNDS: usize = 25;
const THREADS: usize = 64;
const BATCHES: usize = 40;
const BATCH: usize = 16;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn request(n: usize) -> Result<Request> {
    let body = format!(
        r#"{{"edgesetPath":"file:///root/ges-install/auDatas/ranking_edge-sp-{n}.csv","vertexsetPath":"file:///root/ges-install/auDatas/movies_vertex_new.csv","schemaPath":"file:///root/ges-install/auDatas/schema_aikv.xml.bak"}}"#
    );
    let url = "/ges/v1.0/10001/graphs/movie/action?action_id=import-graph";
    Ok(Request::new("import_graph", url, Body::from_json(body)?)?)
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, mode, directory] = arguments.as_slice() else {
        return Err("usage: bench prepare|page|submit DIR".into());
    };
    let store = JobStore::open(directory)?;
    let graph = store.get_or_create_graph("10001", "movie")?;
    match mode.as_str() {
        "prepare" => prepare(&graph)?,
        "page" => page(&graph)?,
        "submit" => submit(&store.get_or_create_graph("10001", "submit")?)?,
        other => return Err(format!("unknown mode {other}").into()),
    }
    store.close()?;
    Ok(())
}

fn prepare(graph: &Graph) -> Result<()> {
    for from in (0..JOBS).step_by(1000) {
        let requests: Result<Vec<_>> = (from..from + 1000).map(request).collect();
        graph.submit_all(requests?)?;
    }
    Ok(())
}

/// Counts what is written, like the callbacks of the other languages.
struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The fastest of several rounds, as the noise of a machine only adds time.
fn fastest(mut round: impl FnMut() -> Result<()>) -> Result<Duration> {
    let mut fastest = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        round()?;
        fastest = fastest.min(start.elapsed());
    }
    Ok(fastest)
}

fn page(graph: &Graph) -> Result<()> {
    let page = graph.list(JobQuery::new())?;
    let mut counter = Counter(0);
    let written = fastest(|| Ok(page.write_json(black_box(&mut counter))?))?;
    let mut memory = page.to_json()?;
    let copied = fastest(|| {
        memory.clear();
        Ok(page.write_json(black_box(&mut memory))?)
    })?;
    let made = fastest(|| {
        black_box(page.to_json()?);
        Ok(())
    })?;
    println!("write {}", written.as_micros());
    println!("read {}", copied.as_micros());
    println!("bytes {}", made.as_micros());
    Ok(())
}

fn submit(graph: &Graph) -> Result<()> {
    let start = Instant::now();
    std::thread::scope(|scope| {
        let work = || {
            for _ in 0..BATCHES {
                let requests = (0..BATCH).map(|n| request(n).ok()).collect::<Vec<_>>();
                let requests = requests.into_iter().flatten();
                let writes = requests.map(|r| graph.nonblocking().submit(r));
                for write in writes.collect::<Vec<_>>() {
                    write.wait().ok();
                }
            }
        };
        for _ in 0..THREADS {
            scope.spawn(work);
        }
    });
    let jobs = THREADS * BATCHES * BATCH;
    println!("submit {}", start.elapsed().as_nanos() as usize / jobs);
    Ok(())
}
