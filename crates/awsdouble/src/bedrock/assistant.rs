//! Replies of the simulated model for people who try a client, if the configuration sets `assistant`.
//!
//! A reply is written as a script, as if the prompt had directive lines, so that every API, stream and error is that of
//! the double. A prompt with directives of its own is left alone. Rules, not a model: the same prompt has the same reply.

mod tools;

use std::time::Duration;

use serde_json::Value;

use super::prompt::last_user_extras;
use super::reply::output_schema;
use super::script::Script;

/// Time between two words of a stream: quick to read, and visible.
const WORD_PAUSE: Duration = Duration::from_millis(30);
/// Characters of the prompt that a reply quotes.
const QUOTED_CHARACTERS: usize = 160;
/// Largest number that a reply counts to.
const COUNT_MAXIMUM: u64 = 200;

/// Prompts that begin with `simulate`: a word in them, and the directive that they have the effect of.
const SITUATIONS: [(&str, &str); 7] = [
    ("throttling", "@error ThrottlingException"),
    ("access denied", "@error AccessDeniedException"),
    (
        "context overflow",
        "@error ValidationException Input is too long for requested model.",
    ),
    ("outage", "@error ServiceUnavailableException"),
    ("timeout", "@error ModelTimeoutException"),
    (
        "broken stream",
        "@midstream-exception modelStreamErrorException 8",
    ),
    ("slow stream", "@slow 500ms"),
];

const HELP: &str = "I am a simulated model with a few rules. Try one of these prompts:
- Say good morning.
- What is 6 * 7?
- Count to 20.
- Write a haiku.
- Simulate throttling. (or: access denied, context overflow, outage, timeout, broken stream, slow stream)
If your client offers tools, I call the one that your prompt is about.";

const HAIKU: &str = "A request goes out.\nNo cloud answers, yet words come:\nthe loopback hums on.";

const STORY: &str = "A small gateway woke up on a laptop. It had no account and no network, only a simulated cloud beside \
it. A developer sent it one question, then ten, then a stream of them, and each came back word by word. When the \
developer moved the same client to a real cluster, nothing in it changed except the base URL.";

/// Completes the script of a prompt without directives.
pub(super) fn reply(script: &mut Script, model: &str, request: &Value) {
    if script.slow.is_zero() {
        script.slow = WORD_PAUSE;
    }
    script.by_word = true;
    let has_reply = script.say.is_some() || script.show || !script.tools.is_empty();
    if has_reply || script.fault.is_some() {
        return;
    }
    let prompt = plain(&script.text);
    if let Some(situation) = situation(&prompt) {
        script.fault = situation.fault;
        script.slow = situation.slow.max(script.slow);
        script.say = Some(STORY.to_owned());
        return;
    }
    script.tools = tools::calls(request, &script.text);
    // The writer of replies creates JSON that matches a schema.
    if script.tools.is_empty() && output_schema(request).is_none() {
        let results = tools::results(request);
        let answer = results.unwrap_or_else(|| text(&script.text, &prompt, model, request));
        script.say = Some(answer);
    }
    script.text.clear();
}

/// The prompt in lower case, without punctuation at its end.
fn plain(prompt: &str) -> String {
    let end = |character: char| character.is_whitespace() || ".!?\"'`".contains(character);
    prompt.trim_matches(end).to_lowercase()
}

fn situation(prompt: &str) -> Option<Script> {
    let wanted = prompt.strip_prefix("simulate ")?;
    let (_, directive) = SITUATIONS.iter().find(|(word, _)| wanted.contains(word))?;
    Script::parse(directive).ok()
}

