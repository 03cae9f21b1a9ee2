//! Content of the policy documents. The tests of the gateway evaluate them with the policy evaluator of `awsdouble`.

mod trust;

use serde_json::Value;

use super::*;
use crate::{GatewayConfig, Partition, Region, RoleArn};

const HAIKU: &str = "anthropic.claude-3-haiku-20240307-v1:0";
const SONNET: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";

fn config(text: &str) -> GatewayConfig {
    GatewayConfig::from_yaml(text).unwrap()
}

fn one(region: &str, model: &str) -> GatewayConfig {
    config(&format!(
        "region: {region}\nmodels: [{{name: m, targets: [{{modelId: '{model}'}}]}}]"
    ))
}

fn policy(permissions: &Permissions<'_>) -> Value {
    serde_json::from_str(&permission_policy(permissions).unwrap()).unwrap()
}

fn statement<'a>(policy: &'a Value, sid: &str) -> &'a Value {
    let statements = policy["Statement"].as_array().unwrap();
    let found = statements.iter().find(|statement| statement["Sid"] == sid);
    found.unwrap_or_else(|| panic!("no statement {sid} in {policy:#}"))
}

fn sids(policy: &Value) -> Vec<&str> {
    let statements = policy["Statement"].as_array().unwrap();
    let sids = statements.iter().map(|one| one["Sid"].as_str().unwrap());
    sids.collect()
}

#[test]
fn one_model_needs_one_statement_with_both_actions() {
    let config = one("us-east-1", HAIKU);
    let policy = policy(&Permissions::new(&config));
    assert_eq!(
        policy,
        serde_json::json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Sid": "InvokeModels",
                "Effect": "Allow",
                "Action": ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"],
                "Resource": format!("arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}"),
            }],
        })
    );
}

#[test]
fn partition_follows_the_region() {
    for (region, partition) in [
        ("us-gov-west-1", "aws-us-gov"),
        ("cn-north-1", "aws-cn"),
        ("eusc-de-east-1", "aws-eusc"),
        ("us-iso-east-1", "aws-iso"),
        ("us-isob-east-1", "aws-iso-b"),
        ("us-isof-south-1", "aws-iso-f"),
        ("eu-isoe-west-1", "aws-iso-e"),
    ] {
        let config = config(&format!(
            "region: {region}\nguardrail: {{identifier: g, version: '1'}}\n\
             models: [{{name: m, targets: [{{modelId: {HAIKU}}}, {{modelId: us-gov.{HAIKU}}}]}}]"
        ));
        let text = permission_policy(
            &Permissions::new(&config)
                .with(Feature::Listing)
                .with(Feature::CountTokens),
        )
        .unwrap();
        let arns: Vec<&str> = text
            .split('"')
            .filter(|part| part.starts_with("arn:"))
            .collect();
        assert!(arns.len() > 4, "{text}");
        for arn in arns {
            assert!(
                arn.starts_with(&format!("arn:{partition}:")),
                "{region}: {arn}"
            );
        }
    }
}

#[test]
fn models_of_a_geographic_profile_are_allowed_only_with_the_profile() {
    let config = one("eu-central-1", &format!("eu.{SONNET}"));
    let policy = policy(&Permissions::new(&config).account("123456789012"));
    assert_eq!(sids(&policy), ["InvokeProfiles", "ModelsBehindProfiles"]);
    let profile =
        format!("arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.{SONNET}");
    assert_eq!(
        statement(&policy, "InvokeProfiles")["Resource"],
        profile.as_str()
    );
    let behind = statement(&policy, "ModelsBehindProfiles");
    assert_eq!(
        behind["Condition"]["StringEquals"]["bedrock:InferenceProfileArn"],
        profile.as_str()
    );
    let models: Vec<&str> = behind["Resource"]
        .as_array()
        .unwrap()
        .iter()
        .map(|arn| arn.as_str().unwrap())
        .collect();
    assert!(models.len() >= 6, "{models:?}");
    assert!(
        models.contains(&format!("arn:aws:bedrock:eu-north-1::foundation-model/{SONNET}").as_str())
    );
    assert!(models.iter().all(|arn| !arn.contains('*')));
}

#[test]
fn unlisted_profile_allows_all_regions_but_only_with_the_profile() {
    let config = one("eu-central-1", "eu.maker.brand-new");
    let policy = policy(&Permissions::new(&config));
    let behind = statement(&policy, "ModelsBehindProfiles");
    assert_eq!(
        behind["Resource"],
        "arn:aws:bedrock:*::foundation-model/maker.brand-new"
    );
    assert_eq!(
        behind["Condition"]["StringLike"]["bedrock:InferenceProfileArn"],
        "arn:aws:bedrock:eu-central-1:*:inference-profile/eu.maker.brand-new"
    );
}

