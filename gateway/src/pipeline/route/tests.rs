use std::collections::BTreeMap;

use bedrock::apis::Protocol;
use proptest::prelude::*;

use super::*;
use crate::upstream::operation::Operation;

fn routes(yaml: &str) -> Routes {
    let config = GatewayConfig::from_yaml(yaml).unwrap();
    let region = "us-east-1".parse().unwrap();
    let prices = Cow::Borrowed(api::prices::builtin());
    Routes::try_new(&config, prices, region, Endpoints::default(), None).unwrap()
}

#[test]
fn a_target_has_the_price_of_its_region_and_of_the_base_model_behind_its_arn() {
    let routes = routes(
        "
models:
- name: geo
  targets: [{modelId: eu.anthropic.claude-sonnet-4-5-20250929-v1:0, region: eu-west-1}]
- name: regional
  targets: [{modelId: minimax.minimax-m2.5, region: eu-west-2}]
- name: profile
  targets:
  - modelId: arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc
    baseModel: us.anthropic.claude-sonnet-4-5-20250929-v1:0
- name: unknown
  targets: [{modelId: acme.unknown-v1:0}]
",
    );
    let input = |name: &str| {
        let targets = routes.resolve(name, &anyone(), 0).unwrap();
        let prices = targets.first.prices.clone()?;
        prices.tier(api::prices::Tier::Standard)?.rates.input
    };
    assert_eq!(input("geo"), Some(3_300_000));
    assert_eq!(input("regional"), Some(470_000));
    assert_eq!(input("profile"), Some(3_300_000));
    assert_eq!(input("unknown"), None);
}

fn anyone() -> Caller {
    Caller {
        name: "test".to_owned(),
        models: Vec::new(),
    }
}

fn ids(targets: &Targets) -> Vec<&str> {
    (0..targets.count())
        .map(|index| targets.get(index).model_id.as_str())
        .collect()
}

#[test]
fn lower_priority_is_tried_first_and_weight_zero_never() {
    let routes = routes(
        "models: [{name: a, targets: [{modelId: spare, priority: 2}, {modelId: out, weight: 0}, {modelId: main}]}]",
    );
    for draw in 0..50 {
        let targets = routes.resolve("a", &anyone(), draw).unwrap();
        assert_eq!(ids(&targets), ["main", "spare"]);
    }
}

#[test]
fn equal_priorities_share_by_weight_and_all_stay_reachable() {
    let routes = routes(
        "models: [{name: a, targets: [{modelId: three, weight: 3}, {modelId: one, weight: 1}]}]",
    );
    let mut first = BTreeMap::new();
    for draw in 0..4000 {
        let targets = routes.resolve("a", &anyone(), draw).unwrap();
        assert_eq!(targets.count(), 2);
        *first.entry(targets.first.model_id.clone()).or_insert(0) += 1;
    }
    // 3:1 of 4000 draws; the bounds are more than six standard deviations away.
    assert!((2800..3200).contains(&first["three"]), "{first:?}");
}

#[test]
fn url_contains_region_partition_and_encoded_id() {
    for (yaml, model, expected) in [
        (
            "models: [{name: a, targets: [{modelId: 'amazon.nova-lite-v1:0'}]}]",
            "a",
            "https://bedrock-runtime.us-east-1.amazonaws.com/model/amazon.nova-lite-v1%3A0/converse",
        ),
        (
            "models: [{name: a, targets: [{modelId: m, region: cn-north-1}]}]",
            "a",
            "https://bedrock-runtime.cn-north-1.amazonaws.com.cn/model/m/converse",
        ),
        (
            "allow: ['*']",
            "arn:aws:bedrock:eu-west-3:123456789012:application-inference-profile/x",
            "https://bedrock-runtime.eu-west-3.amazonaws.com/model/arn%3Aaws%3Abedrock%3Aeu-west-3%3A123456789012%3Aapplication-inference-profile%2Fx/converse",
        ),
    ] {
        let targets = routes(yaml).resolve(model, &anyone(), 0).unwrap();
        let url = targets.first.url(Operation::Converse).unwrap();
        assert_eq!(url.to_string(), expected);
    }
}

