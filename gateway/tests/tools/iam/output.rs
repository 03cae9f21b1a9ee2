//! Policies from a `BedrockAccess`, output formats, errors and notes.

use awsdouble::policy::{Context, Principal};
use serde_json::Value;

use super::{ACCOUNT, Evaluator, HAIKU, ROLE, role_session, run, run_with_file, trusts};

const ACCESS: &str = "apiVersion: bedrockaccess.dev/v1alpha1
kind: BedrockAccess
metadata: {name: chat, namespace: team-a}
spec:
  region: us-east-1
  identity:
    irsa: {roleArn: 'arn:aws:iam::123456789012:role/BedrockRole'}
    assumeRoles: [{roleArn: 'arn:aws:iam::210987654321:role/Models', externalId: agreed}]
  models: [{name: fast, modelId: 'anthropic.claude-3-haiku-20240307-v1:0'}]
  clients: {serviceAccounts: [{name: app}]}
";

/// Runs the command with a `BedrockAccess`.
fn run_with_access(access: &str, arguments: &str) -> Result<(String, String), String> {
    run_with_file("--access", access, arguments)
}

#[test]
fn role_chain_has_policies_for_its_first_and_last_role() {
    let output = |arguments: &str| run_with_access(ACCESS, arguments).unwrap();
    let policy = |arguments: &str| Evaluator::of(&output(arguments).0);

    let (_, notes) = output("");
    assert!(
        notes.contains("arn:aws:iam::210987654321:role/Models"),
        "{notes}"
    );
    assert!(policy("").model("us-east-1", HAIKU));

    let chain = policy("--kind chain");
    let models = "arn:aws:iam::210987654321:role/Models";
    assert!(chain.allows("sts:AssumeRole", models, &Context::new()));
    assert!(!chain.allows("sts:AssumeRole", ROLE, &Context::new()));

    let last = policy("--kind trust");
    let external_id = Context::new().with("sts:ExternalId", "agreed");
    assert!(trusts(
        &last,
        &role_session("BedrockRole"),
        "sts:AssumeRole",
        &external_id
    ));
    assert!(!trusts(
        &last,
        &role_session("Other"),
        "sts:AssumeRole",
        &external_id
    ));

    let first = policy("--kind trust --principal irsa --issuer https://oidc.example");
    let provider =
        Principal::Federated(format!("arn:aws:iam::{ACCOUNT}:oidc-provider/oidc.example"));
    let context = Context::new()
        .with(
            "oidc.example:sub",
            "system:serviceaccount:team-a:chat-gateway",
        )
        .with("oidc.example:aud", "sts.amazonaws.com");
    assert!(trusts(
        &first,
        &provider,
        "sts:AssumeRoleWithWebIdentity",
        &context
    ));
}

#[test]
fn role_arn_selects_the_policies_of_a_target_role() {
    let far = "arn:aws:iam::345678901234:role/Far";
    let access = ACCESS.replace(
        "models: [{name: fast, modelId: 'anthropic.claude-3-haiku-20240307-v1:0'}]",
        &format!(
            "models: [{{name: fast, targets: [{{modelId: '{HAIKU}'}}, {{modelId: amazon.nova-lite-v1:0, assumeRole: {{roleArn: '{far}', externalId: theirs}}}}]}}]"
        ),
    );
    let output = |arguments: &str| run_with_access(&access, arguments).unwrap();
    let policy = |arguments: &str| Evaluator::of(&output(arguments).0);

    let (_, notes) = output("");
    assert!(notes.contains(&format!("--role-arn {far}")), "{notes}");
    let signer = policy("");
    assert!(signer.model("us-east-1", HAIKU));
    assert!(!signer.model("us-east-1", "amazon.nova-lite-v1:0"));
    assert!(signer.allows("sts:AssumeRole", far, &Context::new()));

    let target = policy(&format!("--role-arn {far}"));
    assert!(target.model("us-east-1", "amazon.nova-lite-v1:0"));
    assert!(!target.model("us-east-1", HAIKU));
    assert!(!target.allows("sts:AssumeRole", far, &Context::new()));

    let trust = policy(&format!("--role-arn {far} --kind trust"));
    let external_id = Context::new().with("sts:ExternalId", "theirs");
    let models = Principal::Aws {
        arn: "arn:aws:sts::210987654321:assumed-role/Models/s".to_owned(),
        role_arn: Some("arn:aws:iam::210987654321:role/Models".to_owned()),
        account: "210987654321".to_owned(),
    };
    assert!(trusts(&trust, &models, "sts:AssumeRole", &external_id));
    assert!(!trusts(&trust, &models, "sts:AssumeRole", &Context::new()));
}

#[test]
fn all_formats_have_the_same_documents() {
    let access = ACCESS
        .lines()
        .filter(|line| !line.contains("assumeRoles"))
        .collect::<Vec<_>>()
        .join("\n");
    let role = |format: &str| {
        let arguments = format!("--kind role --issuer https://oidc.example --format {format}");
        run_with_access(&access, &arguments).unwrap().0
    };
    let json: Value = serde_json::from_str(&role("json")).unwrap();
    let template: Value = serde_yaml::from_str(&role("cloudformation")).unwrap();
    let properties = &template["Resources"]["BedrockRole"]["Properties"];
    assert_eq!(properties["AssumeRolePolicyDocument"], json["TrustPolicy"]);
    assert_eq!(
        properties["Policies"][0]["PolicyDocument"],
        json["PermissionPolicy"]
    );
    let ack: Value = serde_yaml::from_str(&role("ack")).unwrap();
    let inline = ack["spec"]["inlinePolicies"]["bedrock"].as_str().unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(inline).unwrap(),
        json["PermissionPolicy"]
    );
    let trust = ack["spec"]["assumeRolePolicyDocument"].as_str().unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(trust).unwrap(),
        json["TrustPolicy"]
    );
    let terraform = role("terraform");
    assert!(
        terraform.contains("\"sts:AssumeRoleWithWebIdentity\""),
        "{terraform}"
    );
    assert!(terraform.contains("aws_iam_role_policy"), "{terraform}");
}

#[test]
fn error_names_the_option_of_a_missing_or_invalid_argument() {
    for (arguments, expected) in [
        ("--kind trust", "--principal"),
        ("--kind trust --principal irsa", "--issuer"),
        (
            "--kind trust --principal irsa --issuer https://x",
            "--service-account",
        ),
        (
            "--kind trust --principal github --account 123456789012",
            "--repository",
        ),
        ("--kind trust --principal pod-identity", "--service-account"),
        ("--kind chain", "--role-arn"),
        (&format!("--model {HAIKU}"), "region"),
        ("--account 12", "12 digits"),
        ("--service-account chat", "NAMESPACE/NAME"),
        ("--config /nowhere.yaml", "/nowhere.yaml"),
    ] {
        let error = run(arguments).unwrap_err();
        assert!(error.contains(expected), "{arguments}: {error}");
    }
    let error = run_with_access("kind: Pod", "").unwrap_err();
    assert!(error.contains("BedrockAccess"), "{error}");
}

#[test]
fn notes_name_an_unknown_account_and_a_policy_for_any_model() {
    let (_, notes) = run("--region us-east-1").unwrap();
    assert!(
        notes.contains("any model is allowed") && notes.contains("--account"),
        "{notes}"
    );
    let (_, notes) = run("--model amazon.nova-lite-v1:0 --region us-east-1").unwrap();
    assert_eq!(notes, "");
}
