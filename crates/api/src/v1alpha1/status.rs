//! Status of a `BedrockAccess`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::{prices::Nanodollars, spend::Spend};

/// Observed state of a BedrockAccess.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BedrockAccessStatus {
    /// Most recent metadata.generation that the operator has observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Base URL for clients in the cluster. OpenAI clients append /v1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// ServiceAccount of the gateway pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// IAM role of identity.irsa. With another identity, the last role in identity.assumeRoles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    /// Audience that ServiceAccount tokens of clients must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Number of ready gateway pods and number of desired gateway pods, such as 2/2. Not set if gateway pods are
    /// disabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateways: Option<String>,
    /// Number of ready gateway pods. Not set if gateway pods are disabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Number of pods with a sidecar, by state. Not set without spec.sidecar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecars: Option<SidecarsStatus>,
    /// What the gateways have spent, at most a few minutes old. Not set before the first request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<UsageStatus>,
    /// Shares of budgets that gateways have without a store. The operator writes a share here before it sends it.
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budget_shares: Vec<BudgetShares>,
    /// Trust policy that the role needs, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_policy: Option<String>,
    /// Least-privilege permission policy that the role needs, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission_policy: Option<String>,
    /// Conditions: Ready, Reconciling, Stalled, GatewayAvailable and CredentialsReady. If the operator's table of models covers
    /// the models, also ModelsReady, on which Ready does not depend. If the spec uses the feature, also TargetRolesReady,
    /// TargetsHealthy, SidecarsUpToDate, Monitored, Encrypted and Routed. If policies exist, also Accepted.
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// Shares of a budget in one period. Amounts are billionths of a US dollar, or tokens.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BudgetShares {
    /// The budget: access or client, period, time zone and unit.
    pub budget: String,
    /// Start of the period, in seconds since 1970.
    pub start: i64,
    /// What processes that have ended could have spent.
    pub spent: i64,
    /// Gateway processes with a share.
    #[schemars(length(max = 128), extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<ProcessShare>,
}

/// Share of one gateway process.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessShare {
    /// Name of the pod.
    pub pod: String,
    /// Random name of the process.
    pub process: String,
    /// Number of the last grant.
    pub revision: i64,
    /// What the process may have spent at most.
    pub granted: i64,
    /// Share of the last grant, which is less if the process is to give a part back.
    pub offered: i64,
}

/// What the gateways of a BedrockAccess have spent. Days and months are those of UTC.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageStatus {
    /// When the gateways were read.
    pub updated_at: Time,
    /// The current day.
    pub today: UsagePeriod,
    /// The current month.
    pub month: UsagePeriod,
    /// Number of running gateways that could not be read. The amounts lack what they have spent since they were last read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<i32>,
    /// Amounts of each gateway process, from which the operator computes the sums.
    #[schemars(length(max = 128), extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<ProcessUsage>,
    /// Amounts of processes that have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<EndedUsage>,
}

/// Amounts of a day or a month.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsagePeriod {
    /// The day or the month, such as 2026-11-29 or 2026-11.
    pub date: String,
    /// Cost in US dollars, without tokens that have no price.
    pub cost_usd: String,
    /// Requests for which Bedrock reported usage.
    pub requests: i64,
    /// Input tokens, cached tokens included.
    pub input_tokens: i64,
    /// Input tokens that were read from the prompt cache.
    pub cached_input_tokens: i64,
    /// Share of the input tokens that were read from the prompt cache, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input_percent: Option<i32>,
    /// Output tokens.
    pub output_tokens: i64,
    /// Tokens whose price is unknown. Set it in spec.prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unpriced_tokens: Option<i64>,
}

impl UsagePeriod {
    /// The amounts as numbers.
    pub fn spend(&self) -> Spend {
        let number = |count: i64| u64::try_from(count).unwrap_or(0);
        Spend {
            // The operator wrote it. A value that was changed since counts as nothing.
            cost: Nanodollars::parse_dollars(&self.cost_usd).unwrap_or_default(),
            requests: number(self.requests),
            input_tokens: number(self.input_tokens),
            cached_input_tokens: number(self.cached_input_tokens),
            output_tokens: number(self.output_tokens),
            unpriced_tokens: self.unpriced_tokens.map_or(0, number),
        }
    }
}

/// Amounts of one gateway process.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessUsage {
    /// Name of the pod.
    pub pod: String,
    /// Start of the process, in seconds since 1970.
    pub since: i64,
    /// The last day on which it was read.
    pub today: UsagePeriod,
    /// The month of that day.
    pub month: UsagePeriod,
}

/// Amounts of gateway processes that have ended.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndedUsage {
    /// The current day.
    pub today: UsagePeriod,
    /// The current month.
    pub month: UsagePeriod,
}

/// Number of running pods with a sidecar, by state.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SidecarsStatus {
    /// Pods that have a sidecar.
    pub total: i32,
    /// Sidecars that are ready and hold AWS credentials.
    pub ready: i32,
    /// Sidecars that differ from what new pods get, for example in image or identity. They continue to run unchanged
    /// until their pods are replaced.
    pub outdated: i32,
    /// Labelled pods that have no sidecar, because they were created before they had the label or because the webhook
    /// does not apply to them.
    pub missing: i32,
}
