//! The grammar of addresses: names, each with an optional key, parted by dots.
//!
//! ```text
//!   module.team["eu.west"].cluster.orders.node.r[0]
//!   ^^^^^^ ^^^^ ^^^^^^^^^  ^^^^^^^ ^^^^^^ ^^^^ ^^^
//!   word   name key        word    name   word name and key
//! ```
//!
//! A key is a number, as `count` makes it, or a text in quotes, as `for_each` does. Within quotes a backslash stands before a
//! quote, a backslash, `n`, `r` or `t`, so that every text can be a key. Every path has one spelling.

use std::borrow::Cow;
use std::fmt;

use thiserror::Error;

/// One part of an address: a word of the language, or a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Segment<'a> {
    /// The word or name.
    pub name: &'a str,
    /// Which of several things that share the name.
    pub key: Option<Key<'a>>,
}

/// Which of several things that share a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key<'a> {
    /// The place of one that `count` made.
    Number(u32),
    /// The key of one that `for_each` made.
    Text(Cow<'a, str>),
}

/// An address as its parts, whatever they name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path<'a>(pub Vec<Segment<'a>>);

/// Why a text is no path: what is wrong, and where, counted in bytes from 1.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("address {text:?} cannot be read from byte {at} on: {reason}")]
pub struct PathError {
    text: String,
    at: usize,
    reason: &'static str,
}

impl<'a> Path<'a> {
    /// Reads an address.
    pub fn parse(text: &'a str) -> Result<Self, PathError> {
        let mut reader = Reader { text, at: 0 };
        let mut segments = vec![reader.segment()?];
        while reader.takes('.') {
            segments.push(reader.segment()?);
        }
        if reader.rest().is_empty() {
            Ok(Path(segments))
        } else {
            Err(reader.wrong("a dot, a key in brackets or the end belongs here"))
        }
    }

