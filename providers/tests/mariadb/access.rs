//! Logins and databases.

use simdb_planner::observed::PasswordFacts;
use simdb_providers::engine::mariadb::Connection;
use simdb_providers::engine::mariadb::database::{self, Texts};
use simdb_providers::engine::mariadb::observe::{Known, snapshot};
use simdb_providers::engine::mariadb::user::{self, Account, Passwords, Rights};
use simdb_providers::engine::mariadb::verifier::Method;
use simdb_providers::password;

use crate::bed::{Bed, as_user, succeeded};

const APP: Account<'_> = Account {
    name: "app",
    host: "127.0.0.1",
    method: Method::Native,
    rights: Rights::None,
    connection_limit: None,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_login_has_the_password_and_rights_of_the_last_step_and_no_log_has_the_password() {
    let bed = Bed::new();
    let mut node = bed.born("a", 1001);
    let general = node.directory.join("general.log");
    let log = format!("general-log-file={}", general.display());
    let mut connection = bed.start(&mut node, &["general-log=ON", &log]).await;
    let server = bed.server(&node);
    let (old, new) = (password::generate().unwrap(), password::generate().unwrap());
    for _ in 0..2 {
        user::ensure(&mut connection, &APP, Passwords::One(&old)).await.unwrap();
        database::ensure(&mut connection, "shop_1", Texts::default())
            .await
            .unwrap();
        user::own(&mut connection, "app", "127.0.0.1", "shop_1").await.unwrap();
    }
    let open = async |password| Connection::open_as(&bed.sessions(), &server, "app", password).await;
    let mut app = open(&old).await.unwrap();
    app.execute("write", "CREATE TABLE shop_1.t (id INT)").await.unwrap();
    // The underscore stands for itself.
    let other = app.execute("write", "CREATE DATABASE shopx1").await.unwrap_err();
    assert_eq!(other.code(), Some(1044));

    // Two passwords let it in while one takes the place of the other.
    user::ensure(&mut connection, &APP, Passwords::Also(&new))
        .await
        .unwrap();
    open(&old).await.unwrap();
    open(&new).await.unwrap();
    let known = Known::from([("app".to_owned(), new.clone())]);
    let facts = snapshot(&mut connection, &known).await.unwrap();
    assert_eq!(
        facts.users["app"].password,
        PasswordFacts::Other,
        "the old one still lets it in"
    );
    user::ensure(&mut connection, &APP, Passwords::One(&new)).await.unwrap();
    assert_eq!(open(&old).await.unwrap_err().code(), Some(1045));
    open(&new).await.unwrap();
    let facts = snapshot(&mut connection, &known).await.unwrap();
    assert_eq!(facts.users["app"].password, PasswordFacts::Recorded);
    assert!(!facts.users["app"].superuser && facts.users["app"].login);
    app.execute("write", "INSERT INTO shop_1.t VALUES (1)").await.unwrap();

    user::ensure(&mut connection, &APP, Passwords::None).await.unwrap();
    assert!(open(&new).await.is_err());
    user::drop(&mut connection, "app", "127.0.0.1").await.unwrap();
    user::drop(&mut connection, "app", "127.0.0.1").await.unwrap();
    assert!(
        app.execute("write", "INSERT INTO shop_1.t VALUES (2)").await.is_err(),
        "its sessions are gone"
    );
    database::drop(&mut connection, "shop_1").await.unwrap();
    database::drop(&mut connection, "shop_1").await.unwrap();
    let facts = snapshot(&mut connection, &known).await.unwrap();
    assert!(!facts.users.contains_key("app") && !facts.databases.contains_key("shop_1"));

    let mut binlog = as_user("mariadb-binlog");
    let binlog = succeeded(&binlog.arg(node.data().join("bin.000001")).output().unwrap());
    let log = std::fs::read_to_string(general).unwrap();
    assert!(log.contains("ALTER USER 'app'@'127.0.0.1'") && binlog.contains("ALTER USER 'app'@'127.0.0.1'"));
    for secret in [&old, &new, bed.own_password()] {
        for text in [&log, &binlog, &node.log()] {
            assert!(!text.contains(secret.expose().as_str()), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_superuser_does_everything_but_write_to_a_server_that_is_closed() {
    let bed = Bed::new();
    let mut node = bed.born("a", 1001);
    let mut connection = bed.start(&mut node, &[]).await;
    let password = password::generate().unwrap();
    let account = Account {
        name: "admin",
        rights: Rights::Superuser,
        method: Method::Ed25519,
        connection_limit: Some(3),
        ..APP
    };
    for _ in 0..2 {
        user::ensure(&mut connection, &account, Passwords::One(&password))
            .await
            .unwrap();
    }
    let facts = snapshot(&mut connection, &Known::from([("admin".to_owned(), password.clone())]))
        .await
        .unwrap();
    let admin = &facts.users["admin"];
    assert!(admin.superuser && !admin.passes_read_only, "{admin:?}");
    assert_eq!((admin.connection_limit, admin.password), (3, PasswordFacts::Recorded));
    assert_eq!(admin.methods.iter().collect::<Vec<_>>(), ["ed25519"]);
    // The server takes the verifier for the password's: its own client logs in.
    let client = node.write_client_file("client", "admin", &password, &node);
    let ask = |sql: &str| {
        let defaults = format!("--defaults-file={}", client.display());
        as_user("mariadb")
            .args([&defaults, "--batch", "--execute", sql])
            .output()
            .unwrap()
    };
    succeeded(&ask("CREATE DATABASE mine; CREATE USER other@localhost"));
    connection.execute("close", "SET GLOBAL read_only = ON").await.unwrap();
    for refused in [
        "CREATE TABLE mine.t (id INT)",
        "SET GLOBAL read_only = OFF",
        "GRANT READ_ONLY ADMIN ON *.* TO admin@'127.0.0.1'",
    ] {
        let output = ask(refused);
        assert!(!output.status.success(), "{refused}");
    }
    connection.execute("open", "SET GLOBAL read_only = OFF").await.unwrap();
    user::ensure(
        &mut connection,
        &Account {
            rights: Rights::None,
            ..account
        },
        Passwords::One(&password),
    )
    .await
    .unwrap();
    let facts = snapshot(&mut connection, &Known::new()).await.unwrap();
    assert!(!facts.users["admin"].superuser);
    let grants = connection
        .required("look", "SHOW GRANTS FOR admin@'127.0.0.1'")
        .await
        .unwrap();
    assert!(grants.starts_with("GRANT USAGE ON *.* TO"), "{grants}");
}
