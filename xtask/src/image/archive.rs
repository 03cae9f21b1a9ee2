//! Writes an image as a docker archive: layers, configuration and manifest in one tar.
//!
//! Formats: the Docker image specification v1.2 and, for the configuration,
//! <https://github.com/opencontainers/image-spec/blob/main/config.md>. Times are zero and owners fixed,
//! so that equal content gives equal bytes.

use std::fmt::Write;

use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use super::root::{Entry, Root, USER};

/// Content of an image.
#[derive(Debug)]
pub(super) struct Image {
    /// Name with tag.
    pub(super) reference: String,
    /// Short name, for a label.
    pub(super) title: String,
    /// One sentence, for a label.
    pub(super) about: String,
    /// Version, for a label.
    pub(super) version: String,
    /// Commit, for a label.
    pub(super) revision: String,
    /// The program in `/usr/local/bin` that a container runs.
    pub(super) program: String,
    /// Layers, the lowest first.
    pub(super) layers: Vec<Root>,
}

impl Image {
    /// The docker archive.
    pub(super) fn archive(&self) -> Result<Vec<u8>> {
        let layers = self.layers.iter().map(layer).collect::<Result<Vec<_>>>()?;
        let digests: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
        let configuration = serde_json::to_vec(&self.configuration(&digests))
            .context("failed to write the image's configuration")?;
        let configuration_name = format!("{}.json", digest(&configuration));
        let layer_names: Vec<String> = digests
            .iter()
            .map(|digest| format!("{digest}.tar"))
            .collect();
        let manifest = serde_json::to_vec(&json!([{
            "Config": configuration_name,
            "RepoTags": [self.reference],
            "Layers": layer_names,
        }]))
        .context("failed to write the image's manifest")?;
        let mut archive = Builder::new(Vec::new());
        for (name, content) in layer_names.iter().zip(&layers) {
            append(&mut archive, name, 0o644, 0, EntryType::Regular, content)?;
        }
        append(
            &mut archive,
            &configuration_name,
            0o644,
            0,
            EntryType::Regular,
            &configuration,
        )?;
        append(
            &mut archive,
            "manifest.json",
            0o644,
            0,
            EntryType::Regular,
            &manifest,
        )?;
        archive.into_inner().context("failed to finish the archive")
    }

    fn configuration(&self, digests: &[String]) -> serde_json::Value {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let layers: Vec<String> = digests
            .iter()
            .map(|digest| format!("sha256:{digest}"))
            .collect();
        json!({
            "architecture": architecture,
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {
                "User": format!("{USER}:{USER}"),
                "WorkingDir": "/",
                "Entrypoint": [format!("/usr/local/bin/{}", self.program)],
                "Env": [
                    "PATH=/usr/local/bin:/usr/bin:/bin",
                    "HOME=/home/nonroot",
                    "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
                ],
                "Labels": {
                    "org.opencontainers.image.title": self.title,
                    "org.opencontainers.image.description": self.about,
                    "org.opencontainers.image.version": self.version,
                    "org.opencontainers.image.revision": self.revision,
                    "org.opencontainers.image.licenses": "Apache-2.0",
                },
            },
            "rootfs": { "type": "layers", "diff_ids": layers },
            "history": digests.iter().map(|_| json!({
                "created": "1970-01-01T00:00:00Z",
                "created_by": "cargo xtask image",
            })).collect::<Vec<_>>(),
        })
    }
}

/// A layer as a tar.
fn layer(root: &Root) -> Result<Vec<u8>> {
    let mut archive = Builder::new(Vec::new());
    for (path, entry) in root.entries() {
        match entry {
            Entry::Directory(mode, owner) => {
                append(
                    &mut archive,
                    &format!("{path}/"),
                    *mode,
                    *owner,
                    EntryType::Directory,
                    &[],
                )?;
            }
            Entry::File(mode, content) => {
                append(&mut archive, path, *mode, 0, EntryType::Regular, content)?;
            }
        }
    }
    archive.into_inner().context("failed to finish a layer")
}

fn append(
    archive: &mut Builder<Vec<u8>>,
    path: &str,
    mode: u32,
    owner: u32,
    kind: EntryType,
    content: &[u8],
) -> Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(owner.into());
    header.set_gid(owner.into());
    header.set_mtime(0);
    header.set_size(content.len().try_into().context("a file is too large")?);
    archive
        .append_data(&mut header, path, content)
        .with_context(|| format!("failed to put {path} into an archive"))
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |mut text, byte| {
            // Writing to a String does not fail.
            write!(text, "{byte:02x}").unwrap_or_default();
            text
        })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io::Read};

    use serde_json::Value;

    use super::*;

    fn image() -> Image {
        Image {
            reference: "example/a:1".to_owned(),
            title: "a".to_owned(),
            about: "An image.".to_owned(),
            version: "1".to_owned(),
            revision: "abc".to_owned(),
            program: "a".to_owned(),
            layers: vec![Root::minimal().unwrap(), Root::default()],
        }
    }

    fn unpack(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(bytes).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            files.insert(entry.path().unwrap().display().to_string(), content);
        }
        files
    }

    #[test]
    fn every_reference_within_the_archive_is_to_a_file_of_that_digest() {
        let files = unpack(&image().archive().unwrap());
        let manifest: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
        let name = manifest[0]["Config"].as_str().unwrap();
        assert_eq!(name, format!("{}.json", digest(&files[name])));
        let configuration: Value = serde_json::from_slice(&files[name]).unwrap();
        let layers = manifest[0]["Layers"].as_array().unwrap();
        assert_eq!(layers.len(), 2);
        for (layer, id) in layers
            .iter()
            .zip(configuration["rootfs"]["diff_ids"].as_array().unwrap())
        {
            let content = &files[layer.as_str().unwrap()];
            assert_eq!(id.as_str().unwrap(), format!("sha256:{}", digest(content)));
        }
    }

    #[test]
    fn equal_content_gives_equal_bytes() {
        assert!(image().archive().unwrap() == image().archive().unwrap());
    }

    #[test]
    fn container_runs_as_a_numeric_user_that_is_not_root() {
        // A kubelet can check `runAsNonRoot` for a numeric user only.
        let configuration = image().configuration(&[]);
        assert_eq!(configuration["config"]["User"], "65532:65532");
    }

    #[test]
    fn temporary_directory_is_open_to_all_and_home_to_its_user() {
        let bytes = layer(&Root::minimal().unwrap()).unwrap();
        let mut seen = BTreeMap::new();
        for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header();
            let path = entry.path().unwrap().display().to_string();
            seen.insert(path, (header.mode().unwrap(), header.uid().unwrap()));
        }
        assert_eq!(seen["tmp/"], (0o1777, 0));
        assert_eq!(seen["home/nonroot/"], (0o700, 65532));
    }
}
