//! Custom resources of `bedrockaccess.dev/v1alpha1`.
//!
//! The schema expresses what a schema can, and CEL rules express what depends on several fields of one object. The
//! operator checks the rest, such as the grammar of an ARN. Lists and strings are bounded, so that the API server can
//! bound the cost of each rule.
//!
//! Doc comments become the texts of `kubectl explain`, and the messages of rules become the texts of refusals.
//!
//! The API server stores a default only if the zero value of the field means something else (`enabled: true`,
//! `create: true`, `weight: 1`). The operator applies all other defaults, so that a later release can change them.
//! Objects that earlier releases stored with explicit empty lists and maps still parse.

#![expect(
    unreachable_pub,
    reason = "the KubeSchema derive copies each public type into a function body"
)]

pub mod attribution;
pub mod audit;
pub mod autoscaling;
pub mod clients;
pub mod condition;
pub mod explain;
pub mod gateway;
pub mod health;
pub mod http_route;
pub mod identity;
pub mod limits;
pub mod models;
pub mod network_policy;
pub mod pod_monitor;
pub mod policy;
pub mod prices;
pub mod routing;
pub mod service_account;
pub mod sidecar;
pub mod status;
pub mod tls;

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResource, CustomResourceExt, KubeSchema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::{
    attribution::AttributionSpec, audit::AuditSpec, clients::ClientsSpec, gateway::GatewaySpec,
    identity::IdentitySpec, limits::LimitsSpec, models::ModelSpec, policy::BedrockAccessPolicy,
    prices::PricesSpec, routing::RoutingSpec, service_account::ServiceAccountSpec,
    sidecar::SidecarSpec, status::BedrockAccessStatus,
};
use crate::names;

/// Suffix that makes the name of the gateway's objects from the name of a `BedrockAccess`.
const GATEWAY_SUFFIX: &str = "-gateway";
/// The same for the ConfigMap with the settings for apps.
const CLIENT_SUFFIX: &str = "-client";

