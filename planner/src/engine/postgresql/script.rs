//! A file of SQL, cut into its statements as psql would, so that each can be sent alone and blamed by its line.
//!
//! All statements of a seed run in one transaction, so those that cannot are found here, before anything runs.

use std::ops::Range;

use simdb_state::digest::sha256;

/// A statement, without the semicolon after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    /// Its text.
    pub text: &'a str,
    /// The byte of the file at which it starts.
    pub start: usize,
}

/// What keeps a file from running as a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The bytes of the file it is about.
    pub range: Range<usize>,
    /// What is wrong, in sentences.
    pub detail: String,
}

/// Statements that a seed cannot have, by the words they start with, and why. This tells before anything runs; what keeps
/// a seed from being more than the owner is the session that it runs in.
const REFUSED: &[(&[&str], Reason)] = &[
    (&["BEGIN"], Reason::Control),
    (&["START", "TRANSACTION"], Reason::Control),
    (&["COMMIT"], Reason::Control),
    (&["END"], Reason::Control),
    (&["ABORT"], Reason::Control),
    (&["PREPARE", "TRANSACTION"], Reason::Control),
    (&["SET", "SESSION", "AUTHORIZATION"], Reason::Identity),
    (&["SET", "LOCAL", "SESSION", "AUTHORIZATION"], Reason::Identity),
    (&["SET", "SESSION", "SESSION", "AUTHORIZATION"], Reason::Identity),
    (&["RESET", "SESSION", "AUTHORIZATION"], Reason::Identity),
    (&["DISCARD", "ALL"], Reason::Outside),
    (&["CREATE", "DATABASE"], Reason::Database),
    (&["DROP", "DATABASE"], Reason::Database),
    (&["CREATE", "TABLESPACE"], Reason::Outside),
    (&["DROP", "TABLESPACE"], Reason::Outside),
    (&["CREATE", "INDEX", "CONCURRENTLY"], Reason::Concurrently),
    (&["CREATE", "UNIQUE", "INDEX", "CONCURRENTLY"], Reason::Concurrently),
    (&["DROP", "INDEX", "CONCURRENTLY"], Reason::Concurrently),
    (&["REINDEX", "TABLE", "CONCURRENTLY"], Reason::Concurrently),
    (&["REINDEX", "INDEX", "CONCURRENTLY"], Reason::Concurrently),
    (&["REINDEX", "SCHEMA", "CONCURRENTLY"], Reason::Concurrently),
    (&["REINDEX", "DATABASE"], Reason::Outside),
    (&["REINDEX", "SYSTEM"], Reason::Outside),
    (&["ALTER", "SYSTEM"], Reason::System),
    (&["VACUUM"], Reason::Outside),
];

/// Why a statement cannot be part of a seed.
#[derive(Clone, Copy)]
enum Reason {
    Control,
    Identity,
    Database,
    Concurrently,
    System,
    Outside,
}

impl Reason {
    fn detail(self, name: &str) -> String {
        match self {
            Reason::Control => format!(
                "A seed runs in one transaction, which simdb begins and commits, so {name} cannot be in it. Remove the line; \
                 SAVEPOINT can be used."
            ),
            Reason::Identity => format!("A seed runs as the owner of its database, so {name} cannot be in it."),
            Reason::Database => format!(
                "A seed runs in one transaction, in which {name} cannot run. Declare the database instead: \
                 database \"NAME\" {{ owner = \"USER\" }}."
            ),
            Reason::Concurrently => {
                format!(
                    "A seed runs in one transaction, in which {name} cannot run. Leave CONCURRENTLY out: no session waits yet."
                )
            }
            Reason::System => format!("{name} is not for seeds. Set the parameter in the engine's block."),
            Reason::Outside => {
                format!("A seed runs in one transaction, in which {name} cannot run. Run it by hand after the apply.")
            }
        }
    }
}

/// Returns what a seed's record knows a file by.
pub fn digest(text: &str) -> String {
    sha256(text)
}

/// Returns the line of a byte, counted from 1, and its text.
pub fn line(text: &str, byte: usize) -> (usize, &str) {
    let byte = text.floor_char_boundary(byte);
    let start = text[..byte].rfind('\n').map_or(0, |at| at + 1);
    let number = text[..start].matches('\n').count() + 1;
    (number, text[start..].lines().next().unwrap_or_default())
}

/// Cuts a file into statements, or says what keeps it from running as a seed.
pub fn statements(text: &str) -> Result<Vec<Statement<'_>>, Problem> {
    let mut scanner = Scanner::new(text);
    while scanner.at < text.len() {
        scanner.token()?;
    }
    scanner.end(text.len())?;
    Ok(scanner.statements)
}

