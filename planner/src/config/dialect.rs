//! What simdb adds to the language: its blocks, and the objects that expressions refer to.

use simdb_language::dialect::Dialect;
use simdb_language::reference::Names;

use super::foreign;

pub(super) static DIALECT: Dialect = Dialect {
    name: "simdb",
    blocks: &[
        "simdb", "variable", "locals", "output", "check", "provider", "network", "cluster", "import", "removed",
        "moved", "module", "drift", "monitor",
    ],
    objects: &["cluster", "network", "module"],
    unavailable,
    advice: foreign::reference,
};

/// Makes names that lead nowhere.
pub(super) fn names<'a>() -> Names<'a> {
    Names::new(&DIALECT)
}

fn unavailable(name: &str) -> String {
    let also = match name {
        "network" => ", and as the \"network\" of a cluster",
        _ => "",
    };
    format!(
        "What a {name} is becomes known only when it is there, so \"{name}.*\" can be used in outputs, checks, and the locals \
         that only those refer to{also}."
    )
}
