use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    overrides::BATCHES,
    prices::{PriceList, with_batches},
    render::{grouped, table},
    source::{Regions, Sources, check, last_change, models, regions, retired},
};

fn set(names: &[&str]) -> Regions {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn own_ids_of_models_with_profiles_are_on_demand_only_where_mantle_does_not_list_them() {
    let rows = json!({
        "a.profiles": {
            "model_lifecycle_status": "ACTIVE", "runtime_supported": true,
            "inference_types": {"us-east-1": ["ON_DEMAND", "US"], "eu-west-2": ["ON_DEMAND"]},
            "mantle_supported_regions": ["us-east-1"],
            "inferenceProfile": {"US": {"us-east-1": ["us-east-1", "us-west-2"]}},
        },
        "a.openai": {
            "model_lifecycle_status": "ACTIVE", "runtime_supported": true,
            "inference_types": {"us-east-1": ["ON_DEMAND", "US"]},
            "mantle_supported_regions": ["us-east-1"], "mantle_apis": ["responses"],
            "inferenceProfile": {"US": {"us-east-1": ["us-east-1", "us-west-2"]}},
        },
        "a.direct": {
            "model_lifecycle_status": "LEGACY", "runtime_supported": true,
            "inference_types": {"us-east-1": ["ON_DEMAND"]}, "mantle_supported_regions": ["us-east-1"],
        },
        "a.mantle": {
            "model_lifecycle_status": "ACTIVE",
            "inference_types": {"us-east-1": ["ON_DEMAND"]}, "mantle_supported_regions": ["us-east-1"],
        },
        "anthropic.claude-mulberry-trn2-208k-20251001": {},
    });
    let models = models(&rows).unwrap();
    assert_eq!(models["a.profiles"].on_demand, set(&["eu-west-2"]));
    assert_eq!(models["a.profiles"].mantle, Regions::new());
    assert_eq!(models["a.openai"].on_demand, Regions::new());
    assert_eq!(models["a.openai"].mantle, set(&["us-east-1"]));
    assert_eq!(models["a.direct"].on_demand, set(&["us-east-1"]));
    assert!(models["a.direct"].legacy);
    assert_eq!(models["a.mantle"].on_demand, Regions::new());
    assert_eq!(models["a.mantle"].mantle, set(&["us-east-1"]));
    assert_eq!(models.len(), 4, "the omitted model");
}

#[test]
fn unknown_prefix_or_lifecycle_is_an_error_that_names_the_model() {
    let row = |status: &str, prefix: &str| {
        json!({"a.b": {
            "model_lifecycle_status": status, "runtime_supported": true, "inference_types": {},
            "inferenceProfile": {prefix: {"us-east-1": ["us-east-1"]}},
        }})
    };
    for (rows, word) in [(row("ACTIVE", "MARS"), "mars"), (row("NEW", "US"), "NEW")] {
        let error = format!("{:#}", models(&rows).unwrap_err());
        assert!(error.contains("a.b") && error.contains(word), "{error}");
    }
}

#[test]
fn models_that_an_earlier_release_lists_are_retired() {
    let current = models(&json!({"a.current": {
        "model_lifecycle_status": "ACTIVE", "runtime_supported": true, "inference_types": {"us-east-1": ["ON_DEMAND"]},
    }}))
    .unwrap();
    let metadata = json!({
        "a.current": {"last_changed": "2026-01-02"},
        "a.deleted": {"last_changed": "2026-01-01", "deleted": "2026-02-01"},
        "anthropic.claude-fern-trn2-1024k": {"last_changed": "2026-01-01", "deleted": "2026-01-01"},
    });
    let before = json!({"a.current": {}, "a.first": {}});
    let retired = retired(&current, &metadata, &before).unwrap();
    assert!(retired.contains("a.deleted") && retired.contains("a.first"));
    assert!(retired.contains("anthropic.claude-v2"), "an override");
    assert!(!retired.contains("a.current"));
    assert!(!retired.contains("anthropic.claude-fern-trn2-1024k"));
    assert_eq!(last_change(&metadata).unwrap(), "2026-02-01");
}

#[test]
fn sources_with_the_same_other_destinations_form_one_group() {
    let routes = [
        (
            "ca-central-1",
            vec!["ca-central-1", "us-east-1", "us-west-2"],
        ),
        ("us-east-1", vec!["us-east-1", "us-west-2"]),
        ("us-west-2", vec!["us-east-1", "us-west-2"]),
        ("us-west-1", vec!["us-west-1"]),
    ];
    let routes = routes
        .iter()
        .map(|(source, to)| ((*source).to_owned(), set(to)))
        .collect();
    assert_eq!(
        grouped(&routes),
        [
            (
                set(&["ca-central-1", "us-east-1", "us-west-2"]),
                set(&["us-east-1", "us-west-2"])
            ),
            (set(&["us-west-1"]), set(&["us-west-1"])),
        ]
    );
}

#[test]
fn regions_are_the_endpoints_that_are_regions() {
    let endpoints = json!({"partitions": [{
        "partition": "aws", "regions": {"us-east-1": {}, "eu-west-1": {}},
        "services": {"bedrock": {"endpoints": {"us-east-1": {}, "bedrock-us-east-1": {}}}},
    }, {"partition": "aws-cn", "regions": {}, "services": {}}]});
    let regions = regions(&endpoints).unwrap();
    assert_eq!(regions["aws"], set(&["us-east-1"]));
    assert_eq!(regions.len(), 1);
}

#[test]
fn differences_to_the_second_list_are_comments() {
    let prices = json!({
        "us.a.current": {"litellm_provider": "bedrock_converse", "deprecation_date": "2026-01-01"},
        "bedrock/us-west-2/a.new": {"litellm_provider": "bedrock"},
        "gpt-9": {"litellm_provider": "openai"},
    });
    let models = models(&json!({"a.current": {
        "model_lifecycle_status": "ACTIVE", "runtime_supported": true, "inference_types": {"us-east-1": ["ON_DEMAND"]},
    }}))
    .unwrap();
    let sources = Sources {
        models_version: "1".to_owned(),
        regions_version: "2".to_owned(),
        check_version: "3".to_owned(),
        as_of: "2026-02-01".to_owned(),
        models,
        retired: BTreeSet::new(),
        regions: [("aws".to_owned(), set(&["us-east-1"]))].into(),
        check: check(&prices).unwrap(),
    };
    let text = table(&sources).unwrap();
    assert!(text.contains("#   a.new\n"), "{text}");
    assert!(text.contains("#   a.current (2026-01-01)\n"), "{text}");
    assert!(
        text.contains("  a.current:\n    onDemand: [us-east-1]\n"),
        "{text}"
    );
    assert!(text.contains("asOf: \"2026-02-01\"\n"), "{text}");
}

#[test]
fn prices_are_exact_and_scopes_with_the_same_prices_share_a_row() {
    let list = json!({
        "a.model": {"litellm_provider": "bedrock_converse", "input_cost_per_token": 3e-6, "output_cost_per_token": 1.5e-5},
        "us.a.model": {"litellm_provider": "bedrock_converse", "input_cost_per_token": 3.3e-6, "output_cost_per_token": 1.65e-5},
        "bedrock_mantle/a.model": {"litellm_provider": "bedrock_mantle", "input_cost_per_token": 3.3e-6, "output_cost_per_token": 1.65e-5},
        "bedrock/eu-west-2/a.model": {
            "litellm_provider": "bedrock", "input_cost_per_token": 8.75e-9, "output_cost_per_token": 7.21875e-6,
            "output_cost_per_token_flex": 3.5e-8,
            "input_cost_per_token_above_200k_tokens": 0.002, "output_cost_per_token_above_200k_tokens": 1.0,
        },
        "bedrock/us-east-1/1-month-commitment/a.model": {"litellm_provider": "bedrock", "input_cost_per_second": 1.0},
        "a.rank": {"litellm_provider": "bedrock", "input_cost_per_token": 0.0, "input_cost_per_query": 0.001},
        "twelvelabs.pegasus-9": {"litellm_provider": "bedrock", "output_cost_per_token": 7.5e-6},
        "gpt-9": {"litellm_provider": "openai", "input_cost_per_token": 1.0},
        "bedrock/guardrails": {"litellm_provider": "bedrock", "mode": "guardrail", "guardrail_cost_per_unit": {
            "contentPolicyUnits": 0.00015, "contentPolicyImageUnits": 0.00075, "topicPolicyUnits": 0.00015,
            "sensitiveInformationPolicyUnits": 0.0001, "contextualGroundingPolicyUnits": 0.0001,
            "automatedReasoningPolicyUnits": 0.00017,
        }},
    });
    let prices = PriceList::read(&list).unwrap();
    let known = ["a.model", "a.unknown"].into_iter();
    let text = prices
        .table(("2026-01-02", "a list", "sha256:0"), known)
        .unwrap();
    for part in [
        "retrieved: \"2026-01-02\"\nsource: \"a list\"\nchecksum: \"sha256:0\"\n",
        "  content: 0.00015\n",
        "  a.model:\n  - for: [default, us]\n    standard: {input: 3.3, output: 16.5}\n  - for: [eu-west-2]\n    \
         standard: {input: 0.00875, output: 7.21875, long: {above: 200000, input: 2000, output: 1000000}}\n    \
         flex: {output: 0.035}\n",
        "  a.rank:\n  - for: [default]\n    standard: {search: 0.001}\n",
        "#   a.model: bedrock_mantle/a.model\n",
        "#   twelvelabs.pegasus-9: seconds of video and audio\n",
        "without a price in the source:\n#   a.unknown\n",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("gpt-9"), "{text}");
}

#[test]
fn prices_of_batches_are_added_to_rows_that_lack_them() {
    let row = json!({"litellm_provider": "bedrock", "input_cost_per_token": 2e-6});
    let names = BATCHES.iter().map(|(name, ..)| (*name).to_owned());
    let list: Map<String, Value> = names.map(|name| (name, row.clone())).collect();
    let (name, input, output) = BATCHES[1];
    let added = with_batches(Value::Object(list.clone())).unwrap();
    assert_eq!(added[name]["input_cost_per_token_batches"], json!(input));
    let found = added[name].get("output_cost_per_token_batches").cloned();
    assert_eq!(found, output.map(|price| json!(price)));
    let again = with_batches(added).unwrap_err().to_string();
    assert!(again.contains("remove it from BATCHES"), "{again}");
    let missing = with_batches(json!({})).unwrap_err().to_string();
    assert!(missing.contains("the list has no"), "{missing}");
}

#[test]
fn the_date_of_the_prices_stays_while_the_list_is_the_same() {
    let table = "retrieved: \"2026-01-02\"\nsource: \"x\"\nchecksum: \"sha256:0\"\n";
    assert_eq!(super::retrieved(table, "sha256:0"), Some("2026-01-02"));
    assert_eq!(super::retrieved(table, "sha256:1"), None);
    assert_eq!(super::retrieved("", "sha256:0"), None);
}
