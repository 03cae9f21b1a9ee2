use super::*;

const TYPO: &str = "models: [{name: fast, modelId: 'anthropic.claude-3-hiaku-20240307-v1:0'}]";
const RETIRED: &str = "models: [{name: fast, modelId: 'amazon.titan-text-express-v1'}, {name: good, modelId: 'us.amazon.nova-2-lite-v1:0'}]";
const ELSEWHERE: &str =
    "{region: eu-central-1, models: [{name: fast, modelId: 'us.amazon.nova-2-lite-v1:0'}]}";
const LEGACY: &str = "{region: eu-west-3, models: [{name: fast, modelId: 'anthropic.claude-3-haiku-20240307-v1:0'}]}";

fn status_of(spec: &'static str) -> BedrockAccessStatus {
    Case {
        spec,
        ..Case::default()
    }
    .status()
}

#[test]
fn models_are_ready_if_the_table_knows_them() {
    check(&status_of(""), &[("ModelsReady", "True", "Ready")]);
}

#[test]
fn problem_of_a_model_has_its_reason_and_does_not_affect_readiness() {
    for (spec, state, reason, word) in [
        (TYPO, "False", "UnknownModel", "check the spelling"),
        (
            RETIRED,
            "False",
            "RetiredModel",
            "spec.models[0].modelId: amazon.titan",
        ),
        (
            ELSEWHERE,
            "False",
            "NotInRegion",
            "use eu.amazon.nova-2-lite-v1:0",
        ),
        (LEGACY, "True", "LegacyModel", "end of life"),
    ] {
        let status = status_of(spec);
        check(
            &status,
            &[
                ("ModelsReady", state, reason),
                ("Ready", "True", "Ready"),
                ("Stalled", "False", "UpToDate"),
                ("Reconciling", "False", "UpToDate"),
            ],
        );
        let message = &find(&status, "ModelsReady").unwrap().message;
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn worst_problem_determines_the_reason_and_comes_first() {
    let status = status_of(
        "models: [{name: a, modelId: unknown.model}, {name: b, modelId: 'amazon.titan-text-lite-v1'}]",
    );
    check(&status, &[("ModelsReady", "False", "RetiredModel")]);
    let message = &find(&status, "ModelsReady").unwrap().message;
    assert!(message.starts_with("spec.models[1].modelId"), "{message}");
    assert!(message.contains("; spec.models[0].modelId"), "{message}");
}

#[test]
fn condition_is_not_set_for_what_the_table_cannot_judge() {
    let status = status_of("{models: [], allow: ['anthropic.*']}");
    assert_eq!(find(&status, "ModelsReady"), None);
}

#[test]
fn condition_stays_while_a_reconcile_fails() {
    let status = Case {
        spec: TYPO,
        error: Some(Error::Validate(ValidateError::ClusterKeys)),
        ..Case::default()
    }
    .status();
    check(&status, &[("ModelsReady", "False", "UnknownModel")]);
}
