//! The instance metadata service, version 2 only: PUT returns a session token, GET returns metadata.
//! See <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html>.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::response::Response;
use http::{HeaderValue, Method};
use serde_json::json;

use super::{assume_as_service, header_text, ok};
use crate::clock::{Clock, iso};
use crate::config::Instance;
use crate::encoding::random_base64;
use crate::error::AwsError;
use crate::record::Call;
use crate::server::{Incoming, Shared};

const TTL_HEADER: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const ROLES: &str = "/latest/meta-data/iam/security-credentials";

/// Issued tokens with their expirations.
#[derive(Debug, Default)]
pub(crate) struct MetadataTokens(Mutex<BTreeMap<String, SystemTime>>);

pub(super) fn operation(method: &Method, path: &str) -> &'static str {
    if path == "/latest/api/token" && method == Method::PUT {
        "GetToken"
    } else if path.strip_prefix(ROLES).is_some_and(|rest| rest.len() > 1) {
        "GetRoleCredentials"
    } else if path.starts_with(ROLES) {
        "ListRoles"
    } else {
        "GetMetadata"
    }
}

pub(super) fn respond(
    shared: &Shared,
    incoming: &Incoming,
    call: &mut Call,
) -> Result<Response, AwsError> {
    if call.operation == "GetToken" {
        return token(shared, incoming);
    }
    if incoming.method != Method::GET {
        return Err(AwsError::new(405, "MethodNotAllowed", ""));
    }
    let known = header_text(incoming, "x-aws-ec2-metadata-token").is_some_and(|token| {
        let tokens = shared
            .metadata_tokens
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        tokens.get(&token).is_some_and(|end| *end > Clock::real())
    });
    if !known {
        // Version 1 requests, which have no token, are rejected, too.
        return Err(AwsError::new(
            401,
            "Unauthorized",
            "a valid metadata token is required",
        ));
    }
    let missing = || AwsError::new(404, "NotFound", "");
    let instance = shared
        .account
        .config
        .instance
        .as_ref()
        .ok_or_else(missing)?;
    let role_name = instance.role_arn.rsplit('/').next().unwrap_or_default();
    let path = incoming.path.trim_end_matches('/');
    match path {
        ROLES => Ok(ok("text/plain", role_name.to_owned())),
        "/latest/meta-data/placement/region" => Ok(ok("text/plain", instance.region.clone())),
        "/latest/meta-data/placement/availability-zone" => {
            Ok(ok("text/plain", format!("{}a", instance.region)))
        }
        "/latest/meta-data/instance-id" => Ok(ok("text/plain", INSTANCE_ID.to_owned())),
        "/latest/dynamic/instance-identity/document" => {
            Ok(ok("text/plain", document(shared, instance)))
        }
        _ if path.strip_prefix(ROLES) == Some(format!("/{role_name}").as_str()) => {
            credentials(shared, call, instance)
        }
        _ => Err(missing()),
    }
}

const INSTANCE_ID: &str = "i-0123456789abcdef0";

fn document(shared: &Shared, instance: &Instance) -> String {
    json!({
        "accountId": shared.account.config.account,
        "instanceId": INSTANCE_ID,
        "region": instance.region,
        "version": "2017-09-30",
    })
    .to_string()
}

fn token(shared: &Shared, incoming: &Incoming) -> Result<Response, AwsError> {
    if incoming.headers.contains_key("x-forwarded-for") {
        return Err(AwsError::new(
            403,
            "Forbidden",
            "a proxied request gets no token",
        ));
    }
    let seconds: u64 = header_text(incoming, TTL_HEADER)
        .and_then(|text| text.parse().ok())
        .filter(|seconds| (1..=21_600).contains(seconds))
        .ok_or_else(|| {
            AwsError::new(
                400,
                "BadRequest",
                format!("{TTL_HEADER} must be from 1 to 21600"),
            )
        })?;
    let token = random_base64::<40>();
    shared
        .metadata_tokens
        .0
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(token.clone(), Clock::real() + Duration::from_secs(seconds));
    let mut response = ok("text/plain", token);
    response
        .headers_mut()
        .insert(TTL_HEADER, HeaderValue::from(seconds));
    Ok(response)
}

fn credentials(
    shared: &Shared,
    call: &mut Call,
    instance: &Instance,
) -> Result<Response, AwsError> {
    let session = assume_as_service(
        shared,
        call,
        "ec2.amazonaws.com",
        &instance.role_arn,
        INSTANCE_ID,
        BTreeMap::new(),
    )?;
    let body = json!({
        "Code": "Success",
        "LastUpdated": iso(shared.clock.now()),
        "Type": "AWS-HMAC",
        "AccessKeyId": session.access_key_id,
        "SecretAccessKey": session.secret,
        "Token": session.token,
        "Expiration": iso(session.expires_at),
    });
    Ok(ok("text/plain", body.to_string()))
}
