//! Values that must not be seen: they hide from `Debug`, `Display` and `Serialize`, and are wiped when dropped.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroize;

/// What stands wherever a sensitive value would be shown.
pub const REDACTED: &str = "(sensitive value)";

/// A value that shows itself only to who asks by name.
#[derive(Clone, PartialEq, Eq)]
pub struct Sensitive<T: Zeroize>(T);

impl<T: Zeroize> Sensitive<T> {
    /// Hides a value.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// Returns the value in clear. Every caller hands it to a server or to the user who asked for it, and nowhere else.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> Drop for Sensitive<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Sensitive<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl<T: Zeroize> fmt::Display for Sensitive<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl<T: Zeroize> Serialize for Sensitive<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

/// Secrets in clear, in memory, by name: what a step needs while it runs.
pub type Secrets = std::collections::BTreeMap<SecretName, Sensitive<String>>;

/// The name of a secret in the state, such as `cluster.orders.user.app`. The name itself is no secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SecretName(String);

impl SecretName {
    /// Names the first password of a login.
    pub fn password(user: &crate::address::UserAddress) -> Self {
        Self(user.to_string())
    }

    /// Names one version of a password, and which one where the configuration gives it.
    pub fn password_version(user: &crate::address::UserAddress, version: u32, digest: Option<&str>) -> Self {
        match (version, digest) {
            (1, None) => Self::password(user),
            (version, None) => Self(format!("{user}#{version}")),
            (version, Some(digest)) => Self(format!("{user}#{version}.{digest}")),
        }
    }

    /// Returns whether this is a password of a login, of any version.
    pub(crate) fn is_password_of(&self, user: &crate::address::UserAddress) -> bool {
        let rest = self.0.strip_prefix(&user.to_string());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('#'))
    }

    /// Names the value of a sensitive output.
    pub fn output(name: &str) -> Self {
        Self(format!("output.{name}"))
    }

    /// Reads a name back from where it was stored.
    pub(crate) fn from_stored(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for SecretName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sensitive_value_shows_itself_to_no_formatter() {
        let password = Sensitive::new("hunter2".to_owned());
        let shown = format!("{password:?} {password} {}", serde_json::to_string(&password).unwrap());
        assert_eq!(shown, "(sensitive value) (sensitive value) \"(sensitive value)\"");
        assert_eq!(password.expose(), "hunter2");
    }
}
