//! Texts for people: errors with their causes, and lists of limited length.

use std::error::Error;

/// An error and its causes on one line, separated by colons. Skips a cause whose text is already part of the line. An
/// error response of the API server is reduced to its message.
pub(crate) fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = match cause.downcast_ref::<kube::Error>() {
            Some(kube::Error::Api(status)) => status.message.clone(),
            _ => cause.to_string(),
        };
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// The first `most` items, and the number of further items.
pub(crate) fn shown<T>(
    items: &[T],
    most: usize,
    between: &str,
    text: impl Fn(&T) -> String,
) -> String {
    let mut texts: Vec<String> = items.iter().take(most).map(text).collect();
    if let Some(more) = items.len().checked_sub(most).filter(|more| *more > 0) {
        texts.push(format!("and {more} more"));
    }
    texts.join(between)
}
