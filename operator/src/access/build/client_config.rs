//! The ConfigMap for apps: addresses, token audience and model names of the endpoint.
//!
//! Keys are environment variables, so that an app can use all of them with `envFrom`. Addresses have the names that client
//! libraries read. There is no region: it would also apply to the app's clients of other AWS services. `ca.crt` is a file for
//! apps that mount the ConfigMap.

use std::collections::BTreeMap;

use api::v1alpha1::client_config_name;
use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};

use super::metadata;
use crate::access::validate::{CertificateSource, Tls, Validated};

/// Base URL with the version, for OpenAI clients.
const OPENAI_BASE_URL: &str = "OPENAI_BASE_URL";
/// Base URL without version, for Anthropic clients.
const ANTHROPIC_BASE_URL: &str = "ANTHROPIC_BASE_URL";
/// Base URL of Bedrock's own API, for Anthropic clients with Bedrock.
const ANTHROPIC_BEDROCK_BASE_URL: &str = "ANTHROPIC_BEDROCK_BASE_URL";
/// Base URL of Bedrock's own API, for AWS SDKs.
const AWS_ENDPOINT_URL: &str = "AWS_ENDPOINT_URL_BEDROCK_RUNTIME";
/// Audience of ServiceAccount tokens.
const AUDIENCE: &str = "BEDROCK_ACCESS_AUDIENCE";
/// Names in `spec.models`, separated by commas.
const MODELS: &str = "BEDROCK_ACCESS_MODELS";
/// CA certificates of the operator's authority for the namespace, PEM.
const AUTHORITIES: &str = "ca.crt";

pub(super) fn build(access: &Validated) -> ConfigMap {
    let base = access.endpoint();
    let names: Vec<&str> = access
        .models
        .iter()
        .map(|model| model.name.as_str())
        .collect();
    let data = [
        (OPENAI_BASE_URL, format!("{base}/v1")),
        (ANTHROPIC_BASE_URL, base.clone()),
        (ANTHROPIC_BEDROCK_BASE_URL, base.clone()),
        (AWS_ENDPOINT_URL, base),
        (AUDIENCE, access.audience()),
        (MODELS, names.join(",")),
    ]
    .map(|(key, value)| (key.to_owned(), value));
    let mut data = BTreeMap::from(data);
    if let Some(Tls {
        source: CertificateSource::Own {
            authorities: Some(authorities),
        },
        ..
    }) = &access.tls
    {
        data.insert(AUTHORITIES.to_owned(), authorities.clone());
    }
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(client_config_name(&access.name)),
            ..metadata(access)
        },
        data: Some(data),
        ..ConfigMap::default()
    }
}