#[test]
fn global_profile_adds_the_model_without_a_region() {
    let config = one("us-east-1", &format!("global.{SONNET}"));
    let policy = policy(&Permissions::new(&config).account("123456789012"));
    let global = statement(&policy, "ModelsBehindGlobalProfiles");
    assert_eq!(
        global["Resource"],
        format!("arn:aws:bedrock:::foundation-model/{SONNET}")
    );
    let conditions = &global["Condition"]["StringEquals"];
    assert_eq!(conditions["aws:RequestedRegion"], "unspecified");
    assert!(
        conditions["bedrock:InferenceProfileArn"]
            .as_str()
            .unwrap()
            .ends_with(SONNET)
    );
    assert_eq!(
        statement(&policy, "ModelsBehindProfiles")["Resource"],
        format!("arn:aws:bedrock:us-east-1::foundation-model/{SONNET}")
    );
}

#[test]
fn statements_are_restricted_to_regions_on_request() {
    let config = config(&format!(
        "region: us-east-1\nmodels:\n- name: a\n  targets: [{{modelId: {HAIKU}}}]\n\
         - name: b\n  targets: [{{modelId: us.{SONNET}, region: us-west-2}}]"
    ));
    let policy = policy(
        &Permissions::new(&config)
            .with(Feature::RequestedRegion)
            .with(Feature::Listing)
            .with(Feature::BearerToken),
    );
    let regions = |sid: &str| {
        statement(&policy, sid)["Condition"]["StringEquals"]["aws:RequestedRegion"].clone()
    };
    assert_eq!(regions("InvokeModels"), "us-east-1");
    assert_eq!(regions("InvokeProfiles"), "us-west-2");
    assert_eq!(
        regions("ModelsBehindProfiles"),
        serde_json::json!(["us-east-1", "us-east-2", "us-west-2"])
    );
    for sid in ["ListModels", "UseBedrockApiKeys"] {
        assert_eq!(regions(sid), serde_json::json!(["us-east-1", "us-west-2"]));
    }
}

#[test]
fn models_of_an_application_profile_are_allowed_only_with_its_arn() {
    let arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123";
    let config = one("us-east-1", arn);
    let unknown = policy(&Permissions::new(&config));
    let behind = statement(&unknown, "ModelsBehindProfiles");
    assert_eq!(behind["Resource"], "arn:aws:bedrock:*::foundation-model/*");
    assert_eq!(
        behind["Condition"]["StringEquals"]["bedrock:InferenceProfileArn"],
        arn
    );

    let config = self::config(&format!(
        "models: [{{name: m, targets: [{{modelId: '{arn}', baseModel: 'us.{SONNET}'}}]}}]"
    ));
    let known = policy(&Permissions::new(&config));
    let behind = statement(&known, "ModelsBehindProfiles");
    assert_eq!(
        behind["Resource"].as_array().unwrap().len(),
        3,
        "{behind:#}"
    );
}

#[test]
fn guardrail_can_be_applied_and_requests_without_it_are_denied() {
    let mut config = one("us-east-1", HAIKU);
    config.guardrail = Some(crate::config::Guardrail {
        identifier: "gr1".to_owned(),
        version: "7".to_owned(),
    });
    let policy = policy(&Permissions::new(&config).account("123456789012"));
    let arn = "arn:aws:bedrock:us-east-1:123456789012:guardrail/gr1";
    assert_eq!(statement(&policy, "ApplyGuardrail")["Resource"], arn);
    let version = format!("{arn}:7");
    assert_eq!(
        statement(&policy, "InvokeModels")["Condition"]["StringEquals"]["bedrock:GuardrailIdentifier"],
        version.as_str()
    );
    let deny = statement(&policy, "DenyWithoutGuardrail");
    assert_eq!(deny["Effect"], "Deny");
    assert_eq!(
        deny["Condition"]["StringNotEquals"]["bedrock:GuardrailIdentifier"],
        version.as_str()
    );
}

#[test]
fn without_models_every_model_of_the_region_is_allowed() {
    let region: Region = "us-east-1".parse().unwrap();
    let config = GatewayConfig::default();
    let policy = policy(&Permissions::new(&config).region(&region));
    assert_eq!(
        statement(&policy, "InvokeModels")["Resource"],
        "arn:aws:bedrock:us-east-1::foundation-model/*"
    );
    assert_eq!(
        statement(&policy, "InvokeProfiles")["Resource"],
        "arn:aws:bedrock:us-east-1:*:inference-profile/*"
    );
}

