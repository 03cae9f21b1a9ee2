//! The policies that `bedrock-gateway iam` prints, judged by the double's own policy evaluator: the
//! calls they are for pass, one step outside is denied.
use std::collections::BTreeMap;

use awsdouble::policy::{Context, Policy, Principal, Request, evaluate};
use clap::Parser;
use serde_json::Value;

const HAIKU: &str = "anthropic.claude-3-haiku-20240307-v1:0";
const SONNET: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";
const ACCOUNT: &str = "123456789012";
const ROLE: &str = "arn:aws:iam::123456789012:role/BedrockRole";

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: gateway::cli::iam::Args,
}

/// Runs the command; returns what it printed and its remarks.
fn printed(arguments: &[&str]) -> Result<(String, String), String> {
    let line = Line::try_parse_from(["iam"].iter().chain(arguments)).map_err(|e| e.to_string())?;
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    let environment: BTreeMap<String, String> = BTreeMap::new();
    gateway::cli::iam::run(&line.args, &environment, &mut out, &mut notes)
        .map_err(|e| e.to_string())?;
    Ok((
        String::from_utf8(out).unwrap(),
        String::from_utf8(notes).unwrap(),
    ))
}

#[track_caller]
fn policy(arguments: &[&str]) -> Judge {
    let (text, _) = printed(arguments).unwrap();
    Judge(Policy::from_json(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

/// As with a configuration file.
#[track_caller]
fn policy_of(config: &str, arguments: &[&str]) -> Judge {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config).unwrap();
    let path = file.path().to_str().unwrap();
    let all: Vec<&str> = ["--config", path]
        .iter()
        .chain(arguments)
        .copied()
        .collect();
    policy(&all)
}

struct Judge(Policy);

impl Judge {
    fn allows(&self, action: &str, resource: &str, context: &Context) -> bool {
        let request = Request {
            principal: None,
            action,
            resource,
            context,
        };
        evaluate(std::slice::from_ref(&self.0), request).is_allowed()
    }

    /// A call by a model's own id, as IAM checks it.
    fn model(&self, region: &str, model: &str) -> bool {
        self.model_with(&Context::new(), region, model)
    }

    fn model_with(&self, context: &Context, region: &str, model: &str) -> bool {
        let context = context.clone().with("aws:RequestedRegion", region);
        let arn = format!("arn:aws:bedrock:{region}::foundation-model/{model}");
        let both = [
            "bedrock:InvokeModel",
            "bedrock:InvokeModelWithResponseStream",
        ]
        .map(|action| self.allows(action, &arn, &context));
        assert_eq!(both[0], both[1], "both ways to invoke go together");
        both[0]
    }

    /// A call by a profile: IAM checks the profile where the call arrives, and the model where it runs.
    fn profile(&self, source: &str, profile: &str, runs_in: &str) -> bool {
        let model = profile.split_once('.').unwrap().1;
        let arn = format!("arn:aws:bedrock:{source}:{ACCOUNT}:inference-profile/{profile}");
        let at_source = Context::new().with("aws:RequestedRegion", source);
        let through = |region: &str| {
            Context::new()
                .with("aws:RequestedRegion", region)
                .with("bedrock:InferenceProfileArn", arn.as_str())
        };
        let running = if runs_in == "unspecified" {
            let model = format!("arn:aws:bedrock:::foundation-model/{model}");
            self.allows("bedrock:InvokeModel", &model, &through("unspecified"))
        } else {
            let model = format!("arn:aws:bedrock:{runs_in}::foundation-model/{model}");
            self.allows("bedrock:InvokeModel", &model, &through(runs_in))
        };
        self.allows("bedrock:InvokeModel", &arn, &at_source) && running
    }
}

#[test]
fn one_model_passes_and_the_next_model_region_or_action_does_not() {
    let judge = policy(&["--model", HAIKU, "--region", "us-east-1"]);
    assert!(judge.model("us-east-1", HAIKU));
    assert!(!judge.model("us-west-2", HAIKU));
    assert!(!judge.model("us-east-1", SONNET));
    assert!(!judge.profile("us-east-1", &format!("us.{HAIKU}"), "us-east-1"));
    let here = Context::new().with("aws:RequestedRegion", "us-east-1");
    for action in [
        "bedrock:ListFoundationModels",
        "bedrock:CallWithBearerToken",
        "bedrock:CountTokens",
        "bedrock:CreateModelCustomizationJob",
        "iam:PassRole",
    ] {
        assert!(!judge.allows(action, "*", &here), "{action}");
    }
}

#[test]
fn listing_counting_and_api_keys_come_only_when_asked_for() {
    let arguments = ["--model", HAIKU, "--region", "us-east-1"];
    let here = Context::new().with("aws:RequestedRegion", "us-east-1");
    let model = format!("arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}");
    for (switch, action, resource) in [
        ("--with-listing", "bedrock:ListFoundationModels", "*"),
        ("--with-listing", "bedrock:ListInferenceProfiles", "*"),
        ("--with-count-tokens", "bedrock:CountTokens", model.as_str()),
        ("--with-bearer", "bedrock:CallWithBearerToken", "*"),
    ] {
        let without = policy(&arguments);
        let with = policy(&[&arguments[..], &[switch]].concat());
        assert!(
            !without.allows(action, resource, &here),
            "{action} without {switch}"
        );
        assert!(
            with.allows(action, resource, &here),
            "{action} with {switch}"
        );
        assert!(
            !with.allows("bedrock:CreateGuardrail", "*", &here),
            "{switch}"
        );
    }
}

#[test]
fn bound_regions_deny_what_the_arn_alone_would_allow() {
    let config = format!(
        "region: us-east-1\nallow: ['*']\nmodels: [{{name: m, targets: [{{modelId: {HAIKU}}}]}}]"
    );
    let bound = policy_of(&config, &["--restrict-region", "--with-listing"]);
    assert!(bound.model("us-east-1", HAIKU));
    assert!(bound.allows(
        "bedrock:ListFoundationModels",
        "*",
        &Context::new().with("aws:RequestedRegion", "us-east-1")
    ));
    assert!(!bound.allows(
        "bedrock:ListFoundationModels",
        "*",
        &Context::new().with("aws:RequestedRegion", "eu-west-1")
    ));
    // The same resource, asked for through another region.
    let arn = format!("arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}");
    let elsewhere = Context::new().with("aws:RequestedRegion", "us-west-2");
    assert!(!bound.allows("bedrock:InvokeModel", &arn, &elsewhere));
}

#[test]
fn a_geographic_profile_runs_in_its_regions_and_nowhere_else() {
    let profile = format!("eu.{SONNET}");
    for switches in [&[][..], &["--restrict-region"][..]] {
        let arguments = [
            "--model",
            &profile,
            "--region",
            "eu-central-1",
            "--account",
            ACCOUNT,
        ];
        let judge = policy(&[&arguments[..], switches].concat());
        for region in ["eu-central-1", "eu-north-1", "eu-west-3"] {
            assert!(judge.profile("eu-central-1", &profile, region), "{region}");
        }
        assert!(!judge.profile("eu-central-1", &profile, "us-east-1"));
        assert!(
            !judge.profile("eu-west-1", &profile, "eu-west-1"),
            "another source"
        );
        assert!(!judge.profile("eu-central-1", &format!("global.{SONNET}"), "eu-central-1"));
        assert!(!judge.model("eu-central-1", SONNET), "without the profile");
    }
}

#[test]
fn an_unlisted_profile_runs_anywhere_but_only_through_the_profile() {
    let judge = policy(&[
        "--model",
        "eu.maker.new",
        "--region",
        "eu-west-1",
        "--account",
        ACCOUNT,
    ]);
    assert!(judge.profile("eu-west-1", "eu.maker.new", "eu-south-1"));
    assert!(!judge.model("eu-south-1", "maker.new"));
    assert!(!judge.profile("eu-west-1", "us.maker.new", "us-east-1"));
}

#[test]
fn a_global_profile_runs_in_no_named_region() {
    let profile = format!("global.{SONNET}");
    let judge = policy(&[
        "--model",
        &profile,
        "--region",
        "us-east-1",
        "--account",
        ACCOUNT,
    ]);
    assert!(judge.profile("us-east-1", &profile, "unspecified"));
    assert!(judge.profile("us-east-1", &profile, "us-east-1"));
    assert!(!judge.profile("us-east-1", &profile, "eu-west-1"));
    let model = format!("arn:aws:bedrock:::foundation-model/{SONNET}");
    let bare = Context::new().with("aws:RequestedRegion", "unspecified");
    assert!(
        !judge.allows("bedrock:InvokeModel", &model, &bare),
        "without the profile"
    );
}

#[test]
fn an_application_profile_opens_its_models_only_through_itself() {
    let arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc";
    let judge = policy(&["--model", arn, "--region", "us-east-1"]);
    let here = Context::new().with("aws:RequestedRegion", "us-east-1");
    assert!(judge.allows("bedrock:InvokeModel", arn, &here));
    assert!(!judge.allows("bedrock:InvokeModel", &arn.replace("abc", "other"), &here));
    let through = here.clone().with("bedrock:InferenceProfileArn", arn);
    assert!(judge.model_with(&through, "us-east-1", HAIKU));
    assert!(!judge.model("us-east-1", HAIKU));
}

#[test]
fn a_guardrail_is_forced() {
    let guardrail = "arn:aws:bedrock:us-east-1:123456789012:guardrail/gr1";
    let config = format!(
        "region: us-east-1\nguardrail: {{identifier: gr1, version: '3'}}\n\
         models: [{{name: m, targets: [{{modelId: {HAIKU}}}, {{modelId: us.{SONNET}}}]}}]"
    );
    let judge = policy_of(&config, &["--account", ACCOUNT]);
    let with = |version: &str| {
        Context::new().with(
            "bedrock:GuardrailIdentifier",
            format!("{guardrail}:{version}"),
        )
    };
    assert!(judge.model_with(&with("3"), "us-east-1", HAIKU));
    assert!(
        !judge.model_with(&with("2"), "us-east-1", HAIKU),
        "another version"
    );
    assert!(!judge.model("us-east-1", HAIKU), "no guardrail");
    assert!(judge.allows("bedrock:ApplyGuardrail", guardrail, &Context::new()));
    assert!(!judge.allows(
        "bedrock:ApplyGuardrail",
        &guardrail.replace("gr1", "gr2"),
        &Context::new()
    ));

    // Whatever another policy of the role allows: the deny stands.
    let broad = Policy::from_json(&awsdouble::allow_bedrock().to_string()).unwrap();
    let both = [broad, judge.0];
    let context = Context::new().with("aws:RequestedRegion", "us-west-2");
    for (context, allowed) in [(context.clone(), false), (with("3"), true)] {
        let request = Request {
            principal: None,
            action: "bedrock:InvokeModel",
            resource: &format!("arn:aws:bedrock:us-west-2::foundation-model/{HAIKU}"),
            context: &context,
        };
        assert_eq!(evaluate(&both, request).is_allowed(), allowed);
    }
}

#[test]
fn patterns_allow_what_they_match_and_nothing_beside() {
    let config = "region: us-east-1\nallow: ['anthropic.claude-3-*', 'us.anthropic.*']";
    let judge = policy_of(config, &["--account", ACCOUNT]);
    assert!(judge.model("us-east-1", HAIKU));
    assert!(!judge.model("us-east-1", "amazon.nova-lite-v1:0"));
    assert!(!judge.model("us-east-1", SONNET));
    assert!(judge.profile("us-east-1", &format!("us.{SONNET}"), "us-west-2"));
    assert!(!judge.profile("us-east-1", "us.amazon.nova-lite-v1:0", "us-west-2"));
}

#[test]
fn every_partition_has_its_own_arns() {
    for (region, partition) in [
        ("us-gov-west-1", "aws-us-gov"),
        ("cn-north-1", "aws-cn"),
        ("eusc-de-east-1", "aws-eusc"),
        ("us-iso-east-1", "aws-iso"),
    ] {
        let judge = policy(&["--model", HAIKU, "--region", region]);
        let arn =
            |partition: &str| format!("arn:{partition}:bedrock:{region}::foundation-model/{HAIKU}");
        assert!(
            judge.allows("bedrock:InvokeModel", &arn(partition), &Context::new()),
            "{region}"
        );
        assert!(
            !judge.allows("bedrock:InvokeModel", &arn("aws"), &Context::new()),
            "{region}"
        );
    }
}

fn trusts(judge: &Judge, principal: &Principal, action: &str, context: &Context) -> bool {
    let request = Request {
        principal: Some(principal),
        action,
        resource: ROLE,
        context,
    };
    evaluate(std::slice::from_ref(&judge.0), request).is_allowed()
}

#[test]
fn irsa_trusts_one_service_account_of_one_cluster() {
    let judge = policy(&[
        "--kind",
        "trust",
        "--principal",
        "irsa",
        "--role-arn",
        ROLE,
        "--issuer",
        "https://oidc.example/id/A",
        "--service-account",
        "team-a/chat",
        "--service-account",
        "team-b/app",
    ]);
    let provider = Principal::Federated(format!(
        "arn:aws:iam::{ACCOUNT}:oidc-provider/oidc.example/id/A"
    ));
    let claims = |subject: &str, audience: &str| {
        Context::new()
            .with("oidc.example/id/A:sub", subject)
            .with("oidc.example/id/A:aud", audience)
    };
    let action = "sts:AssumeRoleWithWebIdentity";
    for (subject, audience, trusted) in [
        (
            "system:serviceaccount:team-a:chat",
            "sts.amazonaws.com",
            true,
        ),
        (
            "system:serviceaccount:team-b:app",
            "sts.amazonaws.com",
            true,
        ),
        (
            "system:serviceaccount:team-a:app",
            "sts.amazonaws.com",
            false,
        ),
        (
            "system:serviceaccount:team-b:chat",
            "sts.amazonaws.com",
            false,
        ),
        (
            "system:serviceaccount:team-a:chat",
            "bedrockaccess.dev/team-a/chat",
            false,
        ),
    ] {
        let context = claims(subject, audience);
        assert_eq!(
            trusts(&judge, &provider, action, &context),
            trusted,
            "{subject} {audience}"
        );
    }
    let context = claims("system:serviceaccount:team-a:chat", "sts.amazonaws.com");
    let stranger = Principal::Federated(format!(
        "arn:aws:iam::{ACCOUNT}:oidc-provider/oidc.example/id/B"
    ));
    assert!(!trusts(&judge, &stranger, action, &context));
    assert!(!trusts(&judge, &provider, "sts:AssumeRole", &context));
}

#[test]
fn pod_identity_trusts_the_service_account_by_its_session_tags() {
    let judge = policy(&[
        "--kind",
        "trust",
        "--principal",
        "pod-identity",
        "--service-account",
        "team-a/chat",
        "--cluster-arn",
        "arn:aws:eks:us-east-1:123456789012:cluster/prod",
    ]);
    let pods = Principal::Service("pods.eks.amazonaws.com".to_owned());
    let tags = |namespace: &str, name: &str, cluster: &str| {
        Context::new()
            .with("aws:RequestTag/kubernetes-namespace", namespace)
            .with("aws:RequestTag/kubernetes-service-account", name)
            .with(
                "aws:RequestTag/eks-cluster-arn",
                format!("arn:aws:eks:us-east-1:123456789012:cluster/{cluster}"),
            )
    };
    for action in ["sts:AssumeRole", "sts:TagSession"] {
        assert!(trusts(
            &judge,
            &pods,
            action,
            &tags("team-a", "chat", "prod")
        ));
        assert!(!trusts(
            &judge,
            &pods,
            action,
            &tags("team-b", "chat", "prod")
        ));
        assert!(!trusts(
            &judge,
            &pods,
            action,
            &tags("team-a", "app", "prod")
        ));
        assert!(!trusts(
            &judge,
            &pods,
            action,
            &tags("team-a", "chat", "test")
        ));
        assert!(!trusts(&judge, &pods, action, &Context::new()));
    }
    let ec2 = Principal::Service("ec2.amazonaws.com".to_owned());
    assert!(!trusts(
        &judge,
        &ec2,
        "sts:AssumeRole",
        &tags("team-a", "chat", "prod")
    ));
}

#[test]
fn github_trusts_one_repository_and_the_runs_that_are_named() {
    let judge = policy(&[
        "--kind",
        "trust",
        "--principal",
        "github",
        "--account",
        ACCOUNT,
        "--repository",
        "octo/site",
        "--ref",
        "refs/heads/main",
        "--environment",
        "production",
    ]);
    let issuer = "token.actions.githubusercontent.com";
    let provider = Principal::Federated(format!("arn:aws:iam::{ACCOUNT}:oidc-provider/{issuer}"));
    for (subject, trusted) in [
        ("repo:octo/site:ref:refs/heads/main", true),
        ("repo:octo/site:environment:production", true),
        ("repo:octo/site:ref:refs/heads/mainline", false),
        ("repo:octo/site:pull_request", false),
        ("repo:octo/site2:ref:refs/heads/main", false),
        ("repo:evil/site:ref:refs/heads/main", false),
    ] {
        let context = Context::new()
            .with(&format!("{issuer}:sub"), subject)
            .with(&format!("{issuer}:aud"), "sts.amazonaws.com");
        let action = "sts:AssumeRoleWithWebIdentity";
        assert_eq!(
            trusts(&judge, &provider, action, &context),
            trusted,
            "{subject}"
        );
    }
}

fn role_session(name: &str) -> Principal {
    Principal::Aws {
        arn: format!("arn:aws:sts::{ACCOUNT}:assumed-role/{name}/s"),
        role_arn: Some(format!("arn:aws:iam::{ACCOUNT}:role/{name}")),
        account: ACCOUNT.to_owned(),
    }
}

#[test]
fn another_account_is_let_in_by_role_and_external_id() {
    let judge = policy(&[
        "--kind",
        "trust",
        "--principal",
        "cross-account",
        "--trusted-arn",
        ROLE,
        "--external-id",
        "agreed",
    ]);
    let knows = Context::new().with("sts:ExternalId", "agreed");
    assert!(trusts(
        &judge,
        &role_session("BedrockRole"),
        "sts:AssumeRole",
        &knows
    ));
    assert!(!trusts(
        &judge,
        &role_session("Other"),
        "sts:AssumeRole",
        &knows
    ));
    for context in [
        Context::new(),
        Context::new().with("sts:ExternalId", "guessed"),
    ] {
        assert!(!trusts(
            &judge,
            &role_session("BedrockRole"),
            "sts:AssumeRole",
            &context
        ));
    }
}

#[test]
fn aws_services_are_trusted_one_by_one() {
    for (principal, service, other) in [
        ("ec2", "ec2.amazonaws.com", "ecs-tasks.amazonaws.com"),
        ("ecs", "ecs-tasks.amazonaws.com", "lambda.amazonaws.com"),
        ("lambda", "lambda.amazonaws.com", "ec2.amazonaws.com"),
    ] {
        let judge = policy(&["--kind", "trust", "--principal", principal]);
        let by = |name: &str| {
            trusts(
                &judge,
                &Principal::Service(name.to_owned()),
                "sts:AssumeRole",
                &Context::new(),
            )
        };
        assert!(by(service), "{principal}");
        assert!(!by(other), "{principal}");
    }
}

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

fn with_access(text: &str, arguments: &[&str]) -> Result<(String, String), String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    let all: Vec<&str> = ["--access", &path]
        .iter()
        .chain(arguments)
        .copied()
        .collect();
    printed(&all)
}

#[test]
fn a_chain_of_an_access_gets_a_policy_for_each_end() {
    let issuer = ["--issuer", "https://oidc.example"];
    let text = |arguments: &[&str]| with_access(ACCESS, arguments).unwrap();
    let judge = |arguments: &[&str]| Judge(Policy::from_json(&text(arguments).0).unwrap());

    let (_, notes) = text(&[]);
    assert!(
        notes.contains("arn:aws:iam::210987654321:role/Models"),
        "{notes}"
    );
    assert!(judge(&[]).model("us-east-1", HAIKU));

    let chain = judge(&["--kind", "chain"]);
    let models = "arn:aws:iam::210987654321:role/Models";
    assert!(chain.allows("sts:AssumeRole", models, &Context::new()));
    assert!(!chain.allows("sts:AssumeRole", ROLE, &Context::new()));

    let last = judge(&["--kind", "trust"]);
    let knows = Context::new().with("sts:ExternalId", "agreed");
    assert!(trusts(
        &last,
        &role_session("BedrockRole"),
        "sts:AssumeRole",
        &knows
    ));
    assert!(!trusts(
        &last,
        &role_session("Other"),
        "sts:AssumeRole",
        &knows
    ));

    let first = judge(&[&["--kind", "trust", "--principal", "irsa"][..], &issuer].concat());
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
fn role_of_a_target_is_printed_by_its_arn() {
    let far = "arn:aws:iam::345678901234:role/Far";
    let access = ACCESS.replace(
        "models: [{name: fast, modelId: 'anthropic.claude-3-haiku-20240307-v1:0'}]",
        &format!(
            "models: [{{name: fast, targets: [{{modelId: '{HAIKU}'}}, {{modelId: amazon.nova-lite-v1:0, assumeRole: {{roleArn: '{far}', externalId: theirs}}}}]}}]"
        ),
    );
    let text = |arguments: &[&str]| with_access(&access, arguments).unwrap();
    let judge = |arguments: &[&str]| Judge(Policy::from_json(&text(arguments).0).unwrap());

    let (_, notes) = text(&[]);
    assert!(notes.contains(&format!("--role-arn {far}")), "{notes}");
    let signs = judge(&[]);
    assert!(signs.model("us-east-1", HAIKU));
    assert!(!signs.model("us-east-1", "amazon.nova-lite-v1:0"));
    assert!(signs.allows("sts:AssumeRole", far, &Context::new()));

    let own = judge(&["--role-arn", far]);
    assert!(own.model("us-east-1", "amazon.nova-lite-v1:0"));
    assert!(!own.model("us-east-1", HAIKU));
    assert!(!own.allows("sts:AssumeRole", far, &Context::new()));

    let trust = judge(&["--role-arn", far, "--kind", "trust"]);
    let knows = Context::new().with("sts:ExternalId", "theirs");
    let models = Principal::Aws {
        arn: "arn:aws:sts::210987654321:assumed-role/Models/s".to_owned(),
        role_arn: Some("arn:aws:iam::210987654321:role/Models".to_owned()),
        account: "210987654321".to_owned(),
    };
    assert!(trusts(&trust, &models, "sts:AssumeRole", &knows));
    assert!(!trusts(&trust, &models, "sts:AssumeRole", &Context::new()));
}

#[test]
fn every_format_carries_the_same_documents() {
    let access = ACCESS
        .lines()
        .filter(|line| !line.contains("assumeRoles"))
        .collect::<Vec<_>>()
        .join("\n");
    let role = |format: &str| {
        let arguments = [
            "--kind",
            "role",
            "--issuer",
            "https://oidc.example",
            "--format",
            format,
        ];
        with_access(&access, &arguments).unwrap().0
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
fn what_is_missing_is_named_with_the_option_that_gives_it() {
    for (arguments, expected) in [
        (&["--kind", "trust"][..], "--principal"),
        (&["--kind", "trust", "--principal", "irsa"][..], "--issuer"),
        (
            &[
                "--kind",
                "trust",
                "--principal",
                "irsa",
                "--issuer",
                "https://x",
            ][..],
            "--service-account",
        ),
        (
            &[
                "--kind",
                "trust",
                "--principal",
                "github",
                "--account",
                ACCOUNT,
            ][..],
            "--repository",
        ),
        (
            &["--kind", "trust", "--principal", "pod-identity"][..],
            "--service-account",
        ),
        (&["--kind", "chain"][..], "--role-arn"),
        (&["--model", HAIKU][..], "region"),
        (&["--account", "12"][..], "12 digits"),
        (&["--service-account", "chat"][..], "NAMESPACE/NAME"),
        (&["--config", "/nowhere.yaml"][..], "/nowhere.yaml"),
    ] {
        let error = printed(arguments).unwrap_err();
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    let error = with_access("kind: Pod", &[]).unwrap_err();
    assert!(error.contains("BedrockAccess"), "{error}");
}

#[test]
fn guesses_and_openness_are_remarked_on() {
    let (_, notes) = printed(&["--region", "us-east-1"]).unwrap();
    assert!(
        notes.contains("any model is allowed") && notes.contains("--account"),
        "{notes}"
    );
    let (_, notes) = printed(&["--model", HAIKU, "--region", "us-east-1"]).unwrap();
    assert_eq!(notes, "");
}

#[test]
fn models_that_mantle_serves_by_the_table_may_be_inferred_there_and_others_not() {
    let here = Context::new().with("aws:RequestedRegion", "us-east-2");
    let project = format!("arn:aws:bedrock-mantle:us-east-2:{ACCOUNT}:project/default");
    let infer = "bedrock-mantle:CreateInference";
    for (model, allowed) in [
        ("openai.gpt-5.5", true),
        ("openai.gpt-oss-20b", true),
        ("openai.gpt-oss-20b-1:0", false),
        ("us.openai.gpt-5.6-sol", false),
        (HAIKU, false),
    ] {
        let arguments = [
            "--model",
            model,
            "--region",
            "us-east-2",
            "--account",
            ACCOUNT,
        ];
        let judge = policy(&arguments);
        assert_eq!(judge.allows(infer, &project, &here), allowed, "{model}");
        let other = format!("arn:aws:bedrock-mantle:us-east-2:{ACCOUNT}:project/proj_1");
        assert!(!judge.allows(infer, &other, &here), "{model}");
    }
}
