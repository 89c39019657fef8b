//! The runs that the journal keeps, and what one of them did.

use anstyle::Style;
use jiff::Timestamp;
use simdb_state::journal::{RunStatus, RunSummary};

use super::style::{BAD, BOLD, CHANGED, DIM, GOOD, paint};
use super::table::{Cell, Table};
use crate::views::doc::{RunDoc, RunsDoc, StepRunDoc};

/// Renders the runs, a line each.
pub fn list(runs: &RunsDoc, width: usize) -> String {
    if runs.runs.is_empty() {
        return "No run is kept.\n".to_owned();
    }
    let row = |run: &RunSummary| {
        [
            Cell::styled(&run.id.0, BOLD),
            Cell::plain(&run.operation),
            Cell::styled(status(run.status), of_run(run.status)),
            Cell::styled(&run.began, DIM),
            Cell::optional(lasted(run)),
            Cell::plain(run.steps.to_string()),
            Cell::optional(run.who.clone()),
        ]
    };
    let header = ["Run", "What", "Status", "Began", "Took", "Steps", "By"];
    Table::new(header, runs.runs.iter().map(row).collect()).render("", width)
}

/// Renders one run: its line, its steps, and why some of them failed.
pub fn show(run: &RunDoc, width: usize) -> String {
    let alone = RunsDoc::new(vec![run.run.clone()]);
    let row = |step: &StepRunDoc| {
        [
            Cell::plain(step.number.to_string()),
            Cell::optional(step.kind.clone()),
            Cell::optional(step.address.as_ref().map(ToString::to_string)),
            Cell::styled(step.status, of_step(step.status)),
            Cell::optional(step.milliseconds.map(duration)),
        ]
    };
    let header = ["#", "Step", "Address", "Status", "Took"];
    let steps = Table::new(header, run.steps.iter().map(row).collect()).render("", width);
    let mut text = format!("{}\n{steps}", list(&alone, width));
    for step in &run.steps {
        if let Some(cause) = &step.cause {
            let of = match (&step.kind, &step.address) {
                (Some(kind), Some(address)) => format!(" {kind} of {address}"),
                _ => String::new(),
            };
            let head = format!("{}{of} failed: ", step.number);
            text += &format!("\n{}{cause}\n", paint(BAD, &head));
        }
    }
    text
}

fn status(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Running => "running",
        RunStatus::Done => "done",
        RunStatus::Failed => "failed",
        RunStatus::Cancelled => "cancelled",
        RunStatus::Abandoned => "abandoned",
    }
}

fn of_run(status: RunStatus) -> Style {
    match status {
        RunStatus::Done => GOOD,
        RunStatus::Running | RunStatus::Cancelled => CHANGED,
        RunStatus::Failed | RunStatus::Abandoned => BAD,
    }
}

fn of_step(status: &str) -> Style {
    match status {
        "done" => GOOD,
        "failed" => BAD,
        _ => CHANGED,
    }
}

/// Says how long a run took, where both ends are known.
fn lasted(run: &RunSummary) -> Option<String> {
    let (began, ended) = (
        run.began.parse::<Timestamp>().ok()?,
        run.ended.as_ref()?.parse::<Timestamp>().ok()?,
    );
    let milliseconds = ended.duration_since(began).as_millis();
    Some(duration(u64::try_from(milliseconds).ok()?))
}

fn duration(milliseconds: u64) -> String {
    match milliseconds {
        0..1_000 => format!("{milliseconds} ms"),
        1_000..60_000 => format!("{}.{} s", milliseconds / 1_000, milliseconds % 1_000 / 100),
        _ => format!("{} min {} s", milliseconds / 60_000, milliseconds % 60_000 / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use expect_test::expect;
    use simdb_state::store::RunId;

    use super::*;

    fn run() -> RunSummary {
        RunSummary {
            id: RunId("00000007".to_owned()),
            operation: "apply".to_owned(),
            status: RunStatus::Failed,
            steps: 2,
            began: "2026-05-01T10:00:00Z".to_owned(),
            ended: Some("2026-05-01T10:01:02.5Z".to_owned()),
            who: Some("ann@host".to_owned()),
        }
    }

    fn step(number: usize, kind: &str, status: &'static str, milliseconds: Option<u64>) -> StepRunDoc {
        StepRunDoc {
            number,
            kind: Some(kind.to_owned()),
            address: Some("cluster.orders.node.a".parse().unwrap()),
            status,
            milliseconds,
            cause: (status == "failed").then(|| "no space is left".to_owned()),
        }
    }

    #[test]
    fn runs_are_listed_with_who_when_and_how_long() {
        let runs = RunsDoc::new(vec![run()]);
        expect![[r#"
            Run       What   Status  Began                 Took       Steps  By
            00000007  apply  failed  2026-05-01T10:00:00Z  1 min 2 s  2      ann@host
        "#]]
        .assert_eq(&strip_str(&list(&runs, 100)).to_string());
        assert_eq!(list(&RunsDoc::new(Vec::new()), 80), "No run is kept.\n");
    }

    #[test]
    fn a_run_is_shown_with_its_steps_and_why_one_failed() {
        let shown = RunDoc {
            format_version: "1",
            run: run(),
            steps: vec![
                step(1, "primary", "done", Some(1_240)),
                step(2, "configure", "failed", None),
            ],
        };
        expect![[r#"
            Run       What   Status  Began                 Took       Steps  By
            00000007  apply  failed  2026-05-01T10:00:00Z  1 min 2 s  2      ann@host

            #  Step       Address                Status  Took
            1  primary    cluster.orders.node.a  done    1.2 s
            2  configure  cluster.orders.node.a  failed  -

            2 configure of cluster.orders.node.a failed: no space is left
        "#]]
        .assert_eq(&strip_str(&show(&shown, 100)).to_string());
    }
}
