//! Logins: made, changed and dropped. A server is sent a verifier, so that no log can hold a password.
//!
//! An account of MariaDB is a name and a host. simdb owns the accounts of one host of each platform, and leaves those of others alone.

use std::collections::BTreeSet;

use simdb_state::sensitive::Sensitive;

use super::connection::{Connection, identifier, literal};
use super::observe::Privileges;
use super::verifier::Method;
use super::{Cause, MariadbError};

/// What a login is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account<'a> {
    /// Its name.
    pub name: &'a str,
    /// Where it may come from: an address, or a pattern of them.
    pub host: &'a str,
    /// How it proves that it knows its password.
    pub method: Method,
    /// What it may do.
    pub rights: Rights,
    /// How many sessions it may have at once; absent, any number.
    pub connection_limit: Option<u32>,
}

/// What a login may do beside what it is given in databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Nothing.
    None,
    /// Stream, and nothing else.
    Replication,
    /// Everything but to write where writes are refused: a server that is closed would not be closed to it.
    Superuser,
}

/// The passwords that let a login in.
#[derive(Clone, Copy, Debug)]
pub enum Passwords<'a> {
    /// None: it cannot log in.
    None,
    /// One.
    One(&'a Sensitive<String>),
    /// This one, beside those that let it in so far, while it takes their place.
    Also(&'a Sensitive<String>),
}

/// All that a superuser may do.
const EVERYTHING: [&str; 37] = [
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "CREATE",
    "DROP",
    "RELOAD",
    "SHUTDOWN",
    "PROCESS",
    "FILE",
    "REFERENCES",
    "INDEX",
    "ALTER",
    "SHOW DATABASES",
    "SUPER",
    "CREATE TEMPORARY TABLES",
    "LOCK TABLES",
    "EXECUTE",
    "REPLICATION SLAVE",
    "BINLOG MONITOR",
    "CREATE VIEW",
    "SHOW VIEW",
    "CREATE ROUTINE",
    "ALTER ROUTINE",
    "CREATE USER",
    "EVENT",
    "TRIGGER",
    "CREATE TABLESPACE",
    "DELETE HISTORY",
    "SET USER",
    "FEDERATED ADMIN",
    "CONNECTION ADMIN",
    "REPLICATION SLAVE ADMIN",
    "REPLICATION MASTER ADMIN",
    "BINLOG ADMIN",
    "BINLOG REPLAY",
    "SLAVE MONITOR",
];

/// What lets a login write where writes are refused.
const PASSES_READ_ONLY: &str = "READ_ONLY ADMIN";

impl Rights {
    fn privileges(self) -> &'static [&'static str] {
        match self {
            Rights::None => &[],
            Rights::Replication => &["REPLICATION SLAVE"],
            Rights::Superuser => &EVERYTHING,
        }
    }
}

/// Makes a login, or makes it what it should be. What it was given in databases stays, and so does a stream that it opened.
pub async fn ensure(
    connection: &mut Connection,
    account: &Account<'_>,
    passwords: Passwords<'_>,
) -> Result<(), MariadbError> {
    let doing = format!("set up user {:?}", account.name);
    let name = at(account);
    let create = format!("CREATE USER IF NOT EXISTS {name} ACCOUNT LOCK");
    connection.execute(&doing, &create).await?;
    for statement in grants(&name, account.rights, &has(connection, &doing, &name).await?) {
        connection.execute(&doing, &statement).await?;
    }
    let before = match passwords {
        Passwords::Also(_) => proofs(connection, &doing, account).await?,
        Passwords::None | Passwords::One(_) => Vec::new(),
    };
    // Last, so that it has what it should have when it can log in.
    connection
        .execute(&doing, &alteration(account, passwords, &before))
        .await
}

fn at(account: &Account<'_>) -> String {
    format!("{}@{}", literal(account.name), literal(account.host))
}

