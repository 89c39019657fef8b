//! Who waits for whom, by number: put in order, and freed of what is implied.

use std::collections::BTreeSet;

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

/// For each member, those it waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Waits(Vec<BTreeSet<usize>>);

impl Waits {
    /// Collects, for each member in turn, those it waits for.
    pub(super) fn new(waits: impl IntoIterator<Item = BTreeSet<usize>>) -> Self {
        Self(waits.into_iter().collect())
    }

    /// Returns the members so that each comes after those it waits for, and of those that could come next, the lowest
    /// one; or, where there is no such order, members each of which waits for the next, and the last for the first.
    pub(super) fn sort(&self) -> Result<Vec<usize>, Vec<usize>> {
        let graph = self.graph();
        let mut open: Vec<usize> = self.0.iter().map(BTreeSet::len).collect();
        let mut ready: BTreeSet<usize> = (0..open.len()).filter(|at| open[*at] == 0).collect();
        let mut sorted = Vec::with_capacity(open.len());
        while let Some(at) = ready.pop_first() {
            sorted.push(at);
            for later in graph.neighbors(NodeIndex::new(at)) {
                open[later.index()] -= 1;
                if open[later.index()] == 0 {
                    ready.insert(later.index());
                }
            }
        }
        if sorted.len() == open.len() {
            Ok(sorted)
        } else {
            Err(self.cycle(&graph))
        }
    }

    /// Returns the graph with an edge from each member to those that wait for it.
    fn graph(&self) -> DiGraph<(), ()> {
        let edges = self.0.iter().map(BTreeSet::len).sum();
        let mut graph = DiGraph::with_capacity(self.0.len(), edges);
        for _ in &self.0 {
            graph.add_node(());
        }
        for (at, waits) in self.0.iter().enumerate() {
            for earlier in waits {
                graph.add_edge(NodeIndex::new(*earlier), NodeIndex::new(at), ());
            }
        }
        graph
    }

    /// Walks along waits within a group whose members all wait for each other, until it comes back to where it was.
    fn cycle(&self, graph: &DiGraph<(), ()>) -> Vec<usize> {
        let is_cyclic = |group: &BTreeSet<usize>| group.len() > 1 || group.iter().any(|at| self.0[*at].contains(at));
        let groups = tarjan_scc(graph).into_iter();
        let groups = groups.map(|group| group.into_iter().map(NodeIndex::index).collect::<BTreeSet<usize>>());
        let group = groups.filter(is_cyclic).min().unwrap_or_default();
        let mut path: Vec<usize> = Vec::new();
        let mut next = group.first().copied();
        while let Some(at) = next {
            if let Some(start) = path.iter().position(|earlier| *earlier == at) {
                return path.split_off(start);
            }
            path.push(at);
            next = self.0[at].intersection(&group).next().copied();
        }
        path
    }

    /// Leaves out what is implied: of those that a member waits for, those that another of them waits for in its turn,
    /// over however many others. A reader wants to know what a step waits for last.
    ///
    /// Each member looks back no further than to the earliest of those it waits for, so that the rows of a wide plan
    /// cost what they hold and no more.
    pub(super) fn reduce(&mut self, sorted: &[usize]) {
        let mut place = vec![0; sorted.len()];
        for (at, member) in sorted.iter().enumerate() {
            place[*member] = at;
        }
        // The last member that was found to come after this one, so that nothing has to be cleared in between.
        let mut seen_by = vec![usize::MAX; sorted.len()];
        let mut open = Vec::new();
        for member in sorted {
            let mut latest_first: Vec<usize> = self.0[*member].iter().copied().collect();
            latest_first.sort_unstable_by_key(|earlier| std::cmp::Reverse(place[*earlier]));
            let Some(first) = latest_first.last().map(|earlier| place[*earlier]) else {
                continue;
            };
            let mut kept = BTreeSet::new();
            for earlier in latest_first {
                if seen_by[earlier] == *member {
                    continue;
                }
                kept.insert(earlier);
                open.push(earlier);
                while let Some(at) = open.pop() {
                    let before = self.0[at].iter().copied();
                    open.extend(before.filter(|before| {
                        place[*before] >= first && std::mem::replace(&mut seen_by[*before], *member) != *member
                    }));
                }
            }
            self.0[*member] = kept;
        }
    }

    /// Returns, for each member in turn, those it waits for.
    pub(super) fn into_rows(self) -> impl Iterator<Item = BTreeSet<usize>> {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn waits<const N: usize>(rows: [&[usize]; N]) -> Waits {
        Waits::new(rows.map(|row| row.iter().copied().collect()))
    }

    #[test]
    fn what_is_implied_over_several_others_is_left_out() {
        let mut graph = waits([&[], &[0], &[1], &[0, 2], &[0, 1, 2, 3]]);
        let sorted = graph.sort().unwrap();
        graph.reduce(&sorted);
        assert_eq!(graph, waits([&[], &[0], &[1], &[2], &[3]]));
    }

    #[test]
    fn what_nothing_else_implies_stays() {
        let mut graph = waits([&[], &[], &[0], &[1], &[0, 1, 2, 3]]);
        let sorted = graph.sort().unwrap();
        graph.reduce(&sorted);
        assert_eq!(graph, waits([&[], &[], &[0], &[1], &[2, 3]]));
    }

    #[test]
    fn a_cycle_is_told_in_the_order_of_its_waits_and_without_those_behind_it() {
        assert_eq!(waits([&[], &[0, 3], &[1], &[2], &[3]]).sort(), Err(vec![1, 3, 2]));
        assert_eq!(waits([&[0]]).sort(), Err(vec![0]));
    }

    fn reachable(rows: &[BTreeSet<usize>], from: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut open: Vec<usize> = rows[from].iter().copied().collect();
        while let Some(at) = open.pop() {
            if found.insert(at) {
                open.extend(&rows[at]);
            }
        }
        found
    }

    proptest! {
        #[test]
        fn reduction_keeps_who_comes_before_whom_and_nothing_can_be_left_out_of_it(
            bits in prop::collection::vec(any::<u16>(), 1..16)
        ) {
            let before = |at: usize, bits: u16| (0..at).filter(move |earlier| bits & (1 << earlier) != 0).collect();
            let rows: Vec<BTreeSet<usize>> = bits.iter().enumerate().map(|(at, bits)| before(at, *bits)).collect();
            let mut graph = Waits::new(rows.clone());
            let sorted = graph.sort().unwrap();
            graph.reduce(&sorted);
            let reduced: Vec<_> = graph.into_rows().collect();
            for at in 0..rows.len() {
                prop_assert_eq!(reachable(&reduced, at), reachable(&rows, at));
                for left_out in &reduced[at] {
                    let mut less = reduced.clone();
                    less[at].remove(left_out);
                    prop_assert!(!reachable(&less, at).contains(left_out));
                }
            }
        }
    }
}
