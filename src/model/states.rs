// The states of a job, sets of states, and their numbers.

use std::fmt;

/// The state of a job.
///
/// A job changes from `Pending` to `Running` to `Complete`. A pending job that is canceled becomes
/// `Complete` directly. A running job becomes `Pending` again when it is requeued by
/// [`Run::requeue`](crate::Run::requeue). Under [`Recovery::Requeue`](crate::Recovery::Requeue), it
/// is also requeued if its [`Run`](crate::Run) is dropped or if an open finds it running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Recorded, but not started.
    Pending,
    /// Started, but not complete.
    Running,
    /// Complete, with any [`Outcome`](crate::Outcome).
    Complete,
}

impl State {
    /// All states, in the order of a job's life.
    pub const ALL: [State; 3] = [State::Pending, State::Running, State::Complete];

    /// Returns the name of the state in the GES job-list API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Running => "running",
            State::Complete => "complete",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The number of a state, in memory and on disk.
pub(crate) const fn code(state: State) -> u64 {
    match state {
        State::Pending => 0,
        State::Running => 1,
        State::Complete => 2,
    }
}

/// The state with this number.
pub(crate) fn state_of(code: u64) -> Option<State> {
    match code {
        0 => Some(State::Pending),
        1 => Some(State::Running),
        2 => Some(State::Complete),
        _ => None,
    }
}

/// A set of states, as a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct States(u8);

impl States {
    pub(crate) const NONE: States = States(0);
    pub(crate) const ALL: States = States(0b111);

    pub(crate) fn has(self, state: State) -> bool {
        self.0 & (1 << code(state)) != 0
    }

    pub(crate) const fn with(self, state: State) -> States {
        States(self.0 | 1 << code(state))
    }

    /// The set with these bits.
    #[cfg(test)]
    pub(crate) fn of_bits(bits: u8) -> States {
        States(bits)
    }

    pub(crate) fn bits(self) -> u8 {
        self.0
    }
}
