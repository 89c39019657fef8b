//! Whom things that are alike are about, in as few words as name them all: `cluster.{billing,orders}.node.r[0..48]`.

use std::collections::{BTreeMap, BTreeSet};

use simdb_state::address::Address;

/// How many names of clusters are told one by one.
const NAMES: usize = 8;

/// A set of addresses of one kind.
#[derive(Debug)]
pub(crate) struct Subjects {
    /// Of each cluster, the names of what is meant in it.
    by_cluster: BTreeMap<Option<String>, BTreeSet<Name>>,
    kind: &'static str,
}

/// A name, taken apart where instances of one block share it but for a number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    base: String,
    /// What stands between the base and the number: `[` or `-`.
    open: &'static str,
    index: Option<u32>,
}

impl Name {
    /// Takes `r[0]` and `orders-0` apart.
    fn new(text: &str) -> Self {
        let indexed = |base: &str, open, digits: &str| {
            let index: u32 = digits.parse().ok()?;
            (index.to_string() == digits).then(|| Name {
                base: base.to_owned(),
                open,
                index: Some(index),
            })
        };
        let brackets = || text.strip_suffix(']')?.rsplit_once('[');
        let found = match (brackets(), text.rsplit_once('-')) {
            (Some((base, digits)), _) => indexed(base, "[", digits),
            (None, Some((base, digits))) => indexed(base, "-", digits),
            (None, None) => None,
        };
        found.unwrap_or_else(|| Name {
            base: text.to_owned(),
            open: "",
            index: None,
        })
    }
}

/// Returns what alike things are called without what tells them apart: the kind, and the name without the number.
pub(super) fn base(address: &Address) -> String {
    // Clusters may be alike whatever they are called.
    if matches!(address, Address::Cluster(_)) {
        return "cluster".to_owned();
    }
    let Name { base, open, .. } = Name::new(&address.name());
    format!("{} {base}{open}", address.kind())
}

/// Returns the spellings of an own name that has a number.
pub(super) fn own_names(address: &Address) -> Vec<String> {
    match address {
        Address::Node(node) if node.node.index().is_some() => {
            vec![node.node.to_string(), node.node.host(), node.node.identifier()]
        }
        Address::Node(_) | Address::Cluster(_) => Vec::new(),
        _ => {
            let name = address.name();
            if Name::new(&name).index.is_some() {
                vec![name]
            } else {
                Vec::new()
            }
        }
    }
}

impl Subjects {
    /// Brings addresses of one kind together.
    pub(crate) fn new<'a>(addresses: impl Iterator<Item = &'a Address>) -> Self {
        let mut by_cluster: BTreeMap<Option<String>, BTreeSet<Name>> = BTreeMap::new();
        let mut kind = "";
        for address in addresses {
            kind = address.kind();
            let cluster = address.cluster().map(ToString::to_string);
            by_cluster
                .entry(cluster)
                .or_default()
                .insert(Name::new(&address.name()));
        }
        Self { by_cluster, kind }
    }

    /// Writes the addresses, those of clusters that have the same ones together.
    pub(crate) fn text(&self) -> String {
        if self.kind == "cluster" {
            return format!("cluster.{}", self.clusters());
        }
        let mut clusters: BTreeMap<&BTreeSet<Name>, BTreeSet<Name>> = BTreeMap::new();
        let mut texts = Vec::new();
        for (cluster, names) in &self.by_cluster {
            match cluster {
                Some(cluster) => _ = clusters.entry(names).or_default().insert(Name::new(cluster)),
                None => texts.push(format!("{}.{}", self.kind, set(names))),
            }
        }
        let text = |(names, clusters): (&BTreeSet<Name>, BTreeSet<Name>)| {
            format!("cluster.{}.{}.{}", set(&clusters), self.kind, set(names))
        };
        texts.extend(clusters.into_iter().map(text));
        texts.join(", ")
    }

    /// Writes the names without their clusters.
    pub(crate) fn names(&self) -> String {
        set(&self.by_cluster.values().flatten().cloned().collect())
    }

    /// Writes the names of their clusters.
    pub(crate) fn clusters(&self) -> String {
        set(&self.by_cluster.keys().flatten().map(|name| Name::new(name)).collect())
    }
}

/// Writes names: `r[0..48]`, `{billing,orders}`, `tenant-{0..199}`.
fn set(names: &BTreeSet<Name>) -> String {
    let mut blocks: BTreeMap<(&str, &str), Vec<u32>> = BTreeMap::new();
    for Name { base, open, index } in names {
        blocks.entry((base, open)).or_default().extend(index);
    }
    let texts: Vec<String> = blocks
        .into_iter()
        .map(|((base, open), numbers)| block(base, open, &numbers))
        .collect();
    match &texts[..] {
        [one] => one.clone(),
        many if many.len() > NAMES => {
            let told = many[..NAMES].join(",");
            format!("{{{told} +{}}}", many.len() - NAMES)
        }
        many => format!("{{{}}}", many.join(",")),
    }
}

fn block(base: &str, open: &str, numbers: &[u32]) -> String {
    let text = ranges(numbers);
    match (open, numbers) {
        ("[", _) => format!("{base}[{text}]"),
        ("-", [_]) => format!("{base}-{text}"),
        ("-", _) => format!("{base}-{{{text}}}"),
        _ => base.to_owned(),
    }
}

/// Writes numbers in order, those in a row as a range: `0..3,7`.
fn ranges(numbers: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for &number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let texts = ranges.iter().map(|&(first, last)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}..{last}"),
    });
    texts.collect::<Vec<_>>().join(",")
}
