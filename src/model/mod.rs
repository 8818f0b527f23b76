// The values that callers pass in and get back, their limits, and their text forms. This module
// uses no files and no threads.

pub(crate) mod api_error;
pub(crate) mod change;
pub(crate) mod cursor;
pub(crate) mod error;
pub(crate) mod filter;
pub(crate) mod health;
pub(crate) mod history;
mod history_json;
pub(crate) mod history_request;
pub(crate) mod id;
pub(crate) mod job;
pub(crate) mod job_counts;
pub(crate) mod job_json;
pub(crate) mod job_query;
pub(crate) mod json;
pub(crate) mod json_pointer;
pub(crate) mod list_request;
pub(crate) mod options;
pub(crate) mod outcome;
pub(crate) mod outcome_json;
pub(crate) mod query_string;
pub(crate) mod replica;
pub(crate) mod report;
pub(crate) mod request;
pub(crate) mod request_filter;
pub(crate) mod retention;
pub(crate) mod retention_json;
pub(crate) mod secrets;
pub(crate) mod states;
pub(crate) mod stats;
pub(crate) mod store_cursor;
pub(crate) mod store_id;
pub(crate) mod tally;
pub(crate) mod tally_request;
pub(crate) mod token;
pub(crate) mod unlisted;
