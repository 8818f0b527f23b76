//! The same work on jobstore and on its peers, compared.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml`; `-- --help` has the
//! options. TODO

mod batch;
mod chart;
mod columns;
mod fill;
mod ids;
mod machine;
mod measure;
mod peer;
#[path = "../../common/requests.rs"]
mod requests;
mod row;
mod store;
mod stores;
mod table;
mod work;

use anyhow::Result;
use std::time::Duration;

fn main() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let kinds: Vec<_> = stores::KINDS.iter().collect();
    let filled = fill::Filled::fill(kinds, dir.path(), 4000)?;
    let opens = work::opens(&filled, 1)?;
    let mut columns = columns::Columns::open(&filled)?;
    columns.compare(1000)?;
    let mut rows = work::Work::new(&mut columns, 1, Duration::from_millis(20), 1000).all()?;
    columns.close()?;
    rows.extend([opens, work::bytes(&filled)]);
    println!(
        "{}\n{}",
        table::ratios(&filled.kinds, &rows),
        table::absolute(&filled.kinds, &rows)
    );
    Ok(())
}
