//! The tokens of a text, for what a syntax tree does not give: the formatter, and messages about text that has none.
//!
//! Tokenizing never fails: a string that is not closed ends with its line, and is reported beside the tokens. Spaces
//! and tabs are not tokens; whatever else the text has is.

use std::ops::Range;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ident,
    Number,
    OpenQuote,
    CloseQuote,
    /// Text in quotes or in a heredoc.
    Literal,
    /// `<<EOT` with its line end.
    OpenHeredoc,
    /// The closing `EOT` with the spaces before it.
    CloseHeredoc,
    /// `${`
    Interpolation,
    /// `%{`
    Control,
    /// The `}` of an interpolation or a control.
    CloseTemplate,
    /// `# …` or `// …`, without its line end.
    LineComment,
    /// `/* … */`
    BlockComment,
    Newline,
    OpenBrace,
    CloseBrace,
    OpenBracket,
    CloseBracket,
    OpenParenthesis,
    CloseParenthesis,
    Equal,
    Colon,
    DoubleColon,
    Comma,
    Dot,
    Ellipsis,
    Question,
    Minus,
    Bang,
    Arrow,
    /// Any other operator of two operands.
    Operator,
    /// A character that has no meaning.
    Stray,
}

/// A token, and its place in the text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Token {
    pub(crate) fn range(&self) -> Range<usize> {
        self.start..self.end
    }

    pub(crate) fn text<'t>(&self, text: &'t str) -> &'t str {
        &text[self.range()]
    }

    /// Returns 1 for what opens, -1 for what closes, else 0.
    pub(crate) fn nesting(&self) -> i32 {
        match self.kind {
            Kind::OpenBrace | Kind::OpenBracket | Kind::OpenParenthesis | Kind::Interpolation | Kind::Control => 1,
            Kind::CloseBrace | Kind::CloseBracket | Kind::CloseParenthesis | Kind::CloseTemplate => -1,
            _ => 0,
        }
    }
}

/// What is not closed, and where it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unclosed {
    String(usize),
    Heredoc(usize),
    Comment(usize),
}

/// The tokens of a text.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    pub(crate) tokens: Vec<Token>,
    pub(crate) unclosed: Vec<Unclosed>,
}

/// What the tokenizer is in the middle of.
enum Mode<'t> {
    /// An expression or a body; counts its open braces. All but the outermost end with the brace that opened them.
    Normal {
        braces: usize,
    },
    Quoted {
        start: usize,
    },
    Heredoc {
        marker: &'t str,
        start: usize,
    },
}

/// Splits a text into tokens.
pub(crate) fn tokenize(text: &str) -> Tokens {
    let mut lexer = Lexer {
        text,
        at: 0,
        modes: vec![Mode::Normal { braces: 0 }],
        out: Tokens::default(),
    };
    while lexer.at < text.len() {
        match lexer.modes.last() {
            Some(Mode::Quoted { start }) => lexer.quoted(*start),
            Some(Mode::Heredoc { marker, .. }) => lexer.heredoc(marker),
            _ => lexer.normal(),
        }
    }
    for mode in lexer.modes {
        match mode {
            Mode::Normal { .. } => {}
            Mode::Quoted { start } => lexer.out.unclosed.push(Unclosed::String(start)),
            Mode::Heredoc { start, .. } => lexer.out.unclosed.push(Unclosed::Heredoc(start)),
        }
    }
    lexer.out
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    modes: Vec<Mode<'t>>,
    out: Tokens,
}

