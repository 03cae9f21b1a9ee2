//! Container images from files, without a registry or a container engine, as a docker archive for containerd, kind and
//! docker. Supports one layer and one platform.

use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// An image of one layer.
#[derive(Debug, Clone)]
pub struct ImageArchive {
    reference: String,
    entrypoint: Vec<String>,
    user: String,
    files: Vec<(String, PathBuf)>,
}

impl ImageArchive {
    /// An image called `reference`, such as "localhost/app:1", that runs `entrypoint`.
    pub fn new(reference: &str, entrypoint: &[&str]) -> Self {
        Self {
            reference: reference.to_owned(),
            entrypoint: entrypoint.iter().map(|&part| part.to_owned()).collect(),
            user: "65532:65532".to_owned(),
            files: Vec::new(),
        }
    }

    /// Adds the executable file `source` as `path`, which is relative to the image's root.
    #[must_use]
    pub fn program(mut self, path: &str, source: &Path) -> Self {
        self.files.push((path.to_owned(), source.to_owned()));
        self
    }

    /// Writes the archive. The same files result in the same bytes.
    ///
    /// # Errors
    /// When a file cannot be read or the archive cannot be written.
    pub fn write(&self, archive: &Path) -> Result<()> {
        let mut layer = tar::Builder::new(Vec::new());
        for (path, source) in &self.files {
            let content = std::fs::read(source).map_err(Error::file("read", source))?;
            append(&mut layer, path, 0o755, &content).map_err(Error::file("pack", source))?;
        }
        let layer = layer.into_inner().map_err(Error::file("write", archive))?;
        let layer_digest = digest(&layer);
        let config = json!({
            "architecture": match std::env::consts::ARCH {
                "x86_64" => "amd64",
                "aarch64" => "arm64",
                other => other,
            },
            "os": "linux",
            "config": { "Entrypoint": self.entrypoint, "User": self.user },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer_digest}")] },
        })
        .to_string();
        let config_file = format!("{}.json", digest(config.as_bytes()));
        let layer_file = format!("{layer_digest}.tar");
        let manifest = json!([{
            "Config": config_file, "RepoTags": [self.reference], "Layers": [layer_file],
        }])
        .to_string();
        let mut image = tar::Builder::new(Vec::new());
        for (path, content) in [
            (layer_file.as_str(), layer.as_slice()),
            (config_file.as_str(), config.as_bytes()),
            ("manifest.json", manifest.as_bytes()),
        ] {
            append(&mut image, path, 0o644, content).map_err(Error::file("write", archive))?;
        }
        let image = image.into_inner().map_err(Error::file("write", archive))?;
        std::fs::write(archive, image).map_err(Error::file("write", archive))
    }
}

fn append(
    builder: &mut tar::Builder<Vec<u8>>,
    path: &str,
    mode: u32,
    content: &[u8],
) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(u64::try_from(content.len()).map_err(std::io::Error::other)?);
    header.set_mode(mode);
    header.set_mtime(0);
    builder.append_data(&mut header, path, content)
}

fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |mut text, byte| {
            // Writing into a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn an_archive_names_its_parts_by_their_digests_and_is_the_same_each_time() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("app");
        std::fs::write(&program, "#!/bin/true").unwrap();
        let image = ImageArchive::new("localhost/app:1", &["/app"]).program("app", &program);
        let (first, second) = (
            directory.path().join("1.tar"),
            directory.path().join("2.tar"),
        );
        image.write(&first).unwrap();
        image.write(&second).unwrap();
        assert_eq!(
            std::fs::read(&first).unwrap(),
            std::fs::read(&second).unwrap()
        );

        let mut names = Vec::new();
        for entry in tar::Archive::new(std::fs::File::open(&first).unwrap())
            .entries()
            .unwrap()
        {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            if let Some((hash, _)) = name.split_once('.').filter(|(hash, _)| *hash != "manifest") {
                assert_eq!(hash, digest(&content));
            }
            names.push(name);
        }
        assert_eq!(names.len(), 3);
        assert_eq!(names[2], "manifest.json");
    }
}
