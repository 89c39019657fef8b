//! Starts the server of a node, and tells it to read its files.

use simdb_state::instance::InstanceSpec;
use simdb_state::sensitive::Secrets;

use super::Hold;
use super::explain::explained;
use super::names::DIRECTORY;
use super::pod::Made;
use super::script::{self, Ended, File};
use super::settings::Settings;
use super::tell;
use crate::platform::requests::refused;
use crate::platform::{Holder, PlatformError, text};

/// How long another process may keep the lock of a volume.
const LOCK_LIMIT: std::time::Duration = std::time::Duration::from_secs(15);

/// Writes the files of a server, and starts it where it is down.
pub(super) async fn ensure(
    hold: &Hold,
    settings: &Settings,
    spec: &InstanceSpec,
    secrets: &Secrets,
) -> Result<(), PlatformError> {
    let site = &hold.site;
    let image = settings.image_of(&spec.command, spec.image.as_deref())?;
    let made = Made::of(&spec.command, image, spec.resources, Some(spec.listen.port));
    let written = spec.written();
    let files: Result<Vec<File>, PlatformError> = written
        .map(|(name, content)| {
            let rendered = text::render(&site.own.node, DIRECTORY, (name, &content), secrets)?;
            Ok(File {
                name: name.clone(),
                text: content.digest(),
                content: rendered.expose().clone(),
            })
        })
        .collect();
    let files = files?;
    hold.check().await?;
    let is_held = Box::pin(site.claim(settings, &made)).await?;
    hold.check().await?;
    let script = script::ensure(hold.token(), spec, &files);
    let (ran, ()) = tokio::join!(site.run(&script, None), tell::intent(site, "run"));
    let (written, ended) = ran?;
    match ended {
        Ended::Done if is_held => site.release().await,
        Ended::Done => Ok(()),
        Ended::NoData => Err(PlatformError::DataMissing {
            node: site.own.node.clone(),
            path: format!("{DIRECTORY}/{}", spec.data).into(),
        }),
        Ended::Used(pid) => Err(refused(
            "start the server of",
            &site.own.node.to_string(),
            format!(
                "process {pid} of pod {} uses its data, and is none of its server; end that first",
                site.own.pod
            ),
        )),
        ended => Err(failed(hold, "write the files of", ended, &written.errors)),
    }
}

/// Tells a server, where it runs, to read its files again.
pub(super) async fn reload(hold: &Hold) -> Result<(), PlatformError> {
    let site = &hold.site;
    if site.usable().await?.is_err() {
        // What does not run reads its files when it starts.
        return Ok(());
    }
    hold.check().await?;
    let (written, ended) = site.run(&script::reload(), None).await?;
    match ended {
        Ended::Done => Ok(()),
        ended => Err(failed(hold, "reload the server of", ended, &written.errors)),
    }
}

/// Says why a script that changes a volume did not do so.
pub(super) fn failed(hold: &Hold, doing: &'static str, ended: Ended, errors: &str) -> PlatformError {
    let own = &hold.site.own;
    match ended {
        Ended::Busy => PlatformError::Busy {
            subject: format!("the volume of {}", own.node),
            limit: LOCK_LIMIT,
            holder: Holder::Unknown,
        },
        Ended::Newer(noted) => PlatformError::OlderState {
            node: own.node.clone(),
            noted: noted.0,
            held: hold.token().0,
            notes: format!("{DIRECTORY}/.simdb/token in pod {}", own.pod),
        },
        Ended::CutOff => refused(
            doing,
            &own.base,
            explained(&format!(
                "its command ended early in pod {}: {}",
                own.pod,
                errors.trim()
            )),
        ),
        _ => refused(doing, &own.base, explained(errors.trim())),
    }
}