#[test]
fn url_of_a_passthrough_protocol_is_that_of_its_api() {
    let of = |api, protocol| Operation::Passthrough {
        api,
        protocol,
        stream: false,
    };
    let routes = routes(
        "models: [{name: gov, targets: [{modelId: m, region: us-gov-west-1}]}, {name: moved, targets: [{modelId: m, api: Mantle}]}]\nallow: ['*']",
    );
    for (model, operation, expected) in [
        (
            "openai.gpt-5.5",
            of(BedrockApi::MantleOpenAi, Protocol::Responses),
            "https://bedrock-mantle.us-east-1.api.aws/openai/v1/responses",
        ),
        (
            "us.openai.gpt-5.5",
            of(BedrockApi::OpenAi, Protocol::Responses),
            "https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1/responses",
        ),
        (
            "gov",
            of(BedrockApi::Mantle, Protocol::Messages),
            "https://bedrock-mantle.us-gov-west-1.api.aws/anthropic/v1/messages",
        ),
        (
            "moved",
            of(BedrockApi::Mantle, Protocol::ChatCompletions),
            "https://bedrock-mantle.us-east-1.api.aws/v1/chat/completions",
        ),
    ] {
        let targets = routes.resolve(model, &anyone(), 0).unwrap();
        assert_eq!(targets.first.url(operation).unwrap().to_string(), expected);
    }
    let moved = routes.resolve("moved", &anyone(), 0).unwrap();
    assert_eq!(moved.first.capabilities.apis.chat, Some(BedrockApi::Mantle));
    assert_eq!(
        moved.first.capabilities.apis.messages,
        Some(BedrockApi::Mantle)
    );
}

#[test]
fn url_of_a_guardrail_is_in_the_region_of_its_arn() {
    let routes = routes("allow: []");
    let arn = "arn:aws:bedrock:eu-west-3:123456789012:guardrail/abc";
    for (identifier, expected) in [
        (
            "abc",
            "https://bedrock-runtime.us-east-1.amazonaws.com/guardrail/abc/version/DRAFT/apply",
        ),
        (
            arn,
            "https://bedrock-runtime.eu-west-3.amazonaws.com/guardrail/arn%3Aaws%3Abedrock%3Aeu-west-3%3A123456789012%3Aguardrail%2Fabc/version/DRAFT/apply",
        ),
    ] {
        let target = routes.guardrail(identifier, "DRAFT");
        let url = target.url(Operation::ApplyGuardrail).unwrap();
        assert_eq!(url.to_string(), expected);
    }
}

#[test]
fn configured_endpoint_replaces_that_of_aws() {
    let config = GatewayConfig::from_yaml("allow: ['*']").unwrap();
    let endpoints = Endpoints {
        runtime: Some("http://127.0.0.1:9/".to_owned()),
        mantle: Some("http://127.0.0.1:8".to_owned()),
    };
    let routes = Routes::try_new(
        &config,
        Cow::Borrowed(api::prices::builtin()),
        "us-east-1".parse().unwrap(),
        endpoints,
        None,
    )
    .unwrap();
    let targets = routes.resolve("m", &anyone(), 0).unwrap();
    let url = |operation| targets.first.url(operation).unwrap().to_string();
    assert_eq!(
        url(Operation::ConverseStream),
        "http://127.0.0.1:9/model/m/converse-stream"
    );
    let messages = Operation::Passthrough {
        api: BedrockApi::Mantle,
        protocol: Protocol::Messages,
        stream: true,
    };
    assert_eq!(url(messages), "http://127.0.0.1:8/anthropic/v1/messages");
}

#[test]
fn the_foundation_model_of_a_target_has_a_url_of_its_own() {
    let routes = routes("models: [{name: m, targets: [{modelId: us.amazon.nova-lite-v1:0}]}]");
    let target = routes.resolve("m", &anyone(), 0).unwrap().first;
    let path = |target: &Target, operation| target.url(operation).unwrap().path().to_owned();
    for _ in 0..2 {
        assert_eq!(
            path(&target, Operation::CountTokens),
            "/model/us.amazon.nova-lite-v1%3A0/count-tokens"
        );
        assert_eq!(
            path(&target, Operation::Converse),
            "/model/us.amazon.nova-lite-v1%3A0/converse"
        );
        assert_eq!(
            path(&target.foundation_model().unwrap(), Operation::CountTokens),
            "/model/amazon.nova-lite-v1%3A0/count-tokens"
        );
    }
}

#[test]
fn rejects_unknown_and_forbidden_models_and_lists_the_allowed_ones() {
    let routes = routes(
        "models: [{name: fast, targets: [{modelId: x}]}, {name: smart, targets: [{modelId: y}]}]\nallow: ['amazon.*']",
    );
    let limited = Caller {
        name: "team-a/app".to_owned(),
        models: vec!["fast".to_owned()],
    };
    for (caller, model, expected) in [
        (&anyone(), "nope", vec!["fast", "smart", "amazon.*"]),
        (&limited, "smart", vec!["fast"]),
        (&limited, "amazon.nova-lite-v1:0", vec!["fast"]),
    ] {
        match routes.resolve(model, caller, 0) {
            Err(GatewayError::UnknownModel { allowed, .. }) => assert_eq!(allowed, expected),
            other => panic!("{model}: {other:?}"),
        }
    }
    assert!(
        routes
            .resolve("amazon.nova-lite-v1:0", &anyone(), 0)
            .is_ok()
    );
    assert!(routes.resolve("fast", &limited, 0).is_ok());
}

