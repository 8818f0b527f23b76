//! Compares the states with a plain list of them.

use proptest::prelude::*;

use super::*;

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
        #[cfg(feature = "http")]
        for jobs in [32, 64, 512] {
            let is_run = |first: u64| (first..first + jobs)
                .all(|n| expected.binary_search(&(n, State::Complete)).is_ok());
            let runs: Vec<u64> = (0..9400).step_by(jobs as usize).filter(|&n| is_run(n)).collect();
            let (mut found, mut from, mut at) = (Vec::new(), 0, 0);
            while let Some(run) = selection.aligned_complete_run(from, jobs, &mut at) {
                found.push(run);
                from = run + jobs;
            }
            prop_assert_eq!(found, runs);
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
        range
            .clone()
            .for_each(|sequence| other.set_removed(sequence));
        column.set_range_removed(range);
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
        let one_by_one = range.clone().filter(|&s| other.is_removed(s)).count() as u64;
        assert_eq!(column.removed_in(range.clone()), one_by_one, "{range:?}");
    }
    let mut extended = StatusColumn::all_removed(10_000);
    assert_eq!((extended.len(), extended.removed_total()), (10_000, 10_000));
    assert_eq!(extended.push(), 10_000);
    assert_eq!(extended.removed_in(0..11_000), 10_000);
    let mut restored = StatusColumn::default();
    assert_eq!(restored.restore_removed(1, 2), None);
    assert_eq!(restored.restore_removed(0, 0), None);
    assert_eq!(restored.restore_removed(0, u64::MAX), None);
    assert_eq!(restored.restore_removed(0, 3), Some(()));
    assert_eq!(restored.removed_total(), 3 * CHUNK_JOBS);
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
