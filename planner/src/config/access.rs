//! `user`, `database` and `seed` blocks of a cluster.

use std::collections::{BTreeMap, BTreeSet};

use simdb_language::convert;
use simdb_language::reference::Names;
use simdb_language::suggest::did_you_mean;
use simdb_state::name::{DatabaseName, NameError, UserName};
use simdb_state::object::{Database, Settings, User};
use simdb_state::sensitive::Sensitive;

use crate::desired::access::{AccessSpec, DatabaseSpec, SeedSpec, UserSpec};
use crate::diagnostic::Diagnostic;
use crate::engine::instance::{REPLICATION_USER, SUPERUSER};
use crate::engine::pgbouncer;

use super::clusters::Inner;
use super::expand::{self, Groups, Instance};
use super::instance_name;
use super::lifecycle;
use super::read::{Read, Reader};

/// The most that PostgreSQL counts sessions to.
const MAX_CONNECTIONS: u32 = 2_147_483_647;

/// Roles that every server has, to be members of.
const PREDEFINED_ROLES: &[&str] = &[
    "pg_checkpoint",
    "pg_create_subscription",
    "pg_execute_server_program",
    "pg_maintain",
    "pg_monitor",
    "pg_read_all_data",
    "pg_read_all_settings",
    "pg_read_all_stats",
    "pg_read_server_files",
    "pg_signal_autovacuum_worker",
    "pg_signal_backend",
    "pg_stat_scan_tables",
    "pg_use_reserved_connections",
    "pg_write_all_data",
    "pg_write_server_files",
];

/// Names that mean something else to a server.
const RESERVED_USERS: &[&str] = &["public", "none", "user", "current_role", "current_user", "session_user"];

/// Databases that every server has.
const RESERVED_DATABASES: &[&str] = &["postgres", "template0", "template1"];

/// Reads what a cluster declares of logins, databases and seeds.
pub(super) fn read(
    cluster: Reader<'_>,
    names: &Names<'_>,
    inner: &mut Inner,
    diagnostics: &mut Vec<Diagnostic>,
) -> AccessSpec {
    let users = named(cluster, "user", names, &mut inner.users, diagnostics);
    let databases = named(cluster, "database", names, &mut inner.databases, diagnostics);
    let mut seeds = Groups::new();
    let all_seeds = named(cluster, "seed", names, &mut seeds, diagnostics);
    let mut access = Access {
        users: users.iter().map(|(_, name)| name.as_str()).collect(),
        databases: databases.iter().map(|(_, name)| name.as_str()).collect(),
        diagnostics,
    };
    let mut spec = AccessSpec::default();
    for (user, name) in &users {
        spec.users.extend(access.user(user, name));
    }
    for (database, name) in &databases {
        spec.databases.extend(access.database(database, name));
    }
    for (seed, name) in &all_seeds {
        spec.seeds.extend(access.seed(seed, name));
    }
    for (_, replication) in cluster.blocks("replication") {
        spec.replication_password_version = password_version(replication, names, access.diagnostics);
    }
    spec
}

