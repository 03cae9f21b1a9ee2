use super::*;

fn region(name: &str) -> Region {
    name.parse().unwrap()
}

#[test]
fn built_in_table_is_consistent_and_has_a_date_and_sources() {
    let table = builtin();
    assert_eq!(table.as_of().len(), 10);
    assert!(table.sources().len() >= 2);
    assert!(table.models().count() > 100);
    for (id, model) in table.models() {
        assert!(table.split_profile(id).is_none(), "{id} is a profile");
        assert!(!table.is_retired(id), "{id} is both listed and retired");
        assert!(model.on_demand.is_disjoint(&model.mantle), "{id}");
        let own = !model.on_demand.is_empty() || !model.mantle.is_empty();
        assert!(own || !model.profiles.is_empty(), "{id} has no region");
        for (prefix, routes) in &model.profiles {
            assert!(table.area(prefix).is_some(), "{id}: {prefix}");
            let mut seen = BTreeSet::new();
            for route in routes {
                assert_eq!(route.to.is_none(), prefix == "global", "{id}: {prefix}");
                for destination in route.to.iter().flatten() {
                    assert!(table.has_bedrock(destination), "{id}: {destination}");
                }
                for source in &route.from {
                    assert!(seen.insert(source), "{id}: {prefix}: {source} twice");
                }
            }
        }
        let regions = model
            .on_demand
            .iter()
            .chain(&model.mantle)
            .chain(model.profiles.values().flatten().flat_map(|r| &r.from));
        for region in regions {
            assert!(table.has_bedrock(region), "{id}: {region}");
        }
    }
}

#[test]
fn table_is_sorted_as_it_is_generated() {
    let text = include_str!("table.yaml");
    let keys: Vec<&str> = text
        .lines()
        .skip_while(|line| *line != "models:")
        .filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'))
        .filter(|key| !key.starts_with(' '))
        .collect();
    assert_eq!(keys.len(), builtin().models().count());
    assert!(keys.is_sorted(), "{keys:?}");
}

#[test]
fn age_counts_from_the_date_of_the_table() {
    let day = |days: u64| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(days * 86_400);
    let table = Catalogue {
        as_of: "2026-10-27".to_owned(),
        ..builtin().clone()
    };
    assert_eq!(table.age_days(day(20_753 + 32)), Some(32));
    assert_eq!(table.age_days(day(20_752)), None);
    assert!(builtin().age_days(day(40_000)).is_some());
}

#[test]
fn availability_tells_legacy_retired_and_unknown_ids_and_other_regions_apart() {
    let profile =
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0";
    let model = "arn:aws:bedrock:us-east-1::foundation-model/amazon.titan-text-express-v1";
    let application = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2";
    for (id, from, expected) in [
        (
            "us.amazon.nova-lite-v1:0",
            "us-east-1",
            Some(Availability::Active),
        ),
        (
            "us.amazon.nova-lite-v1:0",
            "eu-central-1",
            Some(Availability::OtherRegion),
        ),
        (
            "amazon.nova-2-lite-v1:0",
            "us-east-1",
            Some(Availability::OtherRegion),
        ),
        (
            "anthropic.claude-3-haiku-20240307-v1:0",
            "eu-west-3",
            Some(Availability::Legacy),
        ),
        (
            "anthropic.claude-3-hiaku-20240307-v1:0",
            "eu-west-3",
            Some(Availability::Unknown),
        ),
        (
            "moon.amazon.nova-lite-v1:0",
            "us-east-1",
            Some(Availability::Unknown),
        ),
        (
            "amazon.titan-text-express-v1",
            "us-east-1",
            Some(Availability::Retired),
        ),
        (
            "us.anthropic.claude-3-opus-20240229-v1:0",
            "us-east-1",
            Some(Availability::Retired),
        ),
        // The region of an ARN is that of the call.
        (profile, "eu-central-1", Some(Availability::Active)),
        (model, "eu-central-1", Some(Availability::Retired)),
        // What the table cannot say.
        (application, "us-east-1", None),
        ("anthropic.claude-*", "us-east-1", None),
        (
            "us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "us-gov-west-1",
            None,
        ),
    ] {
        let availability = builtin().availability(id, &region(from));
        assert_eq!(availability, expected, "{id} from {from}");
        let remark = builtin().remark(id, &region(from));
        let expected = expected.filter(|expected| *expected != Availability::Active);
        assert_eq!(
            remark.map(|(availability, _)| availability),
            expected,
            "{id}"
        );
    }
}

