use std::collections::BTreeMap;

use super::{check::is_made_of, *};

type Row<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);

const ROLE: &str = "arn:aws:iam::123456789012:role/BedrockRole";

#[track_caller]
fn settings(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let environment: BTreeMap<String, String> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Settings::from_env(&environment, None, Vec::new(), None, "gateway")
}

#[track_caller]
fn choice(variables: &[(&str, &str)]) -> Choice {
    settings(variables).unwrap().choice
}

const REGION: (&str, &str) = ("AWS_REGION", "us-east-1");
const KEYS: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "s3cr3t"),
];

#[test]
fn prefers_web_identity_over_static_keys_and_warns_about_both() {
    let choice = choice(&[
        REGION,
        KEYS[0],
        KEYS[1],
        ("AWS_ROLE_ARN", ROLE),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"),
    ]);
    assert_eq!(choice.method, Method::WebIdentity);
    assert!(
        choice.assume_roles.is_empty(),
        "the role belongs to the token, it is not an additional one"
    );
    assert_eq!(choice.conflicts.len(), 1);
    let warning = &choice.conflicts[0];
    assert!(
        warning.contains("AWS_ACCESS_KEY_ID") && warning.contains("AWS_WEB_IDENTITY_TOKEN_FILE"),
        "{warning}"
    );
}

#[test]
fn warns_of_a_github_job_that_cannot_request_a_token() {
    let job = [
        REGION,
        ("GITHUB_ACTIONS", "true"),
        ("AWS_ROLE_ARN", ROLE),
        (
            "ACTIONS_ID_TOKEN_REQUEST_URL",
            "https://github.example/token",
        ),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "token"),
    ];
    let without = choice(&job[..3]);
    assert!(
        without.conflicts[0].contains("id-token: write"),
        "{:?}",
        without.conflicts
    );
    assert!(choice(&job).conflicts.is_empty());
    assert!(choice(&job[..2]).conflicts.is_empty());
    let with_keys = [&job[..3], &KEYS[..]].concat();
    assert!(choice(&with_keys).conflicts.is_empty());
}

#[test]
fn a_role_without_token_file_is_assumed_with_the_base_credentials() {
    let settings = settings(&[
        REGION,
        KEYS[0],
        KEYS[1],
        ("AWS_ROLE_ARN", ROLE),
        ("AWS_ROLE_SESSION_NAME", "amazon-chat-session"),
        ("AWS_EXTERNAL_ID", "unique-external-id"),
        ("AWS_ROLE_DURATION_SECONDS", "1800"),
    ])
    .unwrap();
    assert_eq!(settings.choice.method, Method::StaticKeys);
    assert_eq!(settings.choice.conflicts, Vec::<String>::new());
    assert_eq!(
        settings.roles,
        [AssumeRoleLink {
            role_arn: ROLE.to_owned(),
            session_name: Some("amazon-chat-session".to_owned()),
            external_id: Some("unique-external-id".to_owned()),
            duration_seconds: Some(1800),
            tags: Vec::new(),
        }]
    );
}

#[test]
fn recognizes_each_method_by_its_variables() {
    let pod_identity_token =
        "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token";
    let rows: [(Method, &[(&str, &str)]); 10] = [
        (
            Method::BedrockApiKey,
            &[("AWS_BEARER_TOKEN_BEDROCK", "key")],
        ),
        (
            Method::SecretDirectory,
            &[("BEDROCK_GATEWAY_SECRET_DIRECTORY", "/secret")],
        ),
        (Method::StaticKeys, &KEYS),
        (
            Method::Lambda,
            &[
                KEYS[0],
                KEYS[1],
                ("AWS_SESSION_TOKEN", "t"),
                ("AWS_LAMBDA_FUNCTION_NAME", "f"),
            ],
        ),
        (
            Method::Profile,
            &[("AWS_PROFILE", "dev"), ("HOME", "/home/me")],
        ),
        (
            Method::GitHubActions,
            &[
                REGION,
                ("AWS_ROLE_ARN", ROLE),
                ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://token.example/?a=1"),
                ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "t"),
            ],
        ),
        (
            Method::Container,
            &[(
                "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                "/v2/credentials/1",
            )],
        ),
        (
            Method::Container,
            &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/c")],
        ),
        (
            Method::PodIdentity,
            &[
                (
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                    "http://169.254.170.23/v1/credentials",
                ),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", pod_identity_token),
            ],
        ),
        (Method::InstanceProfile, &[REGION]),
    ];
    for (method, variables) in rows {
        let choice = choice(variables);
        assert_eq!(choice.method, method);
        assert_eq!(choice.conflicts, Vec::<String>::new(), "{method}");
        assert!(!choice.because.is_empty());
    }
}