#[test]
fn pattern_matches_the_whole_text() {
    for (pattern, text, expected) in [
        ("*", "anything", true),
        ("*", "", true),
        ("a", "a", true),
        ("a", "ab", false),
        ("a*", "ab", true),
        ("a*", "ba", false),
        ("*a", "ba", true),
        ("*a", "ab", false),
        ("a*b*c", "a-b-b-c", true),
        ("a*b*c", "a-c-b", false),
        ("a*a", "a", false),
        ("*.nova-*", "us.amazon.nova-lite-v1:0", true),
        ("", "", true),
        ("", "a", false),
    ] {
        let got = matches(pattern, text);
        assert_eq!(got, expected, "{pattern:?} {text:?}");
    }
}

#[test]
fn models_that_only_bedrock_mantle_serves_are_routed_to_it() {
    let routes = routes("allow: ['*']");
    let mut count = 0;
    for (id, model) in api::catalogue::builtin().models() {
        let on_runtime = !model.on_demand().is_empty() || model.profile_sources().next().is_some();
        // This id looks like an alias of a model of bedrock-runtime; its target needs `api: Mantle`.
        if on_runtime || id == "anthropic.claude-haiku-4-5" {
            continue;
        }
        let target = routes.resolve(id, &anyone(), 0).unwrap().first;
        let apis = &target.capabilities.apis;
        let mut known = [apis.chat, apis.messages, apis.responses]
            .into_iter()
            .flatten();
        assert!(
            known.all(|api| api.service() == Service::Mantle),
            "{id}: {apis:?}"
        );
        count += 1;
    }
    assert!(count > 10, "{count}");
}

/// Routes of one model with targets in these regions, each with its weight.
fn weighted(targets: &[(usize, u32)]) -> Routes {
    let targets: Vec<String> = targets
        .iter()
        .map(|(index, weight)| format!("{{modelId: model-{index}, weight: {weight}}}"))
        .collect();
    routes(&format!(
        "models: [{{name: m, targets: [{}]}}]",
        targets.join(", ")
    ))
}

fn order(routes: &Routes, key: u64) -> Vec<String> {
    let targets = routes.resolve("m", &anyone(), key).unwrap();
    ids(&targets).into_iter().map(ToOwned::to_owned).collect()
}

fn some_targets() -> impl Strategy<Value = Vec<(usize, u32)>> {
    prop::collection::vec(1..20_u32, 2..8)
        .prop_map(|weights| weights.into_iter().enumerate().collect())
}

proptest! {
    #[test]
    fn replicas_agree_whatever_the_order_of_the_configuration(
        targets in some_targets(),
        key in any::<u64>(),
        turn in any::<prop::sample::Index>(),
    ) {
        let mut other = targets.clone();
        other.rotate_left(turn.index(targets.len()));
        prop_assert_eq!(order(&weighted(&targets), key), order(&weighted(&other), key));
    }

    #[test]
    fn without_a_target_only_its_own_conversations_move(
        targets in some_targets(),
        keys in prop::collection::vec(any::<u64>(), 1..50),
        removed in any::<prop::sample::Index>(),
    ) {
        let removed = removed.index(targets.len());
        let id = format!("model-{removed}");
        let mut fewer = targets.clone();
        fewer.remove(removed);
        let (all, fewer) = (weighted(&targets), weighted(&fewer));
        for key in keys {
            let mut before = order(&all, key);
            before.retain(|target| *target != id);
            prop_assert_eq!(before, order(&fewer, key), "the others keep their order");
        }
    }

    #[test]
    fn a_higher_weight_only_attracts_conversations(
        targets in some_targets(),
        keys in prop::collection::vec(any::<u64>(), 1..50),
        raised in any::<prop::sample::Index>(),
    ) {
        let raised = raised.index(targets.len());
        let id = format!("model-{raised}");
        let mut more = targets.clone();
        more[raised].1 *= 2;
        let (before, after) = (weighted(&targets), weighted(&more));
        for key in keys {
            let (before, after) = (&order(&before, key)[0], &order(&after, key)[0]);
            prop_assert!(before == after || *after == id, "{before} {after}");
        }
    }
}

#[test]
fn conversations_are_distributed_by_weight() {
    let weights = [(0, 1), (1, 2), (2, 3), (3, 4)];
    let routes = weighted(&weights);
    let mut first = BTreeMap::new();
    let conversations = 20_000_u32;
    for number in 0..conversations {
        let key = xxhash_rust::xxh3::xxh3_64(&number.to_le_bytes());
        *first.entry(order(&routes, key)[0].clone()).or_insert(0_u32) += 1;
    }
    for (index, weight) in weights {
        let share = f64::from(first[&format!("model-{index}")]) / f64::from(conversations);
        let expected = f64::from(weight) / 10.0;
        assert!(
            (share - expected).abs() < 0.015,
            "{index}: {share}, expected {expected}"
        );
    }
}
