//! Configurations in TOML: the same desired state, and problems at their places.

use expect_test::expect;

use super::*;

fn loaded_toml(name: &str, text: &str) -> (Option<Config>, String) {
    let mut source = Source::default();
    source.add(name, text);
    let (config, diagnostics) = load(&source, &[]);
    (config, render(&source, &diagnostics))
}

#[test]
fn tables_declare_what_blocks_declare() {
    let text = r#"
[variable.standbys]
type = "number"
default = 2

[network.lan]
subnet = "127.20.0.0/24"

[cluster.orders]
network = "${network.lan}"
primary = "z"

[cluster.orders.engine.postgresql]
version = "17"
parameters = { work_mem = "16MB", max_connections = 200, random_page_cost = 1.1, fsync = true }

[cluster.orders.node.z]
port = 15_433

[cluster.orders.node.r]
count = "${var.standbys}"

[cluster.orders.endpoint.rw]
target = "primary"
"#;
    let (config, said) = loaded_toml("cluster.toml", text);
    let desired = show(&config.unwrap_or_else(|| panic!("{said}")).desired);
    expect![[r#"
        network lan 127.20.0.0/24
        cluster orders: postgresql 17, sync, in lan, first z, primary z
          node r[0] fsync=on max_connections=200 random_page_cost=1.1 work_mem=16MB
          node r[1] fsync=on max_connections=200 random_page_cost=1.1 work_mem=16MB
          node z port 15433 fsync=on max_connections=200 random_page_cost=1.1 work_mem=16MB
          endpoint rw -> primary
    "#]]
    .assert_eq(&desired);
}

#[test]
fn the_file_in_toml_and_the_one_in_the_native_syntax_desire_the_same() {
    let (toml, said) = loaded_toml(
        "a.simdb.toml",
        "[cluster.c.engine.postgresql]\n[cluster.c.node.a]\n[[cluster.c.user.app]]\n",
    );
    let native = loaded(
        "cluster \"c\" {\n  engine \"postgresql\" {}\n  node \"a\" {}\n  user \"app\" {}\n}\n",
        &[],
    );
    let toml = toml.unwrap_or_else(|| panic!("{said}"));
    assert_eq!(show(&toml.desired), show(&native.desired));
    let users = |config: &Config| {
        config
            .desired
            .clusters
            .values()
            .map(|cluster| cluster.access.users.len())
            .sum::<usize>()
    };
    assert_eq!(users(&toml), users(&native));
}

#[test]
fn what_is_wrong_is_said_at_its_place() {
    for (text, expected) in [
        (
            "[cluster.c.engine.postgresql]\n[cluster.c.node.a]\nprt = 1\n",
            "a.simdb.toml:3:1-4 error Unsupported argument",
        ),
        (
            "[cluster.c.engine.postgresql]\n[cluster.c.node.a]\nport = 12\n",
            "a.simdb.toml:3:8-10 error Value out of range",
        ),
        ("[cluster.c\n", "a.simdb.toml:1:11"),
        ("a = 2020-01-01\n", "error Invalid TOML"),
        ("[network]\nlan = 3\n", "error Invalid TOML"),
        ("x = inf\n", "error Invalid TOML"),
        ("[a]\n[a]\n", "error Invalid TOML"),
    ] {
        let (config, said) = loaded_toml("a.simdb.toml", text);
        assert!(config.is_none() && said.contains(expected), "{text}{said}");
    }
}

#[test]
fn what_is_nested_too_deeply_is_refused() {
    for text in [
        format!("a = {}", "[".repeat(100_000)),
        format!("[{}]", vec!["a"; 100_000].join(".")),
        format!("{} = 1", vec!["a"; 100_000].join(".")),
        format!("a = {}", "{a=".repeat(100_000)),
    ] {
        let (config, said) = loaded_toml("a.simdb.toml", &text);
        assert!(config.is_none() && said.contains("Invalid TOML"));
    }
}
