//! Lifts the reasoning of gpt-oss out of the text: Bedrock's Chat Completions API returns it as
//! `<reasoning>…</reasoning>` at the start of `content`, and clients expect it in `reasoning_content`.

use crate::translation::write::quoted;

const START: &str = "<reasoning>";
const END: &str = "</reasoning>";

/// The text of one choice, read in pieces.
#[derive(Debug, Default)]
pub(super) struct Lift {
    stage: Stage,
    /// Text that may be a part of a tag.
    pending: String,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Start,
    Inside,
    After,
}

/// Text and reasoning of a piece.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lifted {
    pub(super) content: String,
    pub(super) reasoning: String,
}

impl Lift {
    /// Reads a piece of text.
    pub(super) fn push(&mut self, text: &str) -> Lifted {
        let mut lifted = Lifted::default();
        self.pending.push_str(text);
        if self.stage == Stage::Start {
            if let Some(rest) = self.pending.strip_prefix(START) {
                self.pending = rest.to_owned();
                self.stage = Stage::Inside;
            } else if !START.starts_with(&self.pending) {
                self.stage = Stage::After;
            }
        }
        if self.stage == Stage::Inside {
            if let Some((reasoning, rest)) = self.pending.split_once(END) {
                reasoning.clone_into(&mut lifted.reasoning);
                self.pending = rest.to_owned();
                self.stage = Stage::After;
            } else {
                let length = self.pending.len();
                let rest = self.pending.split_off(length.saturating_sub(self.held()));
                lifted.reasoning = std::mem::replace(&mut self.pending, rest);
            }
        }
        if self.stage == Stage::After {
            lifted.content = std::mem::take(&mut self.pending);
        }
        lifted
    }

    /// Length of the text that may be the start of the end tag.
    fn held(&self) -> usize {
        let is_start = |length: &usize| {
            END.get(..*length)
                .is_some_and(|start| self.pending.ends_with(start))
        };
        (1..END.len()).rev().find(is_start).unwrap_or(0)
    }

    /// The rest at the end of the text.
    pub(super) fn finish(&mut self) -> Lifted {
        let rest = std::mem::take(&mut self.pending);
        let (content, reasoning) = match std::mem::replace(&mut self.stage, Stage::After) {
            Stage::Inside => (String::new(), rest),
            Stage::Start | Stage::After => (rest, String::new()),
        };
        Lifted { content, reasoning }
    }
}

impl Lifted {
    /// Adds the rest at the end.
    pub(super) fn extend(&mut self, rest: &Self) {
        self.content.push_str(&rest.content);
        self.reasoning.push_str(&rest.reasoning);
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.content.is_empty() && self.reasoning.is_empty()
    }

    /// The value of `content`, followed by the member `reasoning_content`, if any.
    pub(super) fn value(&self) -> String {
        let mut json = quoted(&self.content);
        if !self.reasoning.is_empty() {
            json.push_str(",\"reasoning_content\":");
            json.push_str(&quoted(&self.reasoning));
        }
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str, chunk: usize) -> Lifted {
        let mut lift = Lift::default();
        let mut all = Lifted::default();
        let chars: Vec<char> = text.chars().collect();
        for piece in chars.chunks(chunk) {
            let piece: String = piece.iter().collect();
            all.extend(&lift.push(&piece));
        }
        all.extend(&lift.finish());
        all
    }

    #[test]
    fn reasoning_is_lifted_for_every_split() {
        for (text, content, reasoning) in [
            (
                "<reasoning>Hm. a < b</reason></reasoning>Hi",
                "Hi",
                "Hm. a < b</reason>",
            ),
            ("<reasoning>cut </reas", "", "cut </reas"),
            ("<reasoning></reasoning>Hi", "Hi", ""),
            (
                "Hi <reasoning>x</reasoning>",
                "Hi <reasoning>x</reasoning>",
                "",
            ),
            ("<reason", "<reason", ""),
            ("", "", ""),
        ] {
            for chunk in 1..=text.len().max(1) {
                let lifted = run(text, chunk);
                assert_eq!(lifted.content, content, "{chunk} {text}");
                assert_eq!(lifted.reasoning, reasoning, "{chunk} {text}");
            }
        }
    }
}
