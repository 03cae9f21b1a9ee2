//! Finds where JSON string literals end, a block of bytes at a time: a search that starts again after each escape takes several times as
//! long, since code and prose have an escape in each line. Pure.

use std::mem;

use memchr::memchr2;
use wide::u8x16;

/// Bytes that are compared together at the start: most names and many values are short.
const WORD: usize = 8;
/// Bytes of a vector.
const VECTOR: usize = 16;
/// Bytes of a block: a bit of a `u64` for each.
const BLOCK: usize = 64;
/// Every second byte of a block.
const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;

/// The end of a literal that is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Position of its closing quote.
    pub at: usize,
    /// Whether it has escapes.
    pub has_escapes: bool,
}

/// The position of the closing quote in a text that begins after the opening one. Nothing else is checked.
pub fn end(text: &[u8]) -> Option<usize> {
    let (start, byte) = first_mark(text)?;
    if byte == b'"' {
        return Some(start);
    }
    let mut carry = 0;
    let (blocks, rest) = text.get(start..)?.as_chunks();
    for (block, at) in blocks.iter().zip((start..).step_by(BLOCK)) {
        if let Some(found) = first(quotes_of(block, &mut carry)) {
            return at.checked_add(found);
        }
    }
    let at = first(quotes_of(&padded(rest), &mut carry))?;
    text.len().checked_sub(rest.len())?.checked_add(at)
}

/// The end of a literal in a text that begins after its opening quote. `None` if it does not end, has a control character, or an escape
/// that no JSON has or that is half a pair of surrogates.
pub fn valid_end(text: &[u8]) -> Option<End> {
    let (start, byte) = first_mark(text)?;
    let has_escapes = byte == b'\\';
    let at = if has_escapes {
        let mut checker = Checker {
            text,
            start,
            carry: 0,
            low: None,
        };
        let (blocks, rest) = text.get(start..)?.as_chunks();
        let found = blocks.iter().find_map(|block| checker.block(block));
        found.or_else(|| checker.block(&padded(rest)))?.ok()?
    } else {
        start
    };
    let content = text.get(..at)?;
    let least = content.iter().fold(u8::MAX, |least, byte| least.min(*byte));
    (least >= b' ').then_some(End { at, has_escapes })
}

/// The first quote or backslash. What is before it has no escapes, and is searched several times faster.
fn first_mark(text: &[u8]) -> Option<(usize, u8)> {
    let at = soon(text).or_else(|| memchr2(b'"', b'\\', text))?;
    Some((at, *text.get(at)?))
}

/// The position of the first quote or backslash, if it is in the first word.
fn soon(text: &[u8]) -> Option<usize> {
    let word = u64::from_le_bytes(*text.first_chunk()?);
    // The lowest bit that is set is exact.
    let found = zeros(word ^ u64::from_le_bytes([b'"'; WORD]))
        | zeros(word ^ u64::from_le_bytes([b'\\'; WORD]));
    let at = usize::try_from(found.trailing_zeros()).ok()? / WORD;
    (at < WORD).then_some(at)
}

/// The highest bit of each byte that is zero; bits above the lowest one may be wrong.
const fn zeros(word: u64) -> u64 {
    const LOW: u64 = u64::from_le_bytes([0x01; WORD]);
    const HIGH: u64 = u64::from_le_bytes([0x80; WORD]);
    word.wrapping_sub(LOW) & !word & HIGH
}

/// The end of a text as a block.
fn padded(rest: &[u8]) -> [u8; BLOCK] {
    // Spaces are nothing that is searched.
    let mut block = [b' '; BLOCK];
    for (to, from) in block.iter_mut().zip(rest) {
        *to = *from;
    }
    block
}

/// A bit for each byte of a block for which a comparison is true; the lowest is that of the first byte.
#[inline]
fn bits(block: &[u8; BLOCK], compare: impl Fn(u8x16) -> u8x16) -> u64 {
    let (vectors, _) = block.as_chunks::<VECTOR>();
    vectors.iter().rev().fold(0, |bits, vector| {
        (bits << VECTOR) | u64::from(compare(u8x16::new(*vector)).to_bitmask())
    })
}

