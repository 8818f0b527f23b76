//! Guarantee: as a service of systemd, `serve` reports when it is ready, that it responds, and when
//! it stops, and accepts tokens that are passed as a credential.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::serve::Served;
use crate::tool::Place;

/// The socket of a service manager.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    fn new(place: &Place) -> Manager {
        let socket = UnixDatagram::bind(place.path("notify")).unwrap();
        let time = Some(Duration::from_secs(60));
        socket.set_read_timeout(time).unwrap();
        Manager { socket }
    }

    fn next(&self) -> String {
        let mut bytes = [0; 4096];
        let read = self.socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..read].to_vec()).unwrap()
    }
}

fn serve(place: &Place) -> Command {
    let mut command = place.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("NOTIFY_SOCKET", place.path("notify"));
    command
}

#[test]
fn systemd_is_told_when_the_server_is_ready_and_when_it_stops() {
    let place = Place::filled();
    let manager = Manager::new(&place);
    let served = Served::spawn(&mut serve(&place));
    let ready = manager.next();
    let address = ready
        .strip_prefix("READY=1\nSTATUS=listening on http://")
        .unwrap_or_else(|| panic!("{ready}"));
    // A client that connects now is served.
    assert!(address.starts_with("127.0.0.1:"), "{ready}");
    assert!(served.get("/health", &[]).is_whole);
    assert!(place.store().join("control.sock").exists());
    served.signal(Signal::TERM);
    assert_eq!(manager.next(), "STOPPING=1\nSTATUS=stopping");
    assert_eq!(served.wait(), Some(0));
    assert!(place.store().join("CLOSED").exists());
}

#[test]
fn the_watchdog_is_told_twice_in_its_time() {
    let place = Place::filled();
    let manager = Manager::new(&place);
    let since = Instant::now();
    let served = Served::spawn(serve(&place).env("WATCHDOG_USEC", "400000"));
    assert!(manager.next().starts_with("READY=1\n"));
    for _ in 0..6 {
        assert_eq!(manager.next(), "WATCHDOG=1");
    }
    // The first message is sent immediately, and the others every 200 ms.
    assert!(since.elapsed() >= Duration::from_secs(1));
    assert_eq!(served.end(), Some(0));
    // A watchdog of another process.
    let other = Served::spawn(
        serve(&place)
            .env("WATCHDOG_USEC", "1000")
            .env("WATCHDOG_PID", "1"),
    );
    let mut next = manager.next();
    while next.starts_with("WATCHDOG=1") || next.starts_with("STOPPING=1") {
        next = manager.next();
    }
    assert!(next.starts_with("READY=1\n"), "{next}");
    std::thread::sleep(Duration::from_millis(50));
    other.signal(Signal::TERM);
    assert!(manager.next().starts_with("STOPPING=1"));
    assert_eq!(other.wait(), Some(0));
}

#[test]
fn a_service_manager_that_cannot_be_reached_stops_nothing() {
    let place = Place::filled();
    for name in [place.path("nothing").to_str().unwrap(), "not/absolute"] {
        let mut command = serve(&place);
        command.env("NOTIFY_SOCKET", name).stderr(Stdio::piped());
        let mut served = Served::spawn(&mut command);
        assert!(served.get("/health", &[]).is_whole);
        let stderr = served.stderr();
        assert_eq!(served.end(), Some(0));
        let said = std::io::read_to_string(stderr).unwrap();
        assert!(said.contains("cannot notify the service manager"), "{said}");
    }
}

/// systemd grants access to a credential with an access control list, which shows as mode 0440.
#[test]
fn tokens_are_accepted_as_a_credential() {
    let place = Place::filled();
    let directory = place.path("credentials");
    std::fs::create_dir(&directory).unwrap();
    let tokens = directory.join("tokens");
    std::fs::write(&tokens, "good-0123456789abcdef 10001\n").unwrap();
    let set_mode = |mode| std::fs::set_permissions(&tokens, PermissionsExt::from_mode(mode));
    set_mode(0o440).unwrap();
    let text = tokens.to_str().unwrap();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--tokens", text];
    let said = place.run(&arguments).said(2);
    assert!(said.contains("other users can access it"), "{said}");
    let passed = || {
        let mut command = place.command(&arguments);
        command.env("CREDENTIALS_DIRECTORY", &directory);
        command
    };
    let served = Served::spawn(&mut passed());
    let list = "/ges/v1.0/10001/graphs/movie/jobs/status";
    let with = |token: &str| served.get(list, &[("X-Auth-Token", token)]).status;
    assert_eq!(with("good-0123456789abcdef"), 200);
    assert_eq!(with("other-0123456789abcde"), 401);
    assert_eq!(served.end(), Some(0));
    for mode in [0o444, 0o460] {
        set_mode(mode).unwrap();
        let refused = passed().output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{mode:o}");
    }
    // The variable makes no other file acceptable.
    let other = place.path("tokens");
    std::fs::copy(&tokens, &other).unwrap();
    std::fs::set_permissions(&other, PermissionsExt::from_mode(0o440)).unwrap();
    let other = other.to_str().unwrap();
    let mut command = place.command(&["serve", "--listen", "127.0.0.1:0", "--tokens", other]);
    let refused = command.env("CREDENTIALS_DIRECTORY", &directory).output();
    assert_eq!(refused.unwrap().status.code(), Some(2));
}
