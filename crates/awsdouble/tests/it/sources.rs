//! Credentials endpoints other than STS, role chaining, and IAM.

use aws_credential_types::Credentials;
use aws_sdk_sts::error::ProvideErrorMetadata as _;
use awsdouble::config::{Container, Github, Instance, PodIdentityAssociation, SsoSession};
use awsdouble::{Double, allow_bedrock};
use serde_json::{Value, json};

use crate::client::*;

const OTHER: &str = "arn:aws:iam::123456789012:role/Other";

fn service_trust(service: &str) -> Value {
    json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
        "Principal": {"Service": service}, "Action": ["sts:AssumeRole", "sts:TagSession"]}]})
}

pub(crate) fn statement(action: &str, resource: &str) -> Value {
    json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": resource}]})
}

pub(crate) fn parse(body: &str) -> Value {
    serde_json::from_str(body).expect(body)
}

fn credentials(document: &Value) -> Credentials {
    let text = |name: &str| document[name].as_str().unwrap().to_owned();
    Credentials::new(
        text("AccessKeyId"),
        text("SecretAccessKey"),
        Some(text("Token")),
        None,
        "test",
    )
}

async fn caller_arn(double: &Double, credentials: Credentials) -> String {
    let reply = sts(double, Some(credentials))
        .get_caller_identity()
        .send()
        .await
        .unwrap();
    reply.arn().unwrap().to_owned()
}

#[tokio::test]
async fn a_container_gets_credentials_by_path_and_token() {
    let (double, _) = irsa_with(|mut config| {
        config.containers = vec![
            Container {
                path: "/v2/credentials/abc".to_owned(),
                role_arn: OTHER.to_owned(),
                authorization: None,
            },
            Container {
                path: "/my/credentials".to_owned(),
                role_arn: OTHER.to_owned(),
                authorization: Some("secret".to_owned()),
            },
        ];
        config.with_role(
            OTHER,
            service_trust("ecs-tasks.amazonaws.com"),
            allow_bedrock(),
        )
    })
    .await;
    let (status, _, body) = http(&double, "GET", "/v2/credentials/abc", &[], "").await;
    assert_eq!(status, 200, "{body}");
    let document = parse(&body);
    assert_eq!(document["RoleArn"], OTHER);
    assert!(
        caller_arn(&double, credentials(&document))
            .await
            .contains("assumed-role/Other/")
    );
    let (status, _, body) = http(&double, "GET", "/v2/credentials/xyz", &[], "").await;
    assert_eq!(
        (status, parse(&body)["code"].clone()),
        (400, json!("InvalidIdInRequest"))
    );
    assert_eq!(
        http(&double, "GET", "/my/credentials", &[], "").await.0,
        401
    );
    let header = [("authorization", "secret")];
    assert_eq!(
        http(&double, "GET", "/my/credentials", &header, "").await.0,
        200
    );
}

#[tokio::test]
async fn pod_identity_checks_audience_association_and_trust() {
    let condition = json!({"StringEquals": {
        "aws:RequestTag/kubernetes-namespace": "team-a", "aws:RequestTag/kubernetes-service-account": "app"}});
    let mut trust = service_trust("pods.eks.amazonaws.com");
    trust["Statement"][0]["Condition"] = condition;
    let association = |name: &str| PodIdentityAssociation {
        cluster: "demo".to_owned(),
        namespace: "team-a".to_owned(),
        service_account: name.to_owned(),
        role_arn: OTHER.to_owned(),
    };
    let (double, issuer) = irsa_with(|mut config| {
        config.pod_identity_associations = vec![association("app"), association("wrong")];
        config.with_role(OTHER, trust, allow_bedrock())
    })
    .await;
    let token = |name: &str, audience: &str| {
        issuer
            .service_account_token("team-a", name, audience, now(), now() + 600)
            .unwrap()
    };
    let get = async |token: String| {
        http(
            &double,
            "GET",
            "/v1/credentials",
            &[("authorization", &token)],
            "",
        )
        .await
    };
    let (status, _, body) = get(token("app", "pods.eks.amazonaws.com")).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(parse(&body)["AccountId"], "123456789012");
    assert!(
        caller_arn(&double, credentials(&parse(&body)))
            .await
            .contains("assumed-role/Other/eks-demo-")
    );
    let (status, _, body) = get(token("app", "sts.amazonaws.com")).await;
    assert_eq!(
        (status, parse(&body)["code"].clone()),
        (400, json!("InvalidTokenException"))
    );
    assert_eq!(
        get(token("stranger", "pods.eks.amazonaws.com")).await.0,
        404
    );
    let (_, _, body) = get(token("wrong", "pods.eks.amazonaws.com")).await;
    assert_eq!(parse(&body)["code"], "AccessDeniedException");
}