/// Desired state of a Bedrock endpoint: an AWS identity, the models behind it, and the clients that may call it.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "bedrockaccess.dev",
    version = "v1alpha1",
    kind = "BedrockAccess",
    plural = "bedrockaccesses",
    singular = "bedrockaccess",
    shortname = "bda",
    category = "bedrock",
    namespaced,
    status = "BedrockAccessStatus",
    derive = "PartialEq",
    doc = "BedrockAccess provides an Amazon Bedrock endpoint for a team. The operator creates a ServiceAccount bound to an IAM role, a gateway that signs each request with short-lived credentials, its Service and its configuration.",
    validation = Rule::new("self.metadata.name.size() <= 55 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')").message("metadata.name must be at most 55 lower-case letters, digits and hyphens, starting with a letter: the name of the Service is derived from it"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Status of the Ready condition"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", description = "Reason of the Ready condition"),
    printcolumn(name = "Gateways", type_ = "string", json_path = ".status.gateways", description = "Ready and desired gateway pods"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", description = "Time since the object was created"),
    printcolumn(name = "Sidecars", type_ = "integer", json_path = ".status.sidecars.ready", description = "Ready sidecars", priority = 1),
    printcolumn(name = "Endpoint", type_ = "string", json_path = ".status.endpoint", description = "Base URL for clients", priority = 1),
    printcolumn(name = "Today", type_ = "string", json_path = ".status.usage.today.costUsd", description = "Cost today in US dollars", priority = 1),
    printcolumn(name = "Month", type_ = "string", json_path = ".status.usage.month.costUsd", description = "Cost this month in US dollars", priority = 1),
    printcolumn(name = "Role", type_ = "string", json_path = ".status.roleArn", description = "IAM role of the gateway", priority = 1)
)]
#[x_kube(
    validation = Rule::new("(has(self.models) && self.models.size() > 0) || (has(self.allow) && self.allow.size() > 0)").message("set at least one of models or allow"),
    validation = Rule::new("!has(self.gateway) || self.gateway.enabled || has(self.sidecar)").message("enable gateway or set sidecar"),
    validation = Rule::new("(has(self.gateway) && !self.gateway.enabled) || (has(self.clients) && ((has(self.clients.anonymous) && self.clients.anonymous) || has(self.clients.apiKeys) || (has(self.clients.serviceAccounts) && self.clients.serviceAccounts.size() > 0)))").message("no client can authenticate: set clients.serviceAccounts, clients.apiKeys or clients.anonymous").field_path(".clients")
)]
#[serde(rename_all = "camelCase")]
pub struct BedrockAccessSpec {
    /// Stop the operator from creating, changing or removing the objects that it manages. Running gateway pods
    /// continue to serve, and new pods still get a sidecar from the current spec. The Ready condition continues to
    /// report whether gateway pods serve, with reason Suspended. Deleting the BedrockAccess still removes its objects.
    /// A BedrockAccessPolicy that denies the spec or the running configuration still revokes the endpoint.
    /// Default: false.
    #[serde(default, skip_serializing_if = "is_default")]
    pub suspend: bool,
    /// Labels of every managed object and of the gateway pods. Labels that apply to one object only, such as
    /// gateway.podLabels, take precedence. Selectors do not use these labels. Changing them replaces the gateway pods.
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 63, "pattern": "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"}))]
    #[x_kube(validation = Rule::new("self.all(key, !key.startsWith('bedrockaccess.dev/') && !(key in ['app.kubernetes.io/name', 'app.kubernetes.io/instance', 'app.kubernetes.io/component', 'app.kubernetes.io/managed-by']))").message("must not contain bedrockaccess.dev/ labels or the app.kubernetes.io labels name, instance, component and managed-by: the operator sets them"))]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub common_labels: BTreeMap<String, String>,
    /// AWS region of STS, and of models whose target sets no other, such as us-east-1.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z][a-z0-9]*(-[a-z0-9]+){1,3}-[0-9]+$')").message("must be an AWS region such as us-east-1"))]
    pub region: String,
    /// Custom base URLs of AWS services, such as VPC endpoints or FIPS endpoints. If not set, the gateway calls the
    /// public endpoints of the region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<EndpointsSpec>,
    /// Source of the gateway's AWS credentials. Exactly one of irsa, podIdentity, secret and ambient must be set.
    pub identity: IdentitySpec,
    /// ServiceAccount of the gateway pods. If not set, the operator creates one.
    #[serde(default, skip_serializing_if = "is_default")]
    pub service_account: ServiceAccountSpec,
    /// Models that clients can call, each by a name of your choice.
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelSpec>,
    /// Bedrock model ids that clients can call directly. An asterisk (*) matches any number of characters, as in
    /// anthropic.claude-*.
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)), extend("x-kubernetes-list-type" = "set"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// S3 objects that requests can refer to, as patterns of their URIs such as s3://bucket/prefix/*. Bedrock reads them
    /// with the role of the gateway. If not set, requests cannot refer to S3 objects.
    #[schemars(length(max = 64), inner(length(min = 6, max = 1024), regex(pattern = r"^s3://\S+$")), extend("x-kubernetes-list-type" = "set"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub s3_sources: Vec<String>,
    /// Guardrail that Bedrock applies to every request. Clients cannot override it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guardrail: Option<models::GuardrailSpec>,
    /// Clients that can call the gateway. Required unless gateway.enabled is false. A sidecar serves the containers of
    /// its own pod only and ignores this field.
    #[serde(default, skip_serializing_if = "is_default")]
    pub clients: ClientsSpec,
    /// Rate limits shared by all clients, size limits and timeouts. Without a store each gateway pod counts separately, so two replicas together
    /// admit up to twice the limit. Each sidecar always counts separately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitsSpec>,
    /// Distribution of requests among the targets of a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routing: Option<RoutingSpec>,
    /// What the gateway tells AWS about the origin of requests, for invocation logs and cost reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribution: Option<AttributionSpec>,
    /// Audit records of the gateway: one JSON line for each request on standard output. Set it to {} to use the defaults.
    /// If not set, the setting of the operator applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditSpec>,
    /// Prices that differ from AWS's public prices, such as a discount of a contract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<PricesSpec>,
    /// Settings of the gateway pods and of the objects that belong to them.
    #[serde(default, skip_serializing_if = "is_default")]
    pub gateway: GatewaySpec,
    /// Settings of gateway sidecars in other pods of the namespace. If not set, no pod gets a sidecar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar: Option<SidecarSpec>,
}

