//! A bounded channel whose operations are steps of the scheduler.
//!
//! It behaves like crossbeam's channel, as far as this crate uses it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::{Condvar, Mutex};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecvTimeoutError {
    Timeout,
    Disconnected,
}

struct State<T> {
    sent: VecDeque<T>,
    room: usize,
    has_sender: bool,
    has_receiver: bool,
}

struct Channel<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

pub(crate) struct Sender<T>(Arc<Channel<T>>);
pub(crate) struct Receiver<T>(Arc<Channel<T>>);

pub(crate) fn bounded<T>(room: usize) -> (Sender<T>, Receiver<T>) {
    let channel = Arc::new(Channel {
        state: Mutex::new(State {
            sent: VecDeque::new(),
            room,
            has_sender: true,
            has_receiver: true,
        }),
        changed: Condvar::new(),
    });
    (Sender(channel.clone()), Receiver(channel))
}

impl<T> Sender<T> {
    /// Returns the value if the channel is full or the receiver has been dropped.
    pub(crate) fn try_send(&self, value: T) -> Result<(), T> {
        let mut state = self.0.state.lock();
        if !state.has_receiver || state.sent.len() >= state.room {
            return Err(value);
        }
        state.sent.push_back(value);
        drop(state);
        self.0.changed.notify_all();
        Ok(())
    }
}

impl<T> Receiver<T> {
    pub(crate) fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        let mut state = self.0.state.lock();
        loop {
            if let Some(value) = state.sent.pop_front() {
                return Ok(value);
            }
            if !state.has_sender {
                return Err(RecvTimeoutError::Disconnected);
            }
            if self.0.changed.wait_for(&mut state, timeout).timed_out() {
                return Err(RecvTimeoutError::Timeout);
            }
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.state.lock().has_sender = false;
        self.0.changed.notify_all();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.0.state.lock().has_receiver = false;
    }
}
