//! The states of a graph's jobs, two bits each: the index of the list.
//!
//! Owns: counts by state and the way from an offset to a job. Must not know:
//! requests, times, what becomes of a [`Selection`].
//! Promise: a page costs what it returns, not what lies before it: totals are
//! kept, and the n-th match is found by counts over chunks, then words.

mod selection;

use std::ops::Range;

use self::selection::SelectedWord;
pub(crate) use self::selection::Selection;

use crate::engine::state::gone::Gone;
use crate::index::rows::DETAIL_JOBS;
use crate::model::states::{State, States, code, state_of};

/// Jobs whose states share a word.
pub(crate) const WORD_JOBS: u64 = 32;
/// Words in a chunk.
const CHUNK_WORDS: usize = 128;
/// Jobs whose states share a chunk, the unit that is counted and saved.
pub(crate) const CHUNK_JOBS: u64 = WORD_JOBS * CHUNK_WORDS as u64;
/// Rows of details whose hashes share a status row.
pub(crate) const CHUNK_ROWS: u64 = CHUNK_JOBS / DETAIL_JOBS;

const EVERY_LOW_BIT: u64 = 0x5555_5555_5555_5555;
/// A word of complete jobs only.
const ALL_COMPLETE: u64 = EVERY_LOW_BIT << 1;

/// The code of jobs that are listed no more.
const GONE: u64 = 3;
/// In front of a saved chunk whose jobs are all gone: no words follow.
const ALL_GONE: u16 = 1 << 15;

/// A row that says more jobs are gone is taken for a damaged one: its memory would not be
/// bounded.
const RESTORED_JOBS_MAX: u64 = 1 << 34;

/// A bit for each job of the word that is in one of these states.
fn matches(states: States, word: u64) -> u32 {
    let mut found = 0;
    for code in 0..3u64 {
        if states.bits() & (1 << code) != 0 {
            let differs = word ^ (EVERY_LOW_BIT * code);
            found |= !(differs | (differs >> 1)) & EVERY_LOW_BIT;
        }
    }
    gather(found)
}

fn count(states: States, counts: &[u32; 4]) -> u64 {
    (0..3)
        .filter(|code| states.bits() & (1 << code) != 0)
        .map(|code| u64::from(counts[code]))
        .sum()
}

/// The even bits of a word, next to each other.
fn gather(mut x: u64) -> u32 {
    x &= EVERY_LOW_BIT;
    x = (x | (x >> 1)) & 0x3333_3333_3333_3333;
    x = (x | (x >> 2)) & 0x0f0f_0f0f_0f0f_0f0f;
    x = (x | (x >> 4)) & 0x00ff_00ff_00ff_00ff;
    x = (x | (x >> 8)) & 0x0000_ffff_0000_ffff;
    (x | (x >> 16)) as u32
}

#[derive(Clone)]
struct Chunk {
    /// As many as its jobs need; none once all of them are gone.
    words: Option<Vec<u64>>,
    counts: [u32; 4],
    /// Changed since it was last saved.
    dirty: bool,
}

impl Chunk {
    fn empty() -> Chunk {
        Chunk {
            words: Some(Vec::new()),
            counts: [0; 4],
            dirty: false,
        }
    }

    /// A full chunk of jobs that are gone.
    fn all_gone() -> Chunk {
        let mut counts = [0; 4];
        counts[GONE as usize] = CHUNK_JOBS as u32;
        Chunk {
            words: None,
            counts,
            dirty: false,
        }
    }

    fn is_gone(&self) -> bool {
        self.words.is_none()
    }

    /// Takes the words of so many jobs from what was saved, and gives what follows.
    fn restore<'a>(&mut self, jobs: u64, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let (saved, rest) = bytes.split_at_checked(jobs.div_ceil(WORD_JOBS) as usize * 8)?;
        let words = self.words.as_mut()?;
        words.reserve_exact(saved.len() / 8);
        words.extend(saved.chunks_exact(8).map(|bytes| {
            let mut eight = [0; 8];
            eight.copy_from_slice(bytes);
            u64::from_le_bytes(eight)
        }));
        // Jobs that are still to come find their place empty.
        let (_, last, shift) = place(jobs - 1);
        if words[last].checked_shr(shift + 2).unwrap_or(0) != 0 {
            return None;
        }
        for job in 0..jobs {
            let (_, word, shift) = place(job);
            self.counts[((words[word] >> shift) & 3) as usize] += 1;
        }
        Some(rest)
    }
}

