// The history of a graph: what happened to its jobs, by time and command.
//
// History is kept per minute, hour, and day. How finely it is kept depends only on the events
// themselves, not on a clock and not on the order in which they are read, so a jump of the clock
// loses nothing, and a rebuilt index shows the same history. Of all hours in which anything happened,
// the newest are kept per minute; of all days to which the other hours belong, the newest are kept
// per hour; and so on.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::base::codec::{VarReader, put_var};
use crate::model::job_counts::JobCounts;

pub(crate) const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// Returns the length of the periods of a history, in milliseconds. `None` unless it is a number of
/// minutes that divides an hour, a number of hours that divides a day, or a number of days.
pub(crate) fn step_ms(step: Duration) -> Option<u64> {
    let ms = u64::try_from(step.as_millis()).ok().filter(|&ms| ms > 0)?;
    let divides = |unit_ms, whole_ms| ms % unit_ms == 0 && whole_ms % ms == 0;
    let is_step = divides(MINUTE_MS, HOUR_MS) || divides(HOUR_MS, DAY_MS) || ms % DAY_MS == 0;
    (is_step && step.subsec_nanos() == 0).then_some(ms)
}

/// The greatest number of a command. Commands that a graph meets after this many others are counted
/// together, under the number 0.
pub(crate) const COMMANDS_MAX: u8 = 64;

/// The minute in which a time lies, counted from 1970.
pub(crate) fn minute_of(ms: u64) -> u32 {
    u32::try_from(ms / MINUTE_MS).unwrap_or(u32::MAX)
}

/// How finely a part of a history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Grain {
    Minute,
    Hour,
    Day,
}

impl Grain {
    pub(crate) const ALL: [Grain; 3] = [Grain::Minute, Grain::Hour, Grain::Day];

    pub(crate) fn from_stored(stored: u64) -> Option<Grain> {
        Grain::ALL.get(usize::try_from(stored).ok()?).copied()
    }

    pub(crate) fn to_stored(self) -> u8 {
        self as u8
    }

    /// The length of a bucket, in minutes.
    pub(crate) fn minutes(self) -> u32 {
        match self {
            Grain::Minute => 1,
            Grain::Hour => 60,
            Grain::Day => 24 * 60,
        }
    }

    /// How many buckets share a page.
    pub(crate) fn page_buckets(self) -> u32 {
        match self {
            Grain::Minute => 60,
            Grain::Hour => 24,
            Grain::Day => 32,
        }
    }

    /// How many pages a graph keeps: at least 7 days per minute, 90 days per hour, and 11 years per
    /// day.
    pub(crate) fn pages_max(self) -> usize {
        match self {
            Grain::Minute => 7 * 24,
            Grain::Hour => 90,
            Grain::Day => 128,
        }
    }

    /// How finely history is kept that is not kept this finely anymore.
    pub(crate) fn coarser(self) -> Option<Grain> {
        match self {
            Grain::Minute => Some(Grain::Hour),
            Grain::Hour => Some(Grain::Day),
            Grain::Day => None,
        }
    }
}

/// Where events are counted: a minute, an hour, or a day, and the number of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot {
    pub(crate) grain: Grain,
    /// The number of the bucket, counted from 1970.
    pub(crate) bucket: u32,
    pub(crate) command: u8,
}

impl Slot {
    pub(crate) fn of_minute(minute: u32, command: u8) -> Slot {
        Slot {
            grain: Grain::Minute,
            bucket: minute,
            command,
        }
    }

    /// The slot in which the events are counted once they are kept less finely.
    pub(crate) fn folded(self) -> Option<Slot> {
        let grain = self.grain.coarser()?;
        Some(Slot {
            grain,
            bucket: self.bucket / (grain.minutes() / self.grain.minutes()),
            command: self.command,
        })
    }

    /// The page to which the slot belongs, and its place there.
    pub(crate) fn page(self) -> (PageNumber, u8) {
        let buckets = self.grain.page_buckets();
        let page = PageNumber {
            grain: self.grain,
            number: self.bucket / buckets,
        };
        (page, (self.bucket % buckets) as u8)
    }

    /// The beginning and the length of the bucket, in milliseconds.
    pub(crate) fn range_ms(self) -> (u64, u64) {
        let length_ms = u64::from(self.grain.minutes()) * MINUTE_MS;
        (u64::from(self.bucket) * length_ms, length_ms)
    }
}

/// The number of a page: an hour, a day, or 32 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PageNumber {
    pub(crate) grain: Grain,
    /// Counted from 1970.
    pub(crate) number: u32,
}

impl PageNumber {
    /// The slot of this page's bucket at a place.
    pub(crate) fn slot(self, place: u8, command: u8) -> Slot {
        let first = self.number.saturating_mul(self.grain.page_buckets());
        Slot {
            grain: self.grain,
            bucket: first.saturating_add(u32::from(place)),
            command,
        }
    }

    /// The times that the page covers, in milliseconds.
    pub(crate) fn range_ms(self) -> (u64, u64) {
        let ms = u64::from(self.grain.page_buckets() * self.grain.minutes()) * MINUTE_MS;
        let from = u64::from(self.number) * ms;
        (from, from + ms)
    }
}

/// Counts by slot.
pub(crate) type Rows = BTreeMap<Slot, JobCounts>;

/// Encodes rows. For each one: its grain, its bucket, its command (vars), and the counts.
pub(crate) fn encode_rows<'r>(rows: impl Iterator<Item = (&'r Slot, &'r JobCounts)>) -> Vec<u8> {
    let mut out = Vec::new();
    for (slot, counts) in rows {
        put_var(u64::from(slot.grain.to_stored()), &mut out);
        put_var(u64::from(slot.bucket), &mut out);
        put_var(u64::from(slot.command), &mut out);
        counts.encode_into(&mut out);
    }
    out
}

/// Reads the next row that [`encode_rows`] wrote.
pub(crate) fn decode_row(reader: &mut VarReader<'_>) -> Option<(Slot, JobCounts)> {
    let slot = Slot {
        grain: Grain::from_stored(reader.next()?)?,
        bucket: u32::try_from(reader.next()?).ok()?,
        command: u8::try_from(reader.next()?).ok()?,
    };
    Some((slot, JobCounts::decode(reader)?))
}

/// What happened in a graph within a period: returned by [`Graph::history`](crate::Graph::history).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HistoryPoint {
    /// The beginning of the period.
    pub start: SystemTime,
    /// The length of the period. It is longer than the requested step if the history of this time
    /// is kept only per hour or per day.
    pub length: Duration,
    /// The counts of all jobs.
    pub counts: JobCounts,
    /// The counts by command, ordered by command. Commands that are not counted separately are
    /// counted together, under `None`.
    pub commands: Vec<(Option<String>, JobCounts)>,
}

impl HistoryPoint {
    /// Returns whether a history can be divided into periods of this length: a number of minutes
    /// that divides an hour, a number of hours that divides a day, or a number of days.
    #[must_use]
    pub fn is_step(step: Duration) -> bool {
        step_ms(step).is_some()
    }
}
