//! Models of a `BedrockAccess` and their targets.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::identity::AssumeRoleSpec;
use crate::{
    config::{self, BedrockApi},
    region::Region,
};

/// A model with a name of your choice.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("has(self.modelId) != has(self.targets)").message("set exactly one of modelId (one target) and targets (several)")
)]
#[serde(rename_all = "camelCase")]
pub struct ModelSpec {
    /// Name that clients send as the model.
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$")
    )]
    pub name: String,
    /// Id or ARN of a model or inference profile. Short form of targets with one element.
    #[schemars(
        length(min = 1, max = 2048),
        regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$")
    )]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_id: Option<String>,
    /// Targets of requests. The gateway tries the lowest priority first and distributes requests by weight among targets
    /// with the same priority; requests of a conversation with a prompt cache go to the same target.
    #[schemars(length(min = 1, max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<Vec<TargetSpec>>,
}

/// A Bedrock model in a region.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetSpec {
    /// Id or ARN of a model or inference profile.
    #[schemars(
        length(min = 1, max = 2048),
        regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$")
    )]
    pub model_id: String,
    /// AWS region of the target. Default: spec.region, or the region in the ARN.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z][a-z0-9]*(-[a-z0-9]+){1,3}-[0-9]+$')").message("must be an AWS region such as us-east-1"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Share of the requests and conversations among targets with the same priority. A target with weight 0 gets no
    /// requests.
    #[schemars(range(min = 0, max = 1000))]
    #[serde(default = "one")]
    pub weight: u32,
    /// Priority of the target. The gateway tries the lowest number first. Default: 0.
    #[schemars(range(min = 0, max = 100))]
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub priority: u32,
    /// Foundation model behind an ARN that does not contain it, such as the ARN of an application inference profile.
    #[schemars(
        length(min = 1, max = 256),
        regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$")
    )]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_model: Option<String>,
    /// Bedrock API that serves this target; overrides the built-in table of model families. Converse, InvokeModel, OpenAI
    /// and Anthropic are APIs of bedrock-runtime; Mantle and MantleOpenAI are APIs of bedrock-mantle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<BedrockApi>,
    /// Role to assume for this target only, starting with the credentials of spec.identity including its assumeRoles, for
    /// example for a model in another account. Not supported with a Bedrock API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assume_role: Option<AssumeRoleSpec>,
    /// Id or ARN of the Bedrock project that is charged. Applies to Converse, InvokeModel and the APIs of bedrock-mantle.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[A-Za-z0-9_:/-]+$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
}

impl TargetSpec {
    /// A target with defaults for everything but its id.
    pub fn new(model_id: &str) -> Self {
        Self {
            model_id: model_id.to_owned(),
            region: None,
            weight: one(),
            priority: 0,
            base_model: None,
            api: None,
            assume_role: None,
            project: None,
        }
    }

    /// The target in the configuration document, with this region and without a role.
    pub fn in_region(&self, region: Option<Region>) -> config::Target {
        config::Target {
            model_id: self.model_id.clone(),
            region,
            weight: self.weight,
            priority: self.priority,
            base_model: self.base_model.clone(),
            api: self.api,
            assume_role: None,
            project: self.project.clone(),
        }
    }
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
    /// Version of the guardrail: a number or DRAFT.
    #[schemars(length(min = 1, max = 8), regex(pattern = r"^([1-9][0-9]*|DRAFT)$"))]
    pub version: String,
}

fn one() -> u32 {
    1
}
