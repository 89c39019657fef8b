//! What the API is protected by: the token, and TLS. Both are read from files, and read anew when the monitor is told to (SIGHUP).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::http::HeaderMap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use simdb_planner::config::TlsFiles;

use super::token::Token;
use crate::error::CliError;

/// Where the token and the certificate are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    pub(crate) token: Option<PathBuf>,
    /// The certificate and its key.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
}

impl Files {
    /// Returns the files that a configuration names, which stand relative to its directory.
    pub(crate) fn of(directory: &Path, token: Option<&String>, tls: Option<&TlsFiles>) -> Self {
        Self {
            token: token.map(|token| directory.join(token)),
            tls: tls.map(|tls| (directory.join(&tls.certificate), directory.join(&tls.key))),
        }
    }

    /// Reads them.
    pub(super) fn read(&self) -> Result<Secured, CliError> {
        let tls = self.tls.as_ref().map(|(certificate, key)| server(certificate, key));
        Ok(Secured {
            token: self.token.as_deref().map(Token::open).transpose()?,
            tls: tls.transpose()?,
        })
    }
}

/// What the API is protected by.
#[derive(Clone, Debug, Default)]
pub(super) struct Secured {
    pub(super) token: Option<Token>,
    pub(super) tls: Option<Arc<ServerConfig>>,
}

/// What a request needs to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing: it is about health alone, or the same for everyone.
    Nothing,
    /// On loopback nothing, elsewhere the token.
    Reading,
    /// The token.
    Writing,
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// There is no token that it could bear.
    ReadOnly,
    /// It does not bear the token.
    Unknown,
}

impl Secured {
    /// Lets a request pass, or says why not.
    pub(super) fn admit(&self, need: Need, is_local: bool, headers: &HeaderMap) -> Result<(), Denied> {
        match (need, &self.token) {
            (Need::Nothing, _) => Ok(()),
            (Need::Reading, _) if is_local => Ok(()),
            (Need::Writing, None) => Err(Denied::ReadOnly),
            (_, Some(token)) if token.is_borne(headers) => Ok(()),
            _ => Err(Denied::Unknown),
        }
    }
}

fn server(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, CliError> {
    let refused = |path: &Path, why: String| {
        let detail = format!("{} cannot be used: {why}.", path.display());
        CliError::refused("The API cannot be served with TLS", detail)
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| refused(certificate, error.to_string()))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| refused(key, error.to_string()))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private));
    config
        .map(Arc::new)
        .map_err(|error| refused(certificate, error.to_string()))
}

#[cfg(test)]
mod tests {
    use axum::http::header;

    use super::*;

    #[test]
    fn reading_is_open_on_loopback_and_writing_never_is() {
        let without = Secured::default();
        let with = Secured {
            token: Token::new("0123456789abcdef"),
            tls: None,
        };
        let bare = HeaderMap::new();
        let bearing = HeaderMap::from_iter([(header::AUTHORIZATION, "Bearer 0123456789abcdef".parse().unwrap())]);
        for is_local in [true, false] {
            assert_eq!(without.admit(Need::Nothing, is_local, &bare), Ok(()));
            assert_eq!(without.admit(Need::Writing, is_local, &bearing), Err(Denied::ReadOnly));
            assert_eq!(with.admit(Need::Writing, is_local, &bare), Err(Denied::Unknown));
            assert_eq!(with.admit(Need::Writing, is_local, &bearing), Ok(()));
            assert_eq!(with.admit(Need::Reading, is_local, &bearing), Ok(()));
        }
        assert_eq!(with.admit(Need::Reading, true, &bare), Ok(()));
        assert_eq!(with.admit(Need::Reading, false, &bare), Err(Denied::Unknown));
        assert_eq!(without.admit(Need::Reading, false, &bare), Err(Denied::Unknown));
    }

    #[test]
    fn a_certificate_that_is_none_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("monitor.crt");
        std::fs::write(&path, "no certificate").unwrap();
        let tls = TlsFiles {
            certificate: "monitor.crt".to_owned(),
            key: "monitor.key".to_owned(),
        };
        let files = Files::of(directory.path(), None, Some(&tls));
        let refused = files.read().unwrap_err().into_documents();
        assert!(refused[0].detail.contains("monitor."), "{refused:?}");
    }
}
