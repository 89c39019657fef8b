//! The terminal: the only file that writes to it, and that knows whether it is one.
//!
//! Callers hand over text with colours; they are taken out here where nobody can see them (`NO_COLOR`, `TERM=dumb`,
//! `-no-color`, a pipe), unless `CLICOLOR_FORCE` asks for them.

mod lines;

use std::io::{self, BufRead, BufReader, ErrorKind, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anstream::adapter::strip_str;
use anstream::{AutoStream, ColorChoice};
use indicatif::{MultiProgress, ProgressDrawTarget};
use terminal_size::{Width, terminal_size_of};

use crate::exit::Exit;

pub(crate) use lines::Lines;

/// The width of lines where there is no terminal to ask.
const DEFAULT_WIDTH: usize = 80;
/// Below this nothing can be laid out; lines wrap by themselves then.
const MINIMAL_WIDTH: usize = 40;

/// Clears the terminal and puts the cursor into its corner.
const HOME: &str = "\u{1b}[2J\u{1b}[H";

/// Whether the streams are terminals somebody looks at and types into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terminal {
    /// Somebody can be asked.
    pub(crate) interactive: bool,
    /// Lines of standard error can be drawn over.
    pub(crate) animated: bool,
    /// Standard output is a terminal that can be drawn over.
    pub(crate) redrawn: bool,
    /// How many columns there are.
    pub(crate) width: usize,
}

/// The streams of the program.
pub(crate) struct Ui {
    input: Mutex<Box<dyn BufRead + Send>>,
    output: Mutex<Stream>,
    error: Mutex<Stream>,
    /// What is known of the terminal.
    pub(crate) terminal: Terminal,
}

struct Stream {
    to: Box<dyn Write + Send>,
    colored: bool,
    failure: Option<io::Error>,
}

impl Stream {
    fn write(&mut self, text: &str) {
        if self.colored {
            self.write_as_is(text);
        } else {
            self.write_as_is(&strip_str(text).to_string());
        }
    }

    fn write_as_is(&mut self, text: &str) {
        if self.failure.is_none() {
            let written = self.to.write_all(text.as_bytes());
            self.failure = written.and_then(|()| self.to.flush()).err();
        }
    }
}

impl Ui {
    /// Takes the streams of this process.
    pub(crate) fn of_process(no_color: bool) -> Arc<Ui> {
        let colored = |choice: ColorChoice| !no_color && choice != ColorChoice::Never;
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let terminal = Terminal {
            interactive: io::stdin().is_terminal(),
            animated: io::stderr().is_terminal() && !dumb,
            redrawn: io::stdout().is_terminal() && !dumb,
            width: width(),
        };
        Arc::new(Ui {
            input: Mutex::new(Box::new(BufReader::new(io::stdin()))),
            output: Mutex::new(Stream {
                colored: colored(AutoStream::choice(&io::stdout())),
                to: Box::new(io::stdout()),
                failure: None,
            }),
            error: Mutex::new(Stream {
                colored: colored(AutoStream::choice(&io::stderr())),
                to: Box::new(io::stderr()),
                failure: None,
            }),
            terminal,
        })
    }

    /// Writes (part of) the answer to what was asked to standard output.
    pub(crate) fn answer(&self, text: &str) {
        lock(&self.output).write(text);
    }

    /// Writes the answer in place of the one before, on a terminal that can be drawn over.
    pub(crate) fn redraw(&self, text: &str) {
        let mut output = lock(&self.output);
        let text = if output.colored {
            text.to_owned()
        } else {
            strip_str(text).to_string()
        };
        // What moves the cursor is no colour, and must not be taken out as one.
        output.write_as_is(&format!("{HOME}{text}"));
    }

    /// Writes anything else to standard error.
    pub(crate) fn tell(&self, text: &str) {
        lock(&self.error).write(text);
    }

