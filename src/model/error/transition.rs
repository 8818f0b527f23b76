// What a caller can do after a state transition has been refused.

use crate::model::states::State;

/// The end of the message: the alternative to the requested step, if there is one.
pub(super) fn remedy(from: State, to: State) -> &'static str {
    match (from, to) {
        (State::Pending, State::Complete) => "; claim or start it first, or cancel it",
        (State::Pending, State::Running) => "; only a running job can be attached: claim it",
        (State::Running, State::Running) => "; it is already being worked on",
        _ => "",
    }
}
