//! Fingerprints of the files behind a configuration, to detect changes. All functions block.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use api::GatewayConfig;

use super::{key_files::key_files, settings::Settings};

/// Real path, modification time and length of a file. The real path reveals that the kubelet has swapped a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint(PathBuf, Option<SystemTime>, u64);

/// Fingerprint of the configuration file, if any.
pub(crate) fn config_file(settings: &Settings) -> Option<Fingerprint> {
    settings.config.as_deref().map(fingerprint)
}

/// Fingerprints of the files that a configuration names: the gateway's certificate and clients' keys.
pub(crate) fn referenced(settings: &Settings, config: &GatewayConfig) -> Vec<Fingerprint> {
    let certificate = config
        .tls
        .iter()
        .flat_map(|tls| [&tls.cert_file, &tls.key_file]);
    let mut found: Vec<Fingerprint> = certificate.map(|file| fingerprint(file.as_ref())).collect();
    let directory = config.clients.api_keys_directory.as_ref();
    let keys = directory
        .map(PathBuf::from)
        .into_iter()
        .chain(settings.api_key_file.clone());
    for path in keys {
        found.push(fingerprint(&path));
        if path.is_dir() {
            let files = key_files(&path).unwrap_or_default();
            found.extend(files.iter().map(|file| fingerprint(file)));
        }
    }
    found
}

/// Fingerprints of all files behind a configuration.
pub(crate) fn all(settings: &Settings, config: &GatewayConfig) -> Vec<Fingerprint> {
    let config_file = config_file(settings).into_iter();
    config_file.chain(referenced(settings, config)).collect()
}

fn fingerprint(path: &Path) -> Fingerprint {
    let real = path.canonicalize().unwrap_or_default();
    let metadata = path.metadata().ok();
    Fingerprint(
        real,
        metadata.as_ref().and_then(|data| data.modified().ok()),
        metadata.map_or(0, |data| data.len()),
    )
}
