use serde_json::json;

use super::*;
use crate::fixtures::{self, PolicyCaches, Scripted};

const POLICIES: &str = "/apis/bedrockaccess.dev/v1alpha1/bedrockaccesspolicies";

fn reviewer(api: &Scripted, policies: &PolicyCaches) -> Reviewer {
    Reviewer {
        client: api.client(),
        policies: policies.policies.clone(),
        settings: fixtures::settings(),
    }
}

/// An object before the API server assigns UID and resource version.
fn object(more: &str) -> Value {
    let mut object = serde_json::to_value(fixtures::access(more)).unwrap();
    object["metadata"] = json!({"name": "chat", "namespace": "team-a"});
    object
}

fn jane() -> Author {
    Author {
        username: "jane".to_owned(),
        groups: vec!["system:authenticated".to_owned()],
        ..Author::default()
    }
}

/// The review of a new object of Jane's.
async fn created(reviewer: &Reviewer, more: &str) -> Result<(), AccessRefused> {
    let object = object(more);
    reviewer.review("team-a", &object, None, &jane()).await
}

/// Puts the namespace and one policy into the API server, without the cache.
fn stored(api: &Scripted, regions: &str) {
    api.put(
        "/api/v1/namespaces/team-a",
        json!({"metadata": {"name": "team-a"}}),
    );
    let policy = json!({
        "apiVersion": "bedrockaccess.dev/v1alpha1", "kind": "BedrockAccessPolicy",
        "metadata": {"name": "p"},
        "spec": {"namespaces": {"names": ["team-a"]}, "regions": [regions]},
    });
    api.put(
        POLICIES,
        json!({"apiVersion": "bedrockaccess.dev/v1alpha1", "kind": "BedrockAccessPolicyList", "metadata": {}, "items": [policy]}),
    );
}

#[tokio::test]
async fn valid_access_is_admitted_without_a_request_to_the_api_server() {
    let api = Scripted::default();
    let reviewer = reviewer(&api, &PolicyCaches::new(false));
    assert_eq!(
        reviewer.review("team-a", &object(""), None, &jane()).await,
        Ok(())
    );
    assert!(api.requests().is_empty());
}

#[tokio::test]
async fn error_that_the_schema_cannot_find_is_rejected_with_its_field() {
    let api = Scripted::default();
    let reviewer = reviewer(&api, &PolicyCaches::new(false));
    let wrong =
        object("identity: {irsa: {roleArn: 'arn:aws-cn:iam::123456789012:role/BedrockRole'}}");
    let refused = reviewer
        .review("team-a", &wrong, None, &jane())
        .await
        .unwrap_err();
    assert_eq!((refused.reason(), refused.code()), ("InvalidSpec", 422));
    assert!(
        refused.to_string().contains("spec.identity.irsa.roleArn"),
        "{refused}"
    );
}

#[tokio::test]
async fn denial_is_evaluated_again_without_caches_before_the_access_is_rejected() {
    let api = Scripted::default();
    let mut policies = PolicyCaches::new(false);
    policies.put("p", "{namespaces: {names: [team-a]}, regions: [eu-*]}");
    let reviewer = reviewer(&api, &policies);
    stored(&api, "us-*");
    assert_eq!(
        reviewer.review("team-a", &object(""), None, &jane()).await,
        Ok(()),
        "the cache lagged behind"
    );
    stored(&api, "eu-*");
    let refused = reviewer
        .review("team-a", &object(""), None, &jane())
        .await
        .unwrap_err();
    assert_eq!((refused.reason(), refused.code()), ("NotAllowed", 403));
    assert!(refused.to_string().contains("spec.region"), "{refused}");
}

#[tokio::test]
async fn namespace_missing_in_the_cache_is_looked_up() {
    let api = Scripted::default();
    let mut policies = PolicyCaches::new(false);
    policies.put("p", "{namespaces: {names: [team-z]}}");
    let reviewer = reviewer(&api, &policies);
    api.put(
        "/api/v1/namespaces/team-z",
        json!({"metadata": {"name": "team-z"}}),
    );
    api.put(POLICIES, json!({"metadata": {}, "items": []}));
    assert_eq!(
        reviewer.review("team-z", &object(""), None, &jane()).await,
        Ok(())
    );
}