#[tokio::test]
async fn instance_metadata_requires_a_session_token() {
    let (double, _) = irsa_with(|mut config| {
        config.instance = Some(Instance {
            role_arn: OTHER.to_owned(),
            region: "eu-west-1".to_owned(),
        });
        config.with_role(OTHER, service_trust("ec2.amazonaws.com"), allow_bedrock())
    })
    .await;
    let roles = "/latest/meta-data/iam/security-credentials/";
    assert_eq!(
        http(&double, "GET", roles, &[], "").await.0,
        401,
        "version 1"
    );
    let ttl = ("x-aws-ec2-metadata-token-ttl-seconds", "21600");
    assert_eq!(
        http(&double, "PUT", "/latest/api/token", &[], "").await.0,
        400
    );
    let proxied = [ttl, ("x-forwarded-for", "10.0.0.1")];
    assert_eq!(
        http(&double, "PUT", "/latest/api/token", &proxied, "")
            .await
            .0,
        403
    );
    let (status, _, token) = http(&double, "PUT", "/latest/api/token", &[ttl], "").await;
    assert_eq!(status, 200);
    let header = [("x-aws-ec2-metadata-token", token.as_str())];
    assert_eq!(http(&double, "GET", roles, &header, "").await.2, "Other");
    let (_, _, body) = http(&double, "GET", &format!("{roles}Other"), &header, "").await;
    assert_eq!(parse(&body)["Code"], "Success");
    assert!(
        caller_arn(&double, credentials(&parse(&body)))
            .await
            .contains("assumed-role/Other/i-")
    );
    let region = http(
        &double,
        "GET",
        "/latest/meta-data/placement/region",
        &header,
        "",
    )
    .await
    .2;
    assert_eq!(region, "eu-west-1");
    assert_eq!(
        http(&double, "GET", &format!("{roles}Missing"), &header, "")
            .await
            .0,
        404
    );
}

#[tokio::test]
async fn sts_accepts_a_workflow_token_for_its_repository_only() {
    let host = "token.actions.githubusercontent.com";
    let trust = |subject: &str| {
        json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
            "Principal": {"Federated": format!("arn:aws:iam::123456789012:oidc-provider/{host}")},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": {(format!("{host}:aud")): "sts.amazonaws.com"},
                          "StringLike": {(format!("{host}:sub")): subject}}}]})
    };
    let (double, _) = irsa_with(|mut config| {
        config.roles.clear();
        config.github = Some(Github {
            request_token: "request-token".to_owned(),
            subject: "repo:octo/site:ref:refs/heads/main".to_owned(),
            claims: std::collections::BTreeMap::new(),
        });
        config
            .with_role(ROLE, trust("repo:octo/site:*"), allow_bedrock())
            .with_role(OTHER, trust("repo:octo/else:*"), allow_bedrock())
    })
    .await;
    let path = "/github/oidc/token?api-version=2.0&audience=sts.amazonaws.com";
    assert_eq!(http(&double, "GET", path, &[], "").await.0, 401);
    let header = [("authorization", "bearer request-token")];
    let (status, _, body) = http(&double, "GET", path, &header, "").await;
    assert_eq!(status, 200, "{body}");
    let token = parse(&body)["value"].as_str().unwrap().to_owned();
    assume(&double, &token).await;
    let other = sts(&double, None)
        .assume_role_with_web_identity()
        .role_arn(OTHER)
        .role_session_name("test")
        .web_identity_token(&token)
        .send()
        .await;
    assert_eq!(other.unwrap_err().code(), Some("AccessDenied"));
    let (_, _, body) = http(&double, "GET", "/github/oidc/token", &header, "").await;
    let token = parse(&body)["value"].as_str().unwrap().to_owned();
    let rejected = sts(&double, None)
        .assume_role_with_web_identity()
        .role_arn(ROLE)
        .role_session_name("test")
        .web_identity_token(&token)
        .send()
        .await;
    assert_eq!(
        rejected.unwrap_err().code(),
        Some("InvalidIdentityToken"),
        "default audience"
    );
}

