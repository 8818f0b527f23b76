//! The work that is measured. Each measurement is a row of the tables.
//!
//! Defines the operations, how many times each is repeated, and the stores on which they run. Reads
//! come first, because writes change the filled stores.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use jobstore::State;

use crate::columns::{Column, Columns};
use crate::fill::Filled;
use crate::measure::{in_rotation, over_and_over, seconds};
use crate::requests::{self, Parts, Seeded};
use crate::store::List;

/// The number of gets and small pages in one measurement.
const GETS: u64 = 2000;
const SMALL_PAGES: u64 = 20;
const SMALL_PAGE_JOBS: u64 = 100;
const BULK_JOBS: u64 = 10_000;
/// The number of requests that are built before a measurement. The callers use them in turn.
const REQUESTS: usize = 4096;

#[derive(Clone, Copy, PartialEq)]
pub enum Unit {
    Seconds,
    PerSecond,
    Bytes,
}

pub struct Row {
    pub what: String,
    pub unit: Unit,
    /// The median for each column. `None` for a column without this measurement.
    pub medians: Vec<Option<f64>>,
    /// The heading of the row in the chart, if it is shown there.
    pub chart: Option<String>,
    /// What jobstore does in addition to what the other stores do.
    pub more: Option<&'static str>,
}

/// What jobstore does in addition to what the other stores do.
mod more {
    pub const PAGE: &str =
        "jobstore verifies a checksum of all text that it reads, and decompresses it";
    pub const GET: &str = "jobstore verifies and decompresses the text, and also returns the job's \
                           times and outcome, which it looks up in its index";
    pub const SUBMIT: &str = "jobstore checks that the body is JSON and that its files are still in \
                              their directory, and records the time and a fingerprint of the request";
    pub const LIFE: &str = "the same as for a submit; jobstore also checks each transition, and records \
                            two times and an outcome";
    pub const OPEN: &str = "jobstore verifies the checksums of the part of the log that is not packed, \
                            up to 16 MiB, and restores the states of all jobs";
}

impl Row {
    fn new(what: &str, unit: Unit, medians: Vec<Option<f64>>) -> Row {
        Row {
            what: what.to_owned(),
            unit,
            medians,
            chart: None,
            more: None,
        }
    }
}

pub struct Work<'a> {
    pub columns: &'a mut Columns,
    pub rounds: usize,
    /// How long each measurement of writes takes.
    pub time: Duration,
    pub page_jobs: u64,
    rows: Vec<Row>,
}

impl<'a> Work<'a> {
    pub fn new(columns: &'a mut Columns, rounds: usize, time: Duration, page_jobs: u64) -> Self {
        Work {
            columns,
            rounds,
            time,
            page_jobs,
            rows: Vec::new(),
        }
    }

    pub fn all(mut self) -> Result<Vec<Row>> {
        self.pages()?;
        self.states()?;
        self.gets()?;
        self.submits()?;
        self.lives()?;
        self.bulk()?;
        self.columns.check_counts()?;
        Ok(self.rows)
    }

    fn row(&mut self, what: &str, unit: Unit, medians: Vec<Option<f64>>) -> &mut Row {
        self.rows.push(Row::new(what, unit, medians));
        let last = self.rows.len() - 1;
        &mut self.rows[last]
    }

    /// Measures a read on each store in turn, into existing memory. The first round is ignored, so
    /// that all stores find their pages in memory.
    fn reads(
        &mut self,
        what: &str,
        mut read: impl FnMut(&Column, &mut Vec<u8>) -> Result<Option<f64>>,
    ) -> Result<Vec<Option<f64>>> {
        eprintln!("{what}");
        let (columns, mut out) = (&self.columns.all, Vec::new());
        in_rotation(columns.len(), 0..=self.rounds, |n| {
            let column = &columns[n];
            let value = read(column, &mut out).context(column.kind.name);
            black_box(&out);
            value
        })
    }

