//! The commands of a graph's jobs, by number. Events and the index refer to a command by its number.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::history::COMMANDS_MAX;

/// The commands of a graph, each with the number that was assigned to it. If the log lost the name of
/// a command, but not all events that refer to its number, the name is empty, and the number stays
/// taken.
pub(crate) struct Commands {
    names: BTreeMap<u8, Arc<str>>,
    numbers: BTreeMap<Arc<str>, u8>,
}

impl Commands {
    pub(crate) const fn new() -> Commands {
        Commands {
            names: BTreeMap::new(),
            numbers: BTreeMap::new(),
        }
    }

    /// The number of a command; `None` if it has none.
    pub(crate) fn number(&self, name: &str) -> Option<u8> {
        self.numbers.get(name).copied()
    }

    pub(crate) fn name(&self, number: u8) -> Option<&Arc<str>> {
        self.names.get(&number).filter(|name| !name.is_empty())
    }

    pub(crate) fn insert(&mut self, number: u8, name: &str) {
        let name: Arc<str> = name.into();
        if !name.is_empty() {
            self.numbers.insert(name.clone(), number);
        }
        self.names.insert(number, name);
    }

    /// Takes a number that an event refers to, and all numbers before it, even if the names of their
    /// commands are lost.
    pub(crate) fn take(&mut self, number: u8) {
        for number in self.last() + 1..=number.min(COMMANDS_MAX) {
            self.insert(number, "");
        }
    }

    /// The numbers after this one that can be assigned to commands.
    pub(crate) fn next(&self, taken: usize) -> Option<u8> {
        let last = self.names.last_key_value().map_or(0, |(&number, _)| number);
        let next = usize::from(last) + taken + 1;
        u8::try_from(next).ok().filter(|next| *next <= COMMANDS_MAX)
    }

    /// The commands with a number greater than this one, in order.
    pub(crate) fn after(&self, number: u8) -> impl Iterator<Item = (u8, &Arc<str>)> {
        let later = self.names.range(number + 1..);
        later.map(|(&number, name)| (number, name))
    }

    pub(crate) fn last(&self) -> u8 {
        self.names.last_key_value().map_or(0, |(&number, _)| number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_whose_name_is_lost_stays_taken() {
        let mut commands = Commands::new();
        commands.insert(1, "import_graph");
        commands.take(1);
        commands.take(3);
        assert_eq!(commands.next(0), Some(4));
        assert_eq!((commands.name(2), commands.name(3)), (None, None));
        assert_eq!(commands.number(""), None);
        assert_eq!(commands.number("import_graph"), Some(1));
        // The empty names are written to the index, and read from it.
        let mut again = Commands::new();
        for (number, name) in commands.after(0) {
            again.insert(number, name);
        }
        assert_eq!((again.last(), again.next(0)), (3, Some(4)));
        again.take(COMMANDS_MAX + 9);
        assert_eq!(again.next(0), None);
    }
}
