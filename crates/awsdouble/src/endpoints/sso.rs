//! `GetRoleCredentials` of the SSO portal: exchanges a user's access token for a role's credentials.

use axum::response::Response;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::SystemTime;

use super::{header_text, ok};
use crate::encoding::form_pairs;
use crate::error::AwsError;
use crate::record::Call;
use crate::server::{Incoming, Shared};

pub(super) fn role_credentials(
    shared: &Shared,
    incoming: &Incoming,
    call: &mut Call,
) -> Result<Response, AwsError> {
    let token = header_text(incoming, "x-amz-sso_bearer_token").unwrap_or_default();
    let sessions = &shared.account.config.sso;
    if !sessions.iter().any(|session| session.access_token == token) {
        return Err(AwsError::new(
            401,
            "UnauthorizedException",
            "Session token not found or invalid",
        ));
    }
    let query = form_pairs(&incoming.query);
    let find = |name: &str| {
        query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
            .unwrap_or_default()
    };
    let role_name = find("role_name");
    let role = sessions
        .iter()
        .find(|session| session.access_token == token && session.role_name == role_name)
        .and_then(|session| shared.account.role(&session.role_arn))
        .filter(|role| role.account == find("account_id"))
        .ok_or_else(|| AwsError::new(403, "ForbiddenException", "No access"))?;
    let session = shared
        .account
        .issue(role, "person", BTreeMap::new(), 3600, shared.clock.now());
    call.issued = Some(session.identity());
    let expiration = session
        .expires_at
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs().saturating_mul(1000));
    let body = json!({ "roleCredentials": {
        "accessKeyId": session.access_key_id,
        "secretAccessKey": session.secret,
        "sessionToken": session.token,
        "expiration": expiration,
    } });
    Ok(ok("application/json", body.to_string()))
}
