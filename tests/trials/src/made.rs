//! Generates requests and outcomes from a number.
//!
//! Contains the data that the workload writes. The same key and seed yield exactly the same request
//! and outcome, so a line need not contain the request or outcome itself.

use jobstore::{Body, Outcome, Request};

use crate::random::Random;

/// Returns a request whose command is its key. Most requests are short, some have a few KiB, and a
/// few are larger than what the store keeps in one piece.
pub fn request(key: &str, seed: u64) -> Request {
    let mut random = Random(seed);
    let bytes = match random.below(400) {
        0..=1 => 260_000 + random.below(40_000),
        2..=20 => 5_000 + random.below(20_000),
        21..=110 => 500 + random.below(4_000),
        _ => 10 + random.below(400),
    };
    let text = text(&mut random, bytes as usize);
    let number = random.any();
    let body = format!(r#"{{"z":{number}.50e0,"text":"{text}","a":[null,"ü\u00fc\"{number}"]}}"#);
    let body = Body::from_json(body).expect("it is JSON");
    Request::new(key, format!("/ges?{number}"), body).expect("a request")
}

/// Returns text that compresses well or not at all.
fn text(random: &mut Random, bytes: usize) -> String {
    if random.one_in(2) {
        let words = "Ein Graph ist alles, was der Fall zwischen Knoten ist. ";
        return words.chars().cycle().take(bytes).collect();
    }
    let mut text = String::with_capacity(bytes + 8);
    while text.len() < bytes {
        let mut bits = random.any();
        for _ in 0..10 {
            text.push(char::from(b'0' + (bits % 64) as u8));
            bits /= 64;
        }
    }
    // The characters from '0' on include a backslash, which would be escaped.
    text.replace('\\', "/")
}

/// Returns an outcome of any kind, with any of its optional parts.
pub fn outcome(seed: u64) -> Outcome {
    let mut random = Random(seed);
    let number = random.below(1_000_000);
    let mut outcome = match random.below(10) {
        0 | 1 => Outcome::failed(format!("GES.{number}"), format!("no vertex {number}")),
        2 | 3 => Outcome::partially_failed(format!("GES.{number}"), "some"),
        4 => Outcome::cancelled(),
        5 => Outcome::interrupted(),
        _ => Outcome::succeeded(),
    };
    if random.one_in(3) {
        let bytes = match random.below(20) {
            0 => 30_000,
            1..=4 => 3_000,
            _ => 30,
        };
        let detail = format!(r#"{{"n":{number},"t":"{}"}}"#, text(&mut random, bytes));
        outcome = outcome.with_detail_json(detail).expect("it is JSON");
    }
    if random.one_in(3) {
        let reference = format!("results/{number}.csv");
        outcome = outcome.with_result_ref(reference).expect("it is short");
    }
    outcome
}
