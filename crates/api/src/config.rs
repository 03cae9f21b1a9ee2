//! The configuration document of a gateway. The operator writes it into a ConfigMap; users can also write it by hand.
//!
//! The document is YAML. Unknown fields are errors, so that a misspelled field is noticed. AWS settings (credentials,
//! profile, region, endpoints) come from the environment as for all AWS tools, and settings in the document take
//! precedence. The gateway reads and watches the file; this module only parses and validates it.

mod attribution;
mod audit;
mod budgets;
mod check;
mod clients;
mod limits;
mod prices;
mod routing;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::attribution::Attribution;
pub use self::audit::Audit;
pub use self::budgets::{Budget, BudgetFallback};
pub use self::clients::{Clients, ServiceAccountClients, ServiceAccountSubject};
pub use self::limits::{
    DEFAULT_DRAIN_SECONDS, DEFAULT_MAX_BODY_BYTES, DEFAULT_STREAM_IDLE_SECONDS,
    DEFAULT_UPSTREAM_SECONDS, Limits, Rates, RedisStore, Shares, Store,
};
pub use self::prices::{ModelPrice, Prices};
pub use self::routing::Routing;
use crate::{arn::RoleArn, names, region::Region};

/// `kind` of the document.
pub const KIND: &str = "GatewayConfig";

/// The configuration document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent settings of a document"
)]
pub struct GatewayConfig {
    /// `bedrockaccess.dev/v1alpha1`.
    pub api_version: String,
    /// `GatewayConfig`.
    pub kind: String,
    /// The `BedrockAccess` that the operator created this document from. Absent in a document written by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<AccessReference>,
    /// Default region of targets. If absent, `AWS_REGION` or the region of the profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// Custom base URLs of AWS services, such as VPC endpoints or FIPS endpoints.
    #[serde(skip_serializing_if = "Endpoints::is_empty")]
    pub endpoints: Endpoints,
    /// Roles to assume in this order, starting with the base credentials. The last role signs the requests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assume_roles: Vec<AssumeRole>,
    /// Models that clients can call, each by a name of your choice.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<Model>,
    /// Bedrock model ids that clients can call directly. `*` matches any number of characters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// S3 objects that requests can refer to, as patterns such as `s3://bucket/prefix/*`. Bedrock reads them with the
    /// gateway's role. `*` matches any number of characters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub s3_sources: Vec<String>,
    /// Guardrail that Bedrock applies to every request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guardrail: Option<Guardrail>,
    /// Clients that can call the gateway.
    pub clients: Clients,
    /// Certificate of the API port. If absent, the port serves HTTP without TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Size limits, timeouts and rate limits.
    pub limits: Limits,
    /// How requests are distributed among targets.
    #[serde(skip_serializing_if = "Routing::is_default")]
    pub routing: Routing,
    /// What the gateway tells AWS about the origin of requests.
    #[serde(skip_serializing_if = "Attribution::is_default")]
    pub attribution: Attribution,
    /// Audit records, one JSON line for each request. If absent, none are written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit: Option<Audit>,
    /// Prices that differ from AWS's public prices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prices: Option<Prices>,
    /// If present, the gateway rejects every request with this message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked: Option<String>,
    /// Reject requests with any unsupported field. If false, unsupported fields that are harmless are dropped with a warning
    /// header.
    #[serde(skip_serializing_if = "is_false")]
    pub strict: bool,
    /// Fetch images and files that requests refer to by an `https://` URL, from public addresses only. If false, such
    /// requests are rejected.
    #[serde(skip_serializing_if = "is_false")]
    pub fetch_remote_media: bool,
    /// Add prompt-cache points to requests that set none.
    #[serde(skip_serializing_if = "is_false")]
    pub automatic_cache: bool,
    /// Keep signed reasoning in memory for up to an hour, and add it to later requests of the same client that replay the
    /// tool calls without it. Applies to Chat Completions, which has no field for signed reasoning.
    #[serde(skip_serializing_if = "is_true")]
    pub keep_reasoning: bool,
    /// Model families that override or extend the built-in table; see the guide.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub model_families: BTreeMap<String, Value>,
}

/// Namespace and name of a `BedrockAccess`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessReference {
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
}

/// Base URLs without a path, such as `https://vpce-….bedrock-runtime.us-east-1.vpce.amazonaws.com`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Endpoints {
    /// Amazon Bedrock Runtime, which serves Converse and InvokeModel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bedrock_runtime: Option<String>,
    /// `bedrock-mantle`, which serves OpenAI-compatible and Anthropic-compatible APIs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bedrock_mantle: Option<String>,
    /// The Amazon Bedrock control plane, which lists models and inference profiles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bedrock: Option<String>,
    /// AWS Security Token Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sts: Option<String>,
}

