//! A mounted Secret: a folder with one file a variable, as the kubelet mounts it.
//!
//! The files are named like the variables: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`
//! (optional), or `AWS_BEARER_TOKEN_BEDROCK` alone. Unlike variables they can be rotated while the gateway runs.

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

/// Variable that names the folder.
pub(crate) const SECRET_DIRECTORY: &str = "BEDROCK_GATEWAY_SECRET_DIRECTORY";
/// Reads begun anew because the folder was replaced meanwhile.
const TRIES: usize = 3;

/// Reads the folder at each fetch.
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
                "{} holds no {what}: give the Secret {ACCESS_KEY_ID} and {SECRET_ACCESS_KEY}, or {BEARER_TOKEN}",
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

    /// All files of one version: a key of before the rotation never meets a secret of after it.
    async fn consistent(&self) -> Result<Material, Unavailable> {
        let mut outcome = Err(self.missing("files"));
        for _ in 0..TRIES {
            let before = version(&self.0).await;
            outcome = self.read_all().await;
            if before == version(&self.0).await {
                break;
            }
        }
        outcome
    }
}

/// State of everything that is read; of `..data` it is the folder the kubelet swaps in whole.
async fn version(folder: &Path) -> Vec<Option<crate::files::Fingerprint>> {
    let mut all = Vec::with_capacity(4);
    for name in [
        ACCESS_KEY_ID,
        SECRET_ACCESS_KEY,
        SESSION_TOKEN,
        BEARER_TOKEN,
    ] {
        all.push(fingerprint(&folder.join(name)).await);
    }
    all
}

impl Source for SecretDirectory {
    fn fetch(&self) -> Fetch<'_> {
        Box::pin(self.consistent())
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
            format!("reading {} took too long", self.0.display()),
        )
    }

    fn way_out(&self) -> &'static str {
        "put working keys into the Secret; they are taken up without a restart"
    }
}
