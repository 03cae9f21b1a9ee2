//! `AssumeRoleWithWebIdentity` and `AssumeRole`: parameters, trust policy, durations, role chaining.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Form, credentials, reply};
use crate::account::Role;
use crate::auth::{Protocol, authenticate};
use crate::clock::Clock;
use crate::encoding::xml_text;
use crate::error::AwsError;
use crate::policy::{Context, Decision, Principal, Request, evaluate};
use crate::record::Call;
use crate::server::{Incoming, Shared};
use crate::service_model;
use crate::web_identity::{VerifiedToken, audiences, unverified_claims};

pub(super) async fn with_web_identity(
    shared: &Shared,
    form: &Form,
    call: &mut Call,
) -> Result<String, AwsError> {
    parameters("AssumeRoleWithWebIdentity", form)?;
    let role_arn = text(form, "RoleArn");
    let session_name = text(form, "RoleSessionName");
    let token = text(form, "WebIdentityToken");
    call.token = Some(unverified_claims(token));
    let requested = duration(form);
    // Other issuers issue the tokens, so the double's clock skew does not apply.
    let verified = shared.verifier.verify(token, Clock::real(), None).await?;
    let rejected = || {
        AwsError::new(
            403,
            "AccessDenied",
            "Not authorized to perform sts:AssumeRoleWithWebIdentity",
        )
    };
    let role = shared.account.role(role_arn).ok_or_else(rejected)?;
    let principal = Principal::Federated(shared.account.config.provider_arn(&verified.issuer));
    let context = token_context(&verified, session_name);
    let request = Request {
        principal: Some(&principal),
        action: "sts:AssumeRoleWithWebIdentity",
        resource: role_arn,
        context: &context,
    };
    if !evaluate(std::slice::from_ref(&role.trust), request).is_allowed() {
        return Err(rejected());
    }
    let seconds = within_maximum(requested, role)?;
    let session = shared.account.issue(
        role,
        session_name,
        BTreeMap::new(),
        seconds,
        shared.clock.now(),
    );
    call.issued = Some(session.identity());
    let claim = |name: &str| {
        xml_text(
            verified
                .claims
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default(),
        )
    };
    let result = format!(
        "{}<SubjectFromWebIdentityToken>{}</SubjectFromWebIdentityToken><Audience>{}</Audience><Provider>{}</Provider>",
        credentials(&session),
        claim("sub"),
        xml_text(&audiences(&verified.claims).join(",")),
        xml_text(&shared.account.config.provider_arn(&verified.issuer)),
    );
    Ok(reply(call, &result))
}

pub(super) fn role(
    shared: &Shared,
    incoming: &Incoming,
    form: &Form,
    call: &mut Call,
) -> Result<String, AwsError> {
    let caller = authenticate(shared, incoming, &["sts"], Protocol::Query)?;
    call.identity = Some(caller.identity.clone());
    call.region = Some(caller.region.clone());
    parameters("AssumeRole", form)?;
    let role_arn = text(form, "RoleArn");
    let session_name = text(form, "RoleSessionName");
    let requested = duration(form);
    let tags = tags(form);
    let rejected = || {
        AwsError::new(
            403,
            "AccessDenied",
            format!(
                "User: {} is not authorized to perform: sts:AssumeRole on resource: {role_arn}",
                caller.identity.arn
            ),
        )
    };
    let role = shared.account.role(role_arn).ok_or_else(rejected)?;
    let mut context = caller.context();
    context.set("sts:RoleSessionName", session_name);
    if let Some(external_id) = form.get("ExternalId") {
        context.set("sts:ExternalId", external_id);
    }
    for (key, value) in &tags {
        context.set(&format!("aws:RequestTag/{key}"), value);
    }
    if !tags.is_empty() {
        context.set_all("aws:TagKeys", tags.keys().cloned().collect());
    }
    let actions: &[&str] = if tags.is_empty() {
        &["sts:AssumeRole"]
    } else {
        &["sts:AssumeRole", "sts:TagSession"]
    };
    for action in actions {
        let request = Request {
            principal: Some(&caller.principal),
            action,
            resource: role_arn,
            context: &context,
        };
        let trusted = evaluate(std::slice::from_ref(&role.trust), request);
        let permitted = evaluate(&caller.policies, request);
        // In the same account a trust policy that names the caller is sufficient; otherwise the trust policy and
        // the caller's policies must both allow the action. (A trust policy that names the account delegates the
        // decision to the caller's policies.)
        let allowed = trusted.is_allowed()
            && permitted != Decision::ExplicitDeny
            && (permitted.is_allowed()
                || (caller.account == role.account && names_caller(shared, role_arn, &caller)));
        if !allowed {
            return Err(rejected());
        }
    }
    if caller.is_session && requested.is_some_and(|seconds| seconds > 3600) {
        return Err(validation(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
        ));
    }
    let seconds = within_maximum(requested, role)?;
    let session = shared
        .account
        .issue(role, session_name, tags, seconds, shared.clock.now());
    call.issued = Some(session.identity());
    Ok(reply(call, &credentials(&session)))
}

