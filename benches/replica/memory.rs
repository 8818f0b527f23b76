//! How much more memory a process uses if its store has a replica.

use std::path::Path;

use crate::common::child;
use crate::common::memory::memory;
use crate::common::settings;
use crate::common::stores::fill;
use crate::common::table;
use crate::common::turns::{spread, turned};
use crate::open;
use crate::real::{connect, fresh, name};

/// Submits and completes all jobs, and prints the memory of this process in MiB.
pub fn work(dir: &Path, url: Option<&str>) {
    let (store, graph) = open(dir, url.map(connect));
    fill(&graph, settings::jobs(), |_| false);
    crate::common::directory::wait_until_packed(dir);
    let memory = memory();
    store.close().expect("close");
    println!("{} {}", memory.now_kib, memory.most_kib);
}

pub fn measure(urls: &[String]) {
    if urls.is_empty() {
        println!("\nmemory: not measured, because a backend in memory would be part of it");
        return;
    }
    let (rounds, jobs) = (settings::rounds(3), settings::jobs());
    println!("\nresident memory of a process that adds {jobs} jobs, MiB, {rounds} rounds\n");
    table::head(&[
        "backend",
        "afterwards",
        "beyond a plain store",
        "peak",
        "beyond a plain store",
    ]);
    let mut figures = vec![Vec::new(); urls.len() + 1];
    for round in 0..rounds {
        for n in turned(round, figures.len()) {
            let url = n.checked_sub(1).map(|n| fresh(&urls[n]));
            let dir = tempfile::tempdir().expect("a temporary directory");
            let mut role = vec!["memory", dir.path().to_str().expect("UTF-8")];
            role.extend(url.as_deref());
            let output = child::output(&role);
            let (now, most) = output.trim_end().split_once(' ').expect("two numbers");
            let mib = |kib: &str| kib.parse::<f64>().expect("a number") / 1024.0;
            figures[n].push((mib(now), mib(most)));
        }
    }
    let plain = figures[0].clone();
    for (n, figures) in figures.iter().enumerate() {
        let name = n
            .checked_sub(1)
            .map_or("none".to_owned(), |n| name(&urls[n]));
        let pairs = || figures.iter().zip(&plain);
        table::row(&[
            name,
            spread(figures.iter().map(|figure| figure.0)).to_string(),
            spread(pairs().map(|(own, plain)| own.0 - plain.0)).to_string(),
            spread(figures.iter().map(|figure| figure.1)).to_string(),
            spread(pairs().map(|(own, plain)| own.1 - plain.1)).to_string(),
        ]);
    }
}
