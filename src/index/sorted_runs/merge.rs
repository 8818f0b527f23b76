//! A merged view of several sorted runs.

use super::page::Pair;
use super::run::RunPairs;
use crate::index::Fault;

/// Merges two sorted sequences.
pub(super) struct MergedRuns<'a> {
    pub(super) left: std::iter::Peekable<RunPairs<'a>>,
    pub(super) right: std::iter::Peekable<RunPairs<'a>>,
}

impl Iterator for MergedRuns<'_> {
    type Item = Result<Pair, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let left_first = match (self.left.peek(), self.right.peek()) {
            (Some(Ok(left)), Some(Ok(right))) => left <= right,
            (Some(_), _) => true,
            (None, _) => false,
        };
        if left_first {
            self.left.next()
        } else {
            self.right.next()
        }
    }
}

/// Merges any number of sorted sequences.
pub(super) struct All<'a>(pub(super) Vec<std::iter::Peekable<RunPairs<'a>>>);

impl Iterator for All<'_> {
    type Item = Result<Pair, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut least: Option<(usize, Pair)> = None;
        for (n, pairs) in self.0.iter_mut().enumerate() {
            match pairs.peek() {
                None => {}
                Some(Err(_)) => return pairs.next(),
                Some(Ok(pair)) if least.is_none_or(|(_, found)| *pair < found) => {
                    least = Some((n, *pair));
                }
                Some(Ok(_)) => {}
            }
        }
        self.0[least?.0].next()
    }
}
