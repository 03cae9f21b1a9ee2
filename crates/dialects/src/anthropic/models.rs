//! Anthropic's list of models. <https://docs.claude.com/en/api/models-list>

use serde::Serialize;

/// A model that the client may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelInfo {
    /// Always `model`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The value for `model`.
    pub id: String,
    /// The name for humans.
    pub display_name: String,
    /// Time when the list was loaded, in RFC 3339.
    pub created_at: String,
}

impl ModelInfo {
    /// An entry; `created_at` is a time in RFC 3339.
    pub fn new(id: impl Into<String>, created_at: &str) -> Self {
        let id = id.into();
        Self {
            kind: "model",
            display_name: id.clone(),
            id,
            created_at: created_at.to_owned(),
        }
    }
}

#[derive(Serialize)]
struct List<'a> {
    data: &'a [ModelInfo],
    has_more: bool,
    first_id: Option<&'a str>,
    last_id: Option<&'a str>,
}

/// A page of at most `limit` models, after the model `after_id` or before `before_id`.
pub fn models_list(
    models: &[ModelInfo],
    limit: usize,
    after_id: Option<&str>,
    before_id: Option<&str>,
) -> Vec<u8> {
    let place = |id: &str| models.iter().position(|model| model.id == id);
    let all = match (after_id.and_then(place), before_id.and_then(place)) {
        (Some(after), _) => models.get(after.saturating_add(1)..).unwrap_or_default(),
        (None, Some(before)) => models.get(..before).unwrap_or_default(),
        (None, None) => models,
    };
    let more = all.len() > limit;
    let data = if after_id.is_none() && before_id.is_some() {
        all.get(all.len().saturating_sub(limit)..)
    } else {
        all.get(..limit.min(all.len()))
    };
    let data = data.unwrap_or_default();
    let list = List {
        data,
        has_more: more,
        first_id: data.first().map(|model| model.id.as_str()),
        last_id: data.last().map(|model| model.id.as_str()),
    };
    serde_json::to_vec(&list).unwrap_or_default()
}

/// One model.
pub fn model(model: &ModelInfo) -> Vec<u8> {
    serde_json::to_vec(model).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_can_be_read_in_both_directions() {
        let models: Vec<ModelInfo> = ["a", "b", "c"]
            .map(|id| ModelInfo::new(id, "1970-01-01T00:00:00Z"))
            .into();
        let page = |limit, after, before| {
            let list: serde_json::Value =
                serde_json::from_slice(&models_list(&models, limit, after, before)).unwrap();
            let ids: Vec<_> = list["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["id"].as_str().unwrap().to_owned())
                .collect();
            (ids.join(""), list["has_more"].as_bool().unwrap())
        };
        assert_eq!(page(2, None, None), ("ab".to_owned(), true));
        assert_eq!(page(2, Some("b"), None), ("c".to_owned(), false));
        assert_eq!(page(1, None, Some("c")), ("b".to_owned(), true));
        assert_eq!(page(20, None, None), ("abc".to_owned(), false));
        assert_eq!(page(20, Some("c"), None), (String::new(), false));
    }
}
