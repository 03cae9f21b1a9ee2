//! Writes audit records in a thread of its own, so that no request waits for a disk or a pipe.
//!
//! Records beyond the queue are dropped and counted, also in the next record that is written. The file is opened again when
//! its path names another file, so that it can be rotated by renaming it. A line that a crash or a full disk has cut stays
//! alone on its line: the next one begins with a line break.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    mem,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use prometheus_client::metrics::counter::Counter;
use tokio::sync::oneshot;

use super::AuditError;
use crate::telemetry::{
    line_queue::{Batch, LineQueue},
    otlp::LogsExport,
};

/// Records that wait to be written, with those that are being written.
const QUEUE_RECORDS: usize = 8192;
/// Bytes of these records.
const QUEUE_BYTES: usize = 16 * 1024 * 1024;
/// Records of one export.
const EXPORT_RECORDS: usize = 512;
/// Pause after each write.
const PAUSE: Duration = Duration::from_millis(5);
/// Time for the last records when the process ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// Only the gateway's user and group can read the file.
const MODE: u32 = 0o640;

/// The records of this process that could not be written.
pub(crate) fn dropped() -> &'static Counter {
    static DROPPED: OnceLock<Counter> = OnceLock::new();
    DROPPED.get_or_init(Counter::default)
}

/// The records that this process has written.
pub(crate) fn written() -> &'static Counter {
    static WRITTEN: OnceLock<Counter> = OnceLock::new();
    WRITTEN.get_or_init(Counter::default)
}

/// Queues records. The thread ends with it, after the last record.
#[derive(Debug)]
pub(super) struct Writer(Arc<Shared>);

/// What requests and the thread share.
#[derive(Debug)]
struct Shared {
    queue: LineQueue,
    /// Dropped records that no written record has reported.
    unreported: AtomicU64,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            queue: LineQueue::new(QUEUE_RECORDS, QUEUE_BYTES),
            unreported: AtomicU64::default(),
        }
    }
}

/// Where records are written.
#[derive(Debug)]
pub(super) enum Output {
    Stdout,
    /// A collector of OpenTelemetry.
    Otlp(LogsExport),
    File {
        path: PathBuf,
        /// None after a failure, until the next write.
        file: Option<File>,
    },
}

impl Output {
    /// A file, or `-`: standard output, or the collector, if any.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(super) fn open(output: &str, collector: Option<&LogsExport>) -> Result<Self, AuditError> {
        if output == api::config::Audit::STDOUT {
            return Ok(collector.map_or(Self::Stdout, |export| Self::Otlp(export.clone())));
        }
        let path = PathBuf::from(output);
        match append_to(&path) {
            Ok(file) => Ok(Self::File {
                path,
                file: Some(file),
            }),
            Err(source) => Err(AuditError::Open { path, source }),
        }
    }

    /// Most records in one write.
    fn most_records(&self) -> usize {
        match self {
            Self::Stdout | Self::File { .. } => usize::MAX,
            Self::Otlp(_) => EXPORT_RECORDS,
        }
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Otlp(export) => export.export(lines),
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(lines)?;
                stdout.flush()
            }
            Self::File { path, file } => {
                if !file.as_ref().is_some_and(|file| is_at(file, path)) {
                    *file = None;
                    *file = Some(append_to(path)?);
                }
                let result = file.as_mut().map_or(Ok(()), |file| file.write_all(lines));
                if result.is_err() {
                    *file = None;
                }
                result
            }
        }
    }
}

/// Whether the path still names this file.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |metadata: io::Result<std::fs::Metadata>| {
        metadata
            .map(|metadata| (metadata.dev(), metadata.ino()))
            .ok()
    };
    let open = identity(file.metadata());
    open.is_some() && open == identity(std::fs::metadata(path))
}

/// Opens a file for appending. If its last line is cut, ends it.
fn append_to(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let mut file = options
        .read(true)
        .append(true)
        .create(true)
        .mode(MODE)
        .open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() && metadata.len() > 0 {
        let mut last = [0_u8];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

impl Writer {
    /// Starts the thread that writes to `output`.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(super) fn start(output: Output) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let writer = Self(Arc::clone(&shared));
        thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || shared.run(output))?;
        Ok(writer)
    }

    /// The number of dropped records for the next record.
    pub(super) fn take_dropped(&self) -> u64 {
        let unreported = &self.0.unreported;
        // Usually zero: no write to memory that all threads share.
        if unreported.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        unreported.swap(0, Ordering::Relaxed)
    }

    /// Queues a record, or drops it while the queue is full. `reported`: the dropped records that it reports.
    pub(super) fn send(&self, record: &[u8], reported: u64) {
        if !self.0.queue.send(record, reported) {
            self.0.lose(1, reported);
        }
    }

    /// Waits until all queued records are written, for a while.
    pub(super) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        self.0
            .queue
            .when_written(|| done.send(()).unwrap_or_default());
        // After the timeout, the output is not read.
        let _ = tokio::time::timeout(FLUSH_TIMEOUT, written).await;
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.queue.close();
    }
}

