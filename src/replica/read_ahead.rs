//! Reads the next chunks of a log: one while there is none, and several at once while there are many,
//! because a read can take as long as a commit.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::error::Result;
use crate::replica::at_once::{CALLS, at_once};
use crate::replica::calls::Calls;

/// After a chunk that is larger than this, chunks are read one after the other, to save memory.
const BYTES_MAX: usize = 1 << 20;

#[derive(Default)]
pub(crate) struct ReadAhead {
    /// The chunks that were read, and their numbers.
    chunks: VecDeque<(u64, Vec<u8>)>,
    /// How many chunks are read at once.
    window: usize,
}

impl ReadAhead {
    /// Returns this chunk, or `None` if it does not exist. A chunk that was not read ahead is read
    /// by `read_one`, which determines how long to wait for it and how often to retry.
    pub(crate) fn read(
        &mut self,
        calls: &Calls<'_>,
        number: u64,
        read_one: impl FnOnce() -> Result<Option<Vec<u8>>>,
    ) -> Result<Option<Vec<u8>>> {
        self.chunks.retain(|(ahead, _)| *ahead >= number);
        if self.chunks.is_empty() && self.window > 1 {
            let numbers: Vec<u64> = (number..number + self.window as u64).collect();
            let chunks = at_once(&numbers, |&number| calls.read_once(number, Duration::ZERO));
            // The first one that does not exist, or cannot be read, is read again later.
            let found = chunks.into_iter().map_while(|chunk| chunk.ok().flatten());
            self.chunks.extend(numbers.into_iter().zip(found));
            let are_small = self
                .chunks
                .iter()
                .all(|(_, chunk)| chunk.len() <= BYTES_MAX);
            self.window = match are_small && self.chunks.len() == self.window {
                true => (2 * self.window).min(CALLS),
                false => 1,
            };
        }
        let chunk = match self.next(number) {
            Some(chunk) => Some(chunk),
            None => {
                self.chunks.clear();
                let chunk = read_one()?;
                self.window = if chunk.is_some() { 2 } else { 1 };
                chunk
            }
        };
        if chunk.as_ref().is_some_and(|chunk| chunk.len() > BYTES_MAX) {
            self.window = 1;
        }
        Ok(chunk)
    }

    fn next(&mut self, number: u64) -> Option<Vec<u8>> {
        self.chunks.front().filter(|(ahead, _)| *ahead == number)?;
        self.chunks.pop_front().map(|(_, chunk)| chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::replica::Replica;
    use crate::replica::MemoryReplica;

    #[test]
    fn every_chunk_is_read_in_order_and_a_missing_one_is_not_skipped() {
        let replica = MemoryReplica::default();
        let chunk = |number: u64| match number {
            // A large chunk ends the reading ahead.
            40 => vec![7; BYTES_MAX + 1],
            number => number.to_le_bytes().to_vec(),
        };
        for number in (1..60).filter(|number| ![30, 50].contains(number)) {
            replica.create(number, &chunk(number)).unwrap();
        }
        let calls = Calls {
            replica: &replica,
            timeout: Duration::ZERO,
            stop: None,
        };
        let mut ahead = ReadAhead::default();
        let mut read = |number| {
            let read_one = || calls.repeat(|replica| replica.read(number, Duration::ZERO));
            ahead.read(&calls, number, read_one).unwrap()
        };
        for number in 1..60 {
            if [30, 50].contains(&number) {
                assert_eq!(read(number), None);
                replica.create(number, &chunk(number)).unwrap();
            }
            assert_eq!(read(number), Some(chunk(number)), "{number}");
        }
        assert_eq!(read(60), None);
        // After a restore, an earlier or a later chunk may be the next one.
        for number in [5, 6, 7, 3, 20] {
            assert_eq!(read(number), Some(chunk(number)), "{number}");
        }
    }
}
