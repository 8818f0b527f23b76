//! Changes to the details of a graph's jobs that are not in the index yet.
//!
//! If a store contains many graphs with few changes each, memory is used only for the changes, not
//! for tables with spare capacity.

use std::collections::HashMap;

use crate::index::rows::Detail;

/// Up to this many changes are kept in a list; more are kept in a map.
const FEW: usize = 8;

/// Changes by job; later changes of a job are merged into earlier ones.
#[derive(Default)]
pub(crate) struct DetailChanges {
    /// All changes while there are few, in no particular order; empty once there are many.
    few: Vec<(u64, Detail)>,
    /// All changes, once there are more than a few.
    #[expect(
        clippy::box_collection,
        reason = "a table takes six words in each graph"
    )]
    many: Option<Box<HashMap<u64, Detail>>>,
}

impl DetailChanges {
    pub(crate) fn len(&self) -> usize {
        self.few.len() + self.many.as_ref().map_or(0, |many| many.len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn place(&self, sequence: u64) -> Option<usize> {
        self.few.iter().position(|known| known.0 == sequence)
    }

    pub(crate) fn get(&self, sequence: u64) -> Option<&Detail> {
        match &self.many {
            Some(many) => many.get(&sequence),
            None => self.place(sequence).map(|n| &self.few[n].1),
        }
    }

    /// The change of a job, into which the caller merges further facts.
    pub(crate) fn of(&mut self, sequence: u64) -> &mut Detail {
        let place = match self.many {
            Some(_) => None,
            None => self.place(sequence),
        };
        if self.many.is_none() && place.is_none() && self.few.len() == FEW {
            self.many = Some(Box::new(
                std::mem::take(&mut self.few).into_iter().collect(),
            ));
        }
        if let Some(many) = &mut self.many {
            return many.entry(sequence).or_default();
        }
        let n = place.unwrap_or_else(|| {
            if self.few.is_empty() {
                // Most graphs have only one change.
                self.few.reserve_exact(1);
            }
            self.few.push((sequence, Detail::default()));
            self.few.len() - 1
        });
        &mut self.few[n].1
    }

    pub(crate) fn remove(&mut self, sequence: u64) {
        if let Some(many) = &mut self.many {
            many.remove(&sequence);
        } else if let Some(n) = self.place(sequence) {
            self.few.swap_remove(n);
        }
    }

    /// Removes all changes, but keeps the allocated memory.
    pub(crate) fn clear(&mut self) {
        self.few.clear();
        if let Some(many) = &mut self.many {
            many.clear();
        }
    }

    pub(crate) fn retain(&mut self, mut is_kept: impl FnMut(u64, &Detail) -> bool) {
        self.few
            .retain(|(sequence, detail)| is_kept(*sequence, detail));
        if let Some(many) = &mut self.many {
            many.retain(|sequence, detail| is_kept(*sequence, detail));
        }
    }

    /// Returns the changes in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Detail)> {
        let few = self
            .few
            .iter()
            .map(|(sequence, detail)| (*sequence, detail));
        let many = self.many.iter().flat_map(|many| many.iter());
        few.chain(many.map(|(sequence, detail)| (*sequence, detail)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn started(at_ms: u64) -> Detail {
        Detail {
            started_ms: Some(at_ms),
            ..Detail::default()
        }
    }

    proptest! {
        #[test]
        fn changes_are_those_of_a_plain_map(
            acts in proptest::collection::vec((0u8..8, 0u64..24, 1u64..1000), 0..200),
        ) {
            let (mut changes, mut plain) = (DetailChanges::default(), HashMap::new());
            for (act, sequence, at_ms) in acts {
                match act {
                    0 | 1 => {
                        changes.remove(sequence);
                        plain.remove(&sequence);
                    }
                    2 if at_ms < 50 => {
                        changes.clear();
                        plain.clear();
                    }
                    2 => {
                        changes.retain(|known, detail| known > sequence || *detail != started(at_ms));
                        plain.retain(|known, detail| *known > sequence || *detail != started(at_ms));
                    }
                    _ => {
                        *changes.of(sequence) = started(at_ms);
                        plain.insert(sequence, started(at_ms));
                    }
                }
                prop_assert_eq!(changes.len(), plain.len());
                prop_assert_eq!(changes.is_empty(), plain.is_empty());
                prop_assert_eq!(changes.get(sequence), plain.get(&sequence));
                let all: HashMap<u64, Detail> = changes.iter().map(|(s, d)| (s, *d)).collect();
                prop_assert_eq!(&all, &plain);
            }
        }
    }
}
