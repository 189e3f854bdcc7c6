//! How many shards a configuration asks for, and which core each one gets.

use super::node::Config;

impl Config {
    /// For each shard its core, or `None` if it is not to be pinned.
    ///
    /// `usable` are the cores that the process may run on. More shards than cores go round again.
    /// There is always at least one shard.
    #[must_use]
    pub fn placement(&self, usable: &[usize]) -> Vec<Option<usize>> {
        let cores = if self.cores.is_empty() {
            usable
        } else {
            &self.cores
        };
        let shards = if self.shards == 0 {
            cores.len().max(1)
        } else {
            self.shards
        };
        (0..shards)
            .map(|shard| {
                let core = cores.get(shard % cores.len().max(1));
                core.copied().filter(|_| self.pin)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn shards_take_the_named_cores_in_order_else_the_usable_ones() {
        let config = Config::default();
        assert_eq!(config.placement(&[2, 5]), [Some(2), Some(5)]);
        assert_eq!(config.placement(&[]), [None]);
        let named = Config {
            cores: vec![7, 3],
            ..Config::default()
        };
        assert_eq!(named.placement(&[3, 7, 9]), [Some(7), Some(3)]);
        let one = Config { shards: 1, ..named };
        assert_eq!(one.placement(&[3, 7, 9]), [Some(7)]);
        let three = Config {
            shards: 3,
            ..Config::default()
        };
        assert_eq!(three.placement(&[0, 1]), [Some(0), Some(1), Some(0)]);
        let free = Config {
            pin: false,
            ..three
        };
        assert_eq!(free.placement(&[0, 1]), [None, None, None]);
    }
}