fn text(original: &str, prompt: &str, model: &str, request: &Value) -> String {
    if ["help", "simulate", "what can you do"].contains(&prompt) {
        return HELP.to_owned();
    }
    if let Some(repeated) = repeated(original) {
        return repeated;
    }
    let first = prompt
        .split(|character: char| !character.is_alphanumeric())
        .next();
    if prompt.is_empty()
        || ["hi", "hello", "hey", "hallo", "ping", "test"].contains(&first.unwrap_or_default())
    {
        let media = attachments(request);
        return format!(
            "Hello! I am a simulated model in the place of {model}. Everything runs on this machine: no AWS account, no \
            network. Send \"help\" to see what I can do.{media}"
        );
    }
    if prompt.contains("who are you")
        || prompt.contains("what model")
        || prompt.contains("which model")
    {
        return format!(
            "I am a simulated model in the place of {model}, made of a few rules. The gateway in front of me is the real one."
        );
    }
    if let Some(result) = arithmetic(prompt) {
        return result;
    }
    if let Some(numbers) = counted(prompt) {
        return numbers;
    }
    if prompt.contains("haiku") || prompt.contains("poem") {
        return HAIKU.to_owned();
    }
    if prompt.contains("story") || prompt.contains("joke") {
        return STORY.to_owned();
    }
    let mut quoted: String = original.trim().chars().take(QUOTED_CHARACTERS).collect();
    if original.trim().chars().count() > QUOTED_CHARACTERS {
        quoted.push('…');
    }
    let media = attachments(request);
    format!(
        "This is a simulated response; no model read your prompt: \"{quoted}\".{media} Start the gateway without \
        --simulate to get the response of a model on Amazon Bedrock."
    )
}

/// Images and documents of the prompt, as a sentence.
fn attachments(request: &Value) -> String {
    let found = last_user_extras(request);
    if found.is_empty() {
        String::new()
    } else {
        format!(" It came with {}.", found.join(", "))
    }
}

/// The text that the prompt asks to repeat.
fn repeated(prompt: &str) -> Option<String> {
    const VERBS: [&str; 5] = [
        "say ",
        "repeat ",
        "reply with ",
        "respond with ",
        "answer with ",
    ];
    let prompt = prompt.trim();
    let lower = prompt.to_lowercase();
    let verb = VERBS.iter().find(|verb| lower.starts_with(**verb))?;
    let rest: String = prompt.chars().skip(verb.chars().count()).collect();
    let rest = rest
        .strip_prefix("exactly")
        .or_else(|| rest.strip_prefix("only"))
        .unwrap_or(&rest);
    let is_quote = |character: char| "\"'`: ".contains(character);
    let text = rest.trim_matches(is_quote);
    // A quoted text ends before the sentence does.
    let text = text
        .strip_suffix('.')
        .filter(|inner| inner.ends_with(['"', '\'', '`']))
        .map_or(text, |inner| inner.trim_matches(is_quote));
    (!text.is_empty()).then(|| text.to_owned())
}

/// The result of the only calculation in a prompt, such as `6 * 7`.
fn arithmetic(prompt: &str) -> Option<String> {
    let mut spaced = String::new();
    for character in prompt.chars() {
        if "+*/×÷=?".contains(character) {
            spaced.push(' ');
            spaced.push(character);
            spaced.push(' ');
        } else {
            spaced.push(character);
        }
    }
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let is_operator = |word: &&&str| {
        ["+", "-", "*", "/", "×", "÷", "x", "times", "plus", "minus"].contains(*word)
    };
    if words.iter().filter(is_operator).count() != 1 {
        return None;
    }
    words.windows(3).find_map(|window| {
        let [left, operator, right] = window else {
            return None;
        };
        let (a, b): (f64, f64) = (left.parse().ok()?, right.parse().ok()?);
        let result = match *operator {
            "+" | "plus" => a + b,
            "-" | "minus" => a - b,
            "*" | "×" | "x" | "times" => a * b,
            "/" | "÷" if b != 0.0 => a / b,
            _ => return None,
        };
        let rounded = (result * 1e6).round() / 1e6;
        Some(format!("{left} {operator} {right} = {rounded}"))
    })
}

/// `count to 5` as `1, 2, 3, 4, 5`.
fn counted(prompt: &str) -> Option<String> {
    prompt.strip_prefix("count ")?;
    let last = prompt
        .split(|character: char| !character.is_ascii_digit())
        .rfind(|word| !word.is_empty())?;
    let last: u64 = last.parse().ok()?;
    let numbers: Vec<String> = (1..=last.min(COUNT_MAXIMUM))
        .map(|number| number.to_string())
        .collect();
    Some(numbers.join(", "))
}

#[cfg(test)]
mod tests;
