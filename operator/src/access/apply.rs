//! Fourth step of a reconcile: brings the cluster to the built state with as few writes as possible.
//!
//! Order: the ServiceAccount first, since the EKS webhook reads its role when a pod is created; then the configuration and the
//! certificate, which pods need to start, and the NetworkPolicy, without which no pod should run; then the pods; then Service,
//! disruption budget, autoscaler, monitor, the settings for apps and the route, which the endpoint does not need to serve; last,
//! objects that the spec no longer requests are deleted. An object is written only if the cache shows that a wanted field
//! differs or that we own a field that is no longer wanted (`compare.rs`), so a steady state writes nothing. Objects of the
//! same name that are not ours are never touched.

mod compare;
mod repair;

use std::{collections::BTreeMap, sync::Arc};

use api::names;
use kube::{
    Client, Resource, ResourceExt,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions},
};

use compare::owned_fields;
pub(crate) use compare::{Difference, compare};
use serde_json::{Value, json};

use crate::{
    access::{
        build::{Prepared, Resources},
        validate::Validated,
    },
    metrics::Metrics,
    owned::{OwnedKind, OwnedObject, Stores},
};

/// Field manager of `replicas` during the handover between the operator and an autoscaler.
const HANDOVER_MANAGER: &str = "bedrock-access-operator-autoscaling";

/// A resource version that no object has: etcd's first revision is the empty store.
const NO_VERSION: &str = "1";

/// An owned object as it is in the cluster now.
#[derive(Clone, Debug)]
pub(crate) struct Applied {
    pub(crate) object: Arc<DynamicObject>,
    pub(crate) change: Change,
    pub(crate) kind: OwnedKind,
}

/// How an owned object was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It was already as wanted.
    None,
    /// It did not exist.
    Created,
    /// It was brought up to date with the spec.
    Updated,
    /// Another field manager had changed these fields; they were restored.
    Restored { by: String, fields: Vec<String> },
}

/// Result of the step.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) resources: Resources<Applied>,
    /// Objects deleted because the spec no longer requests them.
    pub(crate) removed: Vec<(OwnedKind, String)>,
}

/// Why the built state could not be applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    /// An object of this name does not belong to this `BedrockAccess`.
    #[error(
        "{kind} {name} already exists and does not belong to this BedrockAccess ({owner}). Rename or delete one of them."
    )]
    Foreign {
        kind: OwnedKind,
        name: String,
        owner: String,
    },
    /// The API server rejects an object as invalid: part of the spec that only the API server can validate.
    #[error("the API server rejected {kind} {name}: {message}")]
    Refused {
        kind: OwnedKind,
        name: String,
        message: String,
    },
    /// A read failed.
    #[error("failed to read {kind} {name}")]
    Read {
        kind: OwnedKind,
        name: String,
        source: kube::Error,
    },
    /// A write failed.
    #[error("failed to apply {kind} {name}")]
    Write {
        kind: OwnedKind,
        name: String,
        source: kube::Error,
    },
    /// A deletion failed.
    #[error("failed to delete {kind} {name}")]
    Delete {
        kind: OwnedKind,
        name: String,
        source: kube::Error,
    },
}

/// Dependencies of this step.
pub(crate) struct Applier<'a> {
    pub(crate) client: &'a Client,
    pub(crate) stores: &'a Stores,
    pub(crate) metrics: &'a Metrics,
    pub(crate) access: &'a Validated,
}