/// Returns how a login may prove who it is, as statements say it.
async fn proofs(connection: &mut Connection, doing: &str, account: &Account<'_>) -> Result<Vec<String>, MariadbError> {
    let list = format!(
        "SELECT JSON_COMPACT(Priv) FROM mysql.global_priv WHERE User = {} AND Host = {}",
        literal(account.name),
        literal(account.host)
    );
    let kept = connection.required(doing, &list).await?;
    let kept: Privileges = serde_json::from_str(&kept)
        .map_err(|error| connection.failure(doing, Cause::Answer(format!("its login makes no sense: {error}"))))?;
    let verifiers = kept.verifiers().into_iter();
    let usable = verifiers.filter(|verifier| verifier.authentication_string.len() > NO_DIGEST.len());
    Ok(usable
        .map(|verifier| proof(&verifier.plugin, &verifier.authentication_string))
        .collect())
}

/// Stands in place of a verifier, and is that of no password.
const NO_DIGEST: &str = "invalid";

fn proof(plugin: &str, verifier: &str) -> String {
    format!("{} USING {}", identifier(plugin), literal(verifier))
}

fn alteration(account: &Account<'_>, passwords: Passwords<'_>, before: &[String]) -> String {
    let plugin = account.method.plugin();
    let (own, lock) = match passwords {
        Passwords::None => (proof(Method::Native.plugin(), NO_DIGEST), "LOCK"),
        Passwords::One(password) | Passwords::Also(password) => {
            (proof(plugin, &account.method.verifier(password)), "UNLOCK")
        }
    };
    let others = before.iter().filter(|other| **other != own);
    let proofs: Vec<&str> = std::iter::once(&own).chain(others).map(String::as_str).collect();
    format!(
        "ALTER USER {} IDENTIFIED VIA {} WITH MAX_USER_CONNECTIONS {} ACCOUNT {lock}",
        at(account),
        proofs.join(" OR "),
        account.connection_limit.unwrap_or(0)
    )
}

/// Returns what a login may do everywhere, in the server's words.
async fn has(connection: &mut Connection, doing: &str, name: &str) -> Result<BTreeSet<String>, MariadbError> {
    let rows = connection.rows(doing, &format!("SHOW GRANTS FOR {name}")).await?;
    let grants = rows.into_iter().flatten().flatten();
    Ok(grants.filter_map(|grant| privileges(&grant)).flatten().collect())
}

/// Reads what a grant gives everywhere; nothing where it is one for a database.
fn privileges(grant: &str) -> Option<Vec<String>> {
    let (given, _) = grant.strip_prefix("GRANT ")?.split_once(" ON *.* TO ")?;
    let mut given: Vec<String> = given.split(", ").map(str::to_owned).collect();
    if given == ["ALL PRIVILEGES"] {
        given = EVERYTHING.map(str::to_owned).into();
        given.push(PASSES_READ_ONLY.to_owned());
    }
    given.retain(|privilege| privilege != "USAGE");
    if grant.ends_with(" WITH GRANT OPTION") {
        given.push(GRANT_OPTION.to_owned());
    }
    Some(given)
}

/// What lets a login hand on what it may do.
const GRANT_OPTION: &str = "GRANT OPTION";

/// Gives what is missing, then takes what is too much: at no moment has a login less than it should.
fn grants(name: &str, rights: Rights, has: &BTreeSet<String>) -> Vec<String> {
    let mut wanted: BTreeSet<&str> = rights.privileges().iter().copied().collect();
    if rights == Rights::Superuser {
        wanted.insert(GRANT_OPTION);
    }
    let missing: Vec<&str> = wanted.iter().filter(|right| !has.contains(**right)).copied().collect();
    let excess: Vec<&str> = has
        .iter()
        .map(String::as_str)
        .filter(|right| !wanted.contains(right))
        .collect();
    let given = (!missing.is_empty()).then(|| format!("GRANT {} ON *.* TO {name}", missing.join(", ")));
    let taken = (!excess.is_empty()).then(|| format!("REVOKE {} ON *.* FROM {name}", excess.join(", ")));
    given.into_iter().chain(taken).collect()
}

