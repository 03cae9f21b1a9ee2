//! What the built-in table of models says about the models of a spec.
//!
//! The `ModelsReady` condition and the warnings of the validating webhook. Pure. The table ages and covers the commercial
//! regions only, so nothing here makes an object invalid. It describes bedrock-runtime; targets that choose bedrock-mantle
//! by `api` are not checked.

use api::{
    Region,
    catalogue::{self, Availability},
    config::BedrockApi,
    v1alpha1::BedrockAccessSpec,
};

/// A model with which something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remark {
    pub(crate) availability: Availability,
    /// The field and what is wrong with it, with the date of the table.
    pub(crate) text: String,
}

/// The models of a spec according to the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checked {
    /// Number of ids that the table can judge.
    pub(crate) count: usize,
    /// In the order of the spec.
    pub(crate) remarks: Vec<Remark>,
}

/// Checks the model ids in `models` and `allow`. Patterns, other ARNs and other partitions are not checked.
pub(crate) fn check(spec: &BedrockAccessSpec) -> Checked {
    let mut checked = Checked::default();
    let mut add = |field: String, id: &str, region: &str| {
        // An invalid region is reported by the validation.
        let Ok(region) = region.parse::<Region>() else {
            return;
        };
        let table = catalogue::builtin();
        if table.availability(id, &region).is_none() {
            return;
        }
        checked.count += 1;
        if let Some((availability, text)) = table.remark(id, &region) {
            let text = format!("{field}: {text}");
            checked.remarks.push(Remark { availability, text });
        }
    };
    for (at, model) in spec.models.iter().enumerate() {
        let field = format!("spec.models[{at}]");
        if let Some(id) = &model.model_id {
            add(format!("{field}.modelId"), id, &spec.region);
        }
        for (at, target) in model.targets.iter().flatten().enumerate() {
            if target.api.is_some_and(BedrockApi::is_mantle) {
                continue;
            }
            let region = target.region.as_ref().unwrap_or(&spec.region);
            let field = format!("{field}.targets[{at}].modelId");
            add(field, &target.model_id, region);
        }
    }
    for (at, id) in spec.allow.iter().enumerate() {
        add(format!("spec.allow[{at}]"), id, &spec.region);
    }
    checked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn texts(more: &str) -> Vec<(Availability, String)> {
        let checked = check(&fixtures::access(more).spec);
        let remarks = checked.remarks.into_iter();
        remarks.map(|one| (one.availability, one.text)).collect()
    }

    #[test]
    fn each_field_with_a_model_id_is_checked_in_its_region() {
        let found = texts(
            "{models: [
                {name: good, modelId: us.amazon.nova-2-lite-v1:0},
                {name: typo, modelId: anthropic.claude-3-hiaku-20240307-v1:0},
                {name: far, targets: [
                    {modelId: eu.amazon.nova-2-lite-v1:0, region: eu-central-1},
                    {modelId: us.amazon.nova-2-lite-v1:0, region: eu-central-1}]}],
              allow: ['anthropic.*', amazon.titan-text-express-v1]}",
        );
        let expected = [
            (Availability::Unknown, "spec.models[1].modelId: "),
            (
                Availability::OtherRegion,
                "spec.models[2].targets[1].modelId: ",
            ),
            (Availability::Retired, "spec.allow[1]: "),
        ];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for ((availability, text), (wanted, field)) in found.iter().zip(expected) {
            assert_eq!(*availability, wanted, "{text}");
            assert!(text.starts_with(field), "{text}");
        }
    }

    #[test]
    fn what_the_table_cannot_judge_is_not_counted() {
        let spec = |more: &str| check(&fixtures::access(more).spec).count;
        assert_eq!(spec("{models: [], allow: ['anthropic.*']}"), 0);
        assert_eq!(spec("{region: us-gov-west-1}"), 0);
        assert_eq!(spec("{region: nowhere}"), 0);
        let mantle =
            "{models: [{name: m, targets: [{modelId: anthropic.claude-opus-5, api: Mantle}]}]}";
        assert_eq!(spec(mantle), 0);
        assert_eq!(spec(""), 1);
    }
}
