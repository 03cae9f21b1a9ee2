use super::*;
use crate::fixtures::{access, observed, settings, validated};

#[track_caller]
fn refused(more: &str, expected: &[&str]) {
    let error = validate(&access(more), &observed(), &settings()).unwrap_err();
    let ValidateError::Invalid(problems) = &error else {
        panic!("{more:?} gave {error:?}")
    };
    let fields: Vec<&str> = problems
        .iter()
        .map(|problem| problem.field.as_str())
        .collect();
    assert_eq!(fields, expected, "{more:?} gave {error}");
}

#[test]
fn invalid_values_are_rejected_with_their_fields() {
    let rows = [
        ("region: nowhere", vec!["spec.region"]),
        (
            "identity: {irsa: {roleArn: 'arn:aws:iam::1:role/x'}}",
            vec!["spec.identity.irsa.roleArn"],
        ),
        ("identity: {}", vec!["spec.identity"]),
        (
            "prices: {discountPercent: '150'}",
            vec!["spec.prices.discountPercent"],
        ),
        (
            "prices: {models: [{model: a.b, discountPercent: '5'}]}",
            vec!["spec.prices.models[0].model"],
        ),
        (
            "identity: {ambient: {}, podIdentity: {}}",
            vec!["spec.identity"],
        ),
        (
            "identity: {ambient: {}, assumeRoles: [{roleArn: me}]}",
            vec!["spec.identity.assumeRoles[0].roleArn"],
        ),
        (
            "serviceAccount: {create: false}",
            vec!["spec.serviceAccount.name"],
        ),
        ("models: []", vec!["spec"]),
        ("models: [{name: a}]", vec!["spec.models[0]"]),
        (
            "models: [{name: a, modelId: x, targets: [{modelId: y}]}]",
            vec!["spec.models[0]"],
        ),
        (
            "models: [{name: a, modelId: x}, {name: a, modelId: y}]",
            vec!["spec.models[1].name"],
        ),
        (
            "models: [{name: a, targets: [{modelId: x, region: moon}]}]",
            vec!["spec.models[0].targets[0].region"],
        ),
        (
            "models: [{name: a, targets: [{modelId: x, assumeRole: {roleArn: me}}]}]",
            vec!["spec.models[0].targets[0].assumeRole.roleArn"],
        ),
        (
            "models: [{name: a, targets: [{modelId: x}, {modelId: x, assumeRole: {roleArn: 'arn:aws-cn:iam::123456789012:role/x'}}]}]",
            vec!["spec.models[0].targets[1].assumeRole.roleArn"],
        ),
        (
            "models: [{name: a, modelId: 'arn:aws:s3:::bucket'}]",
            vec!["spec.models[0].modelId"],
        ),
        (
            "models: [{name: a, targets: [{modelId: 'arn:aws:bedrock:eu-west-1::foundation-model/x', region: us-east-1}]}]",
            vec!["spec.models[0].targets[0].region"],
        ),
        (
            "models: [{name: a, targets: [{modelId: x, weight: 0}]}]",
            vec!["spec.models[0].targets"],
        ),
        ("allow: ['two words']", vec!["spec.allow[0]"]),
        ("clients: {}", vec!["spec.clients"]),
        (
            "clients: {serviceAccounts: [{name: app}, {namespace: team-a, name: app}]}",
            vec!["spec.clients.serviceAccounts[1]"],
        ),
        (
            "clients: {serviceAccounts: [{name: app, models: [slow]}]}",
            vec!["spec.clients.serviceAccounts[0].models[0]"],
        ),
        (
            "endpoints: {sts: sts.amazonaws.com}",
            vec!["spec.endpoints.sts"],
        ),
    ];
    for (more, expected) in rows {
        refused(more, &expected);
    }
}

#[test]
fn common_labels_follow_the_syntax_of_kubernetes_and_leave_the_operators_own_alone() {
    for key in [
        "",
        "/name",
        "prefix/",
        "a/b/c",
        "Prefix.example/name",
        "-name",
        "two words",
        "bedrockaccess.dev/access",
        "bedrockaccess.dev/inject",
        "app.kubernetes.io/name",
        "app.kubernetes.io/managed-by",
    ] {
        let field = format!("spec.commonLabels[{key:?}]");
        refused(&format!("commonLabels: {{{key:?}: x}}"), &[&field]);
    }
    let long = "n".repeat(64);
    for value in ["two words", "-", "a/b", &long] {
        refused(
            &format!("commonLabels: {{team: {value:?}}}"),
            &["spec.commonLabels[\"team\"]"],
        );
    }
    let accepted =
        r#"{app.kubernetes.io/part-of: chat, example.com/Cost_center.x: "42", empty: ""}"#;
    let validated = validated(&format!("commonLabels: {accepted}"));
    assert_eq!(validated.common_labels.len(), 3);
}

#[test]
fn all_problems_are_reported_at_once() {
    refused(
        "{region: nowhere, clients: {}}",
        &["spec.region", "spec.clients"],
    );
}

#[test]
fn role_in_another_partition_than_the_region_is_rejected() {
    let error = validate(&access("region: us-gov-west-1"), &observed(), &settings()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "spec.identity.irsa.roleArn: the role is in partition aws, but region us-gov-west-1 is in partition aws-us-gov"
    );
}

#[test]
fn arn_in_another_region_sets_the_region_of_its_target() {
    let arn = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc";
    let validated = validated(&format!("models: [{{name: a, modelId: '{arn}'}}]"));
    let region = validated.models[0].targets[0].region.as_ref().unwrap();
    assert_eq!(region.as_str(), "eu-west-1");
}

#[test]
fn service_account_clients_wait_for_the_keys_of_the_cluster() {
    let nothing = Observed::default();
    let error = validate(&access(""), &nothing, &settings()).unwrap_err();
    assert_eq!(error, ValidateError::ClusterKeys);
    let without = access("clients: {anonymous: true}");
    assert!(validate(&without, &nothing, &settings()).is_ok());
}

#[test]
fn missing_service_account_is_named() {
    let observed = Observed {
        existing_service_account: Some(false),
        ..observed()
    };
    let access = access("serviceAccount: {create: false, name: mine}");
    let error = validate(&access, &observed, &settings()).unwrap_err();
    assert!(
        matches!(&error, ValidateError::NotFound(problem) if problem.field == "spec.serviceAccount.name")
    );
    assert!(error.to_string().contains("\"mine\""), "{error}");
}

#[test]
fn session_name_fits_the_limit_of_sts() {
    let name = identity::session_name(&"n".repeat(63), &"a".repeat(55));
    assert_eq!(name.len(), MAX_SESSION_NAME);
}

#[test]
fn long_list_of_problems_is_truncated() {
    let mut problems = Problems::default();
    for index in 0..20 {
        problems.add(format!("spec.models[{index}]"), "wrong");
    }
    let text = ValidateError::Invalid(problems.into_vec()).to_string();
    assert!(text.ends_with("and 12 more"), "{text}");
}
