// Options for opening a store, set as text.

use std::mem::MaybeUninit;

use jobstore::Options;
use jobstore::replica::connect;

use crate::call::{call, free, given, handle, invalid, put};
use crate::error::jobstore_error;
use crate::text::jobstore_text;

/// Options for opening a store. Only one thread at a time may use them.
pub struct jobstore_options(pub(crate) Options);

/// Creates the default options.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_options_new(
    options: Option<&mut MaybeUninit<*mut jobstore_options>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        put(options, "options", || {
            Ok(handle(jobstore_options(Options::default())))
        })
    })
}

/// Sets an option as text. All options and their values are listed in `docs/bindings.md`. A new
/// release may add options, but not functions to set them. `replica` is the URL of a replica, such
/// as `s3://bucket/prefix`, if the library was built with the feature for its backend.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_options_set(
    options: Option<&mut jobstore_options>,
    name: jobstore_text,
    value: jobstore_text,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let options = given(options, "options")?;
        let (name, value) = (name.read("name")?, value.read("value")?);
        let set = match name {
            "replica" => {
                let replica = connect(value).map_err(|error| invalid(error.to_string()))?;
                options.0.clone().replica(replica)
            }
            _ => options.0.clone().set(name, value)?,
        };
        options.0 = set;
        Ok(())
    })
}

/// Frees options. A store that was opened with them is not affected.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_options_free(options: Option<Box<jobstore_options>>) {
    free(options);
}
