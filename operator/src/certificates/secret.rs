//! The Secret with the bundle of `authority.rs`, and the webhook configurations that trust it (`publication.rs`).
//!
//! Safe if several replicas run it at the same time: the Secret is replaced only if it still has the version that was
//! read, and the published CA is always that of the Secret. In a steady state nothing is written.

mod publication;

use std::collections::BTreeMap;

use api::names;
use k8s_openapi::{
    ByteString,
    api::{
        admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
        core::v1::Secret,
    },
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};

use publication::Publication;

use super::{
    CertificateError,
    authority::{
        AUTHORITIES, AUTHORITY_KEY, AUTHORITY_MADE, Bundle, Subject, fresh, holds_newest, next,
        text,
    },
};
use crate::webhook::OwnCertificate;

/// Common name of the CA.
const AUTHORITY_NAME: &str = "bedrock-access-operator webhook authority";
/// Common name of the certificate.
const SERVER_NAME: &str = "bedrock-access-operator webhook";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

/// Manages one Secret and the webhook configurations.
pub(super) struct Keeper {
    secrets: Api<Secret>,
    publications: Vec<Publication>,
    own: OwnCertificate,
}

/// The state after a step.
pub(super) struct Step {
    /// The current bundle.
    pub(super) bundle: Bundle,
    /// Whether the API server trusts it, or does not call the webhook at all.
    pub(super) published: bool,
}

impl Keeper {
    /// `validates`: whether the webhook also validates `BedrockAccess` objects, with a configuration of its own.
    pub(super) fn new(client: &Client, own: OwnCertificate, validates: bool) -> Self {
        let sidecar = Publication::new::<MutatingWebhookConfiguration>(
            client,
            &own.configuration,
            names::SIDECAR_WEBHOOK,
        );
        let validation = [names::VALIDATION_WEBHOOK, names::AUTHORIZATION_WEBHOOK]
            .into_iter()
            .filter(|_| validates)
            .map(|webhook| {
                Publication::new::<ValidatingWebhookConfiguration>(
                    client,
                    &own.validation_configuration,
                    webhook,
                )
            });
        Self {
            secrets: Api::namespaced(client.clone(), &own.namespace),
            publications: [sidecar].into_iter().chain(validation).collect(),
            own,
        }
    }

    /// Reads without changes; `None` if the certificate does not exist yet.
    pub(super) async fn look(&self) -> Result<Option<Step>, CertificateError> {
        let Some(bundle) = self.read().await?.as_ref().and_then(bundle_in) else {
            return Ok(None);
        };
        let published = announced(&bundle, &self.published().await?);
        Ok(Some(Step { bundle, published }))
    }

    /// Reads, renews if due, and publishes the CA.
    pub(super) async fn step(&self) -> Result<Step, CertificateError> {
        let found = self.read().await?;
        let current = found.as_ref().and_then(bundle_in);
        let trusted = self.published().await?;
        let announced = current
            .as_ref()
            .is_some_and(|bundle| announced(bundle, &trusted));
        let (rotation, now) = (&self.own.rotation, Timestamp::now());
        let subject = Subject {
            authority: AUTHORITY_NAME,
            server: SERVER_NAME,
            names: &self.own.names,
        };
        let (bundle, renewed) = match current {
            Some(current) => match next(&current, subject, rotation, announced, now)? {
                Some(due) => (due, true),
                None => (current, false),
            },
            None => (fresh(subject, rotation, now)?, true),
        };
        if renewed {
            self.write(found, &bundle).await?;
        }
        for (publication, trusted) in self.publications.iter().zip(&trusted) {
            publication
                .write(trusted.as_deref(), &bundle.authorities)
                .await?;
        }
        Ok(Step {
            bundle,
            published: true,
        })
    }

    /// The published CA bundle of each webhook; `None` if a webhook does not exist.
    async fn published(&self) -> Result<Vec<Option<Vec<u8>>>, CertificateError> {
        let mut found = Vec::new();
        for publication in &self.publications {
            found.push(publication.read().await?);
        }
        Ok(found)
    }

    async fn read(&self) -> Result<Option<Secret>, CertificateError> {
        self.secrets
            .get_opt(&self.own.secret)
            .await
            .map_err(|source| error("read Secret", &self.own.secret, source))
    }

    /// Replaces the Secret only if it still has the version that was read.
    async fn write(&self, found: Option<Secret>, bundle: &Bundle) -> Result<(), CertificateError> {
        let made = bundle.authority_made.to_string();
        let data: BTreeMap<String, ByteString> = [
            (AUTHORITIES, &bundle.authorities),
            (AUTHORITY_KEY, &bundle.authority_key),
            (AUTHORITY_MADE, &made),
            (CERTIFICATE, &bundle.certificate),
            (KEY, &bundle.key),
        ]
        .into_iter()
        .map(|(name, text)| (name.to_owned(), ByteString(text.clone().into_bytes())))
        .collect();
        let parameters = PostParams {
            field_manager: Some(names::FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let written = if let Some(mut secret) = found {
            secret.data = Some(data);
            self.secrets
                .replace(&self.own.secret, &parameters, &secret)
                .await
        } else {
            let labels = [(names::APP_MANAGED_BY_LABEL, names::FIELD_MANAGER)];
            let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
            let secret = Secret {
                metadata: ObjectMeta {
                    name: Some(self.own.secret.clone()),
                    labels: Some(BTreeMap::from(labels)),
                    ..ObjectMeta::default()
                },
                data: Some(data),
                ..Secret::default()
            };
            self.secrets.create(&parameters, &secret).await
        };
        written.map_err(|source| error("write Secret", &self.own.secret, source))?;
        tracing::info!(
            secret = self.own.secret,
            "renewed the webhook's certificate or CA"
        );
        Ok(())
    }
}

fn error(action: &'static str, what: &str, source: kube::Error) -> CertificateError {
    CertificateError::Api {
        action,
        what: what.to_owned(),
        source,
    }
}

/// Whether the API server trusts the newest CA. A configuration that does not exist is ignored: no API server uses it.
fn announced(bundle: &Bundle, trusted: &[Option<Vec<u8>>]) -> bool {
    trusted
        .iter()
        .flatten()
        .all(|trusted| holds_newest(&String::from_utf8_lossy(trusted), &bundle.authorities))
}

/// The bundle in a Secret; `None` if a part is missing, so that a new one must be created.
fn bundle_in(secret: &Secret) -> Option<Bundle> {
    let data = secret.data.as_ref()?;
    Some(Bundle {
        certificate: text(data, CERTIFICATE)?,
        key: text(data, KEY)?,
        ..Bundle::authority_in(data)?
    })
}
