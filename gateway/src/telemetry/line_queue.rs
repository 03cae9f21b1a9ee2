//! A queue of lines for a thread that writes them, so that no request waits for a disk or a pipe.
//!
//! Requests append to one buffer while the thread writes the other: a line costs a copy, and neither an allocation nor the start
//! of a thread. The thread pauses after each write, so lines of a busy gateway are written together. It sleeps while the queue is empty.

use std::{
    mem,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// Bytes of a buffer that is kept.
const KEPT_BYTES: usize = 1024 * 1024;

/// Called when all lines so far are written.
type Then = Box<dyn FnOnce() + Send>;

/// A queue with a bound.
pub(super) struct LineQueue {
    most_lines: usize,
    most_bytes: usize,
    state: Mutex<State>,
    /// The queue is no longer empty, or closed.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Batch,
    /// Lines and bytes that the thread is writing.
    writing: (usize, usize),
    thens: Vec<Then>,
    is_closed: bool,
    /// Whether the thread waits for `changed`.
    is_idle: bool,
}

/// Lines that are written at once.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) text: Vec<u8>,
    pub(super) lines: usize,
    /// Dropped lines that these report.
    pub(super) reported: u64,
}

impl std::fmt::Debug for LineQueue {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (lines, bytes) = self.size();
        write!(formatter, "LineQueue({lines} lines, {bytes} bytes)")
    }
}

impl LineQueue {
    /// A queue of at most so many lines and bytes, with those that are being written.
    pub(super) fn new(most_lines: usize, most_bytes: usize) -> Self {
        Self {
            most_lines,
            most_bytes,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Appends a line, and returns whether it had room. `reported`: the dropped lines that it reports.
    #[must_use]
    pub(super) fn send(&self, line: &[u8], reported: u64) -> bool {
        let mut state = self.state();
        let (lines, bytes) = state.size();
        let has_room =
            lines < self.most_lines && bytes.saturating_add(line.len()) <= self.most_bytes;
        if has_room {
            state.waiting.add(line, reported);
            self.wake(state);
        }
        has_room
    }

    /// Calls `then` in the thread when all lines so far are written.
    pub(super) fn when_written(&self, then: impl FnOnce() + Send + 'static) {
        let mut state = self.state();
        state.thens.push(Box::new(then));
        self.wake(state);
    }

    /// Ends [`Self::run`] after the last line.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        self.wake(state);
    }

    /// Passes all lines to `write`, until the queue is closed.
    #[expect(
        clippy::disallowed_methods,
        reason = "the thread of the queue runs nothing else"
    )]
    pub(super) fn run(&self, pause: Duration, mut write: impl FnMut(&Batch)) {
        let mut batch = Batch::default();
        while let Some(thens) = self.next(&mut batch) {
            if batch.lines > 0 {
                write(&batch);
            }
            batch.clear();
            self.state().writing = (0, 0);
            for then in thens {
                then();
            }
            thread::sleep(pause);
        }
    }

    /// Lines and bytes in the queue.
    pub(super) fn size(&self) -> (usize, usize) {
        self.state().size()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the thread if it waits. In the pause after a write, it does not.
    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let was_idle = mem::take(&mut state.is_idle);
        drop(state);
        if was_idle {
            self.changed.notify_one();
        }
    }

    /// Waits for lines, and exchanges them for an empty batch. None after the last one.
    fn next(&self, batch: &mut Batch) -> Option<Vec<Then>> {
        let mut state = self.state();
        while state.waiting.lines == 0 && state.thens.is_empty() {
            if state.is_closed {
                return None;
            }
            state.is_idle = true;
            let woken = self.changed.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        state.is_idle = false;
        mem::swap(&mut state.waiting, batch);
        state.writing = (batch.lines, batch.text.len());
        Some(mem::take(&mut state.thens))
    }
}

impl State {
    fn size(&self) -> (usize, usize) {
        let (lines, bytes) = self.writing;
        (
            lines.saturating_add(self.waiting.lines),
            bytes.saturating_add(self.waiting.text.len()),
        )
    }
}

impl Batch {
    fn add(&mut self, line: &[u8], reported: u64) {
        self.text.extend_from_slice(line);
        self.lines = self.lines.saturating_add(1);
        self.reported = self.reported.saturating_add(reported);
    }

    /// Keeps the buffer of a usual batch.
    fn clear(&mut self) {
        self.text.clear();
        self.text.shrink_to(KEPT_BYTES);
        self.lines = 0;
        self.reported = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use super::*;

    #[test]
    fn lines_that_are_being_written_count_and_give_their_room_back() {
        let queue = LineQueue::new(3, 10);
        assert!(queue.send(b"12345", 1));
        let mut batch = Batch::default();
        assert!(queue.next(&mut batch).is_some());
        assert_eq!((batch.lines, batch.reported), (1, 1));
        assert!(queue.send(b"12345", 0));
        assert!(!queue.send(b"1", 0), "bytes");
        assert!(queue.send(b"", 0));
        assert!(!queue.send(b"", 0), "lines");
        let mut written = Vec::new();
        queue.close();
        queue.run(Duration::ZERO, |batch| written.push(batch.text.clone()));
        assert_eq!(written, [b"12345"]);
        assert_eq!(queue.size(), (0, 0));
        assert!(queue.send(b"1234567890", 0));
    }

    #[test]
    fn a_waiting_thread_is_woken_by_the_first_line_and_ends_with_the_queue() {
        let queue = Arc::new(LineQueue::new(1_000, 1_000_000));
        let shared = Arc::clone(&queue);
        let (sender, written) = mpsc::channel();
        let thread = thread::spawn(move || {
            shared.run(Duration::from_millis(1), |batch| {
                sender.send((batch.lines, batch.text.len())).unwrap();
            });
        });
        for number in 0..100 {
            while number % 10 == 0 && !queue.state().is_idle {
                thread::yield_now();
            }
            assert!(queue.send(b"line\n", 0));
            let state = queue.state();
            assert!(!state.is_idle || state.waiting.lines == 0);
        }
        let (done, all) = mpsc::channel();
        queue.when_written(move || done.send(()).unwrap());
        all.recv().unwrap();
        let batches: Vec<(usize, usize)> = written.try_iter().collect();
        assert_eq!(batches.iter().map(|batch| batch.0).sum::<usize>(), 100);
        assert_eq!(batches.iter().map(|batch| batch.1).sum::<usize>(), 500);
        queue.close();
        thread.join().unwrap();
    }

    #[test]
    fn the_buffer_of_an_unusual_batch_is_given_back() {
        let mut batch = Batch::default();
        batch.add(&vec![b'x'; KEPT_BYTES * 2], 1);
        batch.clear();
        assert!(batch.text.capacity() <= KEPT_BYTES);
        assert_eq!((batch.lines, batch.reported), (0, 0));
    }
}
