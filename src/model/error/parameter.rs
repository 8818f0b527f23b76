// The message for an invalid value of a parameter.

use super::{Error, excerpt};

/// States the parameter, the value given, the allowed values, and the remedy.
pub(crate) fn invalid_value(name: &str, given: &str, allowed: &str, remedy: &str) -> String {
    let (name, given) = (excerpt(name), excerpt(given));
    format!("invalid value {given:?} for parameter {name}: it must be {allowed}; {remedy}")
}

/// The error for an invalid value of a parameter.
pub(crate) fn invalid_parameter(name: &str, given: &str, allowed: &str, remedy: &str) -> Error {
    let problem = invalid_value(name, given, allowed, remedy);
    Error::InvalidParameter { problem }
}