#[inline]
fn is(byte: u8) -> impl Fn(u8x16) -> u8x16 {
    move |vector| vector.simd_eq(u8x16::splat(byte))
}

/// The position of the lowest bit.
#[inline]
fn first(bits: u64) -> Option<usize> {
    (bits != 0).then(|| usize::try_from(bits.trailing_zeros()).unwrap_or(BLOCK))
}

/// The bytes of a block after backslashes that begin an escape. `carry`: a bit, whether the first byte of this block is one, then whether
/// that of the next is.
#[inline]
fn escaped(backslashes: u64, carry: &mut u64) -> u64 {
    // A block without backslashes need not wait for the result of the block before.
    if backslashes == 0 {
        return mem::take(carry);
    }
    // A backslash begins an escape if the number of those before it, without another byte between, is even. The subtraction carries
    // through each row of them; see simdjson, `json_escape_scanner`.
    let may_begin = backslashes & !*carry;
    let codes = ((may_begin << 1) | ODD).wrapping_sub(may_begin) ^ ODD;
    let escaped = codes ^ (backslashes | *carry);
    *carry = (codes & backslashes) >> (BLOCK - 1);
    escaped
}

/// The quotes of a block that no backslash escapes.
#[inline]
fn quotes_of(block: &[u8; BLOCK], carry: &mut u64) -> u64 {
    let escaped = escaped(bits(block, is(b'\\')), carry);
    bits(block, is(b'"')) & !escaped
}

/// An escape that no JSON has, or half a pair of surrogates.
struct Invalid;

/// Checks a literal, block by block.
struct Checker<'a> {
    text: &'a [u8],
    /// Position of the next block.
    start: usize,
    carry: u64,
    /// Position of the second half of a pair of surrogates whose first half was read.
    low: Option<usize>,
}

