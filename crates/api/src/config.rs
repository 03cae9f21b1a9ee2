//! The configuration document of a gateway: written by the operator into a ConfigMap, or by hand.
//!
//! YAML, one document, unknown fields refused so that a typing error never passes for a setting.
//! AWS settings (credentials, profile, region, endpoints) come from the environment as for every AWS
//! tool; what stands here wins over it. Reading and watching the file is the gateway's business.

mod limits;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::limits::{
    DEFAULT_DRAIN_SECONDS, DEFAULT_MAX_BODY_BYTES, DEFAULT_STREAM_IDLE_SECONDS,
    DEFAULT_UPSTREAM_SECONDS, Limits, Rates, RedisStore, Store,
};
use crate::{arn::RoleArn, names, region::Region};

/// `kind` of the document.
pub const KIND: &str = "GatewayConfig";
/// The whole document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayConfig {
    /// `bedrockaccess.dev/v1alpha1`.
    #[serde(default = "api_version")]
    pub api_version: String,
    /// `GatewayConfig`.
    #[serde(default = "kind")]
    pub kind: String,
    /// The `BedrockAccess` this document was made from; absent when written by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<AccessReference>,
    /// Region of targets that name none; absent means `AWS_REGION` or the profile's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// Endpoints other than AWS's own (VPC endpoints, FIPS, a simulated AWS).
    #[serde(default, skip_serializing_if = "Endpoints::is_empty")]
    pub endpoints: Endpoints,
    /// Roles to assume one after another on top of the base credentials; the last one signs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assume_roles: Vec<AssumeRole>,
    /// Models clients may ask for by an alias.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<Model>,
    /// Patterns (`*` matches any run of characters) of Bedrock ids that may be asked for by their own name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// Guardrail forced on every request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guardrail: Option<Guardrail>,
    /// Who may call.
    #[serde(default)]
    pub clients: Clients,
    /// The certificate of the port that clients call; absent: they call without encryption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Sizes, times, and how much may be asked for in a time.
    #[serde(default)]
    pub limits: Limits,
    /// Why no request is served any more, for whoever asks; absent: requests are served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<String>,
    /// Refuse every request field that cannot be honoured instead of dropping harmless ones with a warning header.
    #[serde(default, skip_serializing_if = "is_false")]
    pub strict: bool,
    /// Fetch images and files that requests name by an `https://` URL, from public addresses only. Off:
    /// such requests are refused.
    #[serde(default, skip_serializing_if = "is_false")]
    pub fetch_remote_media: bool,
    /// Put cache points where they usually help in requests that set none.
    #[serde(default, skip_serializing_if = "is_false")]
    pub automatic_cache: bool,
    /// Facts about model families that differ from, or add to, the built-in table; see the guide.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
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
    /// Data plane: Converse, InvokeModel and their like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bedrock_runtime: Option<String>,
    /// Bedrock's endpoints in OpenAI's and Anthropic's protocols on `bedrock-mantle`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bedrock_mantle: Option<String>,
    /// Control plane: lists of models and profiles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bedrock: Option<String>,
    /// Security Token Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sts: Option<String>,
}

/// A role to assume, parameters as in `sts:AssumeRole`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AssumeRole {
    /// The role to assume.
    pub role_arn: RoleArn,
    /// 2–64 characters of `[\w+=,.@-]`; absent: made from the access or the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_name: Option<String>,
    /// Value the trust policy asks for in `sts:ExternalId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Seconds, 900–43200; role chaining is limited to 3600 by AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<u32>,
}

/// An alias and where its requests go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Model {
    /// What clients ask for.
    pub name: String,
    /// At least one; lower `priority` first, shared by `weight` among equals.
    pub targets: Vec<Target>,
}

/// A Bedrock model in a region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    /// Model id, inference profile id, or an ARN of either.
    pub model_id: String,
    /// Region to call; absent: the document's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// Share among targets of equal priority; 0 takes it out.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub weight: u32,
    /// Lower is tried first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: u32,
    /// The foundation model behind an ARN that hides it, for the rules of its family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_model: Option<String>,
    /// The Bedrock API that serves the model; overrides the table of model families.
    #[serde(default, alias = "surface", skip_serializing_if = "Option::is_none")]
    pub api: Option<BedrockApi>,
    /// The role whose session calls this target, assumed on top of the document's credentials; absent: these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assume_role: Option<AssumeRole>,
}

// Doc comments on the variants would turn the `enum` of the custom resource's schema into a `oneOf`.
/// A Bedrock API that can serve a model. `Converse` and `InvokeModel` (the body of the model's own), `OpenAI` (under
/// `/openai/v1`) and `Anthropic` (under `/anthropic/v1`) are on bedrock-runtime; `Mantle` (under `/v1` and
/// `/anthropic/v1`) and `MantleOpenAI` (under `/openai/v1`) are on bedrock-mantle. It applies to the client dialects that
/// the API supports; the table of model families decides for the others.
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

