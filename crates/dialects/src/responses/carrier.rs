//! `encrypted_content`: carries a block of reasoning through the client and back, bit for bit.
//!
//! A checksum detects accidental changes; the content is not secret. The model's signature inside proves that the
//! reasoning is unchanged, and reasoning that Bedrock encrypted stays encrypted.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bedrock::converse::{ReasoningContent, ReasoningText};
use serde::{Deserialize, Serialize};

/// Identifies the gateway's format and its version.
const PREFIX: &str = "bedrock.1.";
/// Length of the checksum before the block, in bytes.
const CHECKSUM: usize = 8;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Block<'a> {
    Signed {
        text: Cow<'a, str>,
        signature: Cow<'a, str>,
    },
    Redacted(Cow<'a, str>),
}

/// Seals reasoning with its signature.
pub(super) fn seal_signed(text: &str, signature: &str) -> String {
    seal(&Block::Signed {
        text: Cow::Borrowed(text),
        signature: Cow::Borrowed(signature),
    })
}

/// Seals reasoning that Bedrock encrypted.
pub(super) fn seal_redacted(data: &str) -> String {
    seal(&Block::Redacted(Cow::Borrowed(data)))
}

fn seal(block: &Block<'_>) -> String {
    // Strings always serialize.
    let json = serde_json::to_vec(block).unwrap_or_default();
    let mut bytes = checksum(&json).to_vec();
    bytes.extend_from_slice(&json);
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// Opens sealed reasoning; `None` if it is from another service or was changed.
pub(super) fn open(sealed: &str) -> Option<ReasoningContent<'static>> {
    let bytes = URL_SAFE_NO_PAD.decode(sealed.strip_prefix(PREFIX)?).ok()?;
    let (sum, json) = bytes.split_at_checked(CHECKSUM)?;
    if sum != checksum(json) {
        return None;
    }
    Some(match serde_json::from_slice(json).ok()? {
        Block::Signed { text, signature } => ReasoningContent::ReasoningText(ReasoningText {
            text: text.into_owned().into(),
            signature: Some(Cow::Owned(signature.into_owned())),
        }),
        Block::Redacted(data) => ReasoningContent::RedactedContent(Cow::Owned(data.into_owned())),
    })
}

/// FNV-1a with a final mix: detects flipped bits and truncation.
fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash.wrapping_mul(0xff51_afd7_ed55_8ccd).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_reasoning_round_trips_bit_for_bit() {
        let text = "a\u{0}b \"\\ \u{1f98a}\n";
        let Some(ReasoningContent::ReasoningText(back)) = open(&seal_signed(text, "Sig+/=="))
        else {
            panic!("not opened")
        };
        assert_eq!(back.text.decode(), text);
        assert_eq!(back.signature.as_deref(), Some("Sig+/=="));
        let Some(ReasoningContent::RedactedContent(back)) = open(&seal_redacted("AAEC")) else {
            panic!("not opened")
        };
        assert_eq!(back, "AAEC");
    }

    #[test]
    fn detects_any_changed_character_and_any_truncation() {
        let sealed = seal_signed("think", "c2ln");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(open(&changed).is_none(), "{at}");
            let cut: String = sealed.chars().take(at).collect();
            assert!(open(&cut).is_none(), "cut at {at}");
        }
        assert!(open("gAAAAABo-of-another-service").is_none());
    }
}
