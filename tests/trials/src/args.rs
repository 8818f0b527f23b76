//! The command-line arguments of a trial.
//!
//! Contains [`Args`]. An unknown argument ends the program.

use std::process::exit;

/// Arguments of the form `--name` and `--name value`.
pub struct Args {
    usage: &'static str,
    left: Vec<String>,
}

impl Args {
    /// Returns the arguments of this process.
    #[must_use]
    pub fn new(usage: &'static str) -> Args {
        Args {
            usage,
            left: std::env::args().skip(1).collect(),
        }
    }

    /// Returns whether this flag is given.
    pub fn flag(&mut self, name: &str) -> bool {
        let place = self.left.iter().position(|word| word == name);
        place.map(|n| self.left.remove(n)).is_some()
    }

    /// Returns the number after this option.
    pub fn number(&mut self, name: &str) -> Option<u64> {
        let number = self.text(name)?.parse().ok();
        if number.is_none() {
            self.refuse();
        }
        number
    }

    /// Returns the text after this option.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let place = self.left.iter().position(|word| word == name)?;
        if place + 1 == self.left.len() {
            self.refuse();
        }
        self.left.drain(place..place + 2).nth(1)
    }

    /// Must be called after all arguments have been read.
    pub fn end(&self) {
        if !self.left.is_empty() {
            self.refuse();
        }
    }

    fn refuse(&self) {
        eprintln!("usage: {}", self.usage);
        exit(2);
    }
}