#[test]
fn unknown_regions_and_arns_are_errors_with_the_field() {
    let missing = config(&format!(
        "models: [{{name: m, targets: [{{modelId: {HAIKU}}}]}}]"
    ));
    let error = permission_policy(&Permissions::new(&missing)).unwrap_err();
    assert!(
        error.to_string().starts_with("models[0].targets[0].region"),
        "{error}"
    );
    let foreign = one(
        "us-east-1",
        "arn:aws:sagemaker:us-east-1:123456789012:endpoint/x",
    );
    let error = permission_policy(&Permissions::new(&foreign)).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("models[0].targets[0].modelId"),
        "{error}"
    );
    assert!(permission_policy(&Permissions::new(&GatewayConfig::default())).is_err());
}

fn role() -> RoleArn {
    "arn:aws:iam::123456789012:role/BedrockRole"
        .parse()
        .unwrap()
}

fn draft<'a>(trust: &'a Document, permission: &'a Document) -> RoleDraft<'a> {
    RoleDraft {
        name: "Bedrock-Role",
        trust: Some(trust),
        permission: Some(permission),
        pod_identity: Some(PodIdentityAssociation {
            cluster: "prod",
            namespace: "team-a",
            service_account: "chat",
        }),
    }
}

fn documents() -> (Document, Document) {
    let trust = Trust::PodIdentity {
        namespace: "team-a".to_owned(),
        service_accounts: vec!["chat".to_owned()],
        cluster_arn: None,
    };
    let config = one("us-east-1", HAIKU);
    let permission = permission_document(&Permissions::new(&config)).unwrap();
    (trust_document(&trust).unwrap(), permission)
}

#[test]
fn cloudformation_and_ack_contain_the_same_documents() {
    let (trust, permission) = documents();
    let draft = draft(&trust, &permission);
    let template: Value =
        serde_yaml::from_str(&render(&draft, Format::CloudFormation).unwrap()).unwrap();
    let role = &template["Resources"]["BedrockRole"]["Properties"];
    assert_eq!(
        role["AssumeRolePolicyDocument"],
        serde_json::to_value(&trust).unwrap()
    );
    assert_eq!(
        role["Policies"][0]["PolicyDocument"],
        serde_json::to_value(&permission).unwrap()
    );

    let manifests = render(&draft, Format::Ack).unwrap();
    let manifests: Vec<Value> = manifests
        .split("---\n")
        .map(|text| serde_yaml::from_str(text).unwrap())
        .collect();
    assert_eq!(manifests[0]["kind"], "Role");
    let inline = manifests[0]["spec"]["inlinePolicies"]["bedrock"]
        .as_str()
        .unwrap();
    assert_eq!(inline, permission.to_json());
    assert_eq!(manifests[1]["kind"], "PodIdentityAssociation");
    assert_eq!(
        manifests[1]["spec"]["roleRef"]["from"]["name"],
        manifests[0]["metadata"]["name"]
    );
}

#[test]
fn terraform_has_balanced_braces_and_keeps_iam_variables() {
    let (trust, mut permission) = documents();
    permission.statement.push(Statement::allow(
        "Own",
        &["iam:ListAccessKeys"],
        ["arn:aws:iam::*:user/${aws:username}".to_owned()],
    ));
    let text = render(&draft(&trust, &permission), Format::Terraform).unwrap();
    assert!(
        text.contains("resource \"aws_iam_role\" \"bedrock_role\" {"),
        "{text}"
    );
    assert!(
        text.contains("role   = aws_iam_role.bedrock_role.id"),
        "{text}"
    );
    assert!(text.contains("user/$${aws:username}"), "{text}");
    assert!(
        text.contains("\"aws:RequestTag/kubernetes-namespace\" = \"team-a\""),
        "{text}"
    );
    for (open, close) in [('{', '}'), ('[', ']'), ('(', ')')] {
        assert_eq!(text.matches(open).count(), text.matches(close).count());
    }
}

#[test]
fn policy_without_a_trust_policy_is_a_managed_policy_and_no_policy_is_an_error() {
    let (_, permission) = documents();
    let mut alone = draft(&permission, &permission);
    alone.trust = None;
    for (format, kind) in [
        (Format::Terraform, "aws_iam_policy"),
        (Format::CloudFormation, "AWS::IAM::ManagedPolicy"),
        (Format::Ack, "kind: Policy"),
        (Format::Json, "InvokeModels"),
    ] {
        let text = render(&alone, format).unwrap();
        assert!(text.contains(kind), "{format:?}: {text}");
    }
    alone.permission = None;
    render(&alone, Format::Json).unwrap_err();
    alone.permission = Some(&permission);
    alone.name = "no spaces";
    render(&alone, Format::Json).unwrap_err();
}