impl Shared {
    /// Counts lost records; `reported` are those that they reported.
    fn lose(&self, records: u64, reported: u64) {
        dropped().inc_by(records);
        let unreported = records.saturating_add(reported);
        self.unreported.fetch_add(unreported, Ordering::Relaxed);
    }

    /// Writes records until the writer is dropped.
    fn run(&self, mut output: Output) {
        let mut failing = false;
        self.queue
            .run(PAUSE, |batch| self.write(batch, &mut output, &mut failing));
    }

    /// Writes a batch, or counts its records as lost.
    fn write(&self, batch: &Batch, output: &mut Output, failing: &mut bool) {
        let mut reported = batch.reported;
        let mut rest = batch.text.as_slice();
        while !rest.is_empty() {
            let (part, records, after) = first(rest, output.most_records());
            rest = after;
            let result = output.write(part);
            match &result {
                Ok(()) => {
                    written().inc_by(records);
                }
                Err(error) => {
                    self.lose(records, mem::take(&mut reported));
                    // Once for each outage.
                    if !*failing {
                        tracing::error!(%error, "failed to write audit records; dropping them until the output works");
                    }
                }
            }
            *failing = result.is_err();
        }
    }
}

/// The first lines of a text, at most so many, their number, and the rest.
fn first(text: &[u8], most: usize) -> (&[u8], u64, &[u8]) {
    let mut records: u64 = 0;
    let mut end = text.len();
    for (number, at) in memchr::memchr_iter(b'\n', text).enumerate() {
        records = records.saturating_add(1);
        if number.saturating_add(1) >= most {
            end = at.saturating_add(1);
            break;
        }
    }
    let (part, rest) = text.split_at_checked(end).unwrap_or((text, &[]));
    (part, records, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(ToOwned::to_owned).collect()
    }

    fn file(path: &Path) -> Output {
        Output::open(path.to_str().unwrap(), None).unwrap()
    }

    #[test]
    fn a_cut_line_stays_alone_and_a_renamed_file_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        std::fs::write(&path, "{\"a\":1}\n{\"b").unwrap();
        let mut output = file(&path);
        output.write(b"{\"c\":3}\n").unwrap();
        assert_eq!(lines(&path), [r#"{"a":1}"#, r#"{"b"#, r#"{"c":3}"#]);
        let rotated = directory.path().join("audit.jsonl.1");
        std::fs::rename(&path, &rotated).unwrap();
        output.write(b"{\"d\":4}\n").unwrap();
        assert_eq!(lines(&path), [r#"{"d":4}"#]);
        assert_eq!(lines(&rotated).len(), 3);
        let mode = std::fs::metadata(&path).unwrap().mode();
        assert_eq!(mode & 0o777 & !MODE, 0, "{mode:o}");
    }

    #[tokio::test]
    async fn records_that_cannot_be_written_are_counted_and_reported_later() {
        let directory = tempfile::tempdir().unwrap();
        let logs = directory.path().join("logs");
        std::fs::create_dir(&logs).unwrap();
        let path = logs.join("audit.jsonl");
        let writer = Writer::start(file(&path)).unwrap();
        writer.send(b"1\n", 0);
        writer.flush().await;
        std::fs::remove_dir_all(&logs).unwrap();
        let before = dropped().get();
        writer.send(b"2\n", 0);
        writer.send(b"3\n", 4);
        writer.flush().await;
        assert!(dropped().get() >= before + 2);
        std::fs::create_dir(&logs).unwrap();
        assert_eq!(
            writer.take_dropped(),
            6,
            "what is written later reports them"
        );
        assert_eq!(writer.take_dropped(), 0);
        writer.send(b"5\n", 6);
        writer.flush().await;
        assert_eq!(lines(&path), ["5"]);
    }

    #[test]
    fn a_stuck_output_delays_no_record_and_bounds_the_queue() {
        let directory = tempfile::tempdir().unwrap();
        let writer = Writer(Arc::default());
        let large = vec![b'x'; QUEUE_BYTES / 2];
        writer.send(&large, 0);
        writer.send(&large, 0);
        writer.send(&large, 7);
        assert_eq!(writer.take_dropped(), 8, "the third does not fit");
        for _ in 0..QUEUE_RECORDS {
            writer.send(b"", 0);
        }
        assert_eq!(writer.take_dropped(), 2);
        let path = directory.path().join("audit.jsonl");
        let shared = Arc::clone(&writer.0);
        drop(writer);
        shared.run(file(&path));
        assert_eq!(shared.queue.size(), (0, 0));
        let length = std::fs::metadata(&path).unwrap().len();
        assert_eq!(length, u64::try_from(QUEUE_BYTES).unwrap());
    }
}
