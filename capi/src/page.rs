// Pages of the list.

use std::ffi::{c_char, c_void};
use std::io::{self, Write};
use std::mem::MaybeUninit;

use jobstore::{Error, ListRequest, Page};

use crate::bytes::{Buffer, jobstore_bytes};
use crate::call::{call, free, get, given, handle, put};
use crate::callback::{CallbackWriter, User, jobstore_write_fn};
use crate::error::{Failure, jobstore_error};
use crate::graph::jobstore_graph;
use crate::text::jobstore_text;

/// A page of the list: a snapshot of one instant. Any number of threads may use it at the same
/// time. It keeps files of the store, so free it soon.
pub struct jobstore_page {
    page: Page,
    /// Whether the page is written with the details of each job.
    detailed: bool,
}

impl jobstore_page {
    fn write(&self, mut out: impl Write) -> Result<(), Failure> {
        if !self.detailed {
            return Ok(self.page.write_json(out)?);
        }
        for chunk in self.page.detailed_chunks() {
            out.write_all(&chunk?).map_err(|e| Error::Output {
                kind: e.kind(),
                message: e.to_string().into(),
            })?;
        }
        Ok(())
    }
}

/// Lists jobs. `query` is a query string with the parameters of the GES job-list API (`offset`,
/// `limit`, `job_id`) and those that jobstore adds, such as `state`, `outcome`, `command`, `order`,
/// `cursor`, and `detail`; the values are percent-encoded. The empty text lists the first 100,000
/// jobs, oldest first. An unknown parameter is an error.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_list(
    graph: Option<&jobstore_graph>,
    query: jobstore_text,
    page: Option<&mut MaybeUninit<*mut jobstore_page>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let graph = &given(graph, "graph")?.0;
        let request: ListRequest = query.read("query")?.parse()?;
        put(page, "page", || {
            let detailed = request.detailed;
            let page = graph.list_requested(request)?;
            Ok(handle(jobstore_page { page, detailed }))
        })
    })
}

/// Returns the number of jobs on the page.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_page_len(page: Option<&jobstore_page>) -> usize {
    get(page, 0, |page| page.page.len())
}

/// Returns the number of jobs that match the query in total, or -1 if it is unknown because the
/// query requires a scan; `count_total=true` counts them.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_page_total(page: Option<&jobstore_page>) -> i64 {
    get(page, -1, |page| {
        page.page
            .total()
            .map_or(-1, |total| i64::try_from(total).unwrap_or(i64::MAX))
    })
}

/// Returns the cursor of the next page, for the parameter `cursor`. If this is the last page, the
/// pointer is NULL, and the call succeeds.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_page_next(
    page: Option<&jobstore_page>,
    cursor: Option<&mut MaybeUninit<jobstore_bytes>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let next = given(page, "page")?.page.next();
        put(cursor, "cursor", || {
            next.map_or(Ok(jobstore_bytes::NONE), |next| {
                jobstore_bytes::new(next.to_string())
            })
        })
    })
}

/// Writes the page as JSON, `{"jobs":[..],"result":"success"}`, in parts of any size. This is the
/// fastest way to read a page.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_page_write(
    page: Option<&jobstore_page>,
    write: jobstore_write_fn,
    user: *mut c_void,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    let user = User(user);
    call(error, || {
        let (page, write) = (given(page, "page")?, given(write, "write")?);
        page.write(CallbackWriter { write, user })
    })
}

/// Writes the page as JSON into a buffer. `len` receives the length of the JSON. If the buffer is
/// too small, the call returns `JOBSTORE_ERROR_BUFFER_TOO_SMALL`, `len` receives the required
/// capacity, and the content of the buffer is undefined.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_page_read(
    page: Option<&jobstore_page>,
    buffer: *mut c_char,
    capacity: usize,
    len: Option<&mut MaybeUninit<usize>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let page = given(page, "page")?;
        let mut out = Buffer::new(buffer, capacity)?;
        let mut too_small = false;
        put(len, "len", || {
            page.write(&mut out)?;
            too_small = out.is_too_small();
            Ok(out.len)
        })?;
        match too_small {
            true => Err(Failure::BufferTooSmall {
                capacity,
                len: out.len,
            }),
            false => Ok(()),
        }
    })
}

/// Returns the length of the page as JSON. To find it, the page is read once, which takes about as
/// long as writing it.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_page_size(
    page: Option<&jobstore_page>,
    len: Option<&mut MaybeUninit<usize>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let page = given(page, "page")?;
        put(len, "len", || {
            let mut counter = Counter(0);
            page.write(&mut counter)?;
            Ok(counter.0)
        })
    })
}

/// Counts the bytes that are written.
struct Counter(usize);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Frees a page.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_page_free(page: Option<Box<jobstore_page>>) {
    free(page);
}