/// Any letter beyond ASCII may be part of a name; the parser knows which are not.
fn starts_name(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

fn continues_name(c: char) -> bool {
    starts_name(c) || c.is_ascii_digit() || c == '-'
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn push(&mut self, kind: Kind, length: usize) {
        if length > 0 {
            self.out.tokens.push(Token {
                kind,
                start: self.at,
                end: self.at + length,
            });
            self.at += length;
        }
    }

    fn normal(&mut self) {
        let rest = self.rest();
        let first = rest.chars().next().expect("there is text left");
        let while_matches = |test: fn(char) -> bool| rest.find(|c| !test(c)).unwrap_or(rest.len());
        match first {
            ' ' | '\t' => self.at += while_matches(|c| c == ' ' || c == '\t'),
            '\n' => self.push(Kind::Newline, 1),
            '\r' if rest.starts_with("\r\n") => self.push(Kind::Newline, 2),
            '"' => {
                self.modes.push(Mode::Quoted { start: self.at });
                self.push(Kind::OpenQuote, 1);
            }
            '#' => self.line_comment(),
            '/' if rest.starts_with("//") => self.line_comment(),
            '/' if rest.starts_with("/*") => self.block_comment(),
            '0'..='9' => self.push(Kind::Number, number_length(rest)),
            '<' if self.open_heredoc() => {}
            c if starts_name(c) => self.push(Kind::Ident, while_matches(continues_name)),
            _ => self.punctuation(rest),
        }
    }

    fn line_comment(&mut self) {
        let rest = self.rest();
        let end = rest.find('\n').unwrap_or(rest.len());
        self.push(Kind::LineComment, rest[..end].trim_end_matches('\r').len());
    }

    fn block_comment(&mut self) {
        let rest = self.rest();
        if let Some(end) = rest[2..].find("*/") {
            self.push(Kind::BlockComment, end + 4);
        } else {
            self.out.unclosed.push(Unclosed::Comment(self.at));
            self.push(Kind::BlockComment, rest.len());
        }
    }

    fn open_heredoc(&mut self) -> bool {
        let rest = self.rest();
        let Some(after) = rest.strip_prefix("<<") else {
            return false;
        };
        let after = after.strip_prefix('-').unwrap_or(after);
        let marker = &after[..after.find(|c| !continues_name(c)).unwrap_or(after.len())];
        let line_end = match &after[marker.len()..] {
            end if end.starts_with('\n') => 1,
            end if end.starts_with("\r\n") => 2,
            _ => return false,
        };
        if marker.is_empty() {
            return false;
        }
        self.modes.push(Mode::Heredoc { marker, start: self.at });
        self.push(Kind::OpenHeredoc, rest.len() - after.len() + marker.len() + line_end);
        true
    }

    fn punctuation(&mut self, rest: &str) {
        const OPERATORS: [(&str, Kind); 29] = [
            ("...", Kind::Ellipsis),
            ("::", Kind::DoubleColon),
            ("=>", Kind::Arrow),
            ("==", Kind::Operator),
            ("!=", Kind::Operator),
            ("<=", Kind::Operator),
            (">=", Kind::Operator),
            ("&&", Kind::Operator),
            ("||", Kind::Operator),
            ("~}", Kind::CloseTemplate),
            ("{", Kind::OpenBrace),
            ("}", Kind::CloseBrace),
            ("[", Kind::OpenBracket),
            ("]", Kind::CloseBracket),
            ("(", Kind::OpenParenthesis),
            (")", Kind::CloseParenthesis),
            ("=", Kind::Equal),
            (":", Kind::Colon),
            (",", Kind::Comma),
            (".", Kind::Dot),
            ("?", Kind::Question),
            ("-", Kind::Minus),
            ("!", Kind::Bang),
            ("+", Kind::Operator),
            ("*", Kind::Operator),
            ("/", Kind::Operator),
            ("%", Kind::Operator),
            ("<", Kind::Operator),
            (">", Kind::Operator),
        ];
        let found = OPERATORS.iter().find(|(operator, _)| rest.starts_with(operator));
        let (length, mut kind) = found.map_or((1, Kind::Stray), |(operator, kind)| (operator.len(), *kind));
        let nested = self.modes.len() > 1;
        if let Some(Mode::Normal { braces }) = self.modes.last_mut() {
            match kind {
                Kind::OpenBrace => *braces += 1,
                Kind::CloseBrace | Kind::CloseTemplate if nested && *braces == 0 => {
                    kind = Kind::CloseTemplate;
                    self.modes.pop();
                }
                Kind::CloseBrace => *braces = braces.saturating_sub(1),
                Kind::CloseTemplate => return self.push(Kind::Stray, 1),
                _ => {}
            }
        }
        self.push(kind, length);
    }

    /// Enters `${` or `%{` where one starts; `~` belongs to it.
    fn open_template(&mut self) -> bool {
        let rest = self.rest();
        let kind = match rest.get(..2) {
            Some("${") => Kind::Interpolation,
            Some("%{") => Kind::Control,
            _ => return false,
        };
        self.push(kind, if rest[2..].starts_with('~') { 3 } else { 2 });
        self.modes.push(Mode::Normal { braces: 0 });
        true
    }

    fn quoted(&mut self, start: usize) {
        if self.open_template() {
            return;
        }
        let rest = self.rest();
        let mut length = 0;
        let mut ended = false;
        while let Some(c) = rest[length..].chars().next() {
            let here = &rest[length..];
            if c == '"' || c == '\n' {
                ended = true;
                break;
            }
            length += match c {
                '\\' => {
                    1 + here[1..]
                        .chars()
                        .next()
                        .filter(|c| *c != '\n')
                        .map_or(0, char::len_utf8)
                }
                _ if here.starts_with("$${") || here.starts_with("%%{") => 3,
                _ if here.starts_with("${") || here.starts_with("%{") => break,
                c => c.len_utf8(),
            };
        }
        self.push(Kind::Literal, length);
        if !ended {
            return;
        }
        self.modes.pop();
        if self.rest().starts_with('"') {
            self.push(Kind::CloseQuote, 1);
        } else {
            self.unterminated(start);
        }
    }

    /// Ends a string with its line, together with the strings it is within.
    fn unterminated(&mut self, start: usize) {
        let heredoc = self
            .modes
            .iter()
            .rposition(|mode| matches!(mode, Mode::Heredoc { .. }))
            .unwrap_or(0);
        let outermost = self
            .modes
            .iter()
            .enumerate()
            .skip(heredoc)
            .find_map(|(index, mode)| match mode {
                Mode::Quoted { start } => Some((index, *start)),
                _ => None,
            });
        let (index, start) = outermost.unwrap_or((self.modes.len(), start));
        self.modes.truncate(index);
        self.out.unclosed.push(Unclosed::String(start));
    }

    fn heredoc(&mut self, marker: &str) {
        if self.open_template() {
            return;
        }
        let start = self.at;
        let mut at = start;
        loop {
            let rest = &self.text[at..];
            let at_line_start = self.text[..at].ends_with('\n');
            if at_line_start && closing_marker(rest, marker).is_some() {
                break;
            }
            let line = rest.find('\n').map_or(rest.len(), |end| end + 1);
            match template_start(&rest[..line]) {
                Some(0) if at > start => break,
                Some(found) => {
                    at += found;
                    break;
                }
                None => at += line,
            }
            if at == self.text.len() {
                break;
            }
        }
        self.push(Kind::Literal, at - start);
        let rest = self.rest();
        if self.text[..self.at].ends_with('\n')
            && let Some(length) = closing_marker(rest, marker)
        {
            self.modes.pop();
            self.push(Kind::CloseHeredoc, length);
        }
    }
}

/// Returns where `${` or `%{` starts in a line, unless it is escaped.
fn template_start(line: &str) -> Option<usize> {
    let mut at = 0;
    while let Some(found) = line[at..].find(['$', '%']) {
        at += found;
        let here = &line[at..];
        if here.starts_with("$${") || here.starts_with("%%{") {
            at += 3;
        } else if here[1..].starts_with('{') {
            return Some(at);
        } else {
            at += 1;
        }
    }
    None
}

/// Returns the length of the closing marker with the spaces before it, where a line starts with one.
fn closing_marker(line: &str, marker: &str) -> Option<usize> {
    let after = line.trim_start_matches([' ', '\t']).strip_prefix(marker)?;
    (!after.starts_with(continues_name)).then_some(line.len() - after.len())
}

fn number_length(text: &str) -> usize {
    let digits = |from: usize| {
        text[from..]
            .find(|c: char| !c.is_ascii_digit())
            .map_or(text.len(), |end| from + end)
    };
    let mut end = digits(0);
    if text[end..].starts_with('.') && digits(end + 1) > end + 1 {
        end = digits(end + 1);
    }
    if text[end..].starts_with(['e', 'E']) {
        let sign = usize::from(text[end + 1..].starts_with(['+', '-']));
        let exponent = digits(end + 1 + sign);
        if exponent > end + 1 + sign {
            end = exponent;
        }
    }
    end
}