/// A role to assume, with the parameters of `sts:AssumeRole`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AssumeRole {
    /// The role to assume.
    pub role_arn: RoleArn,
    /// Role session name: 2–64 characters of `[\w+=,.@-]`. If absent, derived from the `BedrockAccess` or the host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_name: Option<String>,
    /// External id that the trust policy requires in `sts:ExternalId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Lifetime of the credentials in seconds, 900–43200. AWS allows at most 3600 for role chaining.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<u32>,
}

/// A model name and its targets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Model {
    /// Name that clients send as the model.
    pub name: String,
    /// At least one target. The lowest `priority` comes first; `weight` distributes requests among equal priorities.
    pub targets: Vec<Target>,
}

/// A Bedrock model in a region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    /// Id or ARN of a model or inference profile.
    pub model_id: String,
    /// Region of the target. If absent, the region of the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// Share of the requests and conversations among targets with the same priority. A target with weight 0 gets no requests.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub weight: u32,
    /// Priority of the target. The lowest number comes first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: u32,
    /// Foundation model behind an ARN that does not contain it. It determines the model family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_model: Option<String>,
    /// The Bedrock API that serves the model; overrides the table of model families.
    #[serde(default, alias = "surface", skip_serializing_if = "Option::is_none")]
    pub api: Option<BedrockApi>,
    /// Role to assume for this target, starting with the credentials of the document. If absent, those credentials sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assume_role: Option<AssumeRole>,
    /// Id or ARN of the Bedrock project that Converse, InvokeModel and bedrock-mantle charge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
}

// Doc comments on the variants would turn the `enum` of the schema into a `oneOf`.
/// A Bedrock API that serves a model. `Converse`, `InvokeModel`, `OpenAI` (under `/openai/v1`) and `Anthropic` (under
/// `/anthropic/v1`) are APIs of bedrock-runtime. `Mantle` (under `/v1` and `/anthropic/v1`) and `MantleOpenAI` (under
/// `/openai/v1`) are APIs of bedrock-mantle. The setting applies to the client dialects that the API supports; the table
/// of model families applies to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "described above")]
pub enum BedrockApi {
    #[serde(alias = "converse")]
    Converse,
    #[serde(alias = "invoke")]
    InvokeModel,
    #[serde(rename = "OpenAI", alias = "openAi")]
    OpenAi,
    #[serde(alias = "anthropic")]
    Anthropic,
    #[serde(alias = "mantle")]
    Mantle,
    #[serde(rename = "MantleOpenAI", alias = "mantleOpenAi")]
    MantleOpenAi,
}

impl BedrockApi {
    /// Whether it is an API of bedrock-mantle.
    pub fn is_mantle(self) -> bool {
        matches!(self, Self::Mantle | Self::MantleOpenAi)
    }
}

/// A guardrail of Amazon Bedrock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Guardrail {
    /// Id or ARN of the guardrail.
    pub identifier: String,
    /// Version of the guardrail: a number or `DRAFT`.
    pub version: String,
}

/// A certificate in files. The gateway reloads the files when they change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tls {
    /// PEM file with the certificate, followed by intermediate certificates.
    pub cert_file: String,
    /// PEM file with the private key.
    pub key_file: String,
}

/// A document is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The text is not YAML, or it has an unknown field or a wrong type.
    #[error("unable to parse the configuration: {0}")]
    Parse(String),
    /// A field has an invalid value.
    #[error("{field}: {message}")]
    Invalid {
        /// Path of the field, such as `models[0].name`.
        field: String,
        /// The problem and the expected value.
        message: String,
    },
}

impl GatewayConfig {
    /// Parses and validates a document.
    ///
    /// # Errors
    /// [`ConfigError::Parse`] with line and column, or [`ConfigError::Invalid`] with the field.
    pub fn from_yaml(text: &str) -> Result<Self, ConfigError> {
        let is_blank = |line: &str| {
            let line = line.trim();
            line.is_empty() || line.starts_with('#') || line == "---"
        };
        // A file that is being written, or a full disk; all fields have defaults.
        if text.lines().all(is_blank) {
            return Err(ConfigError::Parse("the document is empty".to_owned()));
        }
        let config: Self =
            serde_yaml::from_str(text).map_err(|error| ConfigError::Parse(error.to_string()))?;
        config.check()?;
        Ok(config)
    }