#[test]
fn equal_input_gives_equal_bytes_and_the_size_excludes_white_space() {
    let config = one("eu-west-1", &format!("eu.{SONNET}"));
    let permissions = Permissions::new(&config).with(Feature::Listing);
    let first = permission_document(&permissions).unwrap();
    assert_eq!(
        first.to_json(),
        permission_document(&permissions).unwrap().to_json()
    );
    let visible = first
        .to_json()
        .chars()
        .filter(|c| !c.is_whitespace())
        .count();
    assert_eq!(first.size(), visible);
    assert!(first.size() < INLINE_POLICY_MAX_CHARACTERS);
}

#[test]
fn models_on_mantle_need_the_mantle_action_on_the_default_project() {
    let config = config(
        "region: us-east-1\nmodels: [{name: m, targets: [{modelId: openai.gpt-oss-20b, api: Mantle}, {modelId: 'openai.gpt-oss-20b-1:0', api: OpenAI, region: us-west-2}]}]",
    );
    let region: Region = "eu-west-1".parse().unwrap();
    let permissions = Permissions::new(&config)
        .account("123456789012")
        .mantle(region)
        .with(Feature::BearerToken)
        .with(Feature::RequestedRegion);
    let policy = policy(&permissions);
    let infer = statement(&policy, "InferOnMantle");
    assert_eq!(infer["Action"], "bedrock-mantle:CreateInference");
    assert_eq!(
        infer["Resource"],
        serde_json::json!([
            "arn:aws:bedrock-mantle:eu-west-1:123456789012:project/default",
            "arn:aws:bedrock-mantle:us-east-1:123456789012:project/default",
        ])
    );
    let regions = &infer["Condition"]["StringEquals"]["aws:RequestedRegion"];
    assert_eq!(*regions, serde_json::json!(["eu-west-1", "us-east-1"]));
    assert_eq!(
        statement(&policy, "InvokeInProject")["Resource"],
        "arn:aws:bedrock:us-west-2:123456789012:project/default"
    );
    let bearer = statement(&policy, "UseBedrockApiKeys")["Action"].to_string();
    assert!(
        bearer.contains("bedrock-mantle:CallWithBearerToken"),
        "{bearer}"
    );
}

#[test]
fn guardrail_excludes_mantle_which_supports_none() {
    let config = config(
        "region: us-east-1\nguardrail: {identifier: abc123, version: '1'}\nmodels: [{name: m, targets: [{modelId: openai.gpt-oss-20b, api: Mantle}]}]",
    );
    let policy = policy(&Permissions::new(&config).with(Feature::BearerToken));
    assert!(!sids(&policy).contains(&"InferOnMantle"));
    assert!(!policy.to_string().contains("bedrock-mantle"));
}

#[test]
fn role_of_a_target_has_its_own_policy_and_the_signing_role_can_assume_it() {
    let far: RoleArn = "arn:aws:iam::210987654321:role/Models".parse().unwrap();
    let config = config(&format!(
        "region: us-east-1\nallow: ['amazon.*']\nmodels: [{{name: m, targets: [{{modelId: {HAIKU}}}, \
         {{modelId: us.{SONNET}, assumeRole: {{roleArn: '{far}'}}}}]}}]"
    ));
    let signs = policy(&Permissions::new(&config).account("123456789012"));
    assert_eq!(sids(&signs), ["InvokeModels", "AssumeTargetRoles"]);
    assert_eq!(
        statement(&signs, "AssumeTargetRoles")["Resource"],
        far.to_string()
    );
    assert!(!signs.to_string().contains(SONNET), "{signs}");

    let own = policy(&Permissions::new(&config).of_target_role(&far));
    assert_eq!(sids(&own), ["InvokeProfiles", "ModelsBehindProfiles"]);
    let text = own.to_string();
    assert!(text.contains(&format!(":210987654321:inference-profile/us.{SONNET}")));
    assert!(!text.contains(HAIKU) && !text.contains("amazon."), "{text}");
}

#[test]
fn session_tags_and_projects_of_targets_are_permitted() {
    let far: RoleArn = "arn:aws:iam::210987654321:role/Models".parse().unwrap();
    let config = config(&format!(
        "region: us-east-1\nattribution: {{sessionTags: true}}\nmodels: [{{name: m, targets: [{{modelId: {HAIKU}, \
         assumeRole: {{roleArn: '{far}'}}}}, {{modelId: openai.gpt-oss-120b, api: Mantle, project: proj_1}}]}}]"
    ));
    let signs = policy(&Permissions::new(&config).account("123456789012"));
    assert_eq!(
        statement(&signs, "AssumeTargetRoles")["Action"],
        serde_json::json!(["sts:AssumeRole", "sts:TagSession"])
    );
    assert_eq!(
        statement(&signs, "InferOnMantle")["Resource"],
        "arn:aws:bedrock-mantle:us-east-1:123456789012:project/proj_1"
    );
}
