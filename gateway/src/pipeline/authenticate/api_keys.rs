//! API keys of clients: one file a client in a folder, as a mounted Secret gives them.
//!
//! A presented key is hashed and compared with the hashes of all in constant time, so that neither a key's
//! content nor which client it belongs to shows in the time taken. The keys themselves are kept, too: a
//! signature cannot be checked without the secret it was made with.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::config::ApiKey;

/// Keys by client.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ApiKeys {
    clients: Vec<Client>,
}

#[derive(Debug)]
struct Client {
    name: String,
    key: ApiKey,
    hash: [u8; 32],
}

impl PartialEq for Client {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.hash == other.hash
    }
}

impl Eq for Client {}

/// Why keys could not be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to read API keys from {path}")]
pub struct KeyFileError {
    path: PathBuf,
    source: std::io::Error,
}

impl ApiKeys {
    /// Adds a client. A blank key is no key: it would let in whoever sends nothing.
    pub(crate) fn insert(&mut self, client: &str, key: &str) {
        let key = key.trim();
        if key.is_empty() {
            tracing::warn!(client, "an empty API key is ignored");
        } else {
            self.clients.push(Client {
                name: client.to_owned(),
                key: ApiKey::new(key),
                hash: hash(key),
            });
        }
    }

    /// Adds the clients of a folder. Names that begin with a dot are the kubelet's own.
    ///
    /// # Errors
    /// When the folder or a file in it is not readable.
    pub(crate) fn read_directory(&mut self, directory: &Path) -> Result<(), KeyFileError> {
        for path in key_files(directory)? {
            let client = path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default();
            self.read_file(&client, &path)?;
        }
        Ok(())
    }

    /// Adds one client from a file.
    ///
    /// # Errors
    /// When the file is not readable.
    pub(crate) fn read_file(&mut self, client: &str, path: &Path) -> Result<(), KeyFileError> {
        let text = std::fs::read_to_string(path).map_err(|source| KeyFileError {
            path: path.to_owned(),
            source,
        })?;
        let text = Zeroizing::new(text);
        self.insert(client, &text);
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.clients.iter().map(|client| client.name.as_str())
    }

    /// The client a key belongs to. Looks at all of them whatever it finds.
    pub(crate) fn find(&self, key: &str) -> Option<&str> {
        let presented = hash(key);
        let mut found = None;
        for client in &self.clients {
            if bool::from(presented.ct_eq(&client.hash)) {
                found = Some(client.name.as_str());
            }
        }
        found
    }

    /// The key of a client, to check a signature with.
    pub(crate) fn secret_of(&self, client: &str) -> Option<&str> {
        let client = self.clients.iter().find(|one| one.name == client)?;
        Some(client.key.expose())
    }
}

/// Files of a folder that hold keys, sorted.
///
/// # Errors
/// When the folder is not readable.
pub(crate) fn key_files(directory: &Path) -> Result<Vec<PathBuf>, KeyFileError> {
    let failed = |source| KeyFileError {
        path: directory.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_of_a_mounted_secret_gives_one_client_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("..2026_01_01");
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("ci"), "sk-ci\n").unwrap();
        std::os::unix::fs::symlink(&data, folder.path().join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/ci", folder.path().join("ci")).unwrap();
        std::fs::write(folder.path().join("app"), "sk-app").unwrap();
        std::fs::write(folder.path().join("blank"), " \n").unwrap();

        let mut keys = ApiKeys::default();
        keys.read_directory(folder.path()).unwrap();
        assert_eq!(keys.find("sk-ci"), Some("ci"));
        assert_eq!(keys.find("sk-app"), Some("app"));
        assert_eq!(keys.find(""), None);
        assert_eq!(keys.clients.len(), 2);
    }

    #[test]
    fn keys_do_not_show_in_debug_output() {
        let mut keys = ApiKeys::default();
        keys.insert("a", "sk-secret");
        assert!(!format!("{keys:?}").contains("sk-secret"));
    }
}
