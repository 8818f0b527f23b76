//! The operations on the store, and how they are generated.
//!
//! Contains the kinds of operations, requests, and outcomes.

use jobstore::{Body, Outcome, Request};
use proptest::prelude::*;

/// The possible names of graphs.
pub const NAMES: [&str; 3] = ["movie", "roads", "プロテイン"];

/// Bodies as given and as returned. The first two are the same JSON value.
pub const BODIES: [(&str, &str); 6] = [
    (r#"{"a": 1, "b": [2, 3]}"#, r#"{"a":1,"b":[2,3]}"#),
    (r#"{"b":[2,3],"a":1}"#, r#"{"b":[2,3],"a":1}"#),
    ("{ }", "{}"),
    ("\n0.00001 ", "0.00001"),
    (
        r#"["a \" b", "\u00e9 é", 123456789012345678901]"#,
        r#"["a \" b","\u00e9 é",123456789012345678901]"#,
    ),
    (r#"{"k":null,"k":[ ]}"#, r#"{"k":null,"k":[]}"#),
];

/// A number that selects one of any number of things.
pub type Pick = u16;

/// The variable parts of a request: a body, and the size of additional text.
#[derive(Clone, Debug)]
pub struct Content {
    pub body: usize,
    pub filler: usize,
}

#[derive(Clone, Debug)]
pub enum Op {
    CreateGraph(usize),
    DropGraph(usize),
    Submit(Pick, Content),
    SubmitAll(Pick, Vec<Content>),
    /// Uses one of a few ids, or that of a job.
    SubmitAs(Pick, Option<u8>, Content),
    Start(Pick),
    Complete(Pick, End),
    Cancel(Pick),
    RunNext(Pick, AfterRun),
    List {
        graph: Pick,
        offset: Pick,
        limit: Pick,
        states: u8,
    },
    PageLimit(Pick, u64),
    /// Continues with the cursor at the end of the last list.
    GoOn,
    JobById(Pick),
    Find(Pick, Content),
    Count(Pick),
    Reopen,
    ReopenAfterDrop,
    LoseIndex,
    Kill,
    /// Goes back at most this many operations, to this fraction of what was written since.
    CrashAt(usize, u16),
}

#[derive(Clone, Debug)]
pub struct End {
    pub kind: u8,
    pub detail: Option<u8>,
    pub result_ref: bool,
}

#[derive(Clone, Debug)]
pub enum AfterRun {
    Complete(End),
    CancelAndComplete,
    Drop,
    Leave,
}

pub fn a_content() -> impl Strategy<Value = Content> {
    let filler = prop_oneof![
        30 => 0usize..200,
        10 => 1000usize..12_000,
        1 => 60_000usize..70_000,
        1 => Just(300_000usize),
    ];
    (0..BODIES.len(), filler).prop_map(|(body, filler)| Content { body, filler })
}

pub fn an_end() -> impl Strategy<Value = End> {
    let parts = (0u8..5, proptest::option::of(0u8..4), any::<bool>());
    parts.prop_map(|(kind, detail, result_ref)| End {
        kind,
        detail,
        result_ref,
    })
}

pub fn an_op() -> impl Strategy<Value = Op> {
    let after_run = prop_oneof![
        an_end().prop_map(AfterRun::Complete),
        Just(AfterRun::CancelAndComplete),
        Just(AfterRun::Drop),
        Just(AfterRun::Leave),
    ];
    let list = (any::<Pick>(), any::<Pick>(), any::<Pick>(), 0u8..8);
    let contents = proptest::collection::vec(a_content(), 0..12);
    prop_oneof![
        3 => (0..NAMES.len()).prop_map(Op::CreateGraph),
        1 => (0..NAMES.len()).prop_map(Op::DropGraph),
        8 => (any::<Pick>(), a_content()).prop_map(|(g, c)| Op::Submit(g, c)),
        8 => (any::<Pick>(), contents).prop_map(|(g, c)| Op::SubmitAll(g, c)),
        6 => (any::<Pick>(), proptest::option::of(0u8..6), a_content())
            .prop_map(|(g, id, c)| Op::SubmitAs(g, id, c)),
        8 => any::<Pick>().prop_map(Op::Start),
        8 => (any::<Pick>(), an_end()).prop_map(|(job, end)| Op::Complete(job, end)),
        6 => any::<Pick>().prop_map(Op::Cancel),
        8 => (any::<Pick>(), after_run).prop_map(|(g, then)| Op::RunNext(g, then)),
        8 => list.prop_map(|(graph, offset, limit, states)| Op::List { graph, offset, limit, states }),
        1 => (any::<Pick>(), prop_oneof![Just(0), Just(100_001), Just(u64::MAX)])
            .prop_map(|(g, limit)| Op::PageLimit(g, limit)),
        4 => Just(Op::GoOn),
        3 => any::<Pick>().prop_map(Op::JobById),
        3 => (any::<Pick>(), a_content()).prop_map(|(g, c)| Op::Find(g, c)),
        2 => any::<Pick>().prop_map(Op::Count),
        2 => Just(Op::Reopen),
        2 => Just(Op::ReopenAfterDrop),
        1 => Just(Op::LoseIndex),
        2 => Just(Op::Kill),
        3 => (1usize..12, any::<u16>()).prop_map(|(back, part)| Op::CrashAt(back, part)),
    ]
}

impl Content {
    /// The request, and its text in a list.
    pub fn request(&self) -> (Request, String) {
        let (given, compact) = BODIES[self.body];
        let text = filler(self.filler);
        let body = Body::from_json(format!(" [ {given}, \"{text}\" ] ")).unwrap();
        let wire =
            format!(r#"{{"command":"a \"b\"","url":"/ges/ü\n?x","body":[{compact},"{text}"]}}"#);
        (Request::new("a \"b\"", "/ges/ü\n?x", body).unwrap(), wire)
    }
}

/// Incompressible text.
pub fn filler(len: usize) -> String {
    let mut random = crate::common::Random(len as u64);
    let digits = b"0123456789abcdefghijklmnopqrstuv";
    (0..len)
        .map(|_| char::from(digits[random.below(32) as usize]))
        .collect()
}

impl End {
    pub fn outcome(&self) -> Outcome {
        let mut outcome = match self.kind {
            0 => Outcome::succeeded(),
            1 => Outcome::partially_failed("GES.1", "some"),
            2 => Outcome::failed("GES.2", "all \u{1F980}"),
            3 => Outcome::cancelled(),
            _ => Outcome::interrupted(),
        };
        if let Some(number) = self.detail {
            let detail = format!("{{ \"edges\" : {number} }}");
            outcome = outcome.with_detail_json(detail).unwrap();
        }
        if self.result_ref {
            outcome = outcome.with_result_ref("s3://bucket/key").unwrap();
        }
        outcome
    }
}
