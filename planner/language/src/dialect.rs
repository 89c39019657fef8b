//! What an application adds to the language.

use std::fmt;

/// The blocks of an application, and the objects that its expressions refer to.
pub struct Dialect {
    /// The application, whose workspace expressions refer to: `NAME.workspace`.
    pub name: &'static str,
    /// The blocks at the top of a file. The header of one in the first column ends what was left open before it.
    pub blocks: &'static [&'static str],
    /// The first names of references to objects: `cluster`.
    pub objects: &'static [&'static str],
    /// Returns why an object cannot be referred to where none is known, given its first name.
    pub unavailable: fn(&str) -> String,
    /// Returns what to write in place of a reference that leads nowhere, given its first name.
    pub advice: fn(&str) -> Option<String>,
}

impl fmt::Debug for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialect")
            .field("blocks", &self.blocks)
            .field("objects", &self.objects)
            .finish_non_exhaustive()
    }
}
