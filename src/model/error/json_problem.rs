// The problems of invalid JSON, and their messages.

/// The problem in an [`Error::InvalidJson`](crate::Error::InvalidJson).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonProblem {
    /// The text ends too early.
    UnexpectedEnd,
    /// The text contains a character that is not allowed at its position.
    UnexpectedCharacter,
    /// The text contains an escape that is half of a surrogate pair (`"\ud800"`). RFC 8259 leaves
    /// the meaning of such an escape open, and strict readers reject any document that contains
    /// one.
    LoneSurrogate,
    /// The value has no representation in JSON, such as a map whose keys are not strings.
    NotRepresentable,
    /// The JSON is valid, but the `command` of the request is missing.
    MissingCommand,
    /// The JSON is valid, but the `url` of the request is missing.
    MissingUrl,
    /// The JSON is valid, but it is not an object with `command`, `url`, and `body`.
    NotARequest,
}

impl std::fmt::Display for JsonProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            JsonProblem::UnexpectedEnd => "unexpected end of input",
            JsonProblem::UnexpectedCharacter => "unexpected character",
            JsonProblem::LoneSurrogate => "lone surrogate (\\ud800 to \\udfff must come in pairs)",
            JsonProblem::NotRepresentable => "the value cannot be represented as JSON",
            JsonProblem::MissingCommand => "missing field \"command\"",
            JsonProblem::MissingUrl => "missing field \"url\"",
            JsonProblem::NotARequest => {
                "expected an object with command, url, and, optionally, body and origin"
            }
        })
    }
}

pub(super) fn invalid_json(what: &str, problem: JsonProblem, line: usize, column: usize) -> String {
    use JsonProblem::*;
    match problem {
        UnexpectedEnd | UnexpectedCharacter | LoneSurrogate => {
            format!("invalid JSON in the {what}: {problem} at line {line} column {column}")
        }
        MissingCommand | MissingUrl | NotARequest => {
            format!("invalid {what}: {problem} at line {line} column {column}")
        }
        NotRepresentable => format!("invalid {what}: {problem}"),
    }
}
