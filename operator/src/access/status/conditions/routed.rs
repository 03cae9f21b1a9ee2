//! `Routed`: whether the Gateways of the HTTPRoute accept it. Not set without `spec.gateway.httpRoute`. The endpoint is ready
//! without it.

use api::v1alpha1::{condition, http_route::ParentRef};
use kube::api::DynamicObject;
use serde_json::Value;

use super::{
    ConditionOutcome,
    of_others::{self, Reported},
    related::Related,
};
use crate::{access::validate::Validated, owned::OwnedKind};

/// What the Gateways report about one parent of the route.
enum Parent {
    Accepts,
    Refuses(Reported),
    Silent,
}

pub(crate) fn outcome(access: Option<&Validated>, related: &Related) -> Option<ConditionOutcome> {
    let access = access?;
    let wanted = access.gateway.http_route.as_ref()?;
    if access.revoked {
        return Some(ConditionOutcome::no(
            condition::REASON_NOT_ALLOWED,
            "A denied BedrockAccess has no HTTPRoute; see Accepted.",
        ));
    }
    if !access.served.contains(&OwnedKind::HttpRoute) {
        return Some(ConditionOutcome::no(
            condition::REASON_API_NOT_SERVED,
            "spec.gateway.httpRoute: the cluster does not serve HTTPRoute (gateway.networking.k8s.io/v1). Install the Gateway API, which is detected within minutes, or remove the field.",
        ));
    }
    let encrypted = access.tls.as_ref();
    let verified = encrypted.and_then(|tls| tls.ca_config_map.as_ref());
    if verified.is_some() && !access.served.contains(&OwnedKind::BackendTlsPolicy) {
        return Some(ConditionOutcome::no(
            condition::REASON_API_NOT_SERVED,
            "spec.gateway.httpRoute: the cluster does not serve BackendTLSPolicy (gateway.networking.k8s.io/v1, since Gateway API 1.4), with which Gateways connect to the Service by TLS. Upgrade the Gateway API, or remove spec.gateway.tls.",
        ));
    }
    if let Some(refused) = related
        .backend_tls_policy
        .as_deref()
        .and_then(refused_policy)
    {
        return Some(refused.refusal("BackendTLSPolicy"));
    }
    let mut silent = None;
    for parent in &wanted.parent_refs {
        let name = parent.namespace.as_deref().unwrap_or(&access.namespace);
        let name = format!("{name}/{}", parent.name);
        match related
            .route
            .as_deref()
            .map(|route| parent_of(route, parent, access))
        {
            Some(Parent::Accepts) => {}
            Some(Parent::Refuses(reported)) => {
                return Some(reported.refusal(&format!("Gateway {name}")));
            }
            Some(Parent::Silent) | None => silent = silent.or(Some(name)),
        }
    }
    Some(match silent {
        Some(name) => ConditionOutcome::unknown(
            condition::REASON_PENDING,
            format!("Waiting for Gateway {name} to accept the HTTPRoute."),
        ),
        None if encrypted.is_some() && verified.is_none() => ConditionOutcome::yes(
            condition::REASON_READY,
            "The Gateways accept the HTTPRoute. They verify no certificate: spec.gateway.tls.caConfigMapName is not set, so no BackendTLSPolicy is created.",
        ),
        None => ConditionOutcome::yes(
            condition::REASON_READY,
            "The Gateways accept the HTTPRoute.",
        ),
    })
}

fn parent_of(route: &DynamicObject, wanted: &ParentRef, access: &Validated) -> Parent {
    let parents = route.data.pointer("/status/parents");
    let parents = parents.and_then(Value::as_array).into_iter().flatten();
    let text = |value: &Value, name: &str| {
        let field = value.get("parentRef").and_then(|parent| parent.get(name));
        field.and_then(Value::as_str).map(ToOwned::to_owned)
    };
    let namespace = |named: Option<String>| named.unwrap_or_else(|| access.namespace.clone());
    let is_wanted = |parent: &&Value| {
        text(parent, "name").as_ref() == Some(&wanted.name)
            && namespace(text(parent, "namespace")) == namespace(wanted.namespace.clone())
            && text(parent, "sectionName") == wanted.section_name
    };
    let mut found = Parent::Silent;
    for parent in parents.filter(is_wanted) {
        let conditions = parent.get("conditions");
        let conditions = conditions.and_then(|list| of_others::conditions(route, list));
        for one in conditions.unwrap_or_default() {
            match (one.type_.as_str(), one.status.as_str()) {
                ("Accepted" | "ResolvedRefs", "False") => return Parent::Refuses(one),
                ("Accepted", "True") => found = Parent::Accepts,
                _ => {}
            }
        }
    }
    found
}

/// A Gateway that does not accept the BackendTLSPolicy.
fn refused_policy(policy: &DynamicObject) -> Option<Reported> {
    let ancestors = policy.data.pointer("/status/ancestors")?.as_array()?;
    let conditions = ancestors.iter().filter_map(|ancestor| {
        let list = ancestor.get("conditions")?;
        of_others::conditions(policy, list)
    });
    conditions.flatten().find(|one| {
        ["Accepted", "ResolvedRefs"].contains(&one.type_.as_str()) && one.status == "False"
    })
}
