//! What can go wrong with a step.

use std::time::Duration;

use simdb_state::address::NodeAddress;
use simdb_state::delta::Edit;
use simdb_state::object::{Damage, EngineKind};
use simdb_state::sensitive::SecretName;
use simdb_state::store::StoreError;
use thiserror::Error;

use crate::engine::mariadb::MariadbError;
use crate::engine::pgbouncer::PgbouncerError;
use crate::engine::postgresql::PostgresqlError;
use crate::engine::postgresql::control::ControlError;
use crate::engine::postgresql::seed::SeedError;
use crate::platform::PlatformError;

/// Why a step failed.
#[derive(Debug, Error)]
pub enum StepError {
    /// A secret that the step needs is not there.
    #[error("find the password of {0}: the state does not hold it")]
    MissingSecret(SecretName),
    /// The step says too little to be done.
    #[error("copy data to {0}: the task runs no command, so its engine's version is not known")]
    EmptyTask(NodeAddress),
    /// A server did not shut down; it was killed, and nothing was promoted.
    #[error("shut down {node}: it was not down after {limit:?} and was killed; no other node was promoted")]
    Hung {
        /// The node.
        node: NodeAddress,
        /// How long it was waited for.
        limit: Duration,
    },
    /// A server ended without having written and sent everything.
    #[error(
        "shut down {node}: its data says {state:?}, so it may not have sent all it wrote; no other node was promoted"
    )]
    NotShutDown {
        /// The node.
        node: NodeAddress,
        /// `pg_controldata`'s word for its state.
        state: String,
    },
    /// Nothing was taken back, so that nothing shows whose log the data holds.
    #[error(
        "rewind {0}: pg_rewind found nothing to take back, and positions alone do not show whose log its data holds; the next \
         plan clones it"
    )]
    NotRewound(NodeAddress),
    /// The lock of the record was lost: somebody else may be at work.
    #[error(transparent)]
    Lock(Box<StoreError>),
    /// The platform could not do its part.
    #[error(transparent)]
    Platform(#[from] PlatformError),
    /// A server did not do its part.
    #[error(transparent)]
    Postgresql(Box<PostgresqlError>),
    /// A server did not do its part.
    #[error(transparent)]
    Mariadb(Box<MariadbError>),
    /// What a step asks for is none of what its engine does.
    #[error("{doing}: {engine} does not do that with this version of simdb")]
    Unsupported {
        /// What was asked, as a fragment.
        doing: &'static str,
        /// The engine.
        engine: EngineKind,
    },
    /// A seed did not run.
    #[error(transparent)]
    Seed(#[from] SeedError),
    /// A pooler did not do its part.
    #[error(transparent)]
    Pgbouncer(#[from] PgbouncerError),
    /// A copy's control data makes no sense.
    #[error("look at the data copied to {node}")]
    Control {
        /// The node.
        node: NodeAddress,
        /// What is wrong with it.
        #[source]
        source: ControlError,
    },
}

impl StepError {
    /// Returns whether the same may go well a little later: the server was short of something, two transactions were in each
    /// other's way, or a connection broke.
    pub fn is_transient(&self) -> bool {
        match self {
            StepError::Postgresql(error) => error.is_transient(),
            StepError::Mariadb(error) => error.is_transient(),
            StepError::Seed(SeedError::Server(error)) => error.is_transient(),
            StepError::Seed(SeedError::Statement { cause, .. })
            | StepError::Pgbouncer(PgbouncerError::Connect { cause, .. } | PgbouncerError::Command { cause, .. }) => {
                cause.is_transient()
            }
            _ => false,
        }
    }

    /// Returns what the step found out about a node whose data no server can go on with.
    pub fn found(&self) -> Option<Edit> {
        let StepError::Postgresql(error) = self else {
            return None;
        };
        let (node, reason) = error.unrecoverable()?;
        Some(Edit::Damage(
            node.clone(),
            Some(Damage::Unrecoverable(reason.to_owned())),
        ))
    }
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        StepError::Lock(Box::new(error))
    }
}

impl From<MariadbError> for StepError {
    fn from(error: MariadbError) -> Self {
        StepError::Mariadb(Box::new(error))
    }
}

impl From<PostgresqlError> for StepError {
    fn from(error: PostgresqlError) -> Self {
        StepError::Postgresql(Box::new(error))
    }
}
