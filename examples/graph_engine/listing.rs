//! The job list on standard output, in the JSON of the GES API and nothing else. A reader that
//! closes the pipe early is not an error.

use std::error::Error;
use std::io::{self, ErrorKind, Write};

use jobstore::Page;

pub fn print(page: &Page) -> Result<(), Box<dyn Error>> {
    let mut out = UntilClosed {
        inner: io::stdout().lock(),
        closed: false,
    };
    page.write_json(&mut out)?;
    out.write_all(b"\n")?;
    out.flush()?;
    Ok(())
}

/// Writes everything until the reader has closed the pipe, then discards the rest.
struct UntilClosed<W> {
    inner: W,
    closed: bool,
}

impl<W> UntilClosed<W> {
    /// Returns `instead` if there is no reader left.
    fn unless_closed<T>(&mut self, result: io::Result<T>, instead: T) -> io::Result<T> {
        match result {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(instead)
            }
            other => other,
        }
    }
}

impl<W: Write> Write for UntilClosed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.closed {
            return Ok(bytes.len());
        }
        let written = self.inner.write(bytes);
        self.unless_closed(written, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.closed {
            return Ok(());
        }
        let flushed = self.inner.flush();
        self.unless_closed(flushed, ())
    }
}
