//! The log lines of gateways: what was served and what it cost, kept after the pods are gone.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use serde_json::Value;

/// How often files are read. The kubelet removes a file a second or more after its pod ended.
const EVERY: Duration = Duration::from_millis(150);

/// The log line of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) status: u64,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    pub(super) aws_request_id: String,
}

/// Lines by the gateway's request id.
pub(super) type Lines = HashMap<String, Vec<Line>>;

/// Follows the logs of all pods of a namespace.
pub(super) struct Collector {
    stop: Arc<AtomicBool>,
    lines: Arc<Mutex<Lines>>,
    thread: Option<JoinHandle<()>>,
}

/// An open file; it stays readable after its removal.
struct Followed {
    file: File,
    /// Bytes after the last line break.
    rest: Vec<u8>,
    /// The parts of a line that containerd split.
    partial: String,
}

impl Collector {
    /// Follows the logs under `directory` of pods in `namespace`.
    pub(super) fn start(directory: PathBuf, namespace: &str) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let lines = Arc::<Mutex<Lines>>::default();
        let prefix = format!("{namespace}_");
        let thread = std::thread::spawn({
            let (stop, lines) = (Arc::clone(&stop), Arc::clone(&lines));
            move || {
                let mut files = BTreeMap::new();
                while !stop.load(Ordering::SeqCst) {
                    open_new(&directory, &prefix, &mut files);
                    for followed in files.values_mut() {
                        followed.read(&lines);
                    }
                    std::thread::park_timeout(EVERY);
                }
            }
        });
        Self {
            stop,
            lines,
            thread: Some(thread),
        }
    }

    /// What was read so far.
    pub(super) fn lines(&self) -> Lines {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// Opens the files `NAMESPACE_POD_UID/CONTAINER/N.log` that are not open yet. A rotated file keeps its number.
fn open_new(directory: &Path, prefix: &str, files: &mut BTreeMap<u64, Followed>) {
    let entries = |path: &Path| {
        std::fs::read_dir(path)
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect::<Vec<_>>()
    };
    for pod in entries(directory) {
        let name = pod.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with(prefix) {
            continue;
        }
        for container in entries(&pod) {
            for log in entries(&container) {
                let Ok(file) = File::open(&log) else { continue };
                let Ok(number) = file.metadata().map(|data| data.ino()) else {
                    continue;
                };
                files.entry(number).or_insert(Followed {
                    file,
                    rest: Vec::new(),
                    partial: String::new(),
                });
            }
        }
    }
}

impl Followed {
    fn read(&mut self, lines: &Mutex<Lines>) {
        if self.file.read_to_end(&mut self.rest).is_err() {
            return;
        }
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            // TIME STREAM F|P TEXT, where P is a part of a line.
            let mut parts = line.trim_end().splitn(4, ' ');
            let (tag, text) = (parts.nth(2), parts.next().unwrap_or_default());
            self.partial.push_str(text);
            if tag == Some("P") {
                continue;
            }
            let text = std::mem::take(&mut self.partial);
            if let Some((id, line)) = parse(&text) {
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                lines.entry(id).or_default().push(line);
            }
        }
    }
}

/// The line of a request; other lines are `None`.
fn parse(text: &str) -> Option<(String, Line)> {
    // After a full disk, a line follows the half of another.
    let start = text.rfind("{\"timestamp\":").unwrap_or_default();
    let line: Value = serde_json::from_str(text.get(start..)?).ok()?;
    if line["message"] != "request" {
        return None;
    }
    let number = |name: &str| line[name].as_u64().unwrap_or_default();
    let line_of = Line {
        status: number("status"),
        input_tokens: number("input_tokens"),
        output_tokens: number("output_tokens"),
        aws_request_id: line["aws_request_id"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    };
    Some((line["request_id"].as_str()?.to_owned(), line_of))
}
