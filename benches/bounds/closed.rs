//! The cost of reading a closed store, as the CLI does.

use std::path::Path;

use jobstore::{JobQuery, JobStore};

use crate::common::child;
use crate::common::directory::wait_until_packed;
use crate::common::requests::Seeded;
use crate::common::settings::{rounds, sized};
use crate::common::took::took;
use crate::common::turns::spread;
use crate::process::resident_mib;
use crate::{jobs, row};

pub fn measure() {
    let count = sized(5_000, 1_000_000);
    let root = tempfile::tempdir().expect("a temporary directory");
    let dir = root.path().join("store");
    let store = JobStore::open(&dir).expect("open");
    jobs::complete(&jobs::graph(&store), &mut Seeded(3), count);
    wait_until_packed(&dir);
    store.close().expect("close");
    for what in ["list", "stats", "verify"] {
        let once = |_| child::output(&["read closed", dir.to_str().expect("a path"), what]);
        let lines: Vec<String> = (0..rounds(5)).map(once).collect();
        let of = |n: usize| {
            let number = |line: &String| line.split_whitespace().nth(n)?.parse().ok();
            spread(lines.iter().map(|line| number(line).expect("a number")))
        };
        let figure = format!(
            "processor {:.0} ms, {:.0} ms, {:.0} MiB",
            of(0),
            of(1),
            of(2)
        );
        row(&format!("{count} jobs, closed: {what}"), figure, "");
    }
}

/// Runs in a child process: reads a closed store.
pub fn read(dir: &Path, what: &str) {
    let open = || JobStore::options().read_only(true).open(dir).expect("open");
    let (_, took) = took(|| match what {
        "list" => drop(
            jobs::graph(&open())
                .list(JobQuery::new().limit(100))
                .expect("a page"),
        ),
        "stats" => drop(open().stats().expect("statistics")),
        _ => assert!(JobStore::verify(dir).expect("verify").is_sound()),
    });
    let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3;
    println!("{} {} {}", ms(took.cpu), ms(took.wall), resident_mib());
}