/// The states of jobs 0..len.
#[derive(Default)]
pub(crate) struct StatusColumn {
    chunks: Vec<Chunk>,
    /// So many of the first ones have no job any more.
    gone: usize,
    len: u64,
    totals: [u64; 4],
    /// The numbers of the dirty chunks.
    dirty: Vec<u32>,
}

/// A chunk as it is saved.
#[derive(Clone)]
pub(crate) struct SavedChunk {
    pub(crate) number: u64,
    pub(crate) jobs: u64,
    pub(crate) bytes: Vec<u8>,
    /// Whether all jobs that it can have are there, and gone.
    pub(crate) is_gone: bool,
}

impl StatusColumn {
    /// A column of so many jobs that are all gone.
    pub(crate) fn all_gone(jobs: u64) -> StatusColumn {
        let mut column = StatusColumn::default();
        column.extend_gone(jobs);
        column
    }

    /// Adds jobs that are gone, up to so many jobs in all.
    pub(crate) fn extend_gone(&mut self, len: u64) {
        while self.len < len {
            if self.len % CHUNK_JOBS == 0 && len - self.len >= CHUNK_JOBS {
                if self.gone == self.chunks.len() {
                    self.gone += 1;
                }
                self.push_chunk(Chunk::all_gone());
                self.touch(self.len);
                self.len += CHUNK_JOBS;
                self.totals[GONE as usize] += CHUNK_JOBS;
            } else {
                let sequence = self.push();
                self.set_gone(sequence);
            }
        }
    }

    /// Takes jobs out of all lists for good.
    pub(crate) fn set_range_gone(&mut self, range: Range<u64>) {
        let (mut at, end) = (range.start, range.end.min(self.len));
        while at < end {
            let chunk = &self.chunks[(at / CHUNK_JOBS) as usize];
            let chunk_end = (at / CHUNK_JOBS + 1) * CHUNK_JOBS;
            if chunk.is_gone() {
                at = chunk_end;
                continue;
            }
            let until = chunk_end.min(end);
            (at..until).for_each(|sequence| self.set_gone(sequence));
            at = until;
        }
    }

    /// Adds a run of saved chunks whose jobs are all gone. `None` when it is not the next
    /// one.
    pub(crate) fn restore_gone(&mut self, number: u64, chunks: u64) -> Option<()> {
        let end = number.checked_add(chunks)?.checked_mul(CHUNK_JOBS)?;
        let fits = number.checked_mul(CHUNK_JOBS) == Some(self.len);
        if !fits || chunks == 0 || end > RESTORED_JOBS_MAX {
            return None;
        }
        let (first, dirty) = (self.chunks.len(), self.dirty.len());
        self.extend_gone(end);
        let restored = self.chunks.iter_mut().skip(first);
        restored.for_each(|chunk| chunk.dirty = false);
        self.dirty.truncate(dirty);
        Some(())
    }

    fn push_chunk(&mut self, chunk: Chunk) {
        if self.chunks.is_empty() {
            // Most graphs are small.
            self.chunks.reserve_exact(1);
        }
        self.chunks.push(chunk);
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn total(&self, states: States) -> u64 {
        (0..3)
            .filter(|code| states.bits() & (1 << code) != 0)
            .map(|code| self.totals[code])
            .sum()
    }

    /// Adds a pending job and returns its number.
    pub(crate) fn push(&mut self) -> u64 {
        let sequence = self.len;
        if sequence % CHUNK_JOBS == 0 {
            self.push_chunk(Chunk::empty());
        }
        self.len += 1;
        self.totals[0] += 1;
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.counts[0] += 1;
            if let (Some(words), 0) = (&mut chunk.words, sequence % WORD_JOBS) {
                words.push(0);
            }
        }
        self.touch(sequence);
        sequence
    }

    pub(crate) fn get(&self, sequence: u64) -> Option<State> {
        if sequence >= self.len {
            return None;
        }
        let (chunk, word, shift) = place(sequence);
        let words = self.chunks[chunk].words.as_ref()?;
        state_of((words[word] >> shift) & 3)
    }

    /// Whether a job with this number was there and is listed no more.
    pub(crate) fn is_gone(&self, sequence: u64) -> bool {
        sequence < self.len && self.get(sequence).is_none()
    }