#[test]
fn models_with_a_problem_are_warnings_that_fit_the_header() {
    let wrong = object(
        "{region: eu-central-1, models: [
            {name: a, modelId: 'us.amazon.nova-2-lite-v1:0'}, {name: b, modelId: 'anthropic.claude-3-hiaku-20240307-v1:0'},
            {name: c, modelId: 'amazon.titan-text-express-v1'}, {name: d, modelId: 'luma.ray-v2:0'}]}",
    );
    let warnings = Reviewer::warnings(&wrong, None);
    assert_eq!(warnings.len(), 4, "{warnings:?}");
    assert!(
        warnings[0].contains("use eu.amazon.nova-2-lite-v1:0"),
        "{warnings:?}"
    );
    for warning in &warnings {
        assert!(warning.starts_with("spec.models["), "{warning}");
        assert!(
            warning.len() <= 256,
            "{} characters: {warning}",
            warning.len()
        );
    }
    assert_eq!(Reviewer::warnings(&object(""), None), Vec::<String>::new());
    let mut labelled = wrong.clone();
    labelled["metadata"]["labels"] = json!({"a": "b"});
    assert_eq!(
        Reviewer::warnings(&labelled, Some(&wrong)),
        Vec::<String>::new()
    );
    let many: Vec<Value> = (0..14)
        .map(|n| json!({"name": format!("m{n}"), "modelId": "unknown.model"}))
        .collect();
    let mut crowded = wrong;
    crowded["spec"]["models"] = json!(many);
    let warnings = Reviewer::warnings(&crowded, None);
    assert_eq!(warnings.len(), 11);
    assert!(warnings[10].starts_with("4 more models"), "{warnings:?}");
}

#[tokio::test]
async fn update_without_a_spec_change_is_never_rejected() {
    let api = Scripted::default();
    let mut policies = PolicyCaches::new(false);
    policies.put("p", "{namespaces: {names: [team-b]}}");
    let reviewer = reviewer(&api, &policies);
    let before = object("");
    let mut labelled = before.clone();
    labelled["metadata"]["labels"] = json!({"a": "b"});
    assert_eq!(
        reviewer
            .review("team-a", &labelled, Some(&before), &jane())
            .await,
        Ok(())
    );
    let mut leaving = object("allow: ['*']");
    leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(
        reviewer
            .review("team-a", &leaving, Some(&before), &jane())
            .await,
        Ok(())
    );
    assert!(api.requests().is_empty());
}

/// Every way to get more from a `BedrockAccess` than permission to edit it, with the permission that makes it harmless and
/// the rule of a policy that allows it.
const WAYS: [(&str, &str, &str); 15] = [
    (
        "gateway: {image: 'attacker.example/image:1'}",
        "create deployments",
        "images: ['attacker.example/*']",
    ),
    (
        "gateway: {image: 'attacker.example/image:1'}",
        "create pods",
        "images: ['*']",
    ),
    (
        "serviceAccount: {create: false, name: admin}",
        "create pods",
        "serviceAccounts: [admin]",
    ),
    (
        "serviceAccount: {name: admin}",
        "create serviceaccounts",
        "serviceAccounts: [admin]",
    ),
    (
        "identity: {irsa: {roleArn: 'arn:aws:iam::123456789012:role/R', audience: api}}",
        "create deployments",
        "audiences: [api]",
    ),
    (
        "identity: {ambient: {}}",
        "create pods",
        "identities: [ambient]",
    ),
    (
        "identity: {secret: {name: keys}}",
        "get secrets/keys",
        "secrets: [keys]",
    ),
    (
        "identity: {secret: {name: keys}}",
        "create pods",
        "secrets: [k*]",
    ),
    (
        "endpoints: {sts: 'https://attacker.example'}",
        "create pods",
        "endpoints: ['https://attacker.example*']",
    ),
    (
        "limits: {store: {redis: {url: 'redis://attacker.example'}}}",
        "create deployments",
        "endpoints: ['redis://*']",
    ),
    (
        "gateway: {priorityClassName: system-node-critical}",
        "create pods",
        "priorityClassNames: ['*']",
    ),
    (
        "gateway: {tolerations: [{operator: Exists}]}",
        "create pods",
        "tolerations: ['*']",
    ),
    (
        "gateway: {podAnnotations: {a: b}}",
        "create pods",
        "metadata: ['a=*']",
    ),
    (
        "gateway: {service: {annotations: {a: b}}}",
        "create services",
        "metadata: ['a=b']",
    ),
    (
        "commonLabels: {app: payments}",
        "create deployments",
        "metadata: ['app=*']",
    ),
];

