//! The groups of a block: consecutive jobs whose texts are compressed together.
//!
//! A reader that wants few jobs opens only their groups.

use std::ops::Range;

use super::row::Row;
use crate::base::codec::{VarReader, put_var};

/// The maximum number of jobs in a group. Smaller groups are read faster and compressed less well.
const GROUP_JOBS_MAX: usize = 32;

/// A group ends once it has this much text.
const GROUP_TEXT_BYTES: u32 = 16 << 10;

/// A group of a sealed block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    /// Its number in the block.
    pub(super) number: u32,
    /// Its rows.
    pub(super) rows: Range<usize>,
    /// The position of the piece with the texts.
    pub(super) texts: Range<usize>,
    /// The position of the piece with the unlisted parts. Empty if there are none.
    pub(super) unlisted: Range<usize>,
}

impl Group {
    /// The number of the piece with the texts.
    pub(super) fn texts_piece(&self) -> u32 {
        1 + 2 * self.number
    }

    /// The number of the piece with the unlisted parts.
    pub(super) fn unlisted_piece(&self) -> u32 {
        2 + 2 * self.number
    }
}

/// Divides the rows of a block into groups, whose pieces have no positions yet.
pub(super) fn divide(rows: &[Row]) -> Vec<Group> {
    let (mut groups, mut at) = (Vec::new(), 0);
    while let Some(first) = rows.get(at) {
        let near = rows[at..].iter().take(GROUP_JOBS_MAX);
        let has_room = |row: &&Row| row.start - first.start < GROUP_TEXT_BYTES;
        let end = at + near.take_while(has_room).count();
        groups.push(Group {
            number: groups.len() as u32,
            rows: at..end,
            ..Group::default()
        });
        at = end;
    }
    groups
}

/// Appends, for each group, the number of its jobs and the sizes of its two pieces.
pub(super) fn put_groups(groups: &[Group], out: &mut Vec<u8>) {
    for group in groups {
        put_var(group.rows.len() as u64, out);
        put_var(group.texts.len() as u64, out);
        put_var(group.unlisted.len() as u64, out);
    }
}

/// Reads the groups of a block with this many rows. The pieces of all texts, followed by those of
/// all unlisted parts, take up this range of the block.
pub(super) fn read_groups(
    reader: &mut VarReader<'_>,
    rows: usize,
    pieces: Range<usize>,
    groups: &mut Vec<Group>,
) -> Option<()> {
    groups.clear();
    let (mut row, mut at) = (0, pieces.start);
    let piece_len = |reader: &mut VarReader<'_>| usize::try_from(reader.next()?).ok();
    while row < rows {
        let jobs = usize::try_from(reader.next()?).ok().filter(|&n| n > 0)?;
        let end = row.checked_add(jobs).filter(|&end| end <= rows)?;
        let texts_end = at.checked_add(piece_len(reader)?)?;
        groups.push(Group {
            number: groups.len() as u32,
            rows: row..end,
            texts: at..texts_end,
            // The position is known only once all groups have been read.
            unlisted: 0..piece_len(reader)?,
        });
        (row, at) = (end, texts_end);
    }
    for group in groups {
        let end = at.checked_add(group.unlisted.len())?;
        group.unlisted = at..end;
        at = end;
    }
    (at == pieces.end).then_some(())
}
