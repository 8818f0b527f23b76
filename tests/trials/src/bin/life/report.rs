//! The statistics of a run: operations and faults by kind, steps, simulated time.

use std::collections::BTreeMap;

use crate::operations::Op;

/// How much followers have done.
#[derive(Clone, Copy, Default)]
pub struct FollowerTally {
    /// Steps of their threads.
    pub steps: u64,
    /// How often what they list was compared: of all jobs, while they were current or behind.
    pub current: u64,
    pub behind: u64,
    /// How often all of their answers were compared, while they were current.
    pub compared: u64,
    pub restores: u64,
    pub promotions: u64,
}

#[derive(Default)]
pub struct Report {
    pub lives: u64,
    pub steps: u64,
    pub opens: u64,
    pub simulated_ms: u64,
    pub followers: FollowerTally,
    ran: BTreeMap<&'static str, u64>,
    idle: BTreeMap<&'static str, u64>,
}

impl FollowerTally {
    pub fn add(&mut self, other: FollowerTally) {
        self.steps += other.steps;
        self.current += other.current;
        self.behind += other.behind;
        self.compared += other.compared;
        self.restores += other.restores;
        self.promotions += other.promotions;
    }
}

impl Report {
    pub fn note(&mut self, op: &Op, ran: bool) {
        self.steps += 1;
        let counts = if ran { &mut self.ran } else { &mut self.idle };
        *counts.entry(op.name()).or_default() += 1;
    }

    pub fn add(&mut self, other: Report) {
        self.lives += other.lives;
        self.steps += other.steps;
        self.opens += other.opens;
        self.simulated_ms += other.simulated_ms;
        self.followers.add(other.followers);
        for (name, n) in other.ran {
            *self.ran.entry(name).or_default() += n;
        }
        for (name, n) in other.idle {
            *self.idle.entry(name).or_default() += n;
        }
    }

    pub fn print(&self) {
        println!(
            "{} lives, {} steps, {} opens, {} simulated hours",
            self.lives,
            self.steps,
            self.opens,
            self.simulated_ms / 3_600_000
        );
        let FollowerTally {
            steps,
            current,
            behind,
            compared,
            restores,
            promotions,
        } = self.followers;
        println!(
            "followers: {steps} steps, {current} lists compared while current and {behind} while \
             behind, all answers {compared} times, {restores} restores, {promotions} promotions"
        );
        for (title, faults) in [("operations", false), ("faults", true)] {
            let of_kind = Op::NAMES.iter().filter(|name| Op::is_fault(name) == faults);
            let counts = of_kind.map(|name| {
                let ran = self.ran.get(name).copied().unwrap_or(0);
                format!("{name} {ran}")
            });
            println!("{title}: {}", counts.collect::<Vec<_>>().join(", "));
        }
        let never: Vec<&str> = Op::NAMES
            .iter()
            .filter(|name| !self.ran.contains_key(*name))
            .copied()
            .collect();
        if !never.is_empty() {
            println!("NEVER RAN: {}", never.join(", "));
        }
    }
}
