//! Whether the author of a `BedrockAccess` has the permissions that its restricted values require.
//!
//! The API server decides this by SubjectAccessReviews
//! (<https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access>), as it decides for roles
//! with the verbs `escalate` and `bind`. Only an admission request contains the author.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use api::v1alpha1::{BedrockAccess, condition};
use k8s_openapi::{
    api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{Api, Client, api::PostParams};
use serde::Deserialize;

use super::{
    evaluate::rules_for,
    restricted::{Permission, Restricted, restricted},
};
use crate::error_chain::shown;

/// Maximum number of values in a message.
const SHOWN: usize = 5;

/// The user of an admission request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Author {
    pub(crate) username: String,
    pub(crate) uid: Option<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) extra: BTreeMap<String, Vec<String>>,
}

/// Values that the author cannot set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MissingPermissions {
    pub(crate) username: String,
    pub(crate) namespace: String,
    pub(crate) values: Vec<Restricted>,
}

/// The condition of an object whose restricted values were refused because their author is unknown.
pub(crate) fn refusal(access: &BedrockAccess) -> Option<&Condition> {
    let status = access.status.as_ref()?;
    status.conditions.iter().find(|condition| {
        condition.type_ == condition::ACCEPTED
            && condition.status == "False"
            && condition.reason == condition::REASON_AUTHOR_NOT_VERIFIED
    })
}

/// The values that an update sets: those that the object does not have already. If the object was refused, all of them.
pub(crate) fn set_by_update(
    values: &[Restricted],
    before: Option<&BedrockAccess>,
) -> Vec<Restricted> {
    let existing = before
        .filter(|before| refusal(before).is_none())
        .map(|before| restricted(&before.spec))
        .unwrap_or_default();
    let values = values.iter();
    values
        .filter(|value| !existing.contains(value))
        .cloned()
        .collect()
}

impl Author {
    /// The question whether this user may do something.
    pub(crate) fn review(&self, attributes: ResourceAttributes) -> SubjectAccessReview {
        let Self {
            username,
            uid,
            groups,
            extra,
        } = self.clone();
        SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(username),
                uid: uid.filter(|uid| !uid.is_empty()),
                groups: Some(groups),
                extra: Some(extra),
                resource_attributes: Some(attributes),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        }
    }

    /// Checks that the author has the permissions for all values in a namespace.
    ///
    /// # Errors
    /// When the API server cannot be asked.
    pub(crate) async fn check(
        &self,
        client: &Client,
        namespace: &str,
        values: &[Restricted],
    ) -> Result<Result<(), MissingPermissions>, kube::Error> {
        let mut checks = Checks {
            author: self,
            reviews: Api::all(client.clone()),
            namespace,
            known: HashMap::new(),
        };
        let mut missing = Vec::new();
        for value in values {
            if !checks.has(&value.permission).await? {
                missing.push(value.clone());
            }
        }
        Ok(if missing.is_empty() {
            Ok(())
        } else {
            Err(MissingPermissions {
                username: self.username.clone(),
                namespace: namespace.to_owned(),
                values: missing,
            })
        })
    }
}

/// The reviews of one admission request.
struct Checks<'a> {
    author: &'a Author,
    reviews: Api<SubjectAccessReview>,
    namespace: &'a str,
    /// Results by verb, group, resource and name.
    known: HashMap<[String; 4], bool>,
}

impl Checks<'_> {
    async fn has(&mut self, permission: &Permission) -> Result<bool, kube::Error> {
        match permission {
            Permission::Workloads => self.can_create_workloads().await,
            Permission::Secret(name) => Ok(self.can_create_workloads().await?
                || self.can(["get", "", "secrets", name]).await?),
            Permission::ServiceAccounts => self.can(["create", "", "serviceaccounts", ""]).await,
            Permission::Services => self.can(["create", "", "services", ""]).await,
            Permission::Certificates => {
                self.can(["create", "cert-manager.io", "certificates", ""])
                    .await
            }
            Permission::HttpRoutes => {
                self.can(["create", "gateway.networking.k8s.io", "httproutes", ""])
                    .await
            }
        }
    }

    async fn can_create_workloads(&mut self) -> Result<bool, kube::Error> {
        Ok(self.can(["create", "apps", "deployments", ""]).await?
            || self.can(["create", "", "pods", ""]).await?)
    }

    async fn can(&mut self, request: [&str; 4]) -> Result<bool, kube::Error> {
        if self.author.username.is_empty() {
            return Ok(false);
        }
        let key = request.map(ToOwned::to_owned);
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        let [verb, group, resource, name] = request.map(|text| Some(text.to_owned()));
        let review = self.author.review(ResourceAttributes {
            namespace: Some(self.namespace.to_owned()),
            verb,
            group,
            resource,
            name: name.filter(|name| !name.is_empty()),
            ..ResourceAttributes::default()
        });
        let review = self.reviews.create(&PostParams::default(), &review).await?;
        let allowed = review.status.is_some_and(|status| status.allowed);
        self.known.insert(key, allowed);
        Ok(allowed)
    }
}

impl fmt::Display for MissingPermissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            username,
            namespace,
            values,
        } = self;
        write!(
            f,
            "user {username} lacks permissions in namespace {namespace}: {}. Fix: let a user with the permissions apply the object, or {}.",
            shown(values, SHOWN, "; ", |value| format!(
                "{value} requires permission to {}",
                value.permission
            )),
            rules_for(values, namespace)
        )
    }
}

impl fmt::Debug for Checks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checks")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}
