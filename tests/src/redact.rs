//! Takes out of a text what differs from run to run.

use std::ops::RangeInclusive;
use std::path::PathBuf;

/// What is taken out, beside times, positions in the log and identifiers.
#[derive(Clone, Debug)]
pub struct Redactions {
    /// Directories, each with what stands for it; the first that matches counts.
    pub directories: Vec<(PathBuf, &'static str)>,
    /// Ports that were chosen.
    pub ports: RangeInclusive<u16>,
}

impl Redactions {
    /// Returns the text without them.
    pub fn apply(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (directory, placeholder) in &self.directories {
            text = text.replace(&*directory.to_string_lossy(), placeholder);
        }
        let mut redacted = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(start) = rest.find(is_word) {
            redacted.push_str(&rest[..start]);
            let word = &rest[start..];
            let end = word.find(|c| !is_word(c)).unwrap_or(word.len());
            // A full stop that ends a sentence is none of a number.
            let word = word[..end].trim_end_matches('.');
            redacted.push_str(self.placeholder(word).unwrap_or(word));
            rest = &rest[start + word.len()..];
            if word.is_empty() {
                redacted.push('.');
                rest = &rest[1..];
            }
        }
        redacted.push_str(rest);
        redacted
    }

    fn placeholder(&self, word: &str) -> Option<&'static str> {
        if word.parse().is_ok_and(|port| self.ports.contains(&port)) {
            Some("[PORT]")
        } else if is_duration(word) {
            Some("[TIME]")
        } else if is_position(word) {
            Some("[LSN]")
        } else if word.len() >= 18 && word.bytes().all(|b| b.is_ascii_digit()) {
            Some("[SYSTEM]")
        } else if word.len() >= 16 && word.bytes().all(|b| b.is_ascii_hexdigit()) {
            Some("[ID]")
        } else {
            None
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '.' || c == '/'
}

/// `12ms`, `1.6s`, `2m5s`.
fn is_duration(word: &str) -> bool {
    let mut rest = word;
    while !rest.is_empty() {
        let number = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let unit = ["ms", "us", "s", "m", "h"].into_iter().find(|unit| {
            rest[number..]
                .strip_prefix(unit)
                .is_some_and(|after| after.is_empty() || after.starts_with(|c: char| c.is_ascii_digit()))
        });
        match unit {
            Some(unit) if number > 0 => rest = &rest[number + unit.len()..],
            _ => return false,
        }
    }
    !word.is_empty()
}

/// `0/3000148`.
fn is_position(word: &str) -> bool {
    let hexadecimal = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_hexdigit());
    word.split_once('/')
        .is_some_and(|(high, low)| hexadecimal(high) && hexadecimal(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_run_to_run_is_taken_out_and_the_rest_stays() {
        let redactions = Redactions {
            directories: vec![("/tmp/x/project".into(), "[PROJECT]"), ("/tmp/x".into(), "[ROOT]")],
            ports: 21_000..=21_019,
        };
        for (text, expected) in [
            ("127.0.0.1:21003 is up.", "127.0.0.1:[PORT] is up."),
            ("port 5432, 210030", "port 5432, 210030"),
            ("done after 1.6s.", "done after [TIME]."),
            ("2m5s and 12ms", "[TIME] and [TIME]"),
            ("3 standbys, 4s ms", "3 standbys, [TIME] ms"),
            ("at 0/3000148, role a/b c", "at [LSN], role [LSN] c"),
            ("system 7425012345678901234", "system [SYSTEM]"),
            ("lock 0123456789abcdef0123456789abcdef", "lock [ID]"),
            (
                "/tmp/x/project/.simdb in /tmp/x/home",
                "[PROJECT]/.simdb in [ROOT]/home",
            ),
            (
                "still creating… [10s elapsed]...",
                "still creating… [[TIME] elapsed]...",
            ),
        ] {
            assert_eq!(redactions.apply(text), expected);
        }
    }
}
