//! Agents that people start in a terminal: their installation, and runs in an empty environment.
//!
//! A run gets a home and a working directory of its own and no variable of this machine except `PATH`. Its proxy
//! variables name a closed port, so that a connection to anything but loopback fails at once.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::Value;
use tokio::{process::Command, time::timeout};

use super::clients::{newest_npm_version, npm_package, repository};

/// Longest time of one run; agents wait between their attempts.
const RUN_TIMEOUT: Duration = Duration::from_mins(2);
const CLOSED: &str = "http://127.0.0.1:9";

/// A PNG of 16 × 16 red pixels.
const IMAGE: &[u8] = include_bytes!("../../clients/agents/red.png");

/// Which release of an agent a test installs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    /// The version in `tests/clients/agents/package.json`.
    Pinned,
    /// The newest version in the registry.
    Newest,
}

/// The program of an npm package, or `None` if the newest release is the pinned one.
pub(crate) async fn agent(
    package: &'static str,
    program: &'static str,
    release: Release,
) -> Option<PathBuf> {
    let install = move || {
        let pins = fs::read_to_string(repository().join("tests/clients/agents/package.json"));
        let pins: Value = serde_json::from_str(&pins.unwrap()).unwrap();
        let pinned = pins["dependencies"][package].as_str().unwrap().to_owned();
        let version = match release {
            Release::Pinned => pinned,
            Release::Newest => {
                Some(newest_npm_version(package)).filter(|newest| *newest != pinned)?
            }
        };
        let directory = npm_package(package, &version);
        Some(directory.join("node_modules/.bin").join(program))
    };
    tokio::task::spawn_blocking(install).await.unwrap()
}

/// The MCP server that agents start with `node`. Its only tool is `get_weather`.
pub(crate) fn mcp_server() -> String {
    let path = repository().join("tests/clients/agents/mcp_server.mjs");
    path.to_str().unwrap().to_owned()
}

/// The directories of an agent: `home` with its settings and history, and `work` with the files it works on.
#[derive(Debug)]
pub(crate) struct Workspace {
    directory: tempfile::TempDir,
}

/// What an agent printed.
#[derive(Debug)]
pub(crate) struct Printed {
    pub(crate) output: String,
    #[expect(dead_code, reason = "part of the messages of failed expectations")]
    errors: String,
}

impl Workspace {
    /// The directories, with a note and an image in `work`.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in ["home", "work"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        let place = Self { directory };
        place.write("input", "");
        place.write("work/note.txt", "secret-42\n");
        place.write("work/red.png", IMAGE);
        place
    }

    /// The absolute path of a file below.
    pub(crate) fn path(&self, file: &str) -> String {
        let path = self.directory.path().join(file);
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn write(&self, file: &str, content: impl AsRef<[u8]>) {
        let path = self.directory.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.directory.path().join(file)).unwrap_or_default()
    }

    /// Runs a program in `work` until it ends, with the file `input` as its standard input.
    pub(crate) async fn run(
        &self,
        program: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Printed {
        let log = |name: &str| Stdio::from(fs::File::create(self.path(name)).unwrap());
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", search_path())
            .env("HOME", self.path("home"))
            .env("LANG", "C.UTF-8")
            .env("HTTP_PROXY", CLOSED)
            .env("HTTPS_PROXY", CLOSED)
            .env("NO_PROXY", "127.0.0.1,localhost")
            .envs(environment.iter().copied())
            .current_dir(self.path("work"))
            .stdin(Stdio::from(fs::File::open(self.path("input")).unwrap()))
            .stdout(log("output"))
            .stderr(log("errors"))
            .kill_on_drop(true);
        let mut running = command.spawn().unwrap();
        let ended = timeout(RUN_TIMEOUT, running.wait()).await;
        let printed = Printed {
            output: self.read("output"),
            errors: self.read("errors"),
        };
        assert!(ended.is_ok(), "{arguments:?} did not end: {printed:?}");
        printed
    }
}

impl Printed {
    /// The lines that are JSON objects.
    pub(crate) fn events(&self) -> Vec<Value> {
        let lines = self.output.lines();
        lines
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// The only event for which `is` returns true.
    #[track_caller]
    pub(crate) fn event(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let mut found = self.events();
        found.retain(is);
        assert_eq!(found.len(), 1, "{what}: {self:?}");
        found.remove(0)
    }
}

#[expect(clippy::disallowed_methods, reason = "agents find node and sh there")]
fn search_path() -> String {
    std::env::var("PATH").unwrap()
}
