//! Authentication: SigV4 with the keys of users and issued sessions, or a Bedrock API key.
//!
//! Checks in AWS's order, with AWS's error messages: missing parts, the key, the state of its session, time, scope,
//! the signature.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use crate::clock::{amz_date, parse_amz_date};
use crate::encoding::sha256_hex;
use crate::error::{AwsError, ErrorBody};
use crate::policy::{Context, Policy, Principal};
use crate::record::{Identity, fingerprint};
use crate::server::{Incoming, Shared};
use crate::sigv4::{Claim, Parts};

const FIVE_MINUTES: Duration = Duration::from_mins(5);

/// An authenticated caller.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) identity: Identity,
    pub(crate) account: String,
    /// `AROA…:session`, `AIDA…`.
    pub(crate) user_id: String,
    pub(crate) user_name: Option<String>,
    pub(crate) region: String,
    pub(crate) principal: Principal,
    pub(crate) policies: Arc<Vec<Policy>>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) is_session: bool,
}

impl Caller {
    /// The condition keys that depend on the caller only.
    pub(crate) fn context(&self) -> Context {
        let mut context = Context::new();
        context.set("aws:RequestedRegion", &self.region);
        context.set(
            "aws:PrincipalArn",
            match &self.identity.role_arn {
                Some(role) => role,
                None => &self.identity.arn,
            },
        );
        context.set("aws:PrincipalAccount", &self.account);
        context.set("aws:userid", &self.user_id);
        context.set("aws:SecureTransport", "true");
        if let Some(name) = &self.user_name {
            context.set("aws:username", name);
        }
        for (key, value) in &self.tags {
            context.set(&format!("aws:PrincipalTag/{key}"), value);
        }
        context
    }
}

/// Selects the error codes of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// STS and IAM.
    Query,
    /// Bedrock.
    RestJson,
}

#[derive(Debug, Clone, Copy)]
enum AuthFailure {
    Missing,
    Incomplete,
    Unknown,
    Expired,
    Signature,
}

impl Protocol {
    fn error(self, failure: AuthFailure, message: impl Into<String>) -> AwsError {
        let (status, code) = match (self, failure) {
            (Self::Query, AuthFailure::Missing) => (403, "MissingAuthenticationToken"),
            (Self::Query, AuthFailure::Incomplete) => (400, "IncompleteSignature"),
            (Self::Query, AuthFailure::Unknown) => (403, "InvalidClientTokenId"),
            (Self::Query, AuthFailure::Expired) => (403, "ExpiredToken"),
            (Self::Query, AuthFailure::Signature) => (403, "SignatureDoesNotMatch"),
            (Self::RestJson, AuthFailure::Missing) => (403, "MissingAuthenticationTokenException"),
            (Self::RestJson, AuthFailure::Incomplete) => (403, "IncompleteSignatureException"),
            (Self::RestJson, AuthFailure::Unknown) => (403, "UnrecognizedClientException"),
            (Self::RestJson, AuthFailure::Expired) => (403, "ExpiredTokenException"),
            (Self::RestJson, AuthFailure::Signature) => (403, "InvalidSignatureException"),
        };
        AwsError::new(status, code, message)
    }
}

