#![expect(clippy::needless_pass_by_value, reason = "rows are written in place")]

use serde_json::json;

use super::*;

#[track_caller]
fn check(
    name: &str,
    policy: serde_json::Value,
    action: &str,
    resource: &str,
    context: &Context,
    expected: Decision,
) {
    let policy = Policy::from_value(&policy).expect(name);
    let request = Request {
        principal: None,
        action,
        resource,
        context,
    };
    assert_eq!(evaluate(&[policy], request), expected, "{name}");
}

fn allow(condition: serde_json::Value) -> serde_json::Value {
    json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "bedrock:Invoke*", "Resource": "arn:aws:bedrock:*::foundation-model/anthropic.*",
        "Condition": condition }]})
}

#[track_caller]
fn check_conditions<const N: usize>(context: &Context, rows: [(&str, serde_json::Value, bool); N]) {
    for (name, condition, allowed) in rows {
        let expected = if allowed {
            Decision::Allowed
        } else {
            Decision::ImplicitDeny
        };
        check(
            name,
            allow(condition),
            "bedrock:InvokeModel",
            MODEL,
            context,
            expected,
        );
    }
}

const MODEL: &str =
    "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0";

#[test]
fn matches_wildcards_in_actions_and_resources_like_iam() {
    let context = Context::new();
    check(
        "match",
        allow(json!({})),
        "bedrock:InvokeModel",
        MODEL,
        &context,
        Decision::Allowed,
    );
    check(
        "action is compared without case",
        allow(json!({})),
        "BEDROCK:invokemodel",
        MODEL,
        &context,
        Decision::Allowed,
    );
    check(
        "other action",
        allow(json!({})),
        "bedrock:CountTokens",
        MODEL,
        &context,
        Decision::ImplicitDeny,
    );
    check(
        "other model",
        allow(json!({})),
        "bedrock:InvokeModel",
        "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0",
        &context,
        Decision::ImplicitDeny,
    );
    assert!(wildcard_matches("a?c*", "abcdef"));
    assert!(wildcard_matches("*", ""));
    assert!(wildcard_matches("*b*b", "aabbab"));
    assert!(!wildcard_matches("a?c", "ac"));
}

#[test]
fn evaluates_condition_operators() {
    let east = Context::new().with("aws:RequestedRegion", "us-east-1");
    let rows = [
        (
            "equal",
            json!({"StringEquals": {"aws:requestedregion": "us-east-1"}}),
            true,
        ),
        (
            "one of many",
            json!({"StringEquals": {"aws:RequestedRegion": ["eu-west-1", "us-east-1"]}}),
            true,
        ),
        (
            "not equal",
            json!({"StringNotEquals": {"aws:RequestedRegion": "us-east-1"}}),
            false,
        ),
        (
            "negated and absent",
            json!({"StringNotEquals": {"aws:Other": "x"}}),
            true,
        ),
        ("absent", json!({"StringEquals": {"aws:Other": "x"}}), false),
        (
            "absent if exists",
            json!({"StringEqualsIfExists": {"aws:Other": "x"}}),
            true,
        ),
        (
            "like",
            json!({"StringLike": {"aws:RequestedRegion": "us-*"}}),
            true,
        ),
        (
            "not like",
            json!({"StringNotLike": {"aws:RequestedRegion": "us-*"}}),
            false,
        ),
        (
            "null of a present key",
            json!({"Null": {"aws:RequestedRegion": "false"}}),
            true,
        ),
        (
            "null of an absent key",
            json!({"Null": {"bedrock:GuardrailIdentifier": "true"}}),
            true,
        ),
        (
            "any of an absent key",
            json!({"ForAnyValue:StringEquals": {"aws:TagKeys": "a"}}),
            false,
        ),
        (
            "all of an absent key",
            json!({"ForAllValues:StringEquals": {"aws:TagKeys": "a"}}),
            true,
        ),
        (
            "two operators are joined by and",
            json!({"StringLike": {"aws:RequestedRegion": "us-*"}, "Null": {"aws:RequestedRegion": true}}),
            false,
        ),
    ];
    check_conditions(&east, rows);
}

