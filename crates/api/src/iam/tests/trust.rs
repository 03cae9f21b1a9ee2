//! Trust policies.

use super::*;

#[test]
fn irsa_trusts_one_provider_audience_and_account() {
    let trust = Trust::irsa(
        &role(),
        "https://oidc.eks.us-east-1.amazonaws.com/id/ABC/",
        "sts.amazonaws.com",
        &[("team-a", "chat")],
    );
    let policy: Value = serde_json::from_str(&trust_policy(&trust).unwrap()).unwrap();
    assert_eq!(
        policy["Statement"][0],
        serde_json::json!({
            "Sid": "WebIdentity",
            "Effect": "Allow",
            "Principal": {
                "Federated": "arn:aws:iam::123456789012:oidc-provider/oidc.eks.us-east-1.amazonaws.com/id/ABC"
            },
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": {
                "oidc.eks.us-east-1.amazonaws.com/id/ABC:aud": "sts.amazonaws.com",
                "oidc.eks.us-east-1.amazonaws.com/id/ABC:sub": "system:serviceaccount:team-a:chat",
            }},
        })
    );
}

#[test]
fn subjects_are_in_one_list_and_patterns_use_string_like() {
    let trust = Trust::irsa(&role(), "i.example", "a", &[("b", "y"), ("a", "x")]);
    let policy: Value = serde_json::from_str(&trust_policy(&trust).unwrap()).unwrap();
    assert_eq!(
        policy["Statement"][0]["Condition"]["StringEquals"]["i.example:sub"],
        serde_json::json!(["system:serviceaccount:a:x", "system:serviceaccount:b:y"])
    );
    let any = Trust::github(Partition::Aws, "123456789012", "o/r", &[GitHubFilter::Any]);
    let policy: Value = serde_json::from_str(&trust_policy(&any).unwrap()).unwrap();
    let condition = &policy["Statement"][0]["Condition"];
    let key = "token.actions.githubusercontent.com";
    assert_eq!(condition["StringLike"][format!("{key}:sub")], "repo:o/r:*");
    assert_eq!(
        condition["StringEquals"][format!("{key}:aud")],
        "sts.amazonaws.com"
    );
}

#[test]
fn trust_in_any_owner_or_in_no_principal_is_rejected() {
    for trust in [
        Trust::github(Partition::Aws, "123456789012", "*/r", &[GitHubFilter::Any]),
        Trust::github(Partition::Aws, "123456789012", "repo", &[GitHubFilter::Any]),
        Trust::github(Partition::Aws, "123456789012", "o/r", &[]),
        Trust::github(Partition::Aws, "1234", "o/r", &[GitHubFilter::Any]),
        Trust::irsa(&role(), "", "a", &[("a", "x")]),
        Trust::irsa(&role(), "i.example", "a", &[]),
        Trust::irsa(&role(), "i.example", "a", &[("*", "x")]),
        Trust::irsa(&role(), "i.example", "a", &[("", "x")]),
        Trust::CrossAccount {
            principals: vec![],
            external_id: None,
        },
        Trust::CrossAccount {
            principals: vec!["*".to_owned()],
            external_id: None,
        },
        Trust::Service {
            service: Service::Ec2,
            partition: Partition::EuropeanSovereign,
            account: None,
        },
    ] {
        trust_policy(&trust).unwrap_err();
    }
}

#[test]
fn service_principals_follow_the_partition() {
    for (service, partition, principal) in [
        (Service::Ec2, Partition::Aws, "ec2.amazonaws.com"),
        (Service::Ec2, Partition::GovCloud, "ec2.amazonaws.com"),
        (Service::Ec2, Partition::China, "ec2.amazonaws.com.cn"),
        (
            Service::EcsTasks,
            Partition::China,
            "ecs-tasks.amazonaws.com",
        ),
        (
            Service::Lambda,
            Partition::EuropeanSovereign,
            "lambda.amazonaws.com",
        ),
    ] {
        let trust = Trust::Service {
            service,
            partition,
            account: None,
        };
        let policy: Value = serde_json::from_str(&trust_policy(&trust).unwrap()).unwrap();
        assert_eq!(policy["Statement"][0]["Principal"]["Service"], principal);
    }
}