    /// Changes the state of a job that is there. One that is gone stays so.
    pub(crate) fn set(&mut self, sequence: u64, state: State) {
        self.set_code(sequence, code(state));
    }

    /// Takes a job out of all lists for good; its number stays taken.
    pub(crate) fn set_gone(&mut self, sequence: u64) {
        self.set_code(sequence, GONE);
    }

    fn set_code(&mut self, sequence: u64, new: u64) {
        if sequence >= self.len {
            return;
        }
        let (number, word, shift) = place(sequence);
        let chunk = &mut self.chunks[number];
        let Some(words) = &mut chunk.words else {
            return;
        };
        let old = (words[word] >> shift) & 3;
        if old == GONE {
            return;
        }
        words[word] = (words[word] & !(3 << shift)) | (new << shift);
        let (old, new) = (old as usize, new as usize);
        chunk.counts[old] -= 1;
        chunk.counts[new] += 1;
        if !std::mem::replace(&mut chunk.dirty, true) {
            self.dirty.push(number as u32);
        }
        self.totals[old] -= 1;
        self.totals[new] += 1;
        if u64::from(chunk.counts[GONE as usize]) == CHUNK_JOBS {
            chunk.words = None;
            while self.chunks.get(self.gone).is_some_and(Chunk::is_gone) {
                self.gone += 1;
            }
        }
    }

    /// How many jobs are listed no more.
    pub(crate) fn gone_total(&self) -> u64 {
        self.totals[GONE as usize]
    }

    /// How many jobs of a range are listed no more.
    pub(crate) fn gone_in(&self, range: Range<u64>) -> u64 {
        let (mut at, end, mut gone) = (range.start, range.end.min(self.len), 0);
        while at < end {
            let (n, word, shift) = place(at);
            let chunk = &self.chunks[n];
            let chunk_end = (n as u64 + 1) * CHUNK_JOBS;
            if at % CHUNK_JOBS == 0 && (chunk_end <= end || chunk.is_gone()) {
                gone += u64::from(chunk.counts[GONE as usize]).min(end - at);
                at = chunk_end;
                continue;
            }
            let jobs = (WORD_JOBS - at % WORD_JOBS).min(end - at);
            gone += match &chunk.words {
                None => jobs,
                Some(words) => {
                    // Both bits of a job that is gone are set.
                    let word = words[word] >> shift;
                    let both = word & (word >> 1) & EVERY_LOW_BIT;
                    let kept = both & u64::MAX.checked_shr(64 - 2 * jobs as u32).unwrap_or(0);
                    u64::from(kept.count_ones())
                }
            };
            at += jobs;
        }
        gone
    }

    /// Which jobs of a range are listed no more.
    pub(crate) fn gone(&self, range: Range<u64>) -> Gone {
        let mut words = vec![0; (range.end - range.start).div_ceil(64) as usize];
        for (n, sequence) in range.clone().enumerate() {
            words[n / 64] |= u64::from(self.is_gone(sequence)) << (n % 64);
        }
        Gone {
            first: range.start,
            words,
        }
    }

    /// How many jobs of a chunk are complete.
    pub(crate) fn complete_in_chunk(&self, chunk: usize) -> u64 {
        let chunk = self.chunks.get(chunk);
        chunk.map_or(0, |chunk| u64::from(chunk.counts[2]))
    }

    /// A bit for each job of this word that exists.
    fn existing(&self, first: u64) -> u32 {
        match self.len.saturating_sub(first) {
            n if n >= WORD_JOBS => u32::MAX,
            n => (1u32 << n) - 1,
        }
    }

