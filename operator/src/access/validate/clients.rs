//! Client authentication: checks that each client is listed once and can use a model, and builds the gateway's
//! settings.

use std::collections::BTreeSet;

use api::{
    config::{Clients, ServiceAccountClients, ServiceAccountSubject},
    names,
    v1alpha1::{BedrockAccessSpec, client_audience},
};

use super::{Problems, ValidateError, budgets, limits};
use crate::access::observe::Observed;

pub(super) fn check(spec: &BedrockAccessSpec, namespace: &str, problems: &mut Problems) {
    let known: BTreeSet<&str> = spec
        .models
        .iter()
        .map(|model| model.name.as_str())
        .collect();
    let mut seen = BTreeSet::new();
    for (index, client) in spec.clients.service_accounts.iter().enumerate() {
        let field = format!("spec.clients.serviceAccounts[{index}]");
        let of = client.namespace.as_deref().unwrap_or(namespace);
        if !seen.insert((of, client.name.as_str())) {
            problems.add(&field, format!("{of}/{} is listed twice", client.name));
        }
        for (at, model) in client.models.iter().enumerate() {
            if !known.contains(model.as_str()) {
                problems.add(
                    format!("{field}.models[{at}]"),
                    format!("{model:?} is not a name in spec.models"),
                );
            }
        }
    }
    let clients = &spec.clients;
    if spec.gateway.enabled
        && !clients.anonymous
        && clients.api_keys.is_none()
        && clients.service_accounts.is_empty()
    {
        problems.add(
            "spec.clients",
            "no client can authenticate: set clients.serviceAccounts, clients.apiKeys or clients.anonymous",
        );
    }
}

pub(super) fn clients(
    spec: &BedrockAccessSpec,
    observed: &Observed,
    namespace: &str,
    name: &str,
) -> Result<Clients, ValidateError> {
    let clients = &spec.clients;
    let service_accounts = if clients.service_accounts.is_empty() || !spec.gateway.enabled {
        // Without gateway pods there are no clients with tokens, so the cluster's keys are not needed.
        None
    } else {
        let keys = observed
            .cluster_keys
            .as_ref()
            .ok_or(ValidateError::ClusterKeys)?;
        Some(ServiceAccountClients {
            issuer: keys.issuer.clone(),
            audience: client_audience(namespace, name),
            jwks: keys.jwks.clone(),
            subjects: clients
                .service_accounts
                .iter()
                .map(|client| ServiceAccountSubject {
                    namespace: client
                        .namespace
                        .clone()
                        .unwrap_or_else(|| namespace.to_owned()),
                    name: client.name.clone(),
                    models: client.models.clone(),
                    limits: limits::of_client(client.limits.as_ref()),
                    budgets: budgets::of_client(client.limits.as_ref()),
                })
                .collect(),
        })
    };
    Ok(Clients {
        anonymous: clients.anonymous,
        api_keys_directory: clients
            .api_keys
            .as_ref()
            .map(|_| names::API_KEYS_DIRECTORY.to_owned()),
        api_key_limits: limits::of_client(
            clients
                .api_keys
                .as_ref()
                .and_then(|keys| keys.limits.as_ref()),
        ),
        api_key_budgets: budgets::of_client(
            clients
                .api_keys
                .as_ref()
                .and_then(|keys| keys.limits.as_ref()),
        ),
        service_accounts,
    })
}
