//! Puts the text of a file together: where the instance directory is, and what its secrets are.

use postgres_protocol::password::scram_sha_256;
use simdb_state::address::InstanceAddress;
use simdb_state::instance::{FilePart, FileText};
use simdb_state::sensitive::{SecretName, Secrets, Sensitive};

use super::PlatformError;
use crate::engine::native_verifier;

/// Returns the text of a node's file, whose instance directory is at a path.
pub(super) fn render(
    node: &InstanceAddress,
    directory: &str,
    (file, text): (&str, &FileText),
    secrets: &Secrets,
) -> Result<Sensitive<String>, PlatformError> {
    let secret = |name: &SecretName| {
        secrets.get(name).ok_or_else(|| PlatformError::SecretMissing {
            node: node.clone(),
            file: file.to_owned(),
            secret: name.clone(),
        })
    };
    let mut rendered = String::new();
    for part in &text.0 {
        match part {
            FilePart::Text(text) => rendered.push_str(text),
            FilePart::InstanceDirectory => rendered.push_str(directory),
            FilePart::Secret(name) => rendered.push_str(secret(name)?.expose()),
            FilePart::NativeVerifier(name) => rendered.push_str(&native_verifier(secret(name)?)),
            FilePart::ScramVerifier(name) => rendered.push_str(&scram_sha_256(secret(name)?.expose().as_bytes())),
        }
    }
    Ok(Sensitive::new(rendered))
}
