//! Checks a response: the exact text, the finish reason, the token counts, and the end of a stream.

use std::borrow::Cow;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::content::Case;

const FINISH: &str = "finish reason";
const USAGE: &str = "usage";
const DONE: &str = "[DONE]";

#[derive(Deserialize)]
struct Completion<'a> {
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(borrow)]
    choices: Vec<Choice<'a>>,
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    /// Of a complete response.
    #[serde(borrow, default)]
    message: Option<Content<'a>>,
    /// Of a chunk.
    #[serde(borrow, default)]
    delta: Option<Content<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow, default)]
    content: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
}

impl Usage {
    fn check(&self, case: &Case) -> Result<()> {
        ensure!(
            (self.prompt_tokens, self.completion_tokens) == (case.input_tokens, case.output_tokens),
            "the usage of case {} is wrong: {} and {} tokens",
            case.number,
            self.prompt_tokens,
            self.completion_tokens
        );
        Ok(())
    }
}

fn parse<'a>(json: &'a [u8], models: &[&str]) -> Result<Completion<'a>> {
    let completion: Completion<'_> = serde_json::from_slice(json)
        .with_context(|| format!("not a completion: {}", String::from_utf8_lossy(json)))?;
    ensure!(
        models.contains(&&*completion.model),
        "the model is {:?}",
        completion.model
    );
    Ok(completion)
}

/// Checks a response that is not streamed, and names one of these models.
///
/// # Errors
/// The difference from the case.
pub(crate) fn check(body: &[u8], case: &Case, models: &[&str]) -> Result<()> {
    let completion = parse(body, models)?;
    let [choice] = completion.choices.as_slice() else {
        bail!("{} choices", completion.choices.len());
    };
    let text = choice
        .message
        .as_ref()
        .and_then(|message| message.content.as_deref());
    ensure!(
        text == Some(case.text.as_str()),
        "the text of case {} is wrong: {text:?}",
        case.number
    );
    ensure!(
        choice.finish_reason.as_deref() == Some("stop"),
        "the finish reason is {:?}",
        choice.finish_reason
    );
    completion
        .usage
        .context("the response has no usage")?
        .check(case)
}

/// Checks a stream while it arrives.
#[derive(Debug)]
pub(crate) struct StreamCheck<'c> {
    case: &'c Case,
    models: &'c [&'static str],
    /// An incomplete line.
    pending: Vec<u8>,
    /// The missing rest of the text.
    left: &'c str,
    deltas: u64,
    /// Other missing parts.
    missing: Vec<&'static str>,
    /// Whether the last line was blank, which ends an event.
    ended: bool,
}

impl<'c> StreamCheck<'c> {
    pub(crate) fn new(case: &'c Case, models: &'c [&'static str]) -> Self {
        Self {
            case,
            models,
            pending: Vec::new(),
            left: &case.text,
            deltas: 0,
            missing: vec![FINISH, USAGE, DONE],
            ended: false,
        }
    }

    /// Adds received bytes; returns their number of deltas with text.
    ///
    /// # Errors
    /// The difference from the case.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<u64> {
        let before = self.deltas;
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            if self.pending.is_empty() {
                self.line(line)?;
            } else {
                let mut whole = std::mem::take(&mut self.pending);
                whole.extend_from_slice(line);
                self.line(&whole)?;
                whole.clear();
                self.pending = whole;
            }
        }
        self.pending.extend_from_slice(rest);
        Ok(self.deltas.saturating_sub(before))
    }

    fn line(&mut self, line: &[u8]) -> Result<()> {
        self.ended = line.is_empty();
        if self.ended || line.starts_with(b":") {
            return Ok(());
        }
        let data = line
            .strip_prefix(b"data: ")
            .with_context(|| format!("not an event: {}", String::from_utf8_lossy(line)))?;
        ensure!(self.missing.contains(&DONE), "data after [DONE]");
        if data == b"[DONE]" {
            self.came(DONE);
            return Ok(());
        }
        let chunk = parse(data, self.models)?;
        for choice in &chunk.choices {
            let text = choice
                .delta
                .as_ref()
                .and_then(|delta| delta.content.as_deref());
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                self.left = self.left.strip_prefix(text).with_context(|| {
                    format!("case {} does not continue with {text:?}", self.case.number)
                })?;
                self.deltas = self.deltas.saturating_add(1);
            }
            if let Some(reason) = &choice.finish_reason {
                ensure!(reason == "stop", "the finish reason is {reason}");
                self.came(FINISH);
            }
        }
        if let Some(usage) = chunk.usage {
            usage.check(self.case)?;
            self.came(USAGE);
        }
        Ok(())
    }

    fn came(&mut self, what: &str) {
        self.missing.retain(|one| *one != what);
    }

    /// Checks the end of the body.
    ///
    /// # Errors
    /// The missing parts.
    pub(crate) fn finish(self) -> Result<()> {
        ensure!(self.left.is_empty(), "the text ends before {:?}", self.left);
        ensure!(self.missing.is_empty(), "missing: {:?}", self.missing);
        ensure!(
            self.ended && self.pending.is_empty(),
            "the last event is incomplete"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        content::{DELTAS, Responses, cases},
        scenario::Handling,
    };

    const MODELS: &[&str] = &[Handling::Translated.model()];

    #[test]
    fn right_answers_pass_and_those_of_another_case_do_not() {
        let cases = cases();
        let responses = Responses::new(&cases[3]).unwrap();
        check(&responses.chat, &cases[3], MODELS).unwrap();
        let error = check(&responses.chat, &cases[4], MODELS).unwrap_err();
        assert!(error.to_string().contains("case 4"), "{error}");
        let error = check(b"{\"error\":1}", &cases[3], MODELS).unwrap_err();
        assert!(error.to_string().contains("not a completion"), "{error}");
    }

    fn stream(bytes: &[u8], chunk: usize, case: &Case) -> Result<u64> {
        let mut check = StreamCheck::new(case, MODELS);
        let mut deltas = 0;
        for piece in bytes.chunks(chunk) {
            deltas += check.push(piece)?;
        }
        check.finish()?;
        Ok(deltas)
    }

    #[test]
    fn streams_are_read_at_any_split_and_every_loss_is_noticed() {
        let cases = cases();
        let case = &cases[5];
        let pieces = Responses::new(case).unwrap().chat_stream;
        let bytes = pieces.concat();
        for chunk in [1, 2, 3, 7, 100, bytes.len()] {
            assert_eq!(
                stream(&bytes, chunk, case).unwrap(),
                u64::try_from(DELTAS).unwrap()
            );
        }
        assert!(stream(&bytes, 100, &cases[6]).is_err());
        for lost in 1..pieces.len() {
            let rest = [&pieces[..lost], &pieces[lost + 1..]].concat().concat();
            assert!(stream(&rest, 100, case).is_err(), "piece {lost}");
        }
        let swapped = [&pieces[..1], &pieces[2..3], &pieces[1..2], &pieces[3..]].concat();
        assert!(stream(&swapped.concat(), 100, case).is_err());
        assert!(stream(&bytes[..bytes.len() - 1], 100, case).is_err());
    }
}
