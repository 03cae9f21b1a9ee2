//! The Secret that holds what `authority.rs` makes, and the webhook configuration that trusts it.
//!
//! Replicas may do this at the same time: the Secret is written only over the version that was read, and
//! what is published is what the Secret says. In a steady state nothing is written.

use std::collections::BTreeMap;

use api::names;
use base64::{Engine, engine::general_purpose::STANDARD};
use k8s_openapi::{
    ByteString,
    api::{admissionregistration::v1::MutatingWebhookConfiguration, core::v1::Secret},
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::json;

use super::{
    CertificateError,
    authority::{Bundle, fresh, newest, next},
};
use crate::webhook::OwnCertificate;

const AUTHORITIES: &str = "ca.crt";
const AUTHORITY_KEY: &str = "ca.key";
const AUTHORITY_MADE: &str = "ca.made";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

/// Keeps one Secret and one configuration.
pub(super) struct Keeper {
    secrets: Api<Secret>,
    configurations: Api<MutatingWebhookConfiguration>,
    own: OwnCertificate,
}

/// How things are after a look.
pub(super) struct Step {
    /// What is in force.
    pub(super) bundle: Bundle,
    /// Whether the API server trusts it, or calls nobody.
    pub(super) published: bool,
}

impl Keeper {
    pub(super) fn new(client: Client, own: OwnCertificate) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), &own.namespace),
            configurations: Api::all(client),
            own,
        }
    }

    /// Looks, renews what is due, and publishes it.
    pub(super) async fn step(&self) -> Result<Step, CertificateError> {
        let found = self
            .secrets
            .get_opt(&self.own.secret)
            .await
            .map_err(|source| error("read Secret", &self.own.secret, source))?;
        let current = found.as_ref().and_then(bundle_in);
        let trusted = self.published().await?;
        // Where there is no configuration nobody calls, so nobody has to be waited for.
        let announced = current.as_ref().is_some_and(|bundle| {
            trusted
                .as_ref()
                .is_none_or(|trusted| holds(trusted, newest(&bundle.authorities)))
        });
        let (names, rotation, now) = (&self.own.names, &self.own.rotation, Timestamp::now());
        let (bundle, renewed) = match current {
            Some(current) => match next(&current, names, rotation, announced, now)? {
                Some(due) => (due, true),
                None => (current, false),
            },
            None => (fresh(names, rotation, now)?, true),
        };
        if renewed {
            self.write(found, &bundle).await?;
        }
        let published = self.publish(trusted.as_deref(), &bundle).await?;
        Ok(Step { bundle, published })
    }

    /// Writes over the version that was read, and only over that.
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
            "renewed the webhook's certificate or authority"
        );
        Ok(())
    }

    /// What the API server trusts; `None` where there is no configuration.
    async fn published(&self) -> Result<Option<Vec<u8>>, CertificateError> {
        let name = &self.own.configuration;
        let found = self
            .configurations
            .get_opt(name)
            .await
            .map_err(|source| error("read MutatingWebhookConfiguration", name, source))?;
        Ok(found.map(|configuration| {
            configuration
                .webhooks
                .into_iter()
                .flatten()
                .find(|webhook| webhook.name == names::SIDECAR_WEBHOOK)
                .and_then(|webhook| webhook.client_config.ca_bundle)
                .map(|bundle| bundle.0)
                .unwrap_or_default()
        }))
    }

    async fn publish(
        &self,
        trusted: Option<&[u8]>,
        bundle: &Bundle,
    ) -> Result<bool, CertificateError> {
        let Some(trusted) = trusted else {
            return Ok(true);
        };
        if trusted == bundle.authorities.as_bytes() {
            return Ok(true);
        }
        let name = &self.own.configuration;
        let wanted = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [{
                "name": names::SIDECAR_WEBHOOK,
                "clientConfig": {"caBundle": STANDARD.encode(&bundle.authorities)},
            }],
        });
        // A strategic merge: the rest of the webhook is the chart's.
        self.configurations
            .patch(name, &PatchParams::default(), &Patch::Strategic(&wanted))
            .await
            .map_err(|source| error("publish the authority in", name, source))?;
        tracing::info!(configuration = name, "published the webhook's authorities");
        Ok(true)
    }
}

fn error(action: &'static str, what: &str, source: kube::Error) -> CertificateError {
    CertificateError::Api {
        action,
        what: what.to_owned(),
        source,
    }
}

/// Whether a published bundle holds this authority.
fn holds(published: &[u8], authority: Option<&str>) -> bool {
    let published = String::from_utf8_lossy(published);
    authority.is_some_and(|authority| published.contains(authority.trim_end()))
}

/// What a Secret holds; `None` where something is missing, which is then made anew.
fn bundle_in(secret: &Secret) -> Option<Bundle> {
    let data = secret.data.as_ref()?;
    let text = |key: &str| String::from_utf8(data.get(key)?.0.clone()).ok();
    Some(Bundle {
        authorities: text(AUTHORITIES)?,
        authority_key: text(AUTHORITY_KEY)?,
        authority_made: text(AUTHORITY_MADE)?.parse().ok()?,
        certificate: text(CERTIFICATE)?,
        key: text(KEY)?,
    })
}
