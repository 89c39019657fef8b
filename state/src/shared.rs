//! Values that copies of a record share.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// A value of which a copy takes no memory until it is changed: a plan holds a record several times over, and changes few of its objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shared<T>(Arc<T>);

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}

impl<T> From<T> for Shared<T> {
    fn from(value: T) -> Self {
        Self(Arc::new(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_changes_leaves_the_other_as_it_is() {
        let first = Shared::from("a".to_owned());
        let mut second = first.clone();
        assert!(Arc::ptr_eq(&first.0, &second.0));
        second.push('b');
        assert_eq!((first.as_str(), second.as_str()), ("a", "ab"));
    }
}
