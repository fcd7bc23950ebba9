//! What very many IKE_SAs have in common is kept once.
use std::sync::Arc;

/// Shares a value with the SA before, if that has the same.
#[derive(Debug)]
pub(crate) struct Last<T>(Option<Arc<T>>);

impl<T> Default for Last<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: PartialEq + Clone> Last<T> {
    pub(crate) fn share(&mut self, value: &T) -> Arc<T> {
        match &self.0 {
            Some(last) if **last == *value => Arc::clone(last),
            _ => Arc::clone(self.0.insert(Arc::new(value.clone()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_are_one() {
        let mut last = Last::default();
        let (a, b, c) = (last.share(&1), last.share(&1), last.share(&2));
        assert!(Arc::ptr_eq(&a, &b) && !Arc::ptr_eq(&b, &c));
        assert_eq!((*a, *c, *last.share(&1)), (1, 2, 1));
    }
}
