//! Passwords that go with what had them.

use super::Writer;
use crate::address::{Address, UserAddress};
use crate::backend::{Row, Write};
use crate::delta::Edit;
use crate::error::StoreError;
use crate::secret;
use crate::sensitive::SecretName;

impl Writer {
    /// Deletes the passwords that a login no longer has, those of logins that are gone, and all of a cluster that is gone.
    pub(super) async fn drop_secrets(&self, edits: &[Edit]) -> Result<Vec<Write>, StoreError> {
        let mut writes = Vec::new();
        for edit in edits {
            match edit {
                Edit::User(address, user) => {
                    let current = user.password(address);
                    writes.extend(self.drop_passwords(address, Some(&current)).await?);
                }
                Edit::Drop(Address::User(address)) => writes.extend(self.drop_passwords(address, None).await?),
                Edit::Drop(Address::Cluster(name)) => {
                    let users = format!("{}cluster.{name}.user.", secret::PREFIX);
                    let rows = self.record.list(&[&users]).await?;
                    writes.extend(rows.into_iter().map(|row| Write::delete(row.key)));
                }
                _ => {}
            }
        }
        Ok(writes)
    }

    /// Deletes all passwords of a login but one.
    async fn drop_passwords(&self, user: &UserAddress, but: Option<&SecretName>) -> Result<Vec<Write>, StoreError> {
        let prefix = format!("{}{user}", secret::PREFIX);
        let rows = self.record.list(&[&prefix]).await?;
        let goes = |row: &Row| {
            let name = SecretName::from_stored(&row.key.as_str()[secret::PREFIX.len()..]);
            name.is_password_of(user) && Some(&name) != but
        };
        Ok(rows
            .into_iter()
            .filter(goes)
            .map(|row| Write::delete(row.key))
            .collect())
    }
}