/// A guardrail of Bedrock's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Guardrail {
    /// Id or ARN.
    pub identifier: String,
    /// A number, or `DRAFT`.
    pub version: String,
}

/// Who may call, and how they prove it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Clients {
    /// Anyone who reaches the port may call. Off unless asked for.
    #[serde(default, skip_serializing_if = "is_false")]
    pub anonymous: bool,
    /// Folder with one file a client: name of the file = name of the client, content = its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_keys_directory: Option<String>,
    /// How much the client of each key may ask for in a time, each by itself.
    #[serde(default, skip_serializing_if = "Rates::is_empty")]
    pub api_key_limits: Rates,
    /// Tokens of Kubernetes ServiceAccounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_accounts: Option<ServiceAccountClients>,
}

/// ServiceAccount tokens are checked here, with keys the operator copied from the cluster's
/// `/openid/v1/jwks`: the gateway itself never calls the Kubernetes API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceAccountClients {
    /// `iss` of the cluster's tokens.
    pub issuer: String,
    /// `aud` a token must carry, such as `bedrockaccess.dev/team-a/chat`.
    pub audience: String,
    /// Public signing keys of the cluster, a JSON Web Key Set (RFC 7517).
    pub jwks: Value,
    /// The accounts let in.
    pub subjects: Vec<ServiceAccountSubject>,
}

/// A ServiceAccount that may call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceAccountSubject {
    /// Namespace of the account.
    pub namespace: String,
    /// Name of the account.
    pub name: String,
    /// Aliases it may use; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// How much it may ask for in a time.
    #[serde(default, skip_serializing_if = "Rates::is_empty")]
    pub limits: Rates,
}

/// A certificate in files, which are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tls {
    /// PEM: the certificate, and the intermediate ones after it.
    pub cert_file: String,
    /// PEM: its private key.
    pub key_file: String,
}

/// Why a document is not usable; `field` is its path in the document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not YAML, or not of this shape.
    #[error("the configuration does not parse: {0}")]
    Parse(String),
    /// A value that parses but makes no sense.
    #[error("{field}: {message}")]
    Invalid {
        /// Path in the document, such as `models[0].name`.
        field: String,
        /// What is wrong and what would be right.
        message: String,
    },
}

impl GatewayConfig {
    /// Parses and checks a document.
    ///
    /// # Errors
    /// [`ConfigError::Parse`] with line and column, or [`ConfigError::Invalid`] with the field.
    pub fn from_yaml(text: &str) -> Result<Self, ConfigError> {
        let config: Self =
            serde_yaml::from_str(text).map_err(|error| ConfigError::Parse(error.to_string()))?;
        config.check()?;
        Ok(config)
    }

    /// The document as YAML, the same bytes for equal values.
    ///
    /// # Errors
    /// When a free-form value cannot be written as YAML.
    pub fn to_yaml(&self) -> Result<String, ConfigError> {
        serde_yaml::to_string(self).map_err(|error| ConfigError::Parse(error.to_string()))
    }

    /// Roles that targets name, each once, with the field that names it first.
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

    /// What the types cannot say.
    ///
    /// # Errors
    /// The first field that makes no sense.
    pub fn check(&self) -> Result<(), ConfigError> {
        let invalid = |field: String, message: &str| {
            Err(ConfigError::Invalid {
                field,
                message: message.to_owned(),
            })
        };
        if self.api_version != api_version() || self.kind != KIND {
            return invalid(
                "kind".to_owned(),
                "expected apiVersion bedrockaccess.dev/v1alpha1 and kind GatewayConfig",
            );
        }
        for (index, model) in self.models.iter().enumerate() {
            let field = format!("models[{index}]");
            if model.name.trim().is_empty() {
                return invalid(format!("{field}.name"), "must not be empty");
            }
            if self
                .models
                .iter()
                .take(index)
                .any(|other| other.name == model.name)
            {
                return invalid(
                    format!("{field}.name"),
                    &format!("{:?} is there twice", model.name),
                );
            }
            if model.targets.is_empty() {
                return invalid(format!("{field}.targets"), "needs at least one target");
            }
            if let Some(at) = model
                .targets
                .iter()
                .position(|target| target.model_id.trim().is_empty())
            {
                return invalid(
                    format!("{field}.targets[{at}].modelId"),
                    "must not be empty",
                );
            }
        }
        let endpoints = [
            ("bedrockRuntime", &self.endpoints.bedrock_runtime),
            ("bedrockMantle", &self.endpoints.bedrock_mantle),
            ("bedrock", &self.endpoints.bedrock),
            ("sts", &self.endpoints.sts),
        ];
        for (name, value) in endpoints {
            if let Some(url) = value
                && !(url.starts_with("https://") || url.starts_with("http://"))
            {
                return invalid(
                    format!("endpoints.{name}"),
                    "must begin with https:// or http://",
                );
            }
        }
        if self.limits.max_body_bytes == 0 {
            return invalid("limits.maxBodyBytes".to_owned(), "must be at least 1");
        }
        if let Some(Store { redis }) = &self.limits.store
            && !(redis.url.starts_with("redis://") || redis.url.starts_with("rediss://"))
        {
            return invalid(
                "limits.store.redis.url".to_owned(),
                "must begin with redis:// or rediss://",
            );
        }
        for (field, rates) in self.rates() {
            if let Some((name, _)) = rates.all().into_iter().find(|(_, rate)| *rate == Some(0)) {
                return invalid(
                    format!("{field}.{name}"),
                    "must be at least 1; left out, it is not limited",
                );
            }
        }
        Ok(())
    }
}

