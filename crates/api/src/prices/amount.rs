//! Amounts of money as integers: nanodollars, and decimal texts.

use std::{
    fmt,
    iter::Sum,
    ops::{Add, AddAssign},
};

use serde::{Deserialize, Serialize};

/// An amount in billionths of a US dollar. Sums saturate.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Nanodollars(pub u64);

/// Nanodollars in a dollar.
const PER_DOLLAR: u64 = 1_000_000_000;
/// Picodollars in a nanodollar.
const PICO_PER_NANO: u128 = 1_000;
/// A whole share, in millionths.
pub(super) const WHOLE: u64 = 1_000_000;

/// A text is not a decimal number of the expected form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not an amount: expected a decimal number such as 2.5, with at most {digits} decimals"
)]
pub struct AmountError {
    text: String,
    digits: u32,
}

impl Nanodollars {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The sum of amounts in picodollars, rounded up.
    pub(super) fn from_picodollars(parts: impl IntoIterator<Item = u128>) -> Self {
        let sum = parts.into_iter().fold(0_u128, u128::saturating_add);
        Self(u64::try_from(sum.div_ceil(PICO_PER_NANO)).unwrap_or(u64::MAX))
    }

    /// The sum, or the largest amount.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, or zero.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The amount in dollars as a number, for metrics and JSON.
    pub fn as_dollars(self) -> f64 {
        #[expect(
            clippy::as_conversions,
            clippy::cast_precision_loss,
            reason = "53 bits are exact up to 9 million dollars in nanodollars"
        )]
        let nanodollars = self.0 as f64;
        nanodollars / 1e9
    }

    /// The amount rounded to four decimals, for people.
    #[must_use]
    pub const fn rounded(self) -> Self {
        const UNIT: u64 = PER_DOLLAR / 10_000;
        let units = self.0.saturating_add(UNIT / 2) / UNIT;
        Self(units.saturating_mul(UNIT))
    }

    /// Parses dollars, such as `12.50`.
    ///
    /// # Errors
    /// When the text is not a decimal number with at most nine decimals.
    pub fn parse_dollars(text: &str) -> Result<Self, AmountError> {
        decimal(text, 9).map(Self)
    }
}

/// Dollars, with two decimals or as many as are needed: `0.0042`, `12.50`.
impl fmt::Display for Nanodollars {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:09}", self.0 % PER_DOLLAR);
        let shown = fraction.trim_end_matches('0');
        write!(formatter, "{}.{shown:0<2}", self.0 / PER_DOLLAR)
    }
}

impl Add for Nanodollars {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        self.saturating_add(other)
    }
}

impl AddAssign for Nanodollars {
    fn add_assign(&mut self, other: Self) {
        *self = self.saturating_add(other);
    }
}

impl Sum for Nanodollars {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Self::saturating_add)
    }
}

/// A decimal number times ten to the power of `digits`, exactly.
///
/// # Errors
/// When the text is not a decimal number without a sign, has more decimals, or is too large.
pub(super) fn decimal(text: &str, digits: u32) -> Result<u64, AmountError> {
    let error = || AmountError {
        text: text.to_owned(),
        digits,
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return Err(error());
    }
    let fraction = fraction.trim_end_matches('0');
    let places = u32::try_from(fraction.len()).map_err(|_| error())?;
    let missing = digits.checked_sub(places).ok_or_else(error)?;
    let scaled = |part: &str, power: u32| -> Option<u64> {
        let number = if part.is_empty() {
            0
        } else {
            part.parse::<u64>().ok()?
        };
        number.checked_mul(10_u64.checked_pow(power)?)
    };
    let sum = scaled(whole, digits)
        .zip(scaled(fraction, missing))
        .and_then(|(whole, fraction)| whole.checked_add(fraction));
    sum.ok_or_else(error)
}

/// A share of a price, in millionths, rounded to the nearest picodollar.
pub(super) fn share(price: u64, millionths: u64) -> u64 {
    let exact = u128::from(price).saturating_mul(u128::from(millionths));
    let rounded = exact.saturating_add(u128::from(WHOLE / 2)) / u128::from(WHOLE);
    u64::try_from(rounded).unwrap_or(u64::MAX)
}
