//! Runs scripts in the container of a pod.
//!
//! What a command is called with is in the address of the request, and so in the log of audits: it is the same every time. The script
//! comes through the standard input, which is in no log: its length, and then as many bytes, since not every API server can tell
//! that the input ended.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{AttachParams, AttachedProcess};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::client::{Server, Trouble};
use super::names::CONTAINER;

/// Reads a script of a given length, and runs it.
const RUN: [&str; 3] = ["sh", "-c", "read -r n && eval \"$(head -c \"$n\")\""];

/// How long it may take to begin. Where the machine of a pod cannot be reached the API server does not say so.
const BEGIN_LIMIT: Duration = Duration::from_secs(5);

/// How much of what is written waits to be read.
const BUFFER: usize = 64 << 10;

/// What a script wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) output: String,
    pub(super) errors: String,
}

impl Server {
    /// Runs a script to its end, which says by itself how it ended. One that takes longer than the limit may go on.
    pub(super) async fn run(&self, pod: &str, script: &str, limit: Option<Duration>) -> Result<Written, Trouble> {
        let options = AttachParams {
            container: Some(CONTAINER.to_owned()),
            stdin: true,
            stdout: true,
            stderr: true,
            tty: false,
            max_stdin_buf_size: Some(BUFFER),
            max_stdout_buf_size: Some(BUFFER),
            max_stderr_buf_size: Some(BUFFER),
        };
        let api = self.api::<Pod>();
        let begun = timeout(BEGIN_LIMIT, api.exec(pod, RUN, &options)).await;
        let silent = |limit: Duration| {
            Trouble::Unreached(format!(
                "pod {pod} gave no answer within {} s: its machine may be out of reach, and its server may run all the same",
                limit.as_secs()
            ))
        };
        let process = match begun {
            Ok(begun) => begun.map_err(|error| self.trouble(error))?,
            Err(_) => return Err(silent(BEGIN_LIMIT)),
        };
        let talk = talk(process, script);
        let (written, status) = match limit {
            Some(limit) => timeout(limit, talk).await.map_err(|_| silent(limit))?,
            None => talk.await,
        };
        judge(pod, written, status)
    }
}

/// Hands a script over, and reads what it writes, both at once: neither waits for the other one.
async fn talk(mut process: AttachedProcess, script: &str) -> (Written, Option<Status>) {
    let (input, output, errors) = (process.stdin(), process.stdout(), process.stderr());
    let status = process.take_status();
    let framed = format!("{}\n{script}", script.len());
    let write = async move {
        let mut input = input?;
        // Who does not listen any more says so by how it ended.
        let _ = input.write_all(framed.as_bytes()).await;
        let _ = input.flush().await;
        Some(input)
    };
    let status = async move {
        match status {
            Some(status) => status.await,
            None => None,
        }
    };
    // The input stays open until all is read: closing it ends the whole connection with older API servers.
    let (input, output, errors, status) = tokio::join!(write, read(output), read(errors), status);
    drop(input);
    (Written { output, errors }, status)
}

async fn read(stream: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        // What was read before the connection broke shows that the end is missing.
        let _ = stream.read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Scripts end well, whatever they say: what does not was not run.
fn judge(pod: &str, written: Written, status: Option<Status>) -> Result<Written, Trouble> {
    let Some(status) = status else {
        return Err(Trouble::Unreached(format!(
            "The connection with pod {pod} broke before its command ended, which may go on."
        )));
    };
    if status.status.as_deref() == Some("Success") {
        return Ok(written);
    }
    let said = status.message.unwrap_or_default();
    let errors = written.errors.trim();
    Err(Trouble::Refused {
        status: 500,
        reason: status.reason.unwrap_or_default(),
        message: if errors.is_empty() {
            said
        } else {
            format!("{said}: {errors}")
        },
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_script_of_a_given_length_is_run_while_the_input_stays_open() {
        let script = "printf '%s' 'it'\\''s'\nread -r more\n[ \"$more\" = rest ] && printf ' done' >&2";
        let mut child = Command::new(RUN[0])
            .args(&RUN[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        write!(input, "{}\n{script}rest\n", script.len()).unwrap();
        let output = child.wait_with_output().unwrap();
        drop(input);
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "it's");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), " done");
    }

    #[test]
    fn what_did_not_end_well_was_not_run() {
        let written = Written {
            output: String::new(),
            errors: "sh: not found\n".to_owned(),
        };
        let lost = judge("a", written.clone(), None).unwrap_err();
        assert!(matches!(lost, Trouble::Unreached(_)), "{lost:?}");
        let status = |word: &str| {
            Some(Status {
                status: Some(word.to_owned()),
                message: Some("exit code 127".to_owned()),
                ..Status::default()
            })
        };
        assert_eq!(judge("a", written.clone(), status("Success")).unwrap(), written);
        let refused = judge("a", written, status("Failure")).unwrap_err();
        assert_eq!(refused.message(), "exit code 127: sh: not found");
    }
}
