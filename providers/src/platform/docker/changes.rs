//! Brings the files of a server to what its spec says.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;
use simdb_state::digest::sha256;
use simdb_state::instance::{InstanceSpec, TaskSpec};
use simdb_state::sensitive::Secrets;

use super::Hold;
use super::build::{self, Data, Image};
use super::inspect::holds;
use super::names::DIRECTORY;
use super::notes::{self, FILES, FORMAT, Files, Notes, WrittenFile};
use super::script::{self, Ended};
use super::site::{NOTES, STAGED, now};
use crate::platform::requests::{At, refused};
use crate::platform::{PlatformError, text};

/// Who may read the files of a server while they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// The server, which runs.
    Runs,
    /// The server, which is down: the daemon may start its container.
    Down,
    /// No server was made yet.
    None,
}

/// What has to change in a volume before a server is what its spec says.
pub(super) struct Changes {
    /// What goes, of what is there.
    removed: Vec<String>,
    /// What is written: names, and contents.
    written: Vec<(String, Vec<u8>)>,
    /// What is noted of all files afterwards; absent where nothing changes.
    noted: Option<Files>,
}

impl Changes {
    /// Finds out what has to change.
    pub(super) async fn of(
        hold: &Hold,
        spec: &InstanceSpec,
        secrets: &Secrets,
        runs: bool,
    ) -> Result<Self, PlatformError> {
        let site = &hold.site;
        let home = &site.own.home;
        let notes = Notes::read(site, home).await?;
        let before = notes.files();
        let changed = i64::try_from(now()).unwrap_or_default();
        let mut files = BTreeMap::new();
        let mut written = Vec::new();
        for (name, content) in spec.written() {
            let bytes = text::render(&site.own.node, DIRECTORY, (name, &content), secrets)?;
            let bytes = bytes.expose().clone().into_bytes();
            let file = WrittenFile {
                text: content.digest(),
                bytes: sha256(&bytes),
                size: bytes.len() as u64,
                changed,
            };
            match before.get(name) {
                Some(old) if old.bytes == file.bytes && holds(site, home, name, old).await? => {
                    let changed = old.changed;
                    files.insert(name.clone(), WrittenFile { changed, ..file });
                }
                _ => {
                    files.insert(name.clone(), file);
                    written.push((name.clone(), bytes));
                }
            }
        }
        let stale = before
            .keys()
            .filter(|name| !files.contains_key(*name) && is_inside(name));
        let mut candidates: BTreeSet<String> = stale.chain(&spec.absent).cloned().collect();
        let forgotten = before.keys().any(|name| !files.contains_key(name));
        if !runs {
            let products = notes.products().unwrap_or_default();
            candidates.extend(products.iter().map(|product| TaskSpec::partial(product)));
        }
        let looks = candidates.into_iter().map(async |name| {
            let found = site.stat(home, &name).await?;
            Ok::<_, PlatformError>(found.map(|_| name))
        });
        let removed: Vec<String> = try_join_all(looks).await?.into_iter().flatten().collect();
        let texts_differ = files
            .iter()
            .any(|(name, file)| before.get(name).is_none_or(|old| old.text != file.text));
        let record = (forgotten || texts_differ || !written.is_empty()).then_some(Files { format: FORMAT, files });
        Ok(Self {
            removed,
            written,
            noted: record,
        })
    }

    /// Makes the changes. Files that a server may read are replaced each at once.
    pub(super) async fn make(self, hold: &Hold, image: &Image, reader: Reader) -> Result<(), PlatformError> {
        let site = &hold.site;
        let mut files = self.written;
        files.extend(
            self.noted
                .map(|noted| (format!("{NOTES}/{FILES}"), notes::text(&noted))),
        );
        if files.is_empty() && self.removed.is_empty() {
            return Ok(());
        }
        hold.check().await?;
        if reader == Reader::None && self.removed.is_empty() {
            // What was noted of them is written last.
            return site.write(image.owner, &files).await;
        }
        let staged: Vec<(String, Vec<u8>)> = files
            .iter()
            .enumerate()
            .map(|(number, (_, content))| (format!("{STAGED}/{number}"), content.clone()))
            .collect();
        site.write(image.owner, &staged).await?;
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        let script = script::arrange(&self.removed, STAGED, &names);
        hold.check().await?;
        let mut written = if reader == Reader::Runs {
            site.execute(&script)
                .await
                .at("write files in container", &site.own.base)?
                .1
        } else {
            let body = build::task(&site.names, Data::Home(&site.own), image, &script);
            site.daemon
                .run(&site.own.task, body)
                .await
                .at("run container", &site.own.task)?
        };
        match script::ended(&mut written.errors) {
            Ended::Done => Ok(()),
            _ => Err(refused(
                "write files into the volume of",
                &site.own.base,
                written.errors,
            )),
        }
    }
}

/// Notes can be written by the servers' user, and must not lead out of the volume.
fn is_inside(name: &str) -> bool {
    let path = std::path::Path::new(name);
    path.components()
        .all(|part| matches!(part, std::path::Component::Normal(_)))
}