/// Expands the blocks of a kind, each with what it is called.
fn named<'a, 'n>(
    cluster: Reader<'a>,
    kind: &str,
    names: &Names<'n>,
    groups: &mut Groups,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<(Instance<'a, 'n>, String)> {
    let instances = expand::within(cluster, kind, names, diagnostics);
    *groups = instances.groups;
    let mut all: BTreeMap<String, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for instance in instances.all {
        let given = instance.reader.text("name", &instance.names, diagnostics);
        let name = given.map_or_else(|| instance.name(), |read| read.value);
        // Two blocks of one label have been told.
        if let Some(other) = all.insert(name.clone(), found.len())
            && found
                .get(other)
                .is_some_and(|(other, _): &(Instance<'_, '_>, String)| other.label != instance.label)
        {
            diagnostics.push(instance_name::same_name(&instance, kind, &name));
        }
        instance.note(&name, groups);
        found.push((instance, name));
    }
    found
}

fn password_version(reader: Reader<'_>, names: &Names<'_>, diagnostics: &mut Vec<Diagnostic>) -> Option<u32> {
    let read = reader.whole("password_version", (1, u32::MAX), names, diagnostics);
    read.map(|read| read.value)
}

struct Access<'a> {
    /// The names of all `user` blocks, also of those that are wrong.
    users: BTreeSet<&'a str>,
    databases: BTreeSet<&'a str>,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl Access<'_> {
    /// Reads a name, which may not be one that means something else.
    fn name<T: std::str::FromStr<Err = NameError>>(
        &mut self,
        instance: &Instance<'_, '_>,
        name: &str,
        reserved: impl Fn(&str) -> Option<String>,
    ) -> Option<T> {
        if let Some(detail) = reserved(name) {
            let span = instance.label_span.clone();
            let diagnostic = instance.reader.error(span, "Reserved name", detail);
            self.diagnostics.push(diagnostic);
            return None;
        }
        instance_name::parsed(name, instance, self.diagnostics)
    }

    fn user(&mut self, instance: &Instance<'_, '_>, name: &str) -> Option<(UserName, UserSpec)> {
        let (user, names) = (instance.reader, &instance.names);
        let parsed: Option<UserName> = self.name(instance, name, reserved_user);
        let usual = User::default();
        let mut flag = |name: &str, usual: bool| user.flag(name, names, self.diagnostics).unwrap_or(usual);
        let attributes = User {
            login: flag("login", usual.login),
            replication: flag("replication", usual.replication),
            superuser: flag("superuser", usual.superuser),
            createdb: flag("createdb", usual.createdb),
            createrole: flag("createrole", usual.createrole),
            inherit: flag("inherit", usual.inherit),
            ..usual
        };
        let limit = user.whole("connection_limit", (0, MAX_CONNECTIONS), names, self.diagnostics);
        let version = password_version(user, names, self.diagnostics);
        let attributes = User {
            connection_limit: limit.map(|read| read.value),
            member_of: self.member_of(instance, name),
            password_version: version.unwrap_or(attributes.password_version),
            ..attributes
        };
        if attributes.superuser {
            self.diagnostics.push(superuser(instance));
        }
        let password = self.password(instance, attributes.login);
        let spec = UserSpec {
            attributes,
            password,
            span: instance.header.clone(),
            ignored: lifecycle::ignored(user, lifecycle::USER, self.diagnostics),
        };
        Some((parsed?, spec))
    }

    /// Reads the roles a login is a member of: declared ones, and those that every server has.
    fn member_of(&mut self, instance: &Instance<'_, '_>, own: &str) -> BTreeSet<String> {
        let user = instance.reader;
        let roles: BTreeSet<String> = user
            .texts("member_of", &instance.names, self.diagnostics)
            .into_iter()
            .collect();
        let Some(attribute) = user.attribute("member_of") else {
            return roles;
        };
        for role in &roles {
            let known = self.users.contains(role.as_str()) || PREDEFINED_ROLES.contains(&role.as_str());
            let detail = if role == own {
                format!("User \"{role}\" cannot be a member of itself.")
            } else if !known {
                let candidates = self.users.iter().chain(PREDEFINED_ROLES).copied();
                format!(
                    "\"member_of\" must name users of this cluster or roles that PostgreSQL has by itself, and there is no \
                     \"{role}\".{}",
                    did_you_mean(role, candidates.filter(|user| *user != own))
                )
            } else {
                continue;
            };
            let span = user.span(&attribute.value);
            self.diagnostics.push(user.error(span, "Unknown role", detail));
        }
        roles
    }

    /// Reads the password, which no diagnostic ever shows.
    fn password(&mut self, instance: &Instance<'_, '_>, login: bool) -> Option<Sensitive<String>> {
        let user = instance.reader;
        let attribute = user.attribute("password")?;
        let value = user
            .evaluate(&attribute.value, &instance.names, self.diagnostics)?
            .revealed();
        if value.is_null() || (value.is_unknown() && instance.names.is_lenient) {
            return None;
        }
        let problem = match convert::to_text(&value) {
            Err(why) => format!("Inappropriate value for \"password\": {why}."),
            Ok(_) if !login => "A user with login = false has no use for a password. Remove one of the two.".to_owned(),
            Ok(text) if text.is_empty() || text.contains('\0') => {
                "A password cannot be empty. Leave the attribute out, and one is made up.".to_owned()
            }
            Ok(text) => return Some(Sensitive::new(text)),
        };
        let span = user.span(&attribute.value);
        self.diagnostics.push(user.error(span, "Invalid password", problem));
        None
    }

    fn database(&mut self, instance: &Instance<'_, '_>, name: &str) -> Option<(DatabaseName, DatabaseSpec)> {
        let (database, names) = (instance.reader, &instance.names);
        let name = self.name(instance, name, reserved_database);
        let owner = database.text("owner", names, self.diagnostics);
        let owner = owner.and_then(|owner| self.declared(owner, database, "owner", "user"));
        let mut text = |name: &str| {
            let read = database.text(name, names, self.diagnostics);
            read.map(|read| read.value)
        };
        let attributes = Database {
            encoding: text("encoding"),
            locale: text("locale"),
            owner: owner?,
            settings: Settings::new(),
            prevent_destroy: lifecycle::prevents_destroy(database, names, self.diagnostics),
        };
        let spec = DatabaseSpec {
            attributes,
            span: instance.header.clone(),
            ignored: lifecycle::ignored(database, lifecycle::DATABASE, self.diagnostics),
        };
        Some((name?, spec))
    }

    fn seed(&mut self, instance: &Instance<'_, '_>, name: &str) -> Option<SeedSpec> {
        let (seed, names) = (instance.reader, &instance.names);
        let name = instance_name::parsed(name, instance, self.diagnostics);
        let database = seed.text("database", names, self.diagnostics);
        let database = database.and_then(|database| self.declared(database, seed, "database", "database"));
        let file = seed.text("file", names, self.diagnostics)?;
        Some(SeedSpec {
            name: name?,
            // What is declared under a wrong name has been told.
            database: database?.parse().ok()?,
            file: file.value,
            digest: String::new(),
            span: instance.header.clone(),
            file_span: file.span,
            ignored: lifecycle::ignored(seed, lifecycle::SEED, self.diagnostics),
        })
    }

    /// Checks that a name leads to a block of this cluster.
    fn declared(&mut self, read: Read<String>, reader: Reader<'_>, attribute: &str, kind: &str) -> Option<String> {
        let known = if kind == "user" { &self.users } else { &self.databases };
        if known.contains(read.value.as_str()) {
            return Some(read.value);
        }
        let hint = did_you_mean(&read.value, known.iter().copied());
        let detail = format!(
            "\"{attribute}\" must name a {kind} of this cluster, and there is no {kind} \"{0}\". Declare it within the cluster: \
             {kind} \"{0}\" {1}.{hint}",
            read.value,
            if kind == "user" { "{}" } else { "{ owner = ... }" },
        );
        let diagnostic = reader.error(read.span, format!("Unknown {kind}"), detail);
        self.diagnostics.push(diagnostic);
        None
    }
}

fn superuser(instance: &Instance<'_, '_>) -> Diagnostic {
    let user = instance.reader;
    let detail = "A superuser can undo what simdb set up: stop replication, change roles and settings, read every password's \
                  verifier. Most applications do with the owner of their database.";
    Diagnostic::warning("User is a superuser", detail)
        .at(user
            .attribute("superuser")
            .map_or_else(|| instance.header.clone(), |attribute| user.span(&attribute.value)))
        .within(user.context)
}

fn reserved_user(name: &str) -> Option<String> {
    let use_of_it = match name {
        SUPERUSER => Some("works"),
        REPLICATION_USER => Some("lets standbys stream"),
        pgbouncer::USER => Some("lets PgBouncer look up logins"),
        _ => None,
    };
    if let Some(use_of_it) = use_of_it {
        return Some(format!(
            "simdb {use_of_it} with user \"{name}\" itself. Choose another name."
        ));
    }
    if name.starts_with("pg_") {
        return Some("Names that start with \"pg_\" belong to PostgreSQL. Choose another name.".to_owned());
    }
    let reserved = RESERVED_USERS.contains(&name);
    reserved.then(|| format!("\"{name}\" means something else to PostgreSQL. Choose another name."))
}

fn reserved_database(name: &str) -> Option<String> {
    let reserved = RESERVED_DATABASES.contains(&name);
    reserved.then(|| format!("Every server has a database \"{name}\" of its own. Choose another name."))
}

/// The database that a login's URL leads to: the one called like it among those it owns, else the first of them.
pub(super) fn home_of<'a>(user: &UserName, databases: &'a BTreeMap<DatabaseName, DatabaseSpec>) -> Option<&'a str> {
    let mut owned = databases
        .iter()
        .filter(|(_, spec)| spec.attributes.owner == user.as_str())
        .map(|(name, _)| name.as_str());
    let first = owned.clone().next();
    owned.find(|name| *name == user.as_str()).or(first)
}
