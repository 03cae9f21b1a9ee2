//! What was dropped: a warning each, or a refusal in strict mode.

use super::error::RequestError;

/// More warnings than this help nobody.
const MAX: usize = 16;
/// Longest warning in bytes; they travel in headers.
const MAX_LENGTH: usize = 240;

/// Collects warnings.
#[derive(Debug, Default)]
pub(crate) struct Warnings {
    strict: bool,
    warnings: Vec<String>,
}

impl Warnings {
    pub(crate) const fn new(strict: bool) -> Self {
        Self {
            strict,
            warnings: Vec::new(),
        }
    }

    /// A field that cannot be honoured and is harmless to leave out.
    pub(crate) fn dropped(&mut self, param: &str, why: &str) -> Result<(), RequestError> {
        if self.strict {
            return Err(RequestError::unsupported(
                param,
                format!("{why}; strict mode refuses what would be dropped"),
            ));
        }
        self.push(&format!("{param}: dropped, {why}"));
        Ok(())
    }

    /// A field that is honoured in another way than asked for.
    pub(crate) fn changed(&mut self, param: &str, how: &str) -> Result<(), RequestError> {
        if self.strict {
            return Err(RequestError::unsupported(
                param,
                format!("would be changed: {how}; strict mode refuses that"),
            ));
        }
        self.push(&format!("{param}: {how}"));
        Ok(())
    }

    /// Something to know about a request that is not at fault.
    pub(crate) fn info(&mut self, param: &str, what: &str) {
        self.push(&format!("{param}: {what}"));
    }

    pub(crate) fn into_vec(self) -> Vec<String> {
        self.warnings
    }

    fn push(&mut self, warning: &str) {
        let clean: String = warning
            .chars()
            .map(|c| {
                if c == ' ' || c.is_ascii_graphic() {
                    c
                } else {
                    '?'
                }
            })
            .take(MAX_LENGTH)
            .collect();
        if self.warnings.len() < MAX && !self.warnings.contains(&clean) {
            self.warnings.push(clean);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_few_short_distinct_and_fit_for_a_header() {
        let mut warnings = Warnings::new(false);
        for index in 0..100 {
            warnings
                .dropped(&format!("x\r\nSet-Cookie: {}", index / 2), &"ä".repeat(999))
                .unwrap();
        }
        let warnings = warnings.into_vec();
        assert_eq!(warnings.len(), MAX);
        assert!(warnings.iter().all(|warning| warning.len() <= MAX_LENGTH));
        assert!(
            warnings
                .iter()
                .all(|warning| !warning.contains(['\r', '\n', 'ä']))
        );
    }

    #[test]
    fn strict_mode_refuses_naming_the_field() {
        let error = Warnings::new(true)
            .dropped("seed", "no such thing")
            .unwrap_err();
        assert_eq!(error.param.as_deref(), Some("seed"));
    }
}
