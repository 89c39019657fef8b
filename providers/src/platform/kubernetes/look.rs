//! The script that looks at the volume of a node, and what it told.

use std::collections::BTreeSet;

use super::script::BEGIN;

/// Returns the script that looks at a volume. It changes nothing.
pub(super) fn script() -> String {
    format!(
        r#"{BEGIN}cd "$d" || end x $?
for f in *; do [ ! -L "$f" ] && [ -d "$f" ] && printf 'directory %s\n' "$f"; done
[ ! -e "$n/files" ] || while read -r text bytes name; do
  sum=$(sha256sum <"$name" 2>/dev/null)
  if [ "${{sum%% *}}" = "$bytes" ]; then same=same; else same=edited; fi
  printf 'file %s %s %s\n' "$text" "$same" "$name"
done <"$n/files"
for f in intent listen; do [ ! -e "$n/$f" ] || printf '%s %s\n' "$f" "$(cat "$n/$f")"; done
if alive; then printf 'process %s %s\n' "$p" "$(state "$p")"
else for u in $(users); do printf 'stranger %s\n' "$u"; done; fi
end done 0
"#
    )
}

/// What a look at a volume told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Looked {
    pub(super) directories: BTreeSet<String>,
    /// Names, digests of texts, and whether a file still holds what was written.
    pub(super) files: Vec<(String, String, bool)>,
    pub(super) is_to_run: bool,
    pub(super) listen: Option<String>,
    /// The first process of the server, and its state.
    pub(super) process: Option<(u32, char)>,
    /// A process that uses the data, and is none of the server's.
    pub(super) stranger: Option<u32>,
}

impl Looked {
    /// Reads what the script printed.
    pub(super) fn read(printed: &str) -> Self {
        let mut looked = Self::default();
        for line in printed.lines() {
            let Some((what, rest)) = line.split_once(' ') else {
                continue;
            };
            match what {
                "directory" if rest != "lost+found" => drop(looked.directories.insert(rest.to_owned())),
                "file" => {
                    let mut parts = rest.splitn(3, ' ');
                    if let (Some(text), Some(same), Some(name)) = (parts.next(), parts.next(), parts.next()) {
                        looked.files.push((name.to_owned(), text.to_owned(), same == "edited"));
                    }
                }
                "intent" => looked.is_to_run = rest == "run",
                "listen" => looked.listen = Some(rest.to_owned()),
                "process" => {
                    let (pid, state) = rest.split_once(' ').unwrap_or((rest, ""));
                    looked.process = pid.parse().ok().map(|pid| (pid, state.chars().next().unwrap_or('S')));
                }
                "stranger" if looked.stranger.is_none() => looked.stranger = rest.parse().ok(),
                _ => {}
            }
        }
        looked
    }
}