impl Applier<'_> {
    /// Applies every object, then deletes objects that are no longer wanted.
    ///
    /// # Errors
    /// The first object that could not be applied; later objects are left for the next attempt.
    pub(crate) async fn apply(
        &self,
        resources: &Resources<Prepared>,
    ) -> Result<Outcome, ApplyError> {
        let Resources {
            service_account,
            config,
            certificate,
            network_policy,
            deployment,
            service,
            disruption_budget,
            autoscaler,
            pod_monitor,
            backend_tls_policy,
            http_route,
            client_config,
        } = resources;
        // Fields are evaluated in the order they are written.
        let resources = Resources {
            service_account: self.optional(service_account.as_ref()).await?,
            config: self.one(config).await?,
            certificate: self.optional(certificate.as_ref()).await?,
            network_policy: self.optional(network_policy.as_ref()).await?,
            deployment: self.optional(deployment.as_ref()).await?,
            service: self.optional(service.as_ref()).await?,
            disruption_budget: self.optional(disruption_budget.as_ref()).await?,
            autoscaler: self.optional(autoscaler.as_ref()).await?,
            pod_monitor: self.optional(pod_monitor.as_ref()).await?,
            client_config: self.optional(client_config.as_ref()).await?,
            backend_tls_policy: self.optional(backend_tls_policy.as_ref()).await?,
            http_route: self.optional(http_route.as_ref()).await?,
        };
        let removed = self.delete_unwanted(&resources).await?;
        Ok(Outcome { resources, removed })
    }

    async fn optional(&self, prepared: Option<&Prepared>) -> Result<Option<Applied>, ApplyError> {
        match prepared {
            Some(prepared) => self.one(prepared).await.map(Some),
            None => Ok(None),
        }
    }

    async fn one(&self, prepared: &Prepared) -> Result<Applied, ApplyError> {
        let Prepared { kind, name, object } = prepared;
        let found = match self
            .stores
            .owned_object(*kind, &self.access.namespace, name)
        {
            Some(cached) => cached,
            None => match self.create(prepared).await? {
                Some(object) => {
                    return Ok(Applied {
                        object: Arc::new(object),
                        change: Change::Created,
                        kind: *kind,
                    });
                }
                // The cache contains only labelled objects and may lag behind.
                None => self.read(*kind, name).await?,
            },
        };
        self.check_owner(*kind, name, &found)?;
        let differences = compare(object, &found);
        if differences.is_empty() && !repair::is_unfinished(&found) {
            return Ok(Applied {
                object: found,
                change: Change::None,
                kind: *kind,
            });
        }
        self.hand_over_replicas(prepared, &found).await?;
        let change = change(&differences, &found);
        let object = match self.server_side_apply(*kind, name, object).await {
            Err(refused @ ApplyError::Refused { .. }) => {
                repair::replace_lists(self, prepared, &found, refused).await?;
                self.server_side_apply(*kind, name, object).await?
            }
            applied => applied?,
        };
        let object = repair::disown(self, prepared, object).await?;
        // If the cache lags behind, the apply may change nothing: no Event then.
        let unchanged = found.metadata.resource_version == object.metadata.resource_version;
        Ok(Applied {
            object: Arc::new(object),
            change: if unchanged { Change::None } else { change },
            kind: *kind,
        })
    }

    async fn server_side_apply(
        &self,
        kind: OwnedKind,
        name: &str,
        object: &Value,
    ) -> Result<DynamicObject, ApplyError> {
        let parameters = PatchParams::apply(names::FIELD_MANAGER).force();
        self.patch(kind, name, "apply", &parameters, &Patch::Apply(object))
            .await
    }

    /// Creates an object; `None` if an object of that name already exists, whether it is ours or not.
    ///
    /// A single request, without a race: an apply that names a resource version is rejected for an object of any other
    /// version, and no object has this one.
    async fn create(&self, prepared: &Prepared) -> Result<Option<DynamicObject>, ApplyError> {
        let Prepared { kind, name, object } = prepared;
        let mut object = object.clone();
        if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
            metadata.insert("resourceVersion".to_owned(), NO_VERSION.into());
        }
        match self.server_side_apply(*kind, name, &object).await {
            Ok(made) => Ok(Some(made)),
            Err(ApplyError::Write {
                source: kube::Error::Api(status),
                ..
            }) if status.code == 409 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends a patch and counts it as `verb`.
    async fn patch(
        &self,
        kind: OwnedKind,
        name: &str,
        verb: &'static str,
        parameters: &PatchParams,
        patch: &Patch<&Value>,
    ) -> Result<DynamicObject, ApplyError> {
        self.metrics.wrote(kind.as_str(), verb);
        kind.api(self.client.clone(), &self.access.namespace)
            .patch(name, parameters, patch)
            .await
            .map_err(|source| write_error(kind, name, source))
    }

    /// Before an autoscaler takes over: a field whose only owner stops applying it is removed, and a Deployment without
    /// `replicas` defaults to one pod. So another field manager owns the number until the autoscaler changes it
    /// (<https://kubernetes.io/docs/reference/using-api/server-side-apply/#transferring-ownership>).
    async fn hand_over_replicas(
        &self,
        prepared: &Prepared,
        found: &DynamicObject,
    ) -> Result<(), ApplyError> {
        let Prepared { kind, name, object } = prepared;
        let wanted = object.pointer("/spec/replicas");
        if *kind != OwnedKind::Deployment
            || wanted.is_some()
            || owned_fields(found).is_none_or(|owned| owned.pointer("/f:spec/f:replicas").is_none())
        {
            return Ok(());
        }
        let document = json!({
            "apiVersion": object.get("apiVersion"),
            "kind": object.get("kind"),
            "metadata": {"name": name},
            "spec": {"replicas": self.handed_over(found)},
        });
        let parameters = PatchParams::apply(HANDOVER_MANAGER).force();
        self.patch(*kind, name, "apply", &parameters, &Patch::Apply(&document))
            .await?;
        Ok(())
    }

    /// An autoscaler ignores a Deployment that is scaled to zero, so the handed-over number is at least its minimum.
    fn handed_over(&self, found: &DynamicObject) -> i64 {
        let least = i64::from(self.access.scale.least());
        let now = found
            .data
            .pointer("/spec/replicas")
            .and_then(serde_json::Value::as_i64);
        now.unwrap_or_default().max(least)
    }

    async fn read(&self, kind: OwnedKind, name: &str) -> Result<Arc<DynamicObject>, ApplyError> {
        kind.api(self.client.clone(), &self.access.namespace)
            .get(name)
            .await
            .map(Arc::new)
            .map_err(|source| ApplyError::Read {
                kind,
                name: name.to_owned(),
                source,
            })
    }

    /// An object is ours if we own it, or if it has our label and no owner.
    fn check_owner(
        &self,
        kind: OwnedKind,
        name: &str,
        found: &DynamicObject,
    ) -> Result<(), ApplyError> {
        let controller = found
            .owner_references()
            .iter()
            .find(|owner| owner.controller == Some(true));
        let owner = match controller {
            Some(owner) if owner.uid == self.access.owner.uid => return Ok(()),
            // A former BedrockAccess of the same name: its objects are being deleted or can be adopted.
            Some(owner)
                if owner.kind == self.access.owner.kind
                    && owner.name == self.access.owner.name
                    && owner.api_version == self.access.owner.api_version =>
            {
                return Ok(());
            }
            Some(owner) => format!("owned by {} {}", owner.kind, owner.name),
            None => {
                let label = found.labels().get(names::ACCESS_LABEL);
                if label == Some(&self.access.name) {
                    return Ok(());
                }
                format!(
                    "the label {}={} is missing",
                    names::ACCESS_LABEL,
                    self.access.name
                )
            }
        };
        Err(ApplyError::Foreign {
            kind,
            name: name.to_owned(),
            owner,
        })
    }

    async fn delete_unwanted(
        &self,
        resources: &Resources<Applied>,
    ) -> Result<Vec<(OwnedKind, String)>, ApplyError> {
        let wanted = self.wanted(resources);
        let mut removed = Vec::new();
        for (kind, owned) in self
            .stores
            .owned_by(&self.access.namespace, &self.access.name)
        {
            let name = owned.name_any();
            let ours = owned
                .owner_references()
                .iter()
                .any(|owner| owner.uid == self.access.owner.uid);
            let leaving = owned.meta().deletion_timestamp.is_some();
            if !ours || leaving || wanted.get(&kind).is_some_and(|names| names.contains(&name)) {
                continue;
            }
            let (client, metrics) = (self.client, self.metrics);
            if delete(client, metrics, &self.access.namespace, kind, &owned).await? {
                removed.push((kind, name));
            }
        }
        Ok(removed)
    }

    /// Names of the objects to keep. The ServiceAccount in use is kept also if the operator created it and the spec now
    /// names it as an existing one.
    fn wanted(&self, resources: &Resources<Applied>) -> BTreeMap<OwnedKind, Vec<String>> {
        let mut wanted: BTreeMap<OwnedKind, Vec<String>> = BTreeMap::new();
        if self.access.gateway.enabled {
            wanted.insert(
                OwnedKind::ServiceAccount,
                vec![self.access.service_account.name().to_owned()],
            );
        }
        for owned in resources.all() {
            wanted
                .entry(owned.kind)
                .or_default()
                .push(owned.object.name_any());
        }
        wanted
    }
}