impl Checker<'_> {
    /// The end, if it is in this block.
    #[inline]
    fn block(&mut self, block: &[u8; BLOCK]) -> Option<Result<usize, Invalid>> {
        let all_quotes = bits(block, is(b'"'));
        let backslashes = bits(block, is(b'\\'));
        let escaped = escaped(backslashes, &mut self.carry);
        let quotes = all_quotes & !escaped;
        let before_end = !quotes & quotes.wrapping_sub(1);
        let escaped = escaped & before_end;
        if escaped != 0 {
            let usual = bits(block, |vector| is(b'n')(vector) | is(b't')(vector));
            let others = escaped & !(usual | all_quotes | backslashes);
            if others != 0 && self.escapes(others).is_none() {
                return Some(Err(Invalid));
            }
        }
        let end = first(quotes).and_then(|at| self.start.checked_add(at));
        self.start = self.start.saturating_add(BLOCK);
        end.map(Ok)
    }

    /// Checks the bytes after some backslashes of a block.
    fn escapes(&mut self, escaped: u64) -> Option<()> {
        let mut left = escaped;
        while let Some(at) = first(left) {
            left &= left.wrapping_sub(1);
            let at = self.start.checked_add(at)?;
            if !matches!(self.text.get(at)?, b'/' | b'b' | b'f' | b'r') {
                self.unicode(at.checked_sub(1)?)?;
            }
        }
        Some(())
    }

    /// One character as `\uXXXX`, or two such escapes for a pair of surrogates.
    fn unicode(&mut self, at: usize) -> Option<()> {
        if self.low == Some(at) {
            return Some(());
        }
        match self.code_unit(at)? {
            0xd800..0xdc00 => {
                let low = at.checked_add(r"\uXXXX".len())?;
                self.low = Some(low);
                matches!(self.code_unit(low)?, 0xdc00..0xe000).then_some(())
            }
            0xdc00..0xe000 => None,
            _ => Some(()),
        }
    }

    fn code_unit(&self, at: usize) -> Option<u32> {
        let digits = self.text.get(at..)?.strip_prefix(br"\u")?;
        digits
            .first_chunk::<4>()?
            .iter()
            .try_fold(0, |unit, digit| {
                Some((unit << 4) | char::from(*digit).to_digit(16)?)
            })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The end by a state machine.
    fn slow_end(text: &[u8]) -> Option<usize> {
        let mut is_escaped = false;
        text.iter().position(|byte| {
            let is_end = *byte == b'"' && !is_escaped;
            is_escaped = *byte == b'\\' && !is_escaped;
            is_end
        })
    }

    /// The end of a valid literal, by serde.
    fn valid_by_serde(text: &str) -> Option<End> {
        let at = slow_end(text.as_bytes())?;
        let content = text.get(..at)?;
        let literal = format!("\"{content}\"");
        serde_json::from_str::<String>(&literal).ok()?;
        Some(End {
            at,
            has_escapes: content.contains('\\'),
        })
    }

    /// Texts with what matters at the edges of words, vectors and blocks.
    fn texts() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            4 => "[a-z]{0,70}",
            4 => prop::sample::select(vec![
                "\\", "\\\\", "\\\\\\", "\\\"", "\\n", "\\/", "\\x", "\\u", "\\u0041", "\\u00", "\\u+041", "\\ud83d", "\\ude00",
                "\\ud83d\\ude00", "\\uD83D\\uDE00", "\\ud83d\\n", "\"", "\n", "\u{1f}", "\u{7f}", "é", "😀", " ", "!", "#", "[", "]",
            ]).prop_map(str::to_owned),
            1 => "\\PC{0,5}",
            1 => (0..130_usize).prop_map(|count| "\\".repeat(count)),
        ];
        (prop::collection::vec(piece, 0..12), 0..130_usize)
            .prop_map(|(pieces, plain)| format!("{}{}\"", "x".repeat(plain), pieces.concat()))
    }

    proptest! {
        #[test]
        fn the_end_is_the_first_quote_that_is_not_escaped(text in texts()) {
            prop_assert_eq!(end(text.as_bytes()), slow_end(text.as_bytes()));
            let open = text.trim_end_matches('"');
            prop_assert_eq!(end(open.as_bytes()), slow_end(open.as_bytes()));
        }

        #[test]
        fn any_bytes_have_the_end_that_a_state_machine_finds(
            bytes in prop::collection::vec(prop_oneof![Just(b'"'), Just(b'\\'), any::<u8>()], 0..300),
        ) {
            prop_assert_eq!(end(&bytes), slow_end(&bytes));
        }

        #[test]
        fn a_literal_is_valid_if_serde_reads_it(text in texts()) {
            prop_assert_eq!(valid_end(text.as_bytes()), valid_by_serde(&text), "{}", text);
        }

        #[test]
        fn what_serde_writes_is_valid(text in ".{0,200}", after in texts()) {
            let literal = serde_json::to_string(&text).unwrap();
            let whole = format!("{literal}{after}");
            let expected = End { at: literal.len() - 2, has_escapes: literal.contains('\\') };
            prop_assert_eq!(valid_end(&whole.as_bytes()[1..]), Some(expected));
        }
    }

    #[test]
    fn every_byte_is_judged_at_every_place() {
        for byte in 0..=127_u8 {
            for at in [0, 1, 7, 8, 15, 16, 63, 64, 127, 128, 200] {
                let mut text = "x".repeat(201);
                text.replace_range(at..=at, &char::from(byte).to_string());
                text.push('"');
                let found = valid_end(text.as_bytes());
                assert_eq!(found, valid_by_serde(&text), "{byte} at {at}");
                // After the end, nothing matters.
                let ended = format!("\"{text}");
                assert_eq!(
                    valid_end(ended.as_bytes()),
                    Some(End {
                        at: 0,
                        has_escapes: false
                    })
                );
            }
        }
    }
}
