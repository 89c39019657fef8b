//! The console at a terminal: what is typed is edited, goes on over several lines, and is called back.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use simdb_tests::TestEnvironment;

/// Calls back what was typed before.
const UP: &str = "\u{1b}[A";

/// A console behind a terminal of its own.
struct Typed {
    child: Child,
    keys: ChildStdin,
    screen: ChildStdout,
    /// What was shown and not yet waited for.
    shown: String,
}

impl Typed {
    fn open(environment: &TestEnvironment) -> Self {
        let simdb = environment.command(&[]).get_program().to_str().unwrap().to_owned();
        let arguments = ["-qec", &format!("{simdb} console"), "/dev/null"];
        let mut command = environment.command_of(Path::new("script"), &arguments);
        command
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("every Debian has script");
        Self {
            keys: child.stdin.take().unwrap(),
            screen: child.stdout.take().unwrap(),
            child,
            shown: String::new(),
        }
    }

    /// Waits until a text is shown.
    fn wait_for(&mut self, text: &str) {
        loop {
            if let Some(at) = self.shown.find(text) {
                self.shown.drain(..at + text.len());
                return;
            }
            let mut bytes = [0; 4096];
            let read = self.screen.read(&mut bytes).unwrap();
            assert!(read > 0, "{text:?} is never shown, but {:?}", self.shown);
            self.shown.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }
}

#[test]
fn what_is_typed_is_edited_and_called_back() {
    let environment = TestEnvironment::new();
    let mut typed = Typed::open(&environment);
    typed.wait_for("> ");
    typed.press("40 + 3\u{8}2\r");
    typed.wait_for("42\r\n");
    typed.wait_for("> ");
    typed.press(UP);
    typed.wait_for("40 + 2");
    typed.press(" + 100\r");
    typed.wait_for("142\r\n");
    typed.wait_for("> ");
    typed.press("[for n in [1, 2] :\r");
    typed.press("n * 1111]\r");
    typed.wait_for("1111,\r\n  2222,");
    typed.wait_for("> ");
    // Given up, and nothing comes of it.
    typed.press("{ a = \u{3}");
    typed.wait_for("> ");
    typed.press("upper(\"x\")\r");
    typed.wait_for("\"X\"");
    typed.wait_for("> ");
    typed.press("\u{4}");
    assert!(typed.child.wait().unwrap().success());
}