/// Authenticates a request for a service with one of its signing names; the first one is used in error messages.
pub(crate) fn authenticate(
    shared: &Shared,
    incoming: &Incoming,
    services: &[&str],
    protocol: Protocol,
) -> Result<Caller, AwsError> {
    // Anthropic's clients send API keys in this header.
    if let Some(key) = text(&incoming.headers, "x-api-key")
        && incoming.path.starts_with("/anthropic/")
        && !incoming.headers.contains_key("authorization")
    {
        return bearer(shared, incoming, &key);
    }
    let Some(authorization) = text(&incoming.headers, "authorization") else {
        return Err(protocol.error(AuthFailure::Missing, "Missing Authentication Token"));
    };
    if let Some(key) = authorization.strip_prefix("Bearer ")
        && services.contains(&"bedrock")
    {
        return bearer(shared, incoming, key);
    }
    let claim = Claim::parse(&authorization)
        .map_err(|message| protocol.error(AuthFailure::Incomplete, message))?;
    let signature_error = |message: String| protocol.error(AuthFailure::Signature, message);
    let signed = |name: &str| claim.signed_headers.iter().any(|one| one == name);
    // AWS takes the pseudo-header with HTTP/2: `@aws-sdk/client-bedrock-runtime` 3.1164.0 signs it.
    let host = signed("host") || (incoming.http2 && signed(":authority"));
    if !host {
        return Err(signature_error(
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.".to_owned(),
        ));
    }
    if let Some(unsigned) = incoming
        .headers
        .keys()
        .find(|name| name.as_str().starts_with("x-amz-") && !signed(name.as_str()))
    {
        return Err(signature_error(format!(
            "'{unsigned}' must be a 'SignedHeader' in the AWS Authorization."
        )));
    }
    if !claim.signed_headers.is_sorted() {
        return Err(signature_error("SignedHeaders must be sorted.".to_owned()));
    }
    let amz_date_text = text(&incoming.headers, "x-amz-date").ok_or_else(|| {
        protocol.error(
            AuthFailure::Incomplete,
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.",
        )
    })?;
    let (caller, secret) = owner(shared, incoming, &claim, protocol)?;
    let signed_at = parse_amz_date(&amz_date_text).ok_or_else(|| {
        protocol.error(
            AuthFailure::Incomplete,
            format!("Date must be in ISO-8601 'basic format'. Got '{amz_date_text}'."),
        )
    })?;
    let now = shared.clock.now();
    if signed_at + FIVE_MINUTES < now {
        return Err(signature_error(format!(
            "Signature expired: {amz_date_text} is now earlier than {} ({} - 5 min.)",
            amz_date(now - FIVE_MINUTES),
            amz_date(now)
        )));
    }
    if signed_at > now + FIVE_MINUTES {
        return Err(signature_error(format!(
            "Signature not yet current: {amz_date_text} is still later than {} ({} + 5 min.)",
            amz_date(now + FIVE_MINUTES),
            amz_date(now)
        )));
    }
    check_scope(shared, &claim, &amz_date_text, services).map_err(signature_error)?;
    let payload_hash = sha256_hex(&incoming.body);
    if let Some(claimed) = text(&incoming.headers, "x-amz-content-sha256")
        && claimed != payload_hash
    {
        return Err(signature_error(
            "The value passed in for x-amz-content-sha256 does not match the body.".to_owned(),
        ));
    }
    let parts = Parts {
        method: &incoming.method,
        raw_path: &incoming.path,
        raw_query: &incoming.query,
        headers: &incoming.headers,
        host: &incoming.host,
        payload_hash,
    };
    let computed = claim.expected(&secret, &amz_date_text, &parts);
    if computed.signature != claim.signature {
        tracing::debug!(
            canonical_request = computed.canonical_request,
            string_to_sign = computed.string_to_sign,
            "signature differs"
        );
        return Err(signature_error(format!(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.\n\nThe Canonical String for this request should have been\n'{}'\n\nThe String-to-Sign should have been\n'{}'\n",
            computed.canonical_request, computed.string_to_sign
        )));
    }
    Ok(caller)
}

fn check_scope(
    shared: &Shared,
    claim: &Claim,
    amz_date_text: &str,
    services: &[&str],
) -> Result<(), String> {
    if claim.terminator != "aws4_request" {
        return Err(format!(
            "Credential should be scoped with a valid terminator: 'aws4_request', not '{}'.",
            claim.terminator
        ));
    }
    if !services.contains(&claim.service.as_str()) {
        return Err(format!(
            "Credential should be scoped to correct service: '{}'. ",
            services.first().copied().unwrap_or_default()
        ));
    }
    let regions = &shared.account.config.regions;
    if claim.region.is_empty() || (!regions.is_empty() && !regions.contains(&claim.region)) {
        return Err("Credential should be scoped to a valid region. ".to_owned());
    }
    if !amz_date_text.starts_with(&claim.date) {
        return Err(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{}' != '{}', from '{amz_date_text}'.",
            claim.date,
            amz_date_text.chars().take(8).collect::<String>()
        ));
    }
    Ok(())
}

