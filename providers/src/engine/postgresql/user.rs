//! Logins: made, changed and dropped. A server is sent a verifier, so that no log can hold a password.

use std::collections::BTreeSet;
use std::fmt::Write;

use postgres_protocol::escape::escape_identifier;
use postgres_protocol::password::scram_sha_256;
use simdb_state::name::UserName;
use simdb_state::object::User;
use simdb_state::sensitive::Sensitive;

use super::connection::{Connection, literal};
use super::{PostgresqlError, privilege, session_settings};

/// The first version that keeps with each membership whether its privileges are inherited.
const INHERIT_OF_MEMBERSHIP: u32 = 160_000;

/// Makes a login, or makes it what it should be, memberships and what its sessions begin with included; all of it or nothing.
pub(crate) async fn ensure(
    connection: &Connection,
    name: &UserName,
    attributes: &User,
    leaves: &BTreeSet<String>,
    password: Option<&Sensitive<String>>,
) -> Result<(), PostgresqlError> {
    let doing = format!("set up user {:?}", name.as_str());
    connection.alone(&doing, &format!("user {name}")).await?;
    let expired = format!(
        "SELECT rolvaliduntil IS NOT NULL AND rolvaliduntil <= now() FROM pg_roles WHERE rolname = {}",
        literal(name.as_str())
    );
    let (verb, forever) = match connection.value(&doing, &expired).await?.as_deref() {
        // What somebody set for later stays.
        Some("f") => ("ALTER", ""),
        Some(_) => ("ALTER", " VALID UNTIL 'infinity'"),
        None => ("CREATE", ""),
    };
    let version = connection.required(&doing, "SHOW server_version_num").await?;
    let keeps_inherit = version
        .parse()
        .is_ok_and(|version: u32| version >= INHERIT_OF_MEMBERSHIP);
    let role = escape_identifier(name.as_str());
    // Statements sent together are one transaction.
    let mut sql = format!("{verb} ROLE {role} WITH {}{forever}", options(attributes, password));
    for leaves in leaves {
        write!(sql, "; REVOKE {} FROM {role}", escape_identifier(leaves)).expect("writing to a String cannot fail");
    }
    for joins in &attributes.member_of {
        write!(sql, "; GRANT {} TO {role}", escape_identifier(joins)).expect("writing to a String cannot fail");
        if keeps_inherit {
            let inherit = if attributes.inherit { "TRUE" } else { "FALSE" };
            write!(sql, " WITH INHERIT {inherit}").expect("writing to a String cannot fail");
        }
    }
    let has = session_settings::of_role(connection, &doing, name.as_str()).await?;
    sql += &session_settings::role_statements(name.as_str(), &has, &attributes.settings);
    connection.execute(&doing, &sql).await
}

/// What `pg_rewind` reads its source with.
const READERS: [&str; 4] = [
    "pg_ls_dir(text, boolean, boolean)",
    "pg_stat_file(text, boolean)",
    "pg_read_binary_file(text)",
    "pg_read_binary_file(text, bigint, bigint, boolean)",
];

/// Lets the login that streams read what a rewind reads: through the log it has all of that anyway.
pub(crate) async fn let_rewind(connection: &Connection, name: &UserName) -> Result<(), PostgresqlError> {
    let doing = format!("let user {:?} rewind standbys", name.as_str());
    let role = escape_identifier(name.as_str());
    let granted = READERS.map(|function| format!("GRANT EXECUTE ON FUNCTION pg_catalog.{function} TO {role}"));
    connection.execute(&doing, &granted.join("; ")).await
}

/// Lets a role that may not log in do so, with a password.
pub(super) async fn open(
    connection: &Connection,
    doing: &str,
    name: &str,
    password: &Sensitive<String>,
) -> Result<(), PostgresqlError> {
    let verifier = literal(&scram_sha_256(password.expose().as_bytes()));
    let role = escape_identifier(name);
    let sql = format!("ALTER ROLE {role} WITH LOGIN CONNECTION LIMIT -1 PASSWORD {verifier} VALID UNTIL 'infinity'");
    connection.execute(doing, &sql).await
}

/// Gives a role its attributes and its password, and nothing else.
pub(super) async fn close(
    connection: &Connection,
    doing: &str,
    name: &str,
    attributes: &User,
    password: Option<&Sensitive<String>>,
) -> Result<(), PostgresqlError> {
    let sql = format!(
        "ALTER ROLE {} WITH {}",
        escape_identifier(name),
        options(attributes, password)
    );
    connection.execute(doing, &sql).await
}

fn options(attributes: &User, password: Option<&Sensitive<String>>) -> String {
    let flags = [
        ("LOGIN", attributes.login),
        ("REPLICATION", attributes.replication),
        ("SUPERUSER", attributes.superuser),
        ("CREATEDB", attributes.createdb),
        ("CREATEROLE", attributes.createrole),
        ("INHERIT", attributes.inherit),
    ];
    let mut options = String::new();
    for (name, has) in flags {
        let no = if has { "" } else { "NO" };
        write!(options, "{no}{name} ").expect("writing to a String cannot fail");
    }
    let limit = attributes.connection_limit.map_or(-1, i64::from);
    let password = match password {
        Some(password) => literal(&scram_sha_256(password.expose().as_bytes())),
        None => "NULL".to_owned(),
    };
    write!(options, "CONNECTION LIMIT {limit} PASSWORD {password}").expect("writing to a String cannot fail");
    options
}

/// Drops a login, where it is there. One that owns anything is refused by the server, which says what.
pub(crate) async fn drop(connection: &Connection, name: &UserName) -> Result<(), PostgresqlError> {
    let doing = format!("drop user {:?}", name.as_str());
    privilege::revoke_left(connection, &doing, name.as_str()).await?;
    let sql = format!("DROP ROLE IF EXISTS {}", escape_identifier(name.as_str()));
    connection.execute(&doing, &sql).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_told_every_attribute_and_no_password() {
        let user = User {
            createdb: true,
            inherit: false,
            connection_limit: Some(5),
            ..User::default()
        };
        let password = Sensitive::new("hunter2".to_owned());
        let options = options(&user, Some(&password));
        let expected = "LOGIN NOREPLICATION NOSUPERUSER CREATEDB NOCREATEROLE NOINHERIT CONNECTION LIMIT 5 PASSWORD 'SCRAM-SHA-256$4096:";
        assert!(options.starts_with(expected), "{options}");
        assert!(!options.contains("hunter2"));
        let none = super::options(&User::default(), None);
        assert!(none.ends_with("INHERIT CONNECTION LIMIT -1 PASSWORD NULL"), "{none}");
    }
}