    fn pages(&mut self) -> Result<()> {
        let (jobs, page_jobs) = (self.columns.all[0].jobs, self.page_jobs);
        let last = jobs - page_jobs;
        for (name, offset) in [("first", 0), ("middle", last / 2), ("last", last)] {
            let list = all(offset, page_jobs);
            let what = format!("page of {page_jobs}, {name} (offset {offset})");
            let medians = self.reads(&what, |column, out| {
                Ok(Some(seconds(|| column.store.page(&list, out))?))
            })?;
            let row = self.row(&what, Unit::Seconds, medians);
            row.more = Some(more::PAGE);
            if name == "last" {
                row.chart = Some(format!("Page of {page_jobs} jobs, at the end of the list"));
            }
        }
        let list = all(jobs.saturating_sub(SMALL_PAGE_JOBS), SMALL_PAGE_JOBS);
        let what = format!("page of {SMALL_PAGE_JOBS}, last");
        let medians = self.reads(&what, |column, out| {
            let pages = || (0..SMALL_PAGES).try_for_each(|_| column.store.page(&list, out));
            Ok(Some(seconds(pages)? / SMALL_PAGES as f64))
        })?;
        self.row(&what, Unit::Seconds, medians).more = Some(more::PAGE);
        Ok(())
    }

    fn states(&mut self) -> Result<()> {
        let pending = self.columns.all[0].store.count(State::Pending)?;
        let list = List {
            offset: 0,
            limit: self.page_jobs,
            state: Some(State::Pending),
        };
        let what = format!("page of {}, scattered: by state", pending.min(list.limit));
        let medians = self.reads(&what, |column, out| {
            if column.kind.only_pages {
                return Ok(None);
            }
            Ok(Some(seconds(|| column.store.page(&list, out))?))
        })?;
        self.row(&what, Unit::Seconds, medians).more = Some(more::PAGE);
        let what = "count of a state";
        let medians = self.reads(what, |column, _| {
            if column.kind.only_pages {
                return Ok(None);
            }
            let counts = || {
                (0..GETS).try_for_each(|_| {
                    black_box(column.store.count(State::Complete)?);
                    Ok(())
                })
            };
            Ok(Some(seconds(counts)? / GETS as f64))
        })?;
        self.row(what, Unit::Seconds, medians);
        Ok(())
    }

    fn gets(&mut self) -> Result<()> {
        let what = "get by random id";
        let ids = self.columns.ids.clone();
        let (mut measured, columns) = (0, self.columns.all.len() as u64);
        let medians = self.reads(what, |column, out| {
            // All columns of a round get the same ids.
            let mut random = Seeded(measured / columns);
            measured += 1;
            if column.kind.only_pages {
                return Ok(None);
            }
            let gets = || {
                (0..GETS).try_for_each(|_| {
                    let id = &ids[random.below(ids.len() as u64) as usize];
                    column.store.job(id, out)?;
                    black_box(&*out);
                    Ok(())
                })
            };
            Ok(Some(seconds(gets)? / GETS as f64))
        })?;
        let row = self.row(what, Unit::Seconds, medians);
        row.chart = Some("Get by id".to_owned());
        row.more = Some(more::GET);
        Ok(())
    }

    /// Measures a write on each store in turn. Afterward, waits for the background work of the
    /// store, so that this work does not affect another measurement.
    fn writes(
        &mut self,
        what: &str,
        mut write: impl FnMut(&mut Column) -> Result<f64>,
    ) -> Result<Vec<Option<f64>>> {
        eprintln!("{what}");
        let columns = &mut self.columns.all;
        in_rotation(columns.len(), 1..=self.rounds, |n| {
            let column = &mut columns[n];
            if column.kind.only_pages {
                return Ok(None);
            }
            let value = write(column).context(column.kind.name)?;
            column.store.rest().context(column.kind.name)?;
            Ok(Some(value))
        })
    }

