//! Arguments of `state`: what is recorded, carried elsewhere, forgotten and repaired.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use simdb_state::address::Address;

/// Commands of `state`.
#[derive(Debug, Subcommand)]
pub enum State {
    /// List what is recorded
    List(StateList),
    /// Write the state as a document, its secrets locked as they are
    Pull,
    /// Make the state what a document says that `state pull` wrote
    Push(StatePush),
    /// Show one recorded object
    Show(StateShow),
    /// Record an object, with all that belongs to it, at another address
    Mv(StateMv),
    /// Forget users, databases and seeds: they stay where they are, and simdb manages them no more
    Rm(StateRm),
    /// Remove what belongs to something that is not recorded
    Repair(StateRepair),
    /// Lock the secrets by another key
    ///
    /// It is a new key file, or the passphrase in `SIMDB_STATE_NEW_PASSPHRASE` where that is set. Passwords stay what they are.
    Rekey(StateRekey),
}

/// Arguments of `state list`.
#[derive(Debug, Args)]
pub struct StateList {
    /// Addresses, of which those below are listed, too; * stands for any text [default: all]
    pub addresses: Vec<String>,
    /// Write a JSON document.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `state push`.
#[derive(Debug, Args)]
pub struct StatePush {
    /// The document, or - for standard input
    pub file: PathBuf,
    /// Push also what is another state's, or older than the state here.
    #[arg(long)]
    pub force: bool,
    /// Say what would be recorded, and leave it at that.
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `state show`.
#[derive(Debug, Args)]
pub struct StateShow {
    /// Its address, such as cluster.orders.node.a
    pub address: Address,
    /// Write a JSON document.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `state rm`.
#[derive(Debug, Args)]
pub struct StateRm {
    /// Addresses, such as cluster.orders.user.app
    #[arg(required = true)]
    pub addresses: Vec<Address>,
    /// Say what would be forgotten, and leave it at that.
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `state mv`.
#[derive(Debug, Args)]
pub struct StateMv {
    /// Where it is, such as cluster.orders.node.r[0]
    pub from: Address,
    /// Where it is to be
    pub to: Address,
    /// Say what would move, and leave it at that.
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `state repair`.
#[derive(Debug, Args)]
pub struct StateRepair {
    /// Do not ask.
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `state rekey`.
#[derive(Debug, Args)]
pub struct StateRekey {
    /// Do not ask.
    #[arg(long)]
    pub force: bool,
}
