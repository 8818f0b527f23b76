//! The texts of a job in documents and lines.
//!
//! Contains the text that follows a job's request. It is built from plain values, without code of
//! the store.

use jobstore::{OutcomeKind, State};

use crate::observed::Seen;
use crate::requests::OutcomeFact;
use crate::secrets::{Keys, masked_detail};

/// Returns a job of the list with details after its request.
pub fn detailed_entry(seen: &Seen, keys: Keys) -> String {
    format!(
        r#"{{"jobId":"{}","status":"{}","request":{}{}{}}}"#,
        seen.id,
        seen.state,
        seen.masked,
        masked_mark(seen),
        members(seen, keys)
    )
}

/// Returns the document that shows the state of one job.
pub fn state_document(seen: &Seen, keys: Keys) -> String {
    let status = match (seen.state, &seen.outcome) {
        (State::Pending, _) => "pending",
        (State::Running, _) => "running",
        (_, Some(outcome)) if outcome.kind == OutcomeKind::Succeeded => "success",
        _ => "failed",
    };
    format!(
        r#"{{"jobId":"{}","status":"{status}"{}}}"#,
        seen.id,
        members(seen, keys)
    )
}

/// Returns the line of a job in an export.
pub fn line(seen: &Seen, keys: Keys) -> String {
    format!(
        r#"{{"jobId":"{}","status":"{}","request":{}{}{}{}{}{}{}}}"#,
        seen.id,
        seen.state,
        seen.masked,
        masked_mark(seen),
        string("origin", seen.origin.as_deref()),
        end(seen, keys),
        number("submittedAt", Some(seen.submitted_ms)),
        number("startedAt", seen.started_ms),
        number("completedAt", seen.completed_ms)
    )
}

/// Like [`line`], with the progress of a running job.
pub fn line_with_progress(seen: &Seen, keys: Keys) -> String {
    let mut line = line(seen, keys);
    if let Some((percent, text)) = &seen.progress {
        line.pop();
        line.push_str(&format!(
            r#","progress":{{"percent":{percent},"text":"{text}"}}}}"#
        ));
    }
    line
}

fn masked_mark(seen: &Seen) -> &'static str {
    match seen.secrets_lost || seen.masked != seen.real {
        true => r#","masked":true"#,
        false => "",
    }
}

fn members(seen: &Seen, keys: Keys) -> String {
    let mut text = string("origin", seen.origin.as_deref());
    text.push_str(&number("submittedAt", Some(seen.submitted_ms)));
    text.push_str(&number("startedAt", seen.started_ms));
    text.push_str(&number("completedAt", seen.completed_ms));
    if let Some((percent, words)) = &seen.progress {
        text.push_str(&number("progress", Some(u64::from(*percent))));
        text.push_str(&string("progressText", Some(words)));
    }
    if let Some(outcome) = &seen.outcome {
        if outcome.kind != OutcomeKind::Succeeded {
            let reason = outcome.message.as_deref().unwrap_or(word(outcome.kind));
            text.push_str(&string("failReason", Some(reason)));
        }
    }
    text + &end(seen, keys)
}

fn end(seen: &Seen, keys: Keys) -> String {
    let mut text = match seen.cancelling {
        true => r#","cancelRequested":true"#.to_owned(),
        false => String::new(),
    };
    if let Some(outcome) = &seen.outcome {
        text.push_str(&outcome_member(outcome, keys));
    }
    text
}

fn outcome_member(outcome: &OutcomeFact, keys: Keys) -> String {
    let detail = outcome.detail.as_ref();
    let detail = detail.map(|detail| format!(r#","detail":{}"#, masked_detail(detail, keys)));
    format!(
        r#","outcome":{{"kind":"{}"{}{}{}{}{}}}"#,
        word(outcome.kind),
        string("code", outcome.code.as_deref()),
        string("message", outcome.message.as_deref()),
        string("resultRef", outcome.result_ref.as_deref()),
        detail.unwrap_or_default(),
        number("recoveredAtOpen", outcome.boot)
    )
}

/// Returns the word for an outcome's kind in JSON.
pub fn word(kind: OutcomeKind) -> &'static str {
    match kind {
        OutcomeKind::Succeeded => "succeeded",
        OutcomeKind::PartiallyFailed => "partially_failed",
        OutcomeKind::Failed => "failed",
        OutcomeKind::Cancelled => "cancelled",
        _ => "interrupted",
    }
}

fn number(name: &str, value: Option<u64>) -> String {
    value.map_or(String::new(), |value| format!(r#","{name}":{value}"#))
}

/// Returns a member of a JSON object. The texts in a life need no escapes.
fn string(name: &str, value: Option<&str>) -> String {
    value.map_or(String::new(), |value| format!(r#","{name}":"{value}""#))
}
