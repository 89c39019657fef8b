//! Decimal numbers: what a configuration counts and computes with.
//!
//! A number is a whole number of units over a power of ten. Sums and products of what people write are exact
//! (`0.1 + 0.2 == 0.3`); what needs more than 38 digits loses its last ones behind the point, and is an error before it.

use std::cmp::Ordering;
use std::fmt;

/// How many digits stand behind the point at most, so that comparing fractions cannot overflow.
const MAX_SCALE: u8 = 30;

/// A number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number {
    /// Never a multiple of ten where `scale` is not zero, so that equal numbers are equal field by field.
    units: i128,
    scale: u8,
}

fn power(exponent: u8) -> i128 {
    10_i128.pow(u32::from(exponent))
}

impl Number {
    fn new(mut units: i128, mut scale: u8) -> Self {
        while scale > 0 && units % 10 == 0 {
            units /= 10;
            scale -= 1;
        }
        Self { units, scale }
    }

    /// Reads a number as a configuration writes it; nothing where the text is none, or one out of range.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            None => (text, 0),
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        };
        let (negative, digits) = match mantissa.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, mantissa),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !is_digits(whole) || (digits.contains('.') && !is_digits(fraction)) {
            return None;
        }
        let mut units = 0_i128;
        for digit in whole.bytes().chain(fraction.bytes()) {
            units = units.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        }
        let scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        Self::shifted(if negative { -units } else { units }, scale)
    }

    /// Returns `units / 10^scale` for any scale.
    fn shifted(units: i128, scale: i32) -> Option<Self> {
        if units == 0 {
            return Some(Self { units: 0, scale: 0 });
        }
        if scale <= 0 {
            let factor = 10_i128.checked_pow(scale.unsigned_abs())?;
            return Some(Self::new(units.checked_mul(factor)?, 0));
        }
        let Some(excess) = scale.checked_sub(i32::from(MAX_SCALE)).filter(|excess| *excess > 0) else {
            return Some(Self::new(units, u8::try_from(scale).ok()?));
        };
        let units = 10_i128
            .checked_pow(excess.unsigned_abs())
            .map_or(0, |factor| units / factor);
        Some(Self::new(units, MAX_SCALE))
    }

    /// Writes the number with another scale, dropping digits where it is smaller.
    fn at_scale(self, scale: u8) -> Option<i128> {
        if scale >= self.scale {
            self.units.checked_mul(power(scale - self.scale))
        } else {
            Some(self.units / power(self.scale - scale))
        }
    }

    /// Writes two numbers with the largest scale at which both fit.
    fn aligned(self, other: Self) -> (i128, i128, u8) {
        (0..=self.scale.max(other.scale))
            .rev()
            .find_map(|scale| Some((self.at_scale(scale)?, other.at_scale(scale)?, scale)))
            .expect("at scale 0 every number fits")
    }

    pub(super) fn checked_add(self, other: Self) -> Option<Self> {
        let (a, b, scale) = self.aligned(other);
        Some(Self::new(a.checked_add(b)?, scale))
    }

    pub(super) fn checked_sub(self, other: Self) -> Option<Self> {
        self.checked_add(other.checked_neg()?)
    }

    pub(super) fn checked_mul(self, other: Self) -> Option<Self> {
        let (mut a, mut b) = (self, other);
        loop {
            if let Some(units) = a.units.checked_mul(b.units) {
                return Self::shifted(units, i32::from(a.scale + b.scale));
            }
            let longer = if a.scale >= b.scale { &mut a } else { &mut b };
            *longer = Self::new(longer.units / 10, longer.scale.checked_sub(1)?);
        }
    }

    /// Divides; nothing where the result is out of range. The divisor is not zero.
    pub(super) fn checked_div(self, other: Self) -> Option<Self> {
        let mut quotient = self.units.checked_div(other.units)?;
        let mut rest = self.units % other.units;
        let mut scale = i32::from(self.scale) - i32::from(other.scale);
        let next = |quotient: i128, rest: i128| {
            let rest = rest.checked_mul(10)?;
            Some((
                quotient.checked_mul(10)?.checked_add(rest / other.units)?,
                rest % other.units,
            ))
        };
        while scale < 0 || (rest != 0 && scale < i32::from(MAX_SCALE)) {
            match next(quotient, rest) {
                Some(step) => (quotient, rest) = step,
                None if scale < 0 => return None,
                None => break,
            }
            scale += 1;
        }
        Self::shifted(quotient, scale)
    }

    /// Returns what is left after dividing; it has the sign of the dividend. The divisor is not zero.
    pub(super) fn checked_rem(self, other: Self) -> Option<Self> {
        let (a, b, scale) = self.aligned(other);
        Some(Self::new(a.checked_rem(b)?, scale))
    }

    pub(super) fn checked_neg(self) -> Option<Self> {
        Some(Self {
            units: self.units.checked_neg()?,
            scale: self.scale,
        })
    }

    /// Returns the largest whole number that is not larger.
    pub(super) fn floor(self) -> Self {
        Self::new(self.units.div_euclid(power(self.scale)), 0)
    }

    /// Returns the smallest whole number that is not smaller.
    pub(super) fn ceil(self) -> Self {
        let floor = self.floor();
        // A number with a fraction is far from the limit of its units.
        Self::new(floor.units + i128::from(self.scale > 0), 0)
    }

    /// Returns the number as JSON has it: exact where it is a whole number of 64 bits, else the nearest float.
    pub(super) fn to_json(self) -> serde_json::Value {
        let whole = self.whole();
        if let Some(number) = whole.and_then(|whole| u64::try_from(whole).ok()) {
            return number.into();
        }
        match whole.and_then(|whole| i64::try_from(whole).ok()) {
            Some(number) => number.into(),
            None => self
                .to_string()
                .parse::<f64>()
                .expect("a decimal number is a float")
                .into(),
        }
    }

    pub(super) fn is_zero(self) -> bool {
        self.units == 0
    }

    pub(super) fn is_negative(self) -> bool {
        self.units < 0
    }

    /// Returns the number where it is whole.
    pub(super) fn whole(self) -> Option<i128> {
        (self.scale == 0).then_some(self.units)
    }
}

