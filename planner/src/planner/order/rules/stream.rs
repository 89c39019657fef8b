//! Servers of a cluster: which one starts, moves or is configured first.

use simdb_state::address::NodeAddress;

use super::Rules;
use crate::plan::Action;
use crate::plan::fact::Fact;
use crate::planner::lower::Draft;

impl Rules<'_> {
    /// Servers are given other parameters one after the other.
    pub(super) fn one_by_one(&self, draft: &Draft) -> Vec<usize> {
        match &draft.action {
            Action::Configure { server, restart, .. } => {
                let mut steps: Vec<usize> = self.rolling.get(&server.node).copied().into_iter().collect();
                if *restart {
                    steps.extend(self.former_streams(&server.node));
                }
                steps
            }
            _ => Vec::new(),
        }
    }

    /// Returns the step after which the former primary streams from the new one: it replays as this node does, and not both of
    /// them are away at once.
    fn former_streams(&self, node: &NodeAddress) -> Vec<usize> {
        let cluster = self.intended.clusters.get(&node.cluster);
        let former = cluster
            .and_then(|cluster| cluster.deposed.as_ref())
            .filter(|former| *former != node);
        let primary = self.intended.primary(&node.cluster).filter(|primary| primary != node);
        let Some((former, primary)) = former.zip(primary) else {
            return Vec::new();
        };
        if self.upstream(former).as_ref() != Some(&primary) {
            return Vec::new();
        }
        self.givers(Fact::Streams(former)).collect()
    }

    /// A standby that is configured or started finds the password that it streams with.
    pub(super) fn with_new_password(&self, draft: &Draft) -> Vec<usize> {
        let node = match &draft.action {
            Action::Configure { server, .. } => &server.node,
            Action::Start {
                server,
                in_recovery: true,
                ..
            } if self.upstream(&server.node).is_some() => &server.node,
            _ => return Vec::new(),
        };
        self.givers(Fact::Rotated(&node.cluster)).collect()
    }

    /// Where the primary gets less of what replay depends on, a standby that starts after it gets less at once; one that is
    /// configured streams, so that it replays until its log asks for less.
    pub(super) fn with_less(&self, draft: &Draft) -> Vec<usize> {
        let (node, configured) = match &draft.action {
            Action::Configure { server, .. } => (&server.node, true),
            Action::Join { server, .. }
            | Action::Start {
                server,
                in_recovery: true,
                ..
            } => (&server.node, false),
            _ => return Vec::new(),
        };
        if !self.intended.limits.lowered.contains(&node.cluster) {
            return Vec::new();
        }
        if configured {
            let mut steps = self.stream(node);
            if self.streams_before_it_is_configured(node) {
                steps.extend(self.givers(Fact::Streams(node)));
            }
            return steps;
        }
        let Some(primary) = self.intended.primary(&node.cluster) else {
            return Vec::new();
        };
        let steps = self.givers(Fact::Configured(&primary));
        steps.filter(|at| self.configures(*at)).collect()
    }

    /// Returns the steps that configure a node.
    pub(super) fn configures_of(&self, node: &NodeAddress) -> Vec<usize> {
        let steps = self.givers(Fact::Configured(node));
        steps.filter(|at| self.configures(*at)).collect()
    }

    /// A standby that comes to stream from elsewhere finds its other settings in place.
    pub(super) fn configured_first(&self, draft: &Draft) -> Vec<usize> {
        let Action::Follow { server, .. } = &draft.action else {
            return Vec::new();
        };
        let streams_first = self.streams_before_it_is_configured(&server.node);
        let steps = self.givers(Fact::Configured(&server.node));
        steps.filter(|at| !(streams_first && self.configures(*at))).collect()
    }

    fn configures(&self, at: usize) -> bool {
        matches!(self.drafts[at].action, Action::Configure { .. })
    }

    /// Returns whether a standby first comes to stream from where it should: the log that asks for less may reach it through
    /// no other server. One that lacks what its log asks for replays nothing before it is configured, and one that moves is
    /// not where it is spoken to.
    fn streams_before_it_is_configured(&self, node: &NodeAddress) -> bool {
        let limits = &self.intended.limits;
        let had = self.before.nodes.get(node).and_then(|node| node.place.as_ref());
        let stays = had == self.intended.nodes.get(node).map(|node| &node.place);
        stays && limits.lowered.contains(&node.cluster) && !limits.lacking.contains_key(node)
    }

    /// A standby that starts finds a server that it can stream from.
    pub(super) fn finds_its_stream(&self, draft: &Draft) -> Vec<usize> {
        match &draft.action {
            Action::Start {
                server,
                in_recovery: true,
                ..
            } => self.stream(&server.node),
            _ => Vec::new(),
        }
    }

    /// Returns the steps after which a standby can stream.
    fn stream(&self, node: &NodeAddress) -> Vec<usize> {
        let mut steps = self.upstream_serves(node);
        steps.extend(self.givers(Fact::Retained(node)));
        steps
    }

    /// The nodes that stand above a standby stream from where they are to first.
    pub(super) fn top_down(&self, draft: &Draft) -> Vec<usize> {
        let (Action::Join { server, .. } | Action::Follow { server, .. }) = &draft.action else {
            return Vec::new();
        };
        let above = std::iter::successors(self.upstream(&server.node), |node| self.upstream(node));
        above
            .flat_map(|node| self.givers(Fact::Streams(&node)).collect::<Vec<_>>())
            .collect()
    }

    /// Standbys of a cluster that stops receive what their primary writes last before they stop too.
    pub(super) fn upstream_stops_first(&self, draft: &Draft) -> Vec<usize> {
        let Action::Stop { node } = &draft.action else {
            return Vec::new();
        };
        let upstream = self.upstream(node);
        upstream.map_or_else(Vec::new, |upstream| self.givers(Fact::Stopped(&upstream)).collect())
    }
}
