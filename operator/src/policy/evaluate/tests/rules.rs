//! Each rule of a policy, with values that it allows and denies.

use super::*;

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