#[test]
fn blank_variables_count_as_not_set() {
    let choice = choice(&[
        ("AWS_ACCESS_KEY_ID", " "),
        ("AWS_SECRET_ACCESS_KEY", ""),
        ("AWS_PROFILE", ""),
    ]);
    assert_eq!(choice.method, Method::InstanceProfile);
}

#[test]
fn warns_about_two_methods_and_names_both() {
    let relative = (
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "/v2/credentials/1",
    );
    let bearer = ("AWS_BEARER_TOKEN_BEDROCK", "key");
    let profile = ("AWS_PROFILE", "dev");
    let home = ("HOME", "/home/me");
    for (winner, loser, method) in [
        (bearer, KEYS[0], Method::BedrockApiKey),
        (KEYS[0], profile, Method::StaticKeys),
        (KEYS[0], relative, Method::StaticKeys),
        (profile, relative, Method::Profile),
        (bearer, profile, Method::BedrockApiKey),
    ] {
        let mut variables = vec![winner, loser, home];
        if winner == KEYS[0] || loser == KEYS[0] {
            variables.push(KEYS[1]);
        }
        let choice = choice(&variables);
        assert_eq!(choice.method, method);
        assert_eq!(choice.conflicts.len(), 1, "{:?}", choice.conflicts);
        let warning = &choice.conflicts[0];
        assert!(
            warning.contains(winner.0) && warning.contains(loser.0),
            "{warning}"
        );
        assert!(!warning.contains("s3cr3t"), "{warning}");
    }
}

#[test]
fn warns_about_an_unused_external_id() {
    let without_role = choice(&[("AWS_EXTERNAL_ID", "id"), KEYS[0], KEYS[1]]);
    assert!(without_role.conflicts[0].contains("AWS_ROLE_ARN"));
    let web_identity = choice(&[
        REGION,
        ("AWS_EXTERNAL_ID", "id"),
        ("AWS_ROLE_ARN", ROLE),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"),
    ]);
    assert!(web_identity.conflicts[0].contains("AWS_EXTERNAL_ID"));
}

#[test]
fn a_bedrock_api_key_has_precedence_over_a_role_and_warns() {
    let bearer = ("AWS_BEARER_TOKEN_BEDROCK", "key");
    let role = ("AWS_ROLE_ARN", ROLE);
    let token_file = ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token");
    for (variables, named) in [
        (&[bearer, role][..], "AWS_ROLE_ARN"),
        (&[bearer, role, token_file], "AWS_WEB_IDENTITY_TOKEN_FILE"),
    ] {
        let choice = choice(variables);
        assert_eq!(choice.method, Method::BedrockApiKey);
        assert!(choice.assume_roles.is_empty());
        assert_eq!(choice.conflicts.len(), 1, "{:?}", choice.conflicts);
        let warning = &choice.conflicts[0];
        assert!(
            warning.contains(bearer.0) && warning.contains(named),
            "{warning}"
        );
    }
}

#[test]
fn accepts_the_other_names_of_the_session_duration() {
    for name in ["AWS_ROLE_SESSION_DURATION", "AWS_SESSION_DURATION"] {
        let role = ("AWS_ROLE_ARN", ROLE);
        let settings = settings(&[REGION, KEYS[0], KEYS[1], role, (name, "7200")]).unwrap();
        assert_eq!(settings.roles[0].duration_seconds, Some(7200), "{name}");
        assert_eq!(settings.choice.conflicts, Vec::<String>::new());
    }
}

#[test]
fn warns_about_unknown_variables_of_roles_and_a_duration_without_a_role() {
    for (variables, expected) in [
        (
            &[("AWS_ROLE_EXTERNAL_ID", "id")][..],
            &["AWS_ROLE_EXTERNAL_ID", "AWS_EXTERNAL_ID"][..],
        ),
        (
            &[("AWS_SESSION_DURATION", "900")],
            &["AWS_SESSION_DURATION", "AWS_ROLE_ARN"],
        ),
        (
            &[
                ("AWS_ROLE_ARN", ROLE),
                ("AWS_ROLE_DURATION_SECONDS", "900"),
                ("AWS_SESSION_DURATION", "1800"),
            ],
            &["AWS_ROLE_DURATION_SECONDS", "AWS_SESSION_DURATION"],
        ),
    ] {
        let choice = choice(&[variables, &[REGION, KEYS[0], KEYS[1]]].concat());
        assert_eq!(choice.conflicts.len(), 1, "{:?}", choice.conflicts);
        for part in expected {
            assert!(choice.conflicts[0].contains(part), "{:?}", choice.conflicts);
        }
    }
}

