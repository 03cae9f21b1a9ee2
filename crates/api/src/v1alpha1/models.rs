//! The models behind an access.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::identity::AssumeRoleSpec;
use crate::config::BedrockApi;

/// A model under the name clients ask for.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("has(self.modelId) != has(self.targets)").message("set exactly one of modelId (one target) and targets (several)")
)]
#[serde(rename_all = "camelCase")]
pub struct ModelSpec {
    /// What clients ask for.
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$")
    )]
    pub name: String,
    /// Short form of a single target: id of a model or inference profile, or an ARN of either.
    #[schemars(
        length(min = 1, max = 2048),
        regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$")
    )]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_id: Option<String>,
    /// Where requests go: the lowest priority number first, shared by weight among equals.
    #[schemars(length(min = 1, max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<Vec<TargetSpec>>,
}

/// A Bedrock model in a region.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetSpec {
    /// Id of a model or inference profile, or an ARN of either.
    #[schemars(
        length(min = 1, max = 2048),
        regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$")
    )]
    pub model_id: String,
    /// Region to call; left out, it is spec.region.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z][a-z0-9]*(-[a-z0-9]+){1,3}-[0-9]+$')").message("must be an AWS region such as us-east-1"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Share of the requests among targets of the same priority; 0 takes a target out.
    #[schemars(range(min = 0, max = 1000))]
    #[serde(default = "one")]
    pub weight: u32,
    /// Targets with the lowest number are tried first.
    #[schemars(range(min = 0, max = 100))]
    #[serde(default)]
    pub priority: u32,
    /// The foundation model behind an ARN that does not tell, such as that of an application inference profile.
    #[schemars(
        length(min = 1, max = 256),
        regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$")
    )]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_model: Option<String>,
    /// Bedrock API that serves this target; overrides the built-in table of model families. Converse, InvokeModel, OpenAI
    /// and Anthropic are on bedrock-runtime; Mantle and MantleOpenAI are on bedrock-mantle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<BedrockApi>,
    /// A role to assume for this target alone, on top of spec.identity and its assumeRoles, such as for a model in
    /// another account. Not possible with a Bedrock API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assume_role: Option<AssumeRoleSpec>,
}

/// A guardrail of Amazon Bedrock.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuardrailSpec {
    /// Id or ARN of the guardrail.
    #[schemars(
        length(min = 1, max = 2048),
        regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9:/-]*$")
    )]
    pub identifier: String,
    /// Version of the guardrail: a number, or DRAFT.
    #[schemars(length(min = 1, max = 8), regex(pattern = r"^([1-9][0-9]*|DRAFT)$"))]
    pub version: String,
}

fn one() -> u32 {
    1
}
