//! A mounted Secret: a directory with one file per variable, as the kubelet mounts it.
//!
//! The file names are those of the variables: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`
//! (optional), or `AWS_BEARER_TOKEN_BEDROCK` only. Unlike variables they can be rotated while the gateway runs.

use std::path::{Path, PathBuf};

use crate::{
    active::Material,
    files::{Watched, fingerprint},
    secret::{BearerToken, Secret},
    sources::{
        Fetch, Source,
        bearer::BEARER_TOKEN,
        static_keys::{ACCESS_KEY_ID, Keys, SECRET_ACCESS_KEY, SESSION_TOKEN},
    },
    unavailable::{Reason, Unavailable},
};

/// Variable with the path of the directory.
pub(crate) const SECRET_DIRECTORY: &str = "BEDROCK_GATEWAY_SECRET_DIRECTORY";
/// Maximum number of reads when the directory is replaced during a read.
const MAX_READS: usize = 3;

/// Reads the directory at each fetch.
#[derive(Debug)]
pub(crate) struct SecretDirectory(pub(crate) PathBuf);

impl SecretDirectory {
    async fn read(&self, name: &str) -> Result<Option<Secret>, Unavailable> {
        let path = self.0.join(name);
        match tokio::fs::read_to_string(&path).await {
            Ok(text) if text.trim().is_empty() => Ok(None),
            Ok(text) => Ok(Some(Secret::new(text.trim()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Unavailable::new(
                Reason::KeysMissing,
                format!("unable to read {}: {error}", path.display()),
            )),
        }
    }

    fn missing(&self, what: &str) -> Unavailable {
        Unavailable::new(
            Reason::KeysMissing,
            format!(
                "{} contains no {what}: add {ACCESS_KEY_ID} and {SECRET_ACCESS_KEY}, or {BEARER_TOKEN}, to the Secret",
                self.0.display()
            ),
        )
    }

    async fn read_all(&self) -> Result<Material, Unavailable> {
        if let Some(bearer) = self.read(BEARER_TOKEN).await? {
            return Ok(Material::Bearer(BearerToken::new(bearer)));
        }
        let access_key_id = self
            .read(ACCESS_KEY_ID)
            .await?
            .ok_or_else(|| self.missing(ACCESS_KEY_ID))?;
        let secret_access_key = self
            .read(SECRET_ACCESS_KEY)
            .await?
            .ok_or_else(|| self.missing(SECRET_ACCESS_KEY))?;
        let keys = Keys {
            access_key_id: access_key_id.expose().to_owned(),
            secret_access_key,
            session_token: self.read(SESSION_TOKEN).await?,
        };
        Ok(Material::Keys(keys.credentials("SecretDirectory")))
    }

    /// Reads all files of one version, so that an old access key ID is never combined with a new secret key.
    async fn read_consistent(&self) -> Result<Material, Unavailable> {
        let mut outcome = Err(self.missing("files"));
        for _ in 0..MAX_READS {
            let before = version(&self.0).await;
            outcome = self.read_all().await;
            if before == version(&self.0).await {
                break;
            }
        }
        outcome
    }
}

/// The version of all files. They resolve through `..data`, which the kubelet replaces atomically.
async fn version(directory: &Path) -> Vec<Option<crate::files::Fingerprint>> {
    let mut all = Vec::with_capacity(4);
    for name in [
        ACCESS_KEY_ID,
        SECRET_ACCESS_KEY,
        SESSION_TOKEN,
        BEARER_TOKEN,
    ] {
        all.push(fingerprint(&directory.join(name)).await);
    }
    all
}

impl Source for SecretDirectory {
    fn fetch(&self) -> Fetch<'_> {
        Box::pin(self.read_consistent())
    }

    fn watched(&self) -> Vec<Watched> {
        [
            ACCESS_KEY_ID,
            SECRET_ACCESS_KEY,
            SESSION_TOKEN,
            BEARER_TOKEN,
        ]
        .iter()
        .map(|name| Watched::always(self.0.join(name)))
        .collect()
    }

    fn timed_out(&self) -> Unavailable {
        Unavailable::new(
            Reason::KeysMissing,
            format!("timeout while reading {}", self.0.display()),
        )
    }

    fn fix(&self) -> &'static str {
        "Write valid keys to the Secret; they are reloaded without a restart"
    }
}
