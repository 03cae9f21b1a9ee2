//! The ServiceAccount, with the annotations from which EKS learns its role.
//!
//! <https://docs.aws.amazon.com/eks/latest/userguide/associate-service-account-role.html>

use std::collections::BTreeMap;

use api::names;
use k8s_openapi::api::core::v1::ServiceAccount;

use super::{metadata, with};
use crate::access::validate::{Identity, Validated};

pub(super) fn build(
    access: &Validated,
    name: &str,
    annotations: &BTreeMap<String, String>,
    labels: &BTreeMap<String, String>,
) -> ServiceAccount {
    ServiceAccount {
        metadata: metadata(
            access,
            name,
            labels,
            &with(annotations, role_annotations(access)),
        ),
        // The gateway never talks to the API server.
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

/// Empty if the policies deny the object: a pod that starts now must not get the role.
fn role_annotations(access: &Validated) -> BTreeMap<String, String> {
    if access.revoked {
        return BTreeMap::new();
    }
    let Identity::Irsa {
        role,
        session_name: _,
        token_expiration_seconds,
        audience,
    } = &access.identity
    else {
        return BTreeMap::new();
    };
    BTreeMap::from([
        (names::ROLE_ARN_ANNOTATION.to_owned(), role.to_string()),
        (names::AUDIENCE_ANNOTATION.to_owned(), audience.clone()),
        (
            names::TOKEN_EXPIRATION_ANNOTATION.to_owned(),
            token_expiration_seconds.to_string(),
        ),
        (names::REGIONAL_STS_ANNOTATION.to_owned(), "true".to_owned()),
    ])
}
