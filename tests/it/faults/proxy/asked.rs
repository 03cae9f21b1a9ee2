//! What a request to the API server is for: verb, resource, subresource, and a word that tells writes of
//! the same object apart.

use std::fmt;

use http::{Method, Uri, request::Parts};
use serde_json::Value;

/// Resources in namespaces that an operator asks for in a whole cluster.
const NAMESPACED: [&str; 13] = [
    "bedrockaccesses",
    "serviceaccounts",
    "configmaps",
    "networkpolicies",
    "deployments",
    "services",
    "poddisruptionbudgets",
    "horizontalpodautoscalers",
    "podmonitors",
    "certificates",
    "backendtlspolicies",
    "httproutes",
    "pods",
];

/// A request to the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    verb: &'static str,
    /// Plural name, with the subresource.
    resource: String,
    /// Which of several writes of the same object: the reason of `Ready` in a status, the manager of a
    /// handover, the label selector of a watch.
    detail: Option<String>,
}

impl Asked {
    pub(crate) fn of(parts: &Parts, body: &[u8]) -> Self {
        let place = Place::of(parts.uri.path());
        let query = parts.uri.query().unwrap_or_default();
        let verb = match parts.method {
            Method::GET if query.contains("sendInitialEvents=true") => "stream",
            Method::GET if query.contains("watch=") => "watch",
            Method::GET if place.name.is_some() => "get",
            Method::GET => "list",
            Method::POST => "create",
            Method::PUT => "update",
            Method::DELETE => "delete",
            Method::PATCH if is_apply(parts) => "apply",
            _ => "patch",
        };
        let detail = match (verb, place.resource.as_str()) {
            ("apply", "bedrockaccesses/status") => ready_reason(body),
            ("apply", _) if query.contains("fieldManager=bedrock-access-operator-autoscaling") => {
                Some("handover".to_owned())
            }
            ("stream" | "watch" | "list", "pods") if query.contains("inject") => {
                Some("inject".to_owned())
            }
            _ => None,
        };
        Self {
            verb,
            resource: place.resource,
            detail,
        }
    }

    /// As in "apply bedrockaccesses/status Ready".
    pub(crate) fn name(&self) -> String {
        self.to_string()
    }

    /// Whether it is to change something; that a leader is alive changes nothing.
    pub(crate) fn is_write(&self) -> bool {
        !["get", "list", "stream", "watch"].contains(&self.verb) && self.resource != "leases"
    }

    pub(crate) fn is_watch(&self) -> bool {
        ["stream", "watch"].contains(&self.verb)
    }

    /// Whether it is a watch that begins with all that is there.
    pub(crate) fn is_stream(&self) -> bool {
        self.verb == "stream"
    }

    /// The resource of a watch.
    pub(crate) fn watched(&self) -> String {
        match &self.detail {
            Some(detail) => format!("{} {detail}", self.resource),
            None => self.resource.clone(),
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        match &self.detail {
            Some(detail) => write!(f, " {detail}"),
            None => Ok(()),
        }
    }
}

/// The URI, for one namespace where it was for all.
pub(super) fn narrowed(uri: &Uri, namespace: &str) -> String {
    let place = Place::of(uri.path());
    let query = uri
        .query()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    if place.namespaced || place.name.is_some() || !NAMESPACED.contains(&place.resource.as_str()) {
        return format!("{}{query}", uri.path());
    }
    format!(
        "{}/namespaces/{namespace}/{}{query}",
        place.api, place.resource
    )
}

#[derive(Debug, Default)]
struct Place {
    /// Such as `/apis/apps/v1`.
    api: String,
    namespaced: bool,
    resource: String,
    name: Option<String>,
}

impl Place {
    fn of(path: &str) -> Self {
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (api, rest) = match segments.first() {
            Some(&"api") if segments.len() > 2 => segments.split_at(2),
            Some(&"apis") if segments.len() > 3 => segments.split_at(3),
            _ => {
                return Self {
                    resource: path.to_owned(),
                    ..Self::default()
                };
            }
        };
        let namespaced = rest.first() == Some(&"namespaces") && rest.len() > 2;
        let rest = if namespaced { &rest[2..] } else { rest };
        let resource = match rest.get(2) {
            Some(subresource) => format!("{}/{subresource}", rest[0]),
            None => rest[0].to_owned(),
        };
        Self {
            api: format!("/{}", api.join("/")),
            namespaced,
            resource,
            name: rest.get(1).map(|name| (*name).to_owned()),
        }
    }
}

fn is_apply(parts: &Parts) -> bool {
    parts
        .headers
        .get(http::header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.starts_with("application/apply-patch"))
}

/// The reason of the condition `Ready` in a status that is applied.
fn ready_reason(body: &[u8]) -> Option<String> {
    let document: Value = serde_json::from_slice(body).ok()?;
    document["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|condition| condition["type"] == "Ready")
        .and_then(|condition| condition["reason"].as_str())
        .map(str::to_owned)
}
