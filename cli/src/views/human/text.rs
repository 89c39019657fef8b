//! Lines and their lengths.

pub(crate) use simdb_planner::text::{bytes, count};

/// Breaks a text between words, so that no line is longer than `width` unless a word is. Line breaks stay, and lines
/// that start with a space (code) stay as they are.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    text.lines().flat_map(|line| wrap_line(line, width)).collect()
}

fn wrap_line(line: &str, width: usize) -> Vec<String> {
    if line.starts_with(' ') || length(line) <= width {
        return vec![line.to_owned()];
    }
    let mut lines = vec![String::new()];
    for word in line.split_whitespace() {
        let last = lines.last_mut().expect("there is at least one line");
        if last.is_empty() {
            last.push_str(word);
        } else if length(last) + 1 + length(word) <= width {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// Returns how many columns a text without colours takes.
pub(crate) fn length(text: &str) -> usize {
    text.chars().count()
}
