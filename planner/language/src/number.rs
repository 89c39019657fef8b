//! Numbers: what a configuration counts and computes with, as exact as Terraform's.
//!
//! A number is a binary fraction of 512 significant bits, rounded to the nearest, ties to even. Whole numbers of up to
//! 154 digits are exact, `0.1 + 0.2 == 0.3` holds, and a number is written with the fewest digits that read back as it.

mod decimal;

use std::cmp::Ordering;

use num_bigint::{BigInt, BigUint, Sign};

/// How many significant bits a number has.
const PRECISION: u64 = 512;

/// How far from one a number may be, in powers of two: about `1e2400`. What is further takes long to write down.
const MAX_EXPONENT: i64 = 8_000;

/// Says which numbers there are.
pub(crate) const RANGE: &str = "A number is written with at most 5000 digits, and lies between 1e-2400 and 1e2400.";

/// How many digits a number may be written with.
const MAX_DIGITS: usize = 5_000;

/// Returns whether a number, as it is written, is too large for a float.
pub(crate) fn is_large(written: &str) -> bool {
    written.parse::<f64>().is_ok_and(f64::is_infinite)
}

/// A number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    /// Odd, or zero where the number is, so that equal numbers are equal field by field.
    mantissa: BigInt,
    /// The power of two that the mantissa is multiplied with; zero where the number is.
    exponent: i64,
}

impl Number {
    /// Makes `mantissa * 2^exponent`, rounded. Nothing where the result is out of range.
    fn rounded(mantissa: BigInt, exponent: i64) -> Option<Self> {
        let (sign, mut magnitude) = mantissa.into_parts();
        let mut exponent = exponent;
        if let Some(excess) = magnitude.bits().checked_sub(PRECISION).filter(|excess| *excess > 0) {
            let is_half_or_more = magnitude.bit(excess - 1);
            let is_exactly_half = is_half_or_more && magnitude.trailing_zeros() == Some(excess - 1);
            magnitude >>= excess;
            exponent = exponent.checked_add(i64::try_from(excess).ok()?)?;
            if is_half_or_more && (!is_exactly_half || magnitude.bit(0)) {
                magnitude += 1_u8;
            }
        }
        let Some(zeros) = magnitude.trailing_zeros() else {
            return Some(Self::zero());
        };
        magnitude >>= zeros;
        exponent = exponent.checked_add(i64::try_from(zeros).ok()?)?;
        let number = Self {
            mantissa: BigInt::from_biguint(sign, magnitude),
            exponent,
        };
        (number.magnitude().abs() <= MAX_EXPONENT).then_some(number)
    }

    fn zero() -> Self {
        Self {
            mantissa: BigInt::ZERO,
            exponent: 0,
        }
    }

    /// Returns the power of two that is just above the number.
    fn magnitude(&self) -> i64 {
        self.exponent + i64::try_from(self.mantissa.bits()).unwrap_or(i64::MAX / 2)
    }

    /// Reads a number as a configuration writes it; nothing where the text is none, or one out of range.
    pub fn parse(text: &str) -> Option<Self> {
        decimal::read(text)
    }

    /// Divides whole numbers.
    fn quotient(dividend: &BigInt, divisor: &BigInt) -> Option<Self> {
        // Two bits more than are kept, so that rounding sees what comes after the last one.
        let shift = (PRECISION + 2 + divisor.bits()).saturating_sub(dividend.bits());
        let shifted = dividend << shift;
        let quotient = &shifted / divisor;
        let is_exact = &quotient * divisor == shifted;
        // The last bit stands for all that were cut off.
        let (sign, magnitude) = BigInt::into_parts(quotient << 1);
        let magnitude = if is_exact { magnitude } else { magnitude + 1_u8 };
        Self::rounded(BigInt::from_biguint(sign, magnitude), -i64::try_from(shift).ok()? - 1)
    }

    /// Writes two numbers as whole multiples of one power of two.
    fn aligned(&self, other: &Self) -> (BigInt, BigInt, i64) {
        let exponent = self.exponent.min(other.exponent);
        let whole = |number: &Self| &number.mantissa << (number.exponent - exponent).unsigned_abs();
        (whole(self), whole(other), exponent)
    }

    pub(crate) fn checked_add(&self, other: &Self) -> Option<Self> {
        let (a, b, exponent) = self.aligned(other);
        Self::rounded(a + b, exponent)
    }

    pub(crate) fn checked_sub(&self, other: &Self) -> Option<Self> {
        self.checked_add(&other.negated())
    }

    pub(crate) fn checked_mul(&self, other: &Self) -> Option<Self> {
        Self::rounded(
            &self.mantissa * &other.mantissa,
            self.exponent.checked_add(other.exponent)?,
        )
    }

    /// Divides; nothing where the result is out of range, or the divisor zero.
    pub(crate) fn checked_div(&self, other: &Self) -> Option<Self> {
        if other.is_zero() {
            return None;
        }
        let quotient = Self::quotient(&self.mantissa, &other.mantissa)?;
        let exponent = quotient.exponent + self.exponent - other.exponent;
        Self::rounded(quotient.mantissa, exponent)
    }

    /// Returns what is left after dividing; it has the sign of the dividend. Nothing where the divisor is zero.
    pub(crate) fn checked_rem(&self, other: &Self) -> Option<Self> {
        let quotient = self.checked_div(other)?;
        let whole = if quotient.is_negative() {
            quotient.ceil()
        } else {
            quotient.floor()
        };
        self.checked_sub(&other.checked_mul(&whole)?)
    }

    pub(crate) fn negated(&self) -> Self {
        Self {
            mantissa: -&self.mantissa,
            exponent: self.exponent,
        }
    }