#[tokio::test]
async fn author_without_the_permission_is_rejected_and_the_message_names_both_fixes() {
    for (more, permission, rule) in WAYS {
        let api = Scripted::default();
        let reviewer = reviewer(&api, &PolicyCaches::new(false));
        api.grant(&format!("joe {permission}"));
        let review = created(&reviewer, more).await;
        let refused = review.expect_err(more);
        assert_eq!(
            (refused.reason(), refused.code()),
            ("MissingPermissions", 403)
        );
        let text = refused.to_string();
        let rule = rule.split(':').next().unwrap();
        let (verb, resource) = permission.split_once(' ').unwrap();
        for words in [
            "user jane",
            "namespace team-a",
            "spec.",
            "BedrockAccessPolicy",
            rule,
            verb,
            resource,
        ] {
            assert!(
                text.contains(words),
                "{more}: {words:?} is missing in: {text}"
            );
        }
    }
}

#[tokio::test]
async fn author_with_the_permission_is_admitted() {
    for (more, permission, _) in WAYS {
        let api = Scripted::default();
        let reviewer = reviewer(&api, &PolicyCaches::new(false));
        api.grant(&format!("jane {permission}"));
        let review = created(&reviewer, more).await;
        assert_eq!(review, Ok(()), "{more}");
    }
}

#[tokio::test]
async fn rule_of_a_policy_replaces_the_permission() {
    for (more, _, rule) in WAYS {
        let api = Scripted::default();
        let mut policies = PolicyCaches::new(false);
        policies.put("p", &format!("{{namespaces: {{names: [team-a]}}, {rule}}}"));
        let reviewer = reviewer(&api, &policies);
        let review = created(&reviewer, more).await;
        assert_eq!(review, Ok(()), "{more}");
        assert!(api.requests().is_empty(), "{more}");
    }
}

#[tokio::test]
async fn policy_without_the_rule_still_requires_the_permission() {
    for (more, permission, _) in WAYS {
        let api = Scripted::default();
        let mut policies = PolicyCaches::new(false);
        policies.put("p", "{namespaces: {names: [team-a]}}");
        let reviewer = reviewer(&api, &policies);
        let refused = created(&reviewer, more).await;
        assert_eq!(
            refused.unwrap_err().reason(),
            "MissingPermissions",
            "{more}"
        );
        api.grant(&format!("jane {permission}"));
        let review = created(&reviewer, more).await;
        assert_eq!(review, Ok(()), "{more}");
    }
}

#[tokio::test]
async fn update_that_keeps_a_value_does_not_require_its_permission_again() {
    for (more, _, _) in WAYS {
        let api = Scripted::default();
        let reviewer = reviewer(&api, &PolicyCaches::new(false));
        let before = object(more);
        let mut after = before.clone();
        after["spec"]["allow"] = json!(["amazon.*"]);
        let review = reviewer
            .review("team-a", &after, Some(&before), &jane())
            .await;
        assert_eq!(review, Ok(()), "{more}");
        assert!(api.requests().is_empty(), "{more}");

        // Another value of the same field does.
        let mut after = before.clone();
        after["spec"]["gateway"]["image"] = json!("attacker.example/image:2");
        let refused = reviewer
            .review("team-a", &after, Some(&before), &jane())
            .await;
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("attacker.example/image:2"), "{more}: {text}");
    }
}

