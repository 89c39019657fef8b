//! Policies on plans: a command that reads the plan's document and says whether it may run.
//!
//! The document is what `simdb show -json` writes, so that any tool that judges Terraform's plans judges these:
//! `-policy-command "conftest test -p policies -"`.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::error::CliError;
use crate::ui::Ui;
use crate::views::doc::PlanDoc;
use crate::views::json::document;

/// What heads a refusal.
const REFUSED: &str = "Plan refused by policy";

/// Lets a command judge a plan. What it says of one that may run is passed on; what it says otherwise is the refusal.
pub(crate) async fn judge(command: &str, plan: &PlanDoc, ui: &Ui) -> Result<(), CliError> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| CliError::Program {
            program: "sh".into(),
            source,
        })?;
    let mut input = child.stdin.take().expect("standard input is a pipe");
    let text = document(plan);
    let feed = async move {
        // A command that has seen enough closes its input; that is its right.
        let _ = input.write_all(text.as_bytes()).await;
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    let output = output.map_err(|source| CliError::Program {
        program: command.into(),
        source,
    })?;
    let words = [&output.stdout, &output.stderr].map(|stream| String::from_utf8_lossy(stream).trim().to_owned());
    let words = words
        .into_iter()
        .filter(|words| !words.is_empty())
        .collect::<Vec<_>>()
        .join("\n");
    if output.status.success() {
        if !words.is_empty() {
            ui.tell(&format!("{words}\n"));
        }
        return Ok(());
    }
    let words = if words.is_empty() {
        "It gave no reason.".to_owned()
    } else {
        words
    };
    Err(CliError::refused(
        REFUSED,
        format!("{words}\n\nThe policy command ended with {}: {command}", output.status),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::testing::terminal;
    use crate::views::sample::destruction;

    async fn judged(command: &str) -> (Result<(), String>, String) {
        let (ui, _, error) = terminal("", false);
        let result = judge(command, &destruction(), &ui).await;
        let result = result.map_err(|error| error.into_documents().remove(0).detail);
        (result, error.text())
    }

    #[tokio::test]
    async fn a_policy_reads_the_document_and_its_words_are_the_refusal() {
        let script = "grep -q '\"impact\": \"data-loss\"' && { echo 'no data is lost here'; exit 1; }";
        let (result, _) = judged(script).await;
        let refusal = result.unwrap_err();
        assert!(refusal.starts_with("no data is lost here\n"), "{refusal}");
        assert!(refusal.contains("exit status: 1"), "{refusal}");
    }

    #[tokio::test]
    async fn what_a_policy_allows_runs_and_its_warnings_are_passed_on() {
        assert_eq!(judged("exit 0").await, (Ok(()), String::new()));
        let (result, told) = judged("cat >/dev/null; echo 'mind the gap' >&2").await;
        assert_eq!((result, told.as_str()), (Ok(()), "mind the gap\n"));
    }

    #[tokio::test]
    async fn a_policy_that_cannot_be_run_is_a_refusal() {
        let (result, _) = judged("/no/such/policy").await;
        assert!(result.unwrap_err().contains("exit status: 127"));
    }
}
