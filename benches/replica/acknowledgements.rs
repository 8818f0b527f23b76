//! Acknowledgements, compared with the local sync and with the backend alone.

use std::time::{Duration, Instant};

use jobstore::{Graph, Request};

use crate::common::settings::{self, sized};
use crate::common::table;
use crate::common::turns::{ratios, spread, timed};
use crate::common::work::{Work, requests};
use crate::{Backend, open};

const MANY_CALLERS: usize = 64;
const CHUNK_BYTES: usize = 500;

/// The median time of a call, in milliseconds.
fn median_ms(calls: usize, mut call: impl FnMut()) -> f64 {
    let times = (0..calls).map(|_| timed(&mut call).as_secs_f64() * 1e3);
    spread(times).median
}

/// Requests per second of many callers.
fn rate(graph: &Graph, requests: &[Request], time: Duration) -> f64 {
    let start = Instant::now();
    let submitted: usize = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..MANY_CALLERS)
            .map(|caller| {
                scope.spawn(move || {
                    let mut own = requests.iter().skip(caller).step_by(MANY_CALLERS).cycle();
                    let mut count = 0;
                    while count == 0 || start.elapsed() < time {
                        let request = own.next().expect("enough requests").clone();
                        Work::Submit.carry_out(graph, request);
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        callers
            .into_iter()
            .map(|caller| caller.join().expect("a caller"))
            .sum()
    });
    submitted as f64 / start.elapsed().as_secs_f64()
}

pub fn measure(backends: &[Backend]) {
    let rounds = settings::rounds(5);
    let calls = sized(3, 200);
    let time = sized(Duration::from_millis(20), Duration::from_secs(2));
    let requests = requests(3, 10_000);
    println!("acknowledgements, {rounds} rounds: median (min..max)\n");
    table::head(&[
        "backend",
        "store alone, p50, ms",
        "backend alone, p50, ms",
        "with the replica, p50, ms",
        "of the slower one",
        "64 callers, requests/s",
        "of 64 / backend's latency",
    ]);
    for Backend { name, connect } in backends {
        let dirs = tempfile::tempdir().expect("a temporary directory");
        let (plain_store, plain) = open(&dirs.path().join("plain"), None);
        let (store, graph) = open(&dirs.path().join("replicated"), Some(connect()));
        let backend = connect();
        let (mut alone, mut backend_alone, mut both, mut many) = (vec![], vec![], vec![], vec![]);
        let mut number = 0;
        let chunk = [7; CHUNK_BYTES];
        let mut own = requests.iter().cycle();
        let mut next = || own.next().expect("requests").clone();
        for round in 0..rounds {
            let mut steps = vec![0, 1, 2, 3];
            if round % 2 == 1 {
                steps.reverse();
            }
            for step in steps {
                match step {
                    0 => alone.push(median_ms(calls, || Work::Submit.carry_out(&plain, next()))),
                    1 => backend_alone.push(median_ms(calls, || {
                        number += 1;
                        backend.create(number, &chunk).expect("created");
                    })),
                    2 => both.push(median_ms(calls, || Work::Submit.carry_out(&graph, next()))),
                    _ => many.push(rate(&graph, &requests, time)),
                }
            }
        }
        let slower: Vec<f64> = alone
            .iter()
            .zip(&backend_alone)
            .map(|(a, b)| a.max(*b))
            .collect();
        let ideal: Vec<f64> = slower
            .iter()
            .map(|ms| MANY_CALLERS as f64 / ms * 1e3)
            .collect();
        table::row(&[
            name.clone(),
            format!("{:.3}", spread(alone)),
            format!("{:.3}", spread(backend_alone.clone())),
            format!("{:.3}", spread(both.clone())),
            format!("{:.2}", ratios(&both, &slower)),
            format!("{:.0}", spread(many.clone())),
            format!("{:.2}", ratios(&many, &ideal)),
        ]);
        store.close().expect("close");
        plain_store.close().expect("close");
    }
}
