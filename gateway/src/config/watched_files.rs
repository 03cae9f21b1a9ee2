//! The files that a configuration is read from, and what shows that they changed.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use api::GatewayConfig;

use crate::{config::Settings, pipeline::authenticate::key_files};

/// Real path, time and length: another file than before has another mark. Shows the kubelet's swap of a link, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark(PathBuf, Option<SystemTime>, u64);

/// That of the document; none where there is none.
pub(crate) fn document(settings: &Settings) -> Option<Mark> {
    settings.config.as_deref().map(mark)
}

/// Those of the files that a document names: its certificate, and clients' keys.
pub(crate) fn named(settings: &Settings, config: &GatewayConfig) -> Vec<Mark> {
    let mut marks: Vec<Mark> = certificate(config).iter().map(|file| mark(file)).collect();
    for path in keys(settings, config) {
        marks.push(mark(&path));
        if path.is_dir() {
            let files = key_files(&path).unwrap_or_default();
            marks.extend(files.iter().map(|file| mark(file)));
        }
    }
    marks
}

/// Files with the gateway's own certificate.
fn certificate(config: &GatewayConfig) -> Vec<PathBuf> {
    let files = config.tls.iter();
    let files = files.flat_map(|tls| [&tls.cert_file, &tls.key_file]);
    files.map(PathBuf::from).collect()
}

/// Files and folders that clients' keys are read from.
fn keys(settings: &Settings, config: &GatewayConfig) -> Vec<PathBuf> {
    let folder = config
        .clients
        .api_keys_directory
        .as_ref()
        .map(PathBuf::from);
    folder
        .into_iter()
        .chain(settings.api_key_file.clone())
        .collect()
}

fn mark(path: &Path) -> Mark {
    let real = path.canonicalize().unwrap_or_default();
    let metadata = path.metadata().ok();
    Mark(
        real,
        metadata.as_ref().and_then(|data| data.modified().ok()),
        metadata.map_or(0, |data| data.len()),
    )
}
