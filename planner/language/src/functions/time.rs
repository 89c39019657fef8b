//! Functions of dates and times, which are texts in RFC 3339 form.

use crate::number::Number;

use super::hash::unforeseen;
use super::{Arguments, Function, Result, Stop, function};

pub(super) const FUNCTIONS: &[Function] = &[
    function(
        "formatdate(format: string, time: string) -> string",
        "Writes a time in another form, such as \"DD MMM YYYY hh:mm ZZZ\".",
        (
            "formatdate(\"EEE, DD MMM YYYY hh:mm:ss ZZZ\", \"2018-01-02T23:12:01Z\")",
            "\"Tue, 02 Jan 2018 23:12:01 UTC\"",
        ),
        formatdate,
    ),
    unforeseen(
        "plantimestamp() -> string",
        "Returns the time of the plan: known only after apply, since a plan must be reproducible.",
        ("can(plantimestamp())", "unknown"),
    ),
    function(
        "timeadd(time: string, duration: string) -> string",
        "Adds a duration such as \"1h30m\" or \"-10m\" to a time.",
        ("timeadd(\"2024-02-28T23:00:00Z\", \"90m\")", "\"2024-02-29T00:30:00Z\""),
        timeadd,
    ),
    function(
        "timecmp(a: string, b: string) -> number",
        "Returns -1, 0 or 1: whether the first time is before, at or after the second.",
        ("timecmp(\"2024-01-01T00:00:00Z\", \"2024-01-01T01:00:00+01:00\")", "0"),
        |a| {
            let (first, second) = (Time::argument(a, 0)?, Time::argument(a, 1)?);
            let order = (first.seconds, first.nanos).cmp(&(second.seconds, second.nanos));
            Ok(Number::from(order as i128).into())
        },
    ),
    unforeseen(
        "timestamp() -> string",
        "Returns the time of the apply: known only after apply, since a plan must be reproducible.",
        ("can(timestamp())", "unknown"),
    ),
];

const DAY: i64 = 86_400;
const NANOS: i128 = 1_000_000_000;
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// The days of a week, from that of the first of January 1970.
const WEEKDAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];

/// A moment, and the offset from UTC it is written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Time {
    /// Seconds since 1970.
    seconds: i64,
    nanos: u32,
    /// Seconds east of UTC.
    offset: i64,
}

/// A day as people count it.
#[derive(Clone, Copy)]
struct Date {
    year: i64,
    month: i64,
    day: i64,
}

impl Date {
    /// Counts the days since 1970, in the calendar that holds today for all years.
    fn days(self) -> i64 {
        // Years start in March here, so that the day that leap years add is their last.
        let year = self.year - i64::from(self.month <= 2);
        let month = (self.month + 9) % 12;
        let in_year = (153 * month + 2) / 5 + self.day - 1;
        let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let in_era = of_era * 365 + of_era / 4 - of_era / 100 + in_year;
        era * 146_097 + in_era - 719_468
    }

    fn from_days(days: i64) -> Self {
        let days = days + 719_468;
        let (era, in_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let of_era = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
        let in_year = in_era - (365 * of_era + of_era / 4 - of_era / 100);
        let month = (5 * in_year + 2) / 153;
        let day = in_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        Self {
            year: era * 400 + of_era + i64::from(month <= 2),
            month,
            day,
        }
    }
}

impl Time {
    fn argument(a: &Arguments<'_>, index: usize) -> Result<Self> {
        let why = || {
            let why = "a time in RFC 3339 form is required, such as 2024-01-31T09:30:00Z";
            Stop::Argument(index, why.to_owned())
        };
        Self::parse(&a.text(index)?).ok_or_else(why)
    }

    fn parse(text: &str) -> Option<Self> {
        let number = |range: std::ops::Range<usize>| {
            let digits = text.get(range)?;
            let is_number = digits.bytes().all(|b| b.is_ascii_digit());
            digits.parse::<i64>().ok().filter(|_| is_number)
        };
        let separators = [(4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":")];
        if separators
            .iter()
            .any(|(at, separator)| text.get(*at..*at + 1) != Some(separator))
        {
            return None;
        }
        let date = Date {
            year: number(0..4)?,
            month: number(5..7)?,
            day: number(8..10)?,
        };
        let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
        // Of a day that the month does not have, another one comes back.
        let exists = (1..=12).contains(&date.month) && date.day >= 1 && {
            let again = Date::from_days(date.days());
            (again.month, again.day) == (date.month, date.day)
        };
        if !exists || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let mut rest = text.get(19..)?;
        let mut nanos = 0;
        if let Some(fraction) = rest.strip_prefix('.') {
            let end = fraction.find(|c: char| !c.is_ascii_digit())?;
            let digits: String = fraction[..end].chars().chain("000000000".chars()).take(9).collect();
            nanos = digits.parse().ok().filter(|_| end > 0)?;
            rest = &fraction[end..];
        }
        let offset = Self::offset(rest)?;
        let seconds = date.days() * DAY + hour * 3600 + minute * 60 + second - offset;
        Some(Self { seconds, nanos, offset })
    }

    fn offset(text: &str) -> Option<i64> {
        if text == "Z" {
            return Some(0);
        }
        let sign = match text.get(..1)? {
            "+" => 1,
            "-" => -1,
            _ => return None,
        };
        let (hours, minutes) = text[1..].split_once(':')?;
        let part = |digits: &str, most: i64| {
            let is_number = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
            digits.parse::<i64>().ok().filter(|number| is_number && *number <= most)
        };
        Some(sign * (part(hours, 23)? * 3600 + part(minutes, 59)? * 60))
    }

    /// Returns the day and the second in it, where the offset is.
    fn local(self) -> (i64, i64) {
        let local = self.seconds + self.offset;
        (local.div_euclid(DAY), local.rem_euclid(DAY))
    }

