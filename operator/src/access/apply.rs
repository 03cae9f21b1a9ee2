//! Fourth step of a reconcile: makes the cluster hold what was built, and nothing it need not write.
//!
//! Order: the ServiceAccount first, since the EKS webhook reads its role when a pod is made; then the
//! configuration, which a pod cannot start without, and the network policy, which none is to run
//! without; then the pods; then their address, budget, autoscaler and monitor; at last what the spec
//! no longer asks for is removed. An object is written only when the cache shows that a field
//! we want differs or a field we own is no longer wanted (`compare.rs`), so a steady state writes
//! nothing. An object of the same name that is not ours is never touched.

mod compare;
mod repair;

use std::{collections::BTreeMap, sync::Arc};

use api::names;
use kube::{
    Client, Resource, ResourceExt,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions},
};

use compare::owned;
pub(crate) use compare::{Difference, compare};
use serde_json::{Value, json};

use crate::{
    access::{
        build::{Prepared, Resources},
        validate::Validated,
    },
    children::{ChildKind, Stores},
    metrics::Metrics,
};

/// Field manager of `replicas` between us and an autoscaler.
const HANDOVER_MANAGER: &str = "bedrock-access-operator-autoscaling";

/// A version that no object has: etcd's first revision is that of the empty store.
const NO_VERSION: &str = "1";

/// A child as it is in the cluster now.
#[derive(Clone, Debug)]
pub(crate) struct Applied {
    pub(crate) object: Arc<DynamicObject>,
    pub(crate) change: Change,
    pub(crate) kind: ChildKind,
}

/// What was done to a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It was as wanted.
    None,
    /// It was not there.
    Created,
    /// It was brought to what the spec wants.
    Updated,
    /// Somebody had changed it (who, and which fields); it was put right.
    Restored { by: String, fields: Vec<String> },
}

/// All that happened.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) resources: Resources<Applied>,
    /// Children removed because the spec no longer asks for them.
    pub(crate) removed: Vec<(ChildKind, String)>,
}

/// Why the cluster does not hold what was built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    /// An object of that name belongs to somebody else.
    #[error(
        "{kind} {name} exists and does not belong to this BedrockAccess ({owner}): rename or delete one of them"
    )]
    Foreign {
        kind: ChildKind,
        name: String,
        owner: String,
    },
    /// The API server finds a child invalid: something in the spec that only it can judge.
    #[error("the API server refuses {kind} {name}: {message}")]
    Refused {
        kind: ChildKind,
        name: String,
        message: String,
    },
    /// Looking did not work.
    #[error("unable to read {kind} {name}")]
    Read {
        kind: ChildKind,
        name: String,
        source: kube::Error,
    },
    /// Writing did not work.
    #[error("unable to apply {kind} {name}")]
    Write {
        kind: ChildKind,
        name: String,
        source: kube::Error,
    },
    /// Removing did not work.
    #[error("unable to delete {kind} {name}")]
    Delete {
        kind: ChildKind,
        name: String,
        source: kube::Error,
    },
}

/// The means of this step.
pub(crate) struct Applier<'a> {
    pub(crate) client: &'a Client,
    pub(crate) stores: &'a Stores,
    pub(crate) metrics: &'a Metrics,
    pub(crate) access: &'a Validated,
}