#[test]
fn compares_values_by_type() {
    let context = Context::new()
        .with("aws:SecureTransport", "true")
        .with("aws:SourceIp", "10.1.2.3")
        .with("s3:max-keys", "10")
        .with("aws:CurrentTime", "2026-01-01T00:00:00Z")
        .with(
            "bedrock:InferenceProfileArn",
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.x",
        )
        .with("aws:username", "anna");
    let rows = [
        (
            "bool",
            json!({"Bool": {"aws:SecureTransport": "true"}}),
            true,
        ),
        (
            "bool false",
            json!({"Bool": {"aws:SecureTransport": false}}),
            false,
        ),
        (
            "address in range",
            json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}),
            true,
        ),
        (
            "address out of range",
            json!({"IpAddress": {"aws:SourceIp": "192.168.0.0/16"}}),
            false,
        ),
        (
            "number",
            json!({"NumericLessThanEquals": {"s3:max-keys": 10}}),
            true,
        ),
        (
            "number too large",
            json!({"NumericLessThan": {"s3:max-keys": "10"}}),
            false,
        ),
        (
            "date",
            json!({"DateGreaterThan": {"aws:CurrentTime": "2025-01-01T00:00:00Z"}}),
            true,
        ),
        (
            "arn",
            json!({"ArnLike": {"bedrock:InferenceProfileArn": "arn:aws:bedrock:*:123456789012:inference-profile/us.*"}}),
            true,
        ),
        (
            "a star in an ARN does not cross a colon",
            json!({"ArnLike": {"bedrock:InferenceProfileArn": "arn:aws:bedrock:*:inference-profile/us.x"}}),
            false,
        ),
        (
            "policy variable",
            json!({"StringEquals": {"aws:username": "${aws:username}"}}),
            true,
        ),
    ];
    check_conditions(&context, rows);
}

#[test]
fn a_deny_overrides_an_allow() {
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "NotAction": "bedrock:InvokeModel", "Resource": "*"},
        {"Effect": "Deny", "Action": "bedrock:InvokeModel", "NotResource": MODEL}]});
    let context = Context::new();
    check(
        "allowed",
        policy.clone(),
        "bedrock:InvokeModel",
        MODEL,
        &context,
        Decision::Allowed,
    );
    check(
        "not action",
        policy.clone(),
        "bedrock:ApplyGuardrail",
        MODEL,
        &context,
        Decision::ExplicitDeny,
    );
    check(
        "not resource",
        policy,
        "bedrock:InvokeModel",
        "arn:aws:bedrock:::x",
        &context,
        Decision::ExplicitDeny,
    );
}

#[test]
fn a_trust_policy_allows_its_principals_only() {
    let trust = Policy::from_value(&json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam::111111111111:root", "arn:aws:iam::222222222222:role/Base"]}, "Action": "sts:AssumeRole"},
        {"Effect": "Allow", "Principal": {"Service": "pods.eks.amazonaws.com"}, "Action": ["sts:AssumeRole", "sts:TagSession"]}]}))
    .expect("a policy");
    let aws = |arn: &str, role: Option<&str>, account: &str| Principal::Aws {
        arn: arn.to_owned(),
        role_arn: role.map(str::to_owned),
        account: account.to_owned(),
    };
    let context = Context::new();
    let rows = [
        (
            "any user of a trusted account",
            aws("arn:aws:iam::111111111111:user/a", None, "111111111111"),
            true,
        ),
        (
            "a session of a trusted role",
            aws(
                "arn:aws:sts::222222222222:assumed-role/Base/s",
                Some("arn:aws:iam::222222222222:role/Base"),
                "222222222222",
            ),
            true,
        ),
        (
            "another role of that account",
            aws(
                "arn:aws:sts::222222222222:assumed-role/Other/s",
                Some("arn:aws:iam::222222222222:role/Other"),
                "222222222222",
            ),
            false,
        ),
        (
            "the service",
            Principal::Service("pods.eks.amazonaws.com".to_owned()),
            true,
        ),
        (
            "another service",
            Principal::Service("ec2.amazonaws.com".to_owned()),
            false,
        ),
        (
            "a federated principal",
            Principal::Federated("arn:aws:iam::111111111111:oidc-provider/x".to_owned()),
            false,
        ),
    ];
    for (name, principal, allowed) in rows {
        let request = Request {
            principal: Some(&principal),
            action: "sts:AssumeRole",
            resource: "",
            context: &context,
        };
        assert_eq!(
            evaluate(std::slice::from_ref(&trust), request).is_allowed(),
            allowed,
            "{name}"
        );
    }
}

#[test]
fn unknown_elements_are_errors_with_their_path() {
    let rows = [
        (
            json!({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"StringMatches": {"a": "b"}}}]}),
            "Statement[0].Condition.StringMatches",
        ),
        (
            json!({"Statement": [{"Effect": "allow", "Action": "*"}]}),
            "Statement[0].Effect",
        ),
        (
            json!({"Statement": [{"Effect": "Allow", "Actions": "*"}]}),
            "Statement[0].Actions",
        ),
        (
            json!({"Statement": [{"Effect": "Allow", "Action": []}]}),
            "Statement[0].Action",
        ),
        (json!({"Version": "2012-10-18", "Statement": []}), "Version"),
    ];
    for (policy, path) in rows {
        assert_eq!(Policy::from_value(&policy).expect_err(path).path, path);
    }
}