    fn zone(self, colon: &str) -> String {
        let sign = if self.offset < 0 { '-' } else { '+' };
        let minutes = self.offset.abs() / 60;
        format!("{sign}{:02}{colon}{:02}", minutes / 60, minutes % 60)
    }

    fn to_text(self) -> String {
        let (days, second) = self.local();
        let date = Date::from_days(days);
        let zone = if self.offset == 0 {
            "Z".to_owned()
        } else {
            self.zone(":")
        };
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{zone}",
            date.year,
            date.month,
            date.day,
            second / 3600,
            second / 60 % 60,
            second % 60
        )
    }
}

fn timeadd(a: &Arguments<'_>) -> Result {
    let time = Time::argument(a, 0)?;
    let nanos = duration(&a.text(1)?).ok_or_else(|| {
        let why =
            "a duration such as \"1h30m\", \"-10m\" or \"1.5s\" is required; its units are h, m, s, ms, us and ns";
        Stop::Argument(1, why.to_owned())
    })?;
    let total = i128::from(time.seconds) * NANOS + i128::from(time.nanos) + nanos;
    let seconds = i64::try_from(total.div_euclid(NANOS)).ok();
    // The form has four digits for the year.
    let years = Date {
        year: 0,
        month: 1,
        day: 1,
    }
    .days()
        * DAY..Date {
        year: 10_000,
        month: 1,
        day: 1,
    }
    .days()
        * DAY;
    let seconds = seconds
        .filter(|seconds| years.contains(&(seconds + time.offset)))
        .ok_or_else(|| Stop::Call("the result is not in the years 0 to 9999".to_owned()))?;
    Ok(Time { seconds, ..time }.to_text().into())
}

/// Reads a duration in nanoseconds.
fn duration(text: &str) -> Option<i128> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = Number::from(0_usize);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let amount = rest[..end].trim_end_matches('.');
        let amount = Number::parse(&if amount.starts_with('.') {
            format!("0{amount}")
        } else {
            amount.to_owned()
        })?;
        rest = &rest[end..];
        let units = [
            ("ns", 1_i128),
            ("us", 1000),
            ("µs", 1000),
            ("ms", 1_000_000),
            ("s", NANOS),
            ("m", 60 * NANOS),
            ("h", 3600 * NANOS),
        ];
        let (unit, size) = units.into_iter().find(|(unit, _)| rest.starts_with(unit))?;
        rest = &rest[unit.len()..];
        total = total.checked_add(&amount.checked_mul(&Number::from(size))?)?;
    }
    let nanos = total.floor().whole()?;
    (nanos <= i128::from(i64::MAX)).then_some(sign * nanos)
}

fn formatdate(a: &Arguments<'_>) -> Result {
    let format = a.text(0)?;
    let time = Time::argument(a, 1)?;
    let mut out = String::new();
    let mut rest = format.as_str();
    while let Some(first) = rest.chars().next() {
        if first == '\'' {
            rest = quoted(&rest[1..], &mut out)
                .ok_or_else(|| Stop::Argument(0, "a quoted part of the format is not closed".to_owned()))?;
        } else if first.is_ascii_alphabetic() {
            let run = rest.len() - rest.trim_start_matches(first).len();
            let written = verb(&rest[..run], time).ok_or_else(|| {
                let why = format!(
                    "there is no verb \"{}\"; text to be kept as it is goes in single quotes",
                    &rest[..run]
                );
                Stop::Argument(0, why)
            })?;
            out.push_str(&written);
            rest = &rest[run..];
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    Ok(out.into())
}

/// Writes text up to a single quote, where two of them stand for one, and returns what follows.
fn quoted<'a>(text: &'a str, out: &mut String) -> Option<&'a str> {
    let mut rest = text;
    loop {
        let end = rest.find('\'')?;
        out.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('\'') {
            Some(after) => {
                out.push('\'');
                rest = after;
            }
            None => return Some(rest),
        }
    }
}

fn verb(verb: &str, time: Time) -> Option<String> {
    let (days, second) = time.local();
    let date = Date::from_days(days);
    let month = MONTHS[usize::try_from(date.month - 1).ok()?];
    let weekday = WEEKDAYS[usize::try_from(days.rem_euclid(7)).ok()?];
    let hour = second / 3600;
    let half = if hour % 12 == 0 { 12 } else { hour % 12 };
    let is_utc = time.offset == 0;
    Some(match verb {
        "YYYY" => format!("{:04}", date.year),
        "YY" => format!("{:02}", date.year % 100),
        "MMMM" => month.to_owned(),
        "MMM" => month[..3].to_owned(),
        "MM" => format!("{:02}", date.month),
        "M" => date.month.to_string(),
        "DD" => format!("{:02}", date.day),
        "D" => date.day.to_string(),
        "EEEE" => weekday.to_owned(),
        "EEE" => weekday[..3].to_owned(),
        "hh" => format!("{hour:02}"),
        "h" => hour.to_string(),
        "HH" => format!("{half:02}"),
        "H" => half.to_string(),
        "AA" => if hour < 12 { "AM" } else { "PM" }.to_owned(),
        "aa" => if hour < 12 { "am" } else { "pm" }.to_owned(),
        "mm" => format!("{:02}", second / 60 % 60),
        "m" => (second / 60 % 60).to_string(),
        "ss" => format!("{:02}", second % 60),
        "s" => (second % 60).to_string(),
        "ZZZ" if is_utc => "UTC".to_owned(),
        "Z" if is_utc => "Z".to_owned(),
        "ZZZZZ" | "Z" => time.zone(":"),
        "ZZZZ" | "ZZZ" => time.zone(""),
        _ => return None,
    })
}
