//! Permission policies.

use awsdouble::policy::{Context, Policy, Request, evaluate};

use super::{ACCOUNT, Evaluator, HAIKU, SONNET, policy, run_with_file};

#[track_caller]
fn policy_of_config(config: &str, arguments: &str) -> Evaluator {
    Evaluator::of(&run_with_file("--config", config, arguments).unwrap().0)
}

#[test]
fn allows_one_model_and_denies_other_models_regions_and_actions() {
    let policy = policy(&format!("--model {HAIKU} --region us-east-1"));
    assert!(policy.model("us-east-1", HAIKU));
    assert!(!policy.model("us-west-2", HAIKU));
    assert!(!policy.model("us-east-1", SONNET));
    assert!(!policy.profile("us-east-1", &format!("us.{HAIKU}"), "us-east-1"));
    let here = Context::new().with("aws:RequestedRegion", "us-east-1");
    for action in [
        "bedrock:ListFoundationModels",
        "bedrock:CallWithBearerToken",
        "bedrock:CountTokens",
        "bedrock:CreateModelCustomizationJob",
        "iam:PassRole",
    ] {
        assert!(!policy.allows(action, "*", &here), "{action}");
    }
}

#[test]
fn allows_listing_counting_and_api_keys_only_with_their_flags() {
    let arguments = format!("--model {HAIKU} --region us-east-1");
    let here = Context::new().with("aws:RequestedRegion", "us-east-1");
    let model = format!("arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}");
    for (switch, action, resource) in [
        ("--with-listing", "bedrock:ListFoundationModels", "*"),
        ("--with-listing", "bedrock:ListInferenceProfiles", "*"),
        ("--with-count-tokens", "bedrock:CountTokens", model.as_str()),
        ("--with-bearer", "bedrock:CallWithBearerToken", "*"),
    ] {
        let without = policy(&arguments);
        let with = policy(&format!("{arguments} {switch}"));
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
fn restricted_regions_deny_requests_that_the_arn_allows() {
    let config = format!(
        "region: us-east-1\nallow: ['*']\nmodels: [{{name: m, targets: [{{modelId: {HAIKU}}}]}}]"
    );
    let bound = policy_of_config(&config, "--restrict-region --with-listing");
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
    // The same resource, requested in another region.
    let arn = format!("arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}");
    let elsewhere = Context::new().with("aws:RequestedRegion", "us-west-2");
    assert!(!bound.allows("bedrock:InvokeModel", &arn, &elsewhere));
}

#[test]
fn geographic_profile_is_allowed_in_its_regions_only() {
    let profile = format!("eu.{SONNET}");
    for switch in ["", "--restrict-region"] {
        let policy = policy(&format!(
            "--model {profile} --region eu-central-1 --account {ACCOUNT} {switch}"
        ));
        for region in ["eu-central-1", "eu-north-1", "eu-west-3"] {
            assert!(policy.profile("eu-central-1", &profile, region), "{region}");
        }
        assert!(!policy.profile("eu-central-1", &profile, "us-east-1"));
        assert!(
            !policy.profile("eu-west-1", &profile, "eu-west-1"),
            "another source"
        );
        assert!(!policy.profile("eu-central-1", &format!("global.{SONNET}"), "eu-central-1"));
        assert!(!policy.model("eu-central-1", SONNET), "without the profile");
    }
}

#[test]
fn unlisted_profile_is_allowed_in_any_region_but_only_through_the_profile() {
    let policy = policy(&format!(
        "--model eu.maker.new --region eu-west-1 --account {ACCOUNT}"
    ));
    assert!(policy.profile("eu-west-1", "eu.maker.new", "eu-south-1"));
    assert!(!policy.model("eu-south-1", "maker.new"));
    assert!(!policy.profile("eu-west-1", "us.maker.new", "us-east-1"));
}

#[test]
fn global_profile_is_allowed_in_the_unspecified_region() {
    let profile = format!("global.{SONNET}");
    let policy = policy(&format!(
        "--model {profile} --region us-east-1 --account {ACCOUNT}"
    ));
    assert!(policy.profile("us-east-1", &profile, "unspecified"));
    assert!(policy.profile("us-east-1", &profile, "us-east-1"));
    assert!(!policy.profile("us-east-1", &profile, "eu-west-1"));
    let model = format!("arn:aws:bedrock:::foundation-model/{SONNET}");
    let bare = Context::new().with("aws:RequestedRegion", "unspecified");
    assert!(
        !policy.allows("bedrock:InvokeModel", &model, &bare),
        "without the profile"
    );
}

#[test]
fn application_profile_allows_its_models_only_through_itself() {
    let arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc";
    let policy = policy(&format!("--model {arn} --region us-east-1"));
    let here = Context::new().with("aws:RequestedRegion", "us-east-1");
    assert!(policy.allows("bedrock:InvokeModel", arn, &here));
    assert!(!policy.allows("bedrock:InvokeModel", &arn.replace("abc", "other"), &here));
    let through = here.clone().with("bedrock:InferenceProfileArn", arn);
    assert!(policy.model_with(&through, "us-east-1", HAIKU));
    assert!(!policy.model("us-east-1", HAIKU));
}

#[test]
fn requests_without_the_guardrail_are_denied() {
    let guardrail = "arn:aws:bedrock:us-east-1:123456789012:guardrail/gr1";
    let config = format!(
        "region: us-east-1\nguardrail: {{identifier: gr1, version: '3'}}\n\
         models: [{{name: m, targets: [{{modelId: {HAIKU}}}, {{modelId: us.{SONNET}}}]}}]"
    );
    let policy = policy_of_config(&config, &format!("--account {ACCOUNT}"));
    let with = |version: &str| {
        Context::new().with(
            "bedrock:GuardrailIdentifier",
            format!("{guardrail}:{version}"),
        )
    };
    assert!(policy.model_with(&with("3"), "us-east-1", HAIKU));
    assert!(
        !policy.model_with(&with("2"), "us-east-1", HAIKU),
        "another version"
    );
    assert!(!policy.model("us-east-1", HAIKU), "no guardrail");
    assert!(policy.allows("bedrock:ApplyGuardrail", guardrail, &Context::new()));
    assert!(!policy.allows(
        "bedrock:ApplyGuardrail",
        &guardrail.replace("gr1", "gr2"),
        &Context::new()
    ));

    // The deny overrides another policy of the role.
    let broad = Policy::from_json(&awsdouble::allow_bedrock().to_string()).unwrap();
    let both = [broad, policy.0];
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
fn patterns_allow_only_matching_models() {
    let config = "region: us-east-1\nallow: ['anthropic.claude-3-*', 'us.anthropic.*']";
    let policy = policy_of_config(config, &format!("--account {ACCOUNT}"));
    assert!(policy.model("us-east-1", HAIKU));
    assert!(!policy.model("us-east-1", "amazon.nova-lite-v1:0"));
    assert!(!policy.model("us-east-1", SONNET));
    assert!(policy.profile("us-east-1", &format!("us.{SONNET}"), "us-west-2"));
    assert!(!policy.profile("us-east-1", "us.amazon.nova-lite-v1:0", "us-west-2"));
}

#[test]
fn arns_have_the_partition_of_the_region() {
    for (region, partition) in [
        ("us-gov-west-1", "aws-us-gov"),
        ("cn-north-1", "aws-cn"),
        ("eusc-de-east-1", "aws-eusc"),
        ("us-iso-east-1", "aws-iso"),
    ] {
        let policy = policy(&format!("--model {HAIKU} --region {region}"));
        let arn =
            |partition: &str| format!("arn:{partition}:bedrock:{region}::foundation-model/{HAIKU}");
        assert!(
            policy.allows("bedrock:InvokeModel", &arn(partition), &Context::new()),
            "{region}"
        );
        assert!(
            !policy.allows("bedrock:InvokeModel", &arn("aws"), &Context::new()),
            "{region}"
        );
    }
}

#[test]
fn mantle_inference_is_allowed_only_for_models_that_mantle_serves() {
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
        let policy = policy(&format!(
            "--model {model} --region us-east-2 --account {ACCOUNT}"
        ));
        assert_eq!(policy.allows(infer, &project, &here), allowed, "{model}");
        let other = format!("arn:aws:bedrock-mantle:us-east-2:{ACCOUNT}:project/proj_1");
        assert!(!policy.allows(infer, &other, &here), "{model}");
    }
}
