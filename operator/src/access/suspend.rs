//! Policies for a suspended `BedrockAccess`, whose objects can differ from its spec.
//!
//! Policies must allow the spec and the running configuration. Otherwise a user could keep a denied configuration
//! running: suspend the object, and change its spec to one that a policy allows.

use api::{
    GatewayConfig,
    config::{AssumeRole, Budget, Model, Rates, Target},
    names,
    v1alpha1::{
        BedrockAccess, BedrockAccessSpec, EndpointsSpec,
        clients::ClientsSpec,
        gateway::GatewaySpec,
        gateway_name,
        identity::{
            AmbientSpec, AssumeRoleSpec, IdentitySecretSpec, IdentitySpec, IrsaSpec,
            PodIdentitySpec,
        },
        limits::{BudgetFallbackSpec, BudgetSpec, LimitsSpec, RatesSpec},
        models::{GuardrailSpec, ModelSpec, TargetSpec},
    },
};
use kube::{ResourceExt, api::DynamicObject};
use serde_json::Value;

use super::{
    Context, Error,
    build::identity::{SECRET_DIRECTORY, SECRET_VOLUME},
};
use crate::{owned::OwnedKind, policy::evaluate::Evaluation};

/// The evaluation of the running configuration, if the policies deny it.
///
/// # Errors
/// The policies could not be evaluated.
pub(super) fn denial(
    access: &BedrockAccess,
    context: &Context,
) -> Result<Option<Evaluation>, Error> {
    let namespace = access.metadata.namespace.as_deref().unwrap_or_default();
    let name = gateway_name(&access.name_any());
    let object = |kind| context.stores.owned_object(kind, namespace, &name);
    let Some(config) = object(OwnedKind::ConfigMap) else {
        return Ok(None);
    };
    let deployment = object(OwnedKind::Deployment);
    let Some(mut running) = running(&access.spec, &config, deployment.as_deref()) else {
        return Ok(None);
    };
    // The default of the platform needs no permission.
    let class = &mut running.gateway.priority_class_name;
    if access.spec.gateway.priority_class_name.is_none()
        && *class == context.settings.gateway_defaults.priority_class_name
    {
        *class = None;
    }
    let evaluation = context.policies.evaluate(namespace, &running)?;
    Ok(Some(evaluation).filter(|evaluation| matches!(evaluation, Evaluation::Denied(_))))
}

/// The part of a spec that policies evaluate, from the objects that exist. `None` if nothing is served.
fn running(
    spec: &BedrockAccessSpec,
    config: &DynamicObject,
    deployment: Option<&DynamicObject>,
) -> Option<BedrockAccessSpec> {
    let data = config.data.get("data")?;
    let document = [names::CONFIG_KEY, names::SIDECAR_CONFIG_KEY]
        .into_iter()
        .filter_map(|key| data.get(key)?.as_str())
        .find_map(|text| GatewayConfig::from_yaml(text).ok())
        .filter(|document| document.revoked.is_none())?;
    let endpoints = &document.endpoints;
    let pod = deployment.and_then(|found| found.data.pointer("/spec/template/spec"));
    let text = |path: &str| {
        let value = pod.and_then(|pod| pod.pointer(path))?;
        value.as_str().map(ToOwned::to_owned)
    };
    let region = document.region.as_ref().map(ToString::to_string);
    let guardrail = document.guardrail.as_ref();
    Some(BedrockAccessSpec {
        region: region.unwrap_or_else(|| spec.region.clone()),
        endpoints: Some(EndpointsSpec {
            bedrock_runtime: endpoints.bedrock_runtime.clone(),
            bedrock_mantle: endpoints.bedrock_mantle.clone(),
            bedrock: endpoints.bedrock.clone(),
            sts: endpoints.sts.clone(),
        }),
        identity: IdentitySpec {
            assume_roles: document.assume_roles.iter().map(assume_role).collect(),
            ..deployment.map_or_else(|| spec.identity.clone(), identity)
        },
        models: document.models.iter().map(model).collect(),
        allow: document.allow.clone(),
        guardrail: guardrail.map(|guardrail| GuardrailSpec {
            identifier: guardrail.identifier.clone(),
            version: guardrail.version.clone(),
        }),
        clients: ClientsSpec {
            anonymous: document.clients.anonymous,
            ..spec.clients.clone()
        },
        limits: Some(LimitsSpec {
            rates: RatesSpec {
                budgets: document.limits.budgets.iter().map(budget).collect(),
                ..rates(document.limits.rates())
            },
            ..LimitsSpec::default()
        }),
        gateway: GatewaySpec {
            enabled: deployment.is_some(),
            // Without an image in the spec, the pods run the operator's default, possibly that of an earlier operator.
            image: spec
                .gateway
                .image
                .as_ref()
                .and_then(|_| text("/containers/0/image")),
            priority_class_name: text("/priorityClassName"),
            ..spec.gateway.clone()
        },
        ..spec.clone()
    })
}

