//! Edits the one attribute of a configuration that simdb itself may change: who leads.

use hcl_edit::expr::Expression;
use hcl_edit::parser::parse_body;
use hcl_edit::structure::Body;
use simdb_state::name::{ClusterName, NodeName};
use thiserror::Error;

/// Why `primary` cannot be set in a file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PinError {
    /// The file cannot be read.
    #[error("the file is not valid HCL")]
    Syntax,
    /// The cluster is not in it, or does not say who leads.
    #[error("cluster \"{0}\" has no \"primary\" there")]
    Missing(ClusterName),
    /// It is worked out from something else.
    #[error("\"primary\" of cluster \"{0}\" is an expression, and not a name in quotes")]
    Expression(ClusterName),
}

/// Returns the text of a file with `primary` of a cluster set to a node. Everything else stays as it is.
pub fn set_primary(text: &str, cluster: &ClusterName, node: &NodeName) -> Result<String, PinError> {
    let mut body: Body = parse_body(text).map_err(|_| PinError::Syntax)?;
    let block = body.get_blocks_mut("cluster").find(|block| {
        let label = block.labels.first();
        label.is_some_and(|label| label.as_str() == cluster.as_str())
    });
    let attribute = block.and_then(|block| block.body.get_attribute_mut("primary"));
    let mut attribute = attribute.ok_or_else(|| PinError::Missing(cluster.clone()))?;
    let value = attribute.value_mut();
    let Expression::String(old) = value else {
        return Err(PinError::Expression(cluster.clone()));
    };
    let decor = hcl_edit::Decorate::decor(old).clone();
    let mut new = hcl_edit::Decorated::new(node.to_string());
    *hcl_edit::Decorate::decor_mut(&mut new) = decor;
    *value = Expression::String(new);
    Ok(body.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> Result<String, PinError> {
        set_primary(text, &"orders".parse().unwrap(), &"r[0]".parse().unwrap())
    }

    #[test]
    fn only_the_name_changes() {
        let text = "# leads\ncluster \"other\" {\n  primary = \"a\"\n}\n\ncluster \"orders\" {\n  node \"a\" {}\n  primary   =  \"a\"  # pinned\n}\n";
        let expected = text.replace("primary   =  \"a\"  #", "primary   =  \"r[0]\"  #");
        assert_eq!(set(text).unwrap(), expected);
    }

    #[test]
    fn what_is_no_name_in_quotes_is_left_to_its_author() {
        let cluster = "orders".parse().unwrap();
        assert_eq!(
            set("cluster \"orders\" {\n  primary = var.leader\n}\n"),
            Err(PinError::Expression(cluster))
        );
        let cluster = "orders".parse().unwrap();
        assert_eq!(set("cluster \"orders\" {\n}\n"), Err(PinError::Missing(cluster)));
    }
}
