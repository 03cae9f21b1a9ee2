//! An HTTPRoute of the Gateway API, through which clients outside the cluster reach the gateway.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Default of `timeouts.request`: no limit, because a response can be a stream of many minutes.
const NO_LIMIT: &str = "0s";

/// An HTTPRoute of the Gateway API for the Service of the gateway.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteSpec {
    /// Gateways that the route attaches to.
    #[schemars(length(min = 1, max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    pub parent_refs: Vec<ParentRef>,
    /// Host names that the route serves, such as bedrock.example.com or *.example.com. If not set, those of the listeners of
    /// the Gateways.
    #[schemars(length(max = 16), inner(length(min = 1, max = 253), regex(pattern = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")), extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// Timeouts of requests through the route. Default: no timeouts, because a response can be a long stream.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub timeouts: RouteTimeouts,
}

/// A Gateway of the Gateway API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// Name of the Gateway.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace of the Gateway. Default: the namespace of the BedrockAccess.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name of a listener of the Gateway. Default: all listeners that allow the route.
    #[schemars(length(min = 1, max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
    /// Port of a listener of the Gateway.
    #[schemars(range(min = 1, max = 65535))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
}

/// Timeouts of a route, as durations of the Gateway API such as 30s or 1h30m; 0s is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteTimeouts {
    /// Time for the whole response, streams included. Default: 0s, no limit.
    #[schemars(length(max = 20), regex(pattern = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Time for one attempt of the Gateway to get the response. Default: not set, so the default of the Gateway applies.
    #[schemars(length(max = 20), regex(pattern = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_request: Option<String>,
}

impl RouteTimeouts {
    /// The time for the whole response, with the default applied.
    pub fn request(&self) -> &str {
        self.request.as_deref().unwrap_or(NO_LIMIT)
    }
}