    /// Shows a question and reads one line; nothing where the input is at its end.
    pub(crate) fn ask(&self, question: &str) -> io::Result<Option<String>> {
        self.tell(question);
        let mut line = String::new();
        let read = lock(&self.input).read_line(&mut line)?;
        Ok((read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// Returns what reads texts that are typed, where both they and the answers are seen at a terminal. The function says whether
    /// a text goes on in the next line.
    pub(crate) fn lines(&self, is_unfinished: fn(&str) -> bool) -> io::Result<Option<Lines>> {
        let is_seen = self.terminal.interactive && self.terminal.redrawn;
        is_seen.then(|| Lines::new(is_unfinished)).transpose()
    }

    /// Reads standard input to its end.
    pub(crate) fn read_input(&self) -> io::Result<String> {
        let mut text = String::new();
        lock(&self.input).read_to_string(&mut text)?;
        Ok(text)
    }

    /// Returns where progress bars are drawn.
    pub(crate) fn bars(&self) -> MultiProgress {
        MultiProgress::with_draw_target(if self.terminal.animated {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        })
    }

    /// Returns whether nobody can read the answer any more.
    pub(crate) fn is_gone(&self) -> bool {
        lock(&self.output).failure.is_some()
    }

    /// Ends the output. An answer that could not be written is a failure, unless its reader went away (`| head`).
    pub(crate) fn close(&self, exit: Exit) -> Exit {
        let failure = lock(&self.output).failure.take();
        match failure {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => {
                self.tell(&format!("Error: failed to write to standard output: {error}\n"));
                Exit::Failed
            }
            _ => exit,
        }
    }
}

/// A panic elsewhere leaves whole lines behind, so a poisoned stream can still be written to.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn width() -> usize {
    let of_terminal = terminal_size_of(io::stderr()).or_else(|| terminal_size_of(io::stdout()));
    of_terminal.map_or(DEFAULT_WIDTH, |(Width(columns), _)| {
        usize::from(columns).max(MINIMAL_WIDTH)
    })
}

#[cfg(test)]
pub(crate) mod testing {
    //! A terminal in memory.

    use super::*;

    /// What was written to one stream.
    #[derive(Clone, Default)]
    pub(crate) struct Written(Arc<Mutex<Vec<u8>>>);

    impl Written {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(lock(&self.0).clone()).unwrap()
        }
    }

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            lock(&self.0).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Makes a terminal at which somebody typed `typed`; returns what is written to its two streams, too.
    pub(crate) fn terminal(typed: &str, interactive: bool) -> (Arc<Ui>, Written, Written) {
        let (output, error) = (Written::default(), Written::default());
        let stream = |written: &Written| {
            Mutex::new(Stream {
                to: Box::new(written.clone()),
                colored: false,
                failure: None,
            })
        };
        let ui = Ui {
            input: Mutex::new(Box::new(io::Cursor::new(typed.to_owned()))),
            output: stream(&output),
            error: stream(&error),
            terminal: Terminal {
                interactive,
                animated: false,
                redrawn: false,
                width: DEFAULT_WIDTH,
            },
        };
        (Arc::new(ui), output, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let (ui, _, _) = testing::terminal("", false);
        lock(&ui.output).to = Box::new(Closed);
        ui.answer("one\n");
        ui.answer("two\n");
        assert_eq!(ui.close(Exit::Difference), Exit::Difference);
    }

    #[test]
    fn an_answer_that_cannot_be_written_is_a_failure() {
        let (ui, _, error) = testing::terminal("", false);
        lock(&ui.output).failure = Some(io::Error::other("no space left on device"));
        assert_eq!(ui.close(Exit::Done), Exit::Failed);
        assert_eq!(
            error.text(),
            "Error: failed to write to standard output: no space left on device\n"
        );
    }

    #[test]
    fn colours_are_taken_out_where_nobody_can_see_them() {
        let (ui, output, error) = testing::terminal("", false);
        ui.answer("\u{1b}[1mbold\u{1b}[0m\n");
        lock(&ui.error).colored = true;
        ui.tell("\u{1b}[1mbold\u{1b}[0m\n");
        assert_eq!(
            (output.text().as_str(), error.text().as_str()),
            ("bold\n", "\u{1b}[1mbold\u{1b}[0m\n")
        );
    }
}