impl GatewayConfig {
    /// All limits by where they stand.
    fn rates(&self) -> Vec<(String, Rates)> {
        let mut rates = vec![
            ("limits".to_owned(), self.limits.rates()),
            (
                "clients.apiKeyLimits".to_owned(),
                self.clients.api_key_limits,
            ),
        ];
        let accounts = self.clients.service_accounts.iter();
        let subjects = accounts.flat_map(|accounts| &accounts.subjects).enumerate();
        rates.extend(subjects.map(|(index, subject)| {
            let field = format!("clients.serviceAccounts.subjects[{index}].limits");
            (field, subject.limits)
        }));
        rates
    }
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            api_version: api_version(),
            kind: kind(),
            access: None,
            region: None,
            endpoints: Endpoints::default(),
            assume_roles: Vec::new(),
            models: Vec::new(),
            allow: Vec::new(),
            guardrail: None,
            clients: Clients::default(),
            tls: None,
            limits: Limits::default(),
            revoked: None,
            strict: false,
            fetch_remote_media: false,
            automatic_cache: false,
            model_families: BTreeMap::new(),
        }
    }
}

impl Endpoints {
    /// Whether AWS's own endpoints are meant throughout.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Clients {
    /// Whether every caller has to prove who it is.
    pub fn authenticate(&self) -> bool {
        !self.anonymous && (self.api_keys_directory.is_some() || self.service_accounts.is_some())
    }
}

fn api_version() -> String {
    format!("{}/{}", names::GROUP, names::VERSION)
}

fn kind() -> String {
    KIND.to_owned()
}

fn one() -> u32 {
    1
}

// serde's `skip_serializing_if` hands over references.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "signature set by serde")]
fn is_one(value: &u32) -> bool {
    *value == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "signature set by serde")]
fn is_zero(value: &u32) -> bool {
    *value == 0
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
    fn document_survives_being_written_and_read() {
        let text = "region: us-east-1\nmodels:\n- name: fast\n  targets:\n  - modelId: amazon.nova-lite-v1:0\n";
        let config = GatewayConfig::from_yaml(text).unwrap();
        let again = GatewayConfig::from_yaml(&config.to_yaml().unwrap()).unwrap();
        assert_eq!(config, again);
        assert_eq!(again.models[0].targets[0].weight, 1);
    }

    #[test]
    fn roles_of_targets_are_listed_once_where_they_are_first() {
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

    #[track_caller]
    fn refused(text: &str, expected: &str) {
        let error = GatewayConfig::from_yaml(text).unwrap_err().to_string();
        assert!(
            error.contains(expected),
            "{text:?} gave {error:?}, expected {expected:?}"
        );
    }

    #[test]
    fn mistakes_are_refused_naming_the_field() {
        refused("modles: []", "modles");
        refused("region: nowhere", "us-east-1");
        refused("kind: Deployment", "GatewayConfig");
        refused(
            "models: [{name: '', targets: [{modelId: a}]}]",
            "models[0].name",
        );
        refused("models: [{name: a, targets: []}]", "models[0].targets");
        refused(
            "models: [{name: a, targets: [{modelId: ' '}]}]",
            "models[0].targets[0].modelId",
        );
        refused(
            "models: [{name: a, targets: [{modelId: x}]}, {name: a, targets: [{modelId: y}]}]",
            "models[1].name",
        );
        refused("endpoints: {sts: 'sts.amazonaws.com'}", "endpoints.sts");
        refused("limits: {maxBodyBytes: 0}", "limits.maxBodyBytes");
        refused("limits: {tokensPerDay: 0}", "limits.tokensPerDay");
        refused(
            "limits: {store: {redis: {url: 'valkey:6379'}}}",
            "limits.store.redis.url",
        );
        refused("limits: {requestsPerHour: 1}", "requestsPerHour");
        refused(
            "clients: {apiKeyLimits: {requestsPerMinute: 0}}",
            "clients.apiKeyLimits.requestsPerMinute",
        );
        refused(
            "clients: {serviceAccounts: {issuer: a, audience: b, jwks: {}, subjects: [{namespace: a, name: b}, {namespace: a, name: c, limits: {concurrentRequests: 0}}]}}",
            "clients.serviceAccounts.subjects[1].limits.concurrentRequests",
        );
        refused("assumeRoles: [{roleArn: me}]", "arn:PARTITION");
        refused(
            "models: [{name: a, targets: [{modelId: x, assumeRole: {roleArn: me}}]}]",
            "arn:PARTITION",
        );
    }
}