#[tokio::test]
async fn role_chaining_requires_trust_permission_and_external_id() {
    let other_account = "arn:aws:iam::999999999999:role/Cross";
    let trust = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
        "Principal": {"AWS": ROLE}, "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": "xyz"}}}]});
    let permission = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "bedrock:*", "Resource": "*"},
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": other_account}]});
    let (double, issuer) = irsa_with(|mut config| {
        config.roles[0].policies = vec![permission];
        config
            .with_role(other_account, trust.clone(), allow_bedrock())
            .with_role(OTHER, trust, allow_bedrock())
    })
    .await;
    let base = assume(&double, &token(&issuer)).await;
    let chain = |role: &str, external_id: Option<&str>, seconds: i32| {
        sts(&double, Some(base.clone()))
            .assume_role()
            .role_arn(role)
            .role_session_name("chained")
            .duration_seconds(seconds)
            .set_external_id(external_id.map(str::to_owned))
            .send()
    };
    let reply = chain(other_account, Some("xyz"), 900).await.unwrap();
    let arn = caller_arn(&double, keys(reply.credentials().unwrap())).await;
    assert_eq!(arn, "arn:aws:sts::999999999999:assumed-role/Cross/chained");
    let same = chain(OTHER, Some("xyz"), 900).await;
    assert!(
        same.is_ok(),
        "in the same account a trust policy that names the caller is sufficient"
    );
    for (role, id) in [(other_account, None), (other_account, Some("abc"))] {
        let error = chain(role, id, 900).await.unwrap_err();
        assert_eq!(error.code(), Some("AccessDenied"));
        assert_eq!(
            error.message(),
            Some(format!("User: arn:aws:sts::123456789012:assumed-role/Bedrock/test is not authorized to perform: sts:AssumeRole on resource: {role}").as_str())
        );
    }
    assert_eq!(
        chain(other_account, Some("xyz"), 7200)
            .await
            .unwrap_err()
            .code(),
        Some("ValidationError")
    );
    assert_eq!(
        double.calls_of("AssumeRole")[0].parameters["ExternalId"],
        "xyz"
    );
}

#[tokio::test]
async fn cross_account_roles_require_permission_of_the_caller() {
    let cross = "arn:aws:iam::999999999999:role/Cross";
    let trust = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
        "Principal": {"AWS": ROLE}, "Action": "sts:AssumeRole"}]});
    let (double, issuer) =
        irsa_with(|config| config.with_role(cross, trust, allow_bedrock())).await;
    let base = assume(&double, &token(&issuer)).await;
    let rejected = sts(&double, Some(base))
        .assume_role()
        .role_arn(cross)
        .role_session_name("xx")
        .send()
        .await;
    assert_eq!(rejected.unwrap_err().code(), Some("AccessDenied"));
}

#[tokio::test]
async fn an_sso_access_token_returns_role_credentials() {
    let (double, _) = irsa_with(|mut config| {
        config.sso = vec![SsoSession {
            access_token: "sso-token".to_owned(),
            role_name: "Developer".to_owned(),
            role_arn: ROLE.to_owned(),
        }];
        config
    })
    .await;
    let path = "/federation/credentials?role_name=Developer&account_id=123456789012";
    assert_eq!(http(&double, "GET", path, &[], "").await.0, 401);
    let header = [("x-amz-sso_bearer_token", "sso-token")];
    let (status, _, body) = http(&double, "GET", path, &header, "").await;
    assert_eq!(status, 200);
    assert!(
        parse(&body)["roleCredentials"]["accessKeyId"]
            .as_str()
            .unwrap()
            .starts_with("ASIA")
    );
}

#[tokio::test]
async fn listing_access_keys_requires_permission() {
    let (double, _) = irsa_with(|config| {
        config.with_user(
            "ben",
            "AKIDBEN",
            "secret",
            json!({"Version": "2012-10-17", "Statement": []}),
        )
    })
    .await;
    let form = "Action=ListAccessKeys&Version=2010-05-08";
    let header = [("content-type", "application/x-www-form-urlencoded")];
    let (status, _, body) = signed(&double, "iam", "POST", "/", &header, form).await;
    assert_eq!(status, 403, "bedrock:* does not cover it");
    assert!(
        body.contains("is not authorized to perform: iam:ListAccessKeys on resource: user anna"),
        "{body}"
    );
    let (double, _) = irsa_with(|mut config| {
        config.users[0].policies = vec![statement("iam:ListAccessKeys", "*")];
        config
    })
    .await;
    let (status, _, body) = signed(&double, "iam", "POST", "/", &header, form).await;
    assert_eq!(status, 200, "{body}");
    assert!(
        body.contains("<AccessKeyId>AKIDEXAMPLE</AccessKeyId>")
            && body.contains("<CreateDate>2026-01-01")
    );
    let (status, _, body) = signed(&double, "sts", "POST", "/", &header, form).await;
    assert_eq!(status, 403);
    assert!(body.contains("correct service: 'iam'"), "{body}");
}