impl Applier<'_> {
    /// Applies every object, then removes what is left over.
    ///
    /// # Errors
    /// The first object that could not be applied; those after it are left for the next try.
    pub(crate) async fn apply(
        &self,
        resources: &Resources<Prepared>,
    ) -> Result<Outcome, ApplyError> {
        let Resources {
            service_account,
            config,
            network_policy,
            deployment,
            service,
            disruption_budget,
            autoscaler,
            pod_monitor,
        } = resources;
        // Fields are evaluated in the order they are written.
        let resources = Resources {
            service_account: self.optional(service_account.as_ref()).await?,
            config: self.one(config).await?,
            network_policy: self.optional(network_policy.as_ref()).await?,
            deployment: self.optional(deployment.as_ref()).await?,
            service: self.optional(service.as_ref()).await?,
            disruption_budget: self.optional(disruption_budget.as_ref()).await?,
            autoscaler: self.optional(autoscaler.as_ref()).await?,
            pod_monitor: self.optional(pod_monitor.as_ref()).await?,
        };
        let removed = self.remove_left_overs(&resources).await?;
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
        let found = match self.stores.child(*kind, &self.access.namespace, name) {
            Some(cached) => cached,
            None => match self.create(prepared).await? {
                Some(object) => {
                    return Ok(Applied {
                        object: Arc::new(object),
                        change: Change::Created,
                        kind: *kind,
                    });
                }
                // The cache holds labelled objects only, and may lag behind.
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
        // A cache that lags behind makes an apply that changes nothing: not worth an Event.
        let unchanged = found.metadata.resource_version == object.metadata.resource_version;
        Ok(Applied {
            object: Arc::new(object),
            change: if unchanged { Change::None } else { change },
            kind: *kind,
        })
    }

    async fn server_side_apply(
        &self,
        kind: ChildKind,
        name: &str,
        object: &Value,
    ) -> Result<DynamicObject, ApplyError> {
        let parameters = PatchParams::apply(names::FIELD_MANAGER).force();
        self.patch(kind, name, "apply", &parameters, &Patch::Apply(object))
            .await
    }

    /// Makes an object that is not there; `None` where there is one of that name, whoever's it is.
    ///
    /// One request, with nobody in between: an apply that names a version is refused for an object of any other, and
    /// no object has this one.
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

    /// Every patch of this step; counted as `verb`.
    async fn patch(
        &self,
        kind: ChildKind,
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

    /// Before an autoscaler takes over: a field that its only owner no longer applies is removed, and a
    /// Deployment without `replicas` has one. So somebody else owns the number first, until the
    /// autoscaler changes it
    /// (<https://kubernetes.io/docs/reference/using-api/server-side-apply/#transferring-ownership>).
    async fn hand_over_replicas(
        &self,
        prepared: &Prepared,
        found: &DynamicObject,
    ) -> Result<(), ApplyError> {
        let Prepared { kind, name, object } = prepared;
        let wanted = object.pointer("/spec/replicas");
        if *kind != ChildKind::Deployment
            || wanted.is_some()
            || owned(found).is_none_or(|owned| owned.pointer("/f:spec/f:replicas").is_none())
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

    /// An autoscaler leaves alone what is scaled to zero, so it is never handed less than its least.
    fn handed_over(&self, found: &DynamicObject) -> i64 {
        let least = i64::from(self.access.scale.least());
        let now = found
            .data
            .pointer("/spec/replicas")
            .and_then(serde_json::Value::as_i64);
        now.unwrap_or_default().max(least)
    }

    async fn read(&self, kind: ChildKind, name: &str) -> Result<Arc<DynamicObject>, ApplyError> {
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

    /// Ours is what we own, or what carries our label and nobody owns.
    fn check_owner(
        &self,
        kind: ChildKind,
        name: &str,
        found: &DynamicObject,
    ) -> Result<(), ApplyError> {
        let controller = found
            .owner_references()
            .iter()
            .find(|owner| owner.controller == Some(true));
        let owner = match controller {
            Some(owner) if owner.uid == self.access.owner.uid => return Ok(()),
            // A former access of the same name: its children are on their way out or up for adoption.
            Some(owner)
                if owner.kind == self.access.owner.kind
                    && owner.name == self.access.owner.name
                    && owner.api_version == self.access.owner.api_version =>
            {
                return Ok(());
            }
            Some(owner) => format!("it belongs to {} {}", owner.kind, owner.name),
            None => {
                let label = found.labels().get(names::ACCESS_LABEL);
                if label == Some(&self.access.name) {
                    return Ok(());
                }
                format!(
                    "it lacks the label {}={}",
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

    async fn remove_left_overs(
        &self,
        resources: &Resources<Applied>,
    ) -> Result<Vec<(ChildKind, String)>, ApplyError> {
        let wanted = self.wanted(resources);
        let mut removed = Vec::new();
        for (kind, child) in self
            .stores
            .children_of(&self.access.namespace, &self.access.name)
        {
            let name = child.name_any();
            let ours = child
                .owner_references()
                .iter()
                .any(|owner| owner.uid == self.access.owner.uid);
            let leaving = child.meta().deletion_timestamp.is_some();
            if !ours || leaving || wanted.get(&kind).is_some_and(|names| names.contains(&name)) {
                continue;
            }
            let parameters = DeleteParams::background().preconditions(Preconditions {
                uid: child.uid(),
                resource_version: None,
            });
            self.metrics.wrote(kind.as_str(), "delete");
            let deleted = kind
                .api(self.client.clone(), &self.access.namespace)
                .delete(&name, &parameters)
                .await;
            match deleted {
                Ok(_) => removed.push((kind, name)),
                // Gone already, or another object by now.
                Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => {}
                Err(source) => return Err(ApplyError::Delete { kind, name, source }),
            }
        }
        Ok(removed)
    }

    /// Names that are to stay. The ServiceAccount in use stays also when it was made by us and is now
    /// named as an existing one.
    fn wanted(&self, resources: &Resources<Applied>) -> BTreeMap<ChildKind, Vec<String>> {
        let mut wanted: BTreeMap<ChildKind, Vec<String>> = BTreeMap::new();
        if self.access.gateway.enabled {
            wanted.insert(
                ChildKind::ServiceAccount,
                vec![self.access.service_account.name().to_owned()],
            );
        }
        for child in resources.all() {
            wanted
                .entry(child.kind)
                .or_default()
                .push(child.object.name_any());
        }
        wanted
    }
}

impl<T> Resources<T> {
    /// Every object, in the order of its making.
    pub(crate) fn all(&self) -> impl Iterator<Item = &T> {
        let Self {
            service_account,
            config,
            network_policy,
            deployment,
            service,
            disruption_budget,
            autoscaler,
            pod_monitor,
        } = self;
        service_account
            .iter()
            .chain([config])
            .chain(network_policy)
            .chain(deployment)
            .chain(service)
            .chain(disruption_budget)
            .chain(autoscaler)
            .chain(pod_monitor)
    }
}

/// A field of ours that holds something else and is owned by somebody else was changed behind our back.
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
        .unwrap_or_else(|| "somebody".to_owned());
    Change::Restored { by, fields }
}

fn write_error(kind: ChildKind, name: &str, source: kube::Error) -> ApplyError {
    match source {
        // 400 and 422: the document itself is at fault.
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
