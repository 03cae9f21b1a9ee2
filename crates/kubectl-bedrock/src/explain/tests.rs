use super::{Args, Output, run};

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
