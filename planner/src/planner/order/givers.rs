//! Finds the steps of a plan that give a fact.

use crate::plan::fact::Fact;
use crate::planner::lower::Draft;

/// The facts that steps give, in order, each with the step that gives it.
pub(crate) struct Givers<'a>(Vec<(Fact<'a>, usize)>);

impl<'a> Givers<'a> {
    pub(crate) fn of(drafts: &'a [Draft]) -> Self {
        let facts = drafts.iter().enumerate().flat_map(|(at, draft)| {
            let gives = draft.facts().gives;
            gives.into_iter().map(move |fact| (fact, at))
        });
        let mut facts: Vec<_> = facts.collect();
        facts.sort_unstable();
        Self(facts)
    }

    /// Returns the steps that give a fact, those first that were drafted first.
    pub(crate) fn of_fact<'f>(&'f self, fact: Fact<'f>) -> impl Iterator<Item = usize> + use<'f> {
        let facts: &'f [(Fact<'f>, usize)] = &self.0;
        let first = facts.partition_point(|(other, _)| *other < fact);
        let same = facts[first..].iter().take_while(move |(other, _)| *other == fact);
        same.map(|(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use simdb_state::address::NodeAddress;

    use super::*;
    use crate::plan::Action;

    #[test]
    fn the_givers_of_a_fact_come_in_the_order_of_their_drafts() {
        let node = |name: &str| format!("cluster.orders.node.{name}").parse::<NodeAddress>().unwrap();
        let stop = |node: NodeAddress| {
            let action = Action::Stop { node: node.clone() };
            Draft::new(node, action, "it was asked to be stopped", Vec::new())
        };
        let drafts = ["b", "a", "b"].map(|name| stop(node(name)));
        let givers = Givers::of(&drafts);
        let of = |fact| givers.of_fact(fact).collect::<Vec<_>>();
        let (a, b, c) = (node("a"), node("b"), node("c"));
        assert_eq!([of(Fact::Stopped(&a)), of(Fact::Stopped(&b))], [vec![1], vec![0, 2]]);
        assert_eq!(of(Fact::Built(&a.cluster)), [0, 1, 2]);
        assert!(of(Fact::Stopped(&c)).is_empty() && of(Fact::Serves(&a)).is_empty());
    }
}
