//! A program that is run for each event, which stands on its standard input.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::views::json::line;

/// Runs a program, and returns why it did not do its part. It is ended where nothing waits for it any more.
pub(super) async fn run(words: &[String], document: &Value) -> Result<(), String> {
    let (program, arguments) = words.split_first().expect("a command has a program");
    let cannot = |error: std::io::Error| format!("{program} cannot be run: {error}");
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(cannot)?;
    if let Some(mut input) = child.stdin.take() {
        // One that reads nothing may still do its part.
        let _ = input.write_all(line(document).as_bytes()).await;
    }
    let status = child.wait().await.map_err(cannot)?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{program} ended with {status}"))
}
