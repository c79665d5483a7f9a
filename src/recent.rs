//! The last few values that were kept.

/// At most `MOST` values; a new one takes the place of the oldest.
#[derive(Debug)]
pub(crate) struct Recent<T, const MOST: usize> {
    values: Vec<T>,
    /// Which is overwritten next.
    next: usize,
}

impl<T, const MOST: usize> Default for Recent<T, MOST> {
    fn default() -> Self {
        Self { values: Vec::new(), next: 0 }
    }
}

impl<T, const MOST: usize> Recent<T, MOST> {
    /// Keeps a value.
    pub(crate) fn keep(&mut self, value: T) {
        match self.values.get_mut(self.next) {
            Some(oldest) => *oldest = value,
            None => self.values.push(value),
        }
        self.next = (self.next + 1) % MOST;
    }

    /// What is kept, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.values.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_makes_room() {
        let mut recent = Recent::<u8, 3>::default();
        for (value, kept) in
            [(1, &[1][..]), (2, &[1, 2]), (3, &[1, 2, 3]), (4, &[2, 3, 4]), (5, &[3, 4, 5])]
        {
            recent.keep(value);
            let mut all: Vec<u8> = recent.iter().copied().collect();
            all.sort_unstable();
            assert_eq!(all, kept);
        }
    }
}