#[test]
fn remark_names_the_id_to_use_and_the_date() {
    let table = builtin();
    let text = |id: &str, from: &str| table.remark(id, &region(from)).unwrap().1;
    let elsewhere = text("us.amazon.nova-lite-v1:0", "eu-central-1");
    assert!(
        elsewhere.contains("use eu.amazon.nova-lite-v1:0"),
        "{elsewhere}"
    );
    assert!(elsewhere.contains(table.as_of()), "{elsewhere}");
    let nowhere = text("luma.ray-v2:0", "eu-central-1");
    assert!(
        nowhere.contains("models --model luma.ray-v2:0"),
        "{nowhere}"
    );
    let legacy = text("anthropic.claude-3-haiku-20240307-v1:0", "eu-west-3");
    assert!(legacy.contains("is legacy"), "{legacy}");
    let typo = text("anthropic.claude-3-hiaku-20240307-v1:0", "eu-west-3");
    assert!(typo.contains("check the spelling"), "{typo}");
}

#[test]
fn models_of_bedrock_mantle_are_called_by_their_own_id() {
    let both = builtin().model("openai.gpt-5.6-sol").unwrap();
    let region = both.mantle.first().unwrap();
    assert_eq!(
        both.ids_in("openai.gpt-5.6-sol", region)[0],
        "openai.gpt-5.6-sol"
    );
    assert!(!both.profiles.is_empty());
    // Claude needs a profile, although bedrock-mantle accepts its own id.
    let claude = builtin().availability("anthropic.claude-opus-5", &self::region("us-east-1"));
    assert_eq!(claude, Some(Availability::OtherRegion));
    let model = builtin().model("xai.grok-4.3").unwrap();
    let region = model.mantle.first().unwrap();
    assert_eq!(model.ids_in("xai.grok-4.3", region), ["xai.grok-4.3"]);
    assert!(model.on_demand().is_empty());
}

#[test]
fn regions_are_listed_under_their_partition() {
    for partition in Partition::ALL {
        for region in builtin().regions(partition) {
            assert_eq!(region.partition(), partition, "{region}");
        }
    }
    for name in [
        "us-east-1",
        "us-west-2",
        "eu-central-1",
        "ap-southeast-1",
        "ap-northeast-1",
        "us-gov-west-1",
    ] {
        assert!(builtin().has_bedrock(&region(name)), "{name}");
    }
    assert!(!builtin().has_bedrock(&region("cn-north-1")));
}

#[test]
fn profile_ids_are_distinguished_from_model_ids_with_a_similar_prefix() {
    let table = builtin();
    assert_eq!(
        table.split_profile("eu.amazon.nova-lite-v1:0"),
        Some(("eu", "amazon.nova-lite-v1:0"))
    );
    assert_eq!(
        table.split_profile("us-gov.anthropic.claude-x"),
        Some(("us-gov", "anthropic.claude-x"))
    );
    assert_eq!(table.split_profile("amazon.nova-lite-v1:0"), None);
    assert_eq!(table.split_profile("qwen.qwen3-32b-v1.5:0"), None);
}

#[test]
fn destinations_include_the_source_region() {
    let table = builtin();
    let sonnet = "anthropic.claude-sonnet-4-5-20250929-v1:0";
    let Destinations::Known(from_zurich) =
        table.destinations(&format!("eu.{sonnet}"), &region("eu-central-2"))
    else {
        panic!("known");
    };
    assert!(from_zurich.contains(&region("eu-central-2")));
    assert!(from_zurich.contains(&region("eu-north-1")));
    let Destinations::Known(from_frankfurt) =
        table.destinations(&format!("eu.{sonnet}"), &region("eu-central-1"))
    else {
        panic!("known");
    };
    assert!(!from_frankfurt.contains(&region("eu-central-2")));
    assert_eq!(
        table.destinations(&format!("global.{sonnet}"), &region("us-east-1")),
        Destinations::AnyCommercial
    );
    assert_eq!(
        table.destinations("eu.example.unknown", &region("eu-west-1")),
        Destinations::Unknown
    );
}

#[test]
fn advice_lists_the_ids_in_the_region_or_the_regions_of_the_model() {
    let table = builtin();
    let sonnet = "anthropic.claude-sonnet-4-5-20250929-v1:0";
    let here = table.advice(sonnet, &region("eu-central-1")).unwrap();
    assert!(here.contains(&format!("eu.{sonnet}")), "{here}");
    assert!(here.contains(table.as_of()), "{here}");
    // On bedrock-mantle, the id works as it is.
    let rejected = "openai.gpt-5.6-sol";
    let other = table.advice(rejected, &region("us-east-1")).unwrap();
    assert!(other.contains(&format!("us.{rejected}")), "{other}");
    assert!(!other.contains(&format!("id {rejected}")), "{other}");
    let elsewhere = table
        .advice(
            "anthropic.claude-3-haiku-20240307-v1:0",
            &region("us-east-1"),
        )
        .unwrap();
    assert!(
        elsewhere.contains("is not available in us-east-1"),
        "{elsewhere}"
    );
    assert!(elsewhere.contains("eu-west-3"), "{elsewhere}");
    let gone = table
        .advice(
            "anthropic.claude-3-opus-20240229-v1:0",
            &region("us-east-1"),
        )
        .unwrap();
    assert!(gone.contains("is retired"), "{gone}");
    assert_eq!(table.advice("example.unknown", &region("us-east-1")), None);
}
