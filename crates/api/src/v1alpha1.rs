//! Custom resources of `bedrockaccess.dev/v1alpha1`.
//!
//! The schema carries what a schema can say, CEL rules say the rest that can be seen in the object
//! alone, and each text is written for the person who reads it in `kubectl explain` or in a refusal.
//! What needs more than the object (another object, an ARN's grammar) is checked by the operator.
//! Lists and strings are bounded so that the API server can bound the cost of each rule.

#![expect(
    unreachable_pub,
    reason = "the KubeSchema derive copies each public type into a function body"
)]

pub mod autoscaling;
pub mod clients;
pub mod condition;
pub mod gateway;
pub mod identity;
pub mod limits;
pub mod models;
pub mod network_policy;
pub mod pod_monitor;
pub mod policy;
pub mod service_account;
pub mod sidecar;
pub mod status;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResource, CustomResourceExt, KubeSchema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::{
    clients::ClientsSpec, gateway::GatewaySpec, identity::IdentitySpec, limits::LimitsSpec,
    models::ModelSpec, policy::BedrockAccessPolicy, service_account::ServiceAccountSpec,
    sidecar::SidecarSpec, status::BedrockAccessStatus,
};
use crate::names;

/// What the name of an access gets to become the name of its children.
const CHILD_SUFFIX: &str = "-gateway";

/// Access to Amazon Bedrock for one team: an AWS identity, the models behind it, and who may use them.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "bedrockaccess.dev",
    version = "v1alpha1",
    kind = "BedrockAccess",
    plural = "bedrockaccesses",
    singular = "bedrockaccess",
    shortname = "bra",
    category = "bedrock",
    namespaced,
    status = "BedrockAccessStatus",
    derive = "PartialEq",
    doc = "BedrockAccess gives a team a working Amazon Bedrock endpoint: from it the operator makes a ServiceAccount bound to an IAM role, a gateway that signs every call with short-lived credentials, its Service and its configuration.",
    validation = Rule::new("self.metadata.name.size() <= 55 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')").message("metadata.name must be at most 55 lower-case letters, digits and hyphens, beginning with a letter: the gateway's Service is named after it"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Whether the endpoint answers"),
    printcolumn(name = "Gateways", type_ = "integer", json_path = ".status.readyReplicas", description = "Gateway pods that are ready"),
    printcolumn(name = "Sidecars", type_ = "integer", json_path = ".status.sidecars.ready", description = "Sidecars that are ready"),
    printcolumn(name = "Endpoint", type_ = "string", json_path = ".status.endpoint", description = "Base URL for clients"),
    printcolumn(name = "Role", type_ = "string", json_path = ".status.roleArn", description = "IAM role behind it"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", description = "Why it is or is not ready"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = Rule::new("self.models.size() > 0 || self.allow.size() > 0").message("nothing could be asked for: name at least one model in models, or a pattern in allow"),
    validation = Rule::new("self.gateway.enabled || has(self.sidecar)").message("nothing would be made: set sidecar, or leave gateway.enabled at true"),
    validation = Rule::new("!self.gateway.enabled || self.clients.anonymous || has(self.clients.apiKeys) || self.clients.serviceAccounts.size() > 0").message("nobody could call: set serviceAccounts, apiKeys, or anonymous: true").field_path(".clients")
)]
#[serde(rename_all = "camelCase")]
pub struct BedrockAccessSpec {
    /// AWS region of the models, of STS, and of targets that name no other, such as us-east-1.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z][a-z0-9]*(-[a-z0-9]+){1,3}-[0-9]+$')").message("must be an AWS region such as us-east-1"))]
    pub region: String,
    /// Base URLs to use instead of AWS's own: VPC endpoints, FIPS endpoints, or a simulated AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<EndpointsSpec>,
    /// Where the gateway's AWS credentials come from: exactly one of irsa, podIdentity, secret and ambient.
    pub identity: IdentitySpec,
    /// The ServiceAccount the gateway runs as.
    #[serde(default)]
    pub service_account: ServiceAccountSpec,
    /// Models clients may ask for, each by a name of its own.
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    #[serde(default)]
    pub models: Vec<ModelSpec>,
    /// Model ids that clients may ask for by Bedrock's own name; * stands for any run of characters, as in anthropic.claude-*.
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)), extend("x-kubernetes-list-type" = "set"))]
    #[serde(default)]
    pub allow: Vec<String>,
    /// A guardrail of Amazon Bedrock that every request goes through, whatever the client asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guardrail: Option<models::GuardrailSpec>,
    /// Who may call the gateway; required unless gateway.enabled is false. A sidecar answers its own pod, and nobody else.
    #[serde(default)]
    pub clients: ClientsSpec,
    /// How much all clients together may ask for in a time. Without a store every gateway pod counts by itself, so that two replicas may take twice as much; every sidecar always does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitsSpec>,
    /// How the gateway runs.
    #[serde(default)]
    pub gateway: GatewaySpec,
    /// The gateway as a sidecar in pods of the team; left out, no pod gets one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar: Option<SidecarSpec>,
}

/// Base URLs to use instead of AWS's own.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointsSpec {
    /// Bedrock's data plane: Converse, InvokeModel and their like.
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("isURL(self) && (self.startsWith('https://') || self.startsWith('http://'))").message("must be a URL that begins with https:// or http://"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bedrock_runtime: Option<String>,
    /// Bedrock's endpoints in the protocols of OpenAI and Anthropic on bedrock-mantle.
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("isURL(self) && (self.startsWith('https://') || self.startsWith('http://'))").message("must be a URL that begins with https:// or http://"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bedrock_mantle: Option<String>,
    /// Bedrock's control plane: lists of models and inference profiles.
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("isURL(self) && (self.startsWith('https://') || self.startsWith('http://'))").message("must be a URL that begins with https:// or http://"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bedrock: Option<String>,
    /// Security Token Service.
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("isURL(self) && (self.startsWith('https://') || self.startsWith('http://'))").message("must be a URL that begins with https:// or http://"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sts: Option<String>,
}

/// Every custom resource definition of this version, in the order they are written to `crds/`.
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![
        tidied(BedrockAccess::crd()),
        tidied(BedrockAccessPolicy::crd()),
    ]
}

/// The definitions as files: name and YAML, as they stand in `crds/` and in the chart.
///
/// # Errors
/// When a definition cannot be written as YAML.
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
/// `spec.serviceAccount.name` says otherwise.
pub fn child_name(access: &str) -> String {
    format!("{access}{CHILD_SUFFIX}")
}

/// Audience a ServiceAccount token needs to be let in by the gateway of an access.
pub fn client_audience(namespace: &str, access: &str) -> String {
    format!("{}/{namespace}/{access}", names::GROUP)
}

/// A field that is left out and one that is `null` mean the same: without `nullable` the API server
/// drops the `null` before defaults and rules look at it, so that "exactly one of" counts right.
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
            // `properties` maps names to schemas: a field of that name would be an object.
            if fields.get("nullable").is_some_and(Value::is_boolean) {
                fields.shift_remove("nullable");
            }
            // A format Kubernetes does not know is a warning at each installation; the range says it.
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

#[cfg(test)]
mod tests;