    fn submits(&mut self) -> Result<()> {
        let (time, requests) = (self.time, requests(REQUESTS));
        for callers in [1, 8, 64, 256] {
            let what = match callers {
                1 => "submit, one caller".to_owned(),
                _ => format!("submit, {callers} callers"),
            };
            let medians = self.writes(&what, |column| {
                let store = &column.store;
                let (done, seconds) = over_and_over(callers, time, |caller, nth| {
                    store.submit(of_caller(&requests, caller, nth)).map(drop)
                })?;
                column.jobs += done;
                Ok(done as f64 / seconds)
            })?;
            let row = self.row(&what, Unit::PerSecond, medians);
            row.more = Some(more::SUBMIT);
            row.chart = match callers {
                1 => Some("Durable submits, one caller".to_owned()),
                64 => Some("Durable submits, 64 callers".to_owned()),
                _ => None,
            };
        }
        Ok(())
    }

    fn lives(&mut self) -> Result<()> {
        let (time, requests, callers) = (self.time, requests(REQUESTS), 64);
        let what = format!("submit, start and complete, {callers} callers");
        let medians = self.writes(&what, |column| {
            let store = &column.store;
            let (done, seconds) = over_and_over(callers, time, |caller, nth| {
                let id = store.submit(of_caller(&requests, caller, nth))?;
                store.start(&id)?;
                store.complete(&id)
            })?;
            column.jobs += done;
            Ok(done as f64 / seconds)
        })?;
        let row = self.row(&what, Unit::PerSecond, medians);
        row.more = Some(more::LIFE);
        row.chart = Some("Whole lives (submit, start, complete), 64 callers".to_owned());
        Ok(())
    }

    fn bulk(&mut self) -> Result<()> {
        let requests = requests(BULK_JOBS as usize);
        let what = format!("jobs in a bulk submit of {BULK_JOBS}");
        let medians = self.writes(&what, |column| {
            let taken = seconds(|| column.store.submit_all(&requests))?;
            column.jobs += BULK_JOBS;
            Ok(BULK_JOBS as f64 / taken)
        })?;
        let row = self.row(&what, Unit::PerSecond, medians);
        row.more = Some(more::SUBMIT);
        row.chart = Some(format!("Jobs in bulk submits of {BULK_JOBS}"));
        Ok(())
    }
}

/// Returns the disk space after the stores were filled.
pub fn bytes(filled: &Filled) -> Row {
    let bytes = filled.bytes.iter().map(|bytes| bytes.map(|n| n as f64));
    Row::new("disk space after the fill", Unit::Bytes, bytes.collect())
}

/// Opens each store as it was left after it was filled, and gets a job, because some stores do at
/// their first read what others do when they are opened.
pub fn opens(filled: &Filled, rounds: usize) -> Result<Row> {
    let what = "open, and a first get";
    eprintln!("{what}");
    let (id, mut out) = (&filled.ids[filled.ids.len() / 2], Vec::new());
    let medians = in_rotation(filled.kinds.len(), 0..=rounds, |n| {
        let kind = filled.kinds[n];
        if kind.only_pages {
            return Ok(None);
        }
        let start = Instant::now();
        let store = (kind.open)(&filled.dir.join(kind.key)).context(kind.name)?;
        store.job(id, &mut out).context(kind.name)?;
        let taken = start.elapsed().as_secs_f64();
        store.close().context(kind.name)?;
        Ok(Some(taken))
    })?;
    let mut row = Row::new(what, Unit::Seconds, medians);
    row.more = Some(more::OPEN);
    Ok(row)
}

fn all(offset: u64, limit: u64) -> List {
    List {
        offset,
        limit,
        state: None,
    }
}

fn requests(count: usize) -> Vec<Parts> {
    let mut random = Seeded(3);
    (0..count).map(|_| requests::next(&mut random)).collect()
}

/// Returns a caller's `nth` request. Callers begin at different positions.
fn of_caller(requests: &[Parts], caller: usize, nth: usize) -> &Parts {
    &requests[(caller * 61 + nth) % requests.len()]
}