    /// The document as YAML. Equal documents give the same bytes.
    ///
    /// # Errors
    /// A free-form value cannot be written as YAML.
    pub fn to_yaml(&self) -> Result<String, ConfigError> {
        serde_yaml::to_string(self).map_err(|error| ConfigError::Parse(error.to_string()))
    }

    /// Distinct roles of the targets, each with the first field that contains it.
    pub fn target_roles(&self) -> BTreeMap<&AssumeRole, String> {
        let mut roles = BTreeMap::new();
        for (index, model) in self.models.iter().enumerate() {
            for (at, target) in model.targets.iter().enumerate() {
                if let Some(role) = &target.assume_role {
                    let field = || format!("models[{index}].targets[{at}].assumeRole");
                    roles.entry(role).or_insert_with(field);
                }
            }
        }
        roles
    }
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            api_version: api_version(),
            kind: KIND.to_owned(),
            access: None,
            region: None,
            endpoints: Endpoints::default(),
            assume_roles: Vec::new(),
            models: Vec::new(),
            allow: Vec::new(),
            s3_sources: Vec::new(),
            guardrail: None,
            clients: Clients::default(),
            tls: None,
            limits: Limits::default(),
            routing: Routing::default(),
            attribution: Attribution::default(),
            audit: None,
            prices: None,
            revoked: None,
            strict: false,
            fetch_remote_media: false,
            automatic_cache: false,
            keep_reasoning: true,
            model_families: BTreeMap::new(),
        }
    }
}

impl Target {
    /// A target with defaults for everything but its id.
    pub fn new(model_id: &str) -> Self {
        Self {
            model_id: model_id.to_owned(),
            region: None,
            weight: 1,
            priority: 0,
            base_model: None,
            api: None,
            assume_role: None,
            project: None,
        }
    }
}

impl Endpoints {
    /// Whether no custom endpoint is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl GatewayConfig {
    /// Whether requests carry `requestMetadata` of the gateway.
    pub fn adds_request_metadata(&self) -> bool {
        let set = self.attribution.request_metadata;
        set.unwrap_or(self.access.is_some())
    }
}

fn api_version() -> String {
    format!("{}/{}", names::GROUP, names::VERSION)
}

fn one() -> u32 {
    1
}

// `skip_serializing_if` of serde passes references.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "signature set by serde")]
fn is_one(value: &u32) -> bool {
    *value == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "signature set by serde")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "signature set by serde")]
fn is_true(value: &bool) -> bool {
    *value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "signature set by serde")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_mapping_is_the_default() {
        assert_eq!(
            GatewayConfig::from_yaml("{}").unwrap(),
            GatewayConfig::default()
        );
    }

    #[test]
    fn document_is_the_same_after_a_round_trip() {
        let text = "region: us-east-1\nmodels:\n- name: fast\n  targets:\n  - modelId: amazon.nova-lite-v1:0\n";
        let config = GatewayConfig::from_yaml(text).unwrap();
        let again = GatewayConfig::from_yaml(&config.to_yaml().unwrap()).unwrap();
        assert_eq!(config, again);
        assert_eq!(again.models[0].targets[0].weight, 1);
    }

    #[test]
    fn documents_of_the_operator_add_metadata_by_default() {
        let adds = |text: &str| {
            let config = GatewayConfig::from_yaml(text).unwrap();
            config.adds_request_metadata()
        };
        let access = "access: {namespace: team-a, name: chat}";
        assert!(adds(access));
        assert!(!adds("{}"));
        assert!(adds("attribution: {requestMetadata: true}"));
        let off = "\nattribution: {requestMetadata: false}";
        assert!(!adds(&format!("{access}{off}")));
    }

    #[test]
    fn each_role_of_the_targets_is_listed_once_with_its_first_field() {
        let role = "assumeRole: {roleArn: 'arn:aws:iam::210987654321:role/Other'";
        let text = format!(
            "models: [{{name: a, targets: [{{modelId: x}}, {{modelId: y, {role}}}}}, {{modelId: y, {role}, externalId: abc}}}}]}}, {{name: b, targets: [{{modelId: z, {role}}}}}]}}]"
        );
        let config = GatewayConfig::from_yaml(&text).unwrap();
        let fields: Vec<String> = config.target_roles().into_values().collect();
        assert_eq!(
            fields,
            [
                "models[0].targets[1].assumeRole",
                "models[0].targets[2].assumeRole"
            ]
        );
    }
}
