//! The rights that simdb needs in a namespace, and those that tell more: what a role says, and what is asked for before anything is made.

use std::fmt::Write;

use k8s_openapi::api::authorization::v1::ResourceRule;

use crate::platform::registry::Account;

/// Resources of a group of the API, and what is done with them.
#[derive(Clone, Copy, Debug)]
struct Rule {
    group: &'static str,
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
}

const fn rule(group: &'static str, resources: &'static [&'static str], verbs: &'static [&'static str]) -> Rule {
    Rule {
        group,
        resources,
        verbs,
    }
}

/// What is done with the objects that simdb makes.
const MAKES: &[&str] = &["get", "list", "watch", "create", "update", "patch", "delete"];

/// What simdb needs in its namespace.
const NEEDED: &[Rule] = &[
    rule("", &["pods"], &["get", "list", "watch", "patch", "delete"]),
    // A connection that is upgraded is a GET, and newer API servers ask for the other verb as well.
    rule("", &["pods/exec", "pods/portforward"], &["get", "create"]),
    rule("", &["pods/log"], &["get"]),
    rule("", &["services", "persistentvolumeclaims"], MAKES),
    rule("apps", &["statefulsets"], MAKES),
    rule("policy", &["poddisruptionbudgets"], MAKES),
    rule("networking.k8s.io", &["networkpolicies"], MAKES),
];

/// What lets simdb say beforehand what there is no room for, and tell those who look at the cluster what happened.
const TELLS: &[Rule] = &[
    rule("", &["resourcequotas", "limitranges"], &["list"]),
    rule("events.k8s.io", &["events"], &["create"]),
];

/// What lets simdb prove that a server is down whose pod does not answer, tell whether the machine of its volume is back, and say beforehand
/// which class or namespace is missing.
const CLUSTER_WIDE: &[Rule] = &[
    rule("", &["nodes", "persistentvolumes", "namespaces"], &["get"]),
    rule("coordination.k8s.io", &["leases"], &["get"]),
    rule("storage.k8s.io", &["storageclasses"], &["get", "list"]),
    rule("scheduling.k8s.io", &["priorityclasses"], &["get"]),
];

/// What simdb needs in the namespace of a state.
const STATE: &[Rule] = &[
    rule("", &["secrets"], OF_STATE),
    rule("coordination.k8s.io", &["leases"], OF_STATE),
];

/// What is done with the objects of a state.
const OF_STATE: &[&str] = &["get", "list", "create", "update", "delete"];

/// Returns what is needed in the namespace of a state, as a clause.
pub(crate) fn of_state() -> String {
    let rules = STATE.iter().map(|rule| {
        let group = match rule.group {
            "" => String::new(),
            group => format!(" of {group}"),
        };
        format!("{}{group}: {}", rule.resources.join(", "), rule.verbs.join(", "))
    });
    rules.collect::<Vec<_>>().join("; ")
}

/// Returns the first right that is missing, as a clause.
pub(super) fn missing(rules: &[ResourceRule]) -> Vec<String> {
    let mut missing = Vec::new();
    for needed in NEEDED {
        for resource in needed.resources {
            let verbs = needed
                .verbs
                .iter()
                .filter(|verb| !has(rules, needed.group, resource, verb));
            let verbs: Vec<&str> = verbs.copied().collect();
            if !verbs.is_empty() {
                missing.push(format!("{} {resource}", verbs.join(", ")));
            }
        }
    }
    missing
}

fn has(rules: &[ResourceRule], group: &str, resource: &str, verb: &str) -> bool {
    let fits = |given: &[String], wanted: &str| given.iter().any(|given| given == "*" || given == wanted);
    let any = |given: &Option<Vec<String>>, wanted: &str| given.as_deref().is_some_and(|given| fits(given, wanted));
    let subresource = resource.split_once('/').map(|(_, part)| format!("*/{part}"));
    rules.iter().any(|rule| {
        let names_it =
            any(&rule.resources, resource) || subresource.as_deref().is_some_and(|part| any(&rule.resources, part));
        // A rule for objects of certain names says nothing of others.
        let is_for_all = rule.resource_names.as_ref().is_none_or(Vec::is_empty);
        any(&rule.api_groups, group) && names_it && fits(&rule.verbs, verb) && is_for_all
    })
}

/// Returns the documents that give an account these rights.
pub(in crate::platform) fn documents(account: Account<'_>) -> String {
    let namespace = account.namespace;
    let mut text = String::new();
    let servers = Role {
        kind: "Role",
        name: "simdb",
        namespace: Some(namespace),
    };
    servers.write(&mut text, NEEDED.iter().chain(TELLS), account);
    if let Some(state) = account.state {
        text.push_str("# The state.\n");
        let role = Role {
            kind: "Role",
            name: "simdb-state",
            namespace: Some(state),
        };
        role.write(&mut text, STATE, account);
    }
    text.push_str(
        "# Optional: lets simdb prove that a server is down whose pod does not answer, by what its machine reports, and say beforehand which \
         class or namespace is missing.\n",
    );
    let wide = Role {
        kind: "ClusterRole",
        name: &format!("simdb-{namespace}"),
        namespace: None,
    };
    wide.write(&mut text, CLUSTER_WIDE, account);
    text
}

/// A role, and the binding of the same name.
struct Role<'a> {
    kind: &'a str,
    name: &'a str,
    namespace: Option<&'a str>,
}

impl Role<'_> {
    fn write<'r>(&self, text: &mut String, rules: impl IntoIterator<Item = &'r Rule>, account: Account<'_>) {
        self.head(text, "");
        text.push_str("rules:\n");
        let list = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
            words.join(", ")
        };
        for Rule {
            group,
            resources,
            verbs,
        } in rules
        {
            let _ = writeln!(
                text,
                "  - apiGroups: [\"{group}\"]\n    resources: [{}]\n    verbs: [{}]",
                list(resources),
                list(verbs)
            );
        }
        self.head(text, "Binding");
        let _ = writeln!(
            text,
            "roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: {}\n  name: {}\nsubjects:\n  - kind: ServiceAccount\n    name: {}\n    \
             namespace: {}",
            self.kind, self.name, account.name, account.namespace
        );
    }

    fn head(&self, text: &mut String, binding: &str) {
        let Self { kind, name, namespace } = self;
        let _ = writeln!(
            text,
            "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}{binding}\nmetadata:\n  name: {name}"
        );
        if let Some(namespace) = namespace {
            let _ = writeln!(text, "  namespace: {namespace}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(groups: &[&str], resources: &[&str], verbs: &[&str]) -> ResourceRule {
        let texts = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        ResourceRule {
            api_groups: Some(texts(groups)),
            resources: Some(texts(resources)),
            verbs: texts(verbs),
            resource_names: None,
        }
    }

    #[test]
    fn a_right_that_is_missing_is_named() {
        assert_eq!(missing(&[given(&["*"], &["*"], &["*"])]), Vec::<String>::new());
        let own: Vec<ResourceRule> = NEEDED
            .iter()
            .map(|rule| given(&[rule.group], rule.resources, rule.verbs))
            .collect();
        assert_eq!(missing(&own), Vec::<String>::new());
        let mut less = own.clone();
        less.retain(|rule| !rule.resources.as_ref().unwrap().contains(&"pods/exec".to_owned()));
        assert_eq!(
            missing(&less),
            ["get, create pods/exec", "get, create pods/portforward"]
        );
        less.push(given(&[""], &["*/exec", "*/portforward"], &["*"]));
        assert_eq!(missing(&less), Vec::<String>::new());
        let mut named = own;
        named[0].resource_names = Some(vec!["one".to_owned()]);
        assert_eq!(missing(&named), ["get, list, watch, patch, delete pods"]);
    }

    #[test]
    fn the_rights_of_a_state_are_said() {
        assert_eq!(
            of_state(),
            "secrets: get, list, create, update, delete; leases of coordination.k8s.io: get, list, create, update, delete"
        );
    }

    #[test]
    fn the_rights_are_written_as_roles_of_a_namespace() {
        let account = Account {
            namespace: "db",
            name: "simdb",
            state: None,
        };
        let text = documents(account);
        assert!(
            text.contains("kind: Role\nmetadata:\n  name: simdb\n  namespace: db\n"),
            "{text}"
        );
        assert!(
            text.contains("    resources: [\"pods/exec\", \"pods/portforward\"]\n    verbs: [\"get\", \"create\"]\n")
        );
        assert_eq!(text.matches("kind: ServiceAccount").count(), 2);
        assert!(!text.contains("simdb-state"), "{text}");
        let with_state = documents(Account {
            state: Some("records"),
            ..account
        });
        assert!(
            with_state.contains("kind: Role\nmetadata:\n  name: simdb-state\n  namespace: records\n"),
            "{with_state}"
        );
        assert_eq!(
            with_state.matches("    namespace: db\n").count(),
            3,
            "the account is where the servers are"
        );
    }
}
