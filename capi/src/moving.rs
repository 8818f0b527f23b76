// Moving jobs between stores: export and import as JSON lines.

use std::ffi::c_void;
use std::mem::MaybeUninit;

use jobstore::{JobQuery, OnBadLine};

use crate::bytes::jobstore_bytes;
use crate::call::{call, given, put};
use crate::callback::{CallbackReader, CallbackWriter, User, jobstore_read_fn, jobstore_write_fn};
use crate::error::jobstore_error;
use crate::graph::jobstore_graph;
use crate::text::jobstore_text;

/// Exports the jobs that match a query string as JSON lines. If `reveal_secrets` is true, the
/// requests contain their real secrets: protect the output like the credentials in it.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_export(
    graph: Option<&jobstore_graph>,
    query: jobstore_text,
    reveal_secrets: bool,
    write: jobstore_write_fn,
    user: *mut c_void,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    let user = User(user);
    call(error, || {
        let graph = &given(graph, "graph")?.0;
        let query: JobQuery = query.read("query")?.parse()?;
        let write = given(write, "write")?;
        let mut export = graph.export(query)?;
        if reveal_secrets {
            export = export.reveal_secrets();
        }
        Ok(export.write_all(CallbackWriter { write, user })?)
    })
}

/// Imports jobs from JSON lines, in the format of an export or as bare requests, and returns a
/// report as JSON. If `skip_bad_lines` is true, invalid lines are skipped and listed in the report;
/// otherwise, the first of them is an error. An import can be repeated: it skips jobs that exist.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_import(
    graph: Option<&jobstore_graph>,
    skip_bad_lines: bool,
    read: jobstore_read_fn,
    user: *mut c_void,
    json: Option<&mut MaybeUninit<jobstore_bytes>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    let user = User(user);
    call(error, || {
        let (graph, read) = (&given(graph, "graph")?.0, given(read, "read")?);
        let on_bad_line = match skip_bad_lines {
            true => OnBadLine::Skip,
            false => OnBadLine::Stop,
        };
        put(json, "json", || {
            let report = graph.import(CallbackReader { read, user }, on_bad_line)?;
            jobstore_bytes::new(report.to_json())
        })
    })
}