/// Drops a login, where it is there, and ends its sessions: they would go on without it.
pub async fn drop(connection: &mut Connection, name: &str, host: &str) -> Result<(), MariadbError> {
    let doing = format!("drop user {name:?}");
    let drop = format!("DROP USER IF EXISTS {}@{}", literal(name), literal(host));
    connection.execute(&doing, &drop).await?;
    let sessions = format!(
        "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = {}",
        literal(name)
    );
    for id in connection
        .rows(&doing, &sessions)
        .await?
        .into_iter()
        .flatten()
        .flatten()
    {
        let id = id
            .parse()
            .map_err(|_| connection.failure(&doing, Cause::Answer(format!("{id:?} is no session"))))?;
        connection.kill(id).await?;
    }
    Ok(())
}

/// Gives a login everything in one database.
pub async fn own(connection: &mut Connection, name: &str, host: &str, database: &str) -> Result<(), MariadbError> {
    let doing = format!("give database {database:?} to user {name:?}");
    // In the name of a database that is granted, two characters stand for others.
    let pattern = identifier(&database.replace('_', r"\_").replace('%', r"\%"));
    let grant = format!(
        "GRANT ALL PRIVILEGES ON {pattern}.* TO {}@{}",
        literal(name),
        literal(host)
    );
    connection.execute(&doing, &grant).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: Account<'_> = Account {
        name: "app",
        host: "127.0.0.1",
        method: Method::Native,
        rights: Rights::None,
        connection_limit: Some(5),
    };

    #[test]
    fn a_server_is_told_the_verifier_and_no_password() {
        let password = Sensitive::new("hunter2".to_owned());
        let told = alteration(&APP, Passwords::One(&password), &[]);
        let expected = "ALTER USER 'app'@'127.0.0.1' IDENTIFIED VIA `mysql_native_password` USING '*";
        assert!(told.starts_with(expected), "{told}");
        assert!(told.ends_with("' WITH MAX_USER_CONNECTIONS 5 ACCOUNT UNLOCK"), "{told}");
        let before = [
            proof("ed25519", "x"),
            proof("mysql_native_password", &Method::Native.verifier(&password)),
        ];
        let either = alteration(&APP, Passwords::Also(&password), &before);
        assert!(
            either.contains(" OR `ed25519` USING 'x' WITH") && either.matches("USING '*").count() == 1,
            "{either}"
        );
        assert!(alteration(&APP, Passwords::None, &[]).ends_with("ACCOUNT LOCK"));
        assert!(!told.contains("hunter2") && !either.contains("hunter2"));
    }

    #[test]
    fn a_login_gets_what_it_lacks_and_loses_what_is_too_much() {
        let has = |grant: &str| privileges(grant).unwrap().into_iter().collect::<BTreeSet<_>>();
        let none = has("GRANT USAGE ON *.* TO `app`@`127.0.0.1`");
        assert_eq!(grants("app", Rights::None, &none), Vec::<String>::new());
        let streams = has("GRANT REPLICATION SLAVE ON *.* TO `app`@`127.0.0.1` IDENTIFIED BY PASSWORD '*A'");
        assert_eq!(grants("app", Rights::Replication, &streams), Vec::<String>::new());
        assert_eq!(
            grants("app", Rights::None, &streams),
            ["REVOKE REPLICATION SLAVE ON *.* FROM app"]
        );
        let all = has("GRANT ALL PRIVILEGES ON *.* TO `app`@`127.0.0.1` WITH GRANT OPTION");
        assert_eq!(
            grants("app", Rights::Superuser, &all),
            ["REVOKE READ_ONLY ADMIN ON *.* FROM app"]
        );
        let given = grants("app", Rights::Superuser, &none).join("; ");
        assert!(
            given.contains("GRANT OPTION") && !given.contains(PASSES_READ_ONLY),
            "{given}"
        );
        assert!(privileges("GRANT ALL PRIVILEGES ON `app`.* TO `app`@`127.0.0.1`").is_none());
    }
}
