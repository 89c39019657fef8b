//! Where a run begins and ends: it is noted in the head, and those that ended without a word are closed.

use serde::Serialize;

use super::{Commit, Writer, event};
use crate::backend::Write;
use crate::error::StoreError;
use crate::format::{Head, encode, now, run_id};
use crate::journal::{EventKind, JournalError, KEPT_RUNS, Run, RunRow, RunStatus, plan_key, run_key};
use crate::run::{RunEnd, RunId};

impl Writer {
    /// Begins a run: from here on its steps are journalled.
    pub async fn begin(
        &mut self,
        operation: &str,
        plan: &(impl Serialize + Sync),
        steps: u32,
    ) -> Result<RunId, StoreError> {
        if let Some(run) = &self.run {
            return Err(JournalError::Running(run.id.clone()).into());
        }
        loop {
            let (mut head, mut commit) = (self.head.clone(), Commit::default());
            head.runs += 1;
            let id = run_id(head.runs);
            let row = RunRow {
                operation: operation.to_owned(),
                status: RunStatus::Running,
                steps,
                token: self.token,
                began: now(),
                ended: None,
                who: Some(self.owner.who.clone()),
            };
            commit.writes.extend(self.close_older_runs(&mut head).await?);
            head.open.insert(head.runs);
            commit.writes.push(Write::put(run_key(&id), encode(&row)));
            commit.writes.push(Write::put(plan_key(&id), encode(plan)));
            commit.events.push(event(Some(&id), EventKind::RunBegan, None));
            if self.attempt(&commit, head).await? {
                self.run = Some(Run::new(id.clone(), row));
                self.has_run = true;
                self.snapshot.unfinished = None;
                return Ok(id);
            }
        }
    }

    /// Marks runs before as abandoned that never ended and do not go on, and deletes the one that is not kept any longer.
    async fn close_older_runs(&self, head: &mut Head) -> Result<Vec<Write>, StoreError> {
        let mut writes = Vec::new();
        let leases = self.record.holders().await?;
        for id in self.head.late_runs() {
            if let Some(mut row) = self.record.run_row(&id).await?
                && row.status == RunStatus::Running
                && (row.token == self.token || !row.goes_on(&leases))
            {
                row.status = RunStatus::Abandoned;
                head.open.retain(|number| run_id(*number) != id);
                writes.push(Write::put(run_key(&id), encode(&row)));
            }
        }
        if let Some(oldest) = head
            .runs
            .checked_sub(KEPT_RUNS)
            .filter(|oldest| !head.open.contains(oldest))
        {
            writes.extend(self.forget_run(oldest).await?);
        }
        Ok(writes)
    }

    async fn forget_run(&self, number: u64) -> Result<Vec<Write>, StoreError> {
        let rows = self.record.list(&[run_key(&run_id(number)).as_str()]).await?;
        Ok(rows.into_iter().map(|row| Write::delete(row.key)).collect())
    }

    /// Ends the run.
    pub async fn finish(&mut self, end: RunEnd) -> Result<(), StoreError> {
        let run = self.run.clone().ok_or(JournalError::NoRun)?;
        run.check_end(end)?;
        let mut row = run.row.clone();
        row.status = end.into();
        row.ended = Some(now());
        loop {
            let mut head = self.head.clone();
            head.open.retain(|number| run_id(*number) != run.id);
            let mut writes = vec![Write::put(run_key(&run.id), encode(&row))];
            // It went on for so long that others of other clusters were begun and ended.
            let number = self.head.open.iter().copied().find(|number| run_id(*number) == run.id);
            if let Some(number) = number.filter(|number| number + KEPT_RUNS <= head.runs) {
                writes.extend(self.forget_run(number).await?);
            }
            let commit = Commit {
                writes,
                events: vec![event(Some(&run.id), end.into(), None)],
                moves: Vec::new(),
            };
            if self.attempt(&commit, head).await? {
                self.run = None;
                return Ok(());
            }
        }
    }

    /// Returns whether a run was begun.
    pub fn has_run(&self) -> bool {
        self.has_run
    }
}
