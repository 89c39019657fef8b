//! What the owner of a database may for as long as a seed runs.

use std::collections::BTreeSet;

use postgres_protocol::escape::escape_identifier;

use super::PostgresqlError;
use super::connection::{Connection, literal};

/// Lets a role set a parameter of its database that no server knows: only superusers may otherwise.
pub(super) async fn grant(
    keeper: &Connection,
    doing: &str,
    role: &str,
    parameter: &str,
) -> Result<(), PostgresqlError> {
    let sql = format!("GRANT SET ON PARAMETER {parameter} TO {}", escape_identifier(role));
    keeper.execute(doing, &sql).await
}

/// Takes from a role what [`grant`] gave it.
pub(super) async fn revoke(
    keeper: &Connection,
    doing: &str,
    role: &str,
    parameter: &str,
) -> Result<(), PostgresqlError> {
    let sql = format!("REVOKE SET ON PARAMETER {parameter} FROM {}", escape_identifier(role));
    keeper.execute(doing, &sql).await
}

/// Takes from a role what [`grant`] gave it for seeds whose run was cut off: it would keep the role from being dropped.
pub(super) async fn revoke_left(keeper: &Connection, doing: &str, role: &str) -> Result<(), PostgresqlError> {
    let left = format!(
        "SELECT DISTINCT parname FROM pg_parameter_acl, aclexplode(paracl) AS granted
         WHERE starts_with(parname, 'simdb.seed_') AND pg_get_userbyid(granted.grantee) = {}",
        literal(role)
    );
    let rows = keeper.rows(doing, &left).await?;
    let parameters: BTreeSet<String> = rows.into_iter().flatten().flatten().collect();
    for parameter in parameters {
        revoke(keeper, doing, role, &parameter).await?;
    }
    Ok(())
}
