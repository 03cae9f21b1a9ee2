//! Validation of the models in a spec.

use std::collections::BTreeSet;

use api::{
    Arn, Region,
    config::{Guardrail, Model, Target},
    v1alpha1::{
        BedrockAccessSpec,
        models::{GuardrailSpec, ModelSpec, TargetSpec},
    },
};

use super::{Problems, identity::assume_role};

/// Services whose ARNs Bedrock Runtime accepts as a model id.
const MODEL_SERVICES: [&str; 2] = ["bedrock", "sagemaker"];

/// The models with their targets expanded.
pub(super) fn models(
    specs: &[ModelSpec],
    region: Option<&Region>,
    session_name: &str,
    problems: &mut Problems,
) -> Vec<Model> {
    let mut names = BTreeSet::new();
    specs
        .iter()
        .enumerate()
        .map(|(index, spec)| {
            let field = format!("spec.models[{index}]");
            if !names.insert(spec.name.as_str()) {
                problems.add(
                    format!("{field}.name"),
                    format!("{:?} is listed twice", spec.name),
                );
            }
            let targets = match (&spec.model_id, &spec.targets) {
                (Some(model_id), None) => {
                    let target = TargetSpec::new(model_id);
                    vec![checked(&target, &field, region, problems)]
                }
                (None, Some(targets)) if !targets.is_empty() => targets
                    .iter()
                    .enumerate()
                    .map(|(at, spec)| {
                        let field = format!("{field}.targets[{at}]");
                        let target = checked(spec, &field, region, problems);
                        let role = spec.assume_role.as_ref().and_then(|role| {
                            let field = format!("{field}.assumeRole");
                            assume_role(role, &field, session_name, problems)
                        });
                        Target {
                            assume_role: role,
                            ..target
                        }
                    })
                    .collect(),
                _ => {
                    problems.add(
                        &field,
                        "set exactly one of modelId (one target) and targets (several)",
                    );
                    Vec::new()
                }
            };
            if !targets.is_empty() && targets.iter().all(|target| target.weight == 0) {
                problems.add(
                    format!("{field}.targets"),
                    "every target has weight 0: set the weight of at least one target",
                );
            }
            Model {
                name: spec.name.clone(),
                targets,
            }
        })
        .collect()
}

/// Requires at least one model or pattern, and patterns that can match.
pub(super) fn guardrail(spec: &GuardrailSpec) -> Guardrail {
    Guardrail {
        identifier: spec.identifier.clone(),
        version: spec.version.clone(),
    }
}

pub(super) fn check_allow(spec: &BedrockAccessSpec, problems: &mut Problems) {
    if spec.models.is_empty() && spec.allow.is_empty() {
        problems.add("spec", "set at least one of models or allow");
    }
    for (index, pattern) in spec.allow.iter().enumerate() {
        if pattern.trim().is_empty() || pattern.contains(char::is_whitespace) {
            problems.add(
                format!("spec.allow[{index}]"),
                "must be a model id without white space; * matches any characters",
            );
        }
    }
}

/// A target. An ARN contains its region, which must not contradict `region`.
fn checked(
    spec: &TargetSpec,
    field: &str,
    default_region: Option<&Region>,
    problems: &mut Problems,
) -> Target {
    let mut region = spec
        .region
        .as_deref()
        .and_then(|region| problems.parse::<Region>(&format!("{field}.region"), region));
    if spec.model_id.starts_with("arn:")
        && let Some(arn) = problems.parse::<Arn>(&format!("{field}.modelId"), &spec.model_id)
    {
        if !MODEL_SERVICES.contains(&arn.service()) {
            problems.add(
                format!("{field}.modelId"),
                format!(
                    "{:?} is an ARN of {}, not of a Bedrock model or inference profile",
                    spec.model_id,
                    arn.service()
                ),
            );
        }
        let of_arn = arn.region().parse::<Region>().ok();
        match (&region, of_arn) {
            (Some(region), Some(of_arn)) if *region != of_arn => problems.add(
                format!("{field}.region"),
                format!("is {region}, but the ARN in modelId is in {of_arn}"),
            ),
            (None, Some(of_arn)) if Some(&of_arn) != default_region => region = Some(of_arn),
            _ => {}
        }
    }
    spec.in_region(region)
}
