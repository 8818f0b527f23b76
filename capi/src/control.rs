// The control socket, through which the `jobstore` CLI uses an open store.

use std::mem::MaybeUninit;

use crate::bytes::jobstore_bytes;
use crate::call::{call, free, given, handle, put};
use crate::error::{Failure, jobstore_error};
use crate::store::jobstore_store;

#[cfg(feature = "control")]
use jobstore::http::Control;

#[cfg(not(feature = "control"))]
struct Control;

/// An open control socket.
pub struct jobstore_control(Control);

/// Opens the control socket in the store's directory, so that the `jobstore` CLI can use the store
/// while this process has it open. It serves requests on a thread of its own.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_open_control(
    store: Option<&jobstore_store>,
    control: Option<&mut MaybeUninit<*mut jobstore_control>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let store = given(store, "store")?;
        put(control, "control", || {
            Ok(handle(jobstore_control(open(store)?)))
        })
    })
}

/// Returns the path of the control socket.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_control_path(
    control: Option<&jobstore_control>,
    path: Option<&mut MaybeUninit<jobstore_bytes>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let control = given(control, "control")?;
        put(path, "path", || jobstore_bytes::new(path_of(&control.0)))
    })
}

/// Closes a control socket, and frees it.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_control_free(control: Option<Box<jobstore_control>>) {
    free(control);
}

#[cfg(feature = "control")]
fn open(store: &jobstore_store) -> Result<Control, Failure> {
    Ok(store.0.control()?)
}

#[cfg(feature = "control")]
fn path_of(control: &Control) -> String {
    control.path().to_string_lossy().into_owned()
}

#[cfg(not(feature = "control"))]
fn open(_: &jobstore_store) -> Result<Control, Failure> {
    let what = "this library was built without the control socket; build it with the feature \
         `control`";
    Err(jobstore::Error::InvalidUse { what }.into())
}

#[cfg(not(feature = "control"))]
fn path_of(_: &Control) -> String {
    String::new()
}
