//! The tail of a killed primary, and its way back.

use simdb_planner::plan::Server;
use simdb_state::gtid::GtidPosition;
use tokio::task::spawn_blocking;

use super::Driver;
use crate::effects::StepError;
use crate::engine::mariadb::stream::{self, Received};
use crate::engine::mariadb::{MariadbError, acknowledgement, salvage};

impl Driver<'_> {
    /// Carries what only the data of a killed primary has into the server that takes over, before that is opened. Returns the last transactions
    /// that it has then, which are those of the data or come after them.
    pub(super) async fn carry(
        &self,
        from: &Server,
        (version, data): (u16, &str),
        into: &Server,
    ) -> Result<GtidPosition, StepError> {
        let limit = self.effects.limits.shutdown;
        let mut connection = self.session(into).await?;
        // What it has received comes before the tail.
        if let Received::UpTo(received) = stream::freeze(&mut connection).await? {
            stream::drain(&mut connection, &received, limit).await?;
        }
        let written = acknowledgement::written(&mut connection).await?;
        let facts = self.look(&from.node, data).await?;
        let path = self.effects.platform.files(&(&from.node).into(), data).await?;
        let position = written.clone();
        let tail = spawn_blocking(move || salvage::tail(&path, &facts, &position)).await;
        let tail = tail.expect("reading files does not panic");
        let tail = tail.map_err(|source| MariadbError::Offline {
            node: from.node.clone(),
            source,
        })?;
        let Some(tail) = tail else { return Ok(written) };
        let task = salvage::task(version, data, &tail, into);
        self.effects
            .platform
            .run_task(&(&from.node).into(), &task, self.secrets)
            .await?;
        let carried = acknowledgement::written(&mut connection).await?;
        if stream::reaches(&carried, &tail.to) {
            return Ok(carried);
        }
        Err(MariadbError::NotCarried {
            node: into.node.clone(),
            from: from.node.clone(),
            has: carried,
            last: tail.to,
        }
        .into())
    }
}
