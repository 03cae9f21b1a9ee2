mod rules;

use api::v1alpha1::BedrockAccess;
use serde_json::Value as Json;

use super::*;
use crate::fixtures;

const ROLE: &str = "arn:aws:iam::123456789012:role/BedrockRole";
const FAR: &str = "arn:aws:iam::999999999999:role/Far";

fn policy(name: &str, spec: &str) -> Policy {
    let spec: Json = serde_yaml::from_str(spec).unwrap();
    Policy {
        name: name.to_owned(),
        spec: Ok(serde_json::from_value(spec).unwrap()),
    }
}

fn namespace_info() -> NamespaceInfo {
    NamespaceInfo {
        name: "team-a".to_owned(),
        labels: BTreeMap::from([("tier".to_owned(), "gold".to_owned())]),
    }
}

fn evaluated(access: &BedrockAccess, policies: &[Policy], required: bool) -> Evaluation {
    evaluate(&access.spec, &namespace_info(), policies, required)
}

#[test]
fn without_policies_everything_is_allowed_unless_a_policy_is_required() {
    let access = fixtures::access("");
    let free = Evaluation::Unrestricted {
        unruled: Vec::new(),
    };
    assert_eq!(evaluated(&access, &[], false), free);
    let Evaluation::Denied(denial) = evaluated(&access, &[], true) else {
        panic!("allowed");
    };
    assert!(denial.to_string().contains("--require-policy"), "{denial}");
}

#[test]
fn policies_of_other_namespaces_deny_and_their_names_stay_hidden() {
    for namespaces in [
        "{names: [team-b]}",
        "{names: ['team-b*']}",
        "{selector: {}}",
        "{selector: {matchLabels: {tier: silver}}}",
        "{selector: {matchExpressions: [{key: tier, operator: Nonsense}]}}",
        "{selector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, values: [x]}]}}",
    ] {
        let rules = format!("{{namespaces: {namespaces}}}");
        let evaluation = evaluated(
            &fixtures::access(""),
            &[policy("secret-project", &rules)],
            false,
        );
        let Evaluation::Denied(denial) = evaluation else {
            panic!("{namespaces}: {evaluation:?}");
        };
        let text = denial.to_string();
        assert!(
            text.contains("no BedrockAccessPolicy applies to namespace team-a"),
            "{text}"
        );
        assert!(!text.contains("secret-project"), "{text}");
    }
}

#[test]
fn namespaces_are_matched_by_name_or_by_label() {
    for namespaces in [
        "{names: [team-a]}",
        "{names: [other, 'team-*']}",
        "{names: ['*']}",
        "{selector: {matchLabels: {tier: gold}}}",
        "{names: [other], selector: {matchExpressions: [{key: tier, operator: In, values: [gold, silver]}]}}",
    ] {
        let rules = format!("{{namespaces: {namespaces}}}");
        let evaluation = evaluated(&fixtures::access(""), &[policy("p", &rules)], false);
        assert!(
            matches!(evaluation, Evaluation::Allowed { .. }),
            "{namespaces}: {evaluation:?}"
        );
    }
}

#[test]
fn one_policy_must_allow_the_whole_object() {
    let role = policy(
        "a-role",
        "{namespaces: {names: [team-a]}, roleArns: ['arn:aws:iam::123456789012:role/BedrockRole'], models: ['amazon.*']}",
    );
    let model = policy(
        "b-model",
        "{namespaces: {names: [team-a]}, roleArns: ['arn:aws:iam::123456789012:role/Other'], models: ['anthropic.*']}",
    );
    let both = policy("c-both", "{namespaces: {names: [team-a]}}");
    let access = fixtures::access("");
    let Evaluation::Denied(denial) = evaluated(&access, &[role.clone(), model.clone()], false)
    else {
        panic!("two partial policies were combined");
    };
    let text = denial.to_string();
    for words in [
        "Policy a-role: spec.models[0].modelId",
        "Policy b-model: spec.identity.irsa.roleArn",
    ] {
        assert!(text.contains(words), "{text}");
    }
    assert_eq!(
        evaluated(&access, &[role, model, both], false),
        Evaluation::Allowed {
            policy: "c-both".to_owned(),
            unruled: Vec::new(),
        }
    );
}

#[test]
fn policy_with_the_most_rules_for_the_object_leaves_the_fewest_values_to_its_author() {
    let access =
        fixtures::access("gateway: {image: 'registry.example/gateway:1', priorityClassName: low}");
    let everywhere = |rules: &str| format!("{{namespaces: {{names: ['*']}}{rules}}}");
    let policies = [
        policy("a-none", &everywhere("")),
        policy("b-image", &everywhere(", images: ['registry.example/*']")),
        policy(
            "c-other",
            &everywhere(", images: ['other/*'], priorityClassNames: [low]"),
        ),
    ];
    let evaluation = evaluated(&access, &policies, false);
    let Evaluation::Allowed { policy, unruled } = evaluation else {
        panic!("{evaluation:?}");
    };
    let fields: Vec<&str> = unruled.iter().map(|value| value.field.as_str()).collect();
    assert_eq!(policy, "b-image");
    assert_eq!(fields, ["spec.gateway.priorityClassName"]);
    let Evaluation::Unrestricted { unruled } = evaluated(&access, &[], false) else {
        panic!("a policy");
    };
    assert_eq!(unruled.len(), 2, "{unruled:?}");
}

#[test]
fn invalid_policy_allows_nothing_but_counts_as_a_policy() {
    let broken = Policy {
        name: "broken".to_owned(),
        spec: Err("unknown variant `oauth`".to_owned()),
    };
    let Evaluation::Denied(denial) = evaluated(&fixtures::access(""), &[broken], false) else {
        panic!("allowed");
    };
    let text = denial.to_string();
    assert!(
        text.contains("Policy broken: invalid policy: unknown variant"),
        "{text}"
    );
}

#[test]
fn denial_message_is_limited_in_length() {
    let models: Vec<String> = (0..64)
        .map(|n| format!("{{name: m{n}, modelId: meta.model-{n}}}"))
        .collect();
    let access = fixtures::access(&format!("models: [{}]", models.join(", ")));
    let policies: Vec<Policy> = (0..50)
        .map(|n| {
            policy(
                &format!("p{n}"),
                "{namespaces: {names: ['*']}, models: [a, b, c, d, e, f, g]}",
            )
        })
        .collect();
    let Evaluation::Denied(denial) = evaluated(&access, &policies, false) else {
        panic!("allowed");
    };
    let text = denial.to_string();
    assert!(
        text.contains("and 59 more") && text.contains("and 45 more") && text.contains("and 2 more"),
        "{text}"
    );
    assert!(text.len() < 8000, "{} bytes", text.len());
}
