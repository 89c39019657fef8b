//! What the `provider` block says of pods.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use simdb_state::instance::Command;
use simdb_state::object::{EngineKind, Image};

use super::names::Pairs;
use crate::engine::PROGRAMS;
use crate::platform::PlatformError;

/// What stands for the major version in the name of an image.
const VERSION: &str = "{version}";

/// The user of the official images on Debian.
const USER: i64 = 999;

/// The size of a volume, in bytes.
const STORAGE: u64 = 10 << 30;

/// A taint that pods bear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bears {
    pub(super) key: String,
    pub(super) value: Option<String>,
    pub(super) effect: Option<String>,
}

/// Whether the servers of a cluster run on machines of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spread {
    /// Where there are enough.
    Preferred,
    /// Or they do not run.
    Required,
    /// Wherever there is room.
    None,
}

/// The arguments of the block, checked by the planner.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) kubeconfig: Option<PathBuf>,
    pub(super) context: Option<String>,
    pub(super) namespace: Option<String>,
    image: Option<String>,
    pooler_image: Option<String>,
    /// When machines fetch images, in the words of the API.
    pub(super) pull: &'static str,
    pub(super) pull_secret: Option<String>,
    pub(super) user: i64,
    /// The size of a volume in bytes.
    pub(super) storage: u64,
    pub(super) storage_class: Option<String>,
    pub(super) node_selector: Pairs,
    pub(super) tolerations: Vec<Bears>,
    pub(super) spread: Spread,
    pub(super) priority_class: Option<String>,
}

impl Settings {
    /// Reads them for a project in a directory.
    pub(super) fn read(arguments: &BTreeMap<String, String>, directory: &Path) -> Self {
        let text = |name: &str| arguments.get(name).cloned();
        Self {
            kubeconfig: text("kubeconfig").map(|path| directory.join(path)),
            context: text("context"),
            namespace: text("namespace"),
            image: text("image"),
            pooler_image: text("pooler_image"),
            pull: match text("pull").as_deref() {
                Some("always") => "Always",
                Some("never") => "Never",
                _ => "IfNotPresent",
            },
            pull_secret: text("pull_secret"),
            user: text("user").and_then(|user| user.parse().ok()).unwrap_or(USER),
            storage: text("storage")
                .and_then(|size| simdb_planner::engine::settings::read_bytes(&size))
                .unwrap_or(STORAGE),
            storage_class: text("storage_class"),
            node_selector: text("node_selector").as_deref().map(selector).unwrap_or_default(),
            tolerations: text("tolerations").as_deref().map(tolerations).unwrap_or_default(),
            spread: match text("spread").as_deref() {
                Some("required") => Spread::Required,
                Some("none") => Spread::None,
                _ => Spread::Preferred,
            },
            priority_class: text("priority_class"),
        }
    }

    /// Returns the name of the image of an engine's version, where there is one.
    pub(super) fn image(&self, engine: EngineKind, version: u16) -> Option<String> {
        let mut contained = PROGRAMS.iter().filter(|programs| programs.contained);
        let programs = contained.find(|programs| programs.engine == engine)?;
        let name = match programs.image {
            Some(usual) => self.image.clone().unwrap_or_else(|| usual.to_owned()),
            None => self.pooler_image.clone()?,
        };
        Some(name.replace(VERSION, &version.to_string()))
    }

    /// Returns the name of the image that a server is made from: the one of its command, unless it is known by another one.
    pub(super) fn image_of(&self, command: &Command, wanted: Option<&str>) -> Result<String, PlatformError> {
        let Some(own) = self.image(command.engine, command.version) else {
            return Err(PlatformError::EngineMissing {
                engine: command.engine,
                version: command.version,
                searched: "no image: name one in the provider block, as \"pooler_image\"".to_owned(),
            });
        };
        match wanted {
            // What tells an image from others, alone, is no name that a machine could fetch it by.
            Some(wanted) if !wanted.starts_with("sha256:") && Image::from(own.as_str()).digest != wanted => {
                Ok(wanted.to_owned())
            }
            _ => Ok(own),
        }
    }
}

fn selector(text: &str) -> Pairs {
    let pairs = text.split(',').filter_map(|pair| pair.trim().split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn tolerations(text: &str) -> Vec<Bears> {
    let bears = |taint: &str| {
        let (pair, effect) = match taint.split_once(':') {
            Some((pair, effect)) => (pair, Some(effect.to_owned())),
            None => (taint, None),
        };
        let (key, value) = match pair.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (pair, None),
        };
        Bears {
            key: key.to_owned(),
            value,
            effect,
        }
    };
    text.split(',').map(str::trim).map(bears).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[(&str, &str)]) -> Settings {
        let arguments = arguments
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Settings::read(&arguments.collect(), Path::new("/srv/project"))
    }

    #[test]
    fn arguments_are_read_as_they_were_checked() {
        let settings = read(&[
            ("kubeconfig", "admin.conf"),
            ("storage", "2GB"),
            ("node_selector", "disk=ssd, zone=a"),
            ("tolerations", "dedicated=db:NoSchedule, spot"),
            ("pull", "never"),
        ]);
        assert_eq!(settings.kubeconfig, Some("/srv/project/admin.conf".into()));
        assert_eq!(
            (settings.storage, settings.user, settings.pull),
            (2 << 30, USER, "Never")
        );
        assert_eq!(settings.node_selector.len(), 2);
        let borne = |key: &str, value: Option<&str>, effect: Option<&str>| Bears {
            key: key.to_owned(),
            value: value.map(str::to_owned),
            effect: effect.map(str::to_owned),
        };
        let all = [
            borne("dedicated", Some("db"), Some("NoSchedule")),
            borne("spot", None, None),
        ];
        assert_eq!(settings.tolerations, all);
    }

    #[test]
    fn a_server_is_made_from_the_image_of_its_version_unless_it_has_another_one() {
        let settings = read(&[("image", "registry:5000/db:{version}")]);
        let command = |engine| Command {
            engine,
            version: 15,
            program: "server".to_owned(),
            arguments: Vec::new(),
        };
        let database = command(EngineKind::Postgresql);
        let image = |wanted| settings.image_of(&database, wanted).unwrap();
        assert_eq!(image(None), "registry:5000/db:15");
        assert_eq!(image(Some("registry:5000/db:15")), "registry:5000/db:15");
        assert_eq!(image(Some("registry:5000/db:old")), "registry:5000/db:old");
        assert_eq!(image(Some("sha256:77")), "registry:5000/db:15");
        let missing = settings.image_of(&command(EngineKind::POOLER), None).unwrap_err();
        assert!(matches!(missing, PlatformError::EngineMissing { .. }), "{missing:?}");
    }
}
