// The filter of a list, apart from the states.

use crate::model::outcome::OutcomeKind;
use crate::model::request_filter::RequestFilter;

/// The filter of a list, apart from the states.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct JobFilter {
    /// A bit for each kind of outcome, as stored; 0 matches any.
    pub(crate) outcomes: u8,
    pub(crate) texts: RequestFilter,
    pub(crate) submitted: Span,
    pub(crate) started: Span,
    pub(crate) completed: Span,
}

/// A range of times in milliseconds since 1970: from the first, inclusive, to the second,
/// exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: Option<u64>,
    pub(crate) to: Option<u64>,
}

impl Span {
    pub(crate) fn is_any(&self) -> bool {
        *self == Span::default()
    }

    /// Whether the range ends before it begins.
    pub(crate) fn is_reversed(&self) -> bool {
        matches!((self.from, self.to), (Some(from), Some(to)) if to < from)
    }

    pub(crate) fn has(&self, ms: u64) -> bool {
        self.from.is_none_or(|from| from <= ms) && self.to.is_none_or(|to| ms < to)
    }

    /// Whether the range contains any of the times from `first` to `last`.
    pub(crate) fn meets(&self, first: u64, last: u64) -> bool {
        self.from.is_none_or(|from| from <= last) && self.to.is_none_or(|to| first < to)
    }

    /// Whether the range contains all of the times from `first` to `last`.
    pub(crate) fn holds(&self, first: u64, last: u64) -> bool {
        self.has(first) && self.has(last)
    }
}

/// The bit of a kind of outcome, as stored; 0 for an unknown kind.
pub(crate) fn outcome_bit(kind: u8) -> u8 {
    1_u8.checked_shl(kind.into()).unwrap_or(0)
}

impl JobFilter {
    /// Whether the filter matches every job.
    pub(crate) fn is_any(&self) -> bool {
        *self == JobFilter::default()
    }

    pub(crate) fn add_outcome(&mut self, kind: OutcomeKind) {
        self.outcomes |= outcome_bit(kind.to_stored());
    }

    /// The filter as bytes, for a checksum. Equal filters have equal bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.outcomes];
        for span in [self.submitted, self.started, self.completed] {
            for end in [span.from, span.to] {
                bytes.push(u8::from(end.is_some()));
                bytes.extend_from_slice(&end.unwrap_or_default().to_le_bytes());
            }
        }
        self.texts.put_bytes(&mut bytes);
        bytes
    }
}