#[test]
fn errors_name_the_variable_and_the_fix() {
    let rows: [Row<'_>; 13] = [
        (
            &[KEYS[0]],
            &["AWS_ACCESS_KEY_ID is set", "AWS_SECRET_ACCESS_KEY is not"],
        ),
        (
            &[KEYS[1]],
            &["AWS_SECRET_ACCESS_KEY is set", "AWS_ACCESS_KEY_ID is not"],
        ),
        (
            &[("AWS_WEB_IDENTITY_TOKEN_FILE", "/token")],
            &["AWS_ROLE_ARN"],
        ),
        (
            &[("AWS_ROLE_ARN", "BedrockRole")],
            &["AWS_ROLE_ARN", "arn:PARTITION:iam::"],
        ),
        (
            &[("AWS_ROLE_ARN", "arn:aws:iam::1234:role/x")],
            &["AWS_ROLE_ARN"],
        ),
        (
            &[("AWS_ROLE_ARN", ROLE), ("AWS_ROLE_SESSION_NAME", "a b")],
            &["AWS_ROLE_SESSION_NAME", "2 to 64"],
        ),
        (
            &[("AWS_ROLE_ARN", ROLE), ("AWS_EXTERNAL_ID", "?")],
            &["AWS_EXTERNAL_ID"],
        ),
        (
            &[("AWS_ROLE_ARN", ROLE), ("AWS_ROLE_DURATION_SECONDS", "1h")],
            &["AWS_ROLE_DURATION_SECONDS", "900"],
        ),
        (
            &[("AWS_ROLE_ARN", ROLE), ("AWS_ROLE_DURATION_SECONDS", "60")],
            &["AWS_ROLE_DURATION_SECONDS", "900"],
        ),
        (&[("AWS_ROLE_ARN", ROLE), KEYS[0], KEYS[1]], &["AWS_REGION"]),
        (
            &[("AWS_ROLE_ARN", ROLE), ("AWS_ROLE_SESSION_DURATION", "8")],
            &["AWS_ROLE_SESSION_DURATION", "900"],
        ),
        (
            &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://10.0.0.1/keys")],
            &["AWS_CONTAINER_CREDENTIALS_FULL_URI", "https"],
        ),
        (
            &[("AWS_EC2_METADATA_DISABLED", "true")],
            &["AWS_EC2_METADATA_DISABLED", "AWS_PROFILE"],
        ),
    ];
    for (variables, expected) in rows {
        let error = settings(variables).unwrap_err().to_string();
        for part in expected {
            assert!(error.contains(part), "{variables:?}: {error}");
        }
    }
}

#[test]
fn the_configured_endpoint_overrides_the_environment() {
    let environment = BTreeMap::from([
        (
            "AWS_ENDPOINT_URL_STS".to_owned(),
            "http://127.0.0.1:1".to_owned(),
        ),
        (
            "AWS_ENDPOINT_URL".to_owned(),
            "http://127.0.0.1:2".to_owned(),
        ),
    ]);
    let resolve = |configured: Option<&str>, environment: &BTreeMap<String, String>| {
        endpoint(environment, configured.map(str::to_owned)).unwrap()
    };
    assert_eq!(
        resolve(Some("https://vpce.example"), &environment).as_deref(),
        Some("https://vpce.example")
    );
    assert_eq!(
        resolve(None, &environment).as_deref(),
        Some("http://127.0.0.1:1")
    );
    let mut ignoring = environment.clone();
    ignoring.insert(
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS".to_owned(),
        "true".to_owned(),
    );
    assert_eq!(resolve(None, &ignoring), None);
    assert!(endpoint(&environment, Some("sts.example".to_owned())).is_err());
}

#[test]
fn converts_any_hint_to_a_valid_session_name() {
    for hint in ["", "x", "team a/chat ü", &"long".repeat(40), "team-a.chat"] {
        let name = session_name_from(hint);
        assert!(is_made_of(&name, 2..=64, "_+=,.@-"), "{hint}: {name}");
    }
    assert_eq!(session_name_from("team-a.chat"), "team-a.chat");
}

#[test]
fn printed_settings_contain_no_secret() {
    let settings = settings(&[
        KEYS[0],
        KEYS[1],
        ("AWS_SESSION_TOKEN", "s3ss10n"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1/x"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "c0nta1n3r"),
    ])
    .unwrap();
    let printed = format!("{settings:?} {settings:#?}");
    for secret in ["s3cr3t", "s3ss10n", "c0nta1n3r"] {
        assert!(!printed.contains(secret));
    }
}
