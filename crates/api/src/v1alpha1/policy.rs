//! What accesses of which namespaces may be: `BedrockAccessPolicy`.
//!
//! As with NetworkPolicy, an access needs one policy that allows all of it, once there is a policy at all; see
//! `docs/decisions/0012-access-policies.md`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::limits::RatesSpec;

/// What the accesses of some namespaces may be.
#[expect(clippy::duplicated_attributes, reason = "each column has its own type")]
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "bedrockaccess.dev",
    version = "v1alpha1",
    kind = "BedrockAccessPolicy",
    plural = "bedrockaccesspolicies",
    singular = "bedrockaccesspolicy",
    shortname = "brap",
    category = "bedrock",
    derive = "PartialEq",
    doc = "BedrockAccessPolicy says what the BedrockAccess objects of some namespaces may be. While no policy exists, anything may be. Once one does, an access is denied unless one policy for its namespace allows all of it: a denied access loses its role and its gateway until it is allowed again.",
    printcolumn(
        name = "Namespaces",
        type_ = "string",
        json_path = ".spec.namespaces.names",
        description = "Namespaces by name"
    ),
    printcolumn(
        name = "Identities",
        type_ = "string",
        json_path = ".spec.identities",
        description = "Kinds of identity that are allowed"
    ),
    printcolumn(
        name = "Regions",
        type_ = "string",
        json_path = ".spec.regions",
        description = "Regions that are allowed"
    ),
    printcolumn(
        name = "Models",
        type_ = "string",
        json_path = ".spec.models",
        description = "Models that are allowed"
    ),
    printcolumn(
        name = "Roles",
        type_ = "string",
        json_path = ".spec.roleArns",
        description = "Roles that are allowed",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct BedrockAccessPolicySpec {
    /// The namespaces whose accesses this policy is for.
    pub namespaces: PolicyNamespaces,
    /// IAM roles that may be used, in identity.irsa, identity.assumeRoles and targets' assumeRole; * stands for any run of characters. Left out, any role. Where it is set and identities is not, only irsa is allowed, since the roles behind other identities are not seen.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 2048)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = Rule::new(r"self.all(arn, arn == '*' || arn.matches('^arn:[a-z*-]+:iam::[0-9*]+:role/.+$'))").message("must be ARNs of IAM roles, such as arn:aws:iam::123456789012:role/team-a-*"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_arns: Option<Vec<String>>,
    /// Regions that may be called, in spec.region, in targets and in ARNs of models; * stands for any run of characters, as in eu-*. Left out, any region.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 32)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = Rule::new("self.all(region, region.matches('^[a-z0-9*]([a-z0-9*-]*[a-z0-9*])?$'))").message("must be AWS regions, such as eu-central-1 or eu-*"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regions: Option<Vec<String>>,
    /// Models that may be asked for, as the access writes them (modelId and allow): ids, inference profiles, ARNs; * stands for any run of characters. us.anthropic.* and anthropic.* are two patterns. Left out, any model.
    #[schemars(length(min = 1, max = 128), inner(length(min = 1, max = 2048)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = Rule::new("self.all(model, model.matches('^[A-Za-z0-9*][A-Za-z0-9._:/*-]*$'))").message("must be model ids, such as anthropic.claude-*, without white space"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// Kinds of identity that may be used. Left out, any, or irsa alone where roleArns is set.
    #[schemars(length(min = 1, max = 4), extend("x-kubernetes-list-type" = "set"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identities: Option<Vec<IdentityKind>>,
    /// Whether clients must prove who they are: an access with clients.anonymous is denied then.
    #[serde(default)]
    pub require_client_authentication: bool,
    /// The most that spec.limits of an access may allow: each limit that is set here has to be set there, at most as high.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<RatesSpec>,
}

/// The namespaces a policy is for: those that names or selector takes in.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("has(self.names) || has(self.selector)").message("set names, selector, or both: the namespaces that the policy is for")
)]
#[serde(rename_all = "camelCase")]
pub struct PolicyNamespaces {
    /// Names of namespaces; * stands for any run of characters, so that * alone is every namespace.
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = Rule::new("self.all(name, name.matches('^[a-z0-9*]([a-z0-9*-]*[a-z0-9*])?$'))").message("must be names of namespaces, such as team-a or team-*"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<String>>,
    /// Labels of namespaces. An empty selector takes in no namespace; to take in all, let names hold *.
    #[x_kube(validation = Rule::new("!has(self.matchExpressions) || self.matchExpressions.all(e, e.operator in ['In', 'NotIn'] ? has(e.values) && size(e.values) > 0 : e.operator in ['Exists', 'DoesNotExist'] && (!has(e.values) || size(e.values) == 0))").message("operators of matchExpressions are In or NotIn with values, Exists or DoesNotExist without"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

// Doc comments on the variants would turn the schema's `enum` into a `oneOf`.
/// A kind of identity, as spec.identity of an access has it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "described in identity.rs")]
pub enum IdentityKind {
    Irsa,
    PodIdentity,
    Secret,
    Ambient,
}

impl IdentityKind {
    /// The kind as the resources write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Irsa => "irsa",
            Self::PodIdentity => "podIdentity",
            Self::Secret => "secret",
            Self::Ambient => "ambient",
        }
    }
}
