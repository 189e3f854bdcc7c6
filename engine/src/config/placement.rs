//! How many shards a configuration asks for, and which core each one gets.

use super::node::Config;

impl Config {
    /// Whether shards stay on their cores: where that is asked for, and where cores are named.
    fn pins_shards(&self) -> bool {
        self.pin.unwrap_or(!self.cores.is_empty())
    }

    /// For each shard its core, or `None` if it is not to be pinned.
    ///
    /// `usable` are the cores that the process may run on, `parallelism` how many threads it can
    /// keep busy: fewer under a CPU quota. A quota is time on any core, so under one shards are
    /// pinned only to cores that are named. More shards than cores go round again. There is always
    /// at least one shard.
    #[must_use]
    pub fn placement(&self, usable: &[usize], parallelism: usize) -> Vec<Option<usize>> {
        let (cores, is_ours) = if self.cores.is_empty() {
            (usable, parallelism >= usable.len())
        } else {
            (&*self.cores, true)
        };
        (0..self.shard_count(parallelism))
            .map(|shard| {
                let core = cores.get(shard % cores.len().max(1));
                core.copied().filter(|_| self.pins_shards() && is_ours)
            })
            .collect()
    }

    /// How many shards: as many as it says, else one for each core that is named, else as many as
    /// the process can keep busy.
    fn shard_count(&self, parallelism: usize) -> usize {
        match (self.shards, self.cores.len()) {
            (0, 0) => parallelism.max(1),
            (0, named) => named,
            (shards, _) => shards,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn shards_take_the_named_cores_in_order_else_the_usable_ones() {
        let free = Config::default();
        assert_eq!(free.placement(&[2, 5], 2), [None, None]);
        assert_eq!(free.placement(&[], 1), [None]);
        let pinned = Config {
            pin: Some(true),
            ..free
        };
        assert_eq!(pinned.placement(&[2, 5], 2), [Some(2), Some(5)]);
        let named = Config {
            cores: vec![7, 3],
            ..Config::default()
        };
        assert_eq!(named.placement(&[3, 7, 9], 3), [Some(7), Some(3)]);
        let one = Config { shards: 1, ..named };
        assert_eq!(one.placement(&[3, 7, 9], 3), [Some(7)]);
        let three = Config {
            shards: 3,
            ..pinned
        };
        assert_eq!(three.placement(&[0, 1], 2), [Some(0), Some(1), Some(0)]);
        let unpinned = Config {
            pin: Some(false),
            cores: vec![0, 1],
            ..three
        };
        assert_eq!(unpinned.placement(&[0, 1], 2), [None, None, None]);
    }

    #[test]
    fn a_quota_bounds_the_shards_and_leaves_them_to_any_core() {
        let pinned = || Config {
            pin: Some(true),
            ..Config::default()
        };
        assert_eq!(pinned().placement(&[0, 1, 2, 3], 2), [None, None]);
        let asked = Config {
            shards: 3,
            ..pinned()
        };
        assert_eq!(asked.placement(&[0, 1, 2, 3], 1), [None; 3]);
        let named = Config {
            cores: vec![2, 3],
            ..Config::default()
        };
        assert_eq!(named.placement(&[0, 1, 2, 3], 1), [Some(2), Some(3)]);
    }
}
