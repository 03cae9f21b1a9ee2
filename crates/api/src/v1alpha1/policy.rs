//! `BedrockAccessPolicy`: limits on the `BedrockAccess` objects of some namespaces.
//!
//! If at least one policy exists, each `BedrockAccess` needs one policy that allows all of it; see
//! `docs/decisions/0012-access-policies.md`. The rules from `images` to `metadata` also replace the check of the author's
//! permissions; see `docs/decisions/0024-author-permissions.md`.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{
    CustomResource, KubeSchema,
    core::{Selector, SelectorExt},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::limits::RatesSpec;
use crate::pattern::matches;

/// Limits on the BedrockAccess objects of some namespaces.
#[expect(clippy::duplicated_attributes, reason = "each column has its own type")]
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "bedrockaccess.dev",
    version = "v1alpha1",
    kind = "BedrockAccessPolicy",
    plural = "bedrockaccesspolicies",
    singular = "bedrockaccesspolicy",
    shortname = "bdap",
    category = "bedrock",
    derive = "PartialEq",
    doc = "BedrockAccessPolicy limits the BedrockAccess objects of some namespaces. If no policy exists, every BedrockAccess whose author has the permissions that its spec requires is allowed. If at least one policy exists, a BedrockAccess is denied unless one policy for its namespace allows all of it. The operator revokes the role and the gateway of a denied BedrockAccess until a policy allows it.",
    printcolumn(
        name = "Namespaces",
        type_ = "string",
        json_path = ".spec.namespaces.names",
        description = "Namespaces by name"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Time since the object was created"
    ),
    printcolumn(
        name = "Identities",
        type_ = "string",
        json_path = ".spec.identities",
        description = "Allowed kinds of identity",
        priority = 1
    ),
    printcolumn(
        name = "Regions",
        type_ = "string",
        json_path = ".spec.regions",
        description = "Allowed AWS regions",
        priority = 1
    ),
    printcolumn(
        name = "Models",
        type_ = "string",
        json_path = ".spec.models",
        description = "Allowed models",
        priority = 1
    ),
    printcolumn(
        name = "Roles",
        type_ = "string",
        json_path = ".spec.roleArns",
        description = "Allowed IAM roles",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct BedrockAccessPolicySpec {
    /// Namespaces that this policy applies to.
    pub namespaces: PolicyNamespaces,
    /// Allowed IAM roles, in identity.irsa, identity.assumeRoles and assumeRole of targets. An asterisk (*) matches any
    /// number of characters. If not set, every role is allowed. If set without identities, only irsa is allowed, because
    /// the roles of other identities are unknown to the operator.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 2048)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = Rule::new(r"self.all(arn, arn == '*' || arn.matches('^arn:[a-z*-]+:iam::[0-9*]+:role/.+$'))").message("must be ARNs of IAM roles, such as arn:aws:iam::123456789012:role/team-a-*"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_arns: Option<Vec<String>>,
    /// Allowed AWS regions, in spec.region, in targets and in ARNs of models. An asterisk (*) matches any number of
    /// characters, as in eu-*. If not set, every region is allowed.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 32)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = Rule::new("self.all(region, region.matches('^[a-z0-9*]([a-z0-9*-]*[a-z0-9*])?$'))").message("must be AWS regions, such as eu-central-1 or eu-*"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regions: Option<Vec<String>>,
    /// Allowed models: ids, inference profiles and ARNs, in the form that modelId and allow contain. An asterisk (*)
    /// matches any number of characters; us.anthropic.* and anthropic.* are separate patterns. If not set, every model is
    /// allowed.
    #[schemars(length(min = 1, max = 128), inner(length(min = 1, max = 2048)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = Rule::new("self.all(model, model.matches('^[A-Za-z0-9*][A-Za-z0-9._:/*-]*$'))").message("must be model ids without white space, such as anthropic.claude-*"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// Allowed kinds of identity. If not set, every kind is allowed, or only irsa if roleArns is set; a user can set ambient
    /// only with permission to create Deployments or Pods in the namespace.
    #[schemars(length(min = 1, max = 4), extend("x-kubernetes-list-type" = "set"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identities: Option<Vec<IdentityKind>>,
    /// Allowed images in gateway.image. An asterisk (*) matches any number of characters, as in registry.example/bedrock/*.
    /// If not set, a user can set an image only with permission to create Deployments or Pods in the namespace.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 512)), extend("x-kubernetes-list-type" = "set"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<Vec<String>>,
    /// Allowed URLs in endpoints and in limits.store.redis. An asterisk (*) matches any number of characters, so end the
    /// host with a slash or a port. HTTPS endpoints of AWS are always allowed. If not set, a user can set another URL only
    /// with permission to create Deployments or Pods in the namespace.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 512)), extend("x-kubernetes-list-type" = "set"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Vec<String>>,
    /// Allowed audiences in identity.irsa; sts.amazonaws.com is always allowed. If not set, a user can set another audience
    /// only with permission to create Deployments or Pods in the namespace.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 255)), extend("x-kubernetes-list-type" = "set"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audiences: Option<Vec<String>>,
    /// Allowed names in serviceAccount.name. If not set, a user can name an existing ServiceAccount only with permission to
    /// create Deployments or Pods, and one that the operator creates only with permission to create ServiceAccounts.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_accounts: Option<Vec<String>>,
    /// Allowed names of Secrets, in identity.secret, clients.apiKeys, limits.store.redis and gateway.imagePullSecrets. If not
    /// set, a user can name a Secret only with permission to get this Secret or to create Deployments or Pods.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Vec<String>>,
    /// Allowed names in gateway.priorityClassName. If not set, a user can name a PriorityClass only with permission to create
    /// Deployments or Pods in the namespace.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class_names: Option<Vec<String>>,
    /// Allowed taints in gateway.tolerations, in the form key=value:effect, such as dedicated=gpu:NoSchedule or dedicated*.
    /// If not set, a user can set tolerations only with permission to create Deployments or Pods in the namespace.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 512)), extend("x-kubernetes-list-type" = "set"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerations: Option<Vec<String>>,
    /// Allowed topology keys of pod affinity and pod anti-affinity in gateway.affinity, such as kubernetes.io/hostname. If not
    /// set, a user can set pod affinity only with permission to create Deployments or Pods in the namespace.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 317)), extend("x-kubernetes-list-type" = "set"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology_keys: Option<Vec<String>>,
    /// Allowed labels and annotations of managed objects, in the form key=value, such as team=*: commonLabels,
    /// gateway.podLabels, gateway.podAnnotations, and labels and annotations of gateway.service and serviceAccount. If not
    /// set, a user can set them only with permission to create the labelled objects.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 512)), extend("x-kubernetes-list-type" = "set"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Vec<String>>,
    /// Allowed issuers of cert-manager in gateway.tls.issuerRef, in the form KIND/NAME, such as ClusterIssuer/internal-*, or
    /// KIND.GROUP/NAME for another API group than cert-manager.io. If not set, a user can set an issuer only with permission to
    /// create Certificates in the namespace.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 512)), extend("x-kubernetes-list-type" = "set"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuers: Option<Vec<String>>,
    /// Allowed Gateways in gateway.httpRoute.parentRefs, in the form NAMESPACE/NAME, such as infra/*, or NAME for a Gateway in
    /// the namespace of the BedrockAccess. If not set, a user can set them only with permission to create HTTPRoutes in the
    /// namespace.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 512)), extend("x-kubernetes-list-type" = "set"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateways: Option<Vec<String>>,
    /// Allowed host names in gateway.httpRoute.hostnames, such as *.team-a.example.com. A route without host names needs the
    /// pattern *. If not set, a user can set them only with permission to create HTTPRoutes in the namespace.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostnames: Option<Vec<String>>,
    /// Deny clients.anonymous, so that every client must authenticate. Default: false.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub require_client_authentication: bool,
    /// Upper bounds of spec.limits. Each limit that is set here must be set in the BedrockAccess and must not be greater. Of
    /// budgets, set period and usd or tokens: the BedrockAccess must have a budget of this period and unit, in any time
    /// zone.
    #[x_kube(validation = Rule::new("!has(self.budgets) || self.budgets.all(budget, !has(budget.timeZone) && !has(budget.warnAt) && !has(budget.fallback) && !has(budget.onStoreFailure))").message("budgets of a policy have only period and usd or tokens"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<RatesSpec>,
}

/// Namespaces that a policy applies to: all that match names or selector.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("has(self.names) || has(self.selector)").message("set at least one of names and selector")
)]
#[serde(rename_all = "camelCase")]
pub struct PolicyNamespaces {
    /// Names of namespaces. An asterisk (*) matches any number of characters; * alone matches every namespace.
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = Rule::new("self.all(name, name.matches('^[a-z0-9*]([a-z0-9*-]*[a-z0-9*])?$'))").message("must be names of namespaces, such as team-a or team-*"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<String>>,
    /// Selector for the labels of namespaces. An empty selector matches no namespace; to match every namespace, set names
    /// to *.
    #[x_kube(validation = Rule::new("!has(self.matchExpressions) || self.matchExpressions.all(e, e.operator in ['In', 'NotIn'] ? has(e.values) && size(e.values) > 0 : e.operator in ['Exists', 'DoesNotExist'] && (!has(e.values) || size(e.values) == 0))").message("operator of matchExpressions must be In or NotIn with values, or Exists or DoesNotExist without values"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

impl PolicyNamespaces {
    /// Whether a policy applies to a namespace with these labels. An invalid selector matches no namespace.
    pub fn include(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        let mut named = self.names.iter().flatten();
        if named.any(|pattern| matches(pattern, name)) {
            return true;
        }
        let Some(selector) = self.selector.clone() else {
            return false;
        };
        Selector::try_from(selector)
            .is_ok_and(|selector| !selector.selects_all() && selector.matches(labels))
    }
}

// Doc comments on the variants would turn the `enum` of the schema into a `oneOf`.
/// Kind of identity in spec.identity of a BedrockAccess.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "identity.rs documents them")]
pub enum IdentityKind {
    Irsa,
    PodIdentity,
    Secret,
    Ambient,
}

impl IdentityKind {
    /// The name of the field in spec.identity.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Irsa => "irsa",
            Self::PodIdentity => "podIdentity",
            Self::Secret => "secret",
            Self::Ambient => "ambient",
        }
    }
}
