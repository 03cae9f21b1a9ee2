//! API keys of clients.
//!
//! A key is looked up by its SHA-256 hash, in a table with a random seed, so that timing reveals neither the key nor its client, and
//! the cost does not depend on the number of keys. The keys themselves are kept as well, since verifying a signature needs
//! the secret.

use std::{collections::HashMap, path::Path};

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::config::{
    ApiKey,
    key_files::{KeyFileError, key_files},
};

/// Keys by client.
#[derive(Debug, Default)]
pub(crate) struct ApiKeys {
    clients: Vec<Client>,
    /// Indexes of the clients by the hashes of their keys.
    by_hash: HashMap<[u8; 32], usize>,
    /// And by their names.
    by_name: HashMap<String, usize>,
}

#[derive(Debug)]
struct Client {
    name: String,
    key: ApiKey,
}

impl ApiKeys {
    /// Adds a client. A blank key is ignored: it would admit clients without a key.
    pub(crate) fn insert(&mut self, client: &str, key: &str) {
        let key = key.trim();
        if key.is_empty() {
            tracing::warn!(client, "ignoring an empty API key");
        } else {
            let index = self.clients.len();
            self.by_hash.insert(hash(key), index);
            self.by_name.entry(client.to_owned()).or_insert(index);
            self.clients.push(Client {
                name: client.to_owned(),
                key: ApiKey::new(key),
            });
        }
    }

    /// Adds the clients of a directory; the name of a file is the name of the client.
    ///
    /// # Errors
    /// When the directory or one of its files is not readable.
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

    /// The client with a key.
    pub(crate) fn find(&self, key: &str) -> Option<&str> {
        let client = self.clients.get(*self.by_hash.get(&hash(key))?)?;
        Some(&client.name)
    }

    /// The key of a client, to verify a signature.
    pub(crate) fn secret_of(&self, client: &str) -> Option<&str> {
        let client = self.clients.get(*self.by_name.get(client)?)?;
        Some(client.key.expose())
    }
}

fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_one_client_from_each_file_of_a_mounted_secret() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("..2026_01_01");
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("ci"), "sk-ci\n").unwrap();
        std::os::unix::fs::symlink(&data, directory.path().join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/ci", directory.path().join("ci")).unwrap();
        std::fs::write(directory.path().join("app"), "sk-app").unwrap();
        std::fs::write(directory.path().join("blank"), " \n").unwrap();

        let mut keys = ApiKeys::default();
        keys.read_directory(directory.path()).unwrap();
        assert_eq!(keys.find("sk-ci"), Some("ci"));
        assert_eq!(keys.find("sk-app"), Some("app"));
        assert_eq!(keys.find(""), None);
        assert_eq!(keys.clients.len(), 2);
    }

    #[test]
    fn debug_output_redacts_keys() {
        let mut keys = ApiKeys::default();
        keys.insert("a", "sk-secret");
        assert!(!format!("{keys:?}").contains("sk-secret"));
    }
}
