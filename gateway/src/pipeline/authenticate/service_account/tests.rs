use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use proptest::prelude::*;
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use serde_json::{Value, json};

use super::*;

/// Test keys, made for these tests alone (`openssl ecparam -name prime256v1 -genkey`).
const PRIVATE_KEY: &str = include_str!("../../../../testdata/authenticate/ec-private-key.pem");
const PUBLIC_KEYS: &str = include_str!("../../../../testdata/authenticate/jwks.json");
const NOW: u64 = 1_800_000_000;

fn accounts() -> ServiceAccounts {
    ServiceAccounts::try_new(&ServiceAccountClients {
        issuer: "https://kubernetes.default.svc".to_owned(),
        audience: "bedrockaccess.dev/team-a/chat".to_owned(),
        jwks: serde_json::from_str(PUBLIC_KEYS).unwrap(),
        subjects: vec![ServiceAccountSubject {
            budgets: Vec::new(),
            namespace: "team-a".to_owned(),
            name: "app".to_owned(),
            models: vec!["fast".to_owned()],
            limits: api::config::Rates::default(),
        }],
    })
    .unwrap()
}

fn claims() -> Value {
    json!({
        "iss": "https://kubernetes.default.svc",
        "sub": "system:serviceaccount:team-a:app",
        "aud": ["bedrockaccess.dev/team-a/chat"],
        "exp": NOW + 600,
        "nbf": NOW - 10,
    })
}

fn token(claims: &Value, kid: &str) -> String {
    token_with(&json!({"typ": "JWT", "alg": "ES256", "kid": kid}), claims)
}

/// A token that the cluster signs, with this header.
fn token_with(header: &Value, claims: &Value) -> String {
    signed(header, claims, |text| {
        let random = SystemRandom::new();
        let body: String = PRIVATE_KEY
            .lines()
            .filter(|line| !line.starts_with("-----"))
            .collect();
        let key = STANDARD.decode(body).unwrap();
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key, &random).unwrap();
        key.sign(&random, text).unwrap().as_ref().to_vec()
    })
}

#[test]
fn rejects_critical_header_parameters() {
    for crit in [json!(["exp"]), json!(["http://example.com/x"]), json!([])] {
        let header = json!({"typ": "JWT", "alg": "ES256", "kid": "test", "crit": crit});
        let error = accounts()
            .verify(&token_with(&header, &claims()), at(NOW))
            .unwrap_err();
        assert_eq!(error.status().as_u16(), 401);
        assert!(error.to_string().contains("crit"), "{error}");
    }
}

/// A token with any header and signature. RFC 7515, section 3.1.
fn signed(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(text.as_bytes()));
    format!("{text}.{signature}")
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

#[test]
fn accepts_the_token_of_a_listed_account_and_caches_it_until_it_expires() {
    let accounts = accounts();
    let token = token(&claims(), "test");
    assert!(looks_like_a_token(&token));
    let caller = accounts.verify(&token, at(NOW)).unwrap();
    assert_eq!(caller.name, "team-a/app");
    assert_eq!(caller.models, ["fast"]);
    assert_eq!(accounts.lock().len(), 1);
    assert_eq!(accounts.verify(&token, at(NOW + 599)).unwrap(), caller);
    let ended = accounts.verify(&token, at(NOW + 600)).unwrap_err();
    assert!(ended.to_string().contains("expired"), "{ended}");
}