    /// The jobs in these states from number `from` on: `offset` of them are passed
    /// over, then at most `limit` selected.
    pub(crate) fn select(&self, states: States, from: u64, offset: u64, limit: u64) -> Selection {
        let mut selection = Selection::default();
        let mut skip = offset;
        let first_chunk = ((from / CHUNK_JOBS) as usize).max(self.gone);
        for (n, chunk) in self.chunks.iter().enumerate().skip(first_chunk) {
            let chunk_first = n as u64 * CHUNK_JOBS;
            let in_chunk = count(states, &chunk.counts);
            if in_chunk == 0 || (chunk_first >= from && in_chunk <= skip) {
                skip -= in_chunk.min(skip);
                continue;
            }
            for (w, &word) in chunk
                .words
                .iter()
                .flat_map(|words| words.iter())
                .enumerate()
            {
                let first = chunk_first + w as u64 * WORD_JOBS;
                if first >= self.len || first + WORD_JOBS <= from {
                    continue;
                }
                let mut selected = matches(states, word) & self.existing(first);
                if first < from {
                    selected &= u32::MAX << (from - first);
                }
                let matches = u64::from(selected.count_ones());
                if matches <= skip {
                    skip -= matches;
                    continue;
                }
                for _ in 0..std::mem::take(&mut skip) {
                    selected &= selected - 1;
                }
                let left = limit - selection.len;
                while u64::from(selected.count_ones()) > left {
                    selected ^= 1 << (31 - selected.leading_zeros());
                }
                if selected != 0 {
                    selection.len += u64::from(selected.count_ones());
                    selection.words.push(SelectedWord {
                        first,
                        states: word,
                        selected,
                    });
                }
                if selection.len == limit {
                    return selection;
                }
            }
        }
        selection
    }

    /// The same from the end: of the jobs in these states before number `until`, the
    /// last `offset` are passed over, then at most `limit` selected.
    pub(crate) fn select_back(
        &self,
        states: States,
        until: u64,
        offset: u64,
        limit: u64,
    ) -> Selection {
        let mut words = Vec::new();
        let (mut skip, mut left) = (offset, limit);
        let chunks = self.chunks.iter().enumerate().rev();
        for (n, chunk) in chunks {
            let chunk_first = n as u64 * CHUNK_JOBS;
            let in_chunk = count(states, &chunk.counts);
            let is_before = chunk_first + CHUNK_JOBS <= until;
            if in_chunk == 0 || chunk_first >= until || (is_before && in_chunk <= skip) {
                skip -= if is_before { in_chunk.min(skip) } else { 0 };
                continue;
            }
            let chunk_words = chunk
                .words
                .iter()
                .flat_map(|words| words.iter().enumerate());
            for (w, &word) in chunk_words.rev() {
                let first = chunk_first + w as u64 * WORD_JOBS;
                if first >= self.len || first >= until {
                    continue;
                }
                let mut selected = matches(states, word) & self.existing(first);
                if until - first < WORD_JOBS {
                    selected &= (1 << (until - first)) - 1;
                }
                let matches = u64::from(selected.count_ones());
                if matches <= skip {
                    skip -= matches;
                    continue;
                }
                for _ in 0..std::mem::take(&mut skip) {
                    selected ^= 1 << (31 - selected.leading_zeros());
                }
                while u64::from(selected.count_ones()) > left {
                    selected &= selected - 1;
                }
                if selected != 0 {
                    left -= u64::from(selected.count_ones());
                    words.push(SelectedWord {
                        first,
                        states: word,
                        selected,
                    });
                }
                if left == 0 {
                    break;
                }
            }
            if left == 0 {
                break;
            }
        }
        words.reverse();
        Selection {
            words,
            len: limit - left,
        }
    }

    /// Has the chunk of this job taken again, though its state did not change.
    pub(crate) fn touch(&mut self, sequence: u64) {
        let number = (sequence / CHUNK_JOBS) as usize;
        if let Some(chunk) = self.chunks.get_mut(number) {
            if !std::mem::replace(&mut chunk.dirty, true) {
                self.dirty.push(number as u32);
            }
        }
    }

    /// Whether any chunk has changed since it was last taken.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Takes the chunks that changed since they were last taken.
    pub(crate) fn take_dirty(&mut self) -> Vec<SavedChunk> {
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.sort_unstable();
        let mut taken = Vec::with_capacity(dirty.len());
        for n in dirty {
            let chunk = self.chunks.get_mut(n as usize);
            if let Some(chunk) = chunk {
                chunk.dirty = false;
                let jobs = (self.len - u64::from(n) * CHUNK_JOBS).min(CHUNK_JOBS);
                let used = jobs.div_ceil(WORD_JOBS) as usize;
                let mut bytes = Vec::with_capacity(2 + used * 8);
                let gone = if chunk.is_gone() { ALL_GONE } else { 0 };
                bytes.extend_from_slice(&(jobs as u16 | gone).to_le_bytes());
                for word in chunk.words.iter().flat_map(|words| &words[..used]) {
                    bytes.extend_from_slice(&word.to_le_bytes());
                }
                taken.push(SavedChunk {
                    number: u64::from(n),
                    jobs,
                    bytes,
                    is_gone: chunk.is_gone(),
                });
            }
        }
        taken
    }

