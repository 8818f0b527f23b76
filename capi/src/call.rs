// The path that every exported function takes: panics are caught here, and only here.

use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use jobstore::Error;

use crate::codes::JOBSTORE_OK;
use crate::error::{Failure, jobstore_error};

/// Runs a function that can fail. Returns its code, and passes the error to the caller.
pub(crate) fn call(
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
    body: impl FnOnce() -> Result<(), Failure>,
) -> i32 {
    let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or(Err(Failure::Panic));
    let (code, returned) = match result {
        Ok(()) => (JOBSTORE_OK, std::ptr::null_mut()),
        Err(failure) => {
            let code = failure.code();
            let wanted = error.is_some();
            let made = || Box::into_raw(Box::new(jobstore_error::new(failure)));
            (code, if wanted { made() } else { std::ptr::null_mut() })
        }
    };
    if let Some(error) = error {
        error.write(returned);
    }
    code
}

/// Runs a function that cannot fail. It returns `otherwise` if the handle is NULL.
pub(crate) fn get<H, T>(handle: Option<&H>, otherwise: T, body: impl FnOnce(&H) -> T) -> T {
    match handle {
        Some(handle) => catch_unwind(AssertUnwindSafe(|| body(handle))).unwrap_or(otherwise),
        None => otherwise,
    }
}

/// Frees a handle. NULL is ignored.
pub(crate) fn free<H>(handle: Option<Box<H>>) {
    // A panic of a destructor must not reach the caller.
    catch_unwind(AssertUnwindSafe(|| drop(handle))).ok();
}

/// Returns the value of an argument that must not be NULL.
pub(crate) fn given<T>(argument: Option<T>, name: &str) -> Result<T, Failure> {
    argument.ok_or_else(|| invalid(format!("invalid argument {name}: it is NULL")))
}

/// Passes a value to the caller.
pub(crate) fn put<T>(
    out: Option<&mut MaybeUninit<T>>,
    name: &str,
    value: impl FnOnce() -> Result<T, Failure>,
) -> Result<(), Failure> {
    let out = given(out, name)?;
    out.write(value()?);
    Ok(())
}

/// Passes a value to the caller, if the caller wants it.
pub(crate) fn put_if_wanted<T>(out: Option<&mut MaybeUninit<T>>, value: T) {
    if let Some(out) = out {
        out.write(value);
    }
}

/// Makes a handle that the caller has to free.
pub(crate) fn handle<H>(value: H) -> *mut H {
    Box::into_raw(Box::new(value))
}

/// The error for an invalid argument.
pub(crate) fn invalid(problem: String) -> Failure {
    Failure::Store(Error::InvalidParameter { problem })
}

/// A timeout in milliseconds. A negative timeout never passes.
pub(crate) fn timeout(ms: i64) -> Duration {
    u64::try_from(ms).map_or(Duration::MAX, Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;
    use crate::codes::JOBSTORE_ERROR_PANIC;
    use crate::error::{jobstore_error_free, jobstore_error_json, jobstore_error_status};

    struct Fragile;

    impl Drop for Fragile {
        fn drop(&mut self) {
            panic!("in a destructor");
        }
    }

    #[test]
    fn a_panic_becomes_an_error() {
        let mut error = MaybeUninit::uninit();
        assert_eq!(
            call(Some(&mut error), || panic!("a body")),
            JOBSTORE_ERROR_PANIC
        );
        // SAFETY: `call` has written the error.
        let error = unsafe { error.assume_init() };
        // SAFETY: the pointer came from a box, and is used only here.
        let error = unsafe { Box::from_raw(error) };
        assert_eq!(jobstore_error_status(Some(&error)), 500);
        // SAFETY: the string ends with a NUL byte, and belongs to the error.
        let json = unsafe { CStr::from_ptr(jobstore_error_json(Some(&error))) };
        assert!(
            json.to_string_lossy()
                .contains("\"errorCode\":\"GES.8302\"")
        );
        jobstore_error_free(Some(error));
        assert_eq!(call(None, || panic!("a body")), JOBSTORE_ERROR_PANIC);
        assert_eq!(get(Some(&1), 7, |_| panic!("a body")), 7);
        free(Some(Box::new(Fragile)));
    }

    #[test]
    fn nothing_is_done_if_there_is_no_place_for_the_result() {
        let mut is_done = false;
        let code = call(None, || {
            put(None, "out", || {
                is_done = true;
                Ok(1)
            })
        });
        assert_ne!(code, JOBSTORE_OK);
        assert!(!is_done);
    }
}
