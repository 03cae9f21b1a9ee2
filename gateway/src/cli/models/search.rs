//! Finds models by ID, by a part of an ID, or by a name as people write it, such as `Claude Haiku 4.5`.

use api::catalogue::Catalogue;

use super::list::Entry;

/// The value of `--model`.
#[derive(Debug)]
pub(super) struct Search<'a> {
    table: &'a Catalogue,
    /// The ID of a foundation model, or other text.
    text: &'a str,
}

/// How closely a model matches, the closest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Match {
    /// The ID contains each word.
    Words,
    /// The ID or the name contains the text, apart from case, spaces and punctuation.
    Part,
    /// The ID or the name is the text.
    Exact,
}

impl<'a> Search<'a> {
    pub(super) fn new(table: &'a Catalogue, text: &'a str) -> Self {
        let foundation = table.split_profile(text).map_or(text, |(_, model)| model);
        Self {
            table,
            text: foundation,
        }
    }

    /// Keeps the models that match most closely.
    pub(super) fn keep<'m>(&self, lists: impl Iterator<Item = &'m mut Vec<Entry>>) {
        let lists: Vec<&mut Vec<Entry>> = lists.collect();
        let of = |entry: &Entry| self.matches(&entry.model, entry.name.as_deref());
        let best = lists
            .iter()
            .flat_map(|list| list.iter().filter_map(of))
            .max();
        for list in lists {
            list.retain(|entry| of(entry).is_some_and(|found| Some(found) == best));
        }
    }

    /// Retired models that match.
    pub(super) fn retired(&self) -> Vec<String> {
        let matches = |id: &&str| {
            self.matches(id, None)
                .is_some_and(|found| found >= Match::Part)
        };
        let found = self.table.retired().filter(matches);
        found.map(str::to_owned).collect()
    }

    fn matches(&self, id: &str, name: Option<&str>) -> Option<Match> {
        let is_name = name.is_some_and(|name| name.eq_ignore_ascii_case(self.text));
        if id == self.text || is_name {
            return Some(Match::Exact);
        }
        let wanted = letters_and_digits(self.text);
        let id = letters_and_digits(id);
        let name = letters_and_digits(name.unwrap_or_default());
        if wanted.is_empty() {
            return None;
        }
        if id.contains(&wanted) || name.contains(&wanted) {
            return Some(Match::Part);
        }
        let mut words = self.text.split_whitespace().map(letters_and_digits);
        words.all(|word| id.contains(&word)).then_some(Match::Words)
    }
}

/// `claude3haiku` for `Claude 3 Haiku` and for `claude-3-haiku`.
fn letters_and_digits(text: &str) -> String {
    let kept = text.chars().filter(char::is_ascii_alphanumeric);
    kept.map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, named: &[(&str, &str)]) -> Vec<String> {
        let table = api::catalogue::builtin();
        let of_table = table.models().map(|(id, _)| (id, None));
        let named = named
            .iter()
            .map(|(id, name)| (*id, Some((*name).to_owned())));
        let mut models: Vec<Entry> = of_table
            .chain(named)
            .map(|(id, name)| Entry {
                model: id.to_owned(),
                name,
                call_as: Vec::new(),
                lifecycle: String::new(),
            })
            .collect();
        Search::new(table, text).keep(std::iter::once(&mut models));
        models.into_iter().map(|entry| entry.model).collect()
    }

    #[test]
    fn names_as_people_write_them_find_the_model() {
        for (text, id) in [
            ("Claude 3 Haiku", "anthropic.claude-3-haiku-20240307-v1:0"),
            (
                "claude haiku 4.5",
                "anthropic.claude-haiku-4-5-20251001-v1:0",
            ),
            (
                "Claude 3.7 Sonnet",
                "anthropic.claude-3-7-sonnet-20250219-v1:0",
            ),
            ("Amazon Nova Lite", "amazon.nova-lite-v1:0"),
            ("Llama 3.3 70B Instruct", "meta.llama3-3-70b-instruct-v1:0"),
            ("GPT-6 Sol", "openai.gpt-6-sol"),
            (
                "Haiku 4.5 Claude",
                "anthropic.claude-haiku-4-5-20251001-v1:0",
            ),
            ("us.amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"),
        ] {
            let ids = found(text, &[]);
            assert!(ids.contains(&id.to_owned()), "{text}: {ids:?}");
            assert!(ids.len() <= 2, "{text}: {ids:?}");
        }
        assert!(found("Claude 9 Sonata", &[]).is_empty());
        assert!(found("...", &[]).is_empty());
    }

    #[test]
    fn name_that_bedrock_lists_is_closer_than_a_part_of_an_id() {
        let named = [("x.embed-2", "Nova Lite"), ("x.embed-3", "Nova Lite Two")];
        assert_eq!(found("nova lite", &named), ["x.embed-2"]);
    }

    #[test]
    fn part_of_an_id_finds_retired_models() {
        let search = Search::new(api::catalogue::builtin(), "titan-text");
        let retired = search.retired();
        assert!(retired.contains(&"amazon.titan-text-express-v1".to_owned()));
        assert!(
            !retired.iter().any(|id| id.contains("claude")),
            "{retired:?}"
        );
    }
}