impl From<usize> for Number {
    fn from(value: usize) -> Self {
        Self::new(i128::try_from(value).expect("a size fits in 128 bits"), 0)
    }
}

impl From<i128> for Number {
    fn from(value: i128) -> Self {
        Self::new(value, 0)
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let parts = |n: &Self| {
            let fraction = n.units % power(n.scale) * power(MAX_SCALE - n.scale);
            (n.units / power(n.scale), fraction)
        };
        parts(self).cmp(&parts(other))
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scale == 0 {
            return self.units.fmt(f);
        }
        let sign = if self.units < 0 { "-" } else { "" };
        let (units, factor) = (self.units.unsigned_abs(), power(self.scale).unsigned_abs());
        let width = usize::from(self.scale);
        write!(f, "{sign}{}.{:0width$}", units / factor, units % factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(text: &str) -> Number {
        Number::parse(text).unwrap_or_else(|| panic!("{text} is a number"))
    }

    #[test]
    fn a_number_reads_back_as_it_is_written() {
        for text in [
            "0",
            "-1",
            "0.1",
            "-0.05",
            "18446744073709551616",
            "12345678901234567890.5",
        ] {
            assert_eq!(n(text).to_string(), text);
        }
        assert_eq!(n("1.50e1").to_string(), "15");
        assert_eq!(n("1e-40").to_string(), "0");
        for bad in ["", "-", "1.", ".5", "1e", "0x10", "1e400", "one", "1 ", "+1"] {
            assert_eq!(Number::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn decimal_sums_are_exact() {
        assert_eq!(n("0.1").checked_add(n("0.2")), Some(n("0.3")));
        assert_eq!(
            n("2").checked_sub(n("18446744073709551615")),
            Some(n("-18446744073709551613"))
        );
        assert_eq!(n("1000000").checked_mul(n("1e30")), Some(n("1e36")));
        assert_eq!(n("1e30").checked_mul(n("1e30")), None);
        assert_eq!(n("10").checked_div(n("4")), Some(n("2.5")));
        assert_eq!(n("1").checked_div(n("0.001")), Some(n("1000")));
        assert_eq!(n("1").checked_div(n("3")).unwrap().to_string().len(), 32);
        assert_eq!(n("-7").checked_rem(n("3")), Some(n("-1")));
        assert_eq!(n("5.5").checked_rem(n("2")), Some(n("1.5")));
    }

    #[test]
    fn numbers_of_any_scale_compare() {
        let mut numbers = ["1.5", "-1.5", "-1.2", "1e37", "0.25", "0", "-1e37"].map(n);
        numbers.sort();
        assert_eq!(numbers.map(|n| n.to_string()).join(" "), {
            let big = n("1e37");
            format!("-{big} -1.5 -1.2 0 0.25 1.5 {big}")
        });
        assert_eq!(
            (n("-1.8").floor(), n("-1.8").ceil(), n("1.2").ceil()),
            (n("-2"), n("-1"), n("2"))
        );
    }
}
