//! The memory of this process, as the system counts it.

/// The current and the peak memory, in KiB.
#[derive(Clone, Copy)]
pub struct Memory {
    pub now_kib: u64,
    pub most_kib: u64,
}

pub fn memory() -> Memory {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = |name: &str| {
        let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
        rest.split_whitespace().next()?.parse().ok()
    };
    // 0 if the system has no such file.
    Memory {
        now_kib: line("VmRSS:").unwrap_or(0),
        most_kib: line("VmHWM:").unwrap_or(0),
    }
}
