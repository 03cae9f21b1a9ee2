//! Publishes the CA of the webhook: the `caBundle` of one webhook in one configuration.

use base64::{Engine, engine::general_purpose::STANDARD};
use kube::{
    Api, Client, Resource,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};

use super::super::CertificateError;

/// A webhook in a configuration whose other fields the chart sets.
pub(super) struct Publication {
    api: Api<DynamicObject>,
    resource: ApiResource,
    configuration: String,
    webhook: &'static str,
}

impl Publication {
    /// A webhook in a configuration of kind `K`.
    pub(super) fn new<K>(client: &Client, configuration: &str, webhook: &'static str) -> Self
    where
        K: Resource<DynamicType = ()>,
    {
        let resource = ApiResource::erase::<K>(&());
        Self {
            api: Api::all_with(client.clone(), &resource),
            resource,
            configuration: configuration.to_owned(),
            webhook,
        }
    }

    /// The CA bundle that the API server trusts, PEM; `None` if the configuration does not exist or has no such webhook.
    pub(super) async fn read(&self) -> Result<Option<Vec<u8>>, CertificateError> {
        let found = self.api.get_opt(&self.configuration).await;
        let found = found.map_err(|source| self.error("read", source))?;
        let Some(found) = found else {
            return Ok(None);
        };
        let webhooks = found.data.get("webhooks").and_then(Value::as_array);
        let webhook = webhooks
            .into_iter()
            .flatten()
            .find(|webhook| webhook.get("name").and_then(Value::as_str) == Some(self.webhook));
        Ok(webhook.map(|webhook| {
            webhook
                .pointer("/clientConfig/caBundle")
                .and_then(Value::as_str)
                .and_then(|bundle| STANDARD.decode(bundle).ok())
                .unwrap_or_default()
        }))
    }

    /// Publishes these CA certificates, unless they are already published or the webhook does not exist.
    pub(super) async fn write(
        &self,
        trusted: Option<&[u8]>,
        authorities: &str,
    ) -> Result<(), CertificateError> {
        if trusted.is_none_or(|trusted| trusted == authorities.as_bytes()) {
            return Ok(());
        }
        let wanted = json!({
            "apiVersion": self.resource.api_version,
            "kind": self.resource.kind,
            "metadata": {"name": self.configuration},
            "webhooks": [{
                "name": self.webhook,
                "clientConfig": {"caBundle": STANDARD.encode(authorities)},
            }],
        });
        // A strategic merge patch: the chart sets the other fields of the webhook.
        self.api
            .patch(
                &self.configuration,
                &PatchParams::default(),
                &Patch::Strategic(&wanted),
            )
            .await
            .map_err(|source| self.error("publish the CA in", source))?;
        tracing::info!(
            configuration = self.configuration,
            kind = self.resource.kind,
            "published the CA of the webhook"
        );
        Ok(())
    }

    fn error(&self, action: &'static str, source: kube::Error) -> CertificateError {
        CertificateError::Api {
            action,
            what: format!("{} {}", self.resource.kind, self.configuration),
            source,
        }
    }
}