    /// Adds a saved chunk behind those that are there, and gives the number of its
    /// jobs and the bytes that follow. `None` when it is not the next one.
    pub(crate) fn restore<'a>(&mut self, number: u64, bytes: &'a [u8]) -> Option<(u64, &'a [u8])> {
        let (head, words) = bytes.split_at_checked(2)?;
        let head = u16::from_le_bytes([head[0], head[1]]);
        let jobs = u64::from(head & !ALL_GONE);
        let fits =
            number.checked_mul(CHUNK_JOBS) == Some(self.len) && (1..=CHUNK_JOBS).contains(&jobs);
        if !fits {
            return None;
        }
        let mut chunk = Chunk::empty();
        let rest = match head & ALL_GONE {
            0 => chunk.restore(jobs, words)?,
            _ if jobs != CHUNK_JOBS => return None,
            _ => {
                chunk.words = None;
                chunk.counts[GONE as usize] = jobs as u32;
                if self.gone == self.chunks.len() {
                    self.gone += 1;
                }
                words
            }
        };
        for (total, count) in self.totals.iter_mut().zip(chunk.counts) {
            *total += u64::from(count);
        }
        self.push_chunk(chunk);
        self.len += jobs;
        Some((jobs, rest))
    }
}

/// A run of chunks that are all gone, as it is saved.
pub(crate) fn saved_run(chunks: u64) -> Vec<u8> {
    [&ALL_GONE.to_le_bytes()[..], &chunks.to_le_bytes()].concat()
}

/// How many chunks a saved run has; `None` when it is another row.
pub(crate) fn run_of(saved: &[u8]) -> Option<u64> {
    let chunks = saved.strip_prefix(&ALL_GONE.to_le_bytes())?;
    Some(u64::from_le_bytes(chunks.try_into().ok()?))
}

/// A saved chunk has at most so many words, with the hashes that follow.
pub(crate) const SAVED_WORDS_MAX: u64 = CHUNK_WORDS as u64 + CHUNK_ROWS;

