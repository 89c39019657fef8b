//! Serves notes: `DATABASE_URL` and `DATABASE_REPLICA_URL` name the databases, `LISTEN` the address (127.0.0.1:3000).

use std::process::ExitCode;

use simdb_pool_manager::{prepare, router};
use simdb_route::{Config, ConfigError, PoolManager};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

const LISTEN: &str = "127.0.0.1:3000";

/// Why the service does not run.
#[derive(Debug, Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("failed to listen on {address}: {error}")]
    Listen { address: String, error: std::io::Error },
    #[error("failed to serve: {0}")]
    Serve(#[from] std::io::Error),
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tracing::error!("{failure}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), Failure> {
    let pools = PoolManager::connect(Config::from_env()?).await;
    let address = std::env::var("LISTEN").unwrap_or_else(|_| LISTEN.to_owned());
    let listener = TcpListener::bind(&address).await;
    let listener = listener.map_err(|error| Failure::Listen {
        address: address.clone(),
        error,
    })?;
    let mut terminate = signal(SignalKind::terminate())?;
    tracing::info!(address = %listener.local_addr()?, "Listening");
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    // Health is told from the first moment on, whatever the databases are.
    let preparation = tokio::spawn({
        let pools = pools.clone();
        async move { prepare(&pools).await }
    });
    let served = axum::serve(listener, router(pools)).with_graceful_shutdown(stop).await;
    preparation.abort();
    Ok(served?)
}
