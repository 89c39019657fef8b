//! Graphs as text for the programs that draw them. An arrow leads from what waits to what it waits for, and what comes
//! first is drawn on the left.

use super::doc::GraphDoc;

/// Writes a graph in the language of Graphviz: `simdb graph | dot -Tsvg`.
pub fn dot(graph: &GraphDoc) -> String {
    let mut text = format!(
        "digraph {} {{\n  rankdir = \"RL\";\n  node [shape = rect, fontname = \"sans-serif\"];\n",
        graph.name
    );
    for vertex in &graph.vertices {
        let label = vertex.label.join("\n");
        text += &format!("  {:?} [label={label:?}];\n", vertex.name);
    }
    for &(later, earlier) in &graph.edges {
        let name = |at: usize| &graph.vertices[at].name;
        text += &format!("  {:?} -> {:?};\n", name(later), name(earlier));
    }
    text + "}\n"
}

/// Writes a graph in the language of Mermaid, which Markdown viewers draw.
pub fn mermaid(graph: &GraphDoc) -> String {
    let mut text = "flowchart RL\n".to_owned();
    for (at, vertex) in (1..).zip(&graph.vertices) {
        text += &format!("  s{at}[\"{}\"]\n", vertex.label.join("<br/>"));
    }
    for (later, earlier) in &graph.edges {
        text += &format!("  s{} --> s{}\n", later + 1, earlier + 1);
    }
    text
}

#[cfg(test)]
mod tests;