/// Chunk, word and shift of a job's two bits.
fn place(sequence: u64) -> (usize, usize, u32) {
    (
        (sequence / CHUNK_JOBS) as usize,
        (sequence % CHUNK_JOBS / WORD_JOBS) as usize,
        (sequence % WORD_JOBS) as u32 * 2,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn column(states: &[State]) -> StatusColumn {
        let mut column = StatusColumn::default();
        for &state in states {
            let sequence = column.push();
            column.set(sequence, state);
        }
        column
    }

    fn selected(selection: &Selection) -> Vec<(u64, State)> {
        let (mut at, mut from, mut found) = (0, 0, Vec::new());
        while let Some((sequence, state)) = selection.next(from, &mut at) {
            found.push((sequence, state));
            from = sequence + 1;
        }
        found
    }

    fn a_state() -> impl Strategy<Value = State> {
        prop_oneof![
            Just(State::Pending),
            Just(State::Running),
            Just(State::Complete)
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_selection_is_what_filtering_a_plain_list_gives(
            head in proptest::collection::vec(a_state(), 0..200),
            common in a_state(),
            repeated in 0usize..9000,
            tail in proptest::collection::vec(a_state(), 0..200),
            mask in 0u8..8,
            from in 0u64..9400,
            offset in 0u64..9400,
            limit in 1u64..9400,
        ) {
            let mut all = head;
            all.extend(std::iter::repeat_n(common, repeated));
            all.extend(tail);
            let column = column(&all);
            let states = States::of_bits(mask);
            let matching = |from: u64| all.iter().enumerate()
                .map(|(n, &state)| (n as u64, state))
                .filter(move |&(n, state)| n >= from && mask & (1 << code(state)) != 0);
            prop_assert_eq!(column.total(states), matching(0).count() as u64);
            let expected: Vec<_> = matching(from).skip(offset as usize).take(limit as usize).collect();
            let selection = column.select(states, from, offset, limit);
            prop_assert_eq!(selection.len, expected.len() as u64);
            prop_assert_eq!(selection.first(), expected.first().map(|e| e.0));
            prop_assert_eq!(selection.last(), expected.last().map(|e| e.0));
            let found = selected(&selection);
            for (n, &(sequence, _)) in found.iter().enumerate().step_by(7) {
                let run = found[n..].iter().enumerate()
                    .take_while(|(k, f)| **f == (sequence + *k as u64, State::Complete)).count() as u64;
                let end = sequence + 50;
                prop_assert_eq!(selection.complete_run(sequence, end, &mut 0), run.min(50));
            }
            prop_assert_eq!(&found, &expected);
            let mut back: Vec<_> = matching(0).filter(|job| job.0 < from).collect();
            back.reverse();
            let back: Vec<_> = back.into_iter().skip(offset as usize).take(limit as usize).collect();
            let selection = column.select_back(states, from, offset, limit);
            prop_assert_eq!(selection.len, back.len() as u64);
            let (mut upto, mut found) = (u64::MAX, Vec::new());
            while let Some(job) = selection.before(upto) {
                upto = job.0;
                found.push(job);
            }
            prop_assert_eq!(found, back);
            let middle = from.midpoint(9400).min(from + limit);
            let ranges = [offset.min(from)..from, from..middle, middle + 7..middle + 300];
            let all = column.select(states, 0, 0, u64::MAX);
            let within = all.within(&ranges);
            let is_in = |job: &(u64, State)| ranges.iter().any(|range| range.contains(&job.0));
            let expected: Vec<_> = matching(0).filter(is_in).collect();
            prop_assert_eq!(within.len, expected.len() as u64);
            prop_assert_eq!(selected(&within), expected);
        }

        #[test]
        fn a_saved_column_comes_back(states in proptest::collection::vec(a_state(), 0..9000)) {
            let mut saved = column(&states);
            let mut back = StatusColumn::default();
            for SavedChunk { number, jobs, mut bytes, .. } in saved.take_dirty() {
                bytes.push(7);
                prop_assert_eq!(back.restore(number, &bytes), Some((jobs, &[7][..])));
            }
            prop_assert!(saved.take_dirty().is_empty());
            prop_assert_eq!(back.totals, saved.totals);
            prop_assert_eq!(back.select(States::ALL, 0, 0, u64::MAX), saved.select(States::ALL, 0, 0, u64::MAX));
        }
    }

    #[test]
    fn jobs_that_are_gone_count_the_same_in_ranges_and_one_by_one() {
        let mut column = StatusColumn::default();
        for _ in 0..20_000 {
            column.push();
        }
        let mut other = StatusColumn::default();
        for _ in 0..20_000 {
            other.push();
        }
        for range in [5..70, 4000..4100, 4096..8192, 9000..17_000, 19_990..20_000] {
            range.clone().for_each(|sequence| other.set_gone(sequence));
            column.set_range_gone(range);
        }
        assert_eq!(column.totals, other.totals);
        for range in [
            0..20_000,
            6..69,
            64..96,
            4095..4097,
            4097..8191,
            8192..12_288,
            3..30_000,
        ] {
            let one_by_one = range.clone().filter(|&s| other.is_gone(s)).count() as u64;
            assert_eq!(column.gone_in(range.clone()), one_by_one, "{range:?}");
        }
        let mut extended = StatusColumn::all_gone(10_000);
        assert_eq!((extended.len(), extended.gone_total()), (10_000, 10_000));
        assert_eq!(extended.push(), 10_000);
        assert_eq!(extended.gone_in(0..11_000), 10_000);
        let mut restored = StatusColumn::default();
        assert_eq!(restored.restore_gone(1, 2), None);
        assert_eq!(restored.restore_gone(0, 0), None);
        assert_eq!(restored.restore_gone(0, u64::MAX), None);
        assert_eq!(restored.restore_gone(0, 3), Some(()));
        assert_eq!(restored.gone_total(), 3 * CHUNK_JOBS);
        assert!(restored.take_dirty().is_empty());
    }

    #[test]
    fn a_chunk_out_of_place_is_refused() {
        let mut column = StatusColumn::default();
        assert_eq!(column.restore(1, &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(column.restore(0, &[1, 0, 0]), None);
        assert_eq!(column.restore(0, &[0, 0]), None);
        assert_eq!(column.restore(0, &[]), None);
    }
}
