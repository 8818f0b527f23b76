//! Notifications to the service manager, in the protocol of sd_notify(3).
//!
//! Contains [`ServiceManager`], which systemd names in the environment of a service of `Type=notify`.
//! Without one, nothing is sent. A notification that cannot be sent is reported, and the server
//! continues.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::output;

/// The service manager that waits for notifications.
pub(crate) struct ServiceManager {
    socket: UnixDatagram,
    address: SocketAddr,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// Returns the service manager that the environment names.
    pub(crate) fn from_environment() -> Option<ServiceManager> {
        let name = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty())?;
        let variable = |name| std::env::var(name).ok();
        let watchdog = watchdog(variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"));
        match open(&name) {
            Ok((socket, address)) => Some(ServiceManager {
                socket,
                address,
                watchdog,
            }),
            Err(error) => {
                failed(&error);
                None
            }
        }
    }

    /// Reports that the server accepts connections.
    pub(crate) fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}"));
    }

    /// Reports that the server shuts down.
    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=stopping");
    }

    /// Reports that the server responds.
    pub(crate) fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// Returns how often [`ServiceManager::alive`] must be called: twice in the time after which the
    /// service manager restarts a server that is silent.
    pub(crate) fn alive_every(&self) -> Option<Duration> {
        self.watchdog
    }

    fn send(&self, state: &str) {
        let sent = self.socket.send_to_addr(state.as_bytes(), &self.address);
        if let Err(error) = sent {
            failed(&error);
        }
    }
}

fn failed(error: &io::Error) {
    output::note(&format!(
        "cannot notify the service manager (NOTIFY_SOCKET): {error}"
    ));
}

fn open(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    Ok((UnixDatagram::unbound()?, address(name)?))
}

/// Returns the address of a socket: an absolute path, or, after `@`, a name in Linux's abstract
/// namespace.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(name),
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => {
            use std::os::linux::net::SocketAddrExt;
            SocketAddr::from_abstract_name(name)
        }
        _ => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "it must be an absolute path, or a name that begins with @",
        )),
    }
}

/// Returns half of the watchdog's timeout, if there is a watchdog for this process.
fn watchdog(usec: Option<String>, pid: Option<String>) -> Option<Duration> {
    if pid.is_some_and(|pid| pid != std::process::id().to_string()) {
        return None;
    }
    let usec: u64 = usec?.parse().ok()?;
    (usec > 0).then(|| Duration::from_micros(usec.div_ceil(2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_has_a_path_or_an_abstract_name() {
        let path = address(OsStr::new("/run/systemd/notify")).unwrap();
        let expected = OsStr::new("/run/systemd/notify");
        assert_eq!(path.as_pathname().unwrap().as_os_str(), expected);
        #[cfg(target_os = "linux")]
        {
            use std::os::linux::net::SocketAddrExt;
            let name = address(OsStr::new("@/org/notify")).unwrap();
            assert_eq!(name.as_abstract_name(), Some(&b"/org/notify"[..]));
        }
        for other in ["vsock:2:1", "run/notify"] {
            assert!(address(OsStr::new(other)).is_err(), "{other}");
        }
    }

    #[test]
    fn a_watchdog_is_for_one_process() {
        let of = |usec: &str, pid: Option<String>| watchdog(Some(usec.to_owned()), pid);
        let half = Some(Duration::from_secs(15));
        assert_eq!(of("30000000", None), half);
        assert_eq!(of("30000000", Some(std::process::id().to_string())), half);
        assert_eq!(of("30000000", Some("0".to_owned())), None);
        assert_eq!(of("0", None), None);
        assert_eq!(of("", None), None);
        assert_eq!(watchdog(None, None), None);
    }
}
