//! JSON, read with the place of every part and with numbers as they are written.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::number::Number;
use crate::value::{MAX_DEPTH, Value};

/// A part of a JSON text.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it stands.
    pub range: Range<usize>,
    /// What it is.
    pub kind: NodeKind,
}

/// What a part of a JSON text is.
#[derive(Clone, Debug)]
pub enum NodeKind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, exact.
    Number(Number),
    /// A text, without its quotes and escapes.
    String(String),
    /// The elements between brackets.
    Array(Vec<Node>),
    /// The members between braces, in their order; a name may occur several times.
    Object(Vec<Member>),
}

/// A member of an object.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its name.
    pub key: String,
    /// Where its name stands.
    pub key_range: Range<usize>,
    /// Its value.
    pub value: Node,
}

/// Why a text is no JSON, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub at: Range<usize>,
    /// A fragment, without a full stop.
    pub message: String,
}

/// Reads a JSON text.
pub fn read(text: &str) -> Result<Node, Problem> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    let node = parser.value()?;
    parser.space();
    if parser.at < text.len() {
        return Err(parser.problem("nothing but space may follow the value"));
    }
    Ok(node)
}

impl Node {
    /// Returns the value it stands for; the last of several members with one name counts.
    pub(crate) fn value(&self) -> Value {
        match &self.kind {
            NodeKind::Null => Value::null(),
            NodeKind::Bool(flag) => (*flag).into(),
            NodeKind::Number(number) => number.clone().into(),
            NodeKind::String(text) => text.as_str().into(),
            NodeKind::Array(items) => Value::tuple(items.iter().map(Node::value).collect()),
            NodeKind::Object(members) => {
                let member = |member: &Member| (member.key.clone(), member.value.value());
                Value::object(members.iter().map(member).collect::<BTreeMap<_, _>>())
            }
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: u16,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    fn problem(&self, message: &str) -> Problem {
        let end = self.at + self.peek().map_or(0, char::len_utf8);
        Problem {
            at: self.at..end,
            message: message.to_owned(),
        }
    }

    fn value(&mut self) -> Result<Node, Problem> {
        self.space();
        let start = self.at;
        let kind = match self.peek() {
            Some('"') => NodeKind::String(self.string()?),
            Some('[') => self.nested(Self::array)?,
            Some('{') => self.nested(Self::object)?,
            Some('-' | '0'..='9') => self.number()?,
            Some('\'') => return Err(self.problem("JSON texts stand in double quotes")),
            Some(_) => self.word()?,
            None => return Err(self.problem("the text ends where a value is expected")),
        };
        Ok(Node {
            range: start..self.at,
            kind,
        })
    }

    fn word(&mut self) -> Result<NodeKind, Problem> {
        let words = [
            ("null", NodeKind::Null),
            ("true", NodeKind::Bool(true)),
            ("false", NodeKind::Bool(false)),
        ];
        for (word, kind) in words {
            if self.rest().starts_with(word) {
                self.at += word.len();
                return Ok(kind);
            }
        }
        Err(self.problem(
            "a JSON value is expected: a text in double quotes, a number, true, false, null, a list or an object",
        ))
    }

    fn number(&mut self) -> Result<NodeKind, Problem> {
        let start = self.at;
        let rest = self.rest();
        let length = rest
            .find(|c: char| !matches!(c, '0'..='9' | '.' | 'e' | 'E' | '+' | '-'))
            .unwrap_or(rest.len());
        let written = &rest[..length];
        self.at += length;
        let digits = written.trim_start_matches('-');
        let leads_with_zero = digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit();
        Number::parse(written)
            .filter(|_| !leads_with_zero)
            .map(NodeKind::Number)
            .ok_or_else(|| Problem {
                at: start..self.at,
                message: format!("{written} is no JSON number, or out of range"),
            })
    }

    fn nested(&mut self, inner: impl FnOnce(&mut Self) -> Result<NodeKind, Problem>) -> Result<NodeKind, Problem> {
        if self.depth >= MAX_DEPTH {
            return Err(self.problem("lists and objects are nested too deep"));
        }
        self.depth += 1;
        self.at += 1;
        let kind = inner(self)?;
        self.depth -= 1;
        Ok(kind)
    }

    /// Reads what stands between two brackets, separated by commas.
    fn items(&mut self, end: char, mut item: impl FnMut(&mut Self) -> Result<(), Problem>) -> Result<(), Problem> {
        let opened = self.at - 1;
        self.space();
        if self.peek() == Some(end) {
            self.at += 1;
            return Ok(());
        }
        loop {
            item(self)?;
            self.space();
            match self.peek() {
                Some(',') => {
                    self.at += 1;
                    self.space();
                    if self.peek() == Some(end) {
                        return Err(self.problem("JSON allows no comma after the last element"));
                    }
                }
                Some(c) if c == end => {
                    self.at += 1;
                    return Ok(());
                }
                None => {
                    return Err(Problem {
                        at: opened..opened + 1,
                        message: format!("this bracket is never closed with \"{end}\""),
                    });
                }
                Some(_) => return Err(self.problem(&format!("a comma or \"{end}\" is expected"))),
            }
        }
    }

    fn array(&mut self) -> Result<NodeKind, Problem> {
        let mut all = Vec::new();
        self.items(']', |parser| {
            all.push(parser.value()?);
            Ok(())
        })?;
        Ok(NodeKind::Array(all))
    }

    fn object(&mut self) -> Result<NodeKind, Problem> {
        let mut all = Vec::new();
        self.items('}', |parser| {
            parser.space();
            let start = parser.at;
            if parser.peek() != Some('"') {
                return Err(parser.problem("a member starts with its name in double quotes"));
            }
            let key = parser.string()?;
            let key_range = start..parser.at;
            parser.space();
            if parser.peek() != Some(':') {
                return Err(parser.problem("a colon follows the name of a member"));
            }
            parser.at += 1;
            let value = parser.value()?;
            all.push(Member { key, key_range, value });
            Ok(())
        })?;
        Ok(NodeKind::Object(all))
    }

    fn string(&mut self) -> Result<String, Problem> {
        let opened = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            match self.peek() {
                None | Some('\n') => {
                    return Err(Problem {
                        at: opened..opened + 1,
                        message: "this text is never closed with a double quote".to_owned(),
                    });
                }
                Some('"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some('\\') => text.push(self.escape()?),
                Some(c) if c < ' ' => return Err(self.problem("control characters are written as \\u escapes")),
                Some(c) => {
                    text.push(c);
                    self.at += c.len_utf8();
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, Problem> {
        let start = self.at;
        self.at += 1;
        let wrong = |parser: &Self| Problem {
            at: start..parser.at,
            message: "there is no such escape in JSON".to_owned(),
        };
        let c = self.peek().ok_or_else(|| wrong(self))?;
        self.at += c.len_utf8();
        Ok(match c {
            '"' | '\\' | '/' => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let high = self.hex().ok_or_else(|| wrong(self))?;
                // The halves of a pair stand for one character; half of one for none.
                if (0xd800..0xdc00).contains(&high) && self.rest().starts_with("\\u") {
                    self.at += 2;
                    let low = self.hex().ok_or_else(|| wrong(self))?;
                    let pair = low.checked_sub(0xdc00).filter(|low| *low < 0x400);
                    let code = pair.map(|low| 0x10000 + ((high - 0xd800) << 10) + low);
                    code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
                } else {
                    char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER)
                }
            }
            _ => return Err(wrong(self)),
        })
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.rest().get(..4)?;
        let code = u32::from_str_radix(digits, 16).ok()?;
        self.at += 4;
        digits.bytes().all(|b| b.is_ascii_hexdigit()).then_some(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::json_text::write;

    fn again(text: &str) -> String {
        let node = read(text).unwrap_or_else(|problem| panic!("{text}: {problem:?}"));
        write(&node.value()).unwrap()
    }

    #[test]
    fn json_is_read_as_it_is_written() {
        for text in [
            "null",
            "[1,-2.5,true,false,null]",
            "{\"a\":{\"b\":[]},\"c\":\"x\\n\\\"\"}",
            "123456789012345678901234567890",
        ] {
            assert_eq!(again(text), text);
        }
        assert_eq!(again(" [ 1e3 , \"\\u00e4\\ud83d\\ude00\\/\" ] "), "[1000,\"ä😀/\"]");
    }

    #[test]
    fn what_is_no_json_is_told_with_its_place() {
        for (text, at, message) in [
            ("", 0..0, "the text ends"),
            ("[1, 2", 0..1, "never closed"),
            ("[1,]", 3..4, "no comma after"),
            ("{a: 1}", 1..2, "name in double quotes"),
            ("{\"a\" 1}", 5..6, "a colon"),
            ("\"abc", 0..1, "never closed"),
            ("01", 0..2, "no JSON number"),
            ("tru", 0..1, "a JSON value is expected"),
            ("1 2", 2..3, "nothing but space"),
            ("\"\\x\"", 1..3, "no such escape"),
        ] {
            let problem = read(text).unwrap_err();
            assert_eq!(problem.at, at, "{text}: {}", problem.message);
            assert!(problem.message.contains(message), "{text}: {}", problem.message);
        }
        assert!(read(&"[".repeat(1_000_000)).is_err());
    }
}
