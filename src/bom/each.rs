//! Lists that are written item by item: no more than one is in memory.

use std::cell::RefCell;

use serde::{Serialize, Serializer};

/// A list whose items are made as they are written, which can be done once.
pub(super) struct Each<I>(RefCell<Option<I>>);

impl<I: Iterator> Each<I> {
    pub(super) fn of(items: I) -> Each<I> {
        Each(RefCell::new(Some(items)))
    }
}

impl<I: Iterator<Item: Serialize>> Serialize for Each<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.take().into_iter().flatten())
    }
}
