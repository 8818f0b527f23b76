//! Alternating measurements. The speed of a machine varies, so a ratio is meaningful only if both
//! of its sides were measured under the same conditions.

use std::fmt;
use std::time::{Duration, Instant};

/// A measurement: returns how long it took.
pub type Measured<'a> = Box<dyn FnMut() -> Duration + 'a>;

/// Measures each of several things in every round, after one warm-up round. The order is reversed
/// in each round. Returns the seconds for each thing, by round.
pub fn in_turns(rounds: u64, things: &mut [Measured<'_>]) -> Vec<Vec<f64>> {
    let mut times = vec![Vec::new(); things.len()];
    for thing in things.iter_mut() {
        thing();
    }
    for round in 0..rounds {
        for n in turned(round, things.len()) {
            times[n].push(things[n]().as_secs_f64());
        }
    }
    times
}

/// Returns the order of a round: forward in the first, backward in the second, and so on.
pub fn turned(round: u64, things: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..things).collect();
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

pub fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// The median of some measurements, and their range.
#[derive(Clone, Copy)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

pub fn spread(values: impl IntoIterator<Item = f64>) -> Spread {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    Spread {
        median: values[values.len() / 2],
        least: values[0],
        most: values[values.len() - 1],
    }
}

/// Returns the ratio of one thing to another, from their values by round.
pub fn ratios(over: &[f64], under: &[f64]) -> Spread {
    spread(over.iter().zip(under).map(|(over, under)| over / under))
}

impl Spread {
    pub fn scaled(self, factor: f64) -> Spread {
        Spread {
            median: self.median * factor,
            least: self.least * factor,
            most: self.most * factor,
        }
    }
}

/// `1.23 (1.10..1.40)`
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        let Spread {
            median,
            least,
            most,
        } = self;
        write!(f, "{median:.digits$} ({least:.digits$}..{most:.digits$})")
    }
}
