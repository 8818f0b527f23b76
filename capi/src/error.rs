// Errors as C receives them.

use std::ffi::{CString, c_char};

use jobstore::{ApiError, Error};

use crate::call::{free, get};
use crate::codes::{
    JOBSTORE_ERROR_BUFFER_TOO_SMALL, JOBSTORE_ERROR_HANDLE_IN_USE, JOBSTORE_ERROR_PANIC,
    JOBSTORE_OK, code_of, name_of,
};

/// Why a call failed.
pub(crate) enum Failure {
    Store(Error),
    BufferTooSmall { capacity: usize, len: usize },
    HandleInUse { handle: &'static str },
    Panic,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Store(error)
    }
}

impl Failure {
    pub(crate) fn code(&self) -> i32 {
        match self {
            Failure::Store(error) => code_of(error),
            Failure::BufferTooSmall { .. } => JOBSTORE_ERROR_BUFFER_TOO_SMALL,
            Failure::HandleInUse { .. } => JOBSTORE_ERROR_HANDLE_IN_USE,
            Failure::Panic => JOBSTORE_ERROR_PANIC,
        }
    }

    fn message(&self) -> String {
        match self {
            Failure::Store(error) => error.to_string(),
            Failure::BufferTooSmall { capacity, len } => format!(
                "the buffer is too small: its capacity is {capacity} bytes, but {len} are needed"
            ),
            Failure::HandleInUse { handle } => format!(
                "another thread is using this {handle}; only one thread at a time may use it"
            ),
            Failure::Panic => {
                "a bug in jobstore was caught; please report what standard error shows".to_owned()
            }
        }
    }

    fn api_error(&self) -> ApiError {
        let caller = |message| Error::InvalidParameter { problem: message }.api_error();
        match self {
            Failure::Store(error) => error.api_error(),
            Failure::BufferTooSmall { .. } | Failure::HandleInUse { .. } => caller(self.message()),
            Failure::Panic => {
                let mut internal = caller("job query error".to_owned());
                (internal.status, internal.code) = (500, "GES.8302");
                internal
            }
        }
    }
}

/// An error: a code, a message for operators, and the response for a client. It is returned through
/// the last parameter of a call that failed, and released with `jobstore_error_free`.
pub struct jobstore_error {
    code: i32,
    name: CString,
    message: CString,
    json: CString,
    status: i32,
}

impl jobstore_error {
    pub(crate) fn new(failure: Failure) -> jobstore_error {
        let code = failure.code();
        let name = match &failure {
            Failure::Store(error) => error.code().to_owned(),
            _ => name_of(code).trim_end_matches('\0').to_owned(),
        };
        let api_error = failure.api_error();
        jobstore_error {
            code,
            name: c_string(name),
            message: c_string(failure.message()),
            json: c_string(api_error.to_json()),
            status: api_error.status.into(),
        }
    }

    pub(crate) fn code(&self) -> i32 {
        self.code
    }
}

/// A string may contain a NUL byte that came from the caller.
fn c_string(text: String) -> CString {
    CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default()
}

/// Returns the error's code: one of the constants `JOBSTORE_ERROR_...`. For NULL, returns
/// `JOBSTORE_OK`.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_error_code(error: Option<&jobstore_error>) -> i32 {
    get(error, JOBSTORE_OK, |error| error.code)
}

/// Returns the error's name, such as `UnknownGraph`. The documentation of operations describes each
/// error by its name. The string is valid until the error is freed.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_error_name(error: Option<&jobstore_error>) -> *const c_char {
    get(error, c"Ok".as_ptr(), |error| error.name.as_ptr())
}

/// Returns the error's message, which states the problem and its remedy. It never contains the body
/// of a request. The string is valid until the error is freed.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_error_message(error: Option<&jobstore_error>) -> *const c_char {
    get(error, c"".as_ptr(), |error| error.message.as_ptr())
}

/// Returns the response to the client in the GES job-list API:
/// `{"errorMessage":"..","errorCode":"GES.8000","result":"failed"}`. The string is valid until the
/// error is freed.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_error_json(error: Option<&jobstore_error>) -> *const c_char {
    get(error, c"".as_ptr(), |error| error.json.as_ptr())
}

/// Returns the HTTP status of that response: 400, 500, or 503. For NULL, returns 200.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_error_status(error: Option<&jobstore_error>) -> i32 {
    get(error, 200, |error| error.status)
}

/// Returns the name of a code, such as `UnknownGraph`. The string is static.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_code_name(code: i32) -> *const c_char {
    name_of(code).as_ptr().cast()
}

/// Frees an error.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_error_free(error: Option<Box<jobstore_error>>) {
    free(error);
}