    pub(crate) fn absolute(&self) -> Self {
        if self.is_negative() {
            self.negated()
        } else {
            self.clone()
        }
    }

    /// Returns the largest whole number that is not larger.
    pub(crate) fn floor(&self) -> Self {
        if self.exponent >= 0 {
            return self.clone();
        }
        // Shifting a negative number to the right rounds down.
        Self::from(&self.mantissa >> self.exponent.unsigned_abs())
    }

    /// Returns the smallest whole number that is not smaller.
    pub(crate) fn ceil(&self) -> Self {
        self.negated().floor().negated()
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.mantissa == BigInt::ZERO
    }

    pub(crate) fn is_negative(&self) -> bool {
        self.mantissa.sign() == Sign::Minus
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.exponent >= 0
    }

    /// Returns the number where it is whole and has at most 128 bits.
    pub fn whole(&self) -> Option<i128> {
        if !self.is_whole() || self.magnitude() > 128 {
            return None;
        }
        i128::try_from(self.big()?).ok()
    }

    /// Returns the number where it is whole.
    pub(crate) fn big(&self) -> Option<BigInt> {
        self.is_whole().then(|| &self.mantissa << self.exponent.unsigned_abs())
    }

    /// Returns the nearest float.
    pub(crate) fn to_f64(&self) -> f64 {
        self.to_string().parse().unwrap_or(f64::NAN)
    }

    /// Returns the number that a float is exactly; nothing where it is none.
    pub(crate) fn from_f64(float: f64) -> Option<Self> {
        if float == 0.0 {
            return Some(Self::zero());
        }
        if !float.is_finite() {
            return None;
        }
        let bits = float.to_bits();
        let raw = i64::try_from(bits >> 52 & 0x7ff).ok()?;
        let fraction = bits & ((1 << 52) - 1);
        let (mantissa, exponent) = if raw == 0 {
            (fraction, -1074)
        } else {
            (fraction | 1 << 52, raw - 1075)
        };
        let sign = if float < 0.0 { Sign::Minus } else { Sign::Plus };
        Self::rounded(BigInt::from_biguint(sign, BigUint::from(mantissa)), exponent)
    }
}

impl From<BigInt> for Number {
    fn from(value: BigInt) -> Self {
        // Only what comes from a number already, or is short, gets here.
        Self::rounded(value, 0).unwrap_or_else(Self::zero)
    }
}

impl From<usize> for Number {
    fn from(value: usize) -> Self {
        Self::from(BigInt::from(value))
    }
}

impl From<i128> for Number {
    fn from(value: i128) -> Self {
        Self::from(BigInt::from(value))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (self.mantissa.sign(), other.mantissa.sign());
        if a != b {
            return a.cmp(&b);
        }
        let by_size = match a {
            Sign::NoSign => return Ordering::Equal,
            Sign::Plus => self.magnitude().cmp(&other.magnitude()),
            Sign::Minus => other.magnitude().cmp(&self.magnitude()),
        };
        by_size.then_with(|| {
            let (a, b, _) = self.aligned(other);
            a.cmp(&b)
        })
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
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
            "99999999999999999999999999999999999999999999999999999999999999999999",
            "12345678901234567890.5",
            "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211706798214808651",
        ] {
            assert_eq!(n(text).to_string(), text);
        }
        assert_eq!(n("1.50e1").to_string(), "15");
        assert_eq!(n("1e400").to_string(), format!("1{}", "0".repeat(400)));
        assert_eq!(n("1e-400").to_string(), format!("0.{}1", "0".repeat(399)));
        assert_eq!(n("0e99").to_string(), "0");
        for bad in [
            "", "-", "1.", ".5", "1e", "0x10", "1e40000", "one", "1 ", "+1", "1e-40000",
        ] {
            assert_eq!(Number::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn sums_and_products_of_what_people_write_are_exact() {
        assert_eq!(n("0.1").checked_add(&n("0.2")), Some(n("0.3")));
        assert_eq!(
            n("2").checked_sub(&n("18446744073709551615")),
            Some(n("-18446744073709551613"))
        );
        assert_eq!(n("1000000").checked_mul(&n("1e30")), Some(n("1e36")));
        assert_eq!(n("1e30").checked_mul(&n("1e30")), Some(n("1e60")));
        assert_eq!(n("1e2000").checked_mul(&n("1e2000")), None);
        assert_eq!(n("10").checked_div(&n("4")), Some(n("2.5")));
        assert_eq!(n("1").checked_div(&n("0.001")), Some(n("1000")));
        assert_eq!(n("1").checked_div(&n("0")), None);
        assert_eq!(n("-7").checked_rem(&n("3")), Some(n("-1")));
        assert_eq!(n("5.5").checked_rem(&n("2")), Some(n("1.5")));
        assert_eq!(n("1").checked_rem(&n("0.1")), Some(n("0")));
    }

    #[test]
    fn a_third_has_as_many_digits_as_its_bits_hold() {
        let third = n("1").checked_div(&n("3")).unwrap();
        assert_eq!(third.to_string(), format!("0.{}5", "3".repeat(154)));
        assert_eq!(third.checked_mul(&n("3")), Some(n("1")));
        assert_eq!(n(&third.to_string()), third);
        assert_eq!(n("-2").checked_div(&n("3")).unwrap().to_string().len(), 157);
    }

    #[test]
    fn numbers_of_any_size_compare() {
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

    #[test]
    fn floats_come_and_go() {
        for float in [0.0, 1.0, -2.5, 0.1, 1e300, 5e-324, f64::MAX] {
            assert_eq!(Number::from_f64(float).unwrap().to_f64().to_bits(), float.to_bits());
        }
        assert_eq!(Number::from_f64(f64::NAN), None);
        assert_eq!(Number::from_f64(f64::INFINITY), None);
    }
}
