//! The filters for facts that the index stores: outcome, start, and completion.

use crate::index::rows::Detail;
use crate::model::filter::{JobFilter, Span, outcome_bit};
use crate::model::states::State;

/// Whether a filter needs facts that the index stores.
pub(super) fn asks_details(filter: &JobFilter) -> bool {
    filter.outcomes != 0 || !filter.started.is_any() || !filter.completed.is_any()
}

/// Whether the facts about a job, as of this state, match.
pub(super) fn matches_details(filter: &JobFilter, state: State, detail: &Detail) -> bool {
    let started = detail.started_ms.filter(|_| state != State::Pending);
    let finished = detail.finished.filter(|_| state == State::Complete);
    let is_in = |span: &Span, ms: Option<u64>| match span.is_any() {
        true => true,
        false => ms.is_some_and(|ms| span.has(ms)),
    };
    let outcome = match filter.outcomes {
        0 => true,
        kinds => finished.is_some_and(|end| kinds & outcome_bit(end.kind) != 0),
    };
    outcome
        && is_in(&filter.started, started)
        && is_in(&filter.completed, finished.map(|end| end.at_ms))
}
