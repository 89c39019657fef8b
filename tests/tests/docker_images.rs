//! The images of containers: another one is a replacement of all servers, and those that are missing are fetched.

use std::process;

use simdb_tests::{Image, Registry, Scenario, TestEnvironment, first, wait_until};

const THREE: &str = r#"
  node "a" {}
  node "r" { count = 2 }
  endpoint "rw" { target = "primary" }
"#;

/// How many rows are written before and after a disturbance.
const ROWS: u64 = 50;

/// Returns the image of each node's container.
fn images(scenario: &Scenario) -> Vec<String> {
    let nodes = scenario.nodes().into_iter();
    let image = |node: &str| scenario.docker(&["inspect", "--format", "{{.Image}}", &scenario.container(node)]);
    nodes.map(image).collect()
}

#[test]
fn another_image_replaces_the_standby_that_then_leads_and_the_others_after_it() {
    let Some(image) = Image::new(format!("simdb-roll-{}", process::id())) else {
        return;
    };
    let Some(scenario) = Scenario::in_containers_of(&image, THREE) else {
        return;
    };
    let old = images(&scenario);
    scenario.assert_settled(first(1));
    image.renew("newer");
    let plan = scenario.environment.run(&["plan", "-detailed-exitcode"]);
    let said = plan.text();
    assert_eq!(plan.code, Some(2), "{said}");
    assert!(said.contains("which gets another image (image: "), "{said}");
    let recorded = scenario.recorded_image("a");
    assert_eq!(recorded, format!("{}@{}", image.name(), old[0]));
    assert!(
        said.contains(&format!("image = \"{recorded}\" -> ")) || said.contains(&recorded),
        "{said}"
    );
    let writing = scenario.load();
    writing.further(ROWS);
    scenario.simdb(&["apply", "-auto-approve"]);
    assert_ne!(scenario.primary(), "a");
    writing.further(ROWS);
    let new = images(&scenario);
    assert!(
        new.iter().all(|image| !old.contains(image) && *image == new[0]),
        "{old:?} {new:?}"
    );
    for node in ["a", "r[0]", "r[1]"] {
        assert_eq!(scenario.recorded_image(node), format!("{}@{}", image.name(), new[0]));
    }
    scenario.assert_settled(first(1));
    writing.expect_nothing_lost();
    scenario.destroy_containers();
}

#[test]
fn a_server_that_somebody_made_from_another_image_has_drifted() {
    let Some(image) = Image::new(format!("simdb-drift-{}", process::id())) else {
        return;
    };
    let Some(scenario) = Scenario::in_containers_of(&image, THREE) else {
        return;
    };
    let old = images(&scenario);
    image.renew("newer");
    scenario.recreate("r[0]", &image.name());
    image.docker(&["tag", &old[0], &image.name()]);
    wait_until("it serves", || scenario.answer("r[0]", "SELECT 1").is_some());
    let drift = scenario.environment.run(&["drift"]);
    assert_eq!(drift.code, Some(2), "{}", drift.text());
    assert!(drift.text().contains("drift: image is "), "{}", drift.text());
    scenario.simdb(&["apply", "-auto-approve"]);
    assert_eq!(images(&scenario), old);
    assert_eq!(scenario.primary(), "a");
    scenario.assert_settled(first(1));
    scenario.destroy_containers();
}

#[test]
fn a_primary_that_is_declared_is_replaced_in_place() {
    let Some(image) = Image::new(format!("simdb-pinned-{}", process::id())) else {
        return;
    };
    let Some(scenario) = Scenario::in_containers_of(&image, &format!("{THREE}  primary = \"a\"\n")) else {
        return;
    };
    let old = images(&scenario);
    image.renew("newer");
    let plan = scenario.environment.run(&["plan"]).text();
    assert!(plan.contains("a stays primary as `primary` says so"), "{plan}");
    assert!(plan.contains("downtime"), "{plan}");
    let writing = scenario.load();
    writing.further(ROWS);
    scenario.simdb(&["apply", "-auto-approve", "-allow=downtime"]);
    assert_eq!(scenario.primary(), "a");
    writing.further(ROWS);
    assert!(images(&scenario).iter().all(|image| !old.contains(image)));
    scenario.assert_settled(first(1));
    writing.expect_nothing_lost();
    scenario.destroy_containers();
}

#[test]
fn an_image_is_fetched_where_it_is_missing_or_the_registry_has_another_one() {
    let registry = Registry::start();
    let Some(mut image) = Image::new(format!("{}/simdb-pull-{}", registry.address, process::id())) else {
        return;
    };
    registry.push(&image);
    // Who has no password is told how to get in; who fetches nothing is told what is missing.
    let stranger = TestEnvironment::new();
    image.declare(&stranger);
    stranger.write(
        "main.simdb.hcl",
        &format!(
            "network \"lan\" {{ subnet = \"10.255.1.0/24\" }}\ncluster \"orders\" {{\n  network = network.lan\n  engine \"postgresql\" \
             {{ version = \"{}\" }}\n  node \"a\" {{}}\n}}\n",
            image.version
        ),
    );
    stranger.done(&["plan"]);
    assert!(
        !image
            .docker(&["images", "--format", "{{.Repository}}"])
            .contains("simdb-pull"),
        "a plan fetches nothing"
    );
    stranger.refuses(
        &["apply", "-auto-approve"],
        &format!("docker login {}", registry.address),
    );
    image.pull = Some("never");
    image.declare(&stranger);
    stranger.refuses(&["plan"], "docker pull");
    stranger.run(&["destroy", "-auto-approve", "-allow=data-loss"]);
    image.pull = None;
    let environment = TestEnvironment::new();
    registry.log_in(&environment.home());
    image.declare(&environment);
    let scenario = Scenario::in_containers_within(environment, &image, THREE);
    scenario.assert_settled(first(1));
    let old = images(&scenario);
    // Before it was fetched nobody knew which one it would be.
    let recorded = scenario.recorded_image("a");
    assert!(recorded.starts_with(&format!("{}@sha256:", image.name())), "{recorded}");
    // Another image in the registry is none of simdb's business, unless it is to look there.
    image.renew("newer");
    registry.push(&image);
    image.docker(&["tag", &old[0], &image.name()]);
    scenario.assert_settled(first(1));
    image.pull = Some("always");
    image.declare(&scenario.environment);
    let plan = scenario.environment.run(&["plan", "-detailed-exitcode"]);
    assert_eq!(plan.code, Some(2), "{}", plan.text());
    scenario.simdb(&["apply", "-auto-approve"]);
    assert!(images(&scenario).iter().all(|image| !old.contains(image)));
    scenario.assert_settled(first(1));
    scenario.destroy_containers();
}
