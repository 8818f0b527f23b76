//! The contents of a file, current and durable.
//!
//! Contains [`File`] and its changes. A sync makes a change completely durable. Without a sync,
//! each sector of a change may or may not be present.

use std::collections::HashSet;
use std::sync::Arc;

use crate::random::Random;

/// The unit that a disk writes atomically.
const SECTOR_BYTES: u64 = 512;

/// A change of a file.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Write { at: u64, data: Arc<[u8]> },
    SetLen(u64),
}

impl Change {
    /// Limits the change to the bytes that were written.
    pub(super) fn cut(&mut self, bytes: u64) {
        if let Change::Write { data, .. } = self {
            if (bytes as usize) < data.len() {
                *data = data[..bytes as usize].into();
            }
        }
    }

    pub(super) fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Change::Write { at, data } => write(to, *at, data),
            Change::SetLen(len) => to.resize(*len as usize, 0),
        }
    }

    /// Keeps or loses each sector of the change. If an earlier change of a sector was lost, later
    /// changes of that sector are lost, too.
    fn apply_torn(&self, to: &mut Vec<u8>, lost: &mut HashSet<u64>, random: &mut Random) {
        let Change::Write { at, data } = self else {
            if random.one_in(2) {
                self.apply(to);
            }
            return;
        };
        // Some changes are lost or present as a whole, because these cases would be rare otherwise.
        let how = random.below(4);
        let (mut from, end) = (*at, *at + data.len() as u64);
        while from < end {
            let until = (from / SECTOR_BYTES * SECTOR_BYTES + SECTOR_BYTES).min(end);
            let sector = from / SECTOR_BYTES;
            let is_kept = how == 0 || (how != 1 && random.one_in(2));
            if !is_kept {
                lost.insert(sector);
            }
            if !lost.contains(&sector) {
                let part = &data[(from - at) as usize..(until - at) as usize];
                write(to, from, part);
            }
            from = until;
        }
    }

    /// Returns the parts of the change that are left after a later change was made durable.
    fn without(&self, later: &Change) -> Vec<Change> {
        let (
            Change::Write { at, data },
            Change::Write {
                at: other,
                data: by,
            },
        ) = (self, later)
        else {
            return vec![self.clone()];
        };
        let (end, other_end) = (at + data.len() as u64, other + by.len() as u64);
        let part = |from: u64, until: u64| {
            let data = &data[(from - at) as usize..(until - at) as usize];
            Change::Write {
                at: from,
                data: data.into(),
            }
        };
        let mut left = Vec::new();
        if *at < *other {
            left.push(part(*at, end.min(*other)));
        }
        if end > other_end {
            left.push(part((*at).max(other_end), end));
        }
        left
    }
}

fn write(to: &mut Vec<u8>, at: u64, data: &[u8]) {
    let (from, end) = (at as usize, at as usize + data.len());
    if to.len() < end {
        to.resize(end, 0);
    }
    to[from..end].copy_from_slice(data);
}

/// A file. It shares its content with the images that were made of it.
#[derive(Default)]
pub(super) struct File {
    durable: Arc<Vec<u8>>,
    now: Arc<Vec<u8>>,
    pending: Vec<Change>,
    /// The number of earlier changes, which are durable.
    base: usize,
    /// Changes whose sync failed. They may be present, but no later sync makes them durable.
    doomed: Vec<Change>,
}

impl File {
    pub(super) fn len(&self) -> usize {
        self.now.len()
    }

    pub(super) fn now(&self) -> &Arc<Vec<u8>> {
        &self.now
    }

    pub(super) fn durable(&self) -> &Arc<Vec<u8>> {
        &self.durable
    }

    /// Returns the durable content and any part of the rest.
    pub(super) fn torn(&self, at_work: &[&Change], random: &mut Random) -> Arc<Vec<u8>> {
        if self.doomed.is_empty() && self.pending.is_empty() && at_work.is_empty() {
            return self.durable.clone();
        }
        let (mut bytes, mut lost) = (Vec::clone(&self.durable), HashSet::new());
        for change in self
            .doomed
            .iter()
            .chain(&self.pending)
            .chain(at_work.iter().copied())
        {
            change.apply_torn(&mut bytes, &mut lost, random);
        }
        Arc::new(bytes)
    }

    pub(super) fn change(&mut self, change: Change) {
        change.apply(Arc::make_mut(&mut self.now));
        self.pending.push(change);
    }

    /// Applies those parts of the changes that yield the real content of the file. Returns `false`
    /// if this is impossible and there can be no changes that were not seen.
    pub(super) fn take_parts(&mut self, changes: &[&Change], real: &[u8], others: bool) -> bool {
        let now = &self.now;
        let differs = |&n: &usize| now.get(n) != real.get(n);
        let Some(from) = (0..real.len()).find(differs) else {
            return now.len() == real.len();
        };
        let until = (from..real.len()).rfind(differs);
        let until = until.map_or(from, |last| last + 1);
        let explained = (from..until).all(|n| {
            let of_it = |change: &&Change| match change {
                Change::Write { at, data } => {
                    let place = (n as u64).checked_sub(*at);
                    place.and_then(|place| data.get(place as usize)) == Some(&real[n])
                }
                Change::SetLen(_) => false,
            };
            others || !differs(&n) || changes.iter().any(of_it)
        });
        let data = real[from..until].into();
        let at = from as u64;
        self.change(Change::Write { at, data });
        explained && *self.now == real
    }

    /// The total number of changes.
    pub(super) fn changes(&self) -> usize {
        self.base + self.pending.len()
    }

    pub(super) fn synced(&mut self, changes: usize) {
        let count = changes.saturating_sub(self.base);
        for change in self.pending.drain(..count) {
            change.apply(Arc::make_mut(&mut self.durable));
            let doomed = self.doomed.iter();
            self.doomed = doomed.flat_map(|doomed| doomed.without(&change)).collect();
        }
        self.base += count;
    }

    pub(super) fn sync_failed(&mut self, changes: usize) {
        let count = changes.saturating_sub(self.base);
        self.doomed.extend(self.pending.drain(..count));
        self.base += count;
    }
}