/// How many words at the start of a statement are looked at.
const WORDS: usize = 16;

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    statements: Vec<Statement<'a>>,
    /// Where the statement starts, once it has.
    start: Option<usize>,
    /// Its first words outside parentheses, in capitals.
    words: Vec<String>,
    parentheses: usize,
    /// How many `BEGIN`s and `CASE`s of a function's SQL body are open: within it a semicolon ends nothing.
    body: usize,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        // What some editors put before the first byte is no part of the first statement.
        let at = if text.starts_with('\u{feff}') {
            '\u{feff}'.len_utf8()
        } else {
            0
        };
        Self {
            text,
            at,
            statements: Vec::new(),
            start: None,
            words: Vec::new(),
            parentheses: 0,
            body: 0,
        }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn token(&mut self) -> Result<(), Problem> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Ok(());
        };
        if first.is_whitespace() {
            self.at += first.len_utf8();
            return Ok(());
        }
        if rest.starts_with("--") {
            self.at += rest.find('\n').unwrap_or(rest.len());
            return Ok(());
        }
        if rest.starts_with("/*") {
            return self.comment();
        }
        if first == ';' && self.parentheses == 0 && self.body == 0 {
            self.end(self.at)?;
            self.at += 1;
            return Ok(());
        }
        self.start.get_or_insert(self.at);
        match first {
            '\'' => self.quoted('\'', false),
            '"' => self.quoted('"', false),
            '$' => self.dollar(),
            '\\' => Err(self.problem(
                self.at,
                "Lines that start with a backslash are commands of psql, which does not run seeds. Remove the line.",
            )),
            _ if first.is_alphabetic() || first == '_' => self.word(),
            _ => {
                match first {
                    '(' => self.parentheses += 1,
                    ')' => self.parentheses = self.parentheses.saturating_sub(1),
                    _ => {}
                }
                self.at += first.len_utf8();
                Ok(())
            }
        }
    }

    /// Makes a problem of what starts at a byte, up to the end of its line.
    fn problem(&self, start: usize, detail: impl Into<String>) -> Problem {
        let line = self.text[start..].lines().next().unwrap_or_default();
        Problem {
            range: start..start + line.trim_end().len(),
            detail: detail.into(),
        }
    }

    fn comment(&mut self) -> Result<(), Problem> {
        let (start, mut depth) = (self.at, 0_usize);
        loop {
            let rest = self.rest();
            if rest.starts_with("/*") {
                depth += 1;
                self.at += 2;
            } else if rest.starts_with("*/") {
                depth -= 1;
                self.at += 2;
                if depth == 0 {
                    return Ok(());
                }
            } else if let Some(next) = rest.chars().next() {
                self.at += next.len_utf8();
            } else {
                return Err(self.problem(start, "The comment that starts here has no end."));
            }
        }
    }

    /// Skips a quoted text. A doubled quote within it reads as the end of one text and the start of another.
    fn quoted(&mut self, quote: char, escapes: bool) -> Result<(), Problem> {
        let start = self.at;
        let mut characters = self.rest().char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            if character == quote {
                self.at = start + at + 1;
                return Ok(());
            }
            if escapes && character == '\\' {
                characters.next();
            }
        }
        Err(self.problem(start, "The quoted text that starts here has no end."))
    }

    /// Skips a text in dollar quotes, or a dollar that is something else.
    fn dollar(&mut self) -> Result<(), Problem> {
        let start = self.at;
        let rest = self.rest();
        let tag = rest[1..].find('$').map(|end| &rest[..end + 2]).filter(|tag| {
            let name = &tag[1..tag.len() - 1];
            !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(is_word)
        });
        let Some(tag) = tag else {
            self.at += 1;
            return Ok(());
        };
        let Some(end) = rest[tag.len()..].find(tag) else {
            return Err(self.problem(
                start,
                format!("The text in dollar quotes that starts here has no end: {tag}."),
            ));
        };
        self.at = start + end + 2 * tag.len();
        Ok(())
    }

    fn word(&mut self) -> Result<(), Problem> {
        let rest = self.rest();
        let length = rest.find(|c: char| !is_word(c) && c != '$').unwrap_or(rest.len());
        let word = rest[..length].to_uppercase();
        self.at += length;
        if word == "E" && self.rest().starts_with('\'') {
            return self.quoted('\'', true);
        }
        if self.parentheses == 0 {
            if self.words.len() < WORDS {
                self.words.push(word.clone());
            }
            self.function_body(&word);
        }
        Ok(())
    }

    /// Follows the SQL body of a function: `CREATE FUNCTION … BEGIN ATOMIC …; … END`.
    fn function_body(&mut self, word: &str) {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let makes_function = matches!(
            words[..],
            ["CREATE", "FUNCTION" | "PROCEDURE", ..] | ["CREATE", "OR", "REPLACE", "FUNCTION" | "PROCEDURE", ..]
        );
        match word {
            "BEGIN" if makes_function => self.body += 1,
            "CASE" if self.body > 0 => self.body += 1,
            "END" if self.body > 0 => self.body -= 1,
            _ => {}
        }
    }

    /// Ends the statement.
    fn end(&mut self, end: usize) -> Result<(), Problem> {
        let Some(start) = self.start.take() else { return Ok(()) };
        let words = std::mem::take(&mut self.words);
        (self.parentheses, self.body) = (0, 0);
        if let Some(detail) = refused(&words) {
            return Err(self.problem(start, detail));
        }
        let text = self.text[start..end].trim_end();
        self.statements.push(Statement { text, start });
        Ok(())
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns why a statement that starts with these words cannot be part of a seed.
fn refused(words: &[String]) -> Option<String> {
    let has = |word: &str| words.iter().any(|other| other == word);
    let first = words.first().map(String::as_str);
    if first == Some("COPY") && (has("STDIN") || has("STDOUT")) {
        let detail = "A seed is a file of statements, without data between them. Write the rows as INSERT: \
                      pg_dump --rows-per-insert=1000 does.";
        return Some(detail.to_owned());
    }
    if first == Some("ROLLBACK") && !has("TO") {
        return Some(Reason::Control.detail("ROLLBACK"));
    }
    let starts = |start: &&(&[&str], Reason)| {
        words.len() >= start.0.len() && words.iter().zip(start.0).all(|(word, wanted)| word == wanted)
    };
    let (start, reason) = REFUSED.iter().find(starts)?;
    Some(reason.detail(&start.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        statements(text)
            .unwrap()
            .into_iter()
            .map(|statement| statement.text)
            .collect()
    }

    #[test]
    fn semicolons_end_statements_only_where_they_stand_alone() {
        for (text, expected) in [
            ("", vec![]),
            (" -- nothing; here\n/* nor; /* here; */ */;;", vec![]),
            ("SELECT 1; SELECT 2", vec!["SELECT 1", "SELECT 2"]),
            (
                "SELECT 'a;''b', \"c;d\", E'\\';' ;SELECT 2;",
                vec!["SELECT 'a;''b', \"c;d\", E'\\';'", "SELECT 2"],
            ),
            (
                "DO $x$ BEGIN; $$;$$; END $x$; SELECT $1",
                vec!["DO $x$ BEGIN; $$;$$; END $x$", "SELECT $1"],
            ),
            (
                "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT 3",
                vec!["CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)", "SELECT 3"],
            ),
            (
                "create or replace function f() returns int begin atomic select case when true then 1 end; select 2; end; \
                 SELECT 3",
                vec![
                    "create or replace function f() returns int begin atomic select case when true then 1 end; select 2; end",
                    "SELECT 3",
                ],
            ),
            ("\u{feff}SELECT 'ä;ö'; SELECT ä", vec!["SELECT 'ä;ö'", "SELECT ä"]),
            (
                "SAVEPOINT a; ROLLBACK TO SAVEPOINT a; COPY t TO '/tmp/x'",
                vec!["SAVEPOINT a", "ROLLBACK TO SAVEPOINT a", "COPY t TO '/tmp/x'"],
            ),
        ] {
            assert_eq!(texts(text), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_run_in_the_transaction_of_a_seed_is_found_with_its_place() {
        for (text, at, expected) in [
            (
                "SELECT 1;\n  begin; SELECT 2",
                "begin; SELECT 2",
                "so BEGIN cannot be in it",
            ),
            ("SELECT 1; COMMIT;\n", "COMMIT;", "so COMMIT cannot be in it"),
            ("rollback", "rollback", "so ROLLBACK cannot be in it"),
            ("CREATE DATABASE x", "CREATE DATABASE x", "Declare the database"),
            (
                "/* x */ create unique /* y */ index concurrently i\n ON t (a)",
                "create unique /* y */ index concurrently i",
                "Leave CONCURRENTLY out",
            ),
            ("VACUUM t;", "VACUUM t;", "Run it by hand"),
            (
                "COPY t (a, b) FROM stdin;\n1\t2\n\\.\n",
                "COPY t (a, b) FROM stdin;",
                "as INSERT",
            ),
            ("SELECT 1;\n\\connect x\n", "\\connect x", "commands of psql"),
            (
                "RESET SESSION AUTHORIZATION",
                "RESET SESSION AUTHORIZATION",
                "runs as the owner",
            ),
            ("SELECT 'a\nb", "'a", "has no end"),
            ("/* a", "/* a", "has no end"),
            ("SELECT $x$ a $y$", "$x$ a $y$", "has no end"),
        ] {
            let problem = statements(text).unwrap_err();
            assert_eq!(&text[problem.range.clone()], at, "{text}");
            assert!(problem.detail.contains(expected), "{text}: {}", problem.detail);
        }
    }

    #[test]
    fn a_place_is_told_by_its_line() {
        let text = "SELECT 1;\nSELECT 'ä';\n\nSELECT 3;";
        assert_eq!(line(text, 0), (1, "SELECT 1;"));
        assert_eq!(line(text, 10), (2, "SELECT 'ä';"));
        assert_eq!(line(text, text.len()), (4, "SELECT 3;"));
    }
}
