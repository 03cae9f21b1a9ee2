//! Writes an image as one tar that is an OCI image layout and a docker archive, as `docker save` does: for `docker load`,
//! `ctr images import`, `kind load image-archive`, and for tools that copy `oci-archive:`.
//!
//! Formats: <https://github.com/opencontainers/image-spec/blob/main/image-layout.md> and, for `manifest.json`, the Docker
//! image specification v1.2. Times of files are zero, that of the image is the commit's, and owners
//! are fixed, so that equal content gives equal bytes.

use std::fmt::Write;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use super::root::{Entry, Root, USER};

/// Media types.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIGURATION: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Content of an image.
#[derive(Debug)]
pub(super) struct Image {
    /// Name with tag.
    pub(super) reference: String,
    /// Other tags of the same image.
    pub(super) more_tags: Vec<String>,
    /// Short name, for a label.
    pub(super) title: String,
    /// One sentence, for a label.
    pub(super) about: String,
    /// Version, for a label.
    pub(super) version: String,
    /// Commit, for a label.
    pub(super) revision: String,
    /// Time of the commit, in RFC 3339.
    pub(super) created: String,
    /// The program in `/usr/local/bin` that a container runs.
    pub(super) program: String,
    /// Layers, the lowest first.
    pub(super) layers: Vec<Root>,
}

impl Image {
    /// The archive.
    pub(super) fn archive(&self) -> Result<Vec<u8>> {
        let layers = self.layers.iter().map(layer).collect::<Result<Vec<_>>>()?;
        let layers: Vec<Blob> = layers
            .into_iter()
            .map(|tar| Blob::new(LAYER, tar))
            .collect();
        let configuration = Blob::json(CONFIGURATION, &self.configuration(&layers))?;
        let manifest = Blob::json(
            MANIFEST,
            &json!({
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": configuration.descriptor(),
                "layers": layers.iter().map(Blob::descriptor).collect::<Vec<_>>(),
            }),
        )?;
        let references = self.references();
        let described = references.iter().map(|reference| {
            json!({
                "mediaType": MANIFEST,
                "digest": manifest.id(),
                "size": manifest.content.len(),
                "platform": { "architecture": architecture(), "os": "linux" },
                "annotations": {
                    "io.containerd.image.name": full_reference(reference),
                    "org.opencontainers.image.ref.name": tag(reference),
                },
            })
        });
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": described.collect::<Vec<_>>(),
        });
        let docker = json!([{
            "Config": configuration.path(),
            "RepoTags": references,
            "Layers": layers.iter().map(Blob::path).collect::<Vec<_>>(),
        }]);
        let mut archive = Builder::new(Vec::new());
        for directory in ["blobs/", "blobs/sha256/"] {
            append(&mut archive, directory, 0o755, 0, EntryType::Directory, &[])?;
        }
        let mut file = |path: &str, content: &[u8]| {
            append(&mut archive, path, 0o644, 0, EntryType::Regular, content)
        };
        for blob in layers.iter().chain([&configuration, &manifest]) {
            file(&blob.path(), &blob.content)?;
        }
        let layout = json!({ "imageLayoutVersion": "1.0.0" });
        for (path, document) in [
            ("oci-layout", layout),
            ("index.json", index),
            ("manifest.json", docker),
        ] {
            file(path, document.to_string().as_bytes())?;
        }
        archive.into_inner().context("failed to finish the archive")
    }

    /// The name with each tag.
    fn references(&self) -> Vec<String> {
        let name = self.reference.rsplit_once(':').map_or("", |(name, _)| name);
        let more = self.more_tags.iter().map(|tag| format!("{name}:{tag}"));
        [self.reference.clone()].into_iter().chain(more).collect()
    }

    fn configuration(&self, layers: &[Blob]) -> Value {
        json!({
            "architecture": architecture(),
            "os": "linux",
            "created": self.created,
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
            "rootfs": {
                "type": "layers",
                "diff_ids": layers.iter().map(Blob::id).collect::<Vec<_>>(),
            },
            "history": layers.iter().map(|_| json!({
                "created": self.created,
                "created_by": "cargo xtask image",
            })).collect::<Vec<_>>(),
        })
    }
}