/// Custom base URLs of AWS services.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointsSpec {
    /// Base URL of Amazon Bedrock Runtime, which serves Converse and InvokeModel.
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("isURL(self) && (self.startsWith('https://') || self.startsWith('http://'))").message("must be a URL that starts with https:// or http://"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bedrock_runtime: Option<String>,
    /// Base URL of bedrock-mantle, which serves OpenAI-compatible and Anthropic-compatible APIs.
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("isURL(self) && (self.startsWith('https://') || self.startsWith('http://'))").message("must be a URL that starts with https:// or http://"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bedrock_mantle: Option<String>,
    /// Base URL of the Amazon Bedrock control plane, which lists models and inference profiles.
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("isURL(self) && (self.startsWith('https://') || self.startsWith('http://'))").message("must be a URL that starts with https:// or http://"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bedrock: Option<String>,
    /// Base URL of the AWS Security Token Service.
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("isURL(self) && (self.startsWith('https://') || self.startsWith('http://'))").message("must be a URL that starts with https:// or http://"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sts: Option<String>,
}

/// All custom resource definitions of this version, in the order of the files in `crds/`.
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![
        tidied(BedrockAccess::crd()),
        tidied(BedrockAccessPolicy::crd()),
    ]
}

/// The definitions as files for `crds/` and the chart: name and YAML.
///
/// # Errors
/// A definition cannot be serialized as YAML.
pub fn crd_files() -> Result<Vec<(String, String)>, serde_yaml::Error> {
    crds()
        .iter()
        .map(|crd| {
            let name = format!("{}.yaml", crd.metadata.name.as_deref().unwrap_or_default());
            let yaml = serde_yaml::to_string(crd)?;
            Ok((
                name,
                format!("# Generated from crates/api by `cargo xtask crds`; do not edit.\n{yaml}"),
            ))
        })
        .collect()
}

/// Name of the gateway's Deployment, Service and ConfigMap, and of its ServiceAccount unless
/// `spec.serviceAccount.name` is set.
pub fn gateway_name(access: &str) -> String {
    format!("{access}{GATEWAY_SUFFIX}")
}

/// Name of the ConfigMap with the settings for apps.
pub fn client_config_name(access: &str) -> String {
    format!("{access}{CLIENT_SUFFIX}")
}

/// Audience of ServiceAccount tokens that the gateway of a `BedrockAccess` accepts.
pub fn client_audience(namespace: &str, access: &str) -> String {
    format!("{}/{namespace}/{access}", names::GROUP)
}

/// Whether a value is the default of its type. Such a value is not serialized, and the schema has no default for it.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Adapts a generated definition to Kubernetes. It removes `nullable`, so that `null` means the same as an absent field: the API server drops the `null` before it
/// applies defaults and rules, and rules of the form "exactly one of" count correctly.
fn tidied(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let Some(schema) = version
            .schema
            .as_mut()
            .and_then(|schema| schema.open_api_v3_schema.as_mut())
        else {
            continue;
        };
        if let Ok(mut value) = serde_json::to_value(&*schema) {
            tidy(&mut value);
            if let Ok(clean) = serde_json::from_value(value) {
                *schema = clean;
            }
        }
    }
    crd
}

fn tidy(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            // `properties` maps names to schemas: the value of a field with one of these names is an object.
            if fields.get("nullable").is_some_and(Value::is_boolean) {
                fields.shift_remove("nullable");
            }
            if let Some(Value::Array(values)) = fields.get_mut("enum") {
                values.retain(|value| !value.is_null());
            }
            if let Some(Value::String(text)) = fields.get_mut("description") {
                *text = unwrapped(text);
            }
            // kubectl prints a warning for a format that Kubernetes does not know. The range says the same.
            let format = fields.get("format").and_then(Value::as_str);
            if matches!(format, Some("uint32" | "uint64")) {
                fields.shift_remove("format");
            }
            fields.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// A text without the line breaks of its doc comment. Paragraphs and lists stay.
fn unwrapped(text: &str) -> String {
    let mut unwrapped = String::new();
    let mut paragraph = false;
    for line in text.lines() {
        let continues = paragraph && !line.is_empty() && !line.starts_with([' ', '-', '*']);
        if !unwrapped.is_empty() {
            unwrapped.push(if continues { ' ' } else { '\n' });
        }
        unwrapped.push_str(line);
        paragraph = !line.is_empty();
    }
    unwrapped
}

#[cfg(test)]
mod tests;
