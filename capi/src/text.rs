// Texts that C passes: pointers with lengths, borrowed for the call.

use std::ffi::c_char;
use std::mem::MaybeUninit;
use std::slice;

use jobstore::{Body, JobId, Request};

use crate::call::invalid;
use crate::error::Failure;

/// A UTF-8 text: a pointer and a length in bytes. No NUL byte is needed at the end. A text that is
/// passed to a function is borrowed until the function returns. A NULL pointer with the length 0 is
/// the empty text.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct jobstore_text {
    /// The first byte.
    pub ptr: *const c_char,
    /// The length in bytes.
    pub len: usize,
}

/// A request: the name of the operation, the URL, the JSON body, and, optionally, the origin. An
/// empty body stands for `{}`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct jobstore_request {
    /// The name of the operation, such as `import_graph`.
    pub command: jobstore_text,
    /// The URL that the client requested.
    pub url: jobstore_text,
    /// The body, as JSON.
    pub body: jobstore_text,
    /// Who or what submitted the request, such as a user or a trace id, in at most 256 bytes; or
    /// empty.
    pub origin: jobstore_text,
}

/// The size of `jobstore_job_id`: an id has at most 128 characters, and a NUL byte follows it.
pub const JOBSTORE_JOB_ID_SIZE: usize = 129;

/// A job id, terminated by a NUL byte.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct jobstore_job_id {
    /// The characters of the id, and NUL bytes up to the end.
    pub text: [c_char; JOBSTORE_JOB_ID_SIZE],
}

impl jobstore_text {
    pub(crate) fn of(text: &str) -> jobstore_text {
        jobstore_text {
            ptr: text.as_ptr().cast(),
            len: text.len(),
        }
    }

    pub(crate) const EMPTY: jobstore_text = jobstore_text {
        ptr: c"".as_ptr(),
        len: 0,
    };

    /// Reads the text. `name` is that of the argument.
    pub(crate) fn read<'a>(self, name: &str) -> Result<&'a str, Failure> {
        let bytes = array(self.ptr.cast::<u8>(), self.len, name)?;
        std::str::from_utf8(bytes).map_err(|error| {
            let at = error.valid_up_to();
            invalid(format!(
                "invalid argument {name}: byte {at} is not valid UTF-8"
            ))
        })
    }
}

impl jobstore_request {
    pub(crate) fn read(&self) -> Result<Request, Failure> {
        let body = match self.body.read("body")? {
            "" => Body::empty(),
            text => Body::from_json(text)?,
        };
        let (command, url) = (self.command.read("command")?, self.url.read("url")?);
        let request = Request::new(command, url, body)?;
        Ok(request.with_origin(self.origin.read("origin")?)?)
    }

    /// The parts of a request of the store.
    pub(crate) fn of(request: &Request) -> jobstore_request {
        jobstore_request {
            command: jobstore_text::of(request.command()),
            url: jobstore_text::of(request.url()),
            body: jobstore_text::of(request.body()),
            origin: jobstore_text::of(request.origin().unwrap_or_default()),
        }
    }
}

impl jobstore_job_id {
    pub(crate) fn of(id: &JobId) -> jobstore_job_id {
        let mut text = [0; JOBSTORE_JOB_ID_SIZE];
        // The last byte stays NUL.
        let bytes = id.as_str().bytes().take(JOBSTORE_JOB_ID_SIZE - 1);
        for (to, byte) in text.iter_mut().zip(bytes) {
            *to = byte as c_char;
        }
        jobstore_job_id { text }
    }
}

/// Reads an array that C passes.
pub(crate) fn array<'a, T>(ptr: *const T, len: usize, name: &str) -> Result<&'a [T], Failure> {
    match check(ptr, len, name)? {
        false => Ok(&[]),
        // SAFETY: the pointer is neither NULL nor misaligned, and the size in bytes is at most
        // isize::MAX. By the rules of the header, the memory is valid until the call returns, and
        // the result does not outlive the call.
        true => Ok(unsafe { slice::from_raw_parts(ptr, len) }),
    }
}

/// An array of C into which the results are written.
pub(crate) fn array_out<'a, T>(
    ptr: *mut T,
    len: usize,
    name: &str,
) -> Result<&'a mut [MaybeUninit<T>], Failure> {
    match check(ptr, len, name)? {
        false => Ok(&mut []),
        // SAFETY: as in `array`. The memory need not be initialized, and by the rules of the
        // header, no other thread uses it during the call.
        true => Ok(unsafe { slice::from_raw_parts_mut(ptr.cast::<MaybeUninit<T>>(), len) }),
    }
}

/// Returns whether the array has elements.
fn check<T>(ptr: *const T, len: usize, name: &str) -> Result<bool, Failure> {
    let problem = if len == 0 {
        return Ok(false);
    } else if ptr.is_null() {
        "the pointer is NULL, but the length is not 0"
    } else if !ptr.is_aligned() {
        "the pointer is misaligned"
    } else if len > isize::MAX as usize / size_of::<T>().max(1) {
        "the length is larger than any memory"
    } else {
        return Ok(true);
    };
    Err(invalid(format!("invalid argument {name}: {problem}")))
}