    /// Returns the modules that the path leads through, from the outermost one, and the path within the last of them.
    pub fn modules(&self) -> (Vec<&Segment<'a>>, &[Segment<'a>]) {
        let (mut modules, mut rest) = (Vec::new(), self.0.as_slice());
        while let [word, name, within @ ..] = rest
            && word.name == "module"
            && word.key.is_none()
        {
            modules.push(name);
            rest = within;
        }
        (modules, rest)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, segment) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str(".")?;
            }
            segment.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Segment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        self.key.as_ref().map_or(Ok(()), |key| key.fmt(f))
    }
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Number(number) => write!(f, "[{number}]"),
            Key::Text(text) => {
                f.write_str("[\"")?;
                for character in text.chars() {
                    match character {
                        '"' | '\\' => write!(f, "\\{character}")?,
                        '\n' => f.write_str("\\n")?,
                        '\r' => f.write_str("\\r")?,
                        '\t' => f.write_str("\\t")?,
                        _ => write!(f, "{character}")?,
                    }
                }
                f.write_str("\"]")
            }
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn wrong(&self, reason: &'static str) -> PathError {
        PathError {
            text: self.text.to_owned(),
            at: self.at + 1,
            reason,
        }
    }

    /// Takes a character where it comes next.
    fn takes(&mut self, wanted: char) -> bool {
        let comes = self.rest().starts_with(wanted);
        if comes {
            self.at += wanted.len_utf8();
        }
        comes
    }

    /// Takes all that comes before the first character that ends it.
    fn until(&mut self, ends: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let taken = &rest[..rest.find(ends).unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    fn segment(&mut self) -> Result<Segment<'a>, PathError> {
        let name = self.until(|character| matches!(character, '.' | '[' | ']' | '"') || character.is_whitespace());
        if name.is_empty() {
            return Err(self.wrong("a name belongs here"));
        }
        let key = if self.takes('[') { Some(self.key()?) } else { None };
        Ok(Segment { name, key })
    }

    fn key(&mut self) -> Result<Key<'a>, PathError> {
        let key = if self.takes('"') {
            Key::Text(self.quoted()?)
        } else {
            self.number()?
        };
        if self.takes(']') {
            Ok(key)
        } else {
            Err(self.wrong("the key ends with a bracket: ]"))
        }
    }

    /// Reads a number without a sign and without zeros before it, which would be second spellings.
    fn number(&mut self) -> Result<Key<'a>, PathError> {
        let start = self.at;
        let digits = self.until(|character| !character.is_ascii_digit());
        let number: Option<u32> = digits.parse().ok();
        let number = number.filter(|number| number.to_string() == digits);
        number.map(Key::Number).ok_or_else(|| {
            self.at = start;
            self.wrong("a key is a number such as 0, or a text in quotes such as \"eu\"")
        })
    }

    fn quoted(&mut self) -> Result<Cow<'a, str>, PathError> {
        let mut text = Cow::Borrowed(self.plain());
        loop {
            if self.takes('"') {
                return Ok(text);
            }
            if !self.takes('\\') {
                return Err(self.wrong("the quoted key goes on, without line ends and tabs, up to a quote"));
            }
            let escaped = self.escaped()?;
            let text = text.to_mut();
            text.push(escaped);
            text.push_str(self.plain());
        }
    }

    fn plain(&mut self) -> &'a str {
        self.until(|character| matches!(character, '"' | '\\' | '\n' | '\r' | '\t'))
    }

    fn escaped(&mut self) -> Result<char, PathError> {
        let pairs = [('"', '"'), ('\\', '\\'), ('n', '\n'), ('r', '\r'), ('t', '\t')];
        let found = pairs.into_iter().find(|(written, _)| self.takes(*written));
        found
            .map(|(_, meant)| meant)
            .ok_or_else(|| self.wrong("a backslash stands before a quote, a backslash, n, r or t"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn segment<'a>(name: &'a str, key: Option<Key<'a>>) -> Segment<'a> {
        Segment { name, key }
    }

    #[test]
    fn a_path_is_read_into_its_parts() {
        let path = Path::parse(r#"module.a["k"].cluster.orders.node.r["eu.west"]"#).unwrap();
        let text = |text: &'static str| Some(Key::Text(text.into()));
        let expected = [
            segment("module", None),
            segment("a", text("k")),
            segment("cluster", None),
            segment("orders", None),
            segment("node", None),
            segment("r", text("eu.west")),
        ];
        assert_eq!(path.0, expected);
        let (modules, within) = path.modules();
        assert_eq!(modules, [&expected[1]]);
        assert_eq!(within, &expected[2..]);
    }

    #[test]
    fn a_text_that_is_no_path_is_told_by_its_place() {
        for (text, expected) in [
            ("", "from byte 1 on: a name belongs here"),
            ("cluster.", "from byte 9 on: a name belongs here"),
            ("cluster..a", "from byte 9 on: a name belongs here"),
            ("cluster.a b", "from byte 10 on: a dot, a key in brackets"),
            ("node.r[01]", "from byte 8 on: a key is a number"),
            ("node.r[-1]", "from byte 8 on: a key is a number"),
            ("node.r[4294967296]", "from byte 8 on: a key is a number"),
            ("node.r[]", "from byte 8 on: a key is a number"),
            ("node.r[1", "from byte 9 on: the key ends with a bracket"),
            ("node.r[1]x", "from byte 10 on: a dot, a key in brackets"),
            (r#"node.r["a]"#, "the quoted key goes on"),
            (r#"node.r["a\x"]"#, "a backslash stands before"),
        ] {
            let error = Path::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn every_path_reads_back_as_it_is_written(
            parts in prop::collection::vec(
                (
                    "[a-z][a-z0-9_-]{0,9}",
                    prop::option::of(prop_oneof![
                        any::<u32>().prop_map(Key::Number),
                        any::<String>().prop_map(|text| Key::Text(text.into())),
                    ]),
                ),
                1..6,
            ),
        ) {
            let path = Path(parts.iter().map(|(name, key)| segment(name, key.clone())).collect());
            let written = path.to_string();
            prop_assert_eq!(Path::parse(&written), Ok(path));
        }
    }
}
