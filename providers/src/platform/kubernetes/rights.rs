//! The rights that simdb needs in a namespace, and those that tell more: what a role says, and what is asked for before anything is made.

use std::fmt::Write;

use k8s_openapi::api::authorization::v1::ResourceRule;

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

/// What lets simdb prove that a server is down whose pod does not answer, and tell whether the machine of its volume is back.
const CLUSTER_WIDE: &[Rule] = &[
    rule("", &["nodes", "persistentvolumes"], &["get"]),
    rule("coordination.k8s.io", &["leases"], &["get"]),
];

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

/// Returns the documents that give an account of a namespace these rights.
pub(in crate::platform) fn documents(namespace: &str, account: &str) -> String {
    let mut text = String::new();
    document(&mut text, "Role", "simdb", Some(namespace), NEEDED);
    binding(&mut text, "Role", "simdb", namespace, account);
    let _ = writeln!(
        text,
        "---\n# Optional: lets simdb prove that a server is down whose pod does not answer, by what its machine reports."
    );
    let wide = format!("simdb-{namespace}");
    document(&mut text, "ClusterRole", &wide, None, CLUSTER_WIDE);
    binding(&mut text, "ClusterRole", &wide, namespace, account);
    text
}

fn document(text: &mut String, kind: &str, name: &str, namespace: Option<&str>, rules: &[Rule]) {
    if namespace.is_some() {
        text.push_str("---\n");
    }
    let _ = writeln!(
        text,
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata:\n  name: {name}"
    );
    if let Some(namespace) = namespace {
        let _ = writeln!(text, "  namespace: {namespace}");
    }
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
}

fn binding(text: &mut String, role: &str, name: &str, namespace: &str, account: &str) {
    let _ = writeln!(
        text,
        "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: {role}Binding\nmetadata:\n  name: {name}"
    );
    if role == "Role" {
        let _ = writeln!(text, "  namespace: {namespace}");
    }
    let _ = writeln!(
        text,
        "roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: {role}\n  name: {name}\nsubjects:\n  - kind: ServiceAccount\n    name: \
         {account}\n    namespace: {namespace}"
    );
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
    fn the_rights_are_written_as_roles_of_a_namespace() {
        let text = documents("db", "simdb");
        assert!(
            text.contains("kind: Role\nmetadata:\n  name: simdb\n  namespace: db\n"),
            "{text}"
        );
        assert!(
            text.contains("    resources: [\"pods/exec\", \"pods/portforward\"]\n    verbs: [\"get\", \"create\"]\n")
        );
        assert_eq!(text.matches("kind: ServiceAccount").count(), 2);
    }
}
