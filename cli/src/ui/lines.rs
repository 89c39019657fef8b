//! What is typed at a terminal: edited as it is typed, over several lines where it takes several, and called back with the arrow
//! keys for as long as the program runs.

use std::io;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Config, Editor, Helper};

/// Reads what is typed.
pub(crate) struct Lines {
    editor: Editor<Whole, MemHistory>,
}

/// Tells what is whole from what goes on in the next line.
struct Whole {
    is_unfinished: fn(&str) -> bool,
}

impl Lines {
    /// Takes the terminal; the function says whether a text goes on in the next line.
    pub(super) fn new(is_unfinished: fn(&str) -> bool) -> io::Result<Self> {
        let config = Config::builder().auto_add_history(true).build();
        let mut editor = Editor::with_history(config, MemHistory::new()).map_err(into_io)?;
        editor.set_helper(Some(Whole { is_unfinished }));
        Ok(Self { editor })
    }

    /// Shows a prompt and reads a text; nothing where there will be no more. One that was given up (Ctrl-C) is empty.
    pub(crate) fn read(&mut self, prompt: &str) -> io::Result<Option<String>> {
        match self.editor.readline(prompt) {
            Ok(text) => Ok(Some(text)),
            Err(ReadlineError::Interrupted) => Ok(Some(String::new())),
            Err(ReadlineError::Eof) => Ok(None),
            Err(error) => Err(into_io(error)),
        }
    }
}

fn into_io(error: ReadlineError) -> io::Error {
    match error {
        ReadlineError::Io(error) => error,
        ReadlineError::Errno(error) => error.into(),
        other => io::Error::other(other),
    }
}

impl Validator for Whole {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if (self.is_unfinished)(context.input()) {
            ValidationResult::Incomplete
        } else {
            ValidationResult::Valid(None)
        })
    }
}

impl Completer for Whole {
    type Candidate = String;
}

impl Hinter for Whole {
    type Hint = String;
}

impl Highlighter for Whole {}

impl Helper for Whole {}
