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

/// Evaluates the `BedrockAccess` of the fixtures, with additional fields in its spec, by one policy for all namespaces.
#[track_caller]
fn check(row: &str, more: &str, rules: &str, expected: Option<&str>) {
    let rules = format!("{{namespaces: {{names: ['*']}}, {rules}}}");
    let evaluation = evaluated(&fixtures::access(more), &[policy("all", &rules)], false);
    match (evaluation, expected) {
        (Evaluation::Allowed { policy, .. }, None) => assert_eq!(policy, "all", "{row}"),
        (Evaluation::Denied(denial), Some(words)) => {
            let text = denial.to_string();
            assert!(
                text.contains(words),
                "{row}: {words:?} is missing in: {text}"
            );
            assert!(text.contains("Policy all: "), "{row}: {text}");
        }
        (evaluation, _) => panic!("{row}: {evaluation:?}"),
    }
}

#[test]
fn rules_allow_listed_values_and_denials_name_them() {
    let targets = |target: &str| {
        format!("models: [{{name: m, targets: [{{modelId: amazon.nova-lite-v1:0}}, {target}]}}]")
    };
    let rows: Vec<(&str, String, &str, Option<&str>)> = vec![
        ("no rule", String::new(), "", None),
        (
            "the role",
            String::new(),
            "roleArns: ['arn:aws:iam::123456789012:role/Bedrock*']",
            None,
        ),
        (
            "another role",
            String::new(),
            "roleArns: ['arn:aws:iam::123456789012:role/team-b-*']",
            Some(
                "spec.identity.irsa.roleArn: arn:aws:iam::123456789012:role/BedrockRole is not allowed (allowed by roleArns: arn:aws:iam::123456789012:role/team-b-*)",
            ),
        ),
        (
            "the role of another account",
            String::new(),
            "roleArns: ['arn:aws:iam::999999999999:role/BedrockRole']",
            Some("spec.identity.irsa.roleArn"),
        ),
        (
            "an assumed role, too",
            format!(
                "identity: {{irsa: {{roleArn: '{ROLE}'}}, assumeRoles: [{{roleArn: 'arn:aws:iam::999999999999:role/Far'}}]}}"
            ),
            "roleArns: ['arn:aws:iam::123456789012:role/*']",
            Some("spec.identity.assumeRoles[0].roleArn: arn:aws:iam::999999999999:role/Far"),
        ),
        (
            "the role of a target, too",
            format!(
                "models: [{{name: fast, targets: [{{modelId: a.b}}, {{modelId: a.b, assumeRole: {{roleArn: '{FAR}'}}}}]}}]"
            ),
            "roleArns: ['arn:aws:iam::123456789012:role/*']",
            Some("spec.models[0].targets[1].assumeRole.roleArn: arn:aws:iam::999999999999:role/Far"),
        ),
        (
            "the role of a target, allowed",
            format!(
                "models: [{{name: fast, targets: [{{modelId: a.b, assumeRole: {{roleArn: '{FAR}'}}}}]}}]"
            ),
            "roleArns: ['arn:aws:iam::123456789012:role/*', 'arn:aws:iam::999999999999:role/*']",
            None,
        ),
        (
            "an identity whose role is unknown",
            "identity: {podIdentity: {}}".to_owned(),
            "roleArns: ['*']",
            Some("spec.identity: podIdentity is not allowed (allowed by roleArns, which"),
        ),
        (
            "an identity whose role is unknown, listed",
            "identity: {podIdentity: {}}".to_owned(),
            "roleArns: ['*'], identities: [podIdentity]",
            None,
        ),
        (
            "a kind of identity",
            "identity: {secret: {name: keys}}".to_owned(),
            "identities: [irsa, podIdentity]",
            Some("spec.identity: secret is not allowed (allowed by identities: irsa, podIdentity)"),
        ),
        (
            "ambient named",
            "identity: {ambient: {}}".to_owned(),
            "identities: [ambient]",
            None,
        ),
        ("the region", String::new(), "regions: [us-*]", None),
        (
            "another region",
            String::new(),
            "regions: [eu-*]",
            Some("spec.region: us-east-1 is not allowed (allowed by regions: eu-*)"),
        ),
        (
            "region of a target",
            targets("{modelId: amazon.nova-pro-v1:0, region: eu-west-1}"),
            "regions: [us-east-1]",
            Some("spec.models[0].targets[1].region: eu-west-1"),
        ),
        (
            "region of an ARN",
            targets(
                "{modelId: 'arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-pro-v1:0'}",
            ),
            "regions: [us-east-1]",
            Some("spec.models[0].targets[1].modelId: eu-west-1"),
        ),
        (
            "pattern that matches ARNs of any region",
            "allow: ['*']".to_owned(),
            "regions: [us-east-1]",
            Some("spec.allow[0]: * is not allowed (allowed by regions: us-east-1)"),
        ),
        (
            "region of a guardrail",
            "guardrail: {identifier: 'arn:aws:bedrock:eu-west-1:123456789012:guardrail/g', version: DRAFT}".to_owned(),
            "regions: [us-east-1]",
            Some("spec.guardrail.identifier: eu-west-1"),
        ),
        ("the model", String::new(), "models: ['amazon.*', 'us.amazon.*']", None),
        (
            "another model",
            String::new(),
            "models: ['amazon.*', 'meta.*']",
            Some(
                "spec.models[0].modelId: us.amazon.nova-2-lite-v1:0 is not allowed (allowed by models: amazon.*, meta.*)",
            ),
        ),
        (
            "an inference profile is not its model",
            "models: [{name: m, modelId: us.anthropic.claude-3-haiku-20240307-v1:0}]".to_owned(),
            "models: ['anthropic.*']",
            Some("us.anthropic"),
        ),
        (
            "one of several targets",
            targets("{modelId: meta.llama3-8b-instruct-v1:0}"),
            "models: ['amazon.*']",
            Some("spec.models[0].targets[1].modelId: meta.llama3-8b-instruct-v1:0"),
        ),
        (
            "a narrower pattern",
            "allow: ['anthropic.claude-*']".to_owned(),
            "models: ['anthropic.*', 'us.amazon.*']",
            None,
        ),
        (
            "a wider pattern",
            "allow: ['*']".to_owned(),
            "models: ['anthropic.*', 'us.amazon.*']",
            Some("spec.allow[0]: * is not allowed"),
        ),
        (
            "an image",
            "gateway: {image: 'registry.example/gateway:1'}".to_owned(),
            "images: ['registry.example/*']",
            None,
        ),
        (
            "another image",
            "gateway: {image: 'registry.example.attacker.example/gateway:1'}".to_owned(),
            "images: ['registry.example/*']",
            Some(
                "spec.gateway.image: registry.example.attacker.example/gateway:1 is not allowed (allowed by images: registry.example/*)",
            ),
        ),
        (
            "another endpoint",
            "endpoints: {sts: 'https://attacker.example'}".to_owned(),
            "endpoints: ['https://bedrock.internal:8443*']",
            Some("spec.endpoints.sts: https://attacker.example is not allowed (allowed by endpoints"),
        ),
        (
            "an endpoint of AWS",
            "endpoints: {sts: 'https://sts.us-east-1.amazonaws.com'}".to_owned(),
            "endpoints: ['https://bedrock.internal/*']",
            None,
        ),
        (
            "a store",
            "limits: {store: {redis: {url: 'redis://valkey.team-a.svc:6379', secretName: valkey}}}".to_owned(),
            "endpoints: ['redis://valkey.*.svc:6379'], secrets: [valkey]",
            None,
        ),
        (
            "another Secret",
            "identity: {secret: {name: payments}}".to_owned(),
            "secrets: [bedrock-*]",
            Some("spec.identity.secret.name: payments is not allowed (allowed by secrets: bedrock-*)"),
        ),
        (
            "the default audience",
            String::new(),
            "audiences: [other], serviceAccounts: [x], tolerations: [x], topologyKeys: [x], metadata: [x], priorityClassNames: [x]",
            None,
        ),
        (
            "another audience",
            format!("identity: {{irsa: {{roleArn: '{ROLE}', audience: api}}}}"),
            "audiences: [other]",
            Some("spec.identity.irsa.audience: api is not allowed (allowed by audiences: other)"),
        ),
        (
            "another ServiceAccount",
            "serviceAccount: {create: false, name: admin}".to_owned(),
            "serviceAccounts: [bedrock-*]",
            Some("spec.serviceAccount.name: admin is not allowed"),
        ),
        (
            "settings of pods",
            "gateway: {tolerations: [{key: dedicated, value: bedrock, effect: NoSchedule}], priorityClassName: low, podLabels: {team: a}}".to_owned(),
            "tolerations: ['dedicated=bedrock:*'], priorityClassNames: [low], metadata: ['team=*']",
            None,
        ),
        (
            "other settings of pods",
            "gateway: {tolerations: [{operator: Exists}], priorityClassName: system-node-critical, podAnnotations: {team: a}}".to_owned(),
            "tolerations: ['dedicated*'], priorityClassNames: [low], metadata: ['team=b']",
            Some(
                "spec.gateway.priorityClassName: system-node-critical is not allowed (allowed by priorityClassNames: low); spec.gateway.tolerations: * is not allowed (allowed by tolerations: dedicated*); spec.gateway.podAnnotations: team=a is not allowed (allowed by metadata: team=b)",
            ),
        ),
        (
            "authenticated clients",
            String::new(),
            "requireClientAuthentication: true",
            None,
        ),
        (
            "anonymous clients",
            "clients: {anonymous: true}".to_owned(),
            "requireClientAuthentication: true",
            Some("spec.clients.anonymous: true is not allowed"),
        ),
        (
            "a limit below its ceiling, another equal to it",
            "limits: {requestsPerMinute: 10, tokensPerDay: 1000}".to_owned(),
            "limits: {requestsPerMinute: 60, tokensPerDay: 1000}",
            None,
        ),
        (
            "a limit without a ceiling",
            "limits: {requestsPerMinute: 10, concurrentRequests: 99}".to_owned(),
            "limits: {requestsPerMinute: 60}",
            None,
        ),
        (
            "a limit over its ceiling",
            "limits: {requestsPerMinute: 61}".to_owned(),
            "limits: {requestsPerMinute: 60}",
            Some(
                "spec.limits.requestsPerMinute: 61 is not allowed (allowed by limits: at most 60)",
            ),
        ),
        (
            "no limits, but ceilings",
            String::new(),
            "limits: {tokensPerMinute: 5000, concurrentRequests: 4}",
            Some(
                "spec.limits.tokensPerMinute: not set is not allowed (allowed by limits: at most 5000); spec.limits.concurrentRequests: not set is not allowed (allowed by limits: at most 4)",
            ),
        ),
        (
            "a client's limit does not count as the limit of the object",
            "clients: {serviceAccounts: [{name: app, limits: {tokensPerDay: 5}}]}".to_owned(),
            "limits: {tokensPerDay: 10}",
            Some("spec.limits.tokensPerDay: not set is not allowed"),
        ),
        (
            "a budget below its ceiling, in another time zone",
            "limits: {budgets: [{period: Month, usd: 900, timeZone: Asia/Tokyo}, {period: Day, usd: 5000}]}".to_owned(),
            "limits: {budgets: [{period: Month, usd: 1000}]}",
            None,
        ),
        (
            "a budget over its ceiling",
            "limits: {budgets: [{period: Month, usd: 1001}]}".to_owned(),
            "limits: {budgets: [{period: Month, usd: 1000}]}",
            Some(
                "spec.limits.budgets: 1001 is not allowed (allowed by limits.budgets: a budget of at most 1000 usd for each month)",
            ),
        ),
        (
            "a budget in money with prices of the author",
            "limits: {budgets: [{period: Month, usd: 10}]}\nprices: {discountPercent: '99'}".to_owned(),
            "limits: {budgets: [{period: Month, usd: 1000}]}",
            Some(
                "spec.prices: set is not allowed (allowed by limits.budgets: the prices of the platform",
            ),
        ),
        (
            "a budget in tokens with prices of the author",
            "limits: {budgets: [{period: Month, tokens: 10}]}\nprices: {discountPercent: '99'}".to_owned(),
            "limits: {budgets: [{period: Month, tokens: 1000}]}",
            None,
        ),
        (
            "a budget of another unit or period, and one of a client",
            "limits: {budgets: [{period: Month, tokens: 1}, {period: Day, usd: 1}]}\nclients: {serviceAccounts: [{name: app, limits: {budgets: [{period: Month, usd: 1}]}}]}".to_owned(),
            "limits: {budgets: [{period: Month, usd: 1000}]}",
            Some("spec.limits.budgets: not set is not allowed"),
        ),
        (
            "anonymous clients without gateway pods",
            "clients: {anonymous: true}\ngateway: {enabled: false}\nsidecar: {serviceAccounts: [{name: app}]}".to_owned(),
            "requireClientAuthentication: true",
            None,
        ),
    ];
    for (row, more, rules, expected) in &rows {
        check(row, more, rules, *expected);
    }
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
