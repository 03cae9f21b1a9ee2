//! Writes log lines to standard error in a thread of its own, so that no request waits for the reader of the log.
//!
//! If standard error is not read, or its disk is full, lines are dropped and counted. `write` of the standard library
//! would block the request, and with it every other one on its thread.
//!
//! Characters that control a terminal are escaped: clients choose parts of lines, and administrators print them.

use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, Write},
    sync::{Arc, OnceLock, mpsc::sync_channel},
    thread,
    time::Duration,
};

use prometheus_client::metrics::counter::Counter;
use tracing_subscriber::fmt::MakeWriter;

use crate::{
    measure::{self, Step},
    telemetry::line_queue::{Batch, LineQueue},
};

/// Lines that wait to be written, with those that are being written.
const QUEUE_LINES: usize = 4096;
/// Bytes of these lines.
const QUEUE_BYTES: usize = 16 * 1024 * 1024;
/// Pause after each write.
const PAUSE: Duration = Duration::from_millis(2);
/// Time for the last lines when the process ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The dropped lines of this process.
pub(crate) fn dropped() -> &'static Counter {
    static DROPPED: OnceLock<Counter> = OnceLock::new();
    DROPPED.get_or_init(Counter::default)
}

/// Queues lines.
#[derive(Clone, Debug)]
pub(crate) struct Lines(Arc<LineQueue>);

/// Waits for the queued lines when it is dropped, at the end of the process.
#[derive(Debug)]
pub(crate) struct Flush(Lines);

impl Lines {
    /// Starts the thread that writes to `output`.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(super) fn start(mut output: impl Write + Send + 'static) -> io::Result<Self> {
        let queue = Arc::new(LineQueue::new(QUEUE_LINES, QUEUE_BYTES));
        let lines = Self(Arc::clone(&queue));
        let write = move |batch: &Batch| {
            measure::job(Step::LogThread, || {
                // A closed standard error leaves no place to report to.
                let _ = output.write_all(&batch.text);
            });
        };
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || queue.run(PAUSE, write))?;
        Ok(lines)
    }

    pub(super) fn flush_at_end(&self) -> Flush {
        Flush(self.clone())
    }

    /// Queues one line, or drops it while the queue is full.
    pub(super) fn send(&self, line: &[u8]) {
        if !self.0.send(&escaped(line), 0) {
            dropped().inc();
        }
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.send(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Escapes what JSON leaves as it is and terminals obey: DEL, the C1 controls, and the direction of text.
fn escaped(line: &[u8]) -> Cow<'_, [u8]> {
    if line.is_ascii() && memchr::memchr(0x7f, line).is_none() {
        return line.into();
    }
    let Ok(text) = str::from_utf8(line) else {
        return line.into();
    };
    let mut out = String::with_capacity(line.len());
    for character in text.chars() {
        match character {
            '\u{7f}'..='\u{9f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                // Writing into a string cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    out.into_bytes().into()
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        let (done, written) = sync_channel(1);
        self.0
            .0
            .when_written(move || done.try_send(()).unwrap_or_default());
        // After the timeout, the log is not read.
        let _ = written.recv_timeout(FLUSH_TIMEOUT);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, mpsc};

    use super::*;

    /// An output that is not read until the sender is dropped.
    struct Stuck(mpsc::Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            let mut written = self.1.lock().map_err(|_| io::ErrorKind::Other)?;
            written.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn characters_that_control_a_terminal_are_escaped() {
        let line = "{\"a\":\"\u{9b}31m\u{7f} \u{202e}x\u{2066} ü 🦊\"}\n";
        let written = String::from_utf8(escaped(line.as_bytes()).into_owned()).unwrap();
        assert_eq!(
            written,
            "{\"a\":\"\\u009b31m\\u007f \\u202ex\\u2066 ü 🦊\"}\n"
        );
        let back: serde_json::Value = serde_json::from_str(&written).unwrap();
        assert_eq!(
            back,
            serde_json::from_str::<serde_json::Value>(line).unwrap()
        );
        assert_eq!(&*escaped(b"plain\n"), b"plain\n");
        assert_eq!(&*escaped(b"\xff\x7f"), b"\xff\x7f");
    }

    #[test]
    fn a_stuck_output_blocks_no_line_and_the_lines_beyond_the_queue_are_counted() {
        let (reader, stuck) = mpsc::channel();
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let mut lines = Lines::start(Stuck(stuck, Arc::clone(&written))).unwrap();
        let before = dropped().get();
        for _ in 0..QUEUE_LINES * 3 {
            lines.write_all(b"line\n").unwrap();
        }
        let lost = dropped().get() - before;
        assert!(lost >= u64::try_from(QUEUE_LINES * 2).unwrap(), "{lost}");
        drop(reader);
        let mut waits = 0;
        while written.lock().unwrap().len() < 5 * QUEUE_LINES {
            waits += 1;
            assert!(
                waits < 60_000,
                "the queue is written once the output is read"
            );
            std::thread::yield_now();
            let (_never, wait) = mpsc::channel::<()>();
            let _ = wait.recv_timeout(Duration::from_millis(1));
        }
        drop(lines.flush_at_end());
    }
}
