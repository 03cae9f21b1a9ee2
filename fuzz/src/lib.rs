//! Helpers that the targets share: chunks of the input, the body that the gateway decodes, and the capabilities to decode for.

use std::{
    borrow::Cow,
    sync::{Arc, LazyLock},
};

use dialects::{
    families::{FamilyTable, ModelCapabilities},
    translation::surrogates,
};

/// One model of each kind that translation treats differently.
const MODELS: [&str; 6] = [
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "us.anthropic.claude-opus-4-7",
    "us.amazon.nova-2-lite-v1:0",
    "us.meta.llama3-3-70b-instruct-v1:0",
    "moonshotai.kimi-k2.5",
    "acme.brand-new-v1:0",
];

/// The capabilities of [`MODELS`].
pub static CAPABILITIES: LazyLock<Vec<Arc<ModelCapabilities>>> = LazyLock::new(|| {
    let table = FamilyTable::builtin();
    MODELS.iter().map(|id| table.resolve(id, None)).collect()
});

/// The body that the gateway decodes: without lone surrogates.
pub fn repaired(data: &[u8]) -> Cow<'_, [u8]> {
    surrogates::repaired(data).map_or(Cow::Borrowed(data), Cow::Owned)
}

/// The input after its first byte, in chunks; the first byte is the length of a chunk, 0 means one chunk.
pub fn chunks(data: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let Some((length, rest)) = data.split_first() else {
        return (Vec::new(), data);
    };
    match usize::from(*length) {
        0 => (vec![rest], rest),
        length => (rest.chunks(length).collect(), rest),
    }
}
