//! Network namespaces in which processes run, and partitions between them and this one.

use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use jobstore_trials::random::Random;

/// Two namespaces, each with a link of its own to this one. They are deleted when this is dropped.
pub struct Network {
    sides: [Side; 2],
}

pub struct Side {
    namespace: String,
    /// The name of the link's end outside of the namespace.
    link: String,
    /// The address of this end.
    pub outside: String,
    inside: String,
}

/// A partition, which ends when this is dropped.
pub struct Partition {
    /// The arguments of `ip` that end it.
    ends_with: Option<String>,
}

impl Network {
    /// Returns an error with the reason if the namespaces cannot be created.
    pub fn new() -> Result<Network, String> {
        let id = std::process::id();
        let network = Network {
            sides: [0, 1].map(|n| {
                // Of 198.18.0.0/15, which is reserved for tests of networks, four addresses each.
                let first = 4 * (2 * (id % 16_384) + n);
                let base = u32::from(Ipv4Addr::new(198, 18, 0, 0)) + first;
                let address = |n: u32| Ipv4Addr::from(base + n).to_string();
                Side {
                    namespace: format!("jobstore-{id}-{n}"),
                    link: format!("jobs{id}-{n}"),
                    outside: address(1),
                    inside: address(2),
                }
            }),
        };
        network.sides.iter().try_for_each(Side::create)?;
        Ok(network)
    }

    /// Where a process of this round runs.
    pub fn side(&self, round: u64) -> &Side {
        &self.sides[(round % 2) as usize]
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for Side {
            namespace, link, ..
        } in &self.sides
        {
            // Connections may keep a namespace, and thus a link, for a while.
            ip(&format!("link delete {link}")).ok();
            ip(&format!("netns delete {namespace}")).ok();
        }
    }
}

impl Side {
    fn create(&self) -> Result<(), String> {
        let Side {
            namespace,
            link,
            outside,
            inside,
        } = self;
        [
            format!("netns add {namespace}"),
            format!("link add {link} type veth peer name inside netns {namespace}"),
            format!("address add {outside}/30 dev {link}"),
            format!("link set {link} up"),
            format!("-netns {namespace} address add {inside}/30 dev inside"),
            format!("-netns {namespace} link set inside up"),
        ]
        .iter()
        .try_for_each(|arguments| ip(arguments))
    }

    /// Returns the command that runs another one in this namespace.
    pub fn enter(&self, command: &Command) -> Command {
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", &self.namespace]);
        inside.arg(command.get_program()).args(command.get_args());
        inside
    }

    /// Begins a partition of a random kind.
    pub fn cut(&self, random: &mut Random) -> Result<Partition, String> {
        let Side {
            namespace,
            link,
            outside,
            inside,
        } = self;
        let (begins_with, ends_with) = match random.below(4) {
            0 => (
                format!("link set {link} down"),
                format!("link set {link} up"),
            ),
            // Requests arrive, but responses do not.
            1 => (
                format!("route add blackhole {inside}"),
                format!("route delete blackhole {inside}"),
            ),
            // Requests disappear, or cannot be sent.
            kind => {
                let kind = ["blackhole", "unreachable"][(kind % 2) as usize];
                let route = |what| format!("-netns {namespace} route {what} {kind} {outside}");
                (route("add"), route("delete"))
            }
        };
        ip(&begins_with)?;
        Ok(Partition {
            ends_with: Some(ends_with),
        })
    }
}

impl Partition {
    pub fn heal(mut self) -> Result<(), String> {
        self.ends_with.take().map_or(Ok(()), |how| ip(&how))
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        self.ends_with.take().map(|how| ip(&how));
    }
}

/// Runs the program `ip`.
fn ip(arguments: &str) -> Result<(), String> {
    let mut command = Command::new("ip");
    command.args(arguments.split(' ')).stdin(Stdio::null());
    let output = command.output().map_err(|e| format!("ip: {e}"))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("ip {arguments}: {}", said.trim()))
        }
    }
}
