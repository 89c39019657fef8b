//! Nodes on disk.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::identity::DataIdentity;
use crate::name::{NodeName, PlatformName};
use crate::object::{self, Damage, FenceProof, Image, Origin, Power, Resources, Slot, Term, Witness};
use crate::place::{self, Bind, Reached};

/// A node.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Node {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    platform: Option<PlatformName>,
    place: Option<Place>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image: Option<Image>,
    #[serde(default, skip_serializing_if = "Resources::is_unlimited")]
    resources: Resources,
    parameters: BTreeMap<String, String>,
    data: Option<Data>,
    role: Option<Role>,
    power: Power,
    stopped_by_request: bool,
    needs_rebuild: bool,
    damage: Option<Damage>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    prevent_destroy: bool,
    detail: Detail,
}

/// What only nodes of one engine have. Those of an engine without slots have none here.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Detail {
    Postgresql { slot: Option<Slot>, left_slots: Vec<Slot> },
}

/// Where a server is. What everybody reaches where it listens needs no more than that.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    bind: Bind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reached: Option<Reached>,
}

impl From<place::Place> for Place {
    fn from(place: place::Place) -> Self {
        Self {
            bind: place.bind,
            reached: Reached::of(place),
        }
    }
}

impl From<Place> for place::Place {
    fn from(Place { bind, reached }: Place) -> Self {
        Reached::place(bind, reached)
    }
}

/// The data of a node.
#[derive(Debug, Serialize, Deserialize)]
struct Data {
    generation: u32,
    origin: Origin,
    identity: Identity,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outside: Option<String>,
}

/// Whose data it is. Identities that are numbers have the name that they had when PostgreSQL's were the only ones.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Identity {
    SystemIdentifier(DataIdentity),
    Uuid(DataIdentity),
}

impl From<DataIdentity> for Identity {
    fn from(identity: DataIdentity) -> Self {
        if identity.as_str().parse::<u64>().is_ok() {
            Self::SystemIdentifier(identity)
        } else {
            Self::Uuid(identity)
        }
    }
}

impl From<Identity> for DataIdentity {
    fn from(identity: Identity) -> Self {
        match identity {
            Identity::SystemIdentifier(identity) | Identity::Uuid(identity) => identity,
        }
    }
}

/// What a node is to its cluster.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Role {
    Primary {
        term: Term,
    },
    Standby {
        follows: NodeName,
    },
    Fenced {
        term: Term,
        proof: FenceProof,
        witness: Witness,
    },
}

impl From<&object::Node> for Node {
    fn from(node: &object::Node) -> Self {
        let object::Node {
            platform,
            place,
            image,
            resources,
            parameters,
            data,
            slot,
            left_slots,
            role,
            power,
            stopped_by_request,
            needs_rebuild,
            damage,
            prevent_destroy,
        } = node.clone();
        Self {
            platform,
            place: place.map(Place::from),
            image,
            resources,
            parameters,
            data: data.map(Data::from),
            role: role.map(Role::from),
            power,
            stopped_by_request,
            needs_rebuild,
            damage,
            prevent_destroy,
            detail: Detail::Postgresql { slot, left_slots },
        }
    }
}

impl From<Node> for object::Node {
    fn from(node: Node) -> Self {
        let Node {
            platform,
            place,
            image,
            resources,
            parameters,
            data,
            role,
            power,
            stopped_by_request,
            needs_rebuild,
            damage,
            prevent_destroy,
            detail,
        } = node;
        let Detail::Postgresql { slot, left_slots } = detail;
        Self {
            platform,
            place: place.map(place::Place::from),
            image,
            resources,
            parameters,
            data: data.map(object::Data::from),
            slot,
            left_slots,
            role: role.map(object::Role::from),
            power,
            stopped_by_request,
            needs_rebuild,
            damage,
            prevent_destroy,
        }
    }
}

impl From<object::Data> for Data {
    fn from(data: object::Data) -> Self {
        let object::Data {
            generation,
            identity,
            origin,
            outside,
        } = data;
        Self {
            generation,
            origin,
            identity: identity.into(),
            outside,
        }
    }
}

impl From<Data> for object::Data {
    fn from(data: Data) -> Self {
        let Data {
            generation,
            origin,
            identity,
            outside,
        } = data;
        Self {
            generation,
            identity: identity.into(),
            origin,
            outside,
        }
    }
}

impl From<object::Role> for Role {
    fn from(role: object::Role) -> Self {
        match role {
            object::Role::Primary { term } => Self::Primary { term },
            object::Role::Standby { follows } => Self::Standby { follows },
            object::Role::Fenced { term, proof, witness } => Self::Fenced { term, proof, witness },
        }
    }
}

impl From<Role> for object::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Primary { term } => Self::Primary { term },
            Role::Standby { follows } => Self::Standby { follows },
            Role::Fenced { term, proof, witness } => Self::Fenced { term, proof, witness },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_of_a_node_is_read_as_it_was_written_and_unknown_where_nobody_wrote_it() {
        let node = object::Node {
            image: Some("db:15@sha256:0123".into()),
            ..object::Node::default()
        };
        let row = serde_json::to_value(Node::from(&node)).unwrap();
        assert_eq!(row["image"]["reference"], "db:15");
        assert_eq!(
            object::Node::from(serde_json::from_value::<Node>(row.clone()).unwrap()),
            node
        );
        let mut earlier = row;
        earlier.as_object_mut().unwrap().remove("image");
        assert_eq!(
            object::Node::from(serde_json::from_value::<Node>(earlier).unwrap()).image,
            None
        );
    }

    #[test]
    fn the_platform_of_a_node_is_written_where_it_is_not_that_of_its_cluster() {
        let row = |node: &object::Node| serde_json::to_value(Node::from(node)).unwrap();
        assert_eq!(row(&object::Node::default()).get("platform"), None);
        let node = object::Node {
            platform: Some("far.west".parse().unwrap()),
            ..object::Node::default()
        };
        assert_eq!(row(&node)["platform"], "far.west");
        let read: Node = serde_json::from_value(row(&node)).unwrap();
        assert_eq!(object::Node::from(read), node);
    }
}