/// Finds the owner of the access key and checks its session token.
fn owner(
    shared: &Shared,
    incoming: &Incoming,
    claim: &Claim,
    protocol: Protocol,
) -> Result<(Caller, String), AwsError> {
    let unknown = || {
        protocol.error(
            AuthFailure::Unknown,
            "The security token included in the request is invalid.",
        )
    };
    let token = text(&incoming.headers, "x-amz-security-token");
    let region = claim.region.clone();
    if let Some(user) = shared.account.user(&claim.access_key_id) {
        if token.is_some() {
            return Err(unknown());
        }
        let identity = Identity {
            kind: "user".to_owned(),
            arn: user.arn.clone(),
            access_key_id: user.access_key_id.clone(),
            ..Identity::default()
        };
        let account = shared.account.config.account.clone();
        let principal = Principal::Aws {
            arn: user.arn.clone(),
            role_arn: None,
            account: account.clone(),
        };
        let caller = Caller {
            identity,
            account,
            user_id: format!("AIDA{}", fingerprint(&user.name).to_uppercase()),
            user_name: Some(user.name.clone()),
            region,
            principal,
            policies: Arc::clone(&user.policies),
            tags: BTreeMap::new(),
            is_session: false,
        };
        return Ok((caller, user.secret.clone()));
    }
    let session = shared
        .account
        .session(&claim.access_key_id)
        .ok_or_else(unknown)?;
    if token.as_deref() != Some(session.token.as_str()) {
        return Err(unknown());
    }
    if session.revoked || session.expires_at <= shared.clock.now() {
        return Err(protocol.error(
            AuthFailure::Expired,
            "The security token included in the request is expired",
        ));
    }
    let caller = Caller {
        identity: session.identity(),
        account: session.role.account.clone(),
        user_id: format!("{}:{}", session.role.unique_id, session.name),
        user_name: None,
        region,
        principal: Principal::Aws {
            arn: session.arn(),
            role_arn: Some(session.role.arn.clone()),
            account: session.role.account.clone(),
        },
        policies: Arc::clone(&session.role.policies),
        tags: session.tags.clone(),
        is_session: true,
    };
    Ok((caller, session.secret))
}

fn bearer(shared: &Shared, incoming: &Incoming, key: &str) -> Result<Caller, AwsError> {
    let rejected =
        |message: &str| AwsError::access_denied(message).with_body(ErrorBody::CapitalMessage);
    let (declared, policies) = shared.account.bearer(key).ok_or_else(|| {
        rejected("Authentication failed: Please make sure your API Key is valid.")
    })?;
    if declared.expired {
        return Err(rejected("Bearer Token has expired"));
    }
    let config = &shared.account.config;
    let arn = format!(
        "arn:{}:iam::{}:user/{}",
        config.partition, config.account, declared.name
    );
    // A bearer request has no signature scope: use the region of the endpoint.
    let region = incoming
        .host
        .split('.')
        .nth(1)
        .filter(|part| part.matches('-').count() >= 2)
        .unwrap_or("us-east-1");
    Ok(Caller {
        identity: Identity {
            kind: "bearer".to_owned(),
            arn: arn.clone(),
            access_key_id: format!("…{}", fingerprint(key)),
            ..Identity::default()
        },
        account: config.account.clone(),
        user_id: format!("AIDA{}", fingerprint(&declared.name).to_uppercase()),
        user_name: Some(declared.name.clone()),
        region: region.to_owned(),
        principal: Principal::Aws {
            arn,
            role_arn: None,
            account: config.account.clone(),
        },
        policies: Arc::clone(policies),
        tags: BTreeMap::new(),
        is_session: false,
    })
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get(name)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned())
}
