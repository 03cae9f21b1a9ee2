//! Credentials and token endpoints other than STS: containers, instance metadata, GitHub Actions, SSO, and IAM's
//! `ListAccessKeys`.

pub(crate) mod container;
pub(crate) mod github;
pub(crate) mod iam;
pub(crate) mod instance;
pub(crate) mod sso;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, Method, StatusCode, header};

use crate::account::{Role, Session};
use crate::error::AwsError;
use crate::policy::{Context, Principal, Request, evaluate};
use crate::record::Call;
use crate::server::{Incoming, Shared};
use crate::sts::Form;

/// The service and operation of a path.
pub(crate) fn identify(
    shared: &Shared,
    method: &Method,
    path: &str,
) -> Option<(&'static str, &'static str)> {
    if path.starts_with("/latest/") {
        return Some(("imds", instance::operation(method, path)));
    }
    if path == container::POD_IDENTITY_PATH {
        return Some(("container", "PodIdentityCredentials"));
    }
    if path.starts_with("/v2/credentials")
        || shared
            .account
            .config
            .containers
            .iter()
            .any(|one| one.path == path)
    {
        return Some(("container", "ContainerCredentials"));
    }
    match path {
        github::TOKEN_PATH => Some(("github", "RequestIdToken")),
        github::KEYS_PATH => Some(("github", "GetKeys")),
        "/federation/credentials" => Some(("sso", "GetRoleCredentials")),
        _ => None,
    }
}

/// Handles a request to one of these endpoints.
pub(crate) async fn respond(
    shared: &Shared,
    incoming: &Incoming,
    form: &Form,
    call: &mut Call,
) -> Result<Response, AwsError> {
    match (call.service.as_str(), call.operation.as_str()) {
        ("imds", _) => instance::respond(shared, incoming, call),
        ("container", "PodIdentityCredentials") => {
            container::pod_identity(shared, incoming, call).await
        }
        ("container", _) => container::task(shared, incoming, call),
        ("github", "RequestIdToken") => github::token(shared, incoming),
        ("github", _) => github::keys(shared),
        ("sso", _) => sso::role_credentials(shared, incoming, call),
        _ => iam::respond(shared, incoming, form, call),
    }
}

/// A response with status 200.
fn ok(content_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::OK;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn header_text(incoming: &Incoming, name: &str) -> Option<String> {
    incoming
        .headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned)
}

/// Assumes a role on behalf of an AWS service, if the role's trust policy allows the service.
fn assume_as_service(
    shared: &Shared,
    call: &mut Call,
    service: &str,
    role_arn: &str,
    session_name: &str,
    tags: BTreeMap<String, String>,
) -> Result<Session, AwsError> {
    let rejected = || {
        AwsError::new(
            400,
            "AccessDeniedException",
            format!(
                "{service} is not trusted to assume the role {role_arn}: check its trust policy"
            ),
        )
    };
    let role: &Arc<Role> = shared.account.role(role_arn).ok_or_else(rejected)?;
    let principal = Principal::Service(service.to_owned());
    let mut context = Context::new().with("aws:SourceAccount", &shared.account.config.account);
    for (key, value) in &tags {
        context.set(&format!("aws:RequestTag/{key}"), value);
    }
    let actions: &[&str] = if tags.is_empty() {
        &["sts:AssumeRole"]
    } else {
        &["sts:AssumeRole", "sts:TagSession"]
    };
    for action in actions {
        let request = Request {
            principal: Some(&principal),
            action,
            resource: role_arn,
            context: &context,
        };
        if !evaluate(std::slice::from_ref(&role.trust), request).is_allowed() {
            return Err(rejected());
        }
    }
    // AWS services issue sessions of six hours.
    let session = shared
        .account
        .issue(role, session_name, tags, 21_600, shared.clock.now());
    call.issued = Some(session.identity());
    Ok(session)
}