/// Whether a trust policy names the caller's role, session or user ARN rather than its account.
fn names_caller(shared: &Shared, role_arn: &str, caller: &crate::auth::Caller) -> bool {
    let declared = shared
        .account
        .config
        .roles
        .iter()
        .find(|role| role.arn == role_arn);
    let text = declared
        .map(|role| role.trust_policy.to_string())
        .unwrap_or_default();
    let named =
        |arn: &str| text.contains(&format!("{arn}\"")) || text.contains(&format!("{arn}\\\""));
    named(&caller.identity.arn) || caller.identity.role_arn.as_deref().is_some_and(named)
}

/// The claims as condition keys of trust policies, `HOST/PATH:claim`.
fn token_context(token: &VerifiedToken, session_name: &str) -> Context {
    let host = token
        .issuer
        .trim_start_matches("https://")
        .trim_start_matches("http://");
    let mut context = Context::new();
    for name in ["sub", "amr", "oaud"] {
        if let Some(value) = token.claims.get(name).and_then(Value::as_str) {
            context.set(&format!("{host}:{name}"), value);
        }
    }
    // IAM uses `azp` as the audience if the token has one.
    match token.claims.get("azp").and_then(Value::as_str) {
        Some(party) => context.set(&format!("{host}:aud"), party),
        None => context.set_all(&format!("{host}:aud"), audiences(&token.claims)),
    }
    context.set("sts:RoleSessionName", session_name);
    context
}

/// Checks the parameters against the service model; the names in STS's messages start with a small letter.
fn parameters(operation: &str, form: &Form) -> Result<(), AwsError> {
    let mut request = serde_json::Map::new();
    for (name, value) in form {
        let protocol = ["Action", "Version"].contains(&name.as_str());
        if protocol || value.is_empty() || name.contains('.') {
            continue;
        }
        let value = match (name.as_str(), value.parse::<u64>()) {
            ("DurationSeconds", Ok(seconds)) => Value::from(seconds),
            ("DurationSeconds", Err(_)) => {
                return Err(AwsError::new(
                    400,
                    "MalformedInput",
                    "DurationSeconds is not a number",
                ));
            }
            _ => Value::from(value.as_str()),
        };
        request.insert(name.clone(), value);
    }
    let found = service_model::violations("sts", operation, &Value::Object(request))?;
    let found: Vec<String> = found.iter().map(|one| small_letter(one)).collect();
    service_model::message(&found).map_or(Ok(()), |message| Err(validation(message)))
}

/// `'RoleArn'` as `'roleArn'`.
fn small_letter(violation: &str) -> String {
    let Some((before, after)) = violation.split_once(" at '") else {
        return violation.to_owned();
    };
    let mut rest = after.chars();
    let first = rest.next().map(|first| first.to_ascii_lowercase());
    let first = first.map(String::from).unwrap_or_default();
    format!("{before} at '{first}{}", rest.as_str())
}

fn text<'a>(form: &'a Form, name: &str) -> &'a str {
    form.get(name).map_or("", String::as_str)
}

fn duration(form: &Form) -> Option<u64> {
    form.get("DurationSeconds")?.parse().ok()
}

fn within_maximum(requested: Option<u64>, role: &Role) -> Result<u64, AwsError> {
    let seconds = requested.unwrap_or(3600);
    if seconds > role.max_session_seconds {
        return Err(validation(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        ));
    }
    Ok(seconds)
}

/// Reads the session tags, `Tags.member.N.Key` and `.Value`.
fn tags(form: &Form) -> BTreeMap<String, String> {
    form.iter()
        .filter_map(|(name, key)| {
            let member = name.strip_prefix("Tags.member.")?.strip_suffix(".Key")?;
            let value = form.get(&format!("Tags.member.{member}.Value"))?;
            Some((key.clone(), value.clone()))
        })
        .collect()
}

fn validation(message: impl Into<String>) -> AwsError {
    AwsError::new(400, "ValidationError", message)
}
