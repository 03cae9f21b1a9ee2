//! Problems of a `BedrockAccess` with a fix for each: those of the checks of `kubectl bedrock doctor` that the operator can
//! answer without AWS. Pure.
//!
//! Conditions and gateways tell the state of credentials, roles, models and targets. The region and the prices are looked up
//! in the built-in tables.

use std::cmp::Reverse;

use api::{
    Region, catalogue,
    prices::Prices,
    v1alpha1::{
        BedrockAccess, condition,
        explain::{self, fix_of_condition},
        health::{self, Health},
    },
};
use kube::ResourceExt;
use serde::Serialize;

use super::gateways::GatewaysReport;
use crate::access::Guarded;

/// What to do when the price of a model is unknown.
const NO_PRICE: &str = "Set the price in spec.prices.models, or baseModel of the target. Until then, its tokens are counted \
    without a cost.";

/// A fix, and everything that it concerns.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    state: Health,
    about: Vec<String>,
    fix: String,
}

/// The problems of an object, the most severe first.
pub(super) fn of(object: &Guarded, gateways: &GatewaysReport, prices: &Prices) -> Vec<Finding> {
    let name = format!(
        "{} -n {}",
        object.name_any(),
        object.namespace().unwrap_or_default()
    );
    let mut findings = Vec::new();
    if let Ok(access) = &object.0 {
        conditions(access, &name, &mut findings);
        tables(access, prices, &mut findings);
    } else {
        let reason = condition::REASON_INVALID_SPEC;
        let about = format!("spec ({reason})");
        let fix = explain::fix(reason, &name);
        add(&mut findings, Health::Error, about, fix);
    }
    for (about, reason) in gateways.problems() {
        let fix = explain::fix(reason, &name);
        add(
            &mut findings,
            Health::Warning,
            format!("{about} ({reason})"),
            fix,
        );
    }
    findings.sort_by_key(|finding| Reverse(finding.state));
    findings
}

fn conditions(access: &BedrockAccess, name: &str, findings: &mut Vec<Finding>) {
    let status = access.status.as_ref();
    for one in status.iter().flat_map(|status| &status.conditions) {
        let mut state = health::of_condition(one);
        if state != Health::Ok {
            // In progress: the fix is to wait.
            if [condition::REASON_ROLLING_OUT, condition::REASON_PENDING]
                .contains(&one.reason.as_str())
            {
                state = Health::Warning;
            }
            let about = format!("{} ({})", one.type_, one.reason);
            add(findings, state, about, fix_of_condition(one, name));
        }
    }
}

fn tables(access: &BedrockAccess, prices: &Prices, findings: &mut Vec<Finding>) {
    let spec = &access.spec;
    if let Ok(region) = spec.region.parse::<Region>()
        && let Some((message, fix)) = catalogue::builtin().remark_about_region(&region)
    {
        add(
            findings,
            Health::Warning,
            format!("spec.region: {message}"),
            Some(fix),
        );
    }
    let short = spec
        .models
        .iter()
        .filter_map(|model| model.model_id.as_ref());
    let short = short.map(|id| (id, &spec.region, None));
    let targets = spec
        .models
        .iter()
        .flat_map(|model| model.targets.iter().flatten());
    let targets = targets.map(|target| {
        let region = target.region.as_ref().unwrap_or(&spec.region);
        (&target.model_id, region, target.base_model.as_ref())
    });
    for (id, region, base) in short.chain(targets) {
        let ids = [Some(id), base];
        let mut known = ids.into_iter().flatten();
        if !known.any(|id| prices.of_target(id, region).is_some()) {
            let about = format!("no price of {id} in {region}");
            add(findings, Health::Warning, about, Some(NO_PRICE.to_owned()));
        }
    }
}

/// Adds a finding, or what it is about to a finding with the same fix.
fn add(findings: &mut Vec<Finding>, state: Health, about: String, fix: Option<String>) {
    let Some(fix) = fix else {
        return;
    };
    if let Some(finding) = findings.iter_mut().find(|finding| finding.fix == fix) {
        finding.state = finding.state.max(state);
        if !finding.about.contains(&about) {
            finding.about.push(about);
        }
        return;
    }
    findings.push(Finding {
        state,
        about: vec![about],
        fix,
    });
}

#[cfg(test)]
mod tests {
    use api::prices;
    use kube::core::DeserializeGuard;
    use serde_json::{Value, json};

    use super::*;

    fn object(spec: &Value, conditions: &[(&str, &str, &str)]) -> Guarded {
        let conditions = conditions.iter().map(|(type_, status, reason)| {
            json!({
                "type": type_, "status": status, "reason": reason, "message": "text",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            })
        });
        let object = json!({
            "apiVersion": "bedrockaccess.dev/v1alpha1", "kind": "BedrockAccess",
            "metadata": {"name": "chat", "namespace": "team-a"}, "spec": spec,
            "status": {"conditions": conditions.collect::<Vec<_>>()},
        });
        serde_json::from_value::<DeserializeGuard<BedrockAccess>>(object).unwrap()
    }

    fn spec(region: &str, models: &Value) -> Value {
        json!({
            "region": region, "identity": {"podIdentity": {}}, "models": models, "clients": {"anonymous": true},
        })
    }

    fn found(object: &Guarded) -> Vec<Finding> {
        of(object, &GatewaysReport::default(), prices::builtin())
    }

    const NOVA: &str = "amazon.nova-lite-v1:0";

    #[test]
    fn healthy_object_has_no_findings() {
        let models = json!([{"name": "fast", "modelId": NOVA}]);
        let object = object(&spec("us-east-1", &models), &[("Ready", "True", "Ready")]);
        assert_eq!(found(&object), []);
    }

    #[test]
    fn problems_with_the_same_fix_are_one_finding_and_the_most_severe_is_first() {
        let models = json!([{"name": "fast", "modelId": NOVA}]);
        let conditions = [
            ("GatewayAvailable", "False", "RollingOut"),
            ("Ready", "False", "AccessDenied"),
            ("CredentialsReady", "False", "AccessDenied"),
        ];
        let findings = found(&object(&spec("us-east-1", &models), &conditions));
        let [first, second] = findings.as_slice() else {
            panic!("{findings:?}");
        };
        assert_eq!(
            first.about,
            ["Ready (AccessDenied)", "CredentialsReady (AccessDenied)"]
        );
        assert!(first.fix.contains("doctor chat -n team-a"), "{first:?}");
        assert_eq!(
            (first.state, second.state),
            (Health::Error, Health::Warning)
        );
    }

    #[test]
    fn region_without_bedrock_and_models_without_a_price_are_findings() {
        let models = json!([
            {"name": "fast", "modelId": NOVA},
            {"name": "own", "targets": [
                {"modelId": "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6"},
                {"modelId": "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/b1b2c3d4e5f6", "baseModel": NOVA},
            ]},
        ]);
        let findings = found(&object(&spec("us-east-1", &models), &[]));
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].about.len(), 1);
        assert!(findings[0].about[0].contains("a1b2c3d4e5f6"));
        let models = json!([{"name": "fast", "modelId": NOVA}]);
        let findings = found(&object(&spec("us-west-9", &models), &[]));
        assert!(
            findings[0].about[0].contains("does not offer Bedrock"),
            "{findings:?}"
        );
    }

    #[test]
    fn object_that_does_not_parse_has_a_fix() {
        let findings = found(&object(&json!({"region": 5}), &[]));
        assert_eq!(findings[0].about, ["spec (InvalidSpec)"]);
    }
}
