//! Container credentials endpoints of the ECS agent (relative path and full URI) and the EKS Pod Identity agent.

use std::collections::BTreeMap;

use axum::response::Response;
use serde_json::{Value, json};

use super::{assume_as_service, header_text, ok};
use crate::clock::{Clock, iso};
use crate::encoding::{hex, random};
use crate::error::AwsError;
use crate::record::Call;
use crate::server::{Incoming, Shared};
use crate::web_identity::unverified_claims;

/// Path of the Pod Identity agent.
pub(super) const POD_IDENTITY_PATH: &str = "/v1/credentials";

pub(super) fn task(
    shared: &Shared,
    incoming: &Incoming,
    call: &mut Call,
) -> Result<Response, AwsError> {
    let declared = shared
        .account
        .config
        .containers
        .iter()
        .find(|one| one.path == incoming.path)
        .ok_or_else(|| {
            AwsError::new(
                400,
                "InvalidIdInRequest",
                "CredentialManager: invalid credential ID in request",
            )
        })?;
    if declared.authorization.is_some()
        && header_text(incoming, "authorization") != declared.authorization
    {
        return Err(AwsError::new(
            401,
            "Unauthorized",
            "invalid authorization token",
        ));
    }
    let session = assume_as_service(
        shared,
        call,
        "ecs-tasks.amazonaws.com",
        &declared.role_arn,
        &hex(&random::<16>()),
        BTreeMap::new(),
    )?;
    let body = json!({
        "RoleArn": session.role.arn,
        "AccessKeyId": session.access_key_id,
        "SecretAccessKey": session.secret,
        "Token": session.token,
        "Expiration": iso(session.expires_at),
    });
    Ok(ok("application/json", body.to_string()))
}

pub(super) async fn pod_identity(
    shared: &Shared,
    incoming: &Incoming,
    call: &mut Call,
) -> Result<Response, AwsError> {
    let token = header_text(incoming, "authorization").ok_or_else(|| {
        AwsError::new(
            400,
            "InvalidParameterException",
            "Service account token cannot be empty",
        )
    })?;
    call.token = Some(unverified_claims(&token));
    let verified = shared
        .verifier
        .verify(&token, Clock::real(), Some("pods.eks.amazonaws.com"))
        .await
        .map_err(|error| AwsError::new(400, "InvalidTokenException", error.message))?;
    let subject = verified
        .claims
        .get("sub")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let association = shared
        .account
        .config
        .pod_identity_associations
        .iter()
        .find(|one| {
            subject
                == format!(
                    "system:serviceaccount:{}:{}",
                    one.namespace, one.service_account
                )
        })
        .ok_or_else(|| {
            AwsError::new(
                404,
                "ResourceNotFoundException",
                format!("no association found for {subject} in the cluster"),
            )
        })?;
    let kubernetes = verified.claims.get("kubernetes.io");
    let claim = |pointer: &str| {
        kubernetes
            .and_then(|k| k.pointer(pointer))
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let mut tags = BTreeMap::from([
        ("eks-cluster-name".to_owned(), association.cluster.clone()),
        (
            "kubernetes-namespace".to_owned(),
            association.namespace.clone(),
        ),
        (
            "kubernetes-service-account".to_owned(),
            association.service_account.clone(),
        ),
    ]);
    for (tag, pointer) in [
        ("kubernetes-pod-name", "/pod/name"),
        ("kubernetes-pod-uid", "/pod/uid"),
    ] {
        if let Some(value) = claim(pointer) {
            tags.insert(tag.to_owned(), value);
        }
    }
    let pod = claim("/pod/name").unwrap_or_else(|| association.service_account.clone());
    let name: String = format!("eks-{}-{pod}-{}", association.cluster, hex(&random::<8>()))
        .chars()
        .take(64)
        .collect();
    let session = assume_as_service(
        shared,
        call,
        "pods.eks.amazonaws.com",
        &association.role_arn,
        &name,
        tags,
    )?;
    let body = json!({
        "AccessKeyId": session.access_key_id,
        "SecretAccessKey": session.secret,
        "Token": session.token,
        "AccountId": session.role.account,
        "Expiration": iso(session.expires_at),
    });
    Ok(ok("application/json", body.to_string()))
}
