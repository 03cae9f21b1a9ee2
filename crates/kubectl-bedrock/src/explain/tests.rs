use super::{
    Args, Output, all, fix,
    guide::Guide,
    reasons::{Kind, ROWS},
    run,
};

const CONDITIONS: &str = include_str!("../../../api/src/v1alpha1/condition.rs");

fn text(name: Option<&str>, output: Output) -> String {
    let args = Args {
        name: name.map(str::to_owned),
        output,
    };
    let mut out = anstream::StripStream::new(Vec::new());
    run(&args, &mut out).unwrap();
    String::from_utf8(out.into_inner()).unwrap()
}

#[test]
fn every_condition_and_reason_of_the_api_is_explained() {
    let mut count = 0;
    for line in CONDITIONS.lines() {
        let Some(rest) = line.strip_prefix("pub const ") else {
            continue;
        };
        let kind = if rest.starts_with("REASON_") {
            Kind::Reason
        } else {
            Kind::Condition
        };
        let name = rest.split('"').nth(1).unwrap();
        assert!(
            ROWS.iter().any(|row| row.name == name && row.kind == kind),
            "{name} has no row"
        );
        count += 1;
    }
    assert!(count > 30, "{count}");
}

#[test]
fn every_reason_of_the_guide_is_explained_with_its_sections() {
    let all = all();
    let reasons = Guide::builtin().reasons();
    assert!(reasons.len() > 20, "{reasons:?}");
    for (name, _, anchors) in reasons {
        let one = all.iter().find(|one| one.name == name).unwrap();
        assert!(!one.fix.is_empty(), "{name}");
        assert!(!one.fix.contains("]("), "{name}: {}", one.fix);
        for anchor in anchors {
            let section = Guide::builtin().section(&anchor);
            assert!(section.is_some(), "{name}: no section {anchor}");
        }
    }
}

#[test]
fn every_page_that_an_explanation_names_exists() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    for one in all() {
        let (page, anchor) = one.guide.split_once('#').unwrap_or((&one.guide, ""));
        let text = std::fs::read_to_string(format!("{root}/{page}")).unwrap();
        let words = anchor.replace('-', " ");
        let found = text.lines().any(|line| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            line.starts_with('#') && heading.replace(['\'', '-'], " ").replace("  ", " ") == words
        });
        assert!(anchor.is_empty() || found, "{}: {}", one.name, one.guide);
    }
}

#[test]
fn explanation_has_meaning_fix_and_the_section_of_the_guide() {
    insta::assert_snapshot!(text(Some("invalididentitytoken"), Output::Text));
    insta::assert_snapshot!(text(Some("Accepted"), Output::Text), @r"
    Accepted (condition)
      A BedrockAccessPolicy allows the object, and its author has the permissions that its spec requires.
      Fix: The message names the field and the values that a policy allows. Change the spec, or ask for a change of the policy. Until then the endpoint is revoked.
      See: docs/guide/policies.md
    ");
}

#[test]
fn json_of_a_name_is_one_document_and_of_no_name_a_list() {
    let one: serde_json::Value =
        serde_json::from_str(&text(Some("Throttled"), Output::Json)).unwrap();
    assert_eq!(one["kind"], "reason");
    let list: serde_json::Value = serde_json::from_str(&text(None, Output::Json)).unwrap();
    assert!(list.as_array().unwrap().len() > 50);
}

#[test]
fn unknown_name_is_an_error_that_names_the_list() {
    let args = Args {
        name: Some("Nonsense".to_owned()),
        output: Output::Text,
    };
    let error = run(&args, &mut Vec::new()).unwrap_err().to_string();
    assert!(
        error.contains("`kubectl bedrock explain` lists all"),
        "{error}"
    );
}

#[test]
fn fix_of_a_good_reason_is_none() {
    assert_eq!(fix("Ready"), None);
    assert!(fix("NotAllowed").is_some());
    assert!(fix("AccessDenied").is_some());
}
