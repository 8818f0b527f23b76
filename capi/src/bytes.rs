// Results that C receives: in memory that C frees, or in a buffer that C owns.

use std::ffi::{c_char, c_void};
use std::io::{self, Write};
use std::ptr;

use crate::call::invalid;
use crate::error::Failure;

/// A result in memory that belongs to the caller, who releases it with `jobstore_bytes_free`. A NUL
/// byte follows the result; it is not counted. If there is no result, the pointer is NULL and the
/// length is 0.
#[repr(C)]
pub struct jobstore_bytes {
    /// The first byte.
    pub ptr: *mut c_char,
    /// The length in bytes.
    pub len: usize,
}

/// Releases a result, and sets it to NULL and 0. Calling this again has no effect.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_bytes_free(bytes: Option<&mut jobstore_bytes>) {
    if let Some(bytes) = bytes {
        let memory = std::mem::replace(bytes, jobstore_bytes::NONE);
        // SAFETY: `free` accepts NULL. Any other pointer came from `malloc` in `new`, and is
        // released only once, because it has just been replaced with NULL.
        unsafe { libc::free(memory.ptr.cast::<c_void>()) }
    }
}

impl jobstore_bytes {
    pub(crate) const NONE: jobstore_bytes = jobstore_bytes {
        ptr: ptr::null_mut(),
        len: 0,
    };

    /// Copies a result into memory that C can free.
    pub(crate) fn new(result: impl AsRef<[u8]>) -> Result<jobstore_bytes, Failure> {
        let result = result.as_ref();
        // SAFETY: `malloc` has no preconditions. A slice is at most isize::MAX bytes long, so
        // adding 1 does not overflow.
        let memory = unsafe { libc::malloc(result.len() + 1) }.cast::<u8>();
        if memory.is_null() {
            return Err(invalid(format!("out of memory: {} bytes", result.len())));
        }
        let mut buffer = Buffer::new(memory.cast(), result.len() + 1)?;
        buffer.put(result);
        buffer.put(&[0]);
        Ok(jobstore_bytes {
            ptr: memory.cast(),
            len: result.len(),
        })
    }
}

/// Memory into which a result is written as far as it fits, while its whole length is counted.
pub(crate) struct Buffer {
    memory: *mut u8,
    capacity: usize,
    /// The length of everything that was written, whether it fitted or not.
    pub(crate) len: usize,
}

impl Buffer {
    pub(crate) fn new(memory: *mut c_char, capacity: usize) -> Result<Buffer, Failure> {
        if memory.is_null() && capacity > 0 {
            let problem = "invalid argument buffer: it is NULL, but the capacity is not 0";
            return Err(invalid(problem.to_owned()));
        }
        Ok(Buffer {
            memory: memory.cast(),
            capacity,
            len: 0,
        })
    }

    pub(crate) fn is_too_small(&self) -> bool {
        self.len > self.capacity
    }

    fn put(&mut self, bytes: &[u8]) {
        let start = self.len;
        self.len = self.len.saturating_add(bytes.len());
        if self.len <= self.capacity {
            // SAFETY: `start` is at most `len`, which is at most the capacity, so the result is
            // within the caller's memory.
            let to = unsafe { self.memory.add(start) };
            // SAFETY: the source is a slice of this length, and as many bytes of the caller's
            // memory begin at `to`. The two cannot overlap, because the source belongs to Rust.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        }
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
