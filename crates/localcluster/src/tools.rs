//! The programs of a cluster, built from Go modules and shared by all clones on a machine.
//!
//! `cluster/` is one binary with every program of Kubernetes, etcd, CoreDNS and Helm; `rig/` is the small helper that
//! starts and supervises them. This library contains their sources; the binaries are in the user's cache, in a directory
//! with the hash of the sources, and `cargo clean` does not remove them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::{Error, Result, environment, progress};

/// The version of Kubernetes that `cluster/go.mod` names, as its programs report it.
const KUBERNETES: (&str, &str, &str) = ("v1.37.2", "1", "37");

macro_rules! sources {
    ($directory:literal: $($file:literal),+ $(,)?) => {
        &[$(($file, include_str!(concat!("../", $directory, "/", $file)))),+]
    };
}

struct Module {
    name: &'static str,
    expected_duration: &'static str,
    sources: &'static [(&'static str, &'static str)],
}

const CLUSTER: Module = Module {
    name: "cluster",
    expected_duration: "the first time takes about 8 to 15 minutes",
    sources: sources!("cluster": "go.mod", "go.sum", "main.go", "node_linux.go"),
};

const RIG: Module = Module {
    name: "rig",
    expected_duration: "a few seconds",
    sources: sources!(
        "rig": "go.mod", "main.go", "run.go", "isolate_linux.go", "isolate_other.go", "files.go", "certificates.go",
        "relay.go", "duplicate_linux.go", "duplicate_other.go"
    ),
};

/// Paths of the cluster's programs.
#[derive(Debug, Clone)]
pub struct Tools {
    cluster: PathBuf,
    rig: PathBuf,
}

impl Tools {
    /// Returns the programs and builds them if absent. Blocks; only one process builds at a time.
    ///
    /// # Errors
    /// When Go is missing or the build fails.
    pub fn prepare() -> Result<Self> {
        let cache = environment::cache()?.join("cluster");
        Ok(Self {
            cluster: CLUSTER.built(&cache)?,
            rig: RIG.built(&cache)?,
        })
    }

    /// [`Tools::prepare`] without blocking the executor.
    ///
    /// # Errors
    /// As [`Tools::prepare`].
    pub async fn prepare_in_background() -> Result<Self> {
        tokio::task::spawn_blocking(Self::prepare)
            .await
            .map_err(|error| Error::Rig(format!("the build was interrupted: {error}")))?
    }

    /// The binary of all programs of the cluster; its first argument selects one.
    pub fn cluster_binary(&self) -> &Path {
        &self.cluster
    }

    /// The helper binary.
    pub(crate) fn rig(&self) -> &Path {
        &self.rig
    }

    /// A command that runs `program`, one of the cluster's: "kubectl", "helm", "etcd" and so on.
    pub fn program(&self, program: &str) -> Command {
        let mut command = Command::new(&self.cluster);
        command.arg(program);
        command
    }

    /// kubectl; set `KUBECONFIG` to choose the cluster.
    pub fn kubectl(&self) -> Command {
        self.program("kubectl")
    }

    /// Helm; set `KUBECONFIG` to choose the cluster.
    pub fn helm(&self) -> Command {
        self.program("helm")
    }
}

impl Module {
    /// The path of the binary, built under a lock if absent.
    fn built(&self, cache: &Path) -> Result<PathBuf> {
        let directory = cache.join(self.hash());
        let binary = directory.join(self.name);
        if binary.is_file() {
            return Ok(binary);
        }
        std::fs::create_dir_all(&directory).map_err(Error::file("create", &directory))?;
        let lock_path = directory.join("lock");
        let lock = File::create(&lock_path).map_err(Error::file("create", &lock_path))?;
        if lock.try_lock().is_err() {
            tracing::info!(
                "{}: another process is building it; waiting for that",
                self.name
            );
            lock.lock().map_err(Error::file("lock", &lock_path))?;
        }
        if !binary.is_file() {
            self.build(&directory, &binary)?;
        }
        Ok(binary)
    }

    fn build(&self, directory: &Path, binary: &Path) -> Result<()> {
        let go = environment::find("go")
            .or_else(|| Some(PathBuf::from("/usr/local/go/bin/go")).filter(|go| go.is_file()));
        let Some(go) = go else {
            return Err(Error::MissingProgram {
                program: "Go".to_owned(),
                purpose: "building the local cluster",
                hint: "install Go 1.26 or newer and put it on PATH".to_owned(),
            });
        };
        let sources = directory.join("source");
        std::fs::create_dir_all(&sources).map_err(Error::file("create", &sources))?;
        for (file, content) in self.sources {
            let path = sources.join(file);
            std::fs::write(&path, content).map_err(Error::file("write", &path))?;
        }
        let unfinished = directory.join("unfinished");
        let mut command = Command::new(go);
        command
            .current_dir(&sources)
            .env("CGO_ENABLED", "0")
            // -v names each package as it is compiled, which is what progress shows.
            .args([
                "build",
                "-v",
                "-mod=readonly",
                "-buildvcs=false",
                "-trimpath",
                "-ldflags",
                &linker_flags(),
                "-o",
            ])
            .arg(&unfinished)
            .arg(".");
        let what = format!(
            "build the {} binary from its Go modules ({})",
            self.name, self.expected_duration
        );
        progress::run(&what, &mut command, &directory.join("build.log"))?;
        std::fs::rename(&unfinished, binary).map_err(Error::file("write", binary))
    }

    /// A name for exactly these sources built for this platform.
    fn hash(&self) -> String {
        let mut hash = Sha256::new();
        for part in [
            linker_flags().as_str(),
            std::env::consts::OS,
            std::env::consts::ARCH,
        ] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        for (file, content) in self.sources {
            for part in [file, content] {
                hash.update(part.as_bytes());
                hash.update([0]);
            }
        }
        hash.finalize()
            .iter()
            .take(8)
            .fold(String::new(), |name, byte| format!("{name}{byte:02x}"))
    }
}

fn linker_flags() -> String {
    let (version, major, minor) = KUBERNETES;
    let package = "k8s.io/component-base/version";
    format!(
        "-s -w -X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_report_the_version_that_go_mod_names() {
        let (_, go_mod) = CLUSTER
            .sources
            .iter()
            .find(|(file, _)| *file == "go.mod")
            .unwrap();
        assert!(go_mod.contains(&format!("k8s.io/kubernetes {}\n", KUBERNETES.0)));
    }

    #[test]
    fn every_source_file_of_the_modules_is_built() {
        for module in [CLUSTER, RIG] {
            let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(module.name);
            for entry in std::fs::read_dir(directory).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                assert!(
                    module.sources.iter().any(|(file, _)| *file == name),
                    "{}/{name}",
                    module.name
                );
            }
        }
    }
}