/// The reference with its registry, which is Docker Hub unless the first part names a host.
fn full_reference(reference: &str) -> String {
    let host = reference.split_once('/').map_or("", |(host, _)| host);
    if host == "localhost" || host.contains(['.', ':']) {
        reference.to_owned()
    } else {
        format!("docker.io/{reference}")
    }
}

/// The tag of a reference.
fn tag(reference: &str) -> &str {
    reference.rsplit_once(':').map_or("", |(_, tag)| tag)
}

/// The machine's architecture by its name in images.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A file that others refer to by its digest.
struct Blob {
    media_type: &'static str,
    digest: String,
    content: Vec<u8>,
}

impl Blob {
    fn new(media_type: &'static str, content: Vec<u8>) -> Self {
        Self {
            media_type,
            digest: digest(&content),
            content,
        }
    }

    fn json(media_type: &'static str, document: &Value) -> Result<Self> {
        let content = serde_json::to_vec(document).context("failed to write a document")?;
        Ok(Self::new(media_type, content))
    }

    fn id(&self) -> String {
        format!("sha256:{}", self.digest)
    }

    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.digest)
    }

    fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.id(), "size": self.content.len() })
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

    use super::*;

    fn image() -> Image {
        Image {
            reference: "example/a:1".to_owned(),
            more_tags: vec!["2".to_owned()],
            title: "a".to_owned(),
            about: "An image.".to_owned(),
            version: "1".to_owned(),
            revision: "abc".to_owned(),
            created: "2026-01-01T00:00:00Z".to_owned(),
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
            if entry.header().entry_type().is_file() {
                files.insert(entry.path().unwrap().display().to_string(), content);
            }
        }
        files
    }

    /// The file of a descriptor, whose digest and size must be those of the file.
    fn described<'f>(files: &'f BTreeMap<String, Vec<u8>>, descriptor: &Value) -> &'f [u8] {
        let id = descriptor["digest"].as_str().unwrap();
        let content = &files[&id.replace("sha256:", "blobs/sha256/")];
        assert_eq!(id, format!("sha256:{}", digest(content)));
        assert_eq!(descriptor["size"], content.len());
        content
    }

    #[test]
    fn every_reference_within_the_archive_is_to_a_file_of_that_digest() {
        let files = unpack(&image().archive().unwrap());
        let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
        assert_eq!(read(&files["oci-layout"])["imageLayoutVersion"], "1.0.0");
        let index = read(&files["index.json"]);
        let manifest = read(described(&files, &index["manifests"][0]));
        let configuration = read(described(&files, &manifest["config"]));
        let ids = configuration["rootfs"]["diff_ids"].as_array().unwrap();
        let layers = manifest["layers"].as_array().unwrap();
        assert_eq!(layers.len(), 2);
        for (layer, id) in layers.iter().zip(ids) {
            assert_eq!(layer["digest"], *id);
            described(&files, layer);
        }
        // The same for docker.
        let docker = read(&files["manifest.json"]);
        let path = |id: &Value| id.as_str().unwrap().replace("sha256:", "blobs/sha256/");
        assert_eq!(docker[0]["Config"], path(&manifest["config"]["digest"]));
        for (layer, id) in docker[0]["Layers"].as_array().unwrap().iter().zip(ids) {
            assert_eq!(*layer, path(id));
        }
    }

    #[test]
    fn containerd_gets_the_name_that_a_kubelet_asks_for() {
        for (reference, full) in [
            ("bedrock-access/a:1", "docker.io/bedrock-access/a:1"),
            ("localhost/a:1", "localhost/a:1"),
            ("registry.example:5000/a:1", "registry.example:5000/a:1"),
        ] {
            assert_eq!(full_reference(reference), full);
        }
    }

    #[test]
    fn each_tag_refers_to_the_same_manifest() {
        let files = unpack(&image().archive().unwrap());
        let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        let [first, second] = [0, 1].map(|at| &index["manifests"][at]);
        assert_eq!(first["digest"], second["digest"]);
        let name = "io.containerd.image.name";
        assert_eq!(first["annotations"][name], "docker.io/example/a:1");
        assert_eq!(second["annotations"][name], "docker.io/example/a:2");
        let docker: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
        assert_eq!(docker[0]["RepoTags"], json!(["example/a:1", "example/a:2"]));
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