/// The identity that the gateway pods have, by the environment of their container.
fn identity(deployment: &DynamicObject) -> IdentitySpec {
    let named = |list: &str, name: &str| {
        let list = deployment.data.pointer(list)?.as_array()?;
        list.iter()
            .find(|entry| entry.get("name").is_some_and(|found| found == name))
    };
    let variable = |name: &str| named("/spec/template/spec/containers/0/env", name);
    let volume = |name: &str| named("/spec/template/spec/volumes", name);
    let mut identity = IdentitySpec::default();
    if let Some(role) = variable("AWS_ROLE_ARN") {
        let role = role.get("value").and_then(Value::as_str);
        identity.irsa = Some(IrsaSpec {
            role_arn: role.unwrap_or_default().to_owned(),
            session_name: None,
            token_expiration_seconds: None,
            audience: volume(names::TOKEN_VOLUME)
                .and_then(|volume| {
                    volume.pointer("/projected/sources/0/serviceAccountToken/audience")
                })
                .and_then(Value::as_str)
                .map(ToOwned::to_owned),
        });
    } else if variable("AWS_CONTAINER_CREDENTIALS_FULL_URI").is_some() {
        identity.pod_identity = Some(PodIdentitySpec {});
    } else if variable(SECRET_DIRECTORY).is_some() {
        identity.secret = Some(IdentitySecretSpec {
            name: volume(SECRET_VOLUME)
                .and_then(|volume| volume.pointer("/secret/secretName")?.as_str())
                .unwrap_or_default()
                .to_owned(),
        });
    } else {
        identity.ambient = Some(AmbientSpec {});
    }
    identity
}

fn model(model: &Model) -> ModelSpec {
    ModelSpec {
        name: model.name.clone(),
        model_id: None,
        targets: Some(model.targets.iter().map(target).collect()),
    }
}

fn target(target: &Target) -> TargetSpec {
    TargetSpec {
        model_id: target.model_id.clone(),
        region: target.region.as_ref().map(ToString::to_string),
        weight: target.weight,
        priority: target.priority,
        base_model: target.base_model.clone(),
        api: target.api,
        assume_role: target.assume_role.as_ref().map(assume_role),
        project: target.project.clone(),
    }
}

fn assume_role(role: &AssumeRole) -> AssumeRoleSpec {
    AssumeRoleSpec {
        role_arn: role.role_arn.to_string(),
        session_name: role.session_name.clone(),
        external_id: role.external_id.clone(),
        duration_seconds: role.duration_seconds,
    }
}

fn rates(rates: Rates) -> RatesSpec {
    RatesSpec {
        requests_per_minute: rates.requests_per_minute,
        tokens_per_minute: rates.tokens_per_minute,
        concurrent_requests: rates.concurrent_requests,
        tokens_per_day: rates.tokens_per_day,
        budgets: Vec::new(),
    }
}

fn budget(budget: &Budget) -> BudgetSpec {
    BudgetSpec {
        period: budget.period,
        time_zone: Some(budget.time_zone.as_str().to_owned()),
        usd: budget.usd,
        tokens: budget.tokens,
        warn_at: budget.warn_at,
        fallback: budget.fallback.as_ref().map(|fallback| BudgetFallbackSpec {
            at: fallback.at,
            model: fallback.model.clone(),
        }),
        on_store_failure: budget.on_store_failure,
    }
}
