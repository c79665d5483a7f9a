//! What is given once and asked for often: to ask takes no lock.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Given or not yet; it is never taken back.
#[derive(Debug, Default)]
pub(super) struct Signal {
    is_given: AtomicBool,
    given: Notify,
}

impl Signal {
    /// Gives it, and wakes who waits for it.
    pub(super) fn give(&self) {
        self.is_given.store(true, Ordering::Release);
        self.given.notify_waiters();
    }

    /// Whether it was given.
    pub(super) fn is_given(&self) -> bool {
        self.is_given.load(Ordering::Acquire)
    }

    /// Until it is given.
    pub(super) async fn given(&self) {
        // From here on who gives it wakes us.
        let given = self.given.notified();
        if !self.is_given() {
            given.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn who_waits_is_woken_and_who_comes_later_does_not_wait() {
        let signal = Arc::new(Signal::default());
        assert!(timeout(Duration::from_millis(1), signal.given()).await.is_err());
        let waiting = Arc::clone(&signal);
        let waits = tokio::spawn(async move { waiting.given().await });
        tokio::task::yield_now().await;
        signal.give();
        waits.await.unwrap();
        assert!(signal.is_given());
        signal.given().await;
    }
}
