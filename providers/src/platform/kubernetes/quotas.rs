//! What quotas of a namespace leave room for, and what is to be made takes. Nothing is sent here.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceQuota;

use super::quantity;

/// What is to be made, as far as quotas count it. Amounts are in thousandths, as the API counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Takes {
    pub(super) volumes: u32,
    pub(super) sets: u32,
    pub(super) pods: u32,
    pub(super) services: u32,
    /// The size of all volumes, in bytes.
    pub(super) storage: u64,
    pub(super) storage_class: Option<String>,
    /// The memory of all pods, in bytes; absent where one of them may take what it wants.
    pub(super) memory: Option<u64>,
    /// The processors of all pods, in thousandths; absent where one of them may take what it wants.
    pub(super) cpus: Option<u64>,
    /// Whether the namespace gives pods that do not say it a limit of its own.
    pub(super) has_defaults: bool,
}

/// What is taken of something that a quota counts.
enum Amount {
    Of(u128),
    /// A pod does not say how much it takes, with the argument that does.
    Unsaid(&'static str),
}

impl Takes {
    /// Returns what is taken of something, by the name that quotas have for it; nothing where it is none of this.
    fn of(&self, counted: &str) -> Option<Amount> {
        let number = |number: u32| Some(Amount::Of(u128::from(number) * 1000));
        let bytes = |bytes: u64| Amount::Of(u128::from(bytes) * 1000);
        let said = |amount: Option<Amount>, argument| {
            let amount = amount.unwrap_or(Amount::Unsaid(argument));
            let is_said = matches!(amount, Amount::Of(_)) || !self.has_defaults;
            (self.pods > 0 && is_said).then_some(amount)
        };
        let own_class = self
            .storage_class
            .as_ref()
            .and_then(|class| counted.strip_prefix(&format!("{class}.storageclass.storage.k8s.io/")));
        match own_class.unwrap_or(counted) {
            "persistentvolumeclaims" | "count/persistentvolumeclaims" => number(self.volumes),
            "requests.storage" => Some(bytes(self.storage)),
            "pods" | "count/pods" => number(self.pods),
            "services" | "count/services" => number(self.services),
            "count/statefulsets.apps" => number(self.sets),
            "memory" | "requests.memory" | "limits.memory" => said(self.memory.map(bytes), "memory"),
            "cpu" | "requests.cpu" | "limits.cpu" => said(self.cpus.map(|cpus| Amount::Of(cpus.into())), "cpus"),
            _ => None,
        }
    }
}

/// Says for which quotas there is no room, each as a sentence with a way out. One that counts some pods alone is left out: which ones
/// those are is for the API server to say.
pub(super) fn refusals(quotas: &[ResourceQuota], takes: &Takes) -> Vec<String> {
    let mut refusals = Vec::new();
    for quota in quotas {
        let spec = quota.spec.as_ref();
        if spec.is_some_and(|spec| spec.scopes.is_some() || spec.scope_selector.is_some()) {
            continue;
        }
        let name = quota.metadata.name.as_deref().unwrap_or_default();
        let none = BTreeMap::new();
        let status = quota.status.as_ref();
        let hard = status
            .and_then(|status| status.hard.as_ref())
            .or_else(|| spec?.hard.as_ref())
            .unwrap_or(&none);
        let used = status.and_then(|status| status.used.as_ref()).unwrap_or(&none);
        for (counted, limit) in hard {
            let used = used.get(counted).and_then(quantity::thousandths).unwrap_or(0);
            let (Some(limit), Some(amount)) = (quantity::thousandths(limit), takes.of(counted)) else {
                continue;
            };
            match amount {
                Amount::Unsaid(argument) => refusals.push(format!(
                    "ResourceQuota {name} takes no pod that does not say how much {counted} it needs: declare \"{argument}\" of all nodes, or in \
                     provider \"kubernetes\"."
                )),
                Amount::Of(amount) if used + amount > limit => refusals.push(format!(
                    "ResourceQuota {name} leaves {} of {counted}, and what is to be made takes {}. Raise the quota, or declare less: nodes, \
                     \"storage\", \"memory\" or \"cpus\".",
                    quantity::show(limit.saturating_sub(used)),
                    quantity::show(amount)
                )),
                Amount::Of(_) => {}
            }
        }
    }
    refusals
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(hard: &serde_json::Value, used: &serde_json::Value, takes: &Takes) -> Vec<String> {
        let quota = json!({ "metadata": { "name": "small" }, "spec": { "hard": hard }, "status": { "hard": hard, "used": used } });
        refusals(&[serde_json::from_value(quota).expect("it is a quota")], takes)
    }

    fn three() -> Takes {
        Takes {
            volumes: 3,
            sets: 3,
            pods: 3,
            services: 4,
            storage: 3 << 30,
            storage_class: Some("fast".to_owned()),
            memory: Some(3 << 30),
            cpus: None,
            has_defaults: false,
        }
    }

    #[test]
    fn what_is_short_is_named_with_what_is_left_and_what_is_taken() {
        let roomy = json!({ "pods": "10", "requests.storage": "3Gi", "limits.memory": "3Gi", "secrets": "0" });
        assert_eq!(told(&roomy, &json!({ "pods": "7" }), &three()), Vec::<String>::new());
        let short = [
            (
                json!({ "pods": "10" }),
                json!({ "pods": "8" }),
                "leaves 2 of pods, and what is to be made takes 3.",
            ),
            (json!({ "services": "3" }), json!({}), "leaves 3 of services"),
            (
                json!({ "requests.storage": "2Gi" }),
                json!({}),
                "leaves 2Gi of requests.storage, and what is to be made takes 3Gi.",
            ),
            (
                json!({ "fast.storageclass.storage.k8s.io/requests.storage": "1Gi" }),
                json!({}),
                "leaves 1Gi of fast.storageclass",
            ),
            (json!({ "requests.memory": "2500Mi" }), json!({}), "takes 3Gi"),
            (
                json!({ "limits.cpu": "100" }),
                json!({}),
                "declare \"cpus\" of all nodes",
            ),
        ];
        for (hard, used, text) in short {
            let told = told(&hard, &used, &three());
            assert!(told.len() == 1 && told[0].contains(text), "{told:?}");
        }
    }

    #[test]
    fn nothing_takes_nothing() {
        let hard = json!({ "pods": "0", "limits.cpu": "1", "slow.storageclass.storage.k8s.io/requests.storage": "0" });
        assert_eq!(told(&hard, &json!({}), &Takes::default()), Vec::<String>::new());
        let defaulted = Takes {
            has_defaults: true,
            ..three()
        };
        assert_eq!(
            told(&json!({ "limits.cpu": "1" }), &json!({}), &defaulted),
            Vec::<String>::new()
        );
        let other_class = json!({ "slow.storageclass.storage.k8s.io/requests.storage": "0" });
        assert_eq!(told(&other_class, &json!({}), &three()), Vec::<String>::new());
    }
}
