//! Pages compared with a copy of the same bytes, and pages by state compared with those of all
//! jobs.

use std::hint::black_box;

use jobstore::{Graph, JobQuery, Page, State};

use crate::common::settings::sized;
use crate::common::stores::{Filled, SCATTERED_ONE_IN, Shape, open_jobs};
use crate::common::table;
use crate::common::turns::{Measured, Spread, in_turns, ratios, spread, timed};

fn page_jobs() -> u64 {
    sized(1_000, 100_000)
}

fn page(graph: &Graph, list: &JobQuery) -> Page {
    graph.list(list.clone()).expect("a page")
}

/// Writes a page's JSON to memory that was already written to.
fn writing<'a>(graph: &'a Graph, list: &'a JobQuery) -> Measured<'a> {
    let mut out = page(graph, list).to_json().expect("JSON");
    Box::new(move || {
        timed(|| {
            out.clear();
            page(graph, list).write_json(&mut out).expect("JSON");
            black_box(&out);
        })
    })
}

fn copying(text: &[u8]) -> Measured<'_> {
    let mut copy = text.to_vec();
    Box::new(move || {
        timed(|| {
            copy.copy_from_slice(black_box(text));
            black_box(&copy);
        })
    })
}

fn ms(times: &[f64]) -> Spread {
    spread(times.iter().copied()).scaled(1e3)
}

pub fn by_offset(jobs: u64, rounds: u64) {
    let finished = Filled::new(Shape::Finished, jobs);
    let (store, graph) = finished.open();
    let size = page_jobs().min(jobs);
    let last = jobs - size;
    let places = [("first", 0), ("middle", last / 2), ("last", last)];
    let lists = places.map(|(_, offset)| JobQuery::new().offset(offset).limit(size));
    let texts = lists.each_ref().map(|list| page(&graph, list).to_json());
    let texts = texts.map(|text| text.expect("JSON"));
    let mut things: Vec<Measured<'_>> = Vec::new();
    for (list, text) in lists.iter().zip(&texts) {
        things.push(writing(&graph, list));
        things.push(copying(text));
    }
    let times = in_turns(rounds, &mut things);
    drop(things);
    println!(
        "\nA page of {size} complete jobs as JSON, `list` and `write_json`, compared with a \
         `memcpy` of the same bytes; both to memory that was already written to.\n"
    );
    table::head(&[
        "page",
        "MB",
        "ms",
        "memcpy, ms",
        "page / memcpy",
        "/ first page",
    ]);
    for (n, ((place, offset), text)) in places.iter().zip(&texts).enumerate() {
        let (page, copy) = (&times[2 * n], &times[2 * n + 1]);
        table::row(&[
            format!("{place}, offset {offset}"),
            format!("{:.1}", text.len() as f64 / 1e6),
            ms(page).to_string(),
            ms(copy).to_string(),
            ratios(page, copy).to_string(),
            ratios(page, &times[0]).to_string(),
        ]);
    }
    store.close().expect("close");
}

pub fn by_state(jobs: u64, rounds: u64) {
    let states = Filled::new(Shape::States, jobs);
    let (store, graph) = states.open();
    let scattered = jobs / SCATTERED_ONE_IN;
    let pending = || JobQuery::new().state(State::Pending);
    let kinds = [
        ("all states", JobQuery::new(), page_jobs().min(jobs)),
        (
            "pending, adjacent",
            pending().offset(scattered),
            page_jobs().min(open_jobs(jobs)),
        ),
        (
            "pending, one in a hundred",
            pending(),
            scattered.min(10_000),
        ),
    ];
    let lists = kinds.map(|(what, list, size)| (what, list.limit(size), size));
    let mut things: Vec<Measured<'_>> = lists
        .iter()
        .map(|(_, list, _)| writing(&graph, list))
        .collect();
    let times = in_turns(rounds, &mut things);
    drop(things);
    println!(
        "\nA page by state as JSON, compared with one of all states, per job shown. One job in a \
         hundred is pending, and so are the last {}.\n",
        open_jobs(jobs)
    );
    table::head(&["page", "jobs", "ms", "us per job", "/ all states"]);
    let each = |n: usize| -> Vec<f64> {
        let size = lists[n].2 as f64;
        times[n].iter().map(|time| time / size).collect()
    };
    for (n, (what, _, size)) in lists.iter().enumerate() {
        let us = spread(each(n)).scaled(1e6);
        table::row(&[
            (*what).to_owned(),
            size.to_string(),
            ms(&times[n]).to_string(),
            format!("{us:.3}"),
            ratios(&each(n), &each(0)).to_string(),
        ]);
    }
    store.close().expect("close");
}
