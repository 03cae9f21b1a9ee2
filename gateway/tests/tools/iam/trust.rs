//! Trust policies.

use awsdouble::policy::{Context, Principal};

use super::{ACCOUNT, ROLE, policy, role_session, trusts};

#[test]
fn irsa_trusts_the_named_service_accounts_of_one_cluster() {
    let policy = policy(&format!(
        "--kind trust --principal irsa --role-arn {ROLE} \
         --issuer https://oidc.example/id/A \
         --service-account team-a/chat --service-account team-b/app"
    ));
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
            trusts(&policy, &provider, action, &context),
            trusted,
            "{subject} {audience}"
        );
    }
    let context = claims("system:serviceaccount:team-a:chat", "sts.amazonaws.com");
    let other_provider = Principal::Federated(format!(
        "arn:aws:iam::{ACCOUNT}:oidc-provider/oidc.example/id/B"
    ));
    assert!(!trusts(&policy, &other_provider, action, &context));
    assert!(!trusts(&policy, &provider, "sts:AssumeRole", &context));
}

#[test]
fn pod_identity_trusts_the_service_account_by_its_session_tags() {
    let policy = policy(
        "--kind trust --principal pod-identity --service-account team-a/chat \
         --cluster-arn arn:aws:eks:us-east-1:123456789012:cluster/prod",
    );
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
            &policy,
            &pods,
            action,
            &tags("team-a", "chat", "prod")
        ));
        assert!(!trusts(
            &policy,
            &pods,
            action,
            &tags("team-b", "chat", "prod")
        ));
        assert!(!trusts(
            &policy,
            &pods,
            action,
            &tags("team-a", "app", "prod")
        ));
        assert!(!trusts(
            &policy,
            &pods,
            action,
            &tags("team-a", "chat", "test")
        ));
        assert!(!trusts(&policy, &pods, action, &Context::new()));
    }
    let ec2 = Principal::Service("ec2.amazonaws.com".to_owned());
    assert!(!trusts(
        &policy,
        &ec2,
        "sts:AssumeRole",
        &tags("team-a", "chat", "prod")
    ));
}

#[test]
fn github_trusts_the_named_ref_and_environment_of_one_repository() {
    let policy = policy(&format!(
        "--kind trust --principal github --account {ACCOUNT} \
         --repository octo/site --ref refs/heads/main --environment production"
    ));
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
            trusts(&policy, &provider, action, &context),
            trusted,
            "{subject}"
        );
    }
}

#[test]
fn cross_account_trusts_the_named_role_with_the_external_id() {
    let policy = policy(&format!(
        "--kind trust --principal cross-account \
         --trusted-arn {ROLE} --external-id agreed"
    ));
    let agreed = Context::new().with("sts:ExternalId", "agreed");
    assert!(trusts(
        &policy,
        &role_session("BedrockRole"),
        "sts:AssumeRole",
        &agreed
    ));
    assert!(!trusts(
        &policy,
        &role_session("Other"),
        "sts:AssumeRole",
        &agreed
    ));
    for context in [
        Context::new(),
        Context::new().with("sts:ExternalId", "guessed"),
    ] {
        assert!(!trusts(
            &policy,
            &role_session("BedrockRole"),
            "sts:AssumeRole",
            &context
        ));
    }
}

#[test]
fn service_principals_are_trusted_separately() {
    for (principal, service, other) in [
        ("ec2", "ec2.amazonaws.com", "ecs-tasks.amazonaws.com"),
        ("ecs", "ecs-tasks.amazonaws.com", "lambda.amazonaws.com"),
        ("lambda", "lambda.amazonaws.com", "ec2.amazonaws.com"),
    ] {
        let policy = policy(&format!("--kind trust --principal {principal}"));
        let by = |name: &str| {
            trusts(
                &policy,
                &Principal::Service(name.to_owned()),
                "sts:AssumeRole",
                &Context::new(),
            )
        };
        assert!(by(service), "{principal}");
        assert!(!by(other), "{principal}");
    }
}
