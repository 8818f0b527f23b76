// Excerpts of invalid input for messages.

/// Shortens text for an error message.
pub(crate) fn excerpt(given: &str) -> String {
    const CHARACTERS_MAX: usize = 64;
    match given.char_indices().nth(CHARACTERS_MAX) {
        None => given.to_owned(),
        Some((at, _)) => format!("{}...", &given[..at]),
    }
}

/// Text for an error message, shortened if it is longer than `bytes` bytes.
pub(crate) fn excerpt_over(bytes: usize, given: &str) -> String {
    match given.len() <= bytes {
        true => given.to_owned(),
        false => excerpt(given),
    }
}
