//! The ServiceAccount, with the annotations from which EKS learns its role.
//!
//! <https://docs.aws.amazon.com/eks/latest/userguide/associate-service-account-role.html>

use std::collections::BTreeMap;

use api::names;
use k8s_openapi::{api::core::v1::ServiceAccount, apimachinery::pkg::apis::meta::v1::ObjectMeta};

use super::metadata_with;
use crate::access::validate::{self, Identity, Validated};

/// `None` if an existing ServiceAccount is used.
pub(super) fn build(access: &Validated) -> Option<ServiceAccount> {
    let validate::ServiceAccount::Created {
        name,
        annotations,
        labels,
    } = &access.service_account
    else {
        return None;
    };
    let mut annotations = annotations.clone();
    annotations.extend(role_annotations(access));
    Some(ServiceAccount {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            ..metadata_with(access, labels, &annotations)
        },
        // The gateway never talks to the API server.
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    })
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
