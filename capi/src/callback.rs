// Functions of C that jobstore calls. They must not throw exceptions or jump out of the call.

use std::ffi::{c_char, c_void};
use std::io::{self, Read, Write};

/// Receives a part of an output. Returns 0 to continue; any other value ends the call with
/// `JOBSTORE_ERROR_OUTPUT`. It is called on the thread that made the call.
pub type jobstore_write_fn =
    Option<extern "C" fn(user: *mut c_void, data: *const c_char, len: usize) -> i32>;

/// Provides the next part of an input. Stores at most `capacity` bytes, and returns their number, 0
/// at the end of the input, or a negative value to end the call with `JOBSTORE_ERROR_INPUT`. It is
/// called on the thread that made the call.
pub type jobstore_read_fn =
    Option<extern "C" fn(user: *mut c_void, buffer: *mut c_char, capacity: usize) -> isize>;

/// The pointer that C wants back in its callbacks.
#[derive(Clone, Copy)]
pub(crate) struct User(pub(crate) *mut c_void);

// SAFETY: the pointer is never dereferenced here. By the rules of the header, a callback that is
// called on another thread can use its pointer there.
unsafe impl Send for User {}
// SAFETY: as above.
unsafe impl Sync for User {}

/// Passes what is written to a callback.
pub(crate) struct CallbackWriter {
    pub(crate) write: extern "C" fn(*mut c_void, *const c_char, usize) -> i32,
    pub(crate) user: User,
}

impl Write for CallbackWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match (self.write)(self.user.0, bytes.as_ptr().cast(), bytes.len()) {
            0 => Ok(bytes.len()),
            code => Err(io::Error::other(format!("the callback returned {code}"))),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads what a callback provides.
pub(crate) struct CallbackReader {
    pub(crate) read: extern "C" fn(*mut c_void, *mut c_char, usize) -> isize,
    pub(crate) user: User,
}

impl Read for CallbackReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let capacity = buffer.len();
        let returned = (self.read)(self.user.0, buffer.as_mut_ptr().cast(), capacity);
        match usize::try_from(returned) {
            Ok(len) if len <= capacity => Ok(len),
            _ => Err(io::Error::other(format!(
                "the callback returned {returned}, for a buffer of {capacity} bytes"
            ))),
        }
    }
}
