//! Notes about models, and policies for families of models.

use super::{ACCOUNT, HAIKU, SONNET, policy, run, run_with_file};

#[test]
fn notes_name_what_is_wrong_with_a_model() {
    for (arguments, expected) in [
        (
            "--model us.amazon.nova-lite-v1:0 --region eu-central-1",
            "use eu.amazon.nova-lite-v1:0",
        ),
        (
            "--model amazon.titan-text-express-v1 --region us-east-1",
            "is retired",
        ),
        (
            "--model us.anthropic.claude-3-opus-20240229-v1:0 --region us-east-1",
            "is retired",
        ),
        (
            "--model anthropic.claude-3-hiaku-20240307-v1:0 --region us-east-1",
            "check the spelling",
        ),
        (&format!("--model {HAIKU} --region eu-west-3"), "is legacy"),
        (
            &format!("--model {HAIKU} --region us-east-1"),
            "cannot be called from us-east-1",
        ),
    ] {
        let (out, notes) = run(arguments).unwrap();
        assert!(
            out.contains("foundation-model"),
            "the policy is printed: {out}"
        );
        assert!(notes.contains(expected), "{arguments}: {notes}");
        assert!(notes.contains("(table of 20"), "{notes}");
    }
    let current = "--model us.amazon.nova-2-lite-v1:0 --region us-east-1 --account 123456789012";
    assert_eq!(run(current).unwrap().1, "");
    let config = "region: us-east-1\nallow: [amazon.titan-text-lite-v1, 'amazon.*']";
    let (_, notes) = run_with_file("--config", config, "").unwrap();
    assert!(
        notes.contains("amazon.titan-text-lite-v1 is retired"),
        "{notes}"
    );
}

#[test]
fn missing_region_is_an_error_that_names_the_option() {
    for model in ["us.amazon.nova-2-lite-v1:0", "anthropic.claude-*"] {
        let error = run(&format!("--model {model}")).unwrap_err();
        assert!(
            error.contains("--region") && error.contains("AWS_REGION"),
            "{error}"
        );
        assert!(error.contains(model), "{error}");
        assert!(!error.contains("targets["), "{error}");
    }
    let config = "models: [{name: m, targets: [{modelId: amazon.nova-lite-v1:0}]}]";
    let error = run_with_file("--config", config, "").unwrap_err();
    assert!(error.contains("models[0].targets[0].region"), "{error}");
}

#[test]
fn family_includes_its_inference_profiles_and_no_other_model() {
    let arguments = format!("--model anthropic.claude-* --region us-east-1 --account {ACCOUNT}");
    let allowed = policy(&arguments);
    assert!(allowed.model("us-east-1", HAIKU));
    for (profile, destination) in [
        (format!("us.{SONNET}"), "us-west-2"),
        (format!("global.{SONNET}"), "unspecified"),
    ] {
        assert!(
            allowed.profile("us-east-1", &profile, destination),
            "{profile}"
        );
    }
    assert!(!allowed.model("us-west-2", HAIKU), "without a profile");
    assert!(!allowed.model("us-east-1", "amazon.nova-lite-v1:0"));
    assert!(!allowed.profile("us-east-1", "us.amazon.nova-lite-v1:0", "us-west-2"));
    assert!(!allowed.profile("eu-west-1", &format!("eu.{SONNET}"), "eu-west-1"));
    let notes = run(&arguments).unwrap().1;
    assert!(notes.contains("global profiles"), "{notes}");

    let area = policy(&arguments.replace("anthropic", "us.anthropic"));
    assert!(area.profile("us-east-1", &format!("us.{SONNET}"), "us-west-2"));
    assert!(!area.profile("us-east-1", &format!("global.{SONNET}"), "unspecified"));
    assert!(!area.model("us-east-1", HAIKU));
}