#[tokio::test]
async fn value_that_moves_to_another_field_requires_its_permission() {
    let api = Scripted::default();
    let reviewer = reviewer(&api, &PolicyCaches::new(false));
    let before = object("clients: {apiKeys: {secretName: keys}}");
    let mut after = before.clone();
    after["spec"]["gateway"]["imagePullSecrets"] = json!([{"name": "keys"}]);
    let refused = reviewer
        .review("team-a", &after, Some(&before), &jane())
        .await;
    let text = refused.unwrap_err().to_string();
    assert!(
        text.contains("spec.gateway.imagePullSecrets: keys"),
        "{text}"
    );
    assert!(!text.contains("apiKeys"), "{text}");
}

#[tokio::test]
async fn values_of_an_object_with_an_unknown_author_are_all_checked_at_its_next_change() {
    let api = Scripted::default();
    let reviewer = reviewer(&api, &PolicyCaches::new(false));
    let mut before = object("gateway: {image: 'attacker.example/image:1'}");
    before["status"] = json!({"conditions": [{
        "type": "Accepted", "status": "False", "reason": "AuthorNotVerified", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1,
    }]});
    let mut after = before.clone();
    after["spec"]["allow"] = json!(["amazon.*"]);
    let refused = reviewer
        .review("team-a", &after, Some(&before), &jane())
        .await;
    assert_eq!(refused.unwrap_err().reason(), "MissingPermissions");
    api.grant("jane create deployments");
    let review = reviewer
        .review("team-a", &after, Some(&before), &jane())
        .await;
    assert_eq!(review, Ok(()));
}

#[tokio::test]
async fn unknown_permissions_reject_and_an_author_without_a_name_has_none() {
    let api = Scripted::default();
    let reviewer = reviewer(&api, &PolicyCaches::new(false));
    let image = object("gateway: {image: 'attacker.example/image:1'}");
    let nameless = Author::default();
    let refused = reviewer.review("team-a", &image, None, &nameless).await;
    assert_eq!(refused.unwrap_err().reason(), "MissingPermissions");
    assert!(api.requests().is_empty());

    let unavailable = http::StatusCode::INTERNAL_SERVER_ERROR;
    api.fail(fixtures::REVIEWS, unavailable, "etcd is down");
    let refused = reviewer
        .review("team-a", &image, None, &jane())
        .await
        .unwrap_err();
    assert_eq!((refused.reason(), refused.code()), ("Retrying", 503));
    assert!(refused.to_string().contains("etcd is down"), "{refused}");
}

#[tokio::test]
async fn review_of_permissions_has_all_attributes_of_the_author() {
    let api = Scripted::default();
    let reviewer = reviewer(&api, &PolicyCaches::new(false));
    let author: Author = serde_json::from_value(json!({
        "username": "system:serviceaccount:ci:deployer", "uid": "1-2",
        "groups": ["system:serviceaccounts"], "extra": {"scopes": ["a", "b"]},
    }))
    .unwrap();
    let object = object("gateway: {image: 'attacker.example/image:1'}");
    reviewer
        .review("team-a", &object, None, &author)
        .await
        .unwrap_err();
    let requests = api.requests();
    assert_eq!(requests.len(), 2, "{requests:?}");
    let spec = &requests[0].body["spec"];
    assert_eq!(spec["user"], "system:serviceaccount:ci:deployer");
    assert_eq!(spec["uid"], "1-2");
    assert_eq!(spec["groups"], json!(["system:serviceaccounts"]));
    assert_eq!(spec["extra"], json!({"scopes": ["a", "b"]}));
    let attributes = json!({"namespace": "team-a", "verb": "create", "group": "apps", "resource": "deployments"});
    assert_eq!(spec["resourceAttributes"], attributes);
}