#[track_caller]
fn refused(change: impl FnOnce(&mut Value), kid: &str, status: u16, expected: &str) {
    let mut claims = claims();
    change(&mut claims);
    let error = accounts()
        .verify(&token(&claims, kid), at(NOW))
        .unwrap_err();
    assert_eq!(error.status().as_u16(), status, "{error}");
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn rejects_a_token_with_wrong_claims_and_names_the_expected_ones() {
    refused(
        |claims| claims["aud"] = json!("sts.amazonaws.com"),
        "test",
        401,
        "bedrockaccess.dev/team-a/chat",
    );
    refused(
        |claims| claims["iss"] = json!("https://other"),
        "test",
        401,
        "https://kubernetes.default.svc",
    );
    refused(|claims| claims["exp"] = json!(NOW), "test", 401, "expired");
    refused(
        |claims| claims["nbf"] = json!(NOW + 31),
        "test",
        401,
        "not valid yet",
    );
    refused(
        |claims| claims["sub"] = json!("me"),
        "test",
        401,
        "ServiceAccount",
    );
    refused(
        |claims| claims["sub"] = json!("system:serviceaccount:team-b:app"),
        "test",
        403,
        "spec.clients.serviceAccounts",
    );
    refused(|_| (), "other", 401, "does not use");
}

#[test]
fn rejects_changed_and_unsigned_tokens() {
    let accounts = accounts();
    let good = token(&claims(), "test");
    let other = token(
        &json!({"sub": "system:serviceaccount:team-a:admin", "exp": NOW + 600}),
        "test",
    );
    let (head, signature) = (
        good.split('.').next().unwrap(),
        good.rsplit('.').next().unwrap(),
    );
    let forged = format!("{head}.{}.{signature}", other.split('.').nth(1).unwrap());
    let error = accounts.verify(&forged, at(NOW)).unwrap_err();
    assert!(error.to_string().contains("signature"), "{error}");

    // {"alg":"HS256"}: a public key must never be taken for a shared secret.
    let confused = signed(&json!({"alg": "HS256", "kid": "test"}), &claims(), |text| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, PUBLIC_KEYS.as_bytes());
        hmac::sign(&key, text).as_ref().to_vec()
    });
    assert!(accounts.verify(&confused, at(NOW)).is_err());

    let unsigned = signed(&json!({"alg": "none", "kid": "test"}), &claims(), |_| {
        Vec::new()
    });
    assert!(accounts.verify(&unsigned, at(NOW)).is_err());
}

#[test]
fn rejects_a_key_set_without_usable_keys_and_ignores_unknown_keys() {
    let with = |jwks: Value| {
        ServiceAccounts::try_new(&ServiceAccountClients {
            issuer: String::new(),
            audience: String::new(),
            jwks,
            subjects: Vec::new(),
        })
    };
    assert!(matches!(with(json!({"keys": []})), Err(KeySetError::Empty)));
    assert!(matches!(with(json!({})), Err(KeySetError::Parse(_))));
    let mut set: Value = serde_json::from_str(PUBLIC_KEYS).unwrap();
    set["keys"]
        .as_array_mut()
        .unwrap()
        .insert(0, json!({"kty": "new", "x": "y"}));
    assert_eq!(with(set).unwrap().keys.len(), 1);
}

/// A part of a token: any text, or JSON with members that tokens have.
fn part() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        any::<String>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        Just(Value::Null),
        Just(json!(["test", "ES256", "crit"])),
        Just(json!("ES256")),
        Just(json!("none")),
        Just(json!("test")),
        Just(json!("bedrockaccess.dev/team-a/chat")),
    ];
    let name = prop::sample::select(vec![
        "alg", "kid", "typ", "crit", "jwk", "jku", "x5c", "iss", "sub", "aud", "exp", "nbf", "iat",
    ]);
    let members = prop::collection::btree_map(name, value, 0..6);
    prop_oneof![
        members.prop_map(|members| URL_SAFE_NO_PAD.encode(json!(members).to_string())),
        any::<Vec<u8>>().prop_map(|bytes| URL_SAFE_NO_PAD.encode(bytes)),
        "[A-Za-z0-9_.=+/-]{0,40}",
    ]
}

proptest! {
    #[test]
    fn generated_tokens_are_rejected(parts in prop::collection::vec(part(), 0..5)) {
        let token = parts.join(".");
        let _ = looks_like_a_token(&token);
        let result = accounts().verify(&token, at(NOW));
        prop_assert!(matches!(result, Err(GatewayError::Unauthenticated { .. })), "{token}");
    }

    #[test]
    fn tokens_with_one_character_changed_are_rejected(index: prop::sample::Index, to in "[A-Za-z0-9_.-]") {
        let good = token(&claims(), "test");
        prop_assert!(accounts().verify(&good, at(NOW)).is_ok());
        let at_byte = index.index(good.len());
        // The last character of a part has bits that belong to no byte.
        let ends_a_part = good.get(at_byte + 1..).is_none_or(|rest| rest.is_empty() || rest.starts_with('.'));
        let mut changed = good.clone();
        changed.replace_range(at_byte..=at_byte, &to);
        prop_assume!(changed != good && !ends_a_part);
        prop_assert!(accounts().verify(&changed, at(NOW)).is_err(), "{changed}");
    }
}