/// Deletes an owned object; `false` if it is already deleted, or replaced by another object.
///
/// # Errors
/// When the API server returns another error.
pub(super) async fn delete(
    client: &Client,
    metrics: &Metrics,
    namespace: &str,
    kind: OwnedKind,
    owned: &OwnedObject,
) -> Result<bool, ApplyError> {
    let parameters = DeleteParams::background().preconditions(Preconditions {
        uid: owned.uid(),
        resource_version: None,
    });
    let name = owned.name_any();
    metrics.wrote(kind.as_str(), "delete");
    let api = kind.api(client.clone(), namespace);
    match api.delete(&name, &parameters).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => Ok(false),
        Err(source) => Err(ApplyError::Delete { kind, name, source }),
    }
}

impl<T> Resources<T> {
    /// Every object, in the order in which they are applied.
    pub(crate) fn all(&self) -> impl Iterator<Item = &T> {
        let Self {
            service_account,
            config,
            certificate,
            network_policy,
            deployment,
            service,
            disruption_budget,
            autoscaler,
            pod_monitor,
            backend_tls_policy,
            http_route,
            client_config,
        } = self;
        service_account
            .iter()
            .chain([config])
            .chain(certificate)
            .chain(network_policy)
            .chain(deployment)
            .chain(service)
            .chain(disruption_budget)
            .chain(autoscaler)
            .chain(pod_monitor)
            .chain(client_config)
            .chain(backend_tls_policy)
            .chain(http_route)
    }
}

/// A field of ours with another value and another owner was changed by another field manager.
fn change(differences: &[Difference], found: &DynamicObject) -> Change {
    let fields: Vec<String> = differences
        .iter()
        .filter(|difference| difference.taken_over)
        .map(|difference| difference.path.clone())
        .collect();
    if fields.is_empty() {
        return Change::Updated;
    }
    let by = found
        .managed_fields()
        .iter()
        .filter(|entry| entry.manager.as_deref() != Some(names::FIELD_MANAGER))
        .filter(|entry| entry.subresource.as_deref().unwrap_or_default().is_empty())
        .max_by_key(|entry| entry.time.as_ref().map(|time| time.0))
        .and_then(|entry| entry.manager.clone())
        .unwrap_or_else(|| "an unknown field manager".to_owned());
    Change::Restored { by, fields }
}

fn write_error(kind: OwnedKind, name: &str, source: kube::Error) -> ApplyError {
    match source {
        // 400 and 422: the document itself is invalid.
        kube::Error::Api(status) if [400, 422].contains(&status.code) => ApplyError::Refused {
            kind,
            name: name.to_owned(),
            message: status.message,
        },
        source => ApplyError::Write {
            kind,
            name: name.to_owned(),
            source,
        },
    }
}
