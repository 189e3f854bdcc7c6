//! The topics that this node subscribes to, and where what is published to them goes here.
//!
//! Changed by application threads, looked at by the control shard for each publication that comes. Bounded by
//! `pub_sub_topics_max`. How a publication finds its subscribers is the overlay's business: a publish-subscribe
//! overlay carries it among them alone, others to every member, and here it ends where nobody subscribes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use overlane_overlays::TopicId;

use super::error::TopicError;
use crate::fnv::fnv1a;
use crate::wire::name::check_name;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Topics(Mutex<BTreeMap<Arc<str>, Arc<str>>>);

/// The identity of a topic among protocols: a number made of its name, the same on every node.
///
/// # Errors
/// [`TopicError::Name`].
pub(super) fn topic_id(topic: &str) -> Result<TopicId, TopicError> {
    check_name(topic).map_err(|error| TopicError::Name(error.to_string()))?;
    Ok(fnv1a(topic.as_bytes()))
}

impl Topics {
    /// Has publications to a topic go to a mailbox, in the place of another one if there was one. `order` tells the protocols,
    /// and if it fails nothing is changed.
    pub(super) fn subscribe(
        &self,
        topic: &str,
        mailbox: &str,
        most: usize,
        order: impl FnOnce() -> Result<(), TopicError>,
    ) -> Result<(), TopicError> {
        let mut topics = self.lock();
        if topics.len() >= most && !topics.contains_key(topic) {
            return Err(TopicError::TooMany { most });
        }
        order()?;
        topics.insert(topic.into(), mailbox.into());
        Ok(())
    }

    /// Ends a subscription.
    pub(super) fn unsubscribe(
        &self,
        topic: &str,
        order: impl FnOnce() -> Result<(), TopicError>,
    ) -> Result<(), TopicError> {
        let mut topics = self.lock();
        if !topics.contains_key(topic) {
            return Err(TopicError::NotSubscribed(topic.to_owned()));
        }
        order()?;
        topics.remove(topic);
        Ok(())
    }

    /// The mailbox for publications to a topic; none if nobody subscribes here.
    pub(super) fn mailbox(&self, topic: &str) -> Option<Arc<str>> {
        self.lock().get(topic).map(Arc::clone)
    }

    /// The topics, and their mailboxes.
    pub(super) fn all(&self) -> Vec<(String, String)> {
        let topics = self.lock();
        let all = topics.iter();
        all.map(|(topic, mailbox)| (topic.to_string(), mailbox.to_string()))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Arc<str>>> {
        // Whoever panicked while it held the lock had not begun to change anything.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::ClusterError;
    use super::*;
    use crate::cluster::BroadcastError;

    #[test]
    fn topics_are_bounded_and_an_order_that_fails_changes_nothing() {
        let topics = Topics::default();
        let busy = || Err(BroadcastError::from(ClusterError::Busy).into());
        assert!(topics.subscribe("a", "in", 2, busy).is_err());
        assert_eq!(topics.mailbox("a"), None);
        topics.subscribe("a", "in", 2, || Ok(())).unwrap();
        topics.subscribe("b", "in", 2, || Ok(())).unwrap();
        let refused = topics.subscribe("c", "in", 2, || unreachable!("there is no room"));
        assert_eq!(refused, Err(TopicError::TooMany { most: 2 }));
        topics.subscribe("a", "other", 2, || Ok(())).unwrap();
        assert_eq!(topics.mailbox("a").as_deref(), Some("other"));
        assert!(topics.unsubscribe("a", busy).is_err());
        assert_eq!(topics.mailbox("a").as_deref(), Some("other"));
        topics.unsubscribe("a", || Ok(())).unwrap();
        assert_eq!(topics.mailbox("a"), None);
        let gone = topics.unsubscribe("a", || unreachable!("it is not there"));
        assert_eq!(gone, Err(TopicError::NotSubscribed("a".to_owned())));
    }

    #[test]
    fn a_topic_has_a_name_that_can_be_printed_and_is_not_long() {
        for bad in ["", "a\u{1b}[2J", &"a".repeat(256)] {
            assert!(matches!(topic_id(bad), Err(TopicError::Name(_))), "{bad:?}");
        }
        assert!(topic_id(&"a".repeat(255)).is_ok());
    }
}
