//! Prints how long appends take. Run it alone, with `--release`.

use std::time::Instant;

use jobstore::replica::{Created, Replica};

use crate::cluster::{Cluster, bytes};

#[test]
#[ignore = "needs etcd"]
fn appends_one_after_the_other() {
    let cluster = Cluster::three();
    let log = cluster.replica("jobs");
    let mut number = 0;
    for (len, count) in [(500, 1000), (40 << 10, 500), (1 << 20, 50)] {
        let mut times = Vec::new();
        for _ in 0..count {
            number += 1;
            let chunk = bytes(number, len);
            let start = Instant::now();
            assert_eq!(log.create(number, &chunk), Ok(Created::Done));
            times.push(start.elapsed());
        }
        times.sort();
        let (p50, p99) = (times[count / 2], times[count * 99 / 100]);
        println!("{len} bytes, {count} appends: p50 {p50:?}, p99 {p99:?}");
    }
}
