//! Numbers as decimal text: read with the nearest value, written with the fewest digits that read back as it.

use std::fmt;

use num_bigint::{BigInt, BigUint};

use super::{MAX_DIGITS, Number, PRECISION};

/// Reads a number; nothing where the text is none, or one out of range.
pub(super) fn read(text: &str) -> Option<Number> {
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
    if !is_digits(whole) || (digits.contains('.') && !is_digits(fraction)) || digits.len() > MAX_DIGITS {
        return None;
    }
    let units: BigInt = format!("{whole}{fraction}").parse().ok()?;
    if units == BigInt::ZERO {
        return Some(Number::zero());
    }
    let units = if negative { -units } else { units };
    let scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
    if usize::try_from(scale.unsigned_abs()).ok()? > 2 * MAX_DIGITS {
        return None;
    }
    let power = BigInt::from(10_u8).pow(scale.unsigned_abs());
    if scale <= 0 {
        Number::rounded(units * power, 0)
    } else {
        Number::quotient(&units, &power)
    }
}

/// Decimal digits: `0.DIGITS * 10^point`.
struct Decimal {
    digits: Vec<u8>,
    point: i64,
}

impl Decimal {
    /// Writes `mantissa * 2^exponent` with all its digits.
    fn exact(mantissa: &BigUint, exponent: i64) -> Self {
        let power = exponent.unsigned_abs();
        let (text, behind) = if exponent >= 0 {
            ((mantissa << power).to_string(), 0)
        } else {
            // m / 2^p is m * 5^p / 10^p.
            let five = BigUint::from(5_u8).pow(u32::try_from(power).unwrap_or(u32::MAX));
            ((mantissa * five).to_string(), power)
        };
        Self {
            point: i64::try_from(text.len()).unwrap_or(i64::MAX) - i64::try_from(behind).unwrap_or(i64::MAX),
            digits: text.into_bytes(),
        }
    }

    /// Returns the digit at a place that counts from the point of another number.
    fn at(&self, place: usize, point: i64) -> u8 {
        let place = i64::try_from(place).unwrap_or(i64::MAX) + self.point - point;
        usize::try_from(place)
            .ok()
            .and_then(|place| self.digits.get(place))
            .copied()
            .unwrap_or(b'0')
    }

    /// Returns whether there is anything but zeros after a place that counts from the point of another number.
    fn has_more(&self, place: usize, point: i64) -> bool {
        let after = i64::try_from(place).unwrap_or(i64::MAX) + self.point - point + 1;
        let after = usize::try_from(after).unwrap_or(0).min(self.digits.len());
        self.digits[after..].iter().any(|digit| *digit != b'0')
    }

    fn round_down(&mut self, length: usize) {
        self.digits.truncate(length);
        while self.digits.len() > 1 && self.digits.last() == Some(&b'0') {
            self.digits.pop();
        }
    }

    fn round_up(&mut self, length: usize) {
        self.digits.truncate(length);
        while self.digits.last() == Some(&b'9') {
            self.digits.pop();
        }
        if let Some(digit) = self.digits.last_mut() {
            *digit += 1;
        } else {
            self.digits.push(b'1');
            self.point += 1;
        }
    }

    /// Cuts the number to so many digits, to the nearest, ties to even.
    fn round(&mut self, length: usize) {
        let Some(next) = self.digits.get(length).copied() else {
            return self.round_down(length);
        };
        let is_tie = next == b'5' && self.digits[length + 1..].iter().all(|digit| *digit == b'0');
        let is_up = if is_tie {
            length > 0 && self.digits[length - 1] % 2 == 1
        } else {
            next >= b'5'
        };
        if is_up {
            self.round_up(length);
        } else {
            self.round_down(length);
        }
    }

    /// Cuts the number to the fewest digits that lie between two others.
    fn shorten(&mut self, lower: &Decimal, upper: &Decimal, inclusive: bool) {
        let point = self.point;
        for place in 0..self.digits.len() {
            let (low, digit, high) = (lower.at(place, point), self.digits[place], upper.at(place, point));
            let down = low != digit || (inclusive && !lower.has_more(place, point));
            let up = digit != high && (inclusive || digit + 1 < high || upper.has_more(place, point));
            match (down, up) {
                (true, true) => return self.round(place + 1),
                (true, false) => return self.round_down(place + 1),
                (false, true) => return self.round_up(place + 1),
                (false, false) => {}
            }
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = std::str::from_utf8(&self.digits).map_err(|_| fmt::Error)?;
        let length = text.len();
        let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0));
        match usize::try_from(self.point) {
            Ok(point) if point >= length => {
                let missing = self.point - i64::try_from(length).unwrap_or(i64::MAX);
                write!(f, "{text}{}", zeros(missing))
            }
            Ok(point) if point > 0 => write!(f, "{}.{}", &text[..point], &text[point..]),
            _ => write!(f, "0.{}{text}", zeros(-self.point)),
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("0");
        }
        if self.is_negative() {
            f.write_str("-")?;
        }
        let mantissa = self.mantissa.magnitude();
        if self.exponent >= 0 && self.magnitude() < i64::try_from(PRECISION).unwrap_or(i64::MAX) {
            return write!(f, "{}", mantissa << self.exponent.unsigned_abs());
        }
        let mut decimal = Decimal::exact(mantissa, self.exponent);
        // With one bit more than are kept, the neighbours are half a last bit away.
        let shift = PRECISION + 1 - mantissa.bits();
        let (wide, exponent) = (
            mantissa << shift,
            self.exponent - i64::try_from(shift).unwrap_or(i64::MAX),
        );
        let inclusive = !wide.bit(1);
        let lower = Decimal::exact(&(&wide - 1_u8), exponent);
        let upper = Decimal::exact(&(&wide + 1_u8), exponent);
        // A power of ten more has one digit more in front.
        if lower.point == decimal.point && upper.point == decimal.point {
            decimal.shorten(&lower, &upper, inclusive);
        } else {
            let point = decimal.point.max(upper.point);
            while decimal.point < point {
                decimal.digits.insert(0, b'0');
                decimal.point += 1;
            }
            decimal.shorten(&lower, &upper, inclusive);
            while decimal.digits.len() > 1 && decimal.digits[0] == b'0' {
                decimal.digits.remove(0);
                decimal.point -= 1;
            }
        }
        decimal.write(f)
    }
}
