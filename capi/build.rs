//! Sets the soname of the shared library. A program linked to 0.1 runs with any later 0.1.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let part = |name: &str| env::var(format!("CARGO_PKG_VERSION_{name}")).unwrap_or_default();
    let (major, minor) = (part("MAJOR"), part("MINOR"));
    let suffix = match major.as_str() {
        "0" => format!("0.{minor}"),
        _ => major,
    };
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libjobstore.so.{suffix}");
    }
}
